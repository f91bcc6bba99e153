"""Tests for lsqsim.channels: arrays as (outer, channel, inner), parameters and codes."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

from lsqsim.channels import along_axis, as_channels, channel_parameter, require_codes
from lsqsim.errors import DataError

SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=3)


class TestWorkedExamples:
    VALUES = np.arange(24).reshape(2, 3, 4)

    @pytest.mark.parametrize(
        ("axis", "shape"), [(None, (1, 1, 24)), (0, (1, 2, 12)), (1, (2, 3, 4)), (2, (6, 4, 1))]
    )
    def test_as_channels(self, axis, shape):
        split = as_channels(self.VALUES, axis)
        assert split.shape == shape
        assert split.reshape(-1).tolist() == list(range(24))

    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_as_channels_of_a_transposed_view(self, axis):
        """C order is that of the axes, not of the memory."""
        view = self.VALUES.T
        split = as_channels(view, axis)
        assert split.flags.c_contiguous
        assert split.reshape(-1).tolist() == view.reshape(-1).tolist()

    @pytest.mark.parametrize(
        ("axis", "shape"), [(0, (3, 1)), (1, (1, 3)), (-1, (1, 3)), (-2, (3, 1))]
    )
    def test_along_axis(self, axis, shape):
        assert along_axis(np.arange(3), axis, 2).shape == shape

    def test_along_no_axis(self):
        assert along_axis(np.array([5]), None, 2).shape == ()
        assert along_axis(np.array(5), 1, 2).shape == (1, 1)

    def test_channel_parameter(self):
        one = channel_parameter("step", 2, 3, np.float64)
        assert (one.tolist(), one.dtype) == ([2.0, 2.0, 2.0], np.float64)
        several = channel_parameter("zero", [1, 2, 3], 3, np.int64)
        assert (several.tolist(), several.dtype) == ([1, 2, 3], np.int64)
        assert channel_parameter("zero", np.array([7]), 2, np.int64).tolist() == [7, 7]

    def test_channel_parameter_at_the_ends_of_int64(self):
        ends = [-(1 << 63), (1 << 63) - 1]
        assert channel_parameter("zero", ends, 2, np.int64).tolist() == ends

    def test_require_codes(self):
        codes = require_codes("x", [[-8, 7]], -8, 7, "int4")
        assert (codes.tolist(), codes.dtype) == ([[-8, 7]], np.int64)
        assert require_codes("x", np.zeros((0, 3), np.uint8), 0, 1, "uint1").shape == (0, 3)


class TestLaws:
    @given(SHAPES, st.data())
    def test_a_channel_holds_its_elements(self, shape, data):
        """Channel c is what indexing the axis with c gives, in C order."""
        values = np.arange(np.prod(shape, dtype=int)).reshape(shape)
        axis = data.draw(st.integers(0, len(shape) - 1))
        split = as_channels(values, axis)
        assert split.shape[1] == shape[axis]
        for c in range(shape[axis]):
            expected = np.take(values, c, axis=axis).reshape(-1).tolist()
            assert split[:, c].reshape(-1).tolist() == expected

    @given(SHAPES, st.data())
    def test_a_parameter_meets_its_channel(self, shape, data):
        axis = data.draw(st.integers(-len(shape), len(shape) - 1))
        spread = np.zeros(shape, int) + along_axis(np.arange(shape[axis]), axis, len(shape))
        for c in range(shape[axis]):
            assert (np.take(spread, c, axis=axis) == c).all()

    def test_a_parameter_is_a_copy(self):
        """The unit keeps its parameters, whatever becomes of the caller's array."""
        given_values = np.array([1, 2])
        held = channel_parameter("zero", given_values, 2, np.int64)
        given_values[0] = 9
        assert held.tolist() == [1, 2]
        held[1] = 5
        assert given_values.tolist() == [9, 2]

    def test_codes_are_contiguous(self):
        assert require_codes("x", np.zeros((3, 2), np.int8).T, 0, 1, "uint1").flags.c_contiguous


class TestRefusals:
    @pytest.mark.parametrize("value", [[1, 2], [[1, 2, 3]], []])
    def test_number_of_parameters(self, value):
        message = "step must be one value, or one for each of the 3 channels, got shape"
        with pytest.raises(DataError, match=message):
            channel_parameter("step", np.array(value, np.float64), 3, np.float64)

    @pytest.mark.parametrize("value", ["1", True, 1j, None, 1 << 64])
    def test_parameters_of_another_kind(self, value):
        with pytest.raises(DataError, match="step must be a real number, or one a channel, got"):
            channel_parameter("step", value, 1, np.float64)
        with pytest.raises(DataError, match="zero must be an integer, or one a channel, got"):
            channel_parameter("zero", value, 1, np.int64)

    def test_reals_where_integers_are_meant(self):
        with pytest.raises(DataError, match=r"zero must be an integer, or one a channel, got 1\.0"):
            channel_parameter("zero", 1.0, 1, np.int64)

    def test_ragged_parameters(self):
        with pytest.raises(DataError, match="step must be an array, got rows of several lengths"):
            channel_parameter("step", [[1], [1, 2]], 1, np.float64)

    @pytest.mark.parametrize("value", [1 << 63, (1 << 64) - 1, np.array([0, 1 << 63], np.uint64)])
    def test_integers_that_would_wrap(self, value):
        """Unsigned 64 bits: -1 must not come of 2**64 - 1. As a real it is only rounded."""
        with pytest.raises(DataError, match="zero must fit 64 bits, signed, got"):
            channel_parameter("zero", value, 2, np.int64)
        assert channel_parameter("step", value, 2, np.float64)[-1] >= 2.0**63

    @pytest.mark.parametrize("codes", [[0.0], [True], ["1"], [1j]])
    def test_codes_of_another_kind(self, codes):
        with pytest.raises(DataError, match=r"x must be integer codes, got dtype .*; quantize"):
            require_codes("x", np.array(codes), -8, 7, "int4")

    @pytest.mark.parametrize(
        ("code", "dtype"),
        [(-9, np.int64), (8, np.int64), (8, np.uint8), ((1 << 64) - 1, np.uint64)],
    )
    def test_codes_past_the_ends(self, code, dtype):
        """Among legal ones, and unsigned ones that would be -1 as int64."""
        with pytest.raises(DataError, match=rf"x must be codes of int4 \[-8, 7\], got {code}"):
            require_codes("x", np.array([0, code, 7], dtype), -8, 7, "int4")
