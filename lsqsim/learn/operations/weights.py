"""Weights of a layer: as they are, or through their learned quantizer."""

import numpy as np

from lsqsim.learn.parameters import Kind, Parameter
from lsqsim.learn.quantizer import LearnedQuantizer


class Weights:
    """A weight array (..., outputs), its optional quantizer and its optional bias (outputs,)."""

    def __init__(
        self, name: str, values: np.ndarray, quantizer: LearnedQuantizer | None, *, bias: bool
    ) -> None:
        self.weight = Parameter(f"{name}.weight", Kind.WEIGHT, values)
        self.quantizer = quantizer
        n = values.shape[-1]
        self.bias = Parameter(f"{name}.bias", Kind.BIAS, np.zeros(n, np.float32)) if bias else None
        self.parameters = [self.weight]
        if self.bias is not None:
            self.parameters.append(self.bias)
        if quantizer is not None:
            self.parameters += quantizer.parameters

    def forward(self, *, training: bool) -> np.ndarray:
        """Weights as the layer applies them; (k, outputs)."""
        values = self.weight.value.reshape(-1, self.weight.value.shape[-1])
        if self.quantizer is None:
            return values
        if training and not self.quantizer.is_started:
            self.quantizer.start(values)
        return self.quantizer.forward(values)

    def backward(self, grad: np.ndarray) -> None:
        """Take the gradient by what :meth:`forward` returned, (k, outputs)."""
        if self.quantizer is not None:
            grad = self.quantizer.backward(grad, are_weights=True)
        self.weight.grad += grad.reshape(self.weight.grad.shape)
