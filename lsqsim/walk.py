"""One output's reduction, addition by addition, in Python integers: to explain, not to be fast."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lsqsim.formats import IntFormat, Overflow
from lsqsim.specs import (
    AccumulatorSpec,
    BiasPlacement,
    FanIn,
    StageSpec,
    ZeroPointHandling,
    entry_order,
)


@dataclass(frozen=True, slots=True)
class Addition:
    """One addition into one register.

    Attributes
    ----------
    stage
        Index of the stage, 0 innermost.
    tile
        Which of the stage's results the register will be.
    k_index
        Natural K index of the last product that entered before it; -1 for the
        preload, K for the post-added bias.
    before, operand, after
        The register, what is added, and the register then. ``after`` differs
        from their sum when the addition overflows.
    """

    stage: int
    tile: int
    k_index: int
    before: int
    operand: int
    after: int

    @property
    def overflows(self) -> bool:
        """Whether the exact sum did not fit the register."""
        return self.after != self.before + self.operand


def walk(
    spec: AccumulatorSpec,
    x: Sequence[int],
    w: Sequence[int],
    bias: int = 0,
    *,
    input_zero_point: int = 0,
    weight_zero_point: int = 0,
) -> Iterator[Addition]:
    """Every addition of one output, in time order; datapath.md states the rules.

    >>> spec = AccumulatorSpec(stages=(StageSpec(bits=5, overflow=Overflow.SATURATE),))
    >>> [step.after for step in walk(spec, [3, 3, 3], [3, 3, -3])][1:]
    [9, 15, 6]
    """
    return _Walk(spec).run(x, w, bias, input_zero_point, weight_zero_point)


class _Walk:
    def __init__(self, spec: AccumulatorSpec) -> None:
        self.spec = spec
        depth = len(spec.stages)
        self.registers = [0] * depth
        self.counts = [0] * depth
        self.tiles = [0] * depth

    def run(
        self, x: Sequence[int], w: Sequence[int], bias: int, z_x: int, z_w: int
    ) -> Iterator[Addition]:
        k = len(x)
        last = len(self.registers) - 1
        addend = bias
        if self.spec.zero_points is ZeroPointHandling.CENTER:
            products = [(a - z_x) * (b - z_w) for a, b in zip(x, w, strict=True)]
        else:
            products = [a * b for a, b in zip(x, w, strict=True)]
            addend += k * z_x * z_w - z_x * sum(w) - z_w * sum(x)
        if self.spec.bias is BiasPlacement.PRELOAD:
            yield self._add(last, addend, -1)
        k_index = -1
        for k_index in entry_order(self.spec.order, k):
            yield from self._enter(0, products[k_index], k_index)
        for level in range(last):
            if self.counts[level]:
                yield from self._hand_on(level, k_index)
        if self.spec.bias is BiasPlacement.POST_ADD:
            yield self._add(last, addend, k)

    def _enter(self, level: int, operand: int, k_index: int) -> Iterator[Addition]:
        yield self._add(level, operand, k_index)
        self.counts[level] += 1
        fan_in = self.spec.stages[level].fan_in
        if not isinstance(fan_in, FanIn) and self.counts[level] == fan_in:
            yield from self._hand_on(level, k_index)

    def _hand_on(self, level: int, k_index: int) -> Iterator[Addition]:
        result = self.registers[level]
        self.registers[level] = self.counts[level] = 0
        self.tiles[level] += 1
        yield from self._enter(level + 1, result, k_index)

    def _add(self, level: int, operand: int, k_index: int) -> Addition:
        stage: StageSpec = self.spec.stages[level]
        before = self.registers[level]
        after = stored(before + operand, stage.format, stage.overflow)
        self.registers[level] = after
        return Addition(level, self.tiles[level], k_index, before, operand, after)


def stored(value: int, fmt: IntFormat, overflow: Overflow) -> int:
    """``value`` as a register of this format and rule holds it."""
    if overflow is Overflow.SATURATE:
        return min(max(value, fmt.min), fmt.max)
    return (value - fmt.min) % (1 << fmt.bits) + fmt.min
