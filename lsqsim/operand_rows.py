"""A layer's operands as rows of a matrix product, and the product's rows as the layer's output."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from lsqsim.convolution import ConvShape, conv_shape, from_rows, patches
from lsqsim.errors import DataError
from lsqsim.layer import Layer
from lsqsim.specs import Conv2dSpec, Layout

_BLOCK_PRODUCTS = 1 << 26
_BLOCK_OPERANDS = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class OperandRows:
    """How a layer's inputs become rows of a matrix product, and its rows the output."""

    groups: int
    k: int
    n_rows: int
    n_outputs: int
    leading: tuple[int, ...]
    conv: tuple[Conv2dSpec, ConvShape] | None

    @classmethod
    def of(cls, layer: Layer, x_shape: tuple[int, ...]) -> "OperandRows":
        w_shape = layer.weight_shape
        if isinstance(layer.spec, Conv2dSpec):
            shape = conv_shape(layer.spec, x_shape, w_shape)
            return cls(
                groups=shape.groups, k=shape.k, n_rows=shape.rows, n_outputs=w_shape[0],
                leading=(), conv=(layer.spec, shape),
            )  # fmt: skip
        if not x_shape or x_shape[-1] != w_shape[1]:
            raise DataError(
                f"inputs {x_shape} and weights {w_shape} do not meet: the inputs' last axis "
                f"must be K = {w_shape[1]}"
            )
        return cls(
            groups=1, k=w_shape[1], n_rows=int(np.prod(x_shape[:-1])), n_outputs=w_shape[0],
            leading=x_shape[:-1], conv=None,
        )  # fmt: skip

    def blocks(self, codes: np.ndarray, pad_value: int) -> Iterator[np.ndarray]:
        """Operands (groups, rows, k), a bounded number of rows at a time."""
        k = max(self.k, 1)
        rows = max(1, min(_BLOCK_PRODUCTS // (max(self.n_outputs, 1) * k), _BLOCK_OPERANDS // k))
        if self.conv is None:
            matrix = codes.reshape(self.n_rows, self.k)
            for start in range(0, max(self.n_rows, 1), rows):
                yield matrix[None, start : start + rows]
            return
        spec, shape = self.conv
        images = max(1, rows // max(shape.out_height * shape.out_width, 1))
        for start in range(0, max(shape.batch, 1), images):
            part = codes[start : start + images]
            yield patches(part, spec, replace(shape, batch=len(part)), pad_value)

    def by_group(self, values: np.ndarray) -> np.ndarray:
        """(output channels, ...) as (groups, channels of the group, ...)."""
        per_group = self.n_outputs // self.groups
        return values.reshape(self.groups, per_group, *values.shape[1:])

    def as_output(self, rows: np.ndarray) -> np.ndarray:
        """(rows, channels, ...) in the layer's output shape; further axes stay last."""
        if self.conv is None:
            return rows.reshape(*self.leading, *rows.shape[1:])
        return np.ascontiguousarray(from_rows(rows, *self.conv))

    def operands_of(self, codes: np.ndarray, index: tuple[int, ...], pad_value: int) -> np.ndarray:
        """Input codes (k,) of the output at ``index``, in natural K order."""
        if self.conv is None:
            return codes[index[:-1]]
        spec, shape = self.conv
        if spec.layout is Layout.NCHW:
            image, channel, row, column = index
        else:
            image, row, column, channel = index
        alone = patches(codes[image : image + 1], spec, replace(shape, batch=1), pad_value)
        group = channel // (shape.out_channels // shape.groups)
        return alone[group, row * shape.out_width + column]
