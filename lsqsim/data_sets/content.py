"""Files of data sets as bytes: never more than a stated limit, every error named by its path."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lsqsim.errors import DataError

CHUNK_BYTES = 1 << 20


@contextmanager
def errors_named(path: Path) -> Iterator[None]:
    """Put ``path`` in front of every DataError, and make one of every OSError."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from None


def content_of(path: Path, max_bytes: int) -> bytes:
    """All bytes of a file; DataError, which doesn't name the path, for more than ``max_bytes``."""
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise DataError(f"is too large: more than {max_bytes} bytes")
    return content
