"""Training to a budget: weights held so that no register of an accumulator can overflow.

Weights are in codes: real weight divided by its step size, not yet rounded. Their zero point is
0, as LSQ has it.
"""

from dataclasses import dataclass

import numpy as np

from lsqsim.accumulator_aware.projection import nearest, sums
from lsqsim.accumulator_aware.weight_limits import Constraint, Facet, stage_facets
from lsqsim.budget.operands import range_operands
from lsqsim.budget.ranges import exact_ranges
from lsqsim.channels import as_array, channel_parameter
from lsqsim.errors import DataError, SpecError
from lsqsim.formats import MAX_BITS, IntFormat
from lsqsim.specs import AccumulatorSpec, entry_order, tile_sizes
from lsqsim.specs.toml import Spec

_WIDEST = IntFormat(MAX_BITS)
# Halvings of a factor 0 .. 1 on the weights: beyond, codes of 63 bits no longer change.
_HALVINGS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightBudget(Spec):
    """What the registers of an accumulator leave to the weights of a layer.

    Attributes
    ----------
    accumulator
        The array. Every stage is held to its own width: a tile's and the outer one, as in AXE,
        to any depth; the order of entry says which weights share a register.
    weight_format
        Format of the weight codes.
    input_low, input_high
        Ends of the input codes, both included.
    input_zero_point
        Code of real 0 among the inputs.
    constraint
        How weights are held; :class:`Constraint`.

    Examples
    --------
    Inputs 0 .. 15 and a 7-bit register -64 .. 63: positive weights may sum to 63 / 15 = 4.2,
    negative ones to 64 / 15. A2Q lets their magnitudes sum to 4.2 together.

    >>> from lsqsim.specs import StageSpec
    >>> fields = {"accumulator": AccumulatorSpec(stages=(StageSpec(bits=7),)),
    ...           "weight_format": IntFormat(4), "input_low": 0, "input_high": 15}
    >>> weights = np.array([[3.5, 2.5, -2.0, -1.4]])
    >>> WeightBudget(**fields, constraint=Constraint.SIGNED).project(weights)
    array([[ 2.6,  1.6, -2. , -1.4]])
    >>> WeightBudget(**fields, constraint=Constraint.A2Q).project(weights)
    array([[ 2.2,  1.2, -0.7, -0.1]])
    >>> WeightBudget(**fields, constraint=Constraint.SIGNED).codes(weights)
    array([[ 2,  1, -2, -1]])
    """

    accumulator: AccumulatorSpec
    weight_format: IntFormat
    input_low: int
    input_high: int
    input_zero_point: int = 0
    constraint: Constraint = Constraint.SIGNED

    def validate(self) -> None:
        for name in ("input_low", "input_high", "input_zero_point"):
            value = getattr(self, name)
            if not _WIDEST.holds(value):
                raise SpecError(f"{name} must be a code of {_WIDEST.describe()}, got {value}")
        if self.input_low > self.input_high:
            raise SpecError(
                f"input_low must not exceed input_high, got {self.input_low}..{self.input_high}"
            )

    def project(self, weights: np.ndarray, bias_codes: object = None) -> np.ndarray:
        """The nearest weights that keep every register safe.

        Nearest in the Euclidean norm, over all stages at once, for A2Q; for A2Q_PLUS in a
        single stage (with several, the sign with the larger sum is then shrunk to the other's,
        to keep the mean at 0); for SIGNED where all operands have one sign, as activations after
        a ReLU. For operands of both signs SIGNED divides each register's budget between
        positive and negative weights first (``corners`` of the projection module), and is
        nearest given that: never farther from ``weights`` than A2Q. A2Q and SIGNED flip no sign,
        and leave weights as they are where those are safe already.

        Parameters
        ----------
        weights
            Real (n, k), in codes, natural order, finite.
        bias_codes
            Integer (n,), or one for all, in units of s_x * s_w; None for no bias.

        Returns
        -------
        float64 (n, k), in codes; the weight format does not limit it.

        Raises
        ------
        DataError
            Weights or bias codes that are not what they must be, or a bias that the last
            register does not hold.
        SpecError
            A stated order for another K.
        """
        entered, order, bias = self._entered(weights, bias_codes)
        sizes, facets = self._sizes(entered.shape[1]), self._facets(bias)
        projected = np.empty_like(entered)
        projected[:, order] = nearest(self.constraint, self._centered(entered), sizes, facets)
        return projected

    def codes(self, weights: np.ndarray, bias_codes: object = None) -> np.ndarray:
        """Weight codes for which no addition of any stage overflows, whatever the inputs.

        Weights are clipped to the weight format, projected, and rounded toward zero. Then the exact
        range of every sum is computed: what it does not certify (float64 does not hold limits
        of more than 53 bits exactly) is scaled down, channel by channel, until it does.

        Parameters and errors are those of :meth:`project`.

        Returns
        -------
        int64 (n, k), codes of the weight format, natural order.

        Raises
        ------
        WidthError
            When a sum could need more than the simulator's 63 bits.
        """
        projected = self.project(self._clip(_require_weights(weights)), bias_codes)
        bias = self._bias(bias_codes, projected.shape[0])
        codes = self._round(projected)
        for channel in np.flatnonzero(~self._is_certified(codes, bias)):
            row, alone = projected[channel : channel + 1], bias[channel : channel + 1]
            codes[channel] = self._scaled_down(row, alone)
        return codes

    def penalty(self, weights: np.ndarray, bias_codes: object = None) -> tuple[float, np.ndarray]:
        """How far sums exceed their limits, in codes, and its gradient by the weights.

        The sum of max(0, norm - budget) over all registers, the regularizer of A2Q (ICCV 2023,
        for one register a channel); for SIGNED over both inequalities of a register
        (:class:`Facet`), for A2Q_PLUS over both signs, after the mean is taken off. 0 where
        nothing is to be done; gradients 0 at a kink.

        Parameters and errors are those of :meth:`project`.

        Returns
        -------
        The penalty, 0 or more, and float64 (n, k).
        """
        entered, order, bias = self._entered(weights, bias_codes)
        value, gradient = 0.0, np.zeros_like(entered)
        entered = self._centered(entered)
        k = entered.shape[1]
        for size, facets in zip(self._sizes(k), self._facets(bias), strict=True):
            for facet in facets:
                slope = np.where(entered > 0, facet.positive, -facet.negative) * (entered != 0)
                excess = (sums(slope * entered, size) - facet.limit).clip(min=0.0)
                value += float(excess.sum())
                gradient += slope * np.repeat(excess > 0, size, axis=1)[:, :k]
        natural = np.empty_like(gradient)
        natural[:, order] = self._centered(gradient)
        return value, natural

    def _facets(self, bias: np.ndarray) -> list[list[Facet]]:
        return stage_facets(
            self.accumulator,
            self.constraint,
            (self.input_low, self.input_high),
            self.input_zero_point,
            bias,
        )

    def _sizes(self, k: int) -> list[int]:
        return tile_sizes(self.accumulator.stages, k)

    def _centered(self, entered: np.ndarray) -> np.ndarray:
        """Less the mean of every channel, where the constraint takes it off."""
        if self.constraint is not Constraint.A2Q_PLUS or not entered.shape[1]:
            return entered
        return entered - entered.mean(axis=1, keepdims=True)

    def _entered(
        self, weights: np.ndarray, bias_codes: object
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights in the order in which products enter, that order, and the bias."""
        values = _require_weights(weights)
        order = np.array(entry_order(self.accumulator.order, values.shape[1]), np.int64)
        return values[:, order], order, self._bias(bias_codes, values.shape[0])

    def _bias(self, bias_codes: object, n: int) -> np.ndarray:
        given = 0 if bias_codes is None else bias_codes
        bias = channel_parameter("bias_codes", given, n, np.int64)
        last = self.accumulator.format
        for channel in np.flatnonzero((bias < last.min) | (bias > last.max))[:1]:
            raise DataError(
                f"no weights are safe for channel {channel}: its bias code {bias[channel]} alone "
                f"does not fit the last register, {last.describe()}: widen it, or limit the bias"
            )
        return bias

    def _clip(self, weights: np.ndarray) -> np.ndarray:
        return np.clip(weights, self.weight_format.min, self.weight_format.max)

    def _round(self, weights: np.ndarray) -> np.ndarray:
        """Codes no larger in magnitude; clipped as integers, for 2**62 is no code of 63 bits."""
        return self._clip(np.trunc(self._clip(weights)).astype(np.int64))

    def _is_certified(self, codes: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """Whether no sum of a channel leaves its register, whatever the inputs: bool (n,)."""
        operands = range_operands(
            self.accumulator,
            codes,
            bias=bias,
            input_low=self.input_low,
            input_high=self.input_high,
            input_zero_point=self.input_zero_point,
        )
        fits, _ = exact_ranges(operands).fit(self.accumulator.stages)
        return np.asarray(fits.all(axis=1))

    def _scaled_down(self, row: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """Codes (1, k) of the largest part of ``row`` that is certified; none of it always is."""
        low, high = 0.0, 1.0
        for _ in range(_HALVINGS):
            middle = low + (high - low) / 2
            if self._is_certified(self._round(row * middle), bias)[0]:
                low = middle
            else:
                high = middle
        return self._round(row * low)


def _require_weights(weights: object) -> np.ndarray:
    array = as_array("weights", weights)
    if array.dtype.kind not in "iuf" or array.ndim != 2:
        raise DataError(
            f"weights must be real numbers, (channels, K), got {array.dtype} of shape {array.shape}"
        )
    values = array.astype(np.float64)
    if not np.isfinite(values).all():
        bad = np.argwhere(~np.isfinite(values))
        at = tuple(bad[0].tolist())
        raise DataError(f"weights must be finite, got {values[at]} at {at} ({len(bad)} in all)")
    return values
