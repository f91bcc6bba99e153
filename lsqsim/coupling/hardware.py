"""The accelerator that a trained network is folded for."""

from dataclasses import dataclass

from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat, Rounding
from lsqsim.network.nodes import MAX_GUARD_BITS, SUM_ACCUMULATOR, AddSpec
from lsqsim.specs import AccumulatorSpec, FixedPoint, Granularity, QuantizerSpec, RescalerSpec
from lsqsim.specs.datapath import BIAS
from lsqsim.specs.toml import Spec

LOGITS = IntFormat(16)
RESCALER = RescalerSpec(
    output=LOGITS,
    scaling=FixedPoint(
        multiplier=IntFormat(24, signed=False),
        addend=IntFormat(56),
        rounding=Rounding.TIES_EVEN,
    ),
    granularity=Granularity.PER_CHANNEL,
)
"""A 24-bit multiplier before a 56-bit adder, which takes the bias: units s_x * s_w of narrow codes
are too coarse for it. Ties go to even, as in training."""
FINE_ADDER = AddSpec(factor=IntFormat(22), rounding=Rounding.TIES_EVEN)
"""The finest factors with which a sum of two bytes fits 32 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareSpec(Spec):
    """Every unit but the quantizers, which the network brings.

    Attributes
    ----------
    accumulator
        The multiply array's registers, of all layers.
    rescaler
        The rescaling multiplier; its output format and granularity are taken
        from the network.
    add
        The adder of residuals.
    pool
        Accumulator of averages.
    bias
        Quantizer of the biases, whose step size is s_x * s_w, where the accumulator takes them
        and not the rescaler.
    logits
        Format of the output where the network has no quantizer behind it.
    guard_bits
        Bits by which requantizations and averages hold codes finer while a
        bias is added, which a learned offset (LSQ+) brings; not needed where
        the rescaler adds the bias.
    """

    accumulator: AccumulatorSpec
    rescaler: RescalerSpec = RESCALER
    add: AddSpec = FINE_ADDER
    pool: AccumulatorSpec = SUM_ACCUMULATOR
    bias: QuantizerSpec = BIAS
    logits: IntFormat = LOGITS
    guard_bits: int = 8

    def validate(self) -> None:
        if not 0 <= self.guard_bits <= MAX_GUARD_BITS:
            raise SpecError(f"guard_bits must be in 0..{MAX_GUARD_BITS}, got {self.guard_bits}")
        if self.bias.channel_axis is not None:
            raise SpecError("the bias takes its step sizes from input and weights: no channel_axis")
