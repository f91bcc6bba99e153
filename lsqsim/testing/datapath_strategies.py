"""Strategies for whole datapaths."""

from hypothesis import strategies as st

from lsqsim.specs import (
    AccumulatorSpec,
    DatapathSpec,
    Granularity,
    QuantizerSpec,
    RescalerSpec,
)
from lsqsim.testing.choices import Choice, chosen
from lsqsim.testing.rescaler_strategies import rescaler_specs
from lsqsim.testing.spec_strategies import accumulator_specs, int_formats, quantizer_specs


@st.composite
def datapath_specs(
    draw: st.DrawFn,
    *,
    input: Choice[QuantizerSpec] = None,  # noqa: A002 - the name of the field
    weight: Choice[QuantizerSpec] = None,
    bias: Choice[QuantizerSpec] = None,
    accumulator: Choice[AccumulatorSpec] = None,
    rescaler: Choice[RescalerSpec] = None,
) -> DatapathSpec:
    """Datapaths that some layer can run on; codes of up to 16 bits unless said otherwise.

    A rescaler that is not given fits the accumulator, and a weight quantizer
    that is not given the rescaler.
    """
    reduction = draw(chosen(accumulator, accumulator_specs()))
    unit = draw(chosen(rescaler, rescaler_specs(acc_format=reduction.format)))
    axes = st.none()
    if unit.granularity is Granularity.PER_CHANNEL:
        axes |= st.just(0)
    operands = int_formats(bits=(1, 16))
    of_inputs = quantizer_specs(fmt=operands, channel_axis=st.none())
    of_bias = quantizer_specs(fmt=int_formats(bits=(2, 48)), channel_axis=st.none())
    of_weights = quantizer_specs(fmt=operands, channel_axis=axes)
    return DatapathSpec(
        input=draw(chosen(input, of_inputs)),
        weight=draw(chosen(weight, of_weights)),
        bias=draw(chosen(bias, of_bias)),
        accumulator=reduction,
        rescaler=unit,
    )
