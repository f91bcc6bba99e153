"""One name or path for any data set; what lies there decides how it is read."""

import os
from collections.abc import Callable
from pathlib import Path

from lsqsim.data_sets.cifar10 import holds_cifar10, load_cifar10_data_set
from lsqsim.data_sets.content import errors_named
from lsqsim.data_sets.digits import load_digits_data_set
from lsqsim.data_sets.idx import holds_idx, load_idx_data_set
from lsqsim.data_sets.npz import load_npz_data_set
from lsqsim.data_sets.samples import DataSet
from lsqsim.errors import DataError

DATA_DIR = "LSQSIM_DATA_DIR"
"""The environment variable that names the folder of all data sets."""

DIGITS = "digits"

_FORMATS: tuple[tuple[Callable[[Path], bool], Callable[[Path], DataSet]], ...] = (
    (holds_idx, load_idx_data_set),
    (holds_cifar10, load_cifar10_data_set),
)


def load_data_set(source: str | Path) -> DataSet:
    """Load a data set by name or path.

    Parameters
    ----------
    source
        ``"digits"`` for scikit-learn's; else a .npz file, or a folder with the files
        of MNIST, Fashion-MNIST (IDX) or CIFAR-10 (binary or Python version). A
        relative path that doesn't exist is looked for in the folder that the
        environment variable ``LSQSIM_DATA_DIR`` names, too.

    Raises
    ------
    DataError
        Nothing is there, or nothing that can be read.
    LsqsimError
        The digits without scikit-learn.
    """
    if source == DIGITS:
        return load_digits_data_set()
    with errors_named(Path(source)):
        path = _existing(Path(source))
    with errors_named(path):
        load = _loader(path)
    return load(path)


def _existing(path: Path) -> Path:
    if path.exists():
        return path
    if path.is_absolute():
        raise DataError("there is no such file or folder")
    folder = os.environ.get(DATA_DIR)
    if not folder:
        raise DataError(
            f"there is no such file or folder, and {DATA_DIR} is not set: give {DIGITS!r}, "
            f"the path of a data set, or set {DATA_DIR} to the folder that holds it"
        )
    below = Path(folder) / path
    if not below.exists():
        raise DataError(
            f"there is no such file or folder, and no {below}: give {DIGITS!r}, the path of "
            f"a data set, or set {DATA_DIR} to the folder that holds it"
        )
    return below


def _loader(path: Path) -> Callable[[Path], DataSet]:
    if path.is_file():
        if path.suffix != ".npz":
            raise DataError(
                "is a file, but not a .npz: give a .npz, or the folder that holds the files"
            )
        return load_npz_data_set
    loaders = [load for holds, load in _FORMATS if holds(path)]
    if len(loaders) != 1:
        found = "more than one data set" if loaders else "no data set"
        raise DataError(
            f"holds {found}: a folder needs the files of MNIST or Fashion-MNIST "
            f"(train-images-idx3-ubyte ...), or those of CIFAR-10 (data_batch_1.bin ... "
            f"or data_batch_1 ...)"
        )
    return loaders[0]
