"""What a layer computes, apart from its weights: geometry and fused activation."""

from dataclasses import dataclass

from lsqsim.errors import SpecError
from lsqsim.formats import SpecEnum
from lsqsim.specs.toml import Spec


class Activation(SpecEnum):
    """Activation fused into the rescaler as its output clip."""

    NONE = "none"
    RELU = "relu"
    RELU6 = "relu6"


class Layout(SpecEnum):
    """Order of the axes of a convolution's tensors."""

    NCHW = "nchw"
    """Inputs (n, c, h, w), weights (o, c, h, w); K runs over (c, h, w)."""
    NHWC = "nhwc"
    """Inputs (n, h, w, c), weights (o, h, w, c); K runs over (h, w, c)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearSpec(Spec):
    """y = activation(x W^T + b): inputs (..., k), weights (n, k), outputs (..., n)."""

    activation: Activation = Activation.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv2dSpec(Spec):
    """A two-dimensional convolution (cross-correlation, as every framework has it).

    Attributes
    ----------
    stride
        (vertical, horizontal), 1 or more.
    padding
        (top, bottom, left, right), 0 or more; filled with the zero *point*.
    dilation
        (vertical, horizontal), 1 or more.
    groups
        Divides input and output channels; as many as input channels is depthwise.
    layout
        Order of the axes.
    activation
        Fused activation.
    """

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    layout: Layout = Layout.NCHW
    activation: Activation = Activation.NONE

    def validate(self) -> None:
        if self.groups < 1:
            raise SpecError(f"groups must be 1 or more, got {self.groups}")
        for name, value, least in (
            ("stride", self.stride, 1),
            ("padding", self.padding, 0),
            ("dilation", self.dilation, 1),
        ):
            if min(value) < least:
                raise SpecError(f"{name} must be {least} or more, got {value}")


LayerSpec = LinearSpec | Conv2dSpec
