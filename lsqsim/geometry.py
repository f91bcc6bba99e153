"""Array geometries as lists of stages: all of a machine's layout that matters to the bits."""

from lsqsim.errors import SpecError
from lsqsim.formats import Overflow
from lsqsim.specs import StageSpec

Stages = tuple[StageSpec, ...]


def output_stationary(*, acc_bits: int, overflow: Overflow = Overflow.WRAP) -> Stages:
    """Every PE keeps one output's register while operands stream by: one chain.

    Rows and columns of the array change which outputs are computed at the same
    time, and no bit of any of them.

    >>> output_stationary(acc_bits=32)
    (StageSpec(bits=32, fan_in=FanIn.ALL, overflow=Overflow.WRAP),)
    """
    return (StageSpec(bits=acc_bits, overflow=overflow),)


def weight_stationary(
    *,
    rows: int,
    column_bits: int,
    acc_bits: int,
    column_overflow: Overflow = Overflow.WRAP,
    acc_overflow: Overflow = Overflow.WRAP,
) -> Stages:
    """Partial sums move down a column of ``rows`` PEs, then meet the accumulator memory.

    ``rows`` is the fan-in of the first stage; a longer K takes several passes,
    whose results the accumulator memory adds. The number of columns changes no
    bit.
    """
    return (
        StageSpec(fan_in=rows, bits=column_bits, overflow=column_overflow),
        StageSpec(bits=acc_bits, overflow=acc_overflow),
    )


def adder_tree(
    *,
    leaves: int,
    bits: int,
    acc_bits: int,
    growth: int = 1,
    overflow: Overflow = Overflow.WRAP,
    acc_overflow: Overflow = Overflow.WRAP,
) -> Stages:
    """A binary tree over ``leaves`` products, then an accumulator.

    Parameters
    ----------
    leaves : int
        Products the tree takes at a time; a power of two, 2 or more.
    bits : int
        Width of the registers of the tree's first level.
    acc_bits : int
        Width of the accumulator behind the tree.
    growth : int
        Bits by which each further level is wider; 1 never overflows when the
        first level does not, 0 is a tree of equal registers.

    Raises
    ------
    SpecError
        When ``leaves`` is not a power of two, or ``growth`` is negative.
    """
    if leaves < 2 or leaves & (leaves - 1):
        raise SpecError(f"leaves must be a power of two, 2 or more, got {leaves}")
    if growth < 0:
        raise SpecError(f"growth must be 0 or more, got {growth}")
    depth = leaves.bit_length() - 1
    levels = tuple(
        StageSpec(fan_in=2, bits=bits + level * growth, overflow=overflow) for level in range(depth)
    )
    return (*levels, StageSpec(bits=acc_bits, overflow=acc_overflow))


def packed_lanes(
    *,
    lanes: int,
    lane_bits: int,
    acc_bits: int,
    lane_overflow: Overflow = Overflow.SATURATE,
    acc_overflow: Overflow = Overflow.WRAP,
) -> Stages:
    """``lanes`` neighboring products share one narrow register of a SIMD word.

    x86's ``vpmaddubsw`` is ``lanes=2, lane_bits=16``, saturating.
    """
    return (
        StageSpec(fan_in=lanes, bits=lane_bits, overflow=lane_overflow),
        StageSpec(bits=acc_bits, overflow=acc_overflow),
    )


def interleaved_order(k: int, lanes: int) -> tuple[int, ...]:
    """Order in which lane 0 takes products 0, lanes, 2*lanes, ..., then lane 1, and so on.

    Where ``lanes`` divides ``k``, a stage of fan-in k // lanes then sums one lane; otherwise
    lanes are of two lengths, and groups of one fan-in straddle them. Both arguments are 1 or
    more.

    >>> interleaved_order(6, 2)
    (0, 2, 4, 1, 3, 5)
    """
    if k < 1 or lanes < 1:
        raise SpecError(f"k and lanes must be 1 or more, got {k} and {lanes}")
    return tuple(index for lane in range(lanes) for index in range(lane, k, lanes))
