"""How a network is trained, as data."""

import math
from dataclasses import dataclass

from lsqsim.data_sets import Augmentation
from lsqsim.errors import SpecError
from lsqsim.learn.loss import DistillationSpec
from lsqsim.learn.schedule import Schedule
from lsqsim.specs.toml import Spec

MAX_EPOCHS, MAX_BATCH, MAX_SEED = 100_000, 1 << 16, (1 << 32) - 1

_NO_AUGMENTATION = Augmentation()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSpec(Spec):
    """How a network is trained: stochastic gradient descent with momentum.

    Attributes
    ----------
    epochs
        Passes over the training set, 1 .. 100000.
    batch_size
        Samples an update, 1 .. 65536; what is left of an epoch after whole batches is left out.
    learning_rate
        At the start; finite, above 0.
    momentum
        0 or more, below 1.
    weight_decay
        Of weights only; finite, 0 or more.
    schedule
        What becomes of the learning rate.
    seed
        Of order and augmentation, 0 .. 2**32 - 1.
    augmentation
        Random changes of every sample.
    distillation
        How much a teacher has a say, or None for none.
    """

    epochs: int
    batch_size: int = 128
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 1e-4
    schedule: Schedule = Schedule.COSINE
    seed: int = 0
    augmentation: Augmentation = _NO_AUGMENTATION
    distillation: DistillationSpec | None = None

    def validate(self) -> None:
        _within("epochs", self.epochs, 1, MAX_EPOCHS)
        _within("batch_size", self.batch_size, 1, MAX_BATCH)
        _within("seed", self.seed, 0, MAX_SEED)
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise SpecError(f"learning_rate must be finite and above 0, got {self.learning_rate}")
        if not 0 <= self.momentum < 1:
            raise SpecError(f"momentum must be 0 or more and below 1, got {self.momentum}")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise SpecError(f"weight_decay must be finite and 0 or more, got {self.weight_decay}")


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise SpecError(f"{name} must be in {low}..{high}, got {value}")
