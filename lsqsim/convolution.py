"""Convolution as matrix products: the codes under each kernel position, padded."""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from lsqsim.errors import DataError
from lsqsim.specs import Conv2dSpec, Layout

N_AXES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvShape:
    """Sizes of one convolution; ``k`` is the number of products of an output."""

    batch: int
    in_channels: int
    height: int
    width: int
    out_channels: int
    kernel: tuple[int, int]
    out_height: int
    out_width: int
    groups: int

    @property
    def k(self) -> int:
        """Products of one output: channels of a group times kernel positions."""
        return self.in_channels // self.groups * self.kernel[0] * self.kernel[1]

    @property
    def rows(self) -> int:
        """Output positions of all images: rows of the matrix product."""
        return self.batch * self.out_height * self.out_width


def conv_shape(spec: Conv2dSpec, x_shape: tuple[int, ...], w_shape: tuple[int, ...]) -> ConvShape:
    """Sizes of the convolution of inputs and weights of these shapes.

    Raises
    ------
    DataError
        When the shapes do not meet, saying which numbers differ.
    """
    if len(x_shape) != N_AXES or len(w_shape) != N_AXES:
        raise DataError(
            f"a convolution takes inputs and weights with {N_AXES} axes, "
            f"got {x_shape} and {w_shape}"
        )
    if spec.layout is Layout.NCHW:
        (n, c, h, w), (o, c_w, kh, kw) = x_shape, w_shape
    else:
        (n, h, w, c), (o, kh, kw, c_w) = x_shape, w_shape
    if c % spec.groups or o % spec.groups:
        raise DataError(
            f"groups must divide the channels: groups is {spec.groups}, "
            f"input channels {c}, output channels {o}"
        )
    if c != c_w * spec.groups:
        raise DataError(
            f"inputs {x_shape} and weights {w_shape} do not meet: {c} input channels, but the "
            f"weights take {c_w} in each of {spec.groups} groups"
        )
    top, bottom, left, right = spec.padding
    oh = _out_size("height", h + top + bottom, kh, spec.dilation[0], spec.stride[0])
    ow = _out_size("width", w + left + right, kw, spec.dilation[1], spec.stride[1])
    return ConvShape(
        batch=n, in_channels=c, height=h, width=w, out_channels=o, kernel=(kh, kw),
        out_height=oh, out_width=ow, groups=spec.groups,
    )  # fmt: skip


def _out_size(name: str, padded: int, kernel: int, dilation: int, stride: int) -> int:
    if kernel < 1:
        raise DataError(f"the kernel's {name} must be 1 or more, got {kernel}")
    reach = dilation * (kernel - 1) + 1
    if padded < reach:
        raise DataError(
            f"the kernel reaches over {reach} positions of {name}, but the padded input "
            f"has {padded}"
        )
    return (padded - reach) // stride + 1


def patches(x: np.ndarray, spec: Conv2dSpec, shape: ConvShape, pad_value: float) -> np.ndarray:
    """The operands of every output position, a matrix for each group.

    Parameters
    ----------
    x : array, in the layout of ``spec``
        Input codes (or reals).
    pad_value : number
        What padding holds: the zero point for codes, 0 for reals.

    Returns
    -------
    array (groups, batch * oh * ow, k), same dtype
        K in the order in which the weights of ``spec.layout`` lie.
    """
    top, bottom, left, right = spec.padding
    if spec.layout is Layout.NHWC:
        x = x.transpose(0, 3, 1, 2)
    widths = ((0, 0), (0, 0), (top, bottom), (left, right))
    padded = np.pad(x, widths, constant_values=pad_value)
    (kh, kw), (dh, dw), (sh, sw) = shape.kernel, spec.dilation, spec.stride
    windows = sliding_window_view(padded, (dh * (kh - 1) + 1, dw * (kw - 1) + 1), axis=(2, 3))
    windows = windows[:, :, ::sh, ::sw, ::dh, ::dw]
    n, c, oh, ow = windows.shape[:4]
    split = windows.reshape(n, shape.groups, c // shape.groups, oh, ow, kh, kw)
    # axes: n, group, channel, oh, ow, kh, kw
    inner = (2, 5, 6) if spec.layout is Layout.NCHW else (5, 6, 2)
    return split.transpose(1, 0, 3, 4, *inner).reshape(shape.groups, shape.rows, shape.k)


def weight_matrix(weights: np.ndarray) -> np.ndarray:
    """Weights of either layout as (output channels, k), in natural K order."""
    return weights.reshape(weights.shape[0], -1) if weights.size else _empty_matrix(weights)


def _empty_matrix(weights: np.ndarray) -> np.ndarray:
    k = int(np.prod(weights.shape[1:]))
    return weights.reshape(weights.shape[0], k)


def from_rows(rows: np.ndarray, spec: Conv2dSpec, shape: ConvShape) -> np.ndarray:
    """(batch * oh * ow, channels, ...) as the layout's output; further axes stay last."""
    image = rows.reshape(shape.batch, shape.out_height, shape.out_width, *rows.shape[1:])
    return np.moveaxis(image, 3, 1) if spec.layout is Layout.NCHW else image
