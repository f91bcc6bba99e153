"""What an accumulator is: a list of stages, and where bias and zero points enter."""

from collections.abc import Sequence
from dataclasses import dataclass

from lsqsim.errors import SpecError
from lsqsim.formats import MAX_BITS, IntFormat, Overflow, SpecEnum
from lsqsim.specs.toml import Spec


class FanIn(SpecEnum):
    """A fan-in that is not a number."""

    ALL = "all"
    """Every operand that is left."""


class BiasPlacement(SpecEnum):
    """Where the bias (and the zero-point correction) enters the last stage."""

    PRELOAD = "preload"
    """The last stage's register starts from it."""
    POST_ADD = "post_add"
    """One more addition into the last stage's register, after all others."""


class ZeroPointHandling(SpecEnum):
    """How zero points are taken out of the product; exact arithmetic can't tell, registers can."""

    FOLD = "fold"
    """Multiply raw codes; one correction joins the bias."""
    CENTER = "center"
    """Subtract zero points from the codes before the multiplier."""


class KOrder(SpecEnum):
    """Order in which the K products of one output enter the first stage."""

    NATURAL = "natural"
    """As the weights lie in memory."""
    REVERSED = "reversed"
    """The last first."""


MIN_REGISTER_BITS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterSpec(Spec):
    """A signed two's-complement register, 2 to 63 bits, and its overflow rule."""

    bits: int
    overflow: Overflow = Overflow.WRAP

    def validate(self) -> None:
        if not MIN_REGISTER_BITS <= self.bits <= MAX_BITS:
            raise SpecError(
                f"register bits must be in {MIN_REGISTER_BITS}..{MAX_BITS}, got {self.bits}"
            )

    @property
    def format(self) -> IntFormat:
        """The register's integer format."""
        return IntFormat(self.bits)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpec(Spec):
    """One level of the reduction.

    Takes ``fan_in`` consecutive operands in order, adds them one at a time
    into a register of ``bits`` bits that starts at 0, and applies ``overflow``
    after every addition. A last group may have fewer operands.

    Attributes
    ----------
    fan_in
        Operands one result takes, 1 or more, or ``FanIn.ALL``.
    bits
        Width of the signed register, 2 .. 63.
    overflow
        Rule after every addition.
    """

    bits: int
    fan_in: int | FanIn = FanIn.ALL
    overflow: Overflow = Overflow.WRAP

    def validate(self) -> None:
        RegisterSpec(bits=self.bits, overflow=self.overflow)
        if not isinstance(self.fan_in, FanIn) and self.fan_in < 1:
            raise SpecError(f"fan_in must be 1 or more, or 'all', got {self.fan_in}")

    @property
    def format(self) -> IntFormat:
        """The register's integer format."""
        return IntFormat(self.bits)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccumulatorSpec(Spec):
    """An accumulator: the K products of one output, reduced by stages, inner first.

    Attributes
    ----------
    stages
        At least one; the results of each are the operands of the next, and
        the last takes all that is left.
    bias
        Where the bias enters the last stage.
    zero_points
        How zero points are taken out of the product.
    order
        Order of the K products, or the permutation itself: entry t is the
        index of the product that enters t-th.
    """

    stages: tuple[StageSpec, ...]
    bias: BiasPlacement = BiasPlacement.PRELOAD
    zero_points: ZeroPointHandling = ZeroPointHandling.FOLD
    order: KOrder | tuple[int, ...] = KOrder.NATURAL

    def validate(self) -> None:
        if not self.stages:
            raise SpecError("an accumulator needs at least one stage")
        if self.stages[-1].fan_in is not FanIn.ALL:
            raise SpecError(
                f"the last stage takes all that is left: its fan_in must be 'all', "
                f"got {self.stages[-1].fan_in}"
            )
        if isinstance(self.order, tuple) and sorted(self.order) != list(range(len(self.order))):
            raise SpecError(
                f"order must be a permutation of 0..{len(self.order) - 1}: each index once"
            )

    @property
    def format(self) -> IntFormat:
        """Format of the last register: what the rescaler receives."""
        return self.stages[-1].format


def tile_sizes(stages: tuple[StageSpec, ...], k: int) -> list[int]:
    """For each stage, how many of the ``k`` products one of its results covers."""
    sizes: list[int] = []
    size = 1
    for stage in stages:
        whole = max(k, 1)
        size = whole if isinstance(stage.fan_in, FanIn) else min(size * stage.fan_in, whole)
        sizes.append(size)
    return sizes


def entry_order(order: KOrder | tuple[int, ...], k: int) -> Sequence[int]:
    """Natural K indices in the order in which their products enter."""
    if isinstance(order, tuple):
        if len(order) != k:
            raise SpecError(f"the stated order permutes {len(order)} products, but K is {k}")
        return order
    return range(k) if order is KOrder.NATURAL else range(k - 1, -1, -1)
