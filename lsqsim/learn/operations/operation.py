"""What every operation of the engine is: a forward pass, and its backward pass."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from lsqsim.learn.parameters import Parameter


class Operation(ABC):
    """One node at work. Values are float32, contiguous, channels last.

    Results live in buffers of the operation: they are valid until its next pass.
    """

    def __init__(self) -> None:
        self.parameters: list[Parameter] = []
        self._buffers: dict[str, np.ndarray] = {}

    @abstractmethod
    def forward(self, inputs: Sequence[np.ndarray], *, training: bool) -> np.ndarray:
        """The node's values; what the backward pass needs is kept."""

    @abstractmethod
    def backward(self, grad: np.ndarray) -> list[np.ndarray | None]:
        """Gradients by the inputs of the last forward pass; adds to those of parameters.

        None for an input whose gradient nobody needs.
        """

    def statistics(self) -> dict[str, np.ndarray]:
        """Running statistics, by name, changed in place: not trained, but part of the state."""
        return {}

    def _buffer(
        self, name: str, shape: tuple[int, ...], dtype: type[np.generic] = np.float32
    ) -> np.ndarray:
        """An array of undefined content; memory that is taken again costs no page faults."""
        size = int(np.prod(shape))
        held = self._buffers.get(name)
        if held is None or held.size < size or held.dtype != dtype:
            held = self._buffers[name] = np.empty(size, dtype)
        return held[:size].reshape(shape)
