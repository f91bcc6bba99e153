"""Samples with their labels, split into a training set and a test set."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lsqsim.errors import DataError

MAX_CLASSES = 1 << 16
"""A label beyond it is damage rather than a class."""

_VALUE_TYPES = (np.dtype(np.uint8), np.dtype(np.float32))
_IMAGE_AXES, _FEATURE_AXES = 4, 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """Samples and the class of each; :class:`DataSet` checks them.

    Attributes
    ----------
    values
        uint8 or float32: images (n, h, w, c), or (n, features). In C order; another
        order is copied into it.
    labels
        int64 (n,), each 0 .. n_classes - 1.
    """

    values: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        for name in ("values", "labels"):
            array: Any = getattr(self, name)
            if not isinstance(array, np.ndarray):
                raise DataError(f"{name} must be a NumPy array, got {type(array).__name__}")
            object.__setattr__(self, name, np.ascontiguousarray(array))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DataSet:
    """A training set and a test set of equal sample shape and dtype.

    Attributes
    ----------
    name
        For tables and messages.
    train, test
        At least one sample each.
    n_classes
        1 .. 65536.
    offset, scale
        A value stands for the real number (value - offset) / scale; scale > 0.

    Raises
    ------
    DataError
        An empty set, labels out of range, as many labels as samples not given, sets
        of different shapes, values or real numbers that no finite float32 holds.

    Examples
    --------
    Bytes around 128, as real numbers around 0:

    >>> samples = Samples(values=np.array([[0], [255]], np.uint8), labels=np.array([0, 1]))
    >>> data_set = DataSet(
    ...     name="two", train=samples, test=samples, n_classes=2, offset=128.0, scale=128.0
    ... )
    >>> data_set.real(samples.values).tolist()
    [[-1.0], [0.9921875]]
    """

    name: str
    train: Samples
    test: Samples
    n_classes: int
    offset: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.n_classes <= MAX_CLASSES:
            raise DataError(f"n_classes must be in 1..{MAX_CLASSES}, got {self.n_classes}")
        _check_affine(self.offset, self.scale)
        for part, samples in (("train", self.train), ("test", self.test)):
            _check_values(part, samples.values)
            _check_labels(part, samples, self.n_classes)
        train, test = self.train.values, self.test.values
        if train.dtype != test.dtype:
            raise DataError(
                f"train values are {train.dtype} and test values {test.dtype}: "
                f"both must have one dtype"
            )
        if train.shape[1:] != test.shape[1:]:
            raise DataError(
                f"train samples have shape {train.shape[1:]} and test samples {test.shape[1:]}: "
                f"both must be alike"
            )
        self._check_reals()

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """(h, w, c) or (features,)."""
        return self.train.values.shape[1:]

    def real(self, values: np.ndarray) -> np.ndarray:
        """The real numbers that ``values`` stand for: float32, a new array of the same shape."""
        return (values.astype(np.float32) - np.float32(self.offset)) / np.float32(self.scale)

    def _check_reals(self) -> None:
        for part, samples in (("train", self.train), ("test", self.test)):
            ends = np.array([samples.values.min(), samples.values.max()])
            with np.errstate(over="ignore"):
                finite = np.isfinite(self.real(ends)).all()
            if not finite:
                raise DataError(
                    f"{part} values {ends[0]} .. {ends[1]} with offset {self.offset} and scale "
                    f"{self.scale} exceed float32: choose a larger scale"
                )


def _check_affine(offset: float, scale: float) -> None:
    smallest, largest = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
    # NaN fails both comparisons
    if not abs(offset) <= largest:
        raise DataError(f"offset must be a finite float32 number, got {offset}")
    if not smallest <= scale <= largest:
        raise DataError(f"scale must be a positive normal float32 number, got {scale}")


def _check_values(part: str, values: np.ndarray) -> None:
    if values.dtype not in _VALUE_TYPES:
        raise DataError(
            f"{part} values must be uint8 or float32, got {values.dtype}: convert them by .astype"
        )
    if values.ndim not in (_IMAGE_AXES, _FEATURE_AXES):
        raise DataError(
            f"{part} values must have shape (n, h, w, c) or (n, features), got {values.shape}"
        )
    if len(values) == 0:
        raise DataError(f"the {part} set is empty: it needs one sample or more")
    if values.size == 0:
        raise DataError(f"{part} samples of shape {values.shape[1:]} hold no values")
    if values.dtype != np.uint8:
        _check_finite(part, values)


def _check_finite(part: str, values: np.ndarray) -> None:
    # NaN and infinities show in the least and the largest value, which need no array of flags.
    if np.isfinite([values.min(), values.max()]).all():
        return
    bad = ~np.isfinite(values.reshape(len(values), -1))
    raise DataError(
        f"{np.count_nonzero(bad)} of {values.size} {part} values are no finite float32 numbers, "
        f"the first in sample {bad.any(axis=1).argmax()}: leave such samples out"
    )


def _check_labels(part: str, samples: Samples, n_classes: int) -> None:
    labels = samples.labels
    if labels.dtype != np.int64 or labels.ndim != 1:
        raise DataError(
            f"{part} labels must be int64 of shape (n,), got {labels.dtype} of shape {labels.shape}"
        )
    if len(labels) != len(samples.values):
        raise DataError(
            f"the {part} set has {len(samples.values)} samples and {len(labels)} labels: "
            f"each sample needs one label"
        )
    bad = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if len(bad):
        raise DataError(
            f"{len(bad)} of {len(labels)} {part} labels are outside 0..{n_classes - 1}, "
            f"the first is {labels[bad[0]]} at index {bad[0]}: correct them, or change n_classes"
        )
