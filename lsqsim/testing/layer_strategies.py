"""Strategies for the layers that a datapath can run, and for their inputs."""

import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
from hypothesis import strategies as st

from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat
from lsqsim.layer import Layer
from lsqsim.specs import (
    Activation,
    Conv2dSpec,
    DatapathSpec,
    Granularity,
    LayerSpec,
    Layout,
    QuantizerSpec,
)
from lsqsim.testing.array_operands import MAX_BIAS_BITS, bias_format, has_room_to_center, longest_k
from lsqsim.testing.choices import Choice, Range, chosen, integers_in
from lsqsim.testing.operands import (
    Shape,
    code_values,
    codes,
    element_array,
    real_values,
    step_sizes,
    zero_points,
)
from lsqsim.testing.parameter_strategies import factors, output_zero_points
from lsqsim.testing.spec_strategies import layer_specs

_LONGEST = 12
"""Most products of a drawn layer's output."""


class _Bias(Enum):
    """How a layer states its bias."""

    NONE = "not at all"
    CODES = "in integers"
    REAL = "in real units"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Steps:
    """Step sizes of one layer."""

    input: float
    weight: float | np.ndarray
    output: float | np.ndarray


def layers(
    spec: Choice[LayerSpec] = None, *, datapath: DatapathSpec, n_outputs: Range = (1, 4)
) -> st.SearchStrategy[Layer]:
    """Layers that ``datapath`` can run: small, with real or integer weights and bias.

    Parameters
    ----------
    spec
        What the layer computes; linear layers and convolutions (grouped and
        depthwise among them) unless given.
    datapath
        The hardware. Its accumulator's explicit order, if any, sets K.
    n_outputs
        Output channels; rounded up to a multiple of the groups.
    """
    return _layers(spec, datapath, integers_in("n_outputs", n_outputs, 1, 1 << 16))


@st.composite
def _layers(
    draw: st.DrawFn,
    spec: Choice[LayerSpec],
    datapath: DatapathSpec,
    n_outputs: st.SearchStrategy[int],
) -> Layer:
    computes = draw(chosen(spec, layer_specs()))
    shape = draw(_weight_shapes(computes, datapath, draw(n_outputs)))
    n, k = shape[0], math.prod(shape[1:])
    steps = draw(_steps(computes, datapath, n))
    centers = has_room_to_center(datapath.input.format, datapath.weight.format, k)
    z_x = draw(zero_points(datapath.input.format)) if centers else 0
    z_w = draw(_weight_zero_points(datapath, n)) if centers else 0
    weight = draw(_weights(datapath, shape, steps, z_w))
    bias = draw(_biases(datapath, n, steps))
    return Layer(
        spec=computes,
        input_step=steps.input,
        weight_step=steps.weight,
        output_step=steps.output,
        input_zero_point=z_x,
        weight_zero_point=z_w,
        output_zero_point=draw(output_zero_points(datapath.rescaler.output)),
        **weight,
        **bias,
    )


