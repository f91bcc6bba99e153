"""Tests for the operand strategies: legal, and biased as promised, by counting."""

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, strategies as st

from drawing import drawn, share
from lsqsim import testing
from lsqsim.formats import IntFormat
from lsqsim.quantizer import Quantizer
from lsqsim.specs import (
    QuantizerSpec,
    StepArithmetic,
)

INT4, INT8 = IntFormat(4), IntFormat(8)


@cache
def code_arrays():
    return drawn(testing.codes(INT8, (3, 2)))


class TestCodes:
    def test_are_codes(self):
        for array in code_arrays():
            assert array.dtype == np.int64
            assert array.shape == (3, 2)
            assert ((array >= INT8.min) & (array <= INT8.max)).all()

    @pytest.mark.parametrize(
        ("holds", "least"),
        [
            (lambda a: not a.any(), 0.03),
            (lambda a: np.count_nonzero(a) == 1, 0.04),
            (lambda a: (a == INT8.max).all() or (a == INT8.min).all(), 0.03),
            (lambda a: (a == INT8.max).any(), 0.06),
            (lambda a: (a == INT8.min).any(), 0.06),
            (lambda a: (abs(a) == 1).any(), 0.12),
            (lambda a: (abs(a) > 1).any() and (abs(a) < INT8.max - 1).any(), 0.3),
        ],
        ids=["zero", "one hot", "end", "max", "min", "one", "others"],
    )
    def test_bias(self, holds, least):
        assert share(code_arrays(), holds) >= least

    def test_zero_is_the_zero_point(self):
        arrays = drawn(testing.codes(INT8, (4,), zero_point=INT8.max))
        assert share(arrays, lambda a: (a == INT8.max).all()) > 0.03
        one_hot = [a for a in arrays if np.count_nonzero(a != INT8.max) == 1]
        assert len(one_hot) > 10

    @given(testing.int_formats().flatmap(lambda f: st.tuples(st.just(f), testing.codes(f))))
    def test_any_format(self, pair):
        fmt, array = pair
        assert fmt.min <= array.min()
        assert array.max() <= fmt.max

    def test_large_arrays_are_cheap(self):
        (array,) = drawn(testing.codes(INT8, (100, 100)), 1)
        assert array.shape == (100, 100)

    def test_empty(self):
        assert all(a.shape == (0, 3) for a in drawn(testing.codes(INT8, (0, 3)), 20))


SPEC = QuantizerSpec(format=INT4)


@cache
def real_arrays():
    return drawn(testing.real_values(SPEC, (4,), step_size=0.5, zero_point=3))


class TestRealValues:
    @pytest.mark.parametrize(
        ("holds", "least"),
        [
            (lambda q: q % 1 == 0.5, 0.2),
            (lambda q: q % 1 == 0, 0.2),
            (lambda q: (q == INT4.max - 3) | (q == INT4.min - 3), 0.06),
            (lambda q: (q == INT4.max - 3 + 0.5) | (q == INT4.min - 3 - 0.5), 0.03),
            (np.isinf, 0.06),
            (lambda q: (q == 0) & np.signbit(q), 0.03),
            (lambda q: (q % 1 != 0.5) & (abs(q % 1 - 0.5) < 0.02), 0.1),
        ],
        ids=["tie", "level", "end", "clip edge", "infinite", "-0.0", "beside a tie"],
    )
    def test_bias(self, holds, least):
        with np.errstate(invalid="ignore", over="ignore"):
            assert share(real_arrays(), lambda a: holds(a.astype(np.float64) / 0.5).any()) >= least

    @pytest.mark.parametrize(
        ("holds", "least"),
        [
            (lambda a: not a.any(), 0.03),
            (lambda a: np.count_nonzero(a) == 1, 0.04),
            (lambda a: ((a != 0) & (abs(a) < np.finfo(a.dtype).tiny)).any(), 0.05),
            (lambda a: (abs(a) == np.finfo(a.dtype).max).any(), 0.05),
        ],
        ids=["zero", "one hot", "subnormal", "greatest"],
    )
    def test_pattern(self, holds, least):
        assert share(real_arrays(), holds) >= least

    def test_all_floats_occur(self):
        assert {a.dtype.name for a in real_arrays()} == {"float16", "float32", "float64"}

    def test_dtypes_can_be_chosen(self):
        strategy = testing.real_values(SPEC, step_size=0.5, dtypes=[np.float32])
        assert {a.dtype.name for a in drawn(strategy, 50)} == {"float32"}

    @given(st.data())
    def test_every_one_has_a_code(self, data):
        """Legal for any quantizer: no NaN, channels where the axis is."""
        spec = data.draw(testing.quantizer_specs(channel_axis=st.sampled_from([None, 0])))
        n = 1 if spec.channel_axis is None else data.draw(st.integers(1, 3))
        steps = data.draw(st.lists(testing.step_sizes(spec), min_size=n, max_size=n))
        zeros = data.draw(st.lists(testing.zero_points(spec.format), min_size=n, max_size=n))
        values = data.draw(testing.real_values(spec, step_size=steps, zero_point=zeros))
        Quantizer(spec, step_size=np.array(steps), zero_point=np.array(zeros)).quantize(values)

    def test_empty(self):
        strategy = testing.real_values(SPEC, (0,), step_size=0.5)
        assert all(a.size == 0 for a in drawn(strategy, 20))


class TestStepSizes:
    @pytest.mark.parametrize("arithmetic", StepArithmetic)
    def test_are_legal_and_in_range(self, arithmetic):
        spec = QuantizerSpec(format=INT8, arithmetic=arithmetic)
        steps = drawn(testing.step_sizes(spec, low=0.01, high=3.0))
        assert all(0.01 <= step <= 3.0 for step in steps)
        assert len({step for step in steps if math.frexp(step)[0] == 0.5}) > 5
        assert share(steps, lambda s: math.frexp(s)[0] != 0.5) > 0.5
        for step in steps:
            Quantizer(spec, step_size=step)
