"""A layer's operands for its ranges: which codes it can see, and where in K each channel lies."""

import numpy as np

from lsqsim.budget.input_range import InputRange
from lsqsim.budget.operands import RangeOperands, range_operands
from lsqsim.convolution import weight_matrix
from lsqsim.datapath import CompiledLayer
from lsqsim.errors import DataError, LsqsimError, SpecError
from lsqsim.specs import Conv2dSpec, LayerSpec, Layout


def legal_inputs(compiled: CompiledLayer, inputs: InputRange | None = None) -> InputRange:
    """The input codes an array can see: all of the format, unless ``inputs`` says less.

    Where a convolution pads, the zero point is among them.

    Raises
    ------
    DataError
        A range for another number of input channels.
    SpecError
        A range outside the input format.
    """
    layer, fmt = compiled.layer, compiled.spec.input.format
    if inputs is None:
        return InputRange.of_format(fmt)
    if not (fmt.holds(inputs.least) and fmt.holds(inputs.largest)):
        raise SpecError(
            f"{layer.name}: the input range {inputs.least}..{inputs.largest} must lie within the "
            f"input format {fmt.describe()}"
        )
    n_channels = _n_input_channels(layer.spec, layer.weight_shape)
    if inputs.n_channels not in (None, n_channels):
        raise DataError(
            f"{layer.name}: the input range is for {inputs.n_channels} input channels, the layer "
            f"has {n_channels}"
        )
    pads = isinstance(layer.spec, Conv2dSpec) and any(layer.spec.padding)
    return inputs.including(layer.input_zero_point) if pads else inputs


def layer_operands(compiled: CompiledLayer, inputs: InputRange) -> RangeOperands:
    """The operands of a layer for its :func:`legal_inputs`, which :func:`range_operands` takes."""
    layer = compiled.layer
    low, high = inputs.low, inputs.high
    if inputs.n_channels is not None:
        channels = _channels_of_products(layer.spec, layer.weight_shape)
        low, high = np.asarray(low)[channels], np.asarray(high)[channels]
    try:
        return range_operands(
            compiled.spec.accumulator,
            weight_matrix(compiled.weight.codes),
            bias=None if compiled.bias is None else compiled.bias.codes,
            input_low=low,
            input_high=high,
            input_zero_point=layer.input_zero_point,
            weight_zero_point=compiled.weight.zero_point,
        )
    except LsqsimError as error:
        raise type(error)(f"{layer.name}: {error}") from None


def _n_input_channels(spec: LayerSpec, shape: tuple[int, ...]) -> int:
    return shape[_channel_axis(spec)] * (spec.groups if isinstance(spec, Conv2dSpec) else 1)


def _channels_of_products(spec: LayerSpec, shape: tuple[int, ...]) -> np.ndarray:
    """Input channel of every product, (groups, k) in natural order."""
    axis = _channel_axis(spec)
    per_group = shape[axis]
    alone = np.arange(per_group).reshape([-1 if a == axis else 1 for a in range(1, len(shape))])
    row = np.broadcast_to(alone, shape[1:]).reshape(1, -1)
    groups = spec.groups if isinstance(spec, Conv2dSpec) else 1
    return row + per_group * np.arange(groups)[:, None]


def _channel_axis(spec: LayerSpec) -> int:
    """Axis of the weights that runs over the input channels of a group."""
    return 3 if isinstance(spec, Conv2dSpec) and spec.layout is Layout.NHWC else 1
