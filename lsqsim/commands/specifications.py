"""Specifications from TOML files, with the file's name in front of every error."""

from pathlib import Path
from typing import TypeVar

from lsqsim.errors import DataError, LsqsimError, SpecError
from lsqsim.specs.toml import Spec

S = TypeVar("S", bound=Spec)


def load_spec(kind: type[S], path: Path) -> S:
    """Read a TOML file; SpecError or DataError name the file and the key."""
    try:
        return kind.from_toml(path.read_text(encoding="utf-8"))
    except LsqsimError as error:
        raise type(error)(f"{path}: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        # not UTF-8; an integer of thousands of digits; tables nested too deeply
        raise SpecError(f"{path}: malformed TOML: {error}") from None