@st.composite
def _weight_shapes(
    draw: st.DrawFn, computes: LayerSpec, datapath: DatapathSpec, n_outputs: int
) -> Shape:
    order = datapath.accumulator.order
    longest = longest_k(datapath.input.format, datapath.weight.format)
    if isinstance(order, tuple) and len(order) > longest:
        raise SpecError(
            f"codes of {datapath.input.format} and {datapath.weight.format} allow K up to "
            f"{longest}, and the stated order has K = {len(order)}: use narrower formats"
        )
    k = len(order) if isinstance(order, tuple) else draw(st.integers(0, min(longest, _LONGEST)))
    if not isinstance(computes, Conv2dSpec):
        return n_outputs, k
    if not isinstance(order, tuple):
        k = max(k, 1)
    height = draw(_divisors(k)) if k else 1
    width = draw(_divisors(k // height)) if k else 1
    channels = k // (height * width)
    n = -(-n_outputs // computes.groups) * computes.groups
    if computes.layout is Layout.NCHW:
        return n, channels, height, width
    return n, height, width, channels


def _divisors(n: int) -> st.SearchStrategy[int]:
    """Divisors of ``n`` up to 3, that kernels stay small; all the rest is channels."""
    return st.sampled_from([d for d in (1, 2, 3) if n % d == 0])


@st.composite
def _steps(draw: st.DrawFn, computes: LayerSpec, datapath: DatapathSpec, n: int) -> _Steps:
    """Steps whose factor the rescaler can express, in every channel that may have its own."""
    factor = factors(datapath.rescaler, datapath.accumulator.format)
    input_step = draw(step_sizes(datapath.input))
    output_step = draw(step_sizes(datapath.input))
    if datapath.weight.channel_axis == 0:
        each = draw(st.lists(factor, min_size=n, max_size=n))
        return _Steps(
            input=input_step,
            weight=np.array(each) * output_step / input_step,
            output=output_step,
        )
    may_differ = (
        datapath.rescaler.granularity is Granularity.PER_CHANNEL
        and computes.activation is not Activation.RELU6
    )
    if may_differ and draw(st.booleans()):
        weight_step = draw(step_sizes(datapath.weight))
        each = draw(st.lists(factor, min_size=n, max_size=n))
        return _Steps(
            input=input_step,
            weight=weight_step,
            output=input_step * weight_step / np.array(each),
        )
    weight_step = draw(factor) * output_step / input_step
    return _Steps(input=input_step, weight=weight_step, output=output_step)


@st.composite
def _weight_zero_points(draw: st.DrawFn, datapath: DatapathSpec, n: int) -> int | np.ndarray:
    """Mostly 0; one an output channel where weights have one step size each."""
    each = st.just(0) | st.just(0) | zero_points(datapath.weight.format)
    if datapath.weight.channel_axis is None:
        return draw(each)
    return np.array(draw(st.lists(each, min_size=n, max_size=n)), np.int64)


@st.composite
def _weights(
    draw: st.DrawFn, datapath: DatapathSpec, shape: Shape, steps: _Steps, z_w: int | np.ndarray
) -> dict[str, Any]:
    if draw(st.booleans()):
        real = real_values(datapath.weight, shape, step_size=steps.weight, zero_point=z_w)
        return {"weight": draw(real)}
    return {"weight_codes": draw(codes(datapath.weight.format, shape))}


@st.composite
def _biases(draw: st.DrawFn, datapath: DatapathSpec, n: int, steps: _Steps) -> dict[str, Any]:
    """No bias, integers (those at the edges of the accumulator common), or reals.

    Reals only, of the size of outputs, where the rescaler takes the bias.
    """
    kind = draw(st.sampled_from(_Bias))
    fmt, register = datapath.bias.format, bias_format(datapath.accumulator)
    if kind is _Bias.NONE:
        return {}
    if datapath.rescaler.takes_bias:
        output = IntFormat(min(datapath.rescaler.output.bits + 2, MAX_BIAS_BITS))
        spec = QuantizerSpec(format=output, channel_axis=0)
        step = np.broadcast_to(np.asarray(steps.output, np.float64), (n,))
        reals = real_values(spec, (n,), step_size=step, dtypes=[np.float64], specials=False)
        return {"bias": draw(reals)}
    if kind is _Bias.REAL and fmt.bits <= MAX_BIAS_BITS:
        spec = replace(datapath.bias, channel_axis=0 if np.ndim(steps.weight) else None)
        return {"bias": draw(real_values(spec, (n,), step_size=steps.input * steps.weight))}
    widths = {min(fmt.bits, MAX_BIAS_BITS), min(fmt.bits, register.bits)}
    values = st.one_of([code_values(replace(fmt, bits=bits)) for bits in sorted(widths)])
    return {"bias_codes": draw(element_array(values, (n,)))}


def layer_inputs(
    layer: Layer, datapath: DatapathSpec, *, batch: Range = (1, 2)
) -> st.SearchStrategy[np.ndarray]:
    """Real inputs of ``layer``, biased as :func:`real_values` is for its input quantizer."""
    return _layer_inputs(layer, datapath, integers_in("batch", batch, 0, 1 << 16))


@st.composite
def _layer_inputs(
    draw: st.DrawFn, layer: Layer, datapath: DatapathSpec, batch: st.SearchStrategy[int]
) -> np.ndarray:
    n = draw(batch)
    if isinstance(layer.spec, Conv2dSpec):
        shape = draw(_image_shapes(layer.spec, layer.weight_shape, n))
    else:
        shape = draw(st.sampled_from([(n,), (n, 2)])) + layer.weight_shape[1:]
    return draw(
        real_values(
            datapath.input, shape, step_size=layer.input_step, zero_point=layer.input_zero_point
        )
    )


@st.composite
def _image_shapes(draw: st.DrawFn, spec: Conv2dSpec, weight_shape: Shape, n: int) -> Shape:
    """Images as small as the kernel allows, or a few positions larger."""
    if spec.layout is Layout.NCHW:
        _, channels, kh, kw = weight_shape
    else:
        _, kh, kw, channels = weight_shape
    top, bottom, left, right = spec.padding
    sides: list[int] = []
    for kernel, dilation, pad in (
        (kh, spec.dilation[0], top + bottom),
        (kw, spec.dilation[1], left + right),
    ):
        least = max(dilation * (kernel - 1) + 1 - pad, 1)
        sides.append(draw(st.integers(least, least + 2)))
    channels *= spec.groups
    return (n, channels, *sides) if spec.layout is Layout.NCHW else (n, *sides, channels)
