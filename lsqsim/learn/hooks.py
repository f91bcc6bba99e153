"""What others do at set points of training."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from lsqsim.errors import SpecError
from lsqsim.learn.model import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProgress:
    """How far training is, told after every update.

    Attributes
    ----------
    epoch, epochs
        The running epoch, 1 for the first, of how many.
    step, steps
        Updates done in the whole training, of how many.
    loss, accuracy
        Of the running epoch so far.
    seconds_left
        At the pace of this process so far.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy: float
    seconds_left: float


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What others do at set points of training; none of it may change the network.

    Attributes
    ----------
    evaluate
        Called with the network at the end of every ``evaluate_every``-th epoch and of the last
        one; what it returns joins the record.
    replay
        Called before every training forward pass with the network and its real inputs; the
        values of nodes it returns take the place of what the network computes.
    progress
        Told of every update.
    warn
        Told once of every quantizer that clips all values.
    """

    evaluate: Callable[[Model], Mapping[str, float]] | None = None
    evaluate_every: int = 1
    replay: Callable[[Model, np.ndarray], Mapping[str, np.ndarray]] | None = None
    progress: Callable[[StepProgress], None] | None = None
    warn: Callable[[str], None] = _warn

    def __post_init__(self) -> None:
        if self.evaluate_every < 1:
            raise SpecError(f"evaluate_every must be 1 or more, got {self.evaluate_every}")
