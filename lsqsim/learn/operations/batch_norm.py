"""Batch normalization: by the batch's statistics in training, by running ones in evaluation."""

from collections.abc import Sequence

import numpy as np

from lsqsim.errors import DataError
from lsqsim.learn.graph import BatchNormNode
from lsqsim.learn.operations.operation import Operation
from lsqsim.learn.parameters import Kind, Parameter
from lsqsim_kernels import batch_norm as kernels


class BatchNorm(Operation):
    """y = gamma * (x - mean) / sqrt(variance + epsilon) + beta; channels last.

    The batch's variance is the biased one; the running variance follows the unbiased one, as in
    PyTorch. ``is_frozen`` makes training use the running statistics, and leave them as they are.
    """

    def __init__(self, node: BatchNormNode, n_channels: int) -> None:
        super().__init__()
        self.node = node
        self.is_frozen = False
        self.gamma = Parameter(f"{node.name}.gamma", Kind.GAMMA, np.ones(n_channels))
        self.beta = Parameter(f"{node.name}.beta", Kind.BETA, np.zeros(n_channels))
        self.parameters = [self.gamma, self.beta]
        self.mean = np.zeros(n_channels, np.float32)
        self.variance = np.ones(n_channels, np.float32)

    def statistics(self) -> dict[str, np.ndarray]:
        return {f"{self.node.name}.mean": self.mean, f"{self.node.name}.variance": self.variance}

    def forward(self, inputs: Sequence[np.ndarray], *, training: bool) -> np.ndarray:
        x = inputs[0]
        self._x = x.reshape(-1, x.shape[-1])
        self._by_batch = training and not self.is_frozen
        mean, variance = self._batch_moments() if self._by_batch else self._running_moments()
        self._mean = mean
        self._inverse = 1 / np.sqrt(variance + self.node.epsilon)
        scale = self.gamma.value * self._inverse
        shift = self.beta.value - mean * scale
        y = self._buffer("y", x.shape)
        kernels.scale_and_shift(self._x, _single(scale), _single(shift), y.reshape(self._x.shape))
        return y

    def backward(self, grad: np.ndarray) -> list[np.ndarray | None]:
        g = grad.reshape(self._x.shape)
        n, channels = g.shape
        sums, products = np.zeros(channels), np.zeros(channels)
        mean, inverse = _single(self._mean), _single(self._inverse)
        kernels.add_gradient_sums(self._x, g, mean, inverse, sums, products)
        self.beta.grad += _single(sums)
        self.gamma.grad += _single(products)
        factor = _single(self.gamma.value * self._inverse)
        dx = self._buffer("dx", grad.shape)
        out = dx.reshape(g.shape)
        if self._by_batch:
            slope = _single(self._inverse * products / n)
            kernels.normalization_gradient(self._x, g, mean, factor, _single(sums / n), slope, out)
        else:
            kernels.scale_and_shift(g, factor, np.zeros(channels, np.float32), out)
        return [dx]

    def _batch_moments(self) -> tuple[np.ndarray, np.ndarray]:
        n, channels = self._x.shape
        if n < 2:
            raise DataError(
                f"{self.node.name}: batch normalization needs at least 2 values a channel in "
                f"training, got {n}: use a larger batch"
            )
        sums, squares = np.zeros(channels), np.zeros(channels)
        kernels.add_moments(self._x, sums, squares)
        mean = sums / n
        variance = np.maximum(squares / n - mean * mean, 0)
        momentum = self.node.momentum
        self.mean += momentum * _single(mean - self.mean)
        self.variance += momentum * _single(variance * (n / (n - 1)) - self.variance)
        return mean, variance

    def _running_moments(self) -> tuple[np.ndarray, np.ndarray]:
        return self.mean.astype(np.float64), self.variance.astype(np.float64)


def _single(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)
