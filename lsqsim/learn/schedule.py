"""How the learning rate falls, and the weight decay that goes with a precision."""

import math

from lsqsim.formats import SpecEnum

_WEIGHT_DECAY = {2: 0.25e-4, 3: 0.5e-4}
_USUAL_WEIGHT_DECAY = 1e-4


class Schedule(SpecEnum):
    """What becomes of the learning rate, step by step."""

    COSINE = "cosine"
    """From its start down to 0 over the whole training, without a restart (the paper)."""
    CONSTANT = "constant"
    """It stays."""


def learning_rate_at(schedule: Schedule, start: float, step: int, n_steps: int) -> float:
    """Learning rate of update ``step``, 0 .. n_steps - 1.

    Examples
    --------
    Half the way, half the rate:

    >>> [learning_rate_at(Schedule.COSINE, 0.1, step, 4) for step in (0, 2)]
    [0.1, 0.05]
    """
    if schedule is Schedule.CONSTANT:
        return start
    return start * (1 + math.cos(math.pi * step / n_steps)) / 2


def weight_decay_of(bits: int | None) -> float:
    """Weight decay for weights of ``bits`` bits, None for float: less where weights are coarse.

    1e-4 for float, 8 and 4 bits, 0.5e-4 for 3, 0.25e-4 for 2 and fewer (the paper's table).
    """
    if bits is None:
        return _USUAL_WEIGHT_DECAY
    return _WEIGHT_DECAY.get(max(bits, 2), _USUAL_WEIGHT_DECAY)
