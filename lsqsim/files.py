"""Arrays, datapaths and JSON from and to files: nothing pickled, nothing half-written."""

import json
import math
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from lsqsim.errors import DataError, LsqsimError, SpecError
from lsqsim.specs import DatapathSpec
from lsqsim.specs.toml import Spec

MAX_NUMBER_BYTES = 8
"""Wider numbers (float128) don't survive the conversion to float64."""

MAX_JSON_BYTES = 64 << 20
"""A certificate of a layer with a million channels is smaller."""

_NPY, _NPZ, _EMPTY_NPZ, _PICKLE = b"\x93NUM", b"PK\x03\x04", b"PK\x05\x06", b"\x80"

Writer = Callable[[BinaryIO], None]
S = TypeVar("S", bound=Spec)


def load_array(path: str | Path) -> np.ndarray:
    """Read a .npy file of real numbers or integers; DataError for anything else."""
    try:
        return _numbers(_read_numpy(Path(path)))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def load_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Read all arrays of a .npz file; DataError for anything else, or for a pickle inside."""
    try:
        return _archive(_read_numpy(Path(path)))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def load_datapath(path: str | Path) -> DatapathSpec:
    """Read a datapath's TOML file; SpecError or DataError name the file and the key."""
    return load_spec(DatapathSpec, path)


def load_spec(kind: type[S], path: str | Path) -> S:
    """Read a specification's TOML file; SpecError or DataError name the file and the key."""
    try:
        return kind.from_toml(Path(path).read_text(encoding="utf-8"))
    except LsqsimError as error:
        raise type(error)(f"{path}: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: can't be read: {_reason(error)}") from None
    except (ValueError, RecursionError) as error:
        # not UTF-8; an integer of thousands of digits; tables nested too deeply
        raise SpecError(f"{path}: malformed TOML: {error}") from None


def load_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON object of plain numbers, each key once; DataError for anything else."""
    try:
        text = _bytes_of(Path(path)).decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_no_number,
            parse_float=_finite,
        )
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except (ValueError, RecursionError) as error:
        # not UTF-8; an integer of thousands of digits; lists nested too deeply
        raise DataError(f"{path}: malformed JSON: {error}") from None
    if not isinstance(value, dict):
        raise DataError(f"{path}: must hold a JSON object, got {type(value).__name__}")
    return value


def save_arrays(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write ``arrays`` as a .npz file, all of it or nothing."""
    write_files({Path(path): npz_writer(arrays)})


def npz_writer(arrays: Mapping[str, np.ndarray]) -> Writer:
    """A .npz file for :func:`write_files`; DataError for what only a pickle holds."""
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise DataError(f"{name} can't be stored without a pickle: dtype {array.dtype}")
    return lambda file: np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]


def npy_writer(array: np.ndarray) -> Writer:
    """A .npy file for :func:`write_files`."""
    return lambda file: np.save(file, array, allow_pickle=False)


def bytes_writer(content: bytes) -> Writer:
    """Bytes for :func:`write_files`."""

    def write(file: BinaryIO) -> None:
        file.write(content)

    return write


def text_writer(text: str) -> Writer:
    """Text, as UTF-8, for :func:`write_files`."""
    return bytes_writer(text.encode())


def write_files(writers: Mapping[Path, Writer]) -> None:
    """Write every file, or none: each beside its target first, then moved into place.

    Raises
    ------
    DataError
        A path that can't be written.
    """
    parts: dict[Path, Path] = {}
    try:
        for path, write in writers.items():
            require_writable(path)
            part = path.resolve().with_name(f".lsqsim-{secrets.token_hex(8)}.part")
            parts[part] = path
            with _refused_as_data_error(path), part.open("xb") as file:
                write(file)
        for part, path in parts.items():
            with _refused_as_data_error(path):
                part.replace(path.resolve())
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def require_writable(path: Path) -> None:
    """DataError unless ``path`` can become a file: to be known before a long run, not after it."""
    with _refused_as_data_error(path):
        parent = path.resolve().parent
        if not parent.is_dir():
            raise DataError(f"{path}: can't be written: there is no folder {parent}")
        if path.exists() and not path.is_file():
            raise DataError(f"{path}: can't be written: it is there, and no regular file")
        if not os.access(parent, os.W_OK):
            raise DataError(f"{path}: can't be written: the folder {parent} is read-only")


@contextmanager
def _refused_as_data_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: can't be written: {_reason(error)}") from None


def _bytes_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_JSON_BYTES + 1)
    except OSError as error:
        raise DataError(f"can't be read: {_reason(error)}") from None
    if len(content) > MAX_JSON_BYTES:
        raise DataError(f"is too large: more than {MAX_JSON_BYTES >> 20} MiB of JSON")
    return content


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise DataError(f"malformed JSON: the key {twice!r} stands twice in one object")
    return found


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_number(text)


def _no_number(text: str) -> float:
    raise DataError(f"malformed JSON: {text} is no number that it can hold")


def _numbers(loaded: np.ndarray | dict[str, np.ndarray]) -> np.ndarray:
    if not isinstance(loaded, np.ndarray):
        raise DataError("must be a .npy file with one array, got an archive (.npz)")
    if loaded.dtype.kind not in "iuf" or loaded.dtype.itemsize > MAX_NUMBER_BYTES:
        raise DataError(
            f"must hold integers or real numbers of at most 64 bits, got dtype {loaded.dtype}"
        )
    return loaded


def _archive(loaded: np.ndarray | dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if isinstance(loaded, np.ndarray):
        raise DataError("must be a .npz file with named arrays, got a single array (.npy)")
    return loaded


def _read_numpy(path: Path) -> np.ndarray | dict[str, np.ndarray]:
    """The array of a .npy, or all arrays of a .npz."""
    try:
        with path.open("rb") as file:
            _check_kind(file.read(4))
            file.seek(0)
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            return {name: _member(name, loaded[name]) for name in loaded.files}
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"can't be read: {_reason(error)}") from None
    except MemoryError:
        raise DataError("is damaged: it claims more data than memory holds") from None
    except Exception as error:  # noqa: BLE001 - zip, zlib and NumPy raise a dozen kinds for damaged files
        raise DataError(f"is damaged, or holds pickled objects: {error}") from None


def _check_kind(magic: bytes) -> None:
    if magic in (_NPY, _NPZ, _EMPTY_NPZ):
        return
    if not magic:
        raise DataError("is empty; a NumPy file (.npy or .npz) is needed")
    if magic.startswith(_PICKLE):
        raise DataError(
            "is a pickle, which could run code and is never read: "
            "store arrays by np.save or np.savez"
        )
    raise DataError("is no NumPy file (.npy or .npz): store arrays by np.save or np.savez")


def _member(name: str, value: object) -> np.ndarray:
    if not isinstance(value, np.ndarray):
        raise DataError(f"is no archive of arrays: its member {name} is something else")
    return value


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
