"""Sweeps over a layer's operands: sums without any register, then the registers of designs.

What is kept is of the size of the layer's output, as in any run of the layer: the exact totals,
a byte for every stage, and the registers of a bounded number of designs. Operands, which are
larger, pass in blocks.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lsqsim.array_operands import ArrayOperands
from lsqsim.datapath import CompiledLayer
from lsqsim.formats import Overflow
from lsqsim.kernel_codes import stage_table, store
from lsqsim.operand_rows import OperandRows
from lsqsim.specs import AccumulatorSpec, BiasPlacement, FanIn, StageSpec
from lsqsim_kernels import needed_bits

Advance = Callable[[int], None]
"""Called with the number of rows that one more block has brought."""

FanIns = tuple[int | FanIn, ...]
"""The fan-ins of a list of stages: all that decides which sums are formed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sums:
    """Every sum that a layer's additions form in registers without limit.

    Attributes
    ----------
    totals
        Exact totals, int64 (rows, channels), units of s_x * s_w.
    peaks
        Width of the least signed register that holds every sum of the stage,
        uint8 (rows, channels, depth); 0 where the stage adds nothing.
    low, high
        Least and greatest sum, int64 (channels, depth); low above high where
        nothing was added.
    rows
        How the rows become the output.
    """

    totals: np.ndarray
    peaks: np.ndarray
    low: np.ndarray
    high: np.ndarray
    rows: OperandRows


class Sweeper:
    """Walks over the operands of one layer for given input codes.

    Parameters
    ----------
    compiled : CompiledLayer
        The layer; of its accumulator, all but the stages counts.
    inputs : float array or QTensor
        What ``compiled.run`` takes, whose errors are raised.
    """

    def __init__(self, compiled: CompiledLayer, inputs: object) -> None:
        self.compiled = compiled
        self.codes = compiled.input_codes(inputs)
        self.rows = compiled.operand_rows(self.codes)
        self._preload = compiled.spec.accumulator.bias is BiasPlacement.PRELOAD

    def measure(self, fan_ins: FanIns, advance: Advance) -> Sums:
        """The sums that stages of ``fan_ins`` form; one pass."""
        n_rows, n, depth = self.rows.n_rows, self.rows.n_outputs, len(fan_ins)
        table = _fan_in_column(fan_ins)
        totals = np.empty((n_rows, n), np.int64)
        peaks = np.empty((n_rows, n, depth), np.uint8)
        low = np.full((n, depth), needed_bits.NO_LOW, np.int64)
        high = np.full((n, depth), needed_bits.NO_HIGH, np.int64)
        for rows, channels, operands in self._blocks(advance):
            part = needed_bits.measure(
                operands.x, operands.w, operands.addend, self._preload, table
            )
            totals[rows, channels], peaks[rows, channels] = part[:2]
            low[channels] = np.minimum(low[channels], part[2])
            high[channels] = np.maximum(high[channels], part[3])
        return Sums(totals=totals, peaks=peaks, low=low, high=high, rows=self.rows)

    def registers(
        self, sums: Sums, designs: Sequence[AccumulatorSpec], advance: Advance
    ) -> np.ndarray:
        """Last registers of ``designs``, int64 (designs, rows, channels); one more pass.

        ``sums`` are those of the designs' common fan-ins.
        """
        tables = np.array([stage_table(design.stages) for design in designs])
        rings = np.array([ring(design.stages) for design in designs], np.int64)
        registers = np.empty((len(designs), *sums.totals.shape), np.int64)
        for rows, channels, operands in self._blocks(advance):
            registers[:, rows, channels] = needed_bits.registers(
                operands.x, operands.w, operands.addend, self._preload,
                sums.totals[rows, channels], sums.peaks[rows, channels], tables, rings,
            )  # fmt: skip
        return registers

    def _blocks(self, advance: Advance) -> Iterator[tuple[slice, slice, ArrayOperands]]:
        """Rows, channels and operands of every block and group."""
        start = 0
        for groups in self.compiled.operand_blocks(self.rows, self.codes):
            n_rows, channel = groups[0].x.shape[0], 0
            for operands in groups:
                n = operands.w.shape[0]
                yield slice(start, start + n_rows), slice(channel, channel + n), operands
                channel += n
            start += n_rows
            advance(n_rows)


def fan_ins_of(design: AccumulatorSpec) -> FanIns:
    """The fan-ins of a design's stages."""
    return tuple(stage.fan_in for stage in design.stages)


def ring(stages: tuple[StageSpec, ...]) -> int:
    """Innermost stage from which on all wrap and none is narrower than the last, or the depth.

    An output whose sums fit every stage before it ends with its total modulo 2**bits of the last
    register, whatever is added in which order: wrapping is a ring homomorphism.
    """
    level, last = len(stages), stages[-1]
    for stage in reversed(stages):
        if stage.overflow is not Overflow.WRAP or stage.bits < last.bits:
            break
        level -= 1
    return level


def registers_of_totals(totals: np.ndarray, design: AccumulatorSpec) -> np.ndarray:
    """Last registers where no output's sums leave a stage before the ring's, int64."""
    return store(totals, design.format, design.stages[-1].overflow)


def signed_bits(values: np.ndarray) -> np.ndarray:
    """Width of the least signed register for each value, uint8, same shape; exact for all int64."""
    flat = np.ascontiguousarray(values).reshape(-1)
    return needed_bits.signed_bits_array(flat).reshape(values.shape)


def _fan_in_column(fan_ins: FanIns) -> np.ndarray:
    # Widths do not matter to a fan-in; the table is the one place that knows how kernels say "all".
    stages = tuple(StageSpec(fan_in=fan_in, bits=2) for fan_in in fan_ins)
    return np.ascontiguousarray(stage_table(stages)[:, 0])
