"""What the multiply array reports about overflow, per output and summed up."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

NO_STAGE = -1
NO_K = -2


class OverflowKind(IntEnum):
    """Kind of an output's overflow; datapath.md defines the three."""

    NONE = 0
    TRANSIENT = 1
    PERSISTENT = 2


@dataclass(frozen=True, slots=True)
class OverflowCounts:
    """Outputs by kind of overflow."""

    outputs: int
    transient: int
    persistent: int

    @classmethod
    def summed(cls, counts: Iterable["OverflowCounts"]) -> "OverflowCounts":
        """Of all outputs that ``counts`` are of."""
        kinds = [(one.outputs, one.transient, one.persistent) for one in counts]
        return cls(*map(sum, zip(*kinds, strict=True))) if kinds else cls(0, 0, 0)

    @property
    def overflowed(self) -> int:
        """Outputs with an overflow of either kind."""
        return self.transient + self.persistent


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OverflowReport:
    """For every output: its exact total, and its first overflow. All int64, same shape.

    Attributes
    ----------
    total
        Exact total, bias and zero-point correction included, in units of s_x * s_w.
    kind
        :class:`OverflowKind`, as uint8.
    first_stage
        Stage of the first addition that overflowed; NO_STAGE (-1) when none did.
    first_k
        Natural K index of the last product that entered before it; -1 for the
        preload, K for the post-added bias, NO_K (-2) when none overflowed.
    channel_axis
        Axis of the output channels.
    """

    total: np.ndarray
    kind: np.ndarray
    first_stage: np.ndarray
    first_k: np.ndarray
    channel_axis: int = -1

    @classmethod
    def joined(cls, reports: list["OverflowReport"], axis: int) -> "OverflowReport":
        """Reports of neighboring outputs along ``axis`` as one."""
        return cls(
            total=np.concatenate([report.total for report in reports], axis),
            kind=np.concatenate([report.kind for report in reports], axis),
            first_stage=np.concatenate([report.first_stage for report in reports], axis),
            first_k=np.concatenate([report.first_k for report in reports], axis),
        )

    def mapped(
        self, arrange: Callable[[np.ndarray], np.ndarray], channel_axis: int
    ) -> "OverflowReport":
        """The same report with every array rearranged, output channels then on ``channel_axis``."""
        return OverflowReport(
            total=arrange(self.total),
            kind=arrange(self.kind),
            first_stage=arrange(self.first_stage),
            first_k=arrange(self.first_k),
            channel_axis=channel_axis,
        )

    def counts(self) -> OverflowCounts:
        """Of all outputs together."""
        return OverflowCounts(
            self.kind.size,
            int((self.kind == OverflowKind.TRANSIENT).sum()),
            int((self.kind == OverflowKind.PERSISTENT).sum()),
        )

    def by_channel(self) -> list[OverflowCounts]:
        """Of each output channel."""
        rows = np.moveaxis(self.kind, self.channel_axis, 0)
        return [
            OverflowCounts(
                row.size,
                int((row == OverflowKind.TRANSIENT).sum()),
                int((row == OverflowKind.PERSISTENT).sum()),
            )
            for row in rows
        ]
