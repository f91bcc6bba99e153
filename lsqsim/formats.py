"""Integer formats, and the two choices every narrowing makes: rounding and overflow."""

import re
from dataclasses import dataclass
from enum import Enum

from lsqsim.errors import SpecError


class SpecEnum(Enum):
    """An enumeration that prints as the Python expression naming it."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    def __str__(self) -> str:
        return str(self.value)


class Rounding(SpecEnum):
    """How a narrowing disposes of the fraction it drops.

    Each is named by the rule itself: "half up" means toward +inf in RTL and
    away from zero in decimal arithmetic.
    """

    TO_NEG = "to_neg"
    """Toward minus infinity: floor, the plain arithmetic shift."""
    TO_ZERO = "to_zero"
    """Toward zero: C's integer division."""
    TIES_POS = "ties_pos"
    """To nearest, ties toward plus infinity: add half an LSB, then floor."""
    TIES_AWAY = "ties_away"
    """To nearest, ties away from zero: C's ``round``."""
    TIES_EVEN = "ties_even"
    """To nearest, ties to even: the IEEE 754 default."""

    @property
    def is_nearest(self) -> bool:
        """Whether the result is never more than half an LSB away."""
        return self in (Rounding.TIES_POS, Rounding.TIES_AWAY, Rounding.TIES_EVEN)


class Overflow(SpecEnum):
    """What a register does with a value outside its format."""

    WRAP = "wrap"
    """Keep the low bits: arithmetic modulo 2**bits."""
    SATURATE = "saturate"
    """Keep the nearest value the format holds."""


class Generator(SpecEnum):
    """The random source of stochastic rounding; docs/datapath.md states each bit for bit."""

    XORSHIFT32 = "xorshift32"
    """A 32-bit linear feedback register, one step an element, in C order of the output."""
    SPLITMIX64 = "splitmix64"
    """A counter-based hash of (seed, element index): every element can be drawn alone."""


MAX_NOISE_BITS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class StochasticRounding:
    """Round up with a probability equal to the dropped fraction: floor(x + R / 2**bits).

    Attributes
    ----------
    generator
        Where R, uniform in 0 .. 2**bits - 1, comes from.
    seed
        Start of the generator, 1 .. 2**32 - 1. Every call of a unit starts
        afresh from it, so a call is repeatable.
    bits
        Random bits an element, 1 .. 32: the top bits of the generator's word.
    """

    generator: Generator = Generator.XORSHIFT32
    seed: int = 1
    bits: int = 32

    def __post_init__(self) -> None:
        if not isinstance(self.generator, Generator):
            names = " or ".join(repr(g.value) for g in Generator)
            raise SpecError(f"generator must be {names}, got {self.generator!r}")
        for name, value in (("seed", self.seed), ("bits", self.bits)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise SpecError(f"{name} must be an integer, got {value!r}")
        if not 1 <= self.seed < 1 << 32:
            raise SpecError(f"seed must be in 1..2**32-1, got {self.seed}")
        if not 1 <= self.bits <= MAX_NOISE_BITS:
            raise SpecError(f"random bits must be in 1..{MAX_NOISE_BITS}, got {self.bits}")


AnyRounding = Rounding | StochasticRounding

MAX_BITS = 63
_FORMAT_TEXT = re.compile(r"(u?)int([1-9][0-9]?)(-narrow)?")


@dataclass(frozen=True, slots=True)
class IntFormat:
    """A two's-complement or unsigned integer of ``bits`` bits.

    Written ``int8``, ``uint4`` or ``int4-narrow``.

    Attributes
    ----------
    bits
        Register width, 1 to 63; every value then fits an int64.
    signed
        Whether the top bit is a sign bit.
    narrow
        Whether the most negative code is dropped, so that the range is
        symmetric. Signed formats of at least 2 bits only.

    Examples
    --------
    The three kinds of range:

    >>> for text in ("int4", "uint4", "int4-narrow"):
    ...     f = IntFormat.parse(text)
    ...     print(f, f.min, f.max)
    int4 -8 7
    uint4 0 15
    int4-narrow -7 7
    """

    bits: int
    signed: bool = True
    narrow: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.bits, bool) or not isinstance(self.bits, int):
            raise SpecError(f"bits must be an integer in 1..{MAX_BITS}, got {self.bits!r}")
        if not 1 <= self.bits <= MAX_BITS:
            raise SpecError(f"bits must be in 1..{MAX_BITS}, got {self.bits}")
        for name, value in (("signed", self.signed), ("narrow", self.narrow)):
            if not isinstance(value, bool):
                raise SpecError(f"{name} must be true or false, got {value!r}")
        if self.narrow and not (self.signed and self.bits >= 2):
            raise SpecError(
                f"a narrow range drops the most negative code of a signed format of at least "
                f"2 bits; {'int' if self.signed else 'uint'}{self.bits} has none to drop"
            )

    @classmethod
    def parse(cls, text: str) -> "IntFormat":
        """Read ``int8``, ``uint4`` or ``int4-narrow``; SpecError for anything else."""
        match = _FORMAT_TEXT.fullmatch(text)
        if match is None:
            raise SpecError(
                f"a format is written int8, uint4 or int4-narrow (1..{MAX_BITS} bits), got {text!r}"
            )
        return cls(int(match[2]), signed=not match[1], narrow=bool(match[3]))

    @property
    def min(self) -> int:
        """Smallest code."""
        return (-(1 << (self.bits - 1)) if self.signed else 0) + self.narrow

    @property
    def max(self) -> int:
        """Largest code."""
        return (1 << (self.bits - self.signed)) - 1

    @property
    def n_levels(self) -> int:
        """Number of codes."""
        return self.max - self.min + 1

    def holds(self, value: int) -> bool:
        """Whether ``value`` is a code of this format."""
        return self.min <= value <= self.max

    def describe(self) -> str:
        """The name with its range, for messages: ``int4 [-8, 7]``."""
        return f"{self} [{self.min}, {self.max}]"

    def __str__(self) -> str:
        return f"{'int' if self.signed else 'uint'}{self.bits}{'-narrow' if self.narrow else ''}"


def signed_bits(value: int) -> int:
    """Width of the least signed register that holds ``value``; exact, in Python integers.

    >>> [signed_bits(value) for value in (0, 1, -1, 127, 128, -128)]
    [1, 2, 1, 8, 9, 8]
    """
    return (value if value >= 0 else ~value).bit_length() + 1
