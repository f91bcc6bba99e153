"""The fully connected layer."""

from collections.abc import Sequence

import numpy as np

from lsqsim.learn.operations.operation import Operation
from lsqsim.learn.operations.weights import Weights


class Linear(Operation):
    """y = x W + b; x (n, k), W (k, outputs)."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.weights = weights
        self.parameters = weights.parameters
        self.needs_input_gradient = True

    def forward(self, inputs: Sequence[np.ndarray], *, training: bool) -> np.ndarray:
        self._x = inputs[0]
        self._w = self.weights.forward(training=training)
        y = self._buffer("y", (self._x.shape[0], self._w.shape[1]))
        np.matmul(self._x, self._w, out=y)
        if self.weights.bias is not None:
            y += self.weights.bias.value
        return y

    def backward(self, grad: np.ndarray) -> list[np.ndarray | None]:
        self.weights.backward(self._x.T @ grad)
        if self.weights.bias is not None:
            self.weights.bias.grad += grad.sum(axis=0, dtype=np.float64).astype(np.float32)
        if not self.needs_input_gradient:
            return [None]
        return [np.matmul(grad, self._w.T, out=self._buffer("dx", self._x.shape))]
