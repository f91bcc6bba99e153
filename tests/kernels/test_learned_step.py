"""Tests for the kernels of the learned quantizer: every edge as a table, the oracle for breadth."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, strategies as st

import learned_oracle as oracle
from lsqsim.formats import IntFormat
from lsqsim_kernels import learned_step

F = np.float32
MASKS = {
    oracle.INCLUSIVE: learned_step.INCLUSIVE,
    oracle.STRICT: learned_step.STRICT,
    oracle.AFTER_ROUNDING: learned_step.AFTER_ROUNDING,
}


def after(u):
    return float(np.nextafter(F(u), F(math.inf)))


def before(u):
    return float(np.nextafter(F(u), F(-math.inf)))


def column(values):
    return np.array(values, F).reshape(-1, 1)


def forward(values, step, low, high, offset=0.0):
    v = column(values)
    out = np.empty_like(v)
    arguments = np.array([step], F), np.array([offset], F), F(low), F(high)
    learned_step.fake_quantize(v, *arguments, out)
    codes = learned_step.learned_codes(v, *arguments)
    return codes[:, 0].tolist(), out[:, 0].tolist()


def backward(values, grad, step, low, high, mask, *, weights=None, offset=0.0):
    """Gradient by the values, and the sum for the parameter."""
    v, g = column(values), column(grad)
    out, sums = np.empty_like(v), np.zeros(1)
    weights = (F(1), F(low), F(high)) if weights is None else tuple(map(F, weights))
    learned_step.quantizer_gradient(
        v, g, np.array([step], F), np.array([offset], F), F(low), F(high), MASKS[mask], *weights,
        out, sums,
    )  # fmt: skip
    return out[:, 0].tolist(), float(sums[0])


#: u, code of int3 (-4 .. 3), then for each mask the derivatives by v and by the step size.
EDGES = [
    (-4.0, -4, (0, -4), (1, 0.0), (1, 0.0)),
    (after(-4.0), -4, (1, -4 - after(-4.0)), (1, -4 - after(-4.0)), (1, -4 - after(-4.0))),
    (before(-4.0), -4, (0, -4), (0, -4), (1, -4 - before(-4.0))),
    (3.0, 3, (0, 3), (1, 0.0), (1, 0.0)),
    (before(3.0), 3, (1, 3 - before(3.0)), (1, 3 - before(3.0)), (1, 3 - before(3.0))),
    (after(3.0), 3, (0, 3), (0, 3), (1, 3 - after(3.0))),
    # -4.5 rounds to the even -4: inside after rounding; one ulp lower it rounds to -5.
    (-4.5, -4, (0, -4), (0, -4), (1, 0.5)),
    (before(-4.5), -4, (0, -4), (0, -4), (0, -4)),
    # 3.5 rounds to the even 4: outside after rounding; one ulp lower it rounds to 3.
    (3.5, 3, (0, 3), (0, 3), (0, 3)),
    (before(3.5), 3, (0, 3), (0, 3), (1, 3 - before(3.5))),
    (-5.0, -4, (0, -4), (0, -4), (0, -4)),
    (4.0, 3, (0, 3), (0, 3), (0, 3)),
    # Ties to even, of both signs.
    (0.5, 0, (1, -0.5), (1, -0.5), (1, -0.5)),
    (1.5, 2, (1, 0.5), (1, 0.5), (1, 0.5)),
    (2.5, 2, (1, -0.5), (1, -0.5), (1, -0.5)),
    (-0.5, 0, (1, 0.5), (1, 0.5), (1, 0.5)),
    (-1.5, -2, (1, -0.5), (1, -0.5), (1, -0.5)),
    (-2.5, -2, (1, 0.5), (1, 0.5), (1, 0.5)),
    (-3.5, -4, (1, -0.5), (1, -0.5), (1, -0.5)),
    (before(0.5), 0, (1, -before(0.5)), (1, -before(0.5)), (1, -before(0.5))),
    (after(0.5), 1, (1, 1 - after(0.5)), (1, 1 - after(0.5)), (1, 1 - after(0.5))),
    (0.0, 0, (1, 0.0), (1, 0.0), (1, 0.0)),
    (math.inf, 3, (0, 3), (0, 3), (0, 3)),
    (-math.inf, -4, (0, -4), (0, -4), (0, -4)),
    (1e30, 3, (0, 3), (0, 3), (0, 3)),
    (-1e30, -4, (0, -4), (0, -4), (0, -4)),
]
STEPS = [1.0, 0.25, 8.0]


class TestWorkedExamples:
    @pytest.mark.parametrize("step", STEPS)
    @pytest.mark.parametrize("row", EDGES, ids=[repr(row[0]) for row in EDGES])
    def test_edges_and_ties(self, row, step):
        u, code = row[:2]
        assert forward([u * step], step, -4, 3) == ([code], [code * step])
        for mask, (by_v, by_s) in zip(MASKS, row[2:], strict=True):
            assert backward([u * step], [2.0], step, -4, 3, mask) == ([2.0 * by_v], 2.0 * by_s)

    @pytest.mark.parametrize(
        ("mask", "expected"),
        [
            (oracle.INCLUSIVE, [(0, 0), (0, 0), (0, 3), (0, 3)]),
            (oracle.STRICT, [(0, 0), (1, 0), (1, 0), (0, 3)]),
            (oracle.AFTER_ROUNDING, [(1, 0.25), (1, 0), (1, 0), (1, -0.25)]),
        ],
    )
    def test_unsigned_edges(self, mask, expected):
        """Codes 0 .. 3: u = -0.25, 0, 3 and 3.25."""
        for u, (by_v, by_s) in zip([-0.25, 0.0, 3.0, 3.25], expected, strict=True):
            assert backward([u], [1.0], 1.0, 0, 3, mask) == ([by_v], by_s)

    def test_an_offset_moves_the_range(self):
        assert forward([-1.0, 0.5, 1.0, 9.0], 0.5, 0, 3, offset=-1.0) == (
            [0, 3, 3, 3],
            [-1.0, 0.5, 0.5, 0.5],
        )
        assert forward([-0.75, -0.25], 0.5, 0, 3, offset=-1.0) == ([0, 2], [-1.0, 0.0])

    def test_each_channel_has_its_step_and_its_sum(self):
        v = np.array([[0.75, 0.75], [5.0, -5.0]], F)
        step, offset = np.array([1.0, 0.5], F), np.zeros(2, F)
        out, sums = np.empty_like(v), np.array([10.0, 20.0])
        learned_step.quantizer_gradient(
            v, np.ones_like(v), step, offset, F(-4), F(3), 0, F(1), F(-4), F(3), out, sums
        )
        assert out.tolist() == [[1, 1], [0, 0]]
        # 1 - 0.75 + 3, and 2 - 1.5 - 4, added to what was there
        assert sums.tolist() == [13.25, 16.5]

    def test_weights_of_other_parameters(self):
        """inside, at_low and at_high stand for (32) and (33)."""
        values, ones = [-9.0, -4.0, 0.3, 3.0, 9.0], [1.0] * 5
        for weights, expected in [((0, 1, 1), 4.0), ((0, 0, 1), 2.0), ((0, -1, 0), -2.0)]:
            assert (
                backward(values, ones, 1.0, -4, 3, oracle.INCLUSIVE, weights=weights)[1] == expected
            )

    @pytest.mark.parametrize("mask", MASKS)
    def test_nan_stays_visible(self, mask):
        v, one, zero = column([math.nan]), np.ones(1, F), np.zeros(1, F)
        learned_step.fake_quantize(v, one, zero, F(-4), F(3), v)
        assert math.isnan(v[0, 0])
        assert math.isnan(backward([math.nan, 1.0], [1.0, 1.0], 1.0, -4, 3, mask)[1])
        through, total = backward([1.25, 9.0], [math.nan, 1.0], 1.0, -4, 3, mask)
        assert math.isnan(through[0])
        assert math.isnan(total)

    def test_results_may_replace_their_sources(self):
        v = column([0.6, 9.0])
        step, offset = np.ones(1, F), np.zeros(1, F)
        learned_step.fake_quantize(v, step, offset, F(0), F(3), v)
        assert v[:, 0].tolist() == [1.0, 3.0]
        v, g = column([0.75, 9.0]), column([2.0, 2.0])
        sums = np.zeros(1)
        learned_step.quantizer_gradient(
            v, g, step, offset, F(0), F(3), 0, F(1), F(0), F(3), g, sums
        )
        assert (g[:, 0].tolist(), sums[0]) == ([2.0, 0.0], 6.5)

    def test_sums_are_wide(self):
        """2**25 + 1 - 2**25: float32 would lose the one."""
        values, grad = [9.0, 9.0, 9.0], [2.0**25, 1.0, -(2.0**25)]
        assert backward(values, grad, 1.0, -4, 3, oracle.INCLUSIVE)[1] == 3.0

    def test_widest_codes(self):
        codes = [-32768, -32767, 32766, 32767]
        assert forward([float(c) for c in codes], 1.0, -32768, 32767)[0] == codes
        assert forward([32766.5, 32765.5], 1.0, -32768, 32767)[0] == [32766, 32766]
        assert forward([65534.5, 65535.5], 1.0, 0, 65535)[0] == [65534, 65535]


formats = st.builds(IntFormat, st.integers(2, 16), signed=st.booleans())
singles = st.floats(-1e6, 1e6, width=32)


@st.composite
def cases(draw, steps):
    """A format, a step size, an offset, and values that often lie on edges and ties."""
    fmt, step = draw(formats), draw(steps)
    offset = draw(st.sampled_from([0.0, 0.0, -1.5, 4.0]))
    halves = st.integers(2 * fmt.min - 3, 2 * fmt.max + 3).map(lambda k: k * step / 2 + offset)
    near = st.tuples(halves, st.sampled_from([-1, 0, 1])).map(
        lambda t: float(np.nextafter(F(t[0]), F(t[1] * math.inf))) if t[1] else float(F(t[0]))
    )
    return fmt, step, offset, draw(st.lists(st.one_of(near, singles), min_size=1, max_size=20))


def is_exact(v, offset):
    """Whether v - offset is a float32 number, and no quotient of it underflows."""
    difference = Fraction(v) - Fraction(offset)
    return difference == oracle.single(difference) and (not difference or abs(difference) > 2**-60)


class TestAgainstOracle:
    @given(
        cases(st.floats(2.0**-10, 2.0**10, width=32)),
        st.sampled_from(list(MASKS)),
        st.integers(0, 2**32 - 1),
    )
    def test_any_step(self, case, mask, seed):
        """Each operation rounds once to float32, and sums are float64: equal bit by bit."""
        fmt, step, offset, values = case
        low, high = fmt.min, fmt.max
        us = [oracle.position(F(v), step, offset) for v in values]
        codes, quantized = forward(values, step, low, high, offset)
        assert codes == [oracle.code(u, low, high) for u in us]
        assert quantized == [float(oracle.value(u, step, offset, low, high)) for u in us]
        grad = np.random.default_rng(seed).normal(size=len(values)).astype(F).tolist()
        through, total = backward(values, grad, step, low, high, mask, offset=offset)
        assert through == [
            g * oracle.by_value(u, low, high, mask) for g, u in zip(grad, us, strict=True)
        ]
        expected = 0.0
        for g, u in zip(grad, us, strict=True):
            # A product of two float32 numbers is exact in float64.
            expected += float(oracle.single(g * float(oracle.by_step(u, low, high, mask))))
        assert total == expected

    @given(cases(st.integers(-10, 10).map(lambda e: 2.0**e)), st.sampled_from(list(MASKS)))
    def test_power_of_two_steps_are_exact(self, case, mask):
        """No rounding anywhere where v - offset is exact: the real-valued rule itself."""
        fmt, step, offset, values = case
        low, high = fmt.min, fmt.max
        exact = [F(v) for v in values if is_exact(float(F(v)), offset)]
        us = [(Fraction(float(v)) - Fraction(offset)) / Fraction(step) for v in exact]
        codes, quantized = forward(exact, step, low, high, offset)
        assert codes == [oracle.code(u, low, high) for u in us]
        assert [Fraction(q) for q in quantized] == [
            oracle.single(oracle.code(u, low, high) * Fraction(step) + Fraction(offset)) for u in us
        ]
        through, total = backward(exact, [1.0] * len(exact), step, low, high, mask, offset=offset)
        assert through == [oracle.by_value(u, low, high, mask) for u in us]
        assert total == pytest.approx(
            float(sum(oracle.by_step(u, low, high, mask) for u in us)), rel=1e-13, abs=1e-9
        )

    @given(cases(st.floats(2.0**-6, 2.0**6, width=32)), st.sampled_from(list(MASKS)))
    def test_other_parameters(self, case, mask):
        fmt, step, offset, values = case
        low, high = fmt.min, fmt.max
        us = [oracle.position(F(v), step, offset) for v in values]
        ones = [1.0] * len(values)
        for weights, rule in [((0, 1, 1), oracle.by_offset), ((0, 0, 1), oracle.by_clip_value)]:
            total = backward(values, ones, step, low, high, mask, weights=weights, offset=offset)[1]
            assert total == sum(rule(u, low, high, mask) for u in us)


class TestLaws:
    @given(cases(st.floats(2.0**-6, 2.0**6, width=32)))
    def test_masks_are_nested(self, case):
        """What is inside the inclusive mask is inside the strict one, and that after rounding."""
        fmt, step, offset, values = case
        inside = [
            backward(values, [1.0] * len(values), step, fmt.min, fmt.max, mask, offset=offset)[0]
            for mask in MASKS
        ]
        assert all(a <= b <= c for a, b, c in zip(*inside, strict=True))

    @given(cases(st.integers(-6, 6).map(lambda e: 2.0**e)))
    def test_quantizing_again_changes_nothing(self, case):
        fmt, step, _, values = case
        once = forward(values, step, fmt.min, fmt.max)
        assert forward(once[1], step, fmt.min, fmt.max) == once
