"""A network as data: nodes in order, each named, each taking the values of nodes before it.

Values are channels last: (n, h, w, c) for images, (n, features) for vectors.
"""

import math
from dataclasses import dataclass

from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat, SpecEnum
from lsqsim.learn.rule import StepRule, check_learnable
from lsqsim.specs.toml import Spec

INPUT = "input"
"""The source of nodes that take the network's input."""

Shape = tuple[int, ...]


class Bias(SpecEnum):
    """Whether a layer adds a learned bias; behind a batch normalization it has no effect."""

    NONE = "none"
    LEARNED = "learned"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightQuantizer(Spec):
    """How a layer's weights are quantized; per channel means one step size an output channel."""

    format: IntFormat
    rule: StepRule = StepRule()

    def validate(self) -> None:
        check_learnable(self.format, self.rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node(Spec):
    """One node; ``name`` is unique, ``source`` the node it takes, or ``"input"``."""

    name: str
    source: str

    @property
    def sources(self) -> tuple[str, ...]:
        """All nodes it takes."""
        return (self.source,)

    def result_shape(self, shapes: list[Shape]) -> Shape:
        """Shape of one sample behind it; SpecError for sources' shapes that do not fit it."""
        return shapes[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearNode(Node):
    """y = x W + b: (n, k) to (n, features); W is (k, features)."""

    features: int
    bias: Bias = Bias.LEARNED
    weights: WeightQuantizer | None = None

    def validate(self) -> None:
        _at_least(self.name, "features", self.features, 1)

    def result_shape(self, shapes: list[Shape]) -> Shape:
        _axes(self.name, shapes[0], 1)
        return (self.features,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv2dNode(Node):
    """A convolution of (n, h, w, c); weights (kernel height, width, c / groups, channels).

    Padding is (top, bottom, left, right), with the quantized value of real 0.
    """

    channels: int
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    bias: Bias = Bias.NONE
    weights: WeightQuantizer | None = None

    def validate(self) -> None:
        _at_least(self.name, "channels", self.channels, 1)
        _at_least(self.name, "groups", self.groups, 1)
        _at_least(self.name, "kernel", min(self.kernel), 1)
        _at_least(self.name, "stride", min(self.stride), 1)
        _at_least(self.name, "dilation", min(self.dilation), 1)
        _at_least(self.name, "padding", min(self.padding), 0)

    def result_shape(self, shapes: list[Shape]) -> Shape:
        shape = _axes(self.name, shapes[0], 3)
        if shape[2] % self.groups or self.channels % self.groups:
            raise SpecError(
                f"{self.name}: groups must divide the channels, got {self.groups} groups for "
                f"{shape[2]} input and {self.channels} output channels"
            )
        reach = [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True)]
        return (*_windows(self.name, shape, reach, self.stride, self.padding), self.channels)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNormNode(Node):
    """y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, channel by channel."""

    momentum: float = 0.1
    epsilon: float = 1e-5

    def validate(self) -> None:
        if not 0 <= self.momentum <= 1:
            raise SpecError(f"{self.name}: momentum must be in 0..1, got {self.momentum}")
        if not (math.isfinite(self.epsilon) and self.epsilon > 0):
            raise SpecError(f"{self.name}: epsilon must be finite and above 0, got {self.epsilon}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReluNode(Node):
    """max(x, 0)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxPoolNode(Node):
    """Largest of every window; padding (top, bottom, left, right) never wins."""

    kernel: tuple[int, int] = (2, 2)
    stride: tuple[int, int] = (2, 2)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)

    def validate(self) -> None:
        _check_window(self.name, self.kernel, self.stride, self.padding)

    def result_shape(self, shapes: list[Shape]) -> Shape:
        shape, reach = _axes(self.name, shapes[0], 3), list(self.kernel)
        return (*_windows(self.name, shape, reach, self.stride, self.padding), shape[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class AveragePoolNode(Node):
    """Mean of every window."""

    kernel: tuple[int, int] = (2, 2)
    stride: tuple[int, int] = (2, 2)

    def validate(self) -> None:
        _check_window(self.name, self.kernel, self.stride, (0, 0, 0, 0))

    def result_shape(self, shapes: list[Shape]) -> Shape:
        shape, reach = _axes(self.name, shapes[0], 3), list(self.kernel)
        return (*_windows(self.name, shape, reach, self.stride, (0, 0, 0, 0)), shape[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalAveragePoolNode(Node):
    """Mean over the image: (n, h, w, c) to (n, c)."""

    def result_shape(self, shapes: list[Shape]) -> Shape:
        return (_axes(self.name, shapes[0], 3)[2],)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlattenNode(Node):
    """(n, h, w, c) to (n, h * w * c), in the order h, w, c."""

    def result_shape(self, shapes: list[Shape]) -> Shape:
        return (math.prod(shapes[0]),)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddNode(Node):
    """source + other, of one shape: the residual addition."""

    other: str

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source, self.other)

    def result_shape(self, shapes: list[Shape]) -> Shape:
        if shapes[0] != shapes[1]:
            raise SpecError(f"{self.name} adds values of one shape, got {shapes[0]}, {shapes[1]}")
        return shapes[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcatNode(Node):
    """source and other, channels one after the other."""

    other: str

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source, self.other)

    def result_shape(self, shapes: list[Shape]) -> Shape:
        first, second = shapes
        if first[:-1] != second[:-1]:
            raise SpecError(
                f"{self.name} joins channels of images of one size, got {first}, {second}"
            )
        return (*first[:-1], first[-1] + second[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeNode(Node):
    """Where codes are stored: round(clip(x / s)) * s. Unsigned, it is its own ReLU."""

    format: IntFormat
    rule: StepRule = StepRule()

    def validate(self) -> None:
        check_learnable(self.format, self.rule)


AnyNode = (
    LinearNode
    | Conv2dNode
    | BatchNormNode
    | ReluNode
    | MaxPoolNode
    | AveragePoolNode
    | GlobalAveragePoolNode
    | FlattenNode
    | AddNode
    | ConcatNode
    | QuantizeNode
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSpec(Spec):
    """A whole network; its output is the last node.

    Attributes
    ----------
    input_shape
        Of one sample: (h, w, c) or (features,).
    nodes
        In an order in which every node's sources stand before it.
    """

    input_shape: tuple[int, ...]
    nodes: tuple[AnyNode, ...]

    def validate(self) -> None:
        if not self.nodes:
            raise SpecError("a network needs at least one node")
        if len(self.input_shape) not in (1, 3) or min(self.input_shape) < 1:
            raise SpecError(
                f"input_shape must be (h, w, c) or (features,), each 1 or more, "
                f"got {self.input_shape}"
            )
        self.shapes()

    def node(self, name: str) -> AnyNode:
        """The node of this name; SpecError if there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise SpecError(f"there is no node {name!r}: {', '.join(n.name for n in self.nodes)}")

    def consumers(self, name: str) -> list[AnyNode]:
        """Nodes that take the values of ``name``, in order."""
        return [node for node in self.nodes if name in node.sources]

    def shapes(self) -> dict[str, Shape]:
        """Shape of one sample behind the input and behind every node.

        Raises
        ------
        SpecError
            Names that repeat or are not there yet, or shapes that do not fit.
        """
        shapes: dict[str, Shape] = {INPUT: self.input_shape}
        for node in self.nodes:
            if node.name in shapes or not node.name or "." in node.name:
                raise SpecError(
                    f"node names are unique, not empty and without dots, got {node.name!r}"
                )
            for source in node.sources:
                if source not in shapes:
                    raise SpecError(
                        f"{node.name} takes {source!r}, which no node before it is called"
                    )
            shapes[node.name] = node.result_shape([shapes[source] for source in node.sources])
        return shapes


def _windows(
    name: str,
    shape: Shape,
    reach: list[int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> tuple[int, int]:
    height = shape[0] + padding[0] + padding[1] - reach[0]
    width = shape[1] + padding[2] + padding[3] - reach[1]
    if height < 0 or width < 0:
        raise SpecError(
            f"{name}: a window of {reach[0]} x {reach[1]} does not fit an image of {shape[0]} x "
            f"{shape[1]} with padding {padding}"
        )
    return height // stride[0] + 1, width // stride[1] + 1


def _axes(name: str, shape: Shape, n: int) -> Shape:
    """``shape``, if it has ``n`` axes."""
    if len(shape) != n:
        wanted = "an image (h, w, c)" if n == 3 else "a vector (features,): flatten it first"
        raise SpecError(f"{name} takes {wanted}, got {shape}")
    return shape


def _check_window(
    name: str,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> None:
    _at_least(name, "kernel", min(kernel), 1)
    _at_least(name, "stride", min(stride), 1)
    _at_least(name, "padding", min(padding), 0)
    if max(padding[:2]) >= kernel[0] or max(padding[2:]) >= kernel[1]:
        raise SpecError(f"{name}: padding must be smaller than the window, got {padding}, {kernel}")


def _at_least(name: str, field: str, value: int, least: int) -> None:
    if value < least:
        raise SpecError(f"{name}: {field} must be {least} or more, got {value}")
