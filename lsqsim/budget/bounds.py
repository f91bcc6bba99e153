"""How wide every register must be, by one bound after another: from data types to exact ranges."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from lsqsim.budget.input_range import InputRange
from lsqsim.budget.layer_operands import layer_operands, legal_inputs
from lsqsim.budget.operands import RangeOperands
from lsqsim.budget.ranges import StageRanges, exact_ranges
from lsqsim.datapath import CompiledLayer
from lsqsim.formats import IntFormat, Overflow, signed_bits
from lsqsim.specs import MIN_REGISTER_BITS, StageSpec, ZeroPointHandling, tile_sizes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StageBounds:
    """Least width of one stage's register by each bound; int64 (n,), one an output channel.

    Attributes
    ----------
    spec
        The stage.
    data_type
        From the formats of weights and inputs alone, and the addend.
    l1
        From the largest sum of weight magnitudes of a result, times the largest
        input magnitude (A2Q).
    zero_centered
        From that sum times the width of the input range, as if the sums lay
        evenly about 0 (A2Q+): too small where they do not.
    wrap, saturate
        From the exact range of results, and of all prefixes: what a wrapping
        and what a saturating register needs, and not a bit more.
    """

    spec: StageSpec
    data_type: np.ndarray
    l1: np.ndarray
    zero_centered: np.ndarray
    wrap: np.ndarray
    saturate: np.ndarray

    @property
    def required(self) -> np.ndarray:
        """The exact bound for the stage's own overflow rule."""
        return self.wrap if self.spec.overflow is Overflow.WRAP else self.saturate

    @property
    def headroom_bits(self) -> int:
        """Bits that no channel needs; negative when some are missing."""
        return self.spec.bits - int(self.required.max())

    def largest(self) -> dict[str, int]:
        """Each bound's largest width over the channels."""
        return {name: int(getattr(self, name).max()) for name in BOUNDS}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON: widths for the whole layer, and for each channel."""
        return {
            "bits": self.spec.bits,
            "overflow": self.spec.overflow.value,
            "headroom_bits": self.headroom_bits,
            **self.largest(),
            "channels": {name: getattr(self, name).tolist() for name in BOUNDS},
        }


BOUNDS = ("data_type", "l1", "zero_centered", "wrap", "saturate")
"""Names of the bounds, as :class:`StageBounds` has them."""


def layer_bounds(
    compiled: CompiledLayer, inputs: InputRange | None = None
) -> tuple[StageBounds, ...]:
    """Every bound of every stage of a layer, inner first.

    Each stage is given the exact sums of the one before. All bounds but the
    zero-centered one are enough for every prefix, bias and zero-point
    correction included; ``wrap`` is enough for every result.

    Parameters
    ----------
    compiled : CompiledLayer
        The layer.
    inputs : InputRange, optional
        The input codes; all codes of the input format unless given. The
        data-type bound always takes all.

    Raises
    ------
    DataError, SpecError, WidthError
        As :func:`~lsqsim.budget.certificate.certify`.
    """
    operands = layer_operands(compiled, legal_inputs(compiled, inputs))
    return operand_bounds(compiled, operands, exact_ranges(operands))


def operand_bounds(
    compiled: CompiledLayer, operands: RangeOperands, exact: StageRanges
) -> tuple[StageBounds, ...]:
    """As :func:`layer_bounds`, for operands of the layer whose exact ranges are known."""
    wrap, saturate = exact.wrap_bits, exact.saturate_bits
    closed = _ClosedForms(compiled, operands)
    return tuple(
        StageBounds(
            spec=spec,
            data_type=closed.data_type(level),
            l1=closed.l1(level),
            zero_centered=closed.zero_centered(level),
            wrap=wrap[:, level],
            saturate=saturate[:, level],
        )
        for level, spec in enumerate(operands.spec.stages)
    )


def tile_ranges(operands: RangeOperands, level: int) -> StageRanges:
    """Exact ranges of every result of one stage, int64 (n, tiles) each; inner stages exact.

    The last stage has one tile, whose ranges include the addend.
    """
    last = len(operands.spec.stages) - 1
    if level == last:
        found = exact_ranges(operands)
        return StageRanges(
            **{name: getattr(found, name)[:, last:] for name in StageRanges.__slots__}
        )
    size = tile_sizes(operands.spec.stages, operands.k)[level]
    n, n_tiles = operands.n_channels, -(-operands.k // size)
    found = exact_ranges(operands.tiles(level, size, n_tiles))
    return StageRanges(
        **{
            name: getattr(found, name)[:, level].reshape(n, n_tiles)
            for name in StageRanges.__slots__
        }
    )


class _ClosedForms:
    """Bounds that look at formats and norms only; in Python integers."""

    def __init__(self, compiled: CompiledLayer, operands: RangeOperands) -> None:
        self.compiled = compiled
        self.operands = operands
        self.sizes = tile_sizes(operands.spec.stages, operands.k)
        self.largest_input = max(
            abs(int(operands.low.min(initial=0))), abs(int(operands.high.max(initial=0)))
        )
        self.input_width = int((operands.high - operands.low).max(initial=0))

    def data_type(self, level: int) -> np.ndarray:
        """Every product at its worst end, in every addition."""
        pairs = zip(self._products(), self._addends(level), strict=True)
        n_terms = min(self.sizes[level], self.operands.k)
        return _widths(
            (min(0, n_terms * low) + min(0, a), max(0, n_terms * high) + max(0, b))
            for (low, high), (a, b) in pairs
        )

    def l1(self, level: int) -> np.ndarray:
        """Every product at its largest magnitude, all of one sign."""
        pairs = zip(self._norms(level), self._addends(level), strict=True)
        reaches = ((norm * self.largest_input, a, b) for norm, (a, b) in pairs)
        return _widths((min(0, a) - reach, max(0, b) + reach) for reach, a, b in reaches)

    def zero_centered(self, level: int) -> np.ndarray:
        """The width of the range, half of it on either side of 0."""
        pairs = zip(self._norms(level), self._addends(level), strict=True)
        spans = [norm * self.input_width + 2 * max(abs(a), abs(b)) for norm, (a, b) in pairs]
        # The least P with span <= 2**P - 2.
        bits = [max((span + 1).bit_length(), MIN_REGISTER_BITS) for span in spans]
        return np.array(bits, np.int64)

    def _norms(self, level: int) -> list[int]:
        """Largest sum of weight magnitudes of any result, for each channel."""
        magnitudes = np.abs(self.operands.weights)
        if not magnitudes.size:
            return [0] * self.operands.n_channels
        # Sums fit int64: with the largest input as factor they do; were that 0, none would count.
        starts = range(0, self.operands.k, self.sizes[level])
        return np.add.reduceat(magnitudes, list(starts), axis=1).max(axis=1).tolist()

    def _products(self) -> Iterator[tuple[int, int]]:
        """Ends of one product by the formats, for each channel."""
        spec, layer = self.compiled.spec, self.compiled.layer
        n = layer.n_outputs
        zeros = np.broadcast_to(self.compiled.weight.zero_point, (n,)).tolist()
        is_centered = spec.accumulator.zero_points is ZeroPointHandling.CENTER
        inputs = _ends(spec.input.format, layer.input_zero_point * is_centered)
        for zero in zeros:
            weights = _ends(spec.weight.format, zero * is_centered)
            ends = [x * w for x in inputs for w in weights]
            yield min(ends), max(ends)

    def _addends(self, level: int) -> list[tuple[int, int]]:
        """Ends of what joins the products in the last stage, for each channel."""
        operands = self.operands
        if level < len(self.sizes) - 1:
            return [(0, 0)] * operands.n_channels
        sums = self._input_sums()
        rows = zip(
            operands.constant.tolist(), operands.coupling.tolist(), operands.groups, strict=True
        )
        return [
            (
                constant + min(factor * end for end in sums[group]),
                constant + max(factor * end for end in sums[group]),
            )
            for constant, factor, group in rows
        ]

    def _input_sums(self) -> list[tuple[int, int]]:
        """Ends of the sum of all inputs, for each group."""
        lows, highs = self.operands.low.tolist(), self.operands.high.tolist()
        return [(sum(low), sum(high)) for low, high in zip(lows, highs, strict=True)]


def _ends(fmt: IntFormat, zero_point: int) -> tuple[int, int]:
    return fmt.min - zero_point, fmt.max - zero_point


def _widths(ranges: Iterator[tuple[int, int]]) -> np.ndarray:
    bits = [max(signed_bits(low), signed_bits(high), MIN_REGISTER_BITS) for low, high in ranges]
    return np.array(bits, np.int64)
