"""The float reference: what the mathematics wanted, in float64.

Shares no code with the units it judges: its own rounding, its own convolution,
nothing compiled. Two views of one layer: on the real weights and inputs, and
on the dequantized codes (fake quantization, which is what training sees).
"""

from dataclasses import dataclass

import numpy as np

from lsqsim.formats import AnyRounding, IntFormat, Rounding
from lsqsim.layer import Layer
from lsqsim.specs import Activation, Conv2dSpec, DatapathSpec, Layout, RescalerSpec
from lsqsim.tensor import QTensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reference:
    """One layer in float64, computed from codes.

    Attributes
    ----------
    accumulator
        What an unlimited accumulator would hold, units of s_x * s_w, before the activation.
    output
        Real output, after the activation, clipped to what the output format can say.
    codes
        Ideal output codes: ``output`` rounded once, int64.
    """

    accumulator: np.ndarray
    output: np.ndarray
    codes: np.ndarray


def reference_output(layer: Layer, values: object) -> np.ndarray:
    """Output of the unquantized layer for real inputs, activation included; float64."""
    affine = _affine(layer, np.asarray(values, np.float64), _real_weight(layer), _real_bias(layer))
    return _activate(affine, layer.spec.activation)


def reference_from_codes(
    layer: Layer, spec: DatapathSpec, inputs: QTensor, weights: QTensor
) -> Reference:
    """The layer on dequantized codes, with its real bias; float64 (equations 2 and 3)."""
    affine = _affine(layer, _dequantize(inputs), _dequantize(weights), _real_bias(layer))
    axis = layer.output_channel_axis
    unit = _along(layer.input_step * _weight_step(layer), affine.ndim, axis)
    step = _along(np.asarray(layer.output_step, np.float64), affine.ndim, axis)
    fmt, zero = spec.rescaler.output, layer.output_zero_point
    real = _activate(affine, layer.spec.activation)
    output = np.clip(real, (fmt.min - zero) * step, (fmt.max - zero) * step)
    codes = ideal_codes(output / step, zero, fmt, output_rounding(spec.rescaler))
    return Reference(accumulator=affine / unit, output=output, codes=codes)


def ideal_codes(
    quotient: np.ndarray, zero_point: object, fmt: IntFormat, rounding: AnyRounding
) -> np.ndarray:
    """clip(round(quotient) + zero_point) into ``fmt``, int64 (equation 1); NaN has no code."""
    shifted = _round(np.asarray(quotient, np.float64), rounding) + zero_point
    inside = np.clip(shifted, float(fmt.min), float(fmt.max))
    # float64 can't say 2**63 - 1: what lies at or past the top is set, not converted.
    top = inside >= float(fmt.max)
    return np.where(top, fmt.max, np.where(top, 0, inside).astype(np.int64))


def ideal_input_codes(layer: Layer, spec: DatapathSpec, values: object) -> np.ndarray:
    """Codes of real inputs, by float64 division; int64."""
    quotient = np.asarray(values, np.float64) / layer.input_step
    return ideal_codes(quotient, layer.input_zero_point, spec.input.format, spec.input.rounding)


def output_rounding(spec: RescalerSpec) -> Rounding:
    """The rule the reference rounds outputs by: the rescaler's (last), to nearest if stochastic."""
    rounding = spec.scaling.rounding
    return rounding if isinstance(rounding, Rounding) else Rounding.TIES_EVEN


def _round(x: np.ndarray, rounding: AnyRounding) -> np.ndarray:
    below = np.floor(x)
    with np.errstate(invalid="ignore"):
        fraction = np.where(np.isfinite(x), x - below, 0.0)
    match rounding:
        case Rounding.TO_NEG:
            return below
        case Rounding.TO_ZERO:
            return np.trunc(x)
        case Rounding.TIES_POS:
            return below + (fraction >= 0.5)
        case Rounding.TIES_AWAY:
            return below + ((fraction > 0.5) | ((fraction == 0.5) & (x > 0)))
        case _:
            return np.rint(x)


def _activate(x: np.ndarray, activation: Activation) -> np.ndarray:
    if activation is Activation.NONE:
        return x
    return np.clip(x, 0.0, 6.0 if activation is Activation.RELU6 else np.inf)


def _affine(layer: Layer, x: np.ndarray, w: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    y = _conv2d(layer.spec, x, w) if isinstance(layer.spec, Conv2dSpec) else x @ w.T
    return y if bias is None else y + _along(bias, y.ndim, layer.output_channel_axis)


def _conv2d(spec: Conv2dSpec, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Cross-correlation as a sum over kernel positions of strided slices."""
    if spec.layout is Layout.NHWC:
        x, w = x.transpose(0, 3, 1, 2), w.transpose(0, 3, 1, 2)
    top, bottom, left, right = spec.padding
    batch, channels, height, width = x.shape
    padded = np.zeros((batch, channels, height + top + bottom, width + left + right))
    padded[:, :, top : top + height, left : left + width] = x
    n_out, per_group, kh, kw = w.shape
    (sh, sw), (dh, dw) = spec.stride, spec.dilation
    oh = (padded.shape[2] - dh * (kh - 1) - 1) // sh + 1
    ow = (padded.shape[3] - dw * (kw - 1) - 1) // sw + 1
    grouped = padded.reshape(batch, spec.groups, per_group, *padded.shape[2:])
    kernels = w.reshape(spec.groups, n_out // spec.groups, per_group, kh, kw)
    y = np.zeros((batch, spec.groups, n_out // spec.groups, oh, ow))
    for i in range(kh):
        for j in range(kw):
            rows = slice(i * dh, i * dh + (oh - 1) * sh + 1, sh)
            cols = slice(j * dw, j * dw + (ow - 1) * sw + 1, sw)
            y += np.einsum("ngchw,goc->ngohw", grouped[:, :, :, rows, cols], kernels[..., i, j])
    y = y.reshape(batch, n_out, oh, ow)
    return y.transpose(0, 2, 3, 1) if spec.layout is Layout.NHWC else y


def _real_weight(layer: Layer) -> np.ndarray:
    if layer.weight is not None:
        return np.asarray(layer.weight, np.float64)
    codes = np.asarray(layer.weight_codes)
    zero = _along(np.asarray(layer.weight_zero_point), codes.ndim, 0)
    return (codes - zero) * _along(_weight_step(layer), codes.ndim, 0)


def _real_bias(layer: Layer) -> np.ndarray | None:
    if layer.bias_codes is not None:
        return np.asarray(layer.bias_codes) * (layer.input_step * _weight_step(layer))
    return None if layer.bias is None else np.asarray(layer.bias, np.float64)


def _weight_step(layer: Layer) -> np.ndarray:
    return np.asarray(layer.weight_step, np.float64)


def _dequantize(tensor: QTensor) -> np.ndarray:
    axis = tensor.channel_axis if tensor.channel_axis is not None else 0
    zero = _along(tensor.zero_point, tensor.codes.ndim, axis)
    return (tensor.codes - zero) * _along(tensor.step_size, tensor.codes.ndim, axis)


def _along(parameter: np.ndarray, ndim: int, axis: int) -> np.ndarray:
    """A scalar as it is; one value a channel along ``axis`` of ``ndim`` axes."""
    if parameter.ndim == 0:
        return parameter
    shape = [1] * ndim
    shape[axis] = -1
    return parameter.reshape(shape)
