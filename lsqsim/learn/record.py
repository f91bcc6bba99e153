"""What is kept of every epoch."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from lsqsim.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """One epoch of training.

    Attributes
    ----------
    epoch
        1 for the first.
    learning_rate
        At its first update.
    loss, train_accuracy
        Mean over its batches as they were trained on; accuracies are shares, 0 .. 1.
    test_loss, test_accuracy
        At its end, on the test set.
    seconds
        Wall time.
    step_sizes
        At its end, one or one a channel, by quantizer.
    dead
        Quantizers that clipped all values of its first or last batch.
    measured
        What a hook measured at its end, by name.
    """

    epoch: int
    learning_rate: float
    loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    seconds: float
    step_sizes: dict[str, list[float]]
    dead: list[str]
    measured: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """This record as plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> Self:
        """Read :meth:`to_dict`'s; DataError for anything else."""
        names = {field.name for field in fields(cls)}
        if not isinstance(data, dict) or data.keys() != names:
            raise DataError(f"a record of an epoch has {', '.join(sorted(names))}, got {data!r}")
        numbers = [data[field.name] for field in fields(cls) if field.type is float]
        numbers += [data["epoch"], *_values(data, "measured")]
        if not isinstance(data["dead"], list) or not all(isinstance(n, str) for n in data["dead"]):
            raise DataError(f"dead quantizers of an epoch must be names, got {data['dead']!r}")
        for steps in _values(data, "step_sizes"):
            if not isinstance(steps, list):
                raise DataError(f"step_sizes of an epoch must be lists of numbers, got {steps!r}")
            numbers += steps
        if not all(map(_is_number, numbers)) or type(data["epoch"]) is not int:
            raise DataError(f"a record of an epoch holds finite numbers, got {data!r}")
        return cls(**data)


def _values(data: dict[str, Any], name: str) -> list[Any]:
    if not isinstance(data[name], dict):
        raise DataError(f"{name} of an epoch must be named numbers, got {data[name]!r}")
    return list(data[name].values())


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # pyright: ignore[reportArgumentType]
