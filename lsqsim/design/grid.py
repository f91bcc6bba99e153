"""Accumulators to compare: every width, overflow rule and tile of a grid."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lsqsim.budget.input_range import InputRange
from lsqsim.budget.layer_operands import layer_operands, legal_inputs
from lsqsim.budget.ranges import exact_ranges
from lsqsim.chain import Chain
from lsqsim.errors import SpecError
from lsqsim.formats import Overflow
from lsqsim.specs import AccumulatorSpec, FanIn, StageSpec

_SHORT = {Overflow.WRAP: "wrap", Overflow.SATURATE: "sat"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignGrid:
    """Accumulators as a grid of choices.

    Attributes
    ----------
    acc_bits
        Widths of the last register.
    overflows
        Rules; of the last register, and of a tile's.
    tiles
        Products that a first stage sums; None keeps the stages of the datapath
        before the last.
    tile_bits
        Widths of a tile's register; none for the least that is certified for
        every layer.
    """

    acc_bits: tuple[int, ...]
    overflows: tuple[Overflow, ...] = (Overflow.WRAP,)
    tiles: tuple[int | None, ...] = (None,)
    tile_bits: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("acc_bits", "overflows", "tiles"):
            if not getattr(self, name):
                raise SpecError(f"a grid of designs needs at least one entry of {name}")
        for tile in self.tiles:
            if tile is not None and tile < 1:
                raise SpecError(f"a tile sums 1 product or more, got {tile}")
        if self.tile_bits and self.tiles == (None,):
            raise SpecError("tile_bits are widths of a tile's register: give tiles, too")

    def designs(self, chain: Chain, inputs: Sequence[InputRange]) -> list[AccumulatorSpec]:
        """Every accumulator of the grid, each once; widths of one kind side by side."""
        base = common_accumulator(chain)
        found = [
            replace(base, stages=(*inner, StageSpec(bits=bits, overflow=overflow)))
            for tile in self.tiles
            for overflow, inner in self._inner(chain, inputs, tile)
            for bits in self.acc_bits
        ]
        return list(dict.fromkeys(found))

    def _inner(
        self, chain: Chain, inputs: Sequence[InputRange], tile: int | None
    ) -> Iterator[tuple[Overflow, tuple[StageSpec, ...]]]:
        """Each rule, with the stages before the last."""
        if tile is None:
            yield from ((rule, common_accumulator(chain).stages[:-1]) for rule in self.overflows)
            return
        certified = {} if self.tile_bits else _certified_tile_bits(chain, inputs, tile)
        for rule in self.overflows:
            for bits in self.tile_bits or (certified[rule],):
                yield rule, (StageSpec(fan_in=tile, bits=bits, overflow=rule),)


def common_accumulator(chain: Chain) -> AccumulatorSpec:
    """The accumulator that all layers have; SpecError when they differ in more than widths."""
    first = chain.layers[0].spec.accumulator
    for unit in chain.layers[1:]:
        if replace(unit.spec.accumulator, stages=first.stages) != first:
            raise SpecError(
                f"{chain.layers[0].layer.name} and {unit.layer.name} have accumulators that "
                f"differ in bias, zero_points or order: designs are compared for all layers alike"
            )
    return first


def chain_inputs(chain: Chain, first: InputRange | None = None) -> list[InputRange]:
    """Input codes that every layer can see: of the first, and what the one before puts out."""
    found = [legal_inputs(chain.layers[0], first)]
    for former, unit in zip(chain.layers, chain.layers[1:], strict=False):
        low, high = former.rescaler.clamp
        found.append(legal_inputs(unit, InputRange(low=low, high=high)))
    return found


def design_name(design: AccumulatorSpec) -> str:
    """Fan-ins and widths, inner first: ``16 x 12 sat, 20 sat``.

    >>> inner = StageSpec(fan_in=16, bits=12, overflow=Overflow.SATURATE)
    >>> design_name(AccumulatorSpec(stages=(inner, StageSpec(bits=20))))
    '16 x 12 sat, 20 wrap'
    """
    return ", ".join(
        f"{'' if isinstance(s.fan_in, FanIn) else f'{s.fan_in} x '}{s.bits} {_SHORT[s.overflow]}"
        for s in design.stages
    )


def _certified_tile_bits(
    chain: Chain, inputs: Sequence[InputRange], tile: int
) -> dict[Overflow, int]:
    """Least width of a tile's register that is safe in every layer, by its rule."""
    stages = (StageSpec(fan_in=tile, bits=2), StageSpec(bits=2))
    found = [
        exact_ranges(layer_operands(unit, legal).with_stages(stages))
        for unit, legal in zip(chain.layers, inputs, strict=True)
    ]
    return {
        Overflow.WRAP: max(int(ranges.wrap_bits[:, 0].max()) for ranges in found),
        Overflow.SATURATE: max(int(ranges.saturate_bits[:, 0].max()) for ranges in found),
    }
