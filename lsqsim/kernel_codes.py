"""The one place where choices of a specification become the plain ints kernels take."""

from typing import Protocol

import numpy as np

from lsqsim.formats import AnyRounding, Generator, IntFormat, Overflow, Rounding
from lsqsim.specs import FanIn, StageSpec
from lsqsim_kernels import narrow, noise

_ROUNDING = {
    Rounding.TO_NEG: narrow.TO_NEG,
    Rounding.TO_ZERO: narrow.TO_ZERO,
    Rounding.TIES_POS: narrow.TIES_POS,
    Rounding.TIES_AWAY: narrow.TIES_AWAY,
    Rounding.TIES_EVEN: narrow.TIES_EVEN,
}
_NO_NOISE = np.empty(0, np.int64)
_UNBOUNDED = 1 << 62


class _Register(Protocol):
    @property
    def format(self) -> IntFormat: ...
    @property
    def overflow(self) -> Overflow: ...


def rounding_arguments(rounding: AnyRounding, n: int) -> tuple[int, np.ndarray, int]:
    """(code, noise, noise bits) that round ``n`` elements by ``rounding``."""
    if isinstance(rounding, Rounding):
        return _ROUNDING[rounding], _NO_NOISE, 0
    draw = noise.xorshift32 if rounding.generator is Generator.XORSHIFT32 else noise.splitmix64
    return narrow.STOCHASTIC, draw(rounding.seed, rounding.bits, n), rounding.bits


def store_arguments(fmt: IntFormat, overflow: Overflow) -> tuple[int, int, int, bool]:
    """(low, high, mask, wraps) of a register."""
    return fmt.min, fmt.max, (1 << fmt.bits) - 1, overflow is Overflow.WRAP


def stage_table(stages: tuple[StageSpec, ...]) -> np.ndarray:
    """A list of stages as kernels take it, int64 (depth, 5): fan-in, low, high, mask, wraps."""
    rows = [
        (
            _UNBOUNDED if isinstance(stage.fan_in, FanIn) else min(stage.fan_in, _UNBOUNDED),
            *store_arguments(stage.format, stage.overflow),
        )
        for stage in stages
    ]
    return np.array(rows, np.int64)


def store(values: np.ndarray, fmt: IntFormat, overflow: Overflow) -> np.ndarray:
    """``values`` (int64, any shape) as a register of this format and rule holds them."""
    flat = np.ascontiguousarray(values).reshape(-1)
    return narrow.store_array(flat, *store_arguments(fmt, overflow)).reshape(values.shape)


def store_in(register: _Register | None, values: np.ndarray) -> np.ndarray:
    """``values`` as ``register`` holds them; unchanged where there is none."""
    return values if register is None else store(values, register.format, register.overflow)
