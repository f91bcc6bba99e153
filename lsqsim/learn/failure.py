"""The error of a training that can't go on."""

from lsqsim.errors import LsqsimError


class TrainingError(LsqsimError, ArithmeticError):
    """Training met numbers that it can't go on from: NaN, infinity, a step size of 0 or below.

    What was saved before stays as it was.
    """
