"""What decides the range of every register: weights, addends, and the ends of the inputs."""

from dataclasses import dataclass, replace

import numpy as np

from lsqsim.channels import channel_parameter, require_codes
from lsqsim.errors import DataError, WidthError
from lsqsim.formats import MAX_BITS, IntFormat
from lsqsim.specs import (
    AccumulatorSpec,
    BiasPlacement,
    FanIn,
    StageSpec,
    ZeroPointHandling,
    entry_order,
)

_WIDEST = IntFormat(MAX_BITS)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RangeOperands:
    """The operands of an array, the inputs known by their ends only.

    Rows of K entries are in the order in which products enter. All int64.

    Attributes
    ----------
    spec
        The array.
    weights
        (n, k): what the multiplier gets; less the zero points where they are centered.
    low, high
        (groups, k): ends of the inputs that the weights of a group of channels
        meet, the zero point taken off where it is centered.
    constant, coupling
        (n,): the addend of channel c is constant[c] + coupling[c] * sum of its inputs.
    order
        (k,): natural K index of each entry.
    zero_point
        Taken off the ends; 0 where zero points are folded.
    """

    spec: AccumulatorSpec
    weights: np.ndarray
    low: np.ndarray
    high: np.ndarray
    constant: np.ndarray
    coupling: np.ndarray
    order: np.ndarray
    zero_point: int

    @property
    def k(self) -> int:
        """Products of one output."""
        return self.weights.shape[1]

    @property
    def n_channels(self) -> int:
        """Output channels."""
        return self.weights.shape[0]

    @property
    def is_preloaded(self) -> bool:
        """Whether the last register starts from the addend."""
        return self.spec.bias is BiasPlacement.PRELOAD

    @property
    def groups(self) -> np.ndarray:
        """Row of ``low`` and ``high`` that belongs to each channel, int64 (n,)."""
        return np.arange(self.n_channels) // max(self.n_channels // self.low.shape[0], 1)

    def codes(self, operands: np.ndarray) -> list[int]:
        """Input codes in natural order, of operands (k,) in the order of entry."""
        codes = np.empty(self.k, np.int64)
        codes[self.order] = operands + self.zero_point
        return codes.tolist()

    def with_stages(self, stages: tuple[StageSpec, ...]) -> "RangeOperands":
        """The same operands in other registers."""
        return replace(self, spec=replace(self.spec, stages=stages))

    def subset(self, channels: np.ndarray) -> "RangeOperands":
        """The operands of some channels, ascending, each with a group of its own."""
        if channels.size == self.n_channels:
            return self
        groups = self.groups[channels]
        return replace(
            self,
            weights=self.weights[channels],
            low=self.low[groups],
            high=self.high[groups],
            constant=self.constant[channels],
            coupling=self.coupling[channels],
        )

    def tiles(self, level: int, size: int, n_tiles: int) -> "RangeOperands":
        """Every tile of ``size`` products of stage ``level`` as a channel of its own.

        The last tile is filled up with weights of 0, whose products change no sum.
        """
        padding = ((0, 0), (0, n_tiles * size - self.k))
        weights, low, high = (
            np.pad(rows, padding).reshape(-1, size)
            for rows in (self.weights, self.low[self.groups], self.high[self.groups])
        )
        last = replace(self.spec.stages[level], fan_in=FanIn.ALL)
        stages = (*self.spec.stages[:level], last)
        none = np.zeros(len(weights), np.int64)
        return RangeOperands(
            spec=AccumulatorSpec(stages=stages),
            weights=weights,
            low=low,
            high=high,
            constant=none,
            coupling=none,
            order=np.arange(size),
            zero_point=self.zero_point,
        )


def range_operands(  # noqa: PLR0913 - each is a port of the array
    spec: AccumulatorSpec,
    weights: np.ndarray,
    *,
    bias: np.ndarray | None = None,
    input_low: object,
    input_high: object,
    input_zero_point: int = 0,
    weight_zero_point: object = 0,
) -> RangeOperands:
    """The operands of an array, from plain codes.

    Parameters
    ----------
    spec : AccumulatorSpec
        The array.
    weights : integer array (n, k)
        Weight codes, natural order.
    bias : integer array (n,), optional
        Bias codes.
    input_low, input_high : int, or integer array (k,) or (groups, k)
        Ends of the input codes, natural order.
    input_zero_point : int
        Code of real 0 among the inputs.
    weight_zero_point : int or integer array (n,)
        Code of real 0 among the weights.

    Raises
    ------
    DataError
        Shapes that do not meet, or a low end above its high end.
    SpecError
        A stated order of another length than k.
    WidthError
        When a sum of magnitudes could pass 62 bits.
    """
    weights = _codes("weights", weights)
    if weights.ndim != 2:
        raise DataError(f"weights must be a matrix with K as its second axis, got {weights.shape}")
    n, k = weights.shape
    order = np.array(entry_order(spec.order, k), np.int64)
    low, high = _ends("input_low", input_low, k), _ends("input_high", input_high, k)
    low, high = np.broadcast_arrays(low, high)
    _check_ends(low, high)
    _check_groups(low.shape[0], n)
    z_w = channel_parameter("weight_zero_point", weight_zero_point, n, np.int64)
    constant = _bias(bias, n)
    coupling = np.zeros(n, np.int64)
    zero = int(input_zero_point)
    if spec.zero_points is ZeroPointHandling.CENTER:
        weights, low, high = weights - z_w[:, None], low - zero, high - zero
    else:
        constant += _correction(weights, zero, z_w)
        coupling, zero = -z_w, 0
    is_natural = bool((order == np.arange(k)).all())
    operands = RangeOperands(
        spec=spec,
        weights=weights if is_natural else np.ascontiguousarray(weights[:, order]),
        low=np.ascontiguousarray(low[:, order]),
        high=np.ascontiguousarray(high[:, order]),
        constant=constant,
        coupling=coupling,
        order=order,
        zero_point=zero,
    )
    _check_widths(operands)
    return operands


