"""Convolution as matrix products over bounded blocks of images.

A block's patches stay in the processor's cache. Blocks depend on shapes only, and their sums are
added in order, so that results do not depend on how many threads work on them.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided

from lsqsim.learn.graph import Conv2dNode
from lsqsim.learn.operations.operation import Operation
from lsqsim.learn.operations.weights import Weights
from lsqsim_kernels import columns as kernels

_BLOCK_VALUES = 1 << 18
"""Patch values of a block, 1 MiB."""


class Conv2d(Operation):
    """A convolution of (n, h, w, c) with weights (kernel h, kernel w, c / groups, outputs).

    ``padding_value`` gives what stands around the image: the quantized value of real 0.
    """

    def __init__(self, node: Conv2dNode, weights: Weights, out_size: tuple[int, int]) -> None:
        super().__init__()
        self.node = node
        self.weights = weights
        self.parameters = weights.parameters
        self.needs_input_gradient = True
        self.padding_value: Callable[[], float] = float
        self._out_size = out_size

    def forward(self, inputs: Sequence[np.ndarray], *, training: bool) -> np.ndarray:
        x = inputs[0]
        self._w = self._by_group(self.weights.forward(training=training))
        self._x = self._padded(x)
        self._inner = x.shape
        y = self._buffer("y", (x.shape[0], *self._out_size, self.node.channels))
        for block in self._blocks():
            patches = self._patches(block)
            self._merge(patches @ self._w, y[block])
        if self.weights.bias is not None:
            y += self.weights.bias.value
        return y

    def backward(self, grad: np.ndarray) -> list[np.ndarray | None]:
        w_grad = np.zeros_like(self._w)
        needs_x = self.needs_input_gradient
        x_grad = self._buffer("dx", self._x.shape) if needs_x else None
        if x_grad is not None:
            x_grad[:] = 0
        for block in self._blocks():
            g = self._split(grad[block])
            w_grad += self._patches(block).transpose(0, 2, 1) @ g
            if x_grad is not None:
                self._add_patches(g, x_grad[block])
        self.weights.backward(self._ungrouped(w_grad))
        if self.weights.bias is not None:
            sums = grad.sum(axis=(0, 1, 2), dtype=np.float64)
            self.weights.bias.grad += sums.astype(np.float32)
        return [None if x_grad is None else self._inside(x_grad)]

    def _blocks(self) -> Iterator[slice]:
        """Slices of the batch."""
        a_sample = self._out_size[0] * self._out_size[1] * self._w.shape[0] * self._w.shape[1]
        step = max(1, _BLOCK_VALUES // a_sample)
        n = self._x.shape[0]
        return (slice(start, min(start + step, n)) for start in range(0, n, step))

    def _padded(self, x: np.ndarray) -> np.ndarray:
        top, bottom, left, right = self.node.padding
        if not any(self.node.padding):
            return x
        n, h, w, c = x.shape
        padded = self._buffer("padded", (n, h + top + bottom, w + left + right, c))
        value = np.float32(self.padding_value())
        padded[:, :top] = value
        padded[:, top + h :] = value
        padded[:, top : top + h, :left] = value
        padded[:, top : top + h, left + w :] = value
        padded[:, top : top + h, left : left + w] = x
        return padded

    def _inside(self, padded: np.ndarray) -> np.ndarray:
        if not any(self.node.padding):
            return padded
        top, _, left, _ = self.node.padding
        _, h, w, _ = self._inner
        inside = self._buffer("inside", self._inner)
        inside[:] = padded[:, top : top + h, left : left + w]
        return inside

    def _windows(self, x: np.ndarray) -> np.ndarray:
        """A view of the patches: (n, out h, out w, kernel h, kernel w, c)."""
        node, (n, h, w, c) = self.node, x.strides
        shape = (x.shape[0], *self._out_size, *node.kernel, x.shape[3])
        strides = (
            n, h * node.stride[0], w * node.stride[1], h * node.dilation[0], w * node.dilation[1], c
        )  # fmt: skip
        return as_strided(x, shape, strides, writeable=False)

    def _patches(self, block: slice) -> np.ndarray:
        """(groups, rows, k), contiguous; a view where a patch is one position."""
        x, groups = self._x[block], self.node.groups
        windows = self._windows(x)
        rows = windows.shape[0] * windows.shape[1] * windows.shape[2]
        k = self._w.shape[1]
        if groups == 1:
            if self.node.kernel == (1, 1) and self.node.stride == (1, 1):
                return x.reshape(1, rows, k)
            patches = self._buffer("patches", windows.shape)
            np.copyto(patches, windows)
            return patches.reshape(1, rows, k)
        split = windows.reshape(*windows.shape[:5], groups, -1)
        patches = self._buffer("patches", (groups, *windows.shape[:5], split.shape[-1]))
        np.copyto(patches, np.moveaxis(split, 5, 0))
        return patches.reshape(groups, rows, k)

    def _add_patches(self, grad: np.ndarray, image: np.ndarray) -> None:
        """Add the gradient by the patches to ``image``."""
        node, groups = self.node, self.node.groups
        shape = (image.shape[0], *self._out_size, *node.kernel, image.shape[3])
        patches = self._buffer("d_patches", (groups, grad.shape[1], self._w.shape[1]))
        np.matmul(grad, self._w.transpose(0, 2, 1), out=patches)
        if groups > 1:
            split = patches.reshape(groups, *shape[:5], -1)
            patches = np.ascontiguousarray(np.moveaxis(split, 0, 5))
        kernels.add_columns(patches.reshape(shape), *node.stride, *node.dilation, image)

    def _by_group(self, weights: np.ndarray) -> np.ndarray:
        """(k, outputs) to (groups, k, outputs / groups)."""
        k, outputs = weights.shape
        groups = self.node.groups
        return np.ascontiguousarray(weights.reshape(k, groups, outputs // groups).swapaxes(0, 1))

    def _ungrouped(self, weights: np.ndarray) -> np.ndarray:
        groups, k, per_group = weights.shape
        return np.ascontiguousarray(weights.swapaxes(0, 1)).reshape(k, groups * per_group)

    def _merge(self, products: np.ndarray, out: np.ndarray) -> None:
        """(groups, rows, outputs / groups) into (n, out h, out w, outputs)."""
        groups, rows, per_group = products.shape
        out.reshape(rows, groups, per_group)[:] = products.swapaxes(0, 1)

    def _split(self, grad: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`_merge`."""
        groups = self.node.groups
        rows = grad.shape[0] * grad.shape[1] * grad.shape[2]
        return np.ascontiguousarray(grad.reshape(rows, groups, -1).swapaxes(0, 1))
