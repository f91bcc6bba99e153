"""What a rescaling multiplier is: a way of scaling, a register or two, and the output format."""

from dataclasses import dataclass

from lsqsim.errors import SpecError
from lsqsim.formats import AnyRounding, IntFormat, Overflow, Rounding, SpecEnum
from lsqsim.specs.accumulator import RegisterSpec
from lsqsim.specs.toml import Spec

MAX_SHIFT = 62
MAX_THRESHOLD_BITS = 16


def check_shift_range(min_shift: int, max_shift: int) -> None:
    """SpecError unless -62 <= min_shift <= max_shift <= 62."""
    if not -MAX_SHIFT <= min_shift <= max_shift <= MAX_SHIFT:
        raise SpecError(
            f"shifts must satisfy -{MAX_SHIFT} <= min_shift <= max_shift <= {MAX_SHIFT}, "
            f"got {min_shift}..{max_shift}"
        )


class ProductArithmetic(SpecEnum):
    """How acc * multiplier is formed."""

    EXACT = "exact"
    """In integers."""
    FLOAT64 = "float64"
    """In float64: rounded to 53 significant bits (HAWQ-V3)."""


class FloatWidth(SpecEnum):
    """A floating-point format that a scale is stored and multiplied in."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"


class Granularity(SpecEnum):
    """How many factors a rescaler holds."""

    PER_TENSOR = "per_tensor"
    PER_CHANNEL = "per_channel"


class ClampPoint(SpecEnum):
    """Where the output clip of a fused activation acts."""

    AFTER_ZERO_POINT = "after_zero_point"
    """Add the zero point, store into the output format, then clip."""
    BEFORE_ZERO_POINT = "before_zero_point"
    """Clip to the limits less the zero point, then add it: nothing can overflow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstShift(Spec):
    """The first of two roundings: the high half of the product, as gemmlowp's SRDHM returns it.

    Attributes
    ----------
    shift
        Right shift, 1 .. 62; 31 for a 32-bit SRDHM.
    rounding
        Rule of this shift.
    register
        Register that holds the result.
    """

    shift: int = 31
    rounding: Rounding = Rounding.TIES_POS
    register: RegisterSpec = RegisterSpec(bits=32, overflow=Overflow.SATURATE)

    def validate(self) -> None:
        if not 1 <= self.shift <= MAX_SHIFT:
            raise SpecError(f"first shift must be in 1..{MAX_SHIFT}, got {self.shift}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedPoint(Spec):
    """Scale by multiplier / 2**shift (equations 7 to 9).

    Attributes
    ----------
    multiplier
        Format of the multiplier.
    min_shift, max_shift
        Legal total right shifts, within -62 .. 62; negative ones shift left.
    rounding
        Rule of the (last) right shift.
    first_shift
        Round twice: first to the high half of the product, then by what is
        left of the shift. None rounds once.
    left_register
        Register that holds the accumulator after a left shift, which comes
        before the multiply. None keeps it exact.
    product
        How the product is formed.
    reduced_from
        Fold the factor into this wider multiplier first, then round that to
        ``multiplier``, saturating: TFLite's 16x8 rule. None folds directly.
    addend
        Format of the bias where it joins the product, in units of
        s_y / 2**right, finer than codes of the accumulator: it is rounded less.
        ``right`` is what the product is shifted by. None leaves the bias to the
        accumulator.
    """

    multiplier: IntFormat = IntFormat(31, signed=False)
    min_shift: int = 0
    max_shift: int = MAX_SHIFT
    rounding: AnyRounding = Rounding.TIES_POS
    first_shift: FirstShift | None = None
    left_register: RegisterSpec | None = None
    product: ProductArithmetic = ProductArithmetic.EXACT
    reduced_from: IntFormat | None = None
    addend: IntFormat | None = None

    def validate(self) -> None:
        check_shift_range(self.min_shift, self.max_shift)
        if self.multiplier.max < 1:
            raise SpecError(f"a multiplier needs a positive code; {self.multiplier} has none")
        if self.reduced_from is not None and self.reduced_from.max <= self.multiplier.max:
            raise SpecError(
                f"reduced_from must be wider than the multiplier {self.multiplier}, "
                f"got {self.reduced_from}"
            )
        if self.product is ProductArithmetic.FLOAT64 and self.first_shift is not None:
            raise SpecError("a float64 product is rounded once: leave first_shift out")
        if self.product is ProductArithmetic.FLOAT64 and self.addend is not None:
            raise SpecError("a bias joins an exact product only: leave addend out")

    def split(self, shift: int) -> "Shifts":
        """How a total right ``shift`` is carried out (equations 7 and 8)."""
        if self.first_shift is None:
            return Shifts(left=max(-shift, 0), first=0, last=max(shift, 0))
        first = self.first_shift.shift
        if self.left_register is not None:
            return Shifts(left=max(first - shift, 0), first=first, last=max(shift - first, 0))
        # Nothing holds the shifted accumulator: shifting right by less is the same number.
        return Shifts(
            left=max(-shift, 0), first=min(max(shift, 0), first), last=max(shift - first, 0)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shifts:
    """Left before the multiply, then right to the first and to the last rounding; all 0 or more."""

    left: int
    first: int
    last: int

    @property
    def right(self) -> int:
        """By how much the product is shifted right in all: the total shift, less what is left."""
        return self.first + self.last


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatScale(Spec):
    """Scale by a float: round(fl(fl(acc) * scale)) (equation 10).

    The scale itself is formed in the same width: fl(fl(s_x * s_w) / s_y).
    """

    width: FloatWidth = FloatWidth.FLOAT32
    rounding: AnyRounding = Rounding.TIES_EVEN


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerOfTwo(Spec):
    """Scale by 2**-shift alone: a shifter, no multiplier (equation 11)."""

    min_shift: int = 0
    max_shift: int = MAX_SHIFT
    rounding: AnyRounding = Rounding.TIES_POS

    def validate(self) -> None:
        check_shift_range(self.min_shift, self.max_shift)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds(Spec):
    """Count the thresholds the accumulator reaches: q = q_min + #{k : acc >= T_k} (equation 12).

    The thresholds are placed where ``rounding`` of the exact product steps.
    """

    rounding: Rounding = Rounding.TIES_POS


Scaling = FixedPoint | FloatScale | PowerOfTwo | Thresholds


@dataclass(frozen=True, slots=True, kw_only=True)
class RescalerSpec(Spec):
    """A rescaling multiplier: from the first precision to the second.

    Attributes
    ----------
    output
        Format of the output codes.
    scaling
        How the accumulator is scaled and rounded.
    overflow
        Rule by which the result, zero point added, enters ``output``.
    granularity
        One factor, or one an output channel.
    input_offset
        Subtracted from the accumulator first (NVDLA's converter).
    intermediate
        Register that holds the rounded result before the zero point is
        added. None keeps it exact.
    clamp_point
        Where the clip of a fused activation acts.
    """

    output: IntFormat
    scaling: Scaling = FixedPoint()
    overflow: Overflow = Overflow.SATURATE
    granularity: Granularity = Granularity.PER_TENSOR
    input_offset: int = 0
    intermediate: RegisterSpec | None = None
    clamp_point: ClampPoint = ClampPoint.AFTER_ZERO_POINT

    def validate(self) -> None:
        if self.overflow is Overflow.WRAP and self.output.narrow:
            raise SpecError(f"a wrapping output has no narrow range, got {self.output}")
        if not -(1 << 62) <= self.input_offset < 1 << 62:
            raise SpecError(f"input_offset must fit 63 bits, got {self.input_offset}")
        if isinstance(self.scaling, Thresholds):
            self._check_thresholds()
        if self.takes_bias and self.granularity is Granularity.PER_TENSOR:
            raise SpecError(
                "a bias that joins the product is the channel's: "
                "set granularity to per_channel, or leave addend out"
            )

    @property
    def takes_bias(self) -> bool:
        """Whether the bias is added here, and not in the accumulator."""
        return isinstance(self.scaling, FixedPoint) and self.scaling.addend is not None

    def _check_thresholds(self) -> None:
        if self.output.bits > MAX_THRESHOLD_BITS:
            raise SpecError(
                f"thresholds need one comparator a code: output must have at most "
                f"{MAX_THRESHOLD_BITS} bits, got {self.output}"
            )
        if self.overflow is Overflow.WRAP or self.intermediate is not None:
            raise SpecError("thresholds count into the output format: they saturate, unregistered")
