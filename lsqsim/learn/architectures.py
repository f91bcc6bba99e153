"""Networks by name, float: what `lsqsim train` starts from unless it is given another one."""

from collections.abc import Callable

from lsqsim.errors import SpecError
from lsqsim.learn.graph import (
    INPUT,
    AddNode,
    AnyNode,
    BatchNormNode,
    Conv2dNode,
    FlattenNode,
    GlobalAveragePoolNode,
    GraphSpec,
    LinearNode,
    ReluNode,
    Shape,
)


def perceptron(input_shape: Shape, n_classes: int, hidden: tuple[int, ...] = (64, 32)) -> GraphSpec:
    """Fully connected layers with ReLU between them; images are flattened first."""
    nodes: list[AnyNode] = []
    source = INPUT
    if len(input_shape) > 1:
        nodes.append(FlattenNode(name="flatten", source=source))
        source = "flatten"
    for i, features in enumerate(hidden, 1):
        layer = LinearNode(name=f"layer{i}", source=source, features=features)
        nodes += [layer, ReluNode(name=f"relu{i}", source=layer.name)]
        source = f"relu{i}"
    nodes.append(LinearNode(name=f"layer{len(hidden) + 1}", source=source, features=n_classes))
    return GraphSpec(input_shape=input_shape, nodes=tuple(nodes))


def residual(
    input_shape: Shape,
    n_classes: int,
    widths: tuple[int, ...] = (32, 64, 128),
    stem_stride: int = 2,
) -> GraphSpec:
    """A residual network: a 3 x 3 stem, one block of two 3 x 3 convolutions a width, pooling.

    Every block but the first halves the image. With a stem of stride 2 and 32 x 32 images of three
    channels it takes 12.3 million multiply-accumulates, as many as MLPerf Tiny's ResNet-8, on
    half as many activations of twice the width.
    """
    nodes: list[AnyNode] = []
    source = _convolution(nodes, "stem", INPUT, widths[0], stride=stem_stride)
    source = _relu(nodes, "stem", source)
    for i, width in enumerate(widths, 1):
        source = _block(nodes, f"block{i}", source, width, stride=1 if i == 1 else 2)
    nodes += [
        GlobalAveragePoolNode(name="pool", source=source),
        LinearNode(name="classifier", source="pool", features=n_classes),
    ]
    return GraphSpec(input_shape=input_shape, nodes=tuple(nodes))


def _block(nodes: list[AnyNode], name: str, source: str, width: int, *, stride: int) -> str:
    shortcut = source
    main = _convolution(nodes, f"{name}_conv1", source, width, stride=stride)
    main = _relu(nodes, f"{name}_conv1", main)
    main = _convolution(nodes, f"{name}_conv2", main, width)
    if stride > 1:
        shortcut = _convolution(nodes, f"{name}_shortcut", source, width, kernel=1, stride=stride)
    nodes.append(AddNode(name=f"{name}_add", source=main, other=shortcut))
    return _relu(nodes, name, f"{name}_add")


def _convolution(
    nodes: list[AnyNode], name: str, source: str, channels: int, *, kernel: int = 3, stride: int = 1
) -> str:
    edge = kernel // 2
    convolution = Conv2dNode(
        name=name,
        source=source,
        channels=channels,
        kernel=(kernel, kernel),
        stride=(stride, stride),
        padding=(edge, edge, edge, edge),
    )
    nodes += [convolution, BatchNormNode(name=f"{name}_norm", source=name)]
    return f"{name}_norm"


def _relu(nodes: list[AnyNode], name: str, source: str) -> str:
    nodes.append(ReluNode(name=f"{name}_relu", source=source))
    return f"{name}_relu"


_BY_NAME: dict[str, Callable[[Shape, int], GraphSpec]] = {
    "perceptron": perceptron,
    "residual": residual,
}
NAMES = tuple(_BY_NAME)


def architecture(name: str, input_shape: Shape, n_classes: int) -> GraphSpec:
    """The float network called ``name``, for samples of this shape; SpecError for no such name."""
    if name not in _BY_NAME:
        raise SpecError(f"there is no network {name!r}; named ones are {', '.join(NAMES)}")
    return _BY_NAME[name](input_shape, n_classes)
