"""Shapes and meanings of the codes behind every node, and what does not fit."""

from math import prod

from lsqsim.convolution import conv_shape
from lsqsim.errors import DataError, SpecError
from lsqsim.network.encoding import Encoding, Shape
from lsqsim.network.nodes import (
    Add,
    AveragePool,
    Concat,
    Flatten,
    GlobalAveragePool,
    LayerNode,
    MaxPool,
    Node,
    Storing,
)
from lsqsim.specs import Conv2dSpec, Layout

MAX_CODES = 1 << 28
"""Codes of one sample, padding included; more is refused before memory is asked for."""


def output_encoding(node: Node, sources: list[Encoding]) -> Encoding:
    """What the codes behind ``node`` mean.

    Raises
    ------
    SpecError
        A layer that takes other codes than its source puts out, or that has
        one output step size a channel.
    """
    if isinstance(node, Storing):
        return node.output
    if isinstance(node, LayerNode):
        taken = layer_input(node)
        if taken != sources[0]:
            raise SpecError(
                f"{node.name} takes {taken}, but {node.source} puts out {sources[0]}: give both "
                f"the same"
            )
        return _layer_output(node)
    return sources[0]


def layer_input(node: LayerNode) -> Encoding:
    """What the codes that a layer takes mean."""
    layer = node.unit.layer
    return Encoding(
        format=node.unit.spec.input.format,
        step_size=float(layer.input_step),
        zero_point=int(layer.input_zero_point),
    )


def _layer_output(node: LayerNode) -> Encoding:
    layer = node.unit.layer
    if not isinstance(layer.output_step, float | int):
        step = layer.output_step
        if step.ndim:
            raise SpecError(
                f"{node.name}: a node's codes have one step size, got one for each of "
                f"{step.size} channels: give output_step one value"
            )
    return Encoding(
        format=node.unit.spec.rescaler.output,
        step_size=float(layer.output_step),
        zero_point=int(layer.output_zero_point),
    )


def output_shape(node: Node, sources: list[Shape]) -> Shape:
    """Shape of one sample behind ``node``; SpecError for sources that do not fit it."""
    shape = _shape(node, sources)
    require_size(f"{node.name} puts out", shape)
    return shape


def require_size(who: str, shape: Shape) -> None:
    """SpecError for more codes a sample than :data:`MAX_CODES`."""
    if prod(shape) > MAX_CODES:
        raise SpecError(f"{who} {shape}, more than {MAX_CODES} codes a sample")


def _shape(node: Node, sources: list[Shape]) -> Shape:
    shape = sources[0]
    match node:
        case LayerNode():
            return _layer_shape(node, shape)
        case MaxPool():
            return _pooled(node.name, shape, node.kernel, node.stride, node.padding)
        case AveragePool():
            return _pooled(node.name, shape, node.kernel, node.stride, (0, 0, 0, 0))
        case GlobalAveragePool():
            _require_image(node.name, shape)
            return shape[2:]
        case Flatten():
            return (prod(shape),)
        case Add():
            if sources[0] != sources[1]:
                raise SpecError(
                    f"{node.name} adds codes of one shape, got {sources[0]} and {sources[1]}"
                )
            return shape
        case Concat():
            if any(other[:-1] != shape[:-1] for other in sources):
                raise SpecError(
                    f"{node.name} joins channels of images of one size, got "
                    f"{' and '.join(map(str, sources))}"
                )
            return (*shape[:-1], sum(other[-1] for other in sources))
        case _:
            return shape


def _layer_shape(node: LayerNode, shape: Shape) -> Shape:
    layer = node.unit.layer
    if not isinstance(layer.spec, Conv2dSpec):
        if shape != layer.weight_shape[1:]:
            hint = ": flatten it first" if len(shape) > 1 else ""
            raise SpecError(
                f"{node.name} takes a vector of {layer.weight_shape[1]} features, got {shape}{hint}"
            )
        return (layer.n_outputs,)
    if layer.spec.layout is not Layout.NHWC:
        raise SpecError(f"{node.name}: a network's images have channels last: set layout to nhwc")
    _padded(node.name, shape, layer.spec.padding)
    try:
        sizes = conv_shape(layer.spec, (1, *shape), layer.weight_shape)
    except DataError as error:
        raise SpecError(f"{node.name}: {error}") from None
    return sizes.out_height, sizes.out_width, sizes.out_channels


def _pooled(
    name: str,
    shape: Shape,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> Shape:
    padded = _padded(name, shape, padding)
    height, width = padded[0] - kernel[0], padded[1] - kernel[1]
    if height < 0 or width < 0:
        raise SpecError(
            f"{name}: a window of {kernel[0]} x {kernel[1]} does not fit an image of "
            f"{shape[0]} x {shape[1]} with padding {padding}"
        )
    return height // stride[0] + 1, width // stride[1] + 1, shape[2]


def _padded(name: str, shape: Shape, padding: tuple[int, int, int, int]) -> Shape:
    """Shape of an image with its padding."""
    _require_image(name, shape)
    top, bottom, left, right = padding
    padded = (shape[0] + top + bottom, shape[1] + left + right, shape[2])
    require_size(f"{name} pads to", padded)
    return padded


def _require_image(name: str, shape: Shape) -> None:
    if len(shape) != 3:
        raise SpecError(f"{name} takes an image (h, w, c), got {shape}")
