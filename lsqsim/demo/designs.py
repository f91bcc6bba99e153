"""The designs that the demonstration compares: widths of codes and registers, overflow rules."""

import re
from dataclasses import dataclass, replace

from lsqsim.coupling import HardwareSpec
from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat, Overflow
from lsqsim.geometry import output_stationary, weight_stationary
from lsqsim.specs import (
    AccumulatorSpec,
    DatapathSpec,
    RescalerSpec,
    StageSpec,
    simple_datapath,
)

LOGITS = IntFormat(16)
"""Format in which the last layer's outputs leave: signed, and fine enough to rank classes."""

_NAME = re.compile(r"w(\d{1,2})a(\d{1,2})(?:t(\d{1,4})x(\d{1,2}))?p(\d{1,2})(s?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """One accelerator, written ``w4a4p10``, ``w4a4p10s`` or ``w4a4t16x9p12``.

    Attributes
    ----------
    weight_bits
        Width of the signed weight codes, 2 or more.
    activation_bits
        Width of the unsigned activation codes.
    acc_bits
        Width of the accumulator.
    overflow
        Rule of every register of the array; the ``s`` at the end means saturate.
    tile, tile_bits
        Products that a first register takes before the accumulator does, and
        its width; None for a single accumulator.
    """

    weight_bits: int
    activation_bits: int
    acc_bits: int
    overflow: Overflow = Overflow.WRAP
    tile: int | None = None
    tile_bits: int | None = None

    def __post_init__(self) -> None:
        if self.weight_bits < 2:  # one signed bit has no positive code
            raise SpecError(f"weights need 2 bits or more, got {self.weight_bits}")
        if (self.tile is None) != (self.tile_bits is None):
            raise SpecError("give both tile and tile_bits, or neither")
        self.datapath()

    @classmethod
    def parse(cls, text: str) -> "Design":
        """Read a design's name; SpecError says how one is written.

        >>> Design.parse("w4a4t16x9p12s").stages[0]
        StageSpec(bits=9, fan_in=16, overflow=Overflow.SATURATE)
        """
        match = _NAME.fullmatch(text)
        if match is None:
            raise SpecError(
                f"a design is written w4a4p16: bits of weights, activations and accumulator; "
                f"w4a4t16x9p16 for 9-bit registers of 16 products each before it; "
                f"an s at the end for saturating registers; got {text!r}"
            )
        w, a, tile, tile_bits, p, saturates = match.groups()
        return cls(
            weight_bits=int(w),
            activation_bits=int(a),
            acc_bits=int(p),
            overflow=Overflow.SATURATE if saturates else Overflow.WRAP,
            tile=None if tile is None else int(tile),
            tile_bits=None if tile_bits is None else int(tile_bits),
        )

    @property
    def name(self) -> str:
        """Short name, and that of its folder; :meth:`parse` reads it back."""
        tile = "" if self.tile is None else f"t{self.tile}x{self.tile_bits}"
        suffix = "s" if self.overflow is Overflow.SATURATE else ""
        return f"w{self.weight_bits}a{self.activation_bits}{tile}p{self.acc_bits}{suffix}"

    @property
    def stages(self) -> tuple[StageSpec, ...]:
        """Registers of the array, inner first."""
        if self.tile is None or self.tile_bits is None:
            return output_stationary(acc_bits=self.acc_bits, overflow=self.overflow)
        return weight_stationary(
            rows=self.tile,
            column_bits=self.tile_bits,
            acc_bits=self.acc_bits,
            column_overflow=self.overflow,
            acc_overflow=self.overflow,
        )

    def hardware(self) -> HardwareSpec:
        """What the trained network is folded for; the accumulator adds the biases."""
        return HardwareSpec(
            accumulator=AccumulatorSpec(stages=self.stages),
            rescaler=RescalerSpec(output=LOGITS),
            logits=LOGITS,
        )

    def datapath(self, *, output: IntFormat | None = None) -> DatapathSpec:
        """The datapath; outputs have the activations' format unless another is given."""
        spec = simple_datapath(
            weight_bits=self.weight_bits,
            activation_bits=self.activation_bits,
            acc_bits=self.acc_bits,
            overflow=self.overflow,
        )
        return replace(
            spec,
            accumulator=replace(spec.accumulator, stages=self.stages),
            rescaler=replace(spec.rescaler, output=output or spec.rescaler.output),
        )


DESIGNS = tuple(
    map(
        Design.parse,
        (
            "w8a8p32",
            "w8a8p18",
            "w8a8p17",
            "w8a8p17s",
            "w4a4p12",
            "w4a4p10",
            "w4a4p10s",
            "w4a4p9",
            "w4a4p9s",
            "w4a4t16x10p12",
            "w4a4t16x9p12",
            "w4a4t16x9p12s",
            "w3a3p10",
            "w3a3p8s",
            "w2a2p8",
        ),
    )
)
"""What the demonstration shows by default; of each width, the widest accumulator first."""
