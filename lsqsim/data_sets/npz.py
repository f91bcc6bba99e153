"""Data sets of one's own: a .npz file of four named arrays."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lsqsim.data_sets.content import errors_named
from lsqsim.data_sets.samples import MAX_CLASSES, DataSet, Samples
from lsqsim.errors import DataError
from lsqsim.files import load_arrays

_ARRAYS = ("train_values", "train_labels", "test_values", "test_labels")
_SCALARS = ("offset", "scale", "n_classes")


def load_npz_data_set(path: str | Path) -> DataSet:
    """Read ``train_values``, ``train_labels``, ``test_values``, ``test_labels`` of a .npz file.

    Values are uint8, or floats, which become float32; labels are integers. Scalars
    ``offset`` (0), ``scale`` (1) and ``n_classes`` (the largest label plus 1) may stand
    beside them. The file's name without suffix becomes the name of the data set.

    Raises
    ------
    DataError
        The file can't be read or holds a pickle; an array is missing, unknown, of a
        wrong type, or one that :class:`DataSet` refuses.
    """
    arrays, path = load_arrays(path), Path(path)
    with errors_named(path):
        _check_names(arrays)
        train, test = _samples(arrays, "train"), _samples(arrays, "test")
        return DataSet(
            name=path.stem,
            train=train,
            test=test,
            n_classes=_n_classes(arrays, (train, test)),
            offset=float(_scalar(arrays, "offset", "iuf", 0.0)),
            scale=float(_scalar(arrays, "scale", "iuf", 1.0)),
        )


def _check_names(arrays: Mapping[str, np.ndarray]) -> None:
    missing = [name for name in _ARRAYS if name not in arrays]
    if missing:
        raise DataError(f"lacks the arrays {', '.join(missing)}; it holds {', '.join(arrays)}")
    for name in arrays:
        if name not in _ARRAYS + _SCALARS:
            raise DataError(
                f"has an unknown array {name}; legal are {', '.join(_ARRAYS + _SCALARS)}"
            )


def _samples(arrays: Mapping[str, np.ndarray], part: str) -> Samples:
    return Samples(
        values=_values(f"{part}_values", arrays[f"{part}_values"]),
        labels=_labels(f"{part}_labels", arrays[f"{part}_labels"]),
    )


def _values(name: str, values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind != "f":
        raise DataError(
            f"{name} must be uint8 or floats, got {values.dtype}: convert them by .astype"
        )
    with np.errstate(over="ignore"):  # what float32 can't hold becomes infinite, and is refused
        return values.astype(np.float32)


def _labels(name: str, labels: np.ndarray) -> np.ndarray:
    if labels.dtype.kind not in "iu":
        raise DataError(f"{name} must be integers, got {labels.dtype}")
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < MAX_CLASSES:
        raise DataError(
            f"{name} must be in 0..{MAX_CLASSES - 1}, got {labels.min()}..{labels.max()}"
        )
    return labels.astype(np.int64)


def _n_classes(arrays: Mapping[str, np.ndarray], parts: tuple[Samples, Samples]) -> int:
    largest = max(int(part.labels.max(initial=0)) for part in parts)
    return int(_scalar(arrays, "n_classes", "iu", largest + 1))


def _scalar(
    arrays: Mapping[str, np.ndarray], name: str, kinds: str, default: float
) -> np.ndarray | float:
    if name not in arrays:
        return default
    value = arrays[name]
    if value.ndim != 0 or value.dtype.kind not in kinds:
        wanted = "number" if "f" in kinds else "integer"
        raise DataError(
            f"{name} must be a single {wanted}, got {value.dtype} of shape {value.shape}"
        )
    return value
