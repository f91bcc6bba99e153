"""What a quantizer unit is: format, rounding, and how it divides by the step size."""

from dataclasses import dataclass

from lsqsim.errors import SpecError
from lsqsim.formats import AnyRounding, IntFormat, Rounding, SpecEnum
from lsqsim.specs.toml import Spec


class StepArithmetic(SpecEnum):
    """How v / s is formed before it is rounded; the choices differ in a few codes per million."""

    DIVIDE_FLOAT64 = "divide_float64"
    """fl64(v / s)."""
    DIVIDE_FLOAT32 = "divide_float32"
    """fl32(v / s), v and s first rounded to float32."""
    RECIPROCAL_FLOAT32 = "reciprocal_float32"
    """fl32(v * fl32(1 / s)), v and s first rounded to float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizerSpec(Spec):
    """A quantizer unit: clip, round, add the zero point (equations 1 and 2).

    Attributes
    ----------
    format
        Format of the codes; its ends are the clip limits -Q_N and Q_P.
    rounding
        Rule that rounds v / s to an integer.
    arithmetic
        How v / s is formed.
    channel_axis
        Axis of the values that has its own step size and zero point each;
        None for one step size for the whole tensor.
    """

    format: IntFormat
    rounding: AnyRounding = Rounding.TIES_EVEN
    arithmetic: StepArithmetic = StepArithmetic.DIVIDE_FLOAT64
    channel_axis: int | None = None

    def validate(self) -> None:
        if self.channel_axis is not None and self.channel_axis < 0:
            raise SpecError(f"channel_axis must be 0 or more, got {self.channel_axis}")
