"""IDX files, in which MNIST and Fashion-MNIST are published; plain or compressed by gzip.

Two zero bytes, a type code, the number of dimensions, each dimension as a big-endian
32-bit integer, then the elements in C order.
"""

import gzip
import math
import struct
import zlib
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from lsqsim.data_sets.content import CHUNK_BYTES, errors_named
from lsqsim.data_sets.samples import DataSet, Samples
from lsqsim.errors import DataError

MAX_ELEMENTS = 1 << 32
"""Fashion-MNIST has 47 million; a header that asks for more than this is damaged."""

_UNSIGNED_BYTE = 0x08
_GZIP_MAGIC = b"\x1f\x8b"
_LARGEST_BYTE = 255.0


def load_idx_data_set(folder: str | Path, *, n_classes: int = 10) -> DataSet:
    """Read the four IDX files of a folder, by their official names.

    ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte``
    and ``t10k-labels-idx1-ubyte``; each also with a dot (``train-images.idx3-ubyte``),
    and each also with ``.gz``.

    Parameters
    ----------
    folder
        Its name becomes the name of the data set.
    n_classes
        The files don't say it: 10 for MNIST and Fashion-MNIST.

    Returns
    -------
    DataSet
        Images uint8 (n, h, w, 1), for real numbers 0 .. 1.

    Raises
    ------
    DataError
        A file is missing or damaged, or a label is not 0 .. n_classes - 1.
    """
    folder = Path(folder)
    with errors_named(folder):
        train_images, train_labels = _required(folder, "train")
        test_images, test_labels = _required(folder, "t10k")
    train = _samples(train_images, train_labels)
    test = _samples(test_images, test_labels)
    with errors_named(folder):
        return DataSet(
            name=folder.resolve().name,
            train=train,
            test=test,
            n_classes=n_classes,
            scale=_LARGEST_BYTE,
        )


def holds_idx(folder: Path) -> bool:
    """Whether a folder has one of the four files, hence should have all."""
    parts = [(part, kind) for part in ("train", "t10k") for kind in ("images", "labels")]
    return any(_found(folder, part, kind) for part, kind in parts)


def read_idx(path: Path, n_axes: int) -> np.ndarray:
    """Read one IDX file of unsigned bytes: uint8, with ``n_axes`` axes; DataError if damaged."""
    with errors_named(path), path.open("rb") as file:
        compressed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        file.seek(0)
        if not compressed:
            return _array(file, n_axes)
        try:
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _array(unpacked, n_axes)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"is damaged, and can't be decompressed: {error}") from None


def _samples(images: Path, labels: Path) -> Samples:
    return Samples(
        values=read_idx(images, 3)[..., np.newaxis],
        labels=read_idx(labels, 1).astype(np.int64),
    )


def _required(folder: Path, part: str) -> tuple[Path, Path]:
    return _required_file(folder, part, "images"), _required_file(folder, part, "labels")


def _required_file(folder: Path, part: str, kind: str) -> Path:
    path = _found(folder, part, kind)
    if path is None:
        names = _names(part, kind)
        raise DataError(f"lacks {names[0]}; {', '.join(names[1:])} would do as well")
    return path


def _found(folder: Path, part: str, kind: str) -> Path | None:
    paths = (folder / name for name in _names(part, kind))
    return next((path for path in paths if path.is_file()), None)


def _names(part: str, kind: str) -> list[str]:
    n_axes = {"images": 3, "labels": 1}[kind]
    stems = [f"{part}-{kind}{mark}idx{n_axes}-ubyte" for mark in "-."]
    return [stem + suffix for stem in stems for suffix in ("", ".gz")]


def _array(file: BufferedIOBase, n_axes: int) -> np.ndarray:
    shape = _shape(file, n_axes)
    size = math.prod(shape)
    dimensions = " x ".join(map(str, shape))
    if size > MAX_ELEMENTS:
        raise DataError(f"is damaged: its header says {dimensions} elements")
    elements = _at_most(file, size + 1)
    if len(elements) != size:
        got = len(elements) if len(elements) < size else "more"
        raise DataError(
            f"is damaged: its header says {dimensions} elements of 1 byte, "
            f"{size} bytes, and {got} follow"
        )
    return np.frombuffer(elements, np.uint8).reshape(shape)


def _shape(file: BufferedIOBase, n_axes: int) -> tuple[int, ...]:
    header = file.read(4)
    if len(header) < 4 or header[:2] != b"\0\0":
        raise DataError(f"is no IDX file: it begins with the bytes {header.hex(' ') or '(none)'}")
    if header[2] != _UNSIGNED_BYTE:
        raise DataError(
            f"must hold unsigned bytes (type code 0x08), got type code 0x{header[2]:02X}"
        )
    if header[3] != n_axes:
        raise DataError(f"must have {n_axes} dimensions, got {header[3]}")
    dimensions = file.read(4 * n_axes)
    if len(dimensions) < 4 * n_axes:
        raise DataError("is damaged: it ends within its header")
    return struct.unpack(f">{n_axes}I", dimensions)


def _at_most(file: BufferedIOBase, n_bytes: int) -> bytearray:
    """Up to ``n_bytes``, in chunks: what a false header asks for is never allocated at once."""
    content = bytearray()
    while len(content) < n_bytes:
        chunk = file.read(min(CHUNK_BYTES, n_bytes - len(content)))
        if not chunk:
            break
        content += chunk
    return content
