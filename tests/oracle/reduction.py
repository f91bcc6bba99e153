"""One output of the multiply array: K products through a list of stages.

Written stage by stage: the operands of a stage are cut into groups, each group
is added up, its results are the operands of the next. Time needs no clock: a
result is ready when the last product in it has entered, and at one instant the
inner stage adds first. So each operand carries the time of its last product,
and the first overflow is the least (time, stage).
"""

from dataclasses import dataclass

from lsqsim.specs import (
    AccumulatorSpec,
    BiasPlacement,
    FanIn,
    KOrder,
    StageSpec,
    ZeroPointHandling,
)
from oracle.narrowing import fits, store

BEFORE_ALL = -1
"""Time of the preload; product t enters at time t, the post-added bias at time K."""


@dataclass(frozen=True)
class Operand:
    value: int
    time: int


@dataclass(frozen=True)
class Reduction:
    """What became of one output.

    The last of ``stage_results`` is the register before a post-added bias.
    """

    register: int
    total: int
    kind: str
    first_stage: int | None
    first_k: int | None
    stage_results: list[list[int]]


def reduce(
    x: list[int], w: list[int], bias: int, spec: AccumulatorSpec, z_x: int = 0, z_w: int = 0
) -> Reduction:
    """Reduce the products of ``x`` and ``w`` (natural order) and ``bias``."""
    products, addend = products_and_addend(x, w, bias, spec, z_x, z_w)
    order = k_order(spec, len(x))
    total = sum((a - z_x) * (b - z_w) for a, b in zip(x, w, strict=True)) + bias

    overflows: list[tuple[int, int]] = []
    stage_results: list[list[int]] = []
    operands = [Operand(products[k], time) for time, k in enumerate(order)]
    last = len(spec.stages) - 1
    for index, stage in enumerate(spec.stages):
        groups = cut(operands, stage.fan_in)
        if index == last:
            preloaded = spec.bias is BiasPlacement.PRELOAD
            groups = [[Operand(addend, BEFORE_ALL), *operands] if preloaded else operands]
        operands = []
        for group in groups:
            register = 0
            for operand in group:
                register = add(register, operand, index, stage, overflows)
            operands.append(Operand(register, group[-1].time if group else BEFORE_ALL))
        stage_results.append([operand.value for operand in operands])

    (register,) = stage_results[-1]
    if spec.bias is BiasPlacement.POST_ADD:
        bias_last = Operand(addend, len(x))
        register = add(register, bias_last, last, spec.stages[last], overflows)
    if not overflows:
        return Reduction(register, total, "none", None, None, stage_results)
    kind = "transient" if fits(total, spec.stages[-1].bits) else "persistent"
    time, stage_index = min(overflows)
    first_k = order[time] if 0 <= time < len(x) else time
    return Reduction(register, total, kind, stage_index, first_k, stage_results)


def add(
    register: int, operand: Operand, index: int, stage: StageSpec, overflows: list[tuple[int, int]]
) -> int:
    """``register`` after one addition; an overflow is noted as (time, stage)."""
    exact = register + operand.value
    if not fits(exact, stage.bits):
        overflows.append((operand.time, index))
    return store(exact, stage.bits, stage.overflow)


def products_and_addend(
    x: list[int], w: list[int], bias: int, spec: AccumulatorSpec, z_x: int, z_w: int
) -> tuple[list[int], int]:
    """What the multiplier forms, in natural order, and bias plus correction."""
    if spec.zero_points is ZeroPointHandling.CENTER:
        return [(a - z_x) * (b - z_w) for a, b in zip(x, w, strict=True)], bias
    correction = len(x) * z_x * z_w - z_x * sum(w) - z_w * sum(x)
    return [a * b for a, b in zip(x, w, strict=True)], bias + correction


def k_order(spec: AccumulatorSpec, k: int) -> list[int]:
    """Entry t is the natural index of the product that enters t-th."""
    match spec.order:
        case KOrder.NATURAL:
            return list(range(k))
        case KOrder.REVERSED:
            return [k - 1 - t for t in range(k)]
        case permutation:
            return list(permutation)


def cut(operands: list[Operand], fan_in: int | FanIn) -> list[list[Operand]]:
    """Consecutive groups of ``fan_in``; the last may be short, none is empty."""
    size = max(len(operands), 1) if fan_in is FanIn.ALL else fan_in
    return [operands[i : i + size] for i in range(0, len(operands), size)]
