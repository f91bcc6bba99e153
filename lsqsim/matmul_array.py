"""The integer multiply array: codes to wide accumulators, with real registers."""

from dataclasses import dataclass

import numpy as np

from lsqsim.array_operands import ArrayOperands, ArrayPorts
from lsqsim.exact_sums import always_exact, exact_totals, magnitude_sums, wraps_throughout
from lsqsim.formats import IntFormat
from lsqsim.kernel_codes import stage_table, store, store_arguments
from lsqsim.overflow import NO_K, NO_STAGE, OverflowKind, OverflowReport
from lsqsim.specs import (
    AccumulatorSpec,
    BiasPlacement,
    FanIn,
    StageSpec,
)
from lsqsim_kernels import reduce

_TRACE_BLOCK_ELEMENTS = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Accumulation:
    """What the array yields for (m, k) inputs and (n, k) weights.

    Attributes
    ----------
    registers
        Last register of every output, int64 (m, n), units of s_x * s_w.
    overflow
        Exact totals and first overflows; None unless asked for.
    stages
        Results of every stage, innermost first, int64 (m, n, groups) each;
        the last has one group: the register before a post-added bias. None
        unless asked for.
    """

    registers: np.ndarray
    overflow: OverflowReport | None = None
    stages: tuple[np.ndarray, ...] | None = None

    @classmethod
    def joined(cls, parts: list["Accumulation"], axis: int) -> "Accumulation":
        """Accumulations of neighboring rows (axis 0) or channels (axis 1) as one."""
        if len(parts) == 1:
            return parts[0]
        reports = [part.overflow for part in parts if part.overflow is not None]
        traced = [part.stages for part in parts if part.stages is not None]
        stages = [np.concatenate(level, axis) for level in zip(*traced, strict=True)]
        return cls(
            registers=np.concatenate([part.registers for part in parts], axis),
            overflow=OverflowReport.joined(reports, axis) if reports else None,
            stages=tuple(stages) if traced else None,
        )

    def of_channels(self, channels: np.ndarray) -> "Accumulation":
        """The accumulation of these channels, in this order; stages are not kept."""
        report = self.overflow
        return Accumulation(
            registers=self.registers[:, channels],
            overflow=None if report is None else report.mapped(lambda v: v[:, channels], -1),
        )


