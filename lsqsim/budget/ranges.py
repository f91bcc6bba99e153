"""Exact ranges of every register over all inputs, and the verdict on each."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from lsqsim.budget.operands import RangeOperands
from lsqsim.errors import WidthError
from lsqsim.formats import MAX_BITS, Overflow, signed_bits
from lsqsim.kernel_codes import stage_table
from lsqsim.specs import MIN_REGISTER_BITS, StageSpec, tile_sizes
from lsqsim_kernels import ranges as kernels


class Verdict(IntEnum):
    """What holds for a stage, whatever the inputs; docs/overflow.md defines the three."""

    SATURATE_SAFE = 0
    """No addition leaves the register: right under either overflow rule."""
    WRAP_SAFE = 1
    """Some addition may leave the register, and wrapping makes good for it."""
    UNSAFE = 2
    """Some input leaves the register, and the value is lost."""

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StageRanges:
    """Ranges of every channel and stage, int64 (n, depth) each; both ends belong to them.

    Attributes
    ----------
    prefix_low, prefix_high
        Of every sum, before it is stored: preload and post-added bias included.
    result_low, result_high
        Of every result; the last stage's after a post-added bias.
    """

    prefix_low: np.ndarray
    prefix_high: np.ndarray
    result_low: np.ndarray
    result_high: np.ndarray

    @property
    def saturate_bits(self) -> np.ndarray:
        """Width (n, depth) of the least register that no addition leaves."""
        return _bits(self.prefix_low, self.prefix_high)

    @property
    def wrap_bits(self) -> np.ndarray:
        """Width (n, depth) of the least register that holds every result."""
        return _bits(self.result_low, self.result_high)

    def fit(self, stages: tuple[StageSpec, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Whether prefixes, and whether results fit their registers, bool (n, depth) each."""
        low = np.array([stage.format.min for stage in stages], np.int64)
        high = np.array([stage.format.max for stage in stages], np.int64)
        return (
            (self.prefix_low >= low) & (self.prefix_high <= high),
            (self.result_low >= low) & (self.result_high <= high),
        )


def exact_ranges(operands: RangeOperands) -> StageRanges:
    """What every register must hold, each stage given the exact sums of the one before.

    Both ends of every range are reached by some input.
    """
    shape = (operands.n_channels, len(operands.spec.stages))
    return _propagate(operands, np.full(shape, kernels.EXACT, np.uint8))


def stage_verdicts(operands: RangeOperands, exact: StageRanges) -> np.ndarray:
    """:class:`Verdict` of every channel and stage, uint8 (n, depth).

    ``exact`` are the exact ranges of the same operands.
    """
    stages = operands.spec.stages
    verdicts = np.zeros((operands.n_channels, len(stages)), np.uint8)
    fits, results_fit = exact.fit(stages)
    open_ = np.flatnonzero(~fits.all(axis=1))
    if open_.size:
        prover = _Prover(operands.subset(open_))
        verdicts[open_] = prover.verdicts(fits[open_], results_fit[open_])
    return verdicts


class _Prover:
    """Verdicts stage by stage, inner first; each stage knows what the one before hands on."""

    def __init__(self, operands: RangeOperands) -> None:
        self.operands = operands
        self.stages = operands.spec.stages
        shape = (operands.n_channels, len(self.stages))
        self.modes = np.full(shape, kernels.EXACT, np.uint8)
        self.found = np.zeros(shape, np.uint8)
        # Stages up to this one are right in the low bits that the last of them keeps.
        self.forgiven_until = np.full(operands.n_channels, -1)

    def verdicts(self, fits: np.ndarray, results_fit: np.ndarray) -> np.ndarray:
        """Of all channels and stages; what exact prefixes and results fit is known."""
        for level in range(len(self.stages)):
            if level and (self.modes[:, level - 1] != kernels.EXACT).any():
                fits, results_fit = _propagate(self.operands, self.modes).fit(self.stages)
            self._decide(level, fits[:, level], results_fit)
        return self.found

    def _decide(self, level: int, fits: np.ndarray, results_fit: np.ndarray) -> None:
        wraps = self.stages[level].overflow is Overflow.WRAP
        if wraps:
            forgiver = self._forgivers(level, results_fit)
            self.forgiven_until = np.where(
                fits | (self.forgiven_until >= level), self.forgiven_until, forgiver
            )
        forgiven = self.forgiven_until >= level
        self.found[:, level] = np.where(
            forgiven, Verdict.WRAP_SAFE, np.where(fits, Verdict.SATURATE_SAFE, Verdict.UNSAFE)
        )
        unsafe = self.found[:, level] == Verdict.UNSAFE
        self.modes[unsafe, level] = kernels.LOST if wraps else kernels.CLAMPED
        if wraps and unsafe.any():
            self._check_width(level)

    def _check_width(self, level: int) -> None:
        """Kernels add in int64 what the registers of a stage can hold, whatever it is."""
        k = self.operands.k
        n_registers = -(-k // tile_sizes(self.stages, k)[level])
        if level + 1 < len(self.stages) and n_registers << self.stages[level].bits > 1 << 62:
            raise WidthError(
                f"{n_registers} registers of {self.stages[level].bits} bits that any input can "
                f"fill with anything: their sum could pass {MAX_BITS} bits; use wider registers "
                f"in stage {level}, so that they are safe, or narrower ones"
            )

    def _forgivers(self, level: int, results_fit: np.ndarray) -> np.ndarray:
        """The first stage from ``level`` on at which wrapping is made good for; -1 for none.

        Wrapping registers agree with the exact sum in their low bits. So one
        that is no wider than those since ``level`` is right again, where the
        exact result fits it.
        """
        found = np.full(self.operands.n_channels, -1)
        least = self.stages[level].bits
        for outer in range(level, len(self.stages)):
            stage = self.stages[outer]
            if stage.overflow is not Overflow.WRAP:
                break
            if stage.bits <= least:
                least = stage.bits
                found = np.where((found < 0) & results_fit[:, outer], outer, found)
        return found


def _propagate(operands: RangeOperands, modes: np.ndarray) -> StageRanges:
    found = kernels.propagate(
        operands.weights,
        operands.low,
        operands.high,
        operands.constant,
        operands.coupling,
        operands.is_preloaded,
        stage_table(operands.spec.stages),
        modes,
    )
    return StageRanges(
        prefix_low=found[:, :, kernels.PREFIX_LOW],
        prefix_high=found[:, :, kernels.PREFIX_HIGH],
        result_low=found[:, :, kernels.RESULT_LOW],
        result_high=found[:, :, kernels.RESULT_HIGH],
    )


def _bits(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Bits of the least register that holds [low, high], in Python integers."""
    ends = zip(low.reshape(-1).tolist(), high.reshape(-1).tolist(), strict=True)
    widths = [max(signed_bits(a), signed_bits(b), MIN_REGISTER_BITS) for a, b in ends]
    return np.array(widths, np.int64).reshape(low.shape)
