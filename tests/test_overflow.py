"""Tests for lsqsim.overflow: counts of outputs by kind, in all and by channel."""

import numpy as np
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

from lsqsim.overflow import NO_K, NO_STAGE, OverflowCounts, OverflowKind, OverflowReport

NONE, TRANSIENT, PERSISTENT = OverflowKind
KINDS = hnp.arrays(
    np.uint8,
    hnp.array_shapes(min_dims=4, max_dims=4, min_side=1, max_side=3),
    elements=st.integers(0, 2),
)

IMAGE = [[[[NONE, TRANSIENT]], [[PERSISTENT, PERSISTENT]], [[NONE, NONE]]]]


def report(kind, channel_axis=-1):
    """Of these kinds; the other numbers only tell the arrays apart."""
    kind = np.array(kind, np.uint8)
    return OverflowReport(
        total=10 + kind, kind=kind, first_stage=20 + kind, first_k=30 + kind,
        channel_axis=channel_axis,
    )  # fmt: skip


class TestWorkedExamples:
    def test_linear(self):
        """Rows are samples, columns channels."""
        linear = report([[NONE, TRANSIENT, PERSISTENT], [TRANSIENT, TRANSIENT, NONE]])
        counts = linear.counts()
        assert counts == OverflowCounts(outputs=6, transient=3, persistent=1)
        assert counts.overflowed == 4
        assert linear.by_channel() == [
            OverflowCounts(2, 1, 0),
            OverflowCounts(2, 2, 0),
            OverflowCounts(2, 0, 1),
        ]

    def test_one_sample_without_a_batch_axis(self):
        assert report([NONE, PERSISTENT]).by_channel() == [
            OverflowCounts(1, 0, 0),
            OverflowCounts(1, 0, 1),
        ]

    def test_nchw(self):
        """One image of three channels of 1 x 2."""
        assert report(IMAGE, channel_axis=1).by_channel() == [
            OverflowCounts(2, 1, 0),
            OverflowCounts(2, 0, 2),
            OverflowCounts(2, 0, 0),
        ]

    def test_nhwc(self):
        """The same numbers as three rows of one column of two channels."""
        assert report(IMAGE, channel_axis=-1).by_channel() == [
            OverflowCounts(3, 0, 1),
            OverflowCounts(3, 1, 1),
        ]

    def test_empty(self):
        assert report(np.zeros((0, 2))).counts() == OverflowCounts(0, 0, 0)
        assert report(np.zeros((0, 2))).by_channel() == [OverflowCounts(0, 0, 0)] * 2

    def test_names_of_nothing(self):
        """They are no stage and no K index, nor the preload's -1."""
        assert (NO_STAGE, NO_K) == (-1, -2)
        assert [int(kind) for kind in OverflowKind] == [0, 1, 2]

    def test_joined_and_mapped(self):
        """Two samples' rows one below the other; then as two images of 1 x 1, channels second."""
        both = OverflowReport.joined([report([[NONE, TRANSIENT]]), report([[PERSISTENT, NONE]])], 0)
        assert both.kind.tolist() == [[NONE, TRANSIENT], [PERSISTENT, NONE]]
        images = both.mapped(lambda rows: rows.reshape(2, 2, 1, 1), channel_axis=1)
        assert images.kind.shape == (2, 2, 1, 1)
        for it in (both, images):
            assert (it.total == 10 + it.kind).all()
            assert (it.first_stage == 20 + it.kind).all()
            assert (it.first_k == 30 + it.kind).all()
        assert images.by_channel() == both.by_channel()
        beside = OverflowReport.joined([both, both], 1)
        assert beside.kind.tolist() == [[NONE, TRANSIENT] * 2, [PERSISTENT, NONE] * 2]


class TestLaws:
    @given(KINDS, st.sampled_from([-1, 1]))
    def test_channels_add_up(self, kind, axis):
        whole, channels = report(kind, axis).counts(), report(kind, axis).by_channel()
        assert len(channels) == kind.shape[axis]
        assert whole == OverflowCounts(
            *(sum(getattr(c, name) for c in channels) for name in OverflowCounts.__slots__)
        )

    @given(KINDS, st.sampled_from([-1, 1]))
    def test_a_channel_counts_its_own(self, kind, axis):
        for channel, counts in enumerate(report(kind, axis).by_channel()):
            mine = np.take(kind, channel, axis=axis).reshape(-1).tolist()
            assert counts == OverflowCounts(
                len(mine), mine.count(TRANSIENT), mine.count(PERSISTENT)
            )