class MatmulArray:
    """An integer matrix-multiply array and its accumulators (equations 3 to 6).

    Parameters
    ----------
    spec : AccumulatorSpec
        The reduction: its stages, bias, zero points and order.
    input_format, weight_format : IntFormat
        Formats of the codes the multipliers receive.

    Raises
    ------
    WidthError
        When a product of the formats could need more than 63 bits.

    Attributes
    ----------
    ports
        What checks operands on their way in, as :meth:`accumulate` does.

    Examples
    --------
    Three products of 9 in a 5-bit register [-16, 15]: the second addition
    overflows, and the two rules part.

    >>> from lsqsim.formats import Overflow
    >>> x, w = np.array([[3, 3, 3]]), np.array([[3, 3, 3]])
    >>> for overflow in Overflow:
    ...     stage = StageSpec(bits=5, overflow=overflow)
    ...     array = MatmulArray(AccumulatorSpec(stages=(stage,)),
    ...                         input_format=IntFormat(3), weight_format=IntFormat(3))
    ...     print(overflow, array.accumulate(x, w).registers)
    wrap [[-5]]
    saturate [[15]]
    """

    def __init__(
        self, spec: AccumulatorSpec, *, input_format: IntFormat, weight_format: IntFormat
    ) -> None:
        self.spec = spec
        self.input_format = input_format
        self.weight_format = weight_format
        self.ports = ArrayPorts(spec, input_format=input_format, weight_format=weight_format)

    def accumulate(  # noqa: PLR0913 - each is a port of the array
        self,
        x: object,
        w: object,
        bias: object = None,
        *,
        input_zero_point: int = 0,
        weight_zero_point: object = 0,
        observe: bool = False,
        trace: bool = False,
    ) -> Accumulation:
        """Reduce the products of every row of ``x`` with every row of ``w``.

        Parameters
        ----------
        x : integer array (m, k)
            Input codes. m = 0 and k = 0 are legal.
        w : integer array (n, k)
            Weight codes.
        bias : integer array (n,), optional
            Bias codes, units of s_x * s_w.
        input_zero_point : int
            Code of real 0 among the inputs.
        weight_zero_point : int or integer array (n,)
            Code of real 0 among the weights.
        observe : bool
            Also report exact totals and overflows.
        trace : bool
            Also keep every stage's results.

        Raises
        ------
        DataError
            Shapes that do not meet, other dtypes, codes outside their format.
        SpecError
            A stated order of another length than k, or a zero point outside
            its format.
        WidthError
            When a product, addend or total could need more than 63 bits.
        """
        operands = self.ports.take(x, w, bias, input_zero_point, weight_zero_point)
        return self.reduce(operands, observe=observe, trace=trace)

    def reduce(
        self, operands: ArrayOperands, *, observe: bool = False, trace: bool = False
    ) -> Accumulation:
        """The second half of :meth:`accumulate`: reduce operands that ``ports`` has taken."""
        magnitudes = magnitude_sums(operands)
        safe = always_exact(self.spec, magnitudes)
        # Wrapped registers are known from the exact totals, but not when they overflowed.
        if safe.all() or (not observe and wraps_throughout(self.spec)):
            sums = self._exact(operands, magnitudes, observe=observe)
        elif safe.any():
            sums = self._divided(operands, safe, observe=observe)
        else:
            sums = None
        if sums is None:
            sums = self._observed(operands) if observe else self._plain(operands)
        return Accumulation(
            registers=sums.registers,
            overflow=sums.overflow,
            stages=self._traced(operands) if trace else None,
        )

    def _exact(
        self, operands: ArrayOperands, magnitudes: np.ndarray, *, observe: bool
    ) -> Accumulation | None:
        """From exact totals: no addition overflows, or (not observed) all stages wrap."""
        total = exact_totals(operands, magnitudes)
        if total is None:
            return None
        last = self.spec.stages[-1]
        registers = store(total, last.format, last.overflow)
        overflow = None
        if observe:
            overflow = OverflowReport(
                total=total,
                kind=np.full(total.shape, OverflowKind.NONE, np.uint8),
                first_stage=np.full(total.shape, NO_STAGE, np.int64),
                first_k=np.full(total.shape, NO_K, np.int64),
            )
        return Accumulation(registers=registers, overflow=overflow)

    def _divided(self, operands: ArrayOperands, safe: np.ndarray, *, observe: bool) -> Accumulation:
        """Channels that can overflow apart from those that can't."""
        parts = [
            self.reduce(operands.of_channels(channels), observe=observe)
            for channels in (np.flatnonzero(safe), np.flatnonzero(~safe))
        ]
        back = np.argsort(np.argsort(~safe, kind="stable"))  # the inverse of the division
        return Accumulation.joined(parts, axis=1).of_channels(back)

    def _plain(self, operands: ArrayOperands) -> Accumulation:
        registers = reduce.accumulate(
            operands.x,
            operands.w,
            operands.addend,
            self.spec.bias is BiasPlacement.PRELOAD,
            stage_table(self.spec.stages),
        )
        return Accumulation(registers=registers)

    def _observed(self, operands: ArrayOperands) -> Accumulation:
        registers, total, first_stage, position = reduce.observe(
            operands.x, operands.w, operands.addend,
            self.spec.bias is BiasPlacement.PRELOAD, stage_table(self.spec.stages),
        )  # fmt: skip
        fmt = self.spec.format
        kind = np.where(
            (total < fmt.min) | (total > fmt.max),
            OverflowKind.PERSISTENT,
            np.where(first_stage >= 0, OverflowKind.TRANSIENT, OverflowKind.NONE),
        ).astype(np.uint8)
        overflow = OverflowReport(
            total=total,
            kind=kind,
            first_stage=first_stage,
            first_k=_natural_k(position, operands.order),
        )
        return Accumulation(registers=registers, overflow=overflow)

    def _traced(self, operands: ArrayOperands) -> tuple[np.ndarray, ...]:
        """Results of every stage, a block of rows at a time: products need m * n * k int64."""
        n, k = operands.w.shape
        m = operands.x.shape[0]
        rows = max(1, _TRACE_BLOCK_ELEMENTS // max(1, n * k))
        blocks = [self._trace_rows(operands, slice(r, r + rows)) for r in range(0, max(m, 1), rows)]
        return tuple(np.concatenate(parts) for parts in zip(*blocks, strict=True))

    def _trace_rows(self, operands: ArrayOperands, rows: slice) -> list[np.ndarray]:
        x = operands.x[rows]
        results: list[np.ndarray] = []
        values = x[:, None, :] * operands.w[None, :, :]
        shape = (x.shape[0], operands.w.shape[0])
        for stage in self.spec.stages[:-1]:
            values = self._reduce_stage(values, np.zeros(shape, np.int64), stage)
            results.append(values)
        start = np.zeros(shape, np.int64)
        last = self.spec.stages[-1]
        if self.spec.bias is BiasPlacement.PRELOAD:
            full = np.broadcast_to(operands.addend, (operands.x.shape[0], shape[1]))
            start = self._reduce_stage(full[rows, :, None], start, last)[:, :, 0]
        if values.shape[2] == 0:
            results.append(start[:, :, None])
        else:
            results.append(self._reduce_stage(values, start, last))
        return results

    def _reduce_stage(self, values: np.ndarray, start: np.ndarray, stage: StageSpec) -> np.ndarray:
        n_operands = values.shape[2]
        fan_in = n_operands if isinstance(stage.fan_in, FanIn) else min(stage.fan_in, n_operands)
        return reduce.reduce_stage(
            np.ascontiguousarray(values), start, max(fan_in, 1),
            *store_arguments(stage.format, stage.overflow),
        )  # fmt: skip


def _natural_k(position: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Positions in the order of entry as natural K indices; the special values stay."""
    k = order.size
    inside = (position >= 0) & (position < k)
    safe = np.where(inside, position, 0)
    return np.where(inside, order[safe] if k else NO_K, position)
