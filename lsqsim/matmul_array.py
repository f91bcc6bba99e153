"""The integer multiply array: codes to wide accumulators, with real registers."""

from dataclasses import dataclass

import numpy as np

from lsqsim.channels import channel_parameter, require_codes
from lsqsim.errors import DataError, SpecError, WidthError
from lsqsim.formats import MAX_BITS, IntFormat
from lsqsim.kernel_codes import store_arguments
from lsqsim.overflow import NO_K, OverflowKind, OverflowReport
from lsqsim.specs import (
    AccumulatorSpec,
    BiasPlacement,
    FanIn,
    StageSpec,
    ZeroPointHandling,
    entry_order,
)
from lsqsim_kernels import reduce

_WIDEST = IntFormat(MAX_BITS)
_UNBOUNDED = 1 << 62
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


@dataclass(frozen=True, slots=True, eq=False)
class _Operands:
    """Validated operands, in the order in which their products enter."""

    x: np.ndarray
    w: np.ndarray
    addend: np.ndarray
    order: np.ndarray


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
        self._check_product(_ends(input_format), _ends(weight_format))

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
        operands = self._operands(x, w, bias, input_zero_point, weight_zero_point)
        stages = self._observed(operands) if observe else self._plain(operands)
        return Accumulation(
            registers=stages.registers,
            overflow=stages.overflow,
            stages=self._traced(operands) if trace else None,
        )

    def _plain(self, operands: _Operands) -> Accumulation:
        registers = reduce.accumulate(
            operands.x,
            operands.w,
            operands.addend,
            self.spec.bias is BiasPlacement.PRELOAD,
            _stage_table(self.spec.stages),
        )
        return Accumulation(registers=registers)

    def _observed(self, operands: _Operands) -> Accumulation:
        registers, total, first_stage, position = reduce.observe(
            operands.x, operands.w, operands.addend,
            self.spec.bias is BiasPlacement.PRELOAD, _stage_table(self.spec.stages),
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

    def _traced(self, operands: _Operands) -> tuple[np.ndarray, ...]:
        """Results of every stage, a block of rows at a time: products need m * n * k int64."""
        n, k = operands.w.shape
        m = operands.x.shape[0]
        rows = max(1, _TRACE_BLOCK_ELEMENTS // max(1, n * k))
        blocks = [self._trace_rows(operands, slice(r, r + rows)) for r in range(0, max(m, 1), rows)]
        return tuple(np.concatenate(parts) for parts in zip(*blocks, strict=True))

    def _trace_rows(self, operands: _Operands, rows: slice) -> list[np.ndarray]:
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

    def _operands(
        self, x: object, w: object, bias: object, input_zero_point: int, weight_zero_point: object
    ) -> _Operands:
        inputs = _matrix("inputs", x, self.input_format)
        weights = _matrix("weights", w, self.weight_format)
        (_, k), (n, k_w) = inputs.shape, weights.shape
        if k != k_w:
            raise DataError(
                f"inputs {inputs.shape} and weights {weights.shape} do not meet: "
                f"K is {k} in the inputs and {k_w} in the weights"
            )
        z_x = channel_parameter("input_zero_point", input_zero_point, 1, np.int64)
        z_w = channel_parameter("weight_zero_point", weight_zero_point, n, np.int64)
        self._check_zero_points(z_x, z_w)
        if self.spec.zero_points is ZeroPointHandling.CENTER:
            correction = np.zeros((1, n), np.int64)
            inputs_, weights_ = inputs - z_x[0], weights - z_w[:, None]
        else:
            correction = self._correction(inputs, weights, int(z_x[0]), z_w)
            inputs_, weights_ = inputs, weights
        addend = correction + _bias(bias, n)
        self._check_addend(addend)
        self._check_totals(weights_, addend, int(z_x[0]))
        order = np.array(entry_order(self.spec.order, k), np.int64)
        return _Operands(
            np.ascontiguousarray(inputs_[:, order]), np.ascontiguousarray(weights_[:, order]),
            addend, order,
        )  # fmt: skip

    def _correction(self, x: np.ndarray, w: np.ndarray, z_x: int, z_w: np.ndarray) -> np.ndarray:
        """K z_x z_w - z_x sum(w) - z_w sum(x), (1, n), or (m, n) when z_w is not all 0."""
        k = w.shape[1]
        if z_x == 0 and not z_w.any():
            return np.zeros((1, w.shape[0]), np.int64)
        largest_x, largest_w = (
            max(map(abs, _ends(self.input_format))),
            max(map(abs, _ends(self.weight_format))),
        )
        largest_z_w = max(map(abs, z_w.tolist()), default=0)
        terms = (abs(z_x) * largest_w, largest_z_w * largest_x, abs(z_x) * largest_z_w)
        if k * max(sum(terms), largest_x, largest_w) > _WIDEST.max:
            raise WidthError(
                f"the zero-point correction could pass {MAX_BITS} bits for K = {k}; "
                f"use narrower formats, or set zero_points to center"
            )
        constant = k * z_x * z_w - z_x * w.sum(axis=1)
        if not z_w.any():
            return constant[None, :]
        return constant[None, :] - x.sum(axis=1)[:, None] * z_w[None, :]

    def _check_zero_points(self, z_x: np.ndarray, z_w: np.ndarray) -> None:
        for name, values, fmt in (
            ("input_zero_point", z_x, self.input_format),
            ("weight_zero_point", z_w, self.weight_format),
        ):
            for value in values.tolist():
                if not fmt.holds(value):
                    raise SpecError(f"{name} must be a code of {fmt.describe()}, got {value}")
        if self.spec.zero_points is ZeroPointHandling.CENTER:
            shifted_x = [end - int(z_x[0]) for end in _ends(self.input_format)]
            for z in {*z_w.tolist()}:
                self._check_product(shifted_x, [end - z for end in _ends(self.weight_format)])

    def _check_product(self, x_ends: list[int], w_ends: list[int]) -> None:
        for product in (a * b for a in x_ends for b in w_ends):
            if not _WIDEST.holds(product):
                raise WidthError(
                    f"a product of {self.input_format} and {self.weight_format} codes could pass "
                    f"{MAX_BITS} bits ({product}); use narrower formats"
                )

    def _check_addend(self, addend: np.ndarray) -> None:
        for value in (int(addend.min()), int(addend.max())) if addend.size else ():
            if not _WIDEST.holds(value):
                raise WidthError(f"bias and zero-point correction pass {MAX_BITS} bits: {value}")

    def _check_totals(self, weights: np.ndarray, addend: np.ndarray, z_x: int) -> None:
        """Every prefix of every exact total must fit; in Python ints, from the codes at hand."""
        if not weights.size or not addend.size:
            return
        center = z_x if self.spec.zero_points is ZeroPointHandling.CENTER else 0
        largest_x = max(abs(end - center) for end in _ends(self.input_format))
        k = weights.shape[1]
        # A float64 sum is good enough to see that the exact one is needed at all.
        extra = max(abs(int(addend.min())), abs(int(addend.max())))
        rough = float(np.abs(weights.astype(np.float64)).sum(axis=1).max()) * largest_x + extra
        if rough < 2.0**61:
            return
        norms = [sum(map(abs, row)) for row in weights.tolist()]
        largest = max(norms) * largest_x + extra
        if largest > _WIDEST.max:
            raise WidthError(
                f"an exact total could need {largest.bit_length() + 1} bits for K = {k}; the "
                f"simulator holds {MAX_BITS}: use narrower formats or a shorter K"
            )


def _ends(fmt: IntFormat) -> list[int]:
    return [fmt.min, fmt.max]


def _matrix(name: str, codes: object, fmt: IntFormat) -> np.ndarray:
    array = require_codes(name, codes, fmt.min, fmt.max, str(fmt))
    if array.ndim != 2:
        raise DataError(f"{name} must be a matrix with K as its second axis, got {array.shape}")
    return array


def _bias(bias: object, n: int) -> np.ndarray:
    if bias is None:
        return np.zeros(n, np.int64)
    array = require_codes("bias", bias, _WIDEST.min, _WIDEST.max, str(_WIDEST))
    if array.shape != (n,):
        raise DataError(f"bias must have shape ({n},), one an output channel, got {array.shape}")
    return array


def _natural_k(position: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Positions in the order of entry as natural K indices; the special values stay."""
    k = order.size
    inside = (position >= 0) & (position < k)
    safe = np.where(inside, position, 0)
    return np.where(inside, order[safe] if k else NO_K, position)


def _stage_table(stages: tuple[StageSpec, ...]) -> np.ndarray:
    rows = [
        (
            _UNBOUNDED if isinstance(stage.fan_in, FanIn) else min(stage.fan_in, _UNBOUNDED),
            *store_arguments(stage.format, stage.overflow),
        )
        for stage in stages
    ]
    return np.array(rows, np.int64)
