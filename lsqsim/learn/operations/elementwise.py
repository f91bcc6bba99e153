"""Operations value by value, and those that only move values."""

from collections.abc import Sequence

import numpy as np

from lsqsim.learn.operations.operation import Operation
from lsqsim.learn.quantizer import LearnedQuantizer


class Relu(Operation):
    """max(x, 0); no gradient at 0."""

    def forward(self, inputs: Sequence[np.ndarray], *, training: bool) -> np.ndarray:  # noqa: ARG002
        self._y = np.maximum(inputs[0], 0, out=self._buffer("y", inputs[0].shape))
        return self._y

    def backward(self, grad: np.ndarray) -> list[np.ndarray | None]:
        dx = self._buffer("dx", grad.shape)
        return [np.multiply(grad, self._y > 0, out=dx)]


class Add(Operation):
    """The residual addition."""

    def forward(self, inputs: Sequence[np.ndarray], *, training: bool) -> np.ndarray:  # noqa: ARG002
        return np.add(inputs[0], inputs[1], out=self._buffer("y", inputs[0].shape))

    def backward(self, grad: np.ndarray) -> list[np.ndarray | None]:
        return [grad, grad]


class Concat(Operation):
    """Channels one after the other."""

    def forward(self, inputs: Sequence[np.ndarray], *, training: bool) -> np.ndarray:  # noqa: ARG002
        self._first = inputs[0].shape[-1]
        shape = (*inputs[0].shape[:-1], self._first + inputs[1].shape[-1])
        return np.concatenate(inputs, axis=-1, out=self._buffer("y", shape))

    def backward(self, grad: np.ndarray) -> list[np.ndarray | None]:
        parts = grad[..., : self._first], grad[..., self._first :]
        return [np.ascontiguousarray(part) for part in parts]


class Flatten(Operation):
    """(n, h, w, c) to (n, h * w * c)."""

    def forward(self, inputs: Sequence[np.ndarray], *, training: bool) -> np.ndarray:  # noqa: ARG002
        self._shape = inputs[0].shape
        return inputs[0].reshape(self._shape[0], -1)

    def backward(self, grad: np.ndarray) -> list[np.ndarray | None]:
        return [grad.reshape(self._shape)]


class Quantize(Operation):
    """Values through a learned quantizer, whose step size starts with the first batch."""

    def __init__(self, quantizer: LearnedQuantizer) -> None:
        super().__init__()
        self.quantizer = quantizer
        self.parameters = quantizer.parameters

    def forward(self, inputs: Sequence[np.ndarray], *, training: bool) -> np.ndarray:
        x = inputs[0]
        if training and not self.quantizer.is_started:
            self.quantizer.start(x)
        return self.quantizer.forward(x, self._buffer("y", x.shape))

    def backward(self, grad: np.ndarray) -> list[np.ndarray | None]:
        return [self.quantizer.backward(grad, self._buffer("dx", grad.shape))]
