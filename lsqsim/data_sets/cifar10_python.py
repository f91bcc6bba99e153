"""Batches of CIFAR-10's Python version: a pickled dictionary, which is never unpickled."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from lsqsim.data_sets.content import content_of
from lsqsim.data_sets.inert_pickle import Call, Name, read_pickle
from lsqsim.errors import DataError

MAX_FILE_BYTES = 64 << 20
"""A published batch has 31 MB."""

MAX_LABEL = 255
"""As in the binary version, whose labels are bytes."""


def read_python_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels uint8 (n, 3072), of each image all red, all green, all blue; labels int64 (n,).

    DataError, which doesn't name the path, unless the file holds a dictionary with an
    array ``data`` and a list ``labels``, and nothing that would have to be run.
    """
    batch = read_pickle(content_of(path, MAX_FILE_BYTES))
    if not isinstance(batch, dict):
        raise DataError(f"must hold a dictionary, got {type(batch).__name__}")
    return _bytes_array(_entry(batch, "data")), _labels(_entry(batch, "labels"))


def _entry(batch: dict[str | bytes, Any], key: str) -> Any:
    for name in (key, key.encode()):
        if name in batch:
            return batch[name]
    raise DataError(f"lacks the key {key!r}, which a batch of CIFAR-10 has")


def _labels(labels: object) -> np.ndarray:
    if not isinstance(labels, list):
        raise DataError(f"labels must be a list, got {type(labels).__name__}")
    for label in labels:
        if type(label) is not int or not 0 <= label <= MAX_LABEL:
            raise DataError(f"labels must be integers 0..{MAX_LABEL}, got another")
    return np.array(labels, dtype=np.int64)


def _bytes_array(value: object) -> np.ndarray:
    """The array of bytes that NumPy's pickled form describes."""
    match value:
        case Call(
            function="numpy._reconstruct",
            arguments=(Name(name="numpy.ndarray"), *_),
            state=(int(), shape, dtype, bool() as is_fortran, raw),
        ):
            order = "F" if is_fortran else "C"
        case Call(function="numpy._frombuffer", arguments=(raw, dtype, shape, "C" | "F" as order)):
            pass
        case _:
            raise DataError("data must be a NumPy array")
    _require_bytes(dtype)
    content = _content(raw)
    if not _is_shape(shape) or math.prod(shape) != len(content):
        raise DataError(f"data is damaged: {len(content)} bytes don't fill the array's shape")
    return np.frombuffer(content, np.uint8).reshape(shape, order=order)


def _require_bytes(dtype: object) -> None:
    match dtype:
        case Call(function="numpy.dtype", arguments=("u1" | "|u1" | "uint8", *_)):
            return
        case Call(function="numpy.dtype", arguments=(str() as name, *_)):
            raise DataError(f"data must be an array of uint8, got {name!a:.20}")
    raise DataError("data must be an array of uint8")


def _content(raw: object) -> bytes | bytearray:
    match raw:
        case bytes() | bytearray():
            return raw
        case str():  # as Python 2 wrote it; read as Latin-1, one character a byte
            return _latin1(raw)
    raise DataError(f"data is damaged: its content is {type(raw).__name__}")


def _latin1(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise DataError("data is damaged: its content is text") from None


def _is_shape(shape: object) -> bool:
    # int64 bounds each, and two axes their product: a huge integer must reach no message
    return (
        isinstance(shape, tuple)
        and len(shape) == 2
        and all(type(size) is int and 0 <= size <= MAX_FILE_BYTES for size in shape)
    )
