"""The whole datapath: quantizers, accumulator and rescaler of one accelerator."""

from dataclasses import dataclass

from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat, Overflow, Rounding
from lsqsim.specs.accumulator import AccumulatorSpec, StageSpec
from lsqsim.specs.quantizer import QuantizerSpec
from lsqsim.specs.rescaler import FixedPoint, Granularity, RescalerSpec
from lsqsim.specs.toml import Spec

BIAS = QuantizerSpec(format=IntFormat(32), rounding=Rounding.TIES_AWAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatapathSpec(Spec):
    """Every unit a layer passes through.

    Attributes
    ----------
    input
        Quantizer of the layer's inputs: one step size, so that it leaves the sum.
    weight
        Quantizer of the weights: one step size, or one an output channel (axis 0).
    bias
        Quantizer of the bias, whose step size is s_x * s_w.
    accumulator
        The multiply array's registers.
    rescaler
        From accumulators to the output's codes.
    """

    input: QuantizerSpec
    weight: QuantizerSpec
    accumulator: AccumulatorSpec
    rescaler: RescalerSpec
    bias: QuantizerSpec = BIAS

    def validate(self) -> None:
        if self.input.channel_axis is not None:
            raise SpecError(
                "an input step size per channel can't leave the sum over channels: "
                "the input quantizer of a datapath must be per tensor"
            )
        if self.weight.channel_axis not in (None, 0):
            raise SpecError(
                f"weights have one step size, or one an output channel (axis 0), "
                f"got channel_axis {self.weight.channel_axis}"
            )
        per_channel = self.rescaler.granularity is Granularity.PER_CHANNEL
        if self.weight.channel_axis == 0 and not per_channel:
            raise SpecError(
                "per-channel weight step sizes need one factor a channel: "
                "set rescaler.granularity to per_channel"
            )
        if self.bias.channel_axis is not None:
            raise SpecError("the bias takes its step sizes from input and weights: no channel_axis")


def simple_datapath(  # noqa: PLR0913 - the widths a first design is asked for
    *,
    weight_bits: int = 8,
    activation_bits: int = 8,
    acc_bits: int = 32,
    overflow: Overflow = Overflow.WRAP,
    output_bits: int | None = None,
    input_signed: bool = False,
    output_signed: bool = False,
    per_channel: bool = False,
) -> DatapathSpec:
    """The paper's datapath at given widths: one chain, one fixed-point multiplier.

    Weights are signed; activations are unsigned unless said otherwise.

    Parameters
    ----------
    weight_bits, activation_bits, output_bits : int
        Widths of the codes; ``output_bits`` is ``activation_bits`` unless given.
    acc_bits : int
        Width of the one accumulator register, 2 .. 63.
    overflow : Overflow
        Its rule after every addition.
    input_signed, output_signed : bool
        Whether input and output codes have a sign.
    per_channel : bool
        One weight step size, and one factor, an output channel.
    """
    return DatapathSpec(
        input=QuantizerSpec(format=IntFormat(activation_bits, signed=input_signed)),
        weight=QuantizerSpec(
            format=IntFormat(weight_bits), channel_axis=0 if per_channel else None
        ),
        accumulator=AccumulatorSpec(stages=(StageSpec(bits=acc_bits, overflow=overflow),)),
        rescaler=RescalerSpec(
            output=IntFormat(
                activation_bits if output_bits is None else output_bits, signed=output_signed
            ),
            scaling=FixedPoint()
            if acc_bits <= 32
            else FixedPoint(multiplier=IntFormat(15, signed=False)),
            granularity=Granularity.PER_CHANNEL if per_channel else Granularity.PER_TENSOR,
        ),
    )
