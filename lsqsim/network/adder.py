"""The adder of two tensors of codes: two integer factors, one register, one rounding shift."""

from fractions import Fraction

import numpy as np

from lsqsim.errors import SpecError
from lsqsim.folding import FixedPointParameters, PowerOfTwoParameters, round_half_up
from lsqsim.formats import IntFormat, signed_bits
from lsqsim.matmul_array import Accumulation, MatmulArray
from lsqsim.network.encoding import Encoding
from lsqsim.network.nodes import Add, AddSpec
from lsqsim.rescaler import Rescaler
from lsqsim.specs import AccumulatorSpec, Activation, PowerOfTwo, RescalerSpec, StageSpec


class Adder:
    """code = round(((a - z_a) m_a + (b - z_b) m_b + bias) / 2**shift) + z_y, stored and clipped.

    The sum is a product of two terms in the multiply array, which centers the
    codes first; every addition goes through the register.

    Parameters
    ----------
    node : Add
        The node.
    left, right : Encoding
        What its sources put out.

    Raises
    ------
    SpecError
        Step sizes whose ratios the factors can't express.
    WidthError
        A value that could pass 63 bits.

    Examples
    --------
    Steps of 1/2 and 1/4 into one of 1: (3 * 16384 + 7 * 8192) / 2**15 = 3.25.

    >>> from lsqsim.formats import IntFormat
    >>> half, quarter, one = (Encoding(format=IntFormat(8), step_size=s) for s in (0.5, 0.25, 1.0))
    >>> unit = Adder(Add(name="add", source="a", other="b", output=one), half, quarter)
    >>> unit.factors, unit.shift
    ((16384, 8192), 15)
    >>> unit.add(np.array([3]), np.array([7]), observe=False)[0]
    array([3])
    """

    def __init__(self, node: Add, left: Encoding, right: Encoding) -> None:
        self.node = node
        self.encodings = (left, right)
        spec, output = node.adder, node.output
        self.ratios = tuple(
            Fraction(source.step_size) / Fraction(output.step_size) for source in self.encodings
        )
        self.factors, self.shift = fold_factors(spec, self.ratios)
        self.bias = _round_away(self.exact_bias * (1 << self.shift))
        stage = StageSpec(bits=spec.accumulator.bits, overflow=spec.accumulator.overflow)
        self.array = MatmulArray(
            AccumulatorSpec(stages=(stage,)),
            input_format=_holding([end for source in self.encodings for end in source.centered]),
            weight_format=spec.factor,
        )
        scaling = PowerOfTwo(
            min_shift=spec.min_shift, max_shift=spec.max_shift, rounding=spec.rounding
        )
        low = output.format.min
        if node.activation is not Activation.NONE:
            low = output.zero_point
        self.rescaler = Rescaler(
            RescalerSpec(output=output.format, scaling=scaling, overflow=spec.overflow),
            PowerOfTwoParameters(shift=np.array([self.shift])),
            acc_format=spec.accumulator.format,
            zero_point=output.zero_point,
            clamp=(low, output.format.max),
        )

    @property
    def exact_bias(self) -> Fraction:
        """The real bias in units of the output's step size."""
        return Fraction(self.node.bias) / Fraction(self.node.output.step_size)

    @property
    def parameters(self) -> FixedPointParameters:
        """The two factors as what they scale by: m / 2**shift each."""
        return FixedPointParameters(
            multiplier=np.array(self.factors, np.int64), shift=np.array([self.shift] * 2, np.int64)
        )

    def add(
        self, left: np.ndarray, right: np.ndarray, *, observe: bool
    ) -> tuple[np.ndarray, Accumulation]:
        """Output codes, and the registers behind them, (values, 1).

        Parameters
        ----------
        left, right : int64 arrays of one shape
            Codes of the two sources, within their formats.
        observe : bool
            Also report exact totals and overflows.
        """
        pairs = zip((left, right), self.encodings, strict=True)
        terms = [codes.reshape(-1) - source.zero_point for codes, source in pairs]
        held = self.array.accumulate(
            np.stack(terms, axis=1), np.array([self.factors]), np.array([self.bias]),
            observe=observe,
        )  # fmt: skip
        return self.rescaler.rescale(held.registers).reshape(left.shape), held


def fold_factors(spec: AddSpec, ratios: tuple[Fraction, ...]) -> tuple[tuple[int, ...], int]:
    """Integer factors and their common shift: the largest legal one with which all fit.

    Raises
    ------
    SpecError
        A ratio too large for any legal shift, or beside which another's factor is 0.
    """
    shift = spec.max_shift
    while shift >= spec.min_shift and _scaled(max(ratios), shift) > spec.factor.max:
        shift -= 1
    if shift < spec.min_shift:
        raise SpecError(
            f"a source's step size is {float(max(ratios)):.6g} output steps, too large for factors "
            f"of {spec.factor} and shifts {spec.min_shift}..{spec.max_shift}: widen the factors, "
            f"or enlarge the output's step size"
        )
    factors = tuple(_scaled(ratio, shift) for ratio in ratios)
    if min(factors) == 0:
        raise SpecError(
            f"a source's step size is {float(min(ratios)):.6g} output steps: its factor is 0 at "
            f"shift {shift}, the largest for {spec.factor}: widen the factors, or bring the "
            f"sources' step sizes closer together"
        )
    return factors, shift


def _scaled(ratio: Fraction, shift: int) -> int:
    return round_half_up(ratio * (1 << shift))


def _round_away(value: Fraction) -> int:
    """To nearest, ties away from zero."""
    return round_half_up(value) if value >= 0 else -round_half_up(-value)


def _holding(values: list[int]) -> IntFormat:
    """The smallest format that holds ``values``."""
    if min(values) >= 0:
        return IntFormat(max(1, max(values).bit_length()), signed=False)
    return IntFormat(max(map(signed_bits, values)))
