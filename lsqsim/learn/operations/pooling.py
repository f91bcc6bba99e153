"""Pooling over windows, and over the whole image."""

from collections.abc import Sequence

import numpy as np

from lsqsim.learn.graph import AveragePoolNode, MaxPoolNode
from lsqsim.learn.operations.operation import Operation
from lsqsim_kernels import pooling as kernels


class MaxPool(Operation):
    """Largest of every window; of equals, the first takes the gradient."""

    def __init__(self, node: MaxPoolNode, out_size: tuple[int, int]) -> None:
        super().__init__()
        self.node = node
        self._out_size = out_size

    def forward(self, inputs: Sequence[np.ndarray], *, training: bool) -> np.ndarray:  # noqa: ARG002
        x, node = inputs[0], self.node
        self._shape = x.shape
        shape = (x.shape[0], *self._out_size, x.shape[3])
        y, self._winner = self._buffer("y", shape), self._buffer("winner", shape, np.int32)
        top, _, left, _ = node.padding
        kernels.max_pool(x, *node.kernel, *node.stride, top, left, y, self._winner)
        return y

    def backward(self, grad: np.ndarray) -> list[np.ndarray | None]:
        node = self.node
        dx = self._buffer("dx", self._shape)
        dx[:] = 0
        top, _, left, _ = node.padding
        kernels.max_pool_gradient(grad, self._winner, node.kernel[1], *node.stride, top, left, dx)
        return [dx]


class AveragePool(Operation):
    """Mean of every window."""

    def __init__(self, node: AveragePoolNode, out_size: tuple[int, int]) -> None:
        super().__init__()
        self.node = node
        self._out_size = out_size

    def forward(self, inputs: Sequence[np.ndarray], *, training: bool) -> np.ndarray:  # noqa: ARG002
        x = inputs[0]
        self._shape = x.shape
        y = self._buffer("y", (x.shape[0], *self._out_size, x.shape[3]))
        kernels.average_pool(x, *self.node.kernel, *self.node.stride, y)
        return y

    def backward(self, grad: np.ndarray) -> list[np.ndarray | None]:
        dx = self._buffer("dx", self._shape)
        dx[:] = 0
        kernels.average_pool_gradient(grad, *self.node.kernel, *self.node.stride, dx)
        return [dx]


class GlobalAveragePool(Operation):
    """Mean over the image: (n, h, w, c) to (n, c)."""

    def forward(self, inputs: Sequence[np.ndarray], *, training: bool) -> np.ndarray:  # noqa: ARG002
        x = inputs[0]
        self._shape = x.shape
        return x.mean(axis=(1, 2), dtype=np.float32, out=self._buffer("y", (len(x), x.shape[3])))

    def backward(self, grad: np.ndarray) -> list[np.ndarray | None]:
        dx = self._buffer("dx", self._shape)
        share = np.float32(1 / (self._shape[1] * self._shape[2]))
        dx[:] = (grad * share)[:, None, None, :]
        return [dx]
