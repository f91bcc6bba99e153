"""What training moves: arrays with their gradients, and how each kind is treated."""

from dataclasses import dataclass, field
from enum import Enum, auto

import numpy as np


class Kind(Enum):
    """What a parameter is; weight decay and clipping go by it."""

    WEIGHT = auto()
    BIAS = auto()
    GAMMA = auto()
    """Factor of a batch normalization."""
    BETA = auto()
    """Addend of a batch normalization."""
    STEP = auto()
    """What a step size is learned as: itself, its logarithm, a clip value, a threshold."""
    OFFSET = auto()
    """Offset of LSQ+."""


@dataclass(slots=True, eq=False)
class Parameter:
    """A trained array, float32, changed in place.

    Attributes
    ----------
    name
        ``layer.weight``, unique in its model.
    kind
        What it is.
    value, grad
        float32 of one shape; a backward pass adds to ``grad``.
    """

    name: str
    kind: Kind
    value: np.ndarray
    grad: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.value = np.ascontiguousarray(self.value, np.float32)
        self.grad = np.zeros_like(self.value)
