"""How many bits a layer's sums have needed on data: one record that answers for every width."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lsqsim.errors import SpecError
from lsqsim.formats import MAX_BITS
from lsqsim.observed.sweep import FanIns, Sums, signed_bits
from lsqsim.overflow import OverflowCounts
from lsqsim.specs import MIN_REGISTER_BITS

_BITS_OF_WIDTH = 6
"""Bits that hold a width, 0 .. 63."""

_KEY_BITS = 62


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerProfile:
    """The widths that a layer's sums needed, for given fan-ins and data.

    A *sum* is what an addition forms before it is stored, registers being
    without limit: every prefix of a group, the preload and the post-added
    bias included. An output overflows at given widths just if one of its sums
    does not fit its stage's register: up to the first that does not, every
    register holds its exact sum. So the joint histogram of widths below
    decides, at every choice of widths, how each output fares.

    Attributes
    ----------
    fan_ins
        Of the stages, innermost first.
    low, high
        Least and greatest sum of every channel and stage, int64 (channels,
        depth), units of s_x * s_w; low above high where nothing was added.
    total_low, total_high
        Extremes of exact totals, int64 (channels,); likewise.
    channel, peak_bits, total_bits, n_equal
        The joint histogram: output channel (rows,), width of the least
        signed register for all sums of a stage (rows, depth) and for the
        total (rows,), and how many outputs are alike in these. int64; a
        width is 1 .. 63, or 0 where a stage adds nothing.
    """

    fan_ins: FanIns
    low: np.ndarray
    high: np.ndarray
    total_low: np.ndarray
    total_high: np.ndarray
    channel: np.ndarray
    peak_bits: np.ndarray
    total_bits: np.ndarray
    n_equal: np.ndarray

    @classmethod
    def of(cls, fan_ins: FanIns, sums: Sums) -> "LayerProfile":
        """The profile of measured sums."""
        n_channels, depth = sums.low.shape
        limits = np.iinfo(np.int64)
        peaks, totals = sums.peaks.reshape(-1, depth), signed_bits(sums.totals).reshape(-1)
        channel = np.broadcast_to(np.arange(n_channels), sums.totals.shape).reshape(-1)
        first, n_equal = _distinct([channel, *peaks.T, totals], n_channels)
        return cls(
            fan_ins=fan_ins,
            low=sums.low,
            high=sums.high,
            total_low=sums.totals.min(axis=0, initial=limits.max),
            total_high=sums.totals.max(axis=0, initial=limits.min),
            channel=channel[first],
            peak_bits=peaks[first].astype(np.int64),
            total_bits=totals[first].astype(np.int64),
            n_equal=n_equal,
        )

    @property
    def n_channels(self) -> int:
        """Number of output channels."""
        return self.total_low.size

    @property
    def depth(self) -> int:
        """Number of stages."""
        return len(self.fan_ins)

    @property
    def observed_bits(self) -> tuple[int, ...]:
        """Least register of each stage, 2 or more bits, in which no sum of the data overflows."""
        peaks = self.peak_bits.max(axis=0, initial=MIN_REGISTER_BITS)
        return tuple(peaks.tolist())

    @property
    def observed_total_bits(self) -> int:
        """Least last register, 2 or more bits, that holds every total of the data.

        Enough where all stages wrap and none is narrower than the last.
        """
        return int(self.total_bits.max(initial=MIN_REGISTER_BITS))

    def counts(self, bits: Sequence[int]) -> OverflowCounts:
        """Outputs by kind of overflow at registers of ``bits``, one width a stage, 2 .. 63.

        Raises
        ------
        SpecError
            Another number of widths than stages, or an illegal width.
        """
        transient, persistent = self._kinds(bits)
        return OverflowCounts(
            int(self.n_equal.sum()),
            int(self.n_equal[transient].sum()),
            int(self.n_equal[persistent].sum()),
        )

    def by_channel(self, bits: Sequence[int]) -> list[OverflowCounts]:
        """The same of each output channel."""
        everything = np.ones(self.channel.size, bool)
        kinds = [self._per_channel(rows) for rows in (everything, *self._kinds(bits))]
        return [OverflowCounts(*counts) for counts in zip(*kinds, strict=True)]

    def needed_bits_histogram(self, stage: int | None = None) -> np.ndarray:
        """Outputs by the width they need, int64 (64,): of one stage's sums, or of the totals.

        Raises as :meth:`needed_bits_by_channel`, of which it is the sum.
        """
        return self.needed_bits_by_channel(stage).sum(axis=0)

    def needed_bits_by_channel(self, stage: int | None = None) -> np.ndarray:
        """The same for each output channel, int64 (channels, 64).

        Raises
        ------
        SpecError
            A stage that is none.
        """
        if stage is not None and not 0 <= stage < self.depth:
            raise SpecError(f"stage must be in 0..{self.depth - 1}, or None, got {stage}")
        widths = self.total_bits if stage is None else self.peak_bits[:, stage]
        histogram = np.zeros((self.n_channels, MAX_BITS + 1), np.int64)
        np.add.at(histogram, (self.channel, widths), self.n_equal)
        return histogram

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; None for extremes of nothing.

        ``needed_bits`` is the joint histogram of all channels. ``needed_bits_by_channel`` has one
        for the totals and for each stage, a row a channel, whose entry b counts outputs of b bits.
        """
        columns = [*self.peak_bits.T, self.total_bits]
        first, _ = _distinct(columns, 1)
        table = np.stack(columns, axis=1)
        alike = [
            {
                "peak_bits": row[:-1].tolist(),
                "total_bits": int(row[-1]),
                "n_equal": int(self.n_equal[(table == row).all(axis=1)].sum()),
            }
            for row in table[first]
        ]
        return {
            "fan_ins": [
                fan_in if isinstance(fan_in, int) else str(fan_in) for fan_in in self.fan_ins
            ],
            "observed_bits": list(self.observed_bits),
            "observed_total_bits": self.observed_total_bits,
            "low": _extremes(self.low, self.low <= self.high),
            "high": _extremes(self.high, self.low <= self.high),
            "total_low": _extremes(self.total_low, self.total_low <= self.total_high),
            "total_high": _extremes(self.total_high, self.total_low <= self.total_high),
            "needed_bits": alike,
            "needed_bits_by_channel": {
                "total": self._rows_of(None),
                "stages": [self._rows_of(stage) for stage in range(self.depth)],
            },
        }

    def _rows_of(self, stage: int | None) -> list[list[int]]:
        """Histograms without the widths that nothing of the layer needs."""
        widest = max(self.total_bits.max(initial=0), self.peak_bits.max(initial=0))
        return self.needed_bits_by_channel(stage)[:, : int(widest) + 1].tolist()

    def _kinds(self, bits: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Rows with transient, and with persistent overflow; bool."""
        if len(bits) != self.depth:
            raise SpecError(f"give one width for each of {self.depth} stages, got {list(bits)}")
        for width in bits:
            if not MIN_REGISTER_BITS <= width <= MAX_BITS:
                raise SpecError(
                    f"register bits must be in {MIN_REGISTER_BITS}..{MAX_BITS}, got {width}"
                )
        persistent = self.total_bits > bits[-1]
        overflowed = (self.peak_bits > np.array(bits)).any(axis=1)
        return overflowed & ~persistent, persistent

    def _per_channel(self, rows: np.ndarray) -> list[int]:
        outputs = np.zeros(self.n_channels, np.int64)
        np.add.at(outputs, self.channel[rows], self.n_equal[rows])
        return outputs.tolist()


def _distinct(columns: Sequence[np.ndarray], n_first: int) -> tuple[np.ndarray, np.ndarray]:
    """(first index, number) of each distinct row, in lexical order.

    The first column has values below ``n_first``, the others widths. They are
    packed into one integer a row, which sorts far faster than rows do; where
    the next column has no room, what is there is replaced by its rank.
    """
    key = columns[0].astype(np.int64)
    used = max(n_first.bit_length(), _BITS_OF_WIDTH)
    for column in columns[1:]:
        if used + _BITS_OF_WIDTH > _KEY_BITS:
            key = np.unique(key, return_inverse=True)[1]
            used = key.size.bit_length()
        key = key << _BITS_OF_WIDTH | column
        used += _BITS_OF_WIDTH
    _, first, n_equal = np.unique(key, return_index=True, return_counts=True)
    return first, n_equal


def _extremes(values: np.ndarray, exists: np.ndarray) -> object:
    table = values.astype(object)
    table[~exists] = None
    return table.tolist()
