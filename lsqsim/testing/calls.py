"""Strategies for calls of a user's implementation: its arguments, and the registers of ours."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from hypothesis import strategies as st

from lsqsim.datapath import CompiledLayer
from lsqsim.folding import Parameters
from lsqsim.formats import IntFormat
from lsqsim.layer import Layer
from lsqsim.matmul_array import MatmulArray
from lsqsim.quantizer import Quantizer
from lsqsim.rescaler import Rescaler
from lsqsim.specs import (
    AccumulatorSpec,
    Conv2dSpec,
    DatapathSpec,
    Granularity,
    LayerSpec,
    Layout,
    QuantizerSpec,
    RescalerSpec,
    tile_sizes,
)
from lsqsim.testing.accumulator_operands import accumulators
from lsqsim.testing.array_operands import ANY_SIZES, ArraySizes, matmul_operands
from lsqsim.testing.choices import Choice, Range, chosen, integers_in
from lsqsim.testing.layer_strategies import layer_inputs, layers
from lsqsim.testing.operands import FLOATS, Shape, real_values, step_sizes, zero_points
from lsqsim.testing.parameter_strategies import rescalers
from lsqsim.trace import Trace

_MOST = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Call:
    """One call.

    Attributes
    ----------
    arguments
        What the implementation is called with, by keyword.
    expected
        Our registers.
    main
        The register that a plain array stands for.
    """

    arguments: dict[str, Any]
    expected: Trace
    main: str


@st.composite
def quantizer_calls(  # noqa: PLR0913 - a keyword for each argument
    draw: st.DrawFn,
    spec: QuantizerSpec,
    *,
    size: Range = (1, 12),
    n_channels: Range = (1, 3),
    step_size: Choice[float] = None,
    zero_point: Choice[int] = None,
    dtypes: Sequence[type] = FLOATS,
    specials: bool = True,
) -> Call:
    """Calls of a quantizer; ``size`` bounds the number of values (a channel).

    ``dtypes`` and ``specials`` are those of :func:`real_values`.
    """
    axis = spec.channel_axis
    shape: Shape = (draw(integers_in("size", size, 0, _MOST)),)
    channels = 1
    if axis is not None:
        channels = draw(integers_in("n_channels", n_channels, 1, _MOST))
        outer = draw(st.tuples(*[st.integers(1, 2)] * axis))
        shape = (*outer, channels, *draw(st.sampled_from([shape, ()])))
    step = chosen(step_size, step_sizes(spec))
    zero = chosen(zero_point, zero_points(spec.format))
    steps = np.array(draw(st.lists(step, min_size=channels, max_size=channels)), np.float64)
    zeros = np.array(draw(st.lists(zero, min_size=channels, max_size=channels)), np.int64)
    reals = real_values(
        spec, shape, step_size=steps, zero_point=zeros, dtypes=dtypes, specials=specials
    )
    values = draw(reals)
    unit = Quantizer(spec, step_size=steps, zero_point=zeros)
    codes = unit.quantize(values).codes
    if axis is None:
        steps, zeros = float(steps[0]), int(zeros[0])
    return Call(
        arguments={"values": values, "step_size": steps, "zero_point": zeros},
        expected=Trace({"output": codes}, {}),
        main="output",
    )


def array_calls(  # noqa: PLR0913 - a keyword for each operand
    spec: AccumulatorSpec,
    *,
    input_format: IntFormat,
    weight_format: IntFormat,
    sizes: ArraySizes = ANY_SIZES,
    bias: Choice[int] = None,
    input_zero_point: Choice[int] = None,
    weight_zero_point: Choice[int] = None,
) -> st.SearchStrategy[Call]:
    """Calls of a multiply array; keywords as in :func:`matmul_operands`."""
    unit = MatmulArray(spec, input_format=input_format, weight_format=weight_format)
    operands = matmul_operands(
        spec,
        input_format=input_format,
        weight_format=weight_format,
        sizes=sizes,
        bias=bias,
        input_zero_point=input_zero_point,
        weight_zero_point=weight_zero_point,
    )
    return operands.map(lambda arguments: _array_call(unit, arguments))


def _array_call(unit: MatmulArray, arguments: dict[str, Any]) -> Call:
    result = unit.accumulate(**arguments, trace=True)
    stages = unit.spec.stages
    assert result.stages is not None
    names = [f"stage_{level}" for level in range(len(stages))]
    registers = dict(zip(names, result.stages, strict=True)) | {"accumulator": result.registers}
    sizes = tile_sizes(stages, arguments["x"].shape[1])
    return Call(
        arguments=arguments,
        expected=Trace(registers, dict(zip(names, sizes, strict=True))),
        main="accumulator",
    )


@st.composite
def rescaler_calls(  # noqa: PLR0913 - a keyword for each operand
    draw: st.DrawFn,
    spec: RescalerSpec,
    *,
    acc_format: IntFormat,
    size: Range = (1, 4),
    n_channels: Range = (1, 3),
    parameters: Choice[Parameters] = None,
    zero_point: Choice[int] = None,
    clamp: Choice[tuple[int, int]] = None,
) -> Call:
    """Calls of a rescaler; ``size`` bounds the number of accumulators (a channel)."""
    unit = draw(
        rescalers(
            spec,
            acc_format=acc_format,
            n_channels=n_channels,
            parameters=parameters,
            zero_point=zero_point,
            clamp=clamp,
        )
    )
    per_channel = spec.granularity is Granularity.PER_CHANNEL
    rows = draw(integers_in("size", size, 0, _MOST))
    shape = (rows, unit.n_channels) if per_channel else (rows,)
    acc = draw(accumulators(acc_format, shape, rescaler=unit))
    output, product = unit.rescale_traced(acc, channel_axis=-1 if per_channel else None)
    return Call(
        arguments={"acc": acc} | _rescaler_arguments(unit),
        expected=Trace({"product": product, "output": output}, {}),
        main="output",
    )


def _rescaler_arguments(unit: Rescaler) -> dict[str, Any]:
    """Parameters it holds, zero point and clip; numbers for a per-tensor unit, else arrays."""
    names = [field.name for field in fields(unit.parameters) if field.name != "factor"]
    found = {name: getattr(unit.parameters, name) for name in names}
    if unit.spec.takes_bias and found["addend"] is None:
        found["addend"] = np.zeros(unit.n_channels, np.int64)
    held = {name: values for name, values in found.items() if values is not None}
    if unit.spec.granularity is Granularity.PER_TENSOR:
        held = {name: _plain(values[0]) for name, values in held.items()}
    low, high = unit.clamp
    return {**held, "zero_point": unit.zero_point, "low": low, "high": high}


def _plain(value: Any) -> Any:
    """An int for an int64; a float keeps its width, and a row of thresholds is an array."""
    return int(value) if isinstance(value, np.integer) else value


@st.composite
def datapath_calls(
    draw: st.DrawFn,
    spec: DatapathSpec,
    *,
    layer: Layer | Choice[LayerSpec] = None,
    n_outputs: Range = (1, 3),
    batch: Range = (1, 2),
) -> Call:
    """Calls of a whole datapath, for one layer or for drawn ones."""
    if not isinstance(layer, Layer):
        layer = draw(layers(layer, datapath=spec, n_outputs=n_outputs))
    compiled = CompiledLayer(layer, spec)
    values = draw(layer_inputs(layer, spec, batch=batch))
    result = compiled.run(values, trace=True)
    assert result.trace is not None
    n = layer.n_outputs
    rescaler = _rescaler_arguments(compiled.rescaler)
    arguments = {
        "values": values,
        "input_step": float(layer.input_step),
        "input_zero_point": int(layer.input_zero_point),
        "x": result.input.codes,
        "w": compiled.weight.codes,
        "weight_zero_point": np.broadcast_to(np.int64(layer.weight_zero_point), (n,)).copy(),
        "bias": np.zeros(n, np.int64) if compiled.bias is None else compiled.bias.codes,
        **rescaler,
    }
    if isinstance(layer.spec, Conv2dSpec):
        conv = layer.spec
        arguments |= {
            "stride": conv.stride,
            "padding": conv.padding,
            "dilation": conv.dilation,
            "groups": conv.groups,
            "channels_last": conv.layout is Layout.NHWC,
        }
    return Call(arguments=arguments, expected=result.trace, main="output")
