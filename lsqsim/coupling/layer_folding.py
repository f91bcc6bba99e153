"""One trained layer as codes: batch normalization, learned offsets and signs folded away.

With a = gamma / sqrt(variance + epsilon), the layer and its normalization are
y = sum_k x w a + (bias - mean) a + beta: the weight codes stay, the weight step
size of each channel takes a, and the rest is the bias.
"""

from dataclasses import dataclass, replace

import numpy as np

from lsqsim.coupling.hardware import HardwareSpec
from lsqsim.datapath import CompiledLayer
from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat, Rounding
from lsqsim.layer import Layer
from lsqsim.learn.graph import BatchNormNode, Conv2dNode, LinearNode
from lsqsim.learn.quantizer import LearnedQuantizer
from lsqsim.network.encoding import Encoding
from lsqsim.specs import (
    Activation,
    Conv2dSpec,
    DatapathSpec,
    Granularity,
    LayerSpec,
    Layout,
    LinearSpec,
    QuantizerSpec,
    RescalerSpec,
    StepArithmetic,
)

State = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What codes mean: real = (code - zero_point) * step_size + residual.

    The residual is what a learned offset leaves once the zero point is an
    integer; the bias of whoever takes the codes carries it.
    """

    encoding: Encoding
    residual: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPart:
    """A trained layer and what belongs to it."""

    node: Conv2dNode | LinearNode
    norm: BatchNormNode | None
    activation: Activation
    quantizer: LearnedQuantizer


def quantizer_spec(fmt: IntFormat, channel_axis: int | None = None) -> QuantizerSpec:
    """The unit that makes the codes training sees: float32 division, ties to even."""
    return QuantizerSpec(
        format=fmt,
        rounding=Rounding.TIES_EVEN,
        arithmetic=StepArithmetic.DIVIDE_FLOAT32,
        channel_axis=channel_axis,
    )


def step_sizes(quantizer: LearnedQuantizer) -> np.ndarray:
    """The step sizes, float64 (1,) or (channels,); SpecError while there are none."""
    steps = quantizer.step_size.astype(np.float64)
    if not (np.isfinite(steps) & (steps > 0)).all():
        raise SpecError(
            f"{quantizer.name} has no step size yet: train on a batch first, or set one"
        )
    return steps


def meaning_of(quantizer: LearnedQuantizer) -> Meaning:
    """What the codes of an activation's quantizer mean.

    Raises
    ------
    SpecError
        Step sizes by channel, which can't leave the sum over channels; none yet.
    """
    steps = step_sizes(quantizer)
    if steps.size != 1:
        raise SpecError(
            f"{quantizer.name}: activations have one step size on the accelerator, got one for "
            f"each of {steps.size} channels: set granularity to per_tensor"
        )
    zeros = np.zeros((1, quantizer.n_channels), np.float32)
    zero_point = int(quantizer.codes(zeros).flat[0])
    step = float(steps[0])
    return Meaning(
        encoding=Encoding(format=quantizer.format, step_size=step, zero_point=zero_point),
        residual=float(quantizer.offset.value[0]) + zero_point * step,
    )


def fold_layer(
    part: LayerPart, state: State, source: Meaning, output: Meaning, hardware: HardwareSpec
) -> CompiledLayer:
    """The layer for what its source puts out and its quantizer stores.

    Raises
    ------
    SpecError
        Weights with an offset; a negative factor of the normalization where
        a weight code has no negative; what folding for the hardware raises.
    """
    node, fmt = part.node, part.quantizer.format
    name = node.name
    if np.any(part.quantizer.offset.value):
        raise SpecError(
            f"{name}: weights with a learned offset can't be folded: train them with lsq, not "
            f"lsq_plus"
        )
    codes = _weight_codes(part, state)
    factor, bias = _affine(part, state, len(codes))
    weight_step = step_sizes(part.quantizer) * np.ones(len(codes)) * factor
    bias = bias + source.residual * codes.reshape(len(codes), -1).sum(axis=1) * weight_step
    bias = bias - output.residual
    codes, weight_step = _without_sign(name, codes, weight_step, fmt)
    dead = weight_step == 0
    codes[dead] = 0
    weight_step[dead] = output.encoding.step_size / source.encoding.step_size
    low, high = (end * output.encoding.step_size for end in output.encoding.centered)
    bias = np.where(dead, np.clip(bias, low, high), bias)
    per_channel = (
        part.norm is not None or part.quantizer.step_size.size > 1 or hardware.rescaler.takes_bias
    )
    layer = Layer(
        name=name,
        spec=_layer_spec(part),
        weight_codes=codes,
        weight_step=weight_step if per_channel else float(weight_step[0]),
        bias=bias if bias.any() else None,
        input_step=source.encoding.step_size,
        input_zero_point=source.encoding.zero_point,
        output_step=output.encoding.step_size,
        output_zero_point=output.encoding.zero_point,
    )
    spec = DatapathSpec(
        input=quantizer_spec(source.encoding.format),
        weight=quantizer_spec(fmt, 0 if per_channel else None),
        bias=hardware.bias,
        accumulator=hardware.accumulator,
        rescaler=rescaler_for(hardware, output.encoding.format, per_channel=per_channel),
    )
    return CompiledLayer(layer, spec)


def rescaler_for(hardware: HardwareSpec, fmt: IntFormat, *, per_channel: bool) -> RescalerSpec:
    """The hardware's rescaler for one output; a bias that it adds is the channel's."""
    template = hardware.rescaler
    per_channel = per_channel or template.takes_bias
    granularity = Granularity.PER_CHANNEL if per_channel else Granularity.PER_TENSOR
    return replace(template, output=fmt, granularity=granularity)


def _weight_codes(part: LayerPart, state: State) -> np.ndarray:
    """int64 (channels, h, w, c / groups) or (features, k)."""
    codes = part.quantizer.codes(state[f"{part.node.name}.weight"]).astype(np.int64)
    return np.ascontiguousarray(np.moveaxis(codes, -1, 0))


def _affine(part: LayerPart, state: State, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(a, bias), float64 (n,): y = (x w) a + bias."""
    bias = state.get(f"{part.node.name}.bias", np.zeros(n)).astype(np.float64)
    if part.norm is None:
        return np.ones(n), bias
    gamma, beta, mean, variance = (
        state[f"{part.norm.name}.{key}"].astype(np.float64)
        for key in ("gamma", "beta", "mean", "variance")
    )
    factor = gamma / np.sqrt(variance + part.norm.epsilon)
    return factor, (bias - mean) * factor + beta


def _without_sign(
    name: str, codes: np.ndarray, weight_step: np.ndarray, fmt: IntFormat
) -> tuple[np.ndarray, np.ndarray]:
    """Step sizes of 0 or more, the sign of negative ones in the codes."""
    codes = codes.copy()
    for channel in np.flatnonzero(weight_step < 0).tolist():
        flipped = -codes[channel]
        low, high = int(flipped.min()), int(flipped.max())
        if low < fmt.min or high > fmt.max:
            raise SpecError(
                f"{name}: the batch normalization's factor of channel {channel} is negative, and "
                f"weight code {-high if high > fmt.max else -low} has no negative in {fmt}: keep "
                f"gamma positive, or train the weights in a narrow format"
            )
        codes[channel] = flipped
    return codes, np.abs(weight_step)


def _layer_spec(part: LayerPart) -> LayerSpec:
    node = part.node
    if isinstance(node, LinearNode):
        return LinearSpec(activation=part.activation)
    return Conv2dSpec(
        stride=node.stride,
        padding=node.padding,
        dilation=node.dilation,
        groups=node.groups,
        layout=Layout.NHWC,
        activation=part.activation,
    )