def _codes(name: str, values: object) -> np.ndarray:
    return require_codes(name, values, _WIDEST.min, _WIDEST.max, str(_WIDEST))


def _ends(name: str, values: object, k: int) -> np.ndarray:
    array = np.atleast_2d(_codes(name, values))
    if array.shape[1] not in (1, k):
        raise DataError(
            f"{name} must be one code, or one for each of {k} products, got {array.shape}"
        )
    return np.broadcast_to(array, (array.shape[0], k))


def _bias(bias: object, n: int) -> np.ndarray:
    if bias is None:
        return np.zeros(n, np.int64)
    codes = _codes("bias", bias)
    if codes.shape != (n,):
        raise DataError(f"bias must have shape ({n},), one an output channel, got {codes.shape}")
    return codes.copy()


def _correction(weights: np.ndarray, zero: int, z_w: np.ndarray) -> np.ndarray:
    """K z_x z_w - z_x sum(w), the part of the zero-point correction that no input moves."""
    k = weights.shape[1]
    largest = float(np.abs(weights.astype(np.float64)).sum(axis=1).max(initial=0))
    rough = abs(zero) * (largest + k * float(np.abs(z_w.astype(np.float64)).max(initial=0)))
    if rough >= 2.0**61:
        rows = zip(weights.tolist(), z_w.tolist(), strict=True)
        terms = [zero * (k * z - sum(row)) for row, z in rows]
        worst = max(terms, key=abs, default=0)
        if abs(worst) >= 1 << 62:
            raise WidthError(
                f"a zero-point correction needs {worst.bit_length() + 1} bits for K = {k}; the "
                f"simulator holds {MAX_BITS}: use narrower formats, or set zero_points to center"
            )
        return np.array(terms, np.int64)
    return zero * (k * z_w - weights.sum(axis=1))


def _check_groups(groups: int, n: int) -> None:
    if groups < 1 or n % groups:
        raise DataError(
            f"groups of inputs must divide the output channels: there are {groups} groups, and "
            f"{n} output channels"
        )


def _check_ends(low: np.ndarray, high: np.ndarray) -> None:
    wrong = np.argwhere(low > high)
    if wrong.size:
        at = tuple(wrong[0])
        raise DataError(
            f"the input range {low[at]}..{high[at]} is empty: its low end must not exceed its high"
        )


def _check_widths(operands: RangeOperands) -> None:
    """Kernels add magnitudes in int64: each sum must stay below 2**62."""
    largest = int(max(np.abs(operands.low).max(initial=0), np.abs(operands.high).max(initial=0)))
    for channel in _suspects(operands, largest):
        factor = abs(int(operands.coupling[channel]))
        row = map(abs, operands.weights[channel].tolist())
        # A coupling is added once by itself and once with every weight.
        total = sum(weight + 2 * factor for weight in row) * largest
        total += abs(int(operands.constant[channel]))
        if total >= 1 << 62:
            raise WidthError(
                f"a sum of channel {channel} could need {total.bit_length() + 1} bits for "
                f"K = {operands.k}; the simulator holds {MAX_BITS}: use narrower formats or a "
                f"shorter K"
            )


def _suspects(operands: RangeOperands, largest: int) -> list[int]:
    """Channels whose sum a float64 estimate can't rule out."""
    factor = np.abs(operands.coupling.astype(np.float64))
    constant = np.abs(operands.constant.astype(np.float64))
    weights = operands.weights
    ends = max(float(weights.max(initial=0)), -float(weights.min(initial=0)))
    if (operands.k * (ends + 2 * factor) * largest + constant < 2.0**61).all():
        return []
    rough = np.abs(weights).sum(axis=1, dtype=np.float64) + 2 * factor * operands.k
    return np.flatnonzero(rough * largest + constant >= 2.0**61).tolist()
