"""The errors a user can cause; the command line turns each into one line and exit code 2."""


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
