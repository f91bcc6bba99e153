"""The errors a user can cause; the command line turns each into one line and exit code 2."""

from collections.abc import Iterator
from contextlib import contextmanager


class LsqsimError(Exception):
    """Base of every error that bad input can cause."""


class SpecError(LsqsimError, ValueError):
    """A specification, or a parameter of a unit, is outside its legal range."""


class DataError(LsqsimError, ValueError):
    """An array or a file does not hold what the unit needs."""


class WidthError(LsqsimError, OverflowError):
    """A result could need more bits than the simulator's int64 arithmetic holds exactly.

    Widths are a property of the design, so this is refused rather than wrapped.
    """


@contextmanager
def named_errors(name: str) -> Iterator[None]:
    """Put ``name`` in front of every error that a user can cause."""
    try:
        yield
    except LsqsimError as error:
        raise type(error)(f"{name}: {error}") from None
