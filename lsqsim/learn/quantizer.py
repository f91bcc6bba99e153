"""The learned quantizer: fake quantization forward, gradients to values and step size backward."""

import math

import numpy as np

from lsqsim.calibration import error_minimizing_step_size, initial_step_size
from lsqsim.errors import DataError, SpecError
from lsqsim.formats import IntFormat
from lsqsim.learn.parameters import Kind, Parameter
from lsqsim.learn.rule import (
    EdgeMask,
    FeatureCount,
    Granularity,
    Learning,
    Method,
    Positivity,
    StepRule,
    StepStart,
    check_learnable,
)
from lsqsim_kernels import learned_step

_MASKS = {
    EdgeMask.INCLUSIVE: learned_step.INCLUSIVE,
    EdgeMask.STRICT: learned_step.STRICT,
    EdgeMask.AFTER_ROUNDING: learned_step.AFTER_ROUNDING,
}
_LEAST_STEP = float(np.finfo(np.float32).tiny)
_START_SAMPLES = 1 << 18
"""Values that the search for the least squared error looks at, evenly spread."""


class LearnedQuantizer:
    """One quantizer of a network in training.

    Values are float32 arrays of any shape with channels last.

    Parameters
    ----------
    name : str
        For messages and parameter names.
    fmt : IntFormat
        Format of the codes, at most 16 bits.
    rule : StepRule
        How the step size is learned.
    n_channels : int
        Length of the values' last axis.

    Raises
    ------
    SpecError
        A format that the rule can't train.

    Examples
    --------
    Codes 0 .. 3 of step size 1: 0.6 rounds to 1, 5 is clipped to 3.

    >>> quantizer = LearnedQuantizer("q", IntFormat(2, signed=False), StepRule(), 2)
    >>> quantizer.set_step_size(1.0)
    >>> quantizer.forward(np.array([[0.6, 5.0]], np.float32))
    array([[1., 3.]], dtype=float32)
    >>> quantizer.backward(np.array([[1.0, 1.0]], np.float32))
    array([[1., 0.]], dtype=float32)

    The step size's gradient is (1 - 0.6) + 3, times g = 1 / sqrt(2 * 3) (equations 28 and 30).

    >>> round(float(quantizer.step.grad[0] * 6**0.5), 6)
    3.4
    """

    def __init__(self, name: str, fmt: IntFormat, rule: StepRule, n_channels: int) -> None:
        try:
            check_learnable(fmt, rule)
        except SpecError as error:
            raise SpecError(f"{name}: {error}") from None
        self.name = name
        self.format = fmt
        self.rule = rule
        self.n_channels = n_channels
        n_steps = n_channels if rule.granularity is Granularity.PER_CHANNEL else 1
        self.step = Parameter(f"{name}.step", Kind.STEP, np.full(n_steps, np.nan, np.float32))
        self.offset = Parameter(f"{name}.offset", Kind.OFFSET, np.zeros(n_steps, np.float32))
        self._low, self._high = np.float32(fmt.min), np.float32(fmt.max)
        self._values = np.empty((0, n_channels), np.float32)
        self._n_samples = 1

    @property
    def parameters(self) -> list[Parameter]:
        """What training moves: the step, and the offset of LSQ+."""
        return [self.step, self.offset] if self.rule.method is Method.LSQ_PLUS else [self.step]

    @property
    def is_started(self) -> bool:
        """Whether the step size has a value yet."""
        return not np.isnan(self.step.value).any()

    @property
    def step_size(self) -> np.ndarray:
        """s, float32 (1,) or (channels,); what the accelerator is given."""
        raw = self.step.value.astype(np.float64)
        match self.rule.method:
            case Method.PACT:
                step = raw / self.format.max
            case Method.TQT:
                step = np.exp2(np.ceil(raw)) / (self.format.max + 1)
            case _:
                step = np.exp(raw) if self._is_logarithm else raw
        return step.astype(np.float32)

    def set_step_size(self, step_size: object) -> None:
        """Start from ``step_size``: one, or one a channel; for TQT the next power of two above.

        Raises
        ------
        DataError
            A step size that is not finite and positive.
        """
        steps = np.broadcast_to(np.asarray(step_size, np.float64), self.step.value.shape)
        if not (np.isfinite(steps) & (steps >= _LEAST_STEP)).all():
            raise DataError(
                f"{self.name}: step sizes are finite and at least {_LEAST_STEP:.3g}, got {steps}"
            )
        match self.rule.method:
            case Method.PACT:
                raw = steps * self.format.max
            case Method.TQT:
                raw = np.log2(steps * (self.format.max + 1))
            case _:
                raw = np.log(steps) if self._is_logarithm else steps
        self.step.value[:] = raw

    def start(self, values: np.ndarray) -> None:
        """Find where the step size starts, from weights or from the first batch (equation 31).

        Values of a sign that the format has not are taken as 0: an unsigned quantizer is its
        own ReLU. The offset of LSQ+ starts at the least value, for activations of both signs.

        Raises
        ------
        DataError
            Values that are not finite.
        """
        columns = values.reshape(-1, self.n_channels)
        if not np.isfinite(columns).all():
            raise DataError(
                f"{self.name}: a step size starts from finite values, got NaN or infinity"
            )
        if self.rule.granularity is Granularity.PER_TENSOR:
            columns = columns.reshape(-1, 1)
        if self.rule.method is Method.LSQ_PLUS and not self.format.signed:
            self.offset.value[:] = np.minimum(columns.min(axis=0), 0.0)
        shifted = columns - self.offset.value
        kept = shifted if self.format.signed else np.maximum(shifted, 0)
        self.set_step_size([self._start_of(column) for column in kept.T])

    def _start_of(self, column: np.ndarray) -> float:
        match self.rule.start:
            case StepStart.PAPER:
                step = initial_step_size(column, self.format)
            case StepStart.LEAST_SQUARES:
                # An odd stride meets all channels of a power of two.
                spread = column[:: math.ceil(column.size / _START_SAMPLES) | 1]
                step = error_minimizing_step_size(spread, self.format)
            case StepStart.LARGEST:
                step = float(np.abs(column).max(initial=0.0)) / self.format.max or 1.0
            case StepStart.THREE_SIGMA:
                reach = abs(float(column.mean())) + 3 * float(column.std())
                step = reach / (1 << (self.format.bits - 1)) or 1.0
        return max(step, _LEAST_STEP)

    def forward(self, values: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """``values`` rounded to multiples of the step size within the range (equations 26, 27).

        They are kept, not copied, for :meth:`backward`; ``out``, contiguous, receives the result.
        """
        self._values = values.reshape(-1, self.n_channels)
        self._n_samples = values.shape[0]
        out = np.empty(values.shape, np.float32) if out is None else out
        columns = out.reshape(-1, self.n_channels)
        learned_step.fake_quantize(self._values, *self._arguments(), columns)
        return out

    def codes(self, values: np.ndarray) -> np.ndarray:
        """The codes behind :meth:`forward`, int32; DataError for NaN, which has none."""
        columns = np.ascontiguousarray(values, np.float32).reshape(-1, self.n_channels)
        if n := int(np.isnan(columns).sum()):
            raise DataError(f"{self.name}: {n} of {columns.size} values are NaN, which has no code")
        return learned_step.learned_codes(columns, *self._arguments()).reshape(values.shape)

    def quantized_zero(self) -> float:
        """What a real 0 becomes; not 0 where the offset of LSQ+ leaves it between two codes."""
        zero = np.zeros((1, self.n_channels), np.float32)
        out = np.empty_like(zero)
        learned_step.fake_quantize(zero, *self._arguments(), out)
        return float(out[0, 0])

    def backward(
        self, grad: np.ndarray, out: np.ndarray | None = None, *, are_weights: bool = False
    ) -> np.ndarray:
        """Gradient by the values of the last forward pass; adds to the step size's (28, 29, 30).

        Parameters
        ----------
        grad : float32 array
            Gradient by what :meth:`forward` returned.
        out : float32 array, optional
            Contiguous, receives the result; may be ``grad``, except for LSQ+.
        are_weights : bool
            The values were weights: N is their number, whatever ``feature_count`` says.
        """
        columns = grad.reshape(-1, self.n_channels)
        method = self.rule.method
        low = np.float32(0) if method is Method.PACT else self._low
        high = np.float32(1) if method is Method.PACT else self._high
        inside = np.float32(0) if method is Method.PACT else np.float32(1)
        result = np.empty(grad.shape, np.float32) if out is None else out
        through = result.reshape(-1, self.n_channels)
        sums = self._sums(columns, (inside, low, high), through)
        if self.rule.learning is Learning.LEARNED:
            scale = self.rule.step_grad_scale(self.format, self._n_features(are_weights))
            self.step.grad += (sums * self._chain() * scale).astype(np.float32)
            if method is Method.LSQ_PLUS:
                one = np.float32(1)
                outside = self._sums(columns, (np.float32(0), one, one), np.empty_like(through))
                self.offset.grad += (outside * scale).astype(np.float32)
        return result

    def clipped(self) -> float:
        """Share of the values of the last forward pass that lie outside the range."""
        step, offset = self._per_channel(self.step_size), self._per_channel(self.offset.value)
        u = (self._values - offset) / step
        return float(((u <= self._low) | (u >= self._high)).mean()) if u.size else 0.0

    def _sums(
        self,
        columns: np.ndarray,
        weights: tuple[np.float32, np.float32, np.float32],
        out: np.ndarray,
    ) -> np.ndarray:
        """Sums of the kernel: float64, one for each step size."""
        sums = np.zeros(self.n_channels)
        learned_step.quantizer_gradient(
            self._values, columns, *self._arguments(), _MASKS[self.rule.edge_mask], *weights,
            out, sums,
        )  # fmt: skip
        return sums if self.rule.granularity is Granularity.PER_CHANNEL else sums.sum(keepdims=True)

    def _chain(self) -> np.ndarray | float:
        """Derivative of the step size by what is learned in its place."""
        match self.rule.method:
            case Method.TQT:
                return self.step_size.astype(np.float64) * math.log(2)
            case Method.PACT:  # the sums are by the clip value already
                return 1.0
            case _:
                return self.step_size.astype(np.float64) if self._is_logarithm else 1.0

    def _n_features(self, are_weights: bool) -> int:  # noqa: FBT001 - handed down
        n = self._values.size
        if not are_weights and self.rule.feature_count is FeatureCount.SAMPLE:
            n //= max(self._n_samples, 1)
        if self.rule.granularity is Granularity.PER_CHANNEL:
            n //= self.n_channels
        return max(n, 1)

    def _arguments(self) -> tuple[np.ndarray, np.ndarray, np.float32, np.float32]:
        return (
            self._per_channel(self.step_size),
            self._per_channel(self.offset.value),
            self._low,
            self._high,
        )

    def _per_channel(self, parameter: np.ndarray) -> np.ndarray:
        if parameter.size == self.n_channels:
            return parameter
        return np.full(self.n_channels, parameter[0], np.float32)

    @property
    def _is_logarithm(self) -> bool:
        return self.rule.positivity is Positivity.LOGARITHM
