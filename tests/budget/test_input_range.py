"""Tests for lsqsim.budget.input_range: what a range holds, and one line for each that is none."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from lsqsim.budget.input_range import InputRange
from lsqsim.errors import DataError
from lsqsim.formats import IntFormat


def ends(inputs):
    return np.asarray(inputs.low).tolist(), np.asarray(inputs.high).tolist()


class TestWorkedExamples:
    def test_of_a_format(self):
        assert ends(InputRange.of_format(IntFormat(4, narrow=True))) == (-7, 7)

    def test_seen_in_data(self):
        codes = np.array([[1, 2], [3, 0]])
        assert ends(InputRange.observed(codes, 1)) == ([1, 0], [3, 2])
        assert ends(InputRange.observed(codes, 0)) == ([1, 0], [2, 3])

    @pytest.mark.parametrize(
        ("text", "expected"), [("0:200", (0, 200)), ("-3:-3", (-3, -3)), (" -4 : 5 ", (-4, 5))]
    )
    def test_written(self, text, expected):
        assert ends(InputRange.parse(text)) == expected

    def test_least_and_largest_of_all_channels(self):
        inputs = InputRange(low=[1, -2], high=[5, 3])
        assert (inputs.n_channels, inputs.least, inputs.largest) == (2, -2, 5)
        assert InputRange(low=0, high=1).n_channels is None

    @pytest.mark.parametrize(("code", "expected"), [(0, (0, 5)), (7, (1, 7)), (3, (1, 5))])
    def test_including_a_code(self, code, expected):
        assert ends(InputRange(low=1, high=5).including(code)) == expected
        several = InputRange(low=[1, 1], high=[5, 5]).including(code)
        assert ends(several) == tuple([end] * 2 for end in expected)


class TestLaws:
    @given(st.lists(st.lists(st.integers(-99, 99), min_size=2, max_size=2), min_size=1))
    def test_data_lies_in_what_was_seen_and_reaches_its_ends(self, rows):
        codes = np.array(rows)
        inputs = InputRange.observed(codes, 1)
        assert ((inputs.low <= codes) & (codes <= inputs.high)).all()
        assert all((codes == end).any(axis=0).all() for end in (inputs.low, inputs.high))


class TestRefusals:
    @pytest.mark.parametrize(
        ("low", "high", "message"),
        [
            (3, 1, r"the input range 3\.\.1 is empty: its low end must not exceed its high end"),
            ([1, 2], [2, 0], r"the input range 2\.\.0 of input channel 1 is empty"),
            (0, 1.5, "an input range must be of integer codes, got 1.5"),
            ("a", "b", "an input range must be of integer codes, got 'a'"),
            (True, True, "an input range must be of integer codes, got True"),
            (None, 3, "an input range must be of integer codes, got None"),
            (0, float("nan"), "an input range must be of integer codes, got nan"),
            (0, 1 << 63, "an input range must fit 64 bits, signed"),
            ([1, 2], [3], r"got shapes \(2,\) and \(1,\)"),
            ([1, 2], 3, r"got shapes \(2,\) and \(\)"),
            ([[1]], [[2]], r"got shapes \(1, 1\) and \(1, 1\)"),
            (np.empty(0, int), np.empty(0, int), "needs at least one channel"),
        ],
    )
    def test_of_ends(self, low, high, message):
        with pytest.raises(DataError, match=message) as caught:
            InputRange(low=low, high=high)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("text", ["a:b", "1", "1:2:3", "", "1:", ":1", "1.0:2", "0..3"])
    def test_of_a_text(self, text):
        with pytest.raises(DataError, match="an input range is written LOW:HIGH, two integer") as e:
            InputRange.parse(text)
        assert repr(text) in str(e.value)

    def test_of_a_text_that_is_empty_as_a_range(self):
        with pytest.raises(DataError, match=r"the input range 3\.\.1 is empty"):
            InputRange.parse("3:1")

    @pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
    @pytest.mark.parametrize("axis", [0, 1])
    def test_of_no_data(self, shape, axis):
        with pytest.raises(DataError, match="can't be found from no data, got inputs of shape"):
            InputRange.observed(np.empty(shape, int), axis)
