"""Training kept in a file: after a crash it goes on from the last epoch, bit for bit the same."""

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lsqsim.data_sets import DataSet
from lsqsim.errors import DataError, SpecError
from lsqsim.files import load_arrays, save_arrays
from lsqsim.learn.graph import GraphSpec
from lsqsim.learn.model import Model
from lsqsim.learn.record import EpochRecord
from lsqsim.learn.training import Trainer
from lsqsim.learn.training_spec import TrainingSpec

FORMAT = "lsqsim training checkpoint 1"

_STATE, _MOMENTUM = "state/", "momentum/"
_MAX_SHOWN = 60


class Checkpoint:
    """The file of one training; made before it begins.

    It knows a training by the network, the specification, the data, where the network starts,
    the teacher, and whatever else decides on the bits: ``more``.

    Parameters
    ----------
    path : Path
        The .npz file.
    trainer : Trainer
        The training, at its start.
    more : mapping of str to str
        Further specifications as TOML, by name.
    """

    def __init__(self, path: Path, trainer: Trainer, more: Mapping[str, str] | None = None) -> None:
        self.path, self._trainer = path, trainer
        teacher = trainer.teacher
        self._identity = {
            "data set": data_digest(trainer.data_set),
            "network": trainer.model.graph.to_toml(),
            "training": trainer.spec.to_toml(),
            **(more or {}),
            "teacher": "" if teacher is None else state_digest(teacher.state()),
            "starting state": state_digest(trainer.model.state()),
        }

    def save(self) -> None:
        """Write all that the next epoch depends on; the file before it stays until all is there."""
        records = [record.to_dict() for record in self._trainer.records]
        arrays = {
            "format": np.array(FORMAT),
            "identity": np.array(json.dumps(self._identity)),
            "records": np.array(json.dumps(records, allow_nan=False)),
        }
        arrays |= _prefixed(_STATE, self._trainer.model.state())
        arrays |= _prefixed(_MOMENTUM, self._trainer.optimizer.state())
        save_arrays(self.path, arrays)

    def resume(self) -> bool:
        """Take up the training where the file has it; False if there is none.

        Raises
        ------
        DataError
            A file that is damaged, no checkpoint, or of another training; nothing is taken then.
        """
        if not self.path.exists():
            return False
        arrays = load_arrays(self.path)
        texts = _texts(self.path, arrays)
        self._check_identity(_object(self.path, texts["identity"]))
        records = _records(self.path, texts["records"], self._trainer.spec)
        self._load(arrays)
        self._trainer.records[:] = records
        return True

    def _check_identity(self, saved: dict[str, str]) -> None:
        for name in self._identity | saved:
            there, asked = saved.get(name, ""), self._identity.get(name, "")
            if there != asked:
                field, old, new = _first_difference(name, there, asked)
                raise DataError(
                    f"{self.path}: is of another training: {field} is {_shown(old)} there, and "
                    f"{_shown(new)} is asked for: {_REMEDY}"
                )

    def _load(self, arrays: dict[str, np.ndarray]) -> None:
        model, optimizer = self._trainer.model, self._trainer.optimizer
        before = optimizer.state()
        state = _state(self.path, arrays)
        try:
            optimizer.load_state(_without_prefix(_MOMENTUM, arrays))
            model.load_state(state)
        except DataError as error:
            optimizer.load_state(before)
            raise DataError(f"{self.path}: is damaged: {error}") from None


_REMEDY = "give another --output, or --restart to begin anew"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SavedTraining:
    """What a checkpoint holds.

    Attributes
    ----------
    model
        The network, as it was after the last epoch.
    spec
        How it is trained.
    records
        Of every epoch done.
    """

    model: Model
    spec: TrainingSpec
    records: list[EpochRecord]

    @property
    def is_complete(self) -> bool:
        """Whether all epochs are done."""
        return len(self.records) >= self.spec.epochs


def load_training(path: Path) -> SavedTraining:
    """Read a checkpoint by itself; DataError for anything else."""
    arrays = load_arrays(path)
    texts = _texts(path, arrays)
    identity, state = _object(path, texts["identity"]), _state(path, arrays)
    try:
        model = Model(GraphSpec.from_toml(identity.get("network", "")), seed=0)
        spec = TrainingSpec.from_toml(identity.get("training", ""))
        model.load_state(state)
    except (SpecError, DataError) as error:
        raise DataError(f"{path}: is damaged: {error}") from None
    return SavedTraining(model=model, spec=spec, records=_records(path, texts["records"], spec))


def data_digest(data_set: DataSet) -> str:
    """A hash of all samples, labels and what they stand for; not of the data set's name."""
    digest = hashlib.sha256(f"{data_set.n_classes} {data_set.offset!r} {data_set.scale!r}".encode())
    for samples in (data_set.train, data_set.test):
        for array in (samples.values, samples.labels):
            _add(digest, array)
    return digest.hexdigest()[:32]


def state_digest(state: Mapping[str, np.ndarray]) -> str:
    """A hash of named arrays."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode())
        _add(digest, state[name])
    return digest.hexdigest()[:32]


def _add(digest: Any, array: np.ndarray) -> None:
    digest.update(f"|{array.dtype.str} {array.shape}|".encode())
    digest.update(np.ascontiguousarray(array).data)


def _prefixed(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {prefix + name: array for name, array in arrays.items()}


def _without_prefix(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def _texts(path: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    texts = {name: _text_of(path, arrays, name) for name in ("format", "identity", "records")}
    if texts["format"] != FORMAT:
        raise DataError(f"{path}: holds {_shown(texts['format'])}, not {FORMAT!r}: {_REMEDY}")
    return texts


def _state(path: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    state = _without_prefix(_STATE, arrays)
    for name, array in state.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise DataError(f"{path}: is damaged: {name} holds no finite float32 numbers")
    return state


def _records(path: Path, text: str, spec: TrainingSpec) -> list[EpochRecord]:
    try:
        records = [EpochRecord.from_dict(entry) for entry in json.loads(text)]
    except (ValueError, TypeError, RecursionError) as error:  # DataError is a ValueError
        raise DataError(f"{path}: is damaged: its records: {error}") from None
    epochs = [record.epoch for record in records]
    if epochs != list(range(1, len(records) + 1)) or len(epochs) > spec.epochs:
        raise DataError(f"{path}: is damaged: its epochs are {epochs}")
    return records


def _text_of(path: Path, arrays: Mapping[str, np.ndarray], name: str) -> str:
    array = arrays.get(name)
    if array is None or array.dtype.kind != "U" or array.ndim:
        raise DataError(f"{path}: is no checkpoint of a training, its {name} is missing: {_REMEDY}")
    return str(array)


def _object(path: Path, text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is damaged: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise DataError(f"{path}: is damaged: it does not say which training it is of")
    return found


def _first_difference(name: str, there: str, asked: str) -> tuple[str, object, object]:
    """The first key of two TOML texts with different values; the texts, if they are none."""
    try:
        old, new = (dict(_leaves(name, tomllib.loads(text))) for text in (there, asked))
    except tomllib.TOMLDecodeError:
        return name, there, asked
    for key in [*new, *old]:
        if old.get(key) != new.get(key):
            return key, old.get(key), new.get(key)
    return name, there, asked


def _leaves(path: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(f"{path}.{key}", inner)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _leaves(f"{path}[{i}]", inner)
    else:
        yield path, value


def _shown(value: object) -> str:
    text = repr(value) if value else "none"
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
