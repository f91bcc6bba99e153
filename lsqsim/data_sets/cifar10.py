"""CIFAR-10 as published: the binary version or the Python version, each a folder of six files."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lsqsim.data_sets.cifar10_binary import read_binary_batch
from lsqsim.data_sets.cifar10_python import read_python_batch
from lsqsim.data_sets.content import errors_named
from lsqsim.data_sets.samples import DataSet, Samples
from lsqsim.errors import DataError

N_CLASSES = 10
_CHANNELS, _SIDE = 3, 32
_MIDDLE = 128.0
_TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))
_TEST = ("test_batch",)


class _Version(NamedTuple):
    subfolder: str
    suffix: str
    read: Callable[[Path], tuple[np.ndarray, np.ndarray]]

    def paths(self, folder: Path, names: tuple[str, ...]) -> list[Path]:
        return [folder / f"{name}{self.suffix}" for name in names]


_VERSIONS = (
    _Version("cifar-10-batches-bin", ".bin", read_binary_batch),
    _Version("cifar-10-batches-py", "", read_python_batch),
)


def load_cifar10_data_set(folder: str | Path) -> DataSet:
    """Read CIFAR-10 from its folder, or from the one that holds it under its published name.

    Where both versions are, the binary one is read; they hold the same images.

    Returns
    -------
    DataSet
        Images uint8 (n, 32, 32, 3), red, green, blue, for real numbers -1 .. 127/128.

    Raises
    ------
    DataError
        A file is missing or damaged, or a label is not 0 .. 9.
    """
    with errors_named(Path(folder)):
        version, inner = _required(Path(folder))
    train, test = version.paths(inner, _TRAIN), version.paths(inner, _TEST)
    with errors_named(inner):
        missing = [path.name for path in (*train, *test) if not path.is_file()]
        if missing:
            raise DataError(f"lacks {', '.join(missing)}")
    train, test = _samples(version, train), _samples(version, test)
    with errors_named(inner):
        return DataSet(
            name="cifar10",
            train=train,
            test=test,
            n_classes=N_CLASSES,
            offset=_MIDDLE,
            scale=_MIDDLE,
        )


def holds_cifar10(folder: Path) -> bool:
    """Whether a folder has a batch of either version, hence should have all."""
    return _found(folder) is not None


def _required(folder: Path) -> tuple[_Version, Path]:
    found = _found(folder)
    if found is None:
        names = " or ".join(version.subfolder for version in _VERSIONS)
        raise DataError(f"holds no CIFAR-10: no batches, and no folder {names} with them")
    return found


def _found(folder: Path) -> tuple[_Version, Path] | None:
    for version in _VERSIONS:
        for inner in (folder, folder / version.subfolder):
            if any(path.is_file() for path in version.paths(inner, _TRAIN + _TEST)):
                return version, inner
    return None


def _samples(version: _Version, paths: list[Path]) -> Samples:
    batches = [_batch(version, path) for path in paths]
    return Samples(
        values=np.concatenate([images for images, _ in batches]),
        labels=np.concatenate([labels for _, labels in batches]),
    )


def _batch(version: _Version, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (n, 32, 32, 3) in C order, labels int64 (n,)."""
    with errors_named(path):
        pixels, labels = version.read(path)
        if pixels.shape != (len(labels), _CHANNELS * _SIDE**2):
            raise DataError(
                f"must hold {_CHANNELS * _SIDE**2} pixels for each label, got an array of shape "
                f"{pixels.shape} and {len(labels)} labels"
            )
        wrong = np.flatnonzero(labels >= N_CLASSES)
        if len(wrong):
            raise DataError(
                f"{len(wrong)} of {len(labels)} labels are outside 0..{N_CLASSES - 1}, "
                f"the first is {labels[wrong[0]]} at index {wrong[0]}: the file is damaged"
            )
    planes = pixels.reshape(-1, _CHANNELS, _SIDE, _SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels
