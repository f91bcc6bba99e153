"""What a layer's parameters become on a datapath: weight codes, bias codes, output clip."""

from dataclasses import replace
from fractions import Fraction

import numpy as np

from lsqsim.channels import require_codes
from lsqsim.errors import DataError, SpecError
from lsqsim.folding import round_half_up
from lsqsim.layer import Layer
from lsqsim.quantizer import Quantizer
from lsqsim.specs import Activation, DatapathSpec
from lsqsim.tensor import QTensor

_RELU6_TOP = 6


def weight_tensor(layer: Layer, spec: DatapathSpec) -> QTensor:
    """Weight codes: those the layer has, or its real weights quantized.

    Raises
    ------
    DataError, SpecError
        What the quantizer raises; codes outside the weight format.
    """
    steps = layer.weight_step
    if spec.weight.channel_axis is not None:
        steps = np.broadcast_to(steps, (layer.n_outputs,))
    unit = Quantizer(spec.weight, step_size=steps, zero_point=layer.weight_zero_point)
    if layer.weight_codes is None:
        return unit.quantize(layer.weight)
    fmt = spec.weight.format
    codes = require_codes("weight_codes", layer.weight_codes, fmt.min, fmt.max, str(fmt))
    return replace(unit.quantize(np.zeros_like(codes)), codes=codes)


def bias_tensor(layer: Layer, spec: DatapathSpec, weight: QTensor) -> QTensor | None:
    """Bias codes in units of s_x * s_w: those the layer has, or its real bias quantized.

    None for a layer without bias, or whose bias the rescaler takes. Raises as
    :func:`weight_tensor`.
    """
    if layer.bias is None and layer.bias_codes is None:
        return None
    if spec.rescaler.takes_bias:
        if layer.bias is None:
            raise SpecError(
                "bias_codes are in units of the accumulator, but the rescaler adds the bias: "
                "give a real bias, or leave the rescaler's addend out"
            )
        return None
    step = layer.input_step * weight.step_size
    bias = replace(spec.bias, channel_axis=0 if step.ndim else None)
    unit = Quantizer(bias, step_size=step)
    if layer.bias_codes is None:
        return unit.quantize(layer.bias)
    fmt = bias.format
    codes = require_codes("bias_codes", layer.bias_codes, fmt.min, fmt.max, str(fmt))
    return replace(unit.quantize(np.zeros(codes.shape)), codes=codes)


def rescaler_bias(layer: Layer, spec: DatapathSpec) -> np.ndarray | None:
    """b / s_y of every channel, float64, where the rescaler takes the bias; else None.

    Raises
    ------
    DataError
        A bias that is not finite in units of the output step size.
    """
    if layer.bias is None or not spec.rescaler.takes_bias:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        bias = np.asarray(layer.bias, np.float64) / np.asarray(layer.output_step, np.float64)
    if not np.isfinite(bias).all():
        at = int(np.argmin(np.isfinite(bias)))
        raise DataError(f"the bias must be finite in output codes, got {bias[at]} (channel {at})")
    return bias


def output_clamp(layer: Layer, spec: DatapathSpec) -> tuple[int, int]:
    """Output clip of the fused activation (equation 13); both ends are legal codes.

    Raises
    ------
    SpecError
        ReLU6 with one output step size a channel.
    """
    fmt, zero = spec.rescaler.output, layer.output_zero_point
    low, high = fmt.min, fmt.max
    if layer.spec.activation is not Activation.NONE:
        low = max(low, zero)
    if layer.spec.activation is Activation.RELU6:
        step = np.asarray(layer.output_step, np.float64)
        if step.ndim:
            raise SpecError("relu6 needs one output step size, not one a channel")
        high = min(high, zero + round_half_up(_RELU6_TOP / Fraction(float(step))))
    return low, high
