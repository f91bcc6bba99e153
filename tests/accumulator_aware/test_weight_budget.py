"""Tests for lsqsim.accumulator_aware.weight_budget: safe codes, nearest weights, penalties.

What is safe is decided here by running every extreme input through plain Python registers, what
is nearest by a slow method (Dykstra's) whose multipliers prove it.
"""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

from lsqsim.accumulator_aware.projection import shrink
from lsqsim.accumulator_aware.weight_budget import WeightBudget
from lsqsim.accumulator_aware.weight_limits import Constraint
from lsqsim.budget.operands import range_operands
from lsqsim.budget.ranges import exact_ranges
from lsqsim.errors import DataError, SpecError, WidthError
from lsqsim.formats import IntFormat
from lsqsim.specs import (
    AccumulatorSpec,
    BiasPlacement,
    FanIn,
    KOrder,
    StageSpec,
    ZeroPointHandling,
)

A2Q, A2Q_PLUS, SIGNED = Constraint.A2Q, Constraint.A2Q_PLUS, Constraint.SIGNED
PRELOAD, POST_ADD = BiasPlacement.PRELOAD, BiasPlacement.POST_ADD
FOLD, CENTER = ZeroPointHandling.FOLD, ZeroPointHandling.CENTER
CLOSE = 1e-9  # of weights of at most some hundred codes


def array_of(*stages, **fields):
    """Stages as (fan_in, bits), the last as bits alone."""
    *inner, last = stages
    specs = [StageSpec(fan_in=fan_in, bits=bits) for fan_in, bits in inner]
    return AccumulatorSpec(stages=(*specs, StageSpec(bits=last)), **fields)


def budget_of(accumulator, constraint=SIGNED, low=0, high=15, zero_point=0, weight_bits=8):
    return WeightBudget(
        accumulator=accumulator,
        weight_format=IntFormat(weight_bits),
        input_low=low,
        input_high=high,
        input_zero_point=zero_point,
        constraint=constraint,
    )


# ------------------------------------------------------------ an oracle in plain Python


def entered(spec, row):
    """A row of K in the order in which products enter."""
    if isinstance(spec.order, tuple):
        return [row[k] for k in spec.order]
    return list(row) if spec.order is KOrder.NATURAL else list(reversed(row))


def all_sums(spec, codes, inputs, bias, zero_point):
    """(stage, sum) of every addition of one output, registers without end."""
    centered = spec.zero_points is CENTER
    taken = zero_point if centered else 0
    terms = [(x - taken) * w for x, w in zip(inputs, codes, strict=True)]
    terms = entered(spec, terms)
    addend = bias - (0 if centered else zero_point * sum(codes))
    *inner, _ = spec.stages
    for level, stage in enumerate(inner):
        fan_in = len(terms) or 1 if stage.fan_in is FanIn.ALL else stage.fan_in
        results = []
        for start in range(0, len(terms), fan_in):
            register = 0
            for term in terms[start : start + fan_in]:
                register += term
                yield level, register
            results.append(register)
        terms = results
    register = addend if spec.bias is PRELOAD else 0
    if spec.bias is PRELOAD:
        yield len(inner), register
    for term in terms:
        register += term
        yield len(inner), register
    if spec.bias is POST_ADD:
        yield len(inner), register + addend


def is_safe(budget, codes, bias):
    """Whether every sum fits for every choice of input ends: sums are linear in each input."""
    spec, ends = budget.accumulator, (budget.input_low, budget.input_high)
    limits = [2 ** (stage.bits - 1) for stage in spec.stages]
    return all(
        -limits[level] <= value < limits[level]
        for inputs in itertools.product(ends, repeat=len(codes))
        for level, value in all_sums(spec, codes, inputs, bias, budget.input_zero_point)
    )


def registers(spec, k):
    """(bits, natural indices) of every register's weights, inner first."""
    order = entered(spec, list(range(k)))
    size, found = 1, []
    for stage in spec.stages:
        size = max(k, 1) if stage.fan_in is FanIn.ALL else min(size * stage.fan_in, max(k, 1))
        found.append([(stage.bits, order[i : i + size]) for i in range(0, k, size)])
    return found


def prove_nearest(weights, projected, limits, tolerance=1e-6):
    """Dykstra's method until its multipliers prove, by weak duality, that nothing is nearer.

    ``limits`` are (factors by natural index, limit) with sum of factor * |weight| <= limit.
    """
    sizes = [abs(v) for v in weights]
    reached = sum((v - w) ** 2 for v, w in zip(weights, projected, strict=True)) / 2
    multipliers, best = [0.0] * len(limits), 0.0
    for _ in range(3000):
        for j, (factors, limit) in enumerate(limits):
            others = [
                m - sum(multipliers[i] * limits[i][0][k] for i in range(len(limits)) if i != j)
                for k, m in enumerate(sizes)
            ]
            multipliers[j] = one_multiplier(others, factors, limit)
        pairs = list(zip(multipliers, limits, strict=True))
        best = -sum(multiplier * limit for multiplier, (_, limit) in pairs)
        for k, m in enumerate(sizes):
            pull = min(sum(multiplier * factors[k] for multiplier, (factors, _) in pairs), m)
            best += pull * m - pull**2 / 2
        if reached - best <= tolerance * max(reached, 1.0):
            return
    pytest.fail(f"the distance {reached} is not the least: bound {best}")


def one_multiplier(sizes, factors, limit):
    """Least a >= 0 with sum of f * max(size - a * f, 0) <= limit; breakpoints one by one."""
    live = [(m / f, m, f) for m, f in zip(sizes, factors, strict=True) if f > 0 and m > 0]
    if sum(f * m for _, m, f in live) <= limit:
        return 0.0
    live.sort(reverse=True)
    top = square = 0.0
    for i, (_, m, f) in enumerate(live):
        top, square = top + f * m, square + f * f
        level = (top - limit) / square
        if i + 1 == len(live) or level >= live[i + 1][0]:
            return level
    raise AssertionError


# ------------------------------------------------------------------------- strategies


@st.composite
def accumulators(draw, k, min_bits=3, max_bits=11):
    inner = st.builds(
        StageSpec,
        fan_in=st.integers(1, 4) | st.just(FanIn.ALL),
        bits=st.integers(min_bits, max_bits),
    )
    last = StageSpec(bits=draw(st.integers(min_bits, max_bits)))
    return AccumulatorSpec(
        stages=(*draw(st.lists(inner, max_size=2)), last),
        bias=draw(st.sampled_from(BiasPlacement)),
        zero_points=draw(st.sampled_from(ZeroPointHandling)),
        order=draw(st.sampled_from(KOrder) | st.permutations(range(k)).map(tuple)),
    )


@st.composite
def budgets(draw, k, constraints=tuple(Constraint), low=-12, high=20):
    ends = sorted(draw(st.tuples(*[st.integers(low, high)] * 2)))
    return WeightBudget(
        accumulator=draw(accumulators(k)),
        weight_format=draw(
            st.sampled_from([IntFormat(5), IntFormat(4, narrow=True), IntFormat(9)])
        ),
        input_low=ends[0],
        input_high=ends[1],
        input_zero_point=draw(st.integers(low, high)),
        constraint=draw(st.sampled_from(constraints)),
    )


@st.composite
def cases(draw, max_k=6, **kwargs):
    """A budget, weights (n, k), and bias codes that the last register holds."""
    k, n = draw(st.integers(0, max_k)), draw(st.integers(0, 3))
    budget = draw(budgets(k, **kwargs))
    values = st.floats(-40, 40, width=32) | st.integers(-20, 20).map(float)
    rows = draw(st.lists(st.lists(values, min_size=k, max_size=k), min_size=n, max_size=n))
    last = budget.accumulator.format
    biases = st.integers(last.min, last.max) | st.sampled_from([0, last.min, last.max])
    bias = draw(st.lists(biases, min_size=n, max_size=n))
    return budget, np.array(rows, np.float64).reshape(n, k), np.array(bias, np.int64)


def unsigned_cases(**kwargs):
    """Cases of SIGNED whose inputs run from 0 to 1 or more, zero point 0."""

    def unsigned(case):
        high = max(abs(case[0].input_high), 1)
        return replace(case[0], input_low=0, input_high=high, input_zero_point=0), *case[1:]

    return cases(constraints=(SIGNED,), **kwargs).map(unsigned)


def with_constraint(budget, constraint):
    return budget_of(
        budget.accumulator, constraint, budget.input_low, budget.input_high, budget.input_zero_point
    )


# ------------------------------------------------------------------------------- tests


class TestWorkedExamples:
    """Inputs 0 .. 15, and 7 bits, -64 .. 63: positive sums may reach 4.2, negative 64 / 15."""

    @pytest.mark.parametrize(
        ("constraint", "expected"),
        [
            (A2Q, [[2.4, 1.4, -0.4, 0.0], [2.05, 0.05, -2.05, -0.05]]),  # less 1.6, less 0.95
            (A2Q_PLUS, [[2.6, 1.6, -2.6, -1.6], [3.0, 1.0, -3.0, -1.0]]),  # mean 1, less 0.4
            (SIGNED, [[2.6, 1.6, -2.0, -1.0], [3.0, 1.0, -3.0, -1.0]]),  # positive less 1.4
        ],
    )
    def test_one_register(self, constraint, expected):
        weights = np.array([[4.0, 3.0, -2.0, -1.0], [3.0, 1.0, -3.0, -1.0]])
        budget = budget_of(array_of(7), constraint)
        assert np.allclose(budget.project(weights), expected, rtol=0, atol=CLOSE)
        assert np.array_equal(budget.codes(weights), np.trunc(expected))

    def test_registers_that_nest(self):
        """10 a tile, 12 in all. First tiles, (5, 5 | 5, 5), and then (3, 3 | 3, 3) is farther."""
        magnitudes = np.array([[10.0, 10.0, 5.0, 5.0]])
        limits = [np.array([[10.0, 10.0]]), np.array([[12.0]])]
        nearest = shrink(magnitudes, [2, 4], limits)
        assert np.allclose(nearest, [[5.0, 5.0, 1.0, 1.0]], rtol=0, atol=CLOSE)

    def test_operands_of_both_signs(self):
        """Inputs -5 .. 15: A2Q allows 2.1 a sign, and on toward 8 each until p + n / 3 = 4.2."""
        weights = np.array([[4.0, 4.0, -4.0, -4.0]])
        for constraint, expected in [(A2Q, 1.05), (SIGNED, 1.575)]:
            projected = budget_of(array_of(7), constraint, -5).project(weights)
            assert np.allclose(projected, np.sign(weights) * expected, rtol=0, atol=CLOSE)

    def test_tiles_that_upset_the_mean(self):
        """The first tile limits its 6 to 4.2, and no tile its -2 or -4: these follow, less 0.6."""
        budget = budget_of(array_of((2, 7), 12), A2Q_PLUS)
        projected = budget.project(np.array([[6.0, -2.0, -2.0, -2.0]]))
        assert np.allclose(projected, [[4.2, -1.4, -1.4, -1.4]], rtol=0, atol=CLOSE)

    @pytest.mark.parametrize(
        ("order", "expected"),
        [
            (KOrder.NATURAL, [1.5, 1.5, 3.0]),
            (KOrder.REVERSED, [3.0, 1.5, 1.5]),
            ((0, 2, 1), [1.5, 3.0, 1.5]),
        ],
    )
    @pytest.mark.parametrize("constraint", [A2Q, SIGNED])
    def test_the_order_says_which_weights_share_a_tile(self, constraint, order, expected):
        """Inputs 0 .. 1; two products share 3 bits, the third has them for itself."""
        budget = budget_of(array_of((2, 3), 6, order=order), constraint, 0, 1)
        assert np.allclose(budget.project(np.full((1, 3), 4.0)), expected, rtol=0, atol=CLOSE)

    @pytest.mark.parametrize("placement", BiasPlacement)
    def test_a_bias_takes_from_one_sign_and_gives_to_the_other(self, placement):
        """30 + 15 * 2 = 60 <= 63 and 30 - 15 * 6 = -60; post-added, -15 * 6 = -90 is too low."""
        budget = budget_of(array_of(7, bias=placement))
        weights, bias = np.array([[20.0], [-20.0]]), np.array([30, 30])
        expected = [[2], [-6]] if placement is PRELOAD else [[2], [-4]]
        assert budget.codes(weights, bias).tolist() == expected
        expected = [[2], [-2]]
        assert with_constraint(budget, A2Q).codes(weights, bias).tolist() == expected

    @pytest.mark.parametrize(
        ("placement", "handling", "positive", "negative"),
        [
            (PRELOAD, FOLD, 8, -7),  # -8 * 8 >= -64, 7 * 8 <= 63; -8 * -7 <= 63, 7 * -7 >= -64
            (PRELOAD, CENTER, 8, -7),
            (POST_ADD, CENTER, 8, -7),
            (POST_ADD, FOLD, 4, -4),  # the chain itself: 15 * 4 <= 63
        ],
    )
    def test_zero_points(self, placement, handling, positive, negative):
        """Inputs 0 .. 15 with zero point 8."""
        array = array_of(7, bias=placement, zero_points=handling)
        codes = budget_of(array, zero_point=8).codes(np.array([[20.0], [-20.0]]))
        assert codes.tolist() == [[positive], [negative]]

    def test_codes_are_clipped_before_they_share(self):
        """4-bit codes: 1000 counts as 7, and does not take its neighbor's share."""
        budget = budget_of(array_of(5), low=0, high=1, weight_bits=4)
        assert budget.codes(np.array([[1000.0, 7.9]])).tolist() == [[7, 7]]

    def test_penalty(self):
        """l1 norm 10 against 4.2, and 3; SIGNED counts the positive 7 alone. At 0 is a kink."""
        weights = np.array([[4.0, 3.0, -3.0, 0.0], [1.0, 1.0, -1.0, 0.0]])
        value, gradient = budget_of(array_of(7), A2Q).penalty(weights)
        assert value == pytest.approx(5.8)
        assert gradient.tolist() == [[1, 1, -1, 0], [0, 0, 0, 0]]
        value, gradient = budget_of(array_of(7), SIGNED).penalty(weights)
        assert value == pytest.approx(2.8)
        assert gradient.tolist() == [[1, 1, 0, 0], [0, 0, 0, 0]]

    def test_penalty_of_zero_centering(self):
        """Centered by 1: (3, 2, -3, -2), each sign 0.8 over 4.2; their gradient has mean 0."""
        weights = np.array([[4.0, 3.0, -2.0, -1.0]])
        value, gradient = budget_of(array_of(7), A2Q_PLUS).penalty(weights)
        assert value == pytest.approx(1.6)
        assert gradient.tolist() == [[1, 1, -1, -1]]

    @pytest.mark.parametrize("constraint", Constraint)
    def test_inputs_that_are_all_zero_limit_nothing(self, constraint):
        budget = budget_of(array_of((2, 3), 3), constraint, 0, 0)
        weights = np.array([[50.0, -30.0, -20.0]])
        assert np.array_equal(budget.project(weights), weights)
        assert budget.codes(weights).tolist() == weights.tolist()
        assert budget.penalty(weights)[0] == 0.0

    @pytest.mark.parametrize("constraint", Constraint)
    @pytest.mark.parametrize("shape", [(0, 4), (3, 0), (0, 0)])
    def test_no_weights(self, constraint, shape):
        budget = budget_of(array_of((2, 4), 5), constraint)
        assert budget.project(np.zeros(shape)).shape == shape
        assert budget.codes(np.zeros(shape)).shape == shape
        value, gradient = budget.penalty(np.zeros(shape))
        assert value == 0.0
        assert gradient.shape == shape

    @pytest.mark.parametrize("constraint", [A2Q, SIGNED])
    def test_limits_that_float64_does_not_hold(self, constraint):
        """2^59 - 1 becomes 2^59, one too many: the exact range says so, and codes give way."""
        budget = WeightBudget(
            accumulator=array_of(60), weight_format=IntFormat(62), input_low=0, input_high=1,
            constraint=constraint,
        )  # fmt: skip
        weights = np.array([[2.0**60], [5.0]])
        assert budget.project(weights)[0, 0] == 2.0**59
        codes = budget.codes(weights)
        assert 2**59 - 2**7 <= codes[0, 0] <= 2**59 - 1
        assert codes[1, 0] == 5


class TestSafety:
    @settings(max_examples=300)
    @given(cases())
    def test_codes_are_safe(self, case):
        """Every sum of every stage fits, by plain registers and by the exact ranges."""
        budget, weights, bias = case
        codes = budget.codes(weights, bias)
        assert codes.dtype == np.int64
        fmt = budget.weight_format
        assert all(fmt.holds(code) for code in codes.reshape(-1).tolist())
        for row, b in zip(codes.tolist(), bias.tolist(), strict=True):
            assert is_safe(budget, row, b)
        operands = range_operands(
            budget.accumulator, codes, bias=bias, input_low=budget.input_low,
            input_high=budget.input_high, input_zero_point=budget.input_zero_point,
        )  # fmt: skip
        ranges = exact_ranges(operands)
        for level, stage in enumerate(budget.accumulator.stages):
            assert (ranges.prefix_low[:, level] >= stage.format.min).all()
            assert (ranges.prefix_high[:, level] <= stage.format.max).all()

    @settings(max_examples=300)
    @given(cases())
    def test_projected_weights_rounded_toward_zero_are_safe(self, case):
        """No second look is needed where float64 holds the limits: the formulas alone suffice."""
        budget, weights, bias = case
        codes = np.trunc(budget.project(weights, bias)).astype(int).tolist()
        for row, b in zip(codes, bias.tolist(), strict=True):
            assert is_safe(budget, row, b)

    @given(unsigned_cases(max_k=5))
    def test_no_code_can_grow(self, case):
        """SIGNED, one register, no bias: what holds a code back is its register or its format."""
        budget, weights, _ = case
        budget = WeightBudget(
            accumulator=array_of(budget.accumulator.format.bits), weight_format=IntFormat(9),
            input_low=0, input_high=budget.input_high,
        )  # fmt: skip
        whole = np.trunc(weights)
        for row, codes in zip(whole.tolist(), budget.codes(whole).tolist(), strict=True):
            for sign in (1, -1):
                held = [k for k, w in enumerate(row) if sign * (w - codes[k]) > 0]
                grown = [c + sign * (k in held) for k, c in enumerate(codes)]
                assert not held or not is_safe(budget, grown, 0)

    @pytest.mark.parametrize("constraint", Constraint)
    @pytest.mark.parametrize("low", [0, -8])
    def test_a_layer_in_tiles(self, constraint, low):
        """AXE's case: tiles of 16 on 11 bits, then 12; some registers are used to the full."""
        rng = np.random.default_rng(1)
        budget = budget_of(array_of((16, 11), 12), constraint, low, low + 15)
        weights = rng.normal(0.3, 6, (8, 100))
        codes = budget.codes(weights)
        operands = range_operands(
            budget.accumulator, codes, input_low=low, input_high=low + 15
        )  # fmt: skip
        ranges = exact_ranges(operands)
        for level, stage in enumerate(budget.accumulator.stages):
            assert (ranges.prefix_low[:, level] >= stage.format.min).all()
            assert (ranges.prefix_high[:, level] <= stage.format.max).all()
        assert ranges.prefix_high[:, -1].max() > budget.accumulator.format.max / 2
        once = budget.project(weights)
        assert np.allclose(budget.project(once), once, rtol=0, atol=CLOSE)


class TestNearest:
    @settings(max_examples=100)
    @given(cases(constraints=(A2Q,), max_k=5))
    def test_a2q(self, case):
        """For nested registers of any depth."""
        budget, weights, _ = case
        k = weights.shape[1]
        widest, last_widest = operand_magnitudes(budget)
        *inner, last = registers(budget.accumulator, k)
        found = [(widest, *register) for stage in inner for register in stage]
        found += [(last_widest, *register) for register in last]
        for row, projected in zip(weights.tolist(), budget.project(weights).tolist(), strict=True):
            limits = [
                ([float(i in indices) for i in range(k)], (2 ** (bits - 1) - 1) / most)
                for most, bits, indices in found
                if most
            ]
            prove_nearest(row, projected, limits)

    @settings(max_examples=100)
    @given(unsigned_cases(max_k=5))
    def test_signed_with_unsigned_operands(self, case):
        """Positive sums up to (2^(P-1) - 1) / x_max, negative ones up to 2^(P-1) / x_max."""
        budget, weights, _ = case
        k, most = weights.shape[1], budget.input_high
        for row, projected in zip(weights.tolist(), budget.project(weights).tolist(), strict=True):
            limits = []
            for bits, indices in itertools.chain(*registers(budget.accumulator, k)):
                for sign in (1, -1):
                    limit = (2 ** (bits - 1) - (sign == 1)) / most
                    signs = [float(i in indices and sign * row[i] > 0) for i in range(k)]
                    limits.append((signs, limit))
            prove_nearest(row, projected, limits)

    @given(st.lists(st.floats(-40, 40, width=32), min_size=2, max_size=6), st.integers(3, 9))
    def test_zero_centered(self, row, bits):
        """One register. No corner h * (e_i - e_j) of the set lies beyond the point found."""
        projected = budget_of(array_of(bits), A2Q_PLUS).project(np.array([row]))[0]
        half = (2 ** (bits - 1) - 1) / 15
        assert sum(projected) == pytest.approx(0, abs=CLOSE)
        assert sum(np.abs(projected)) <= 2 * half + CLOSE
        left = np.array(row) - projected
        reached = left @ projected
        for i, j in itertools.permutations(range(len(row)), 2):
            assert half * (left[i] - left[j]) <= reached + 1e-6


def operand_magnitudes(budget):
    """Largest magnitude an inner stage's operands have per unit of weight, and the last's."""
    low, high, z = budget.input_low, budget.input_high, budget.input_zero_point
    raw, centered = [0, low, high], [0, low - z, high - z]
    chain = centered if budget.accumulator.zero_points is CENTER else raw
    if budget.accumulator.bias is POST_ADD:
        last = chain + centered
    elif budget.accumulator.zero_points is CENTER:
        last = centered
    else:  # a folded correction is in from the start: no input counts as 0 - z
        last = [*centered, -z]
    return max(map(abs, chain)), max(map(abs, last))


class TestLaws:
    @given(cases())
    def test_a_projection_is_idempotent(self, case):
        budget, weights, bias = case
        once = budget.project(weights, bias)
        assert np.allclose(budget.project(once, bias), once, rtol=0, atol=CLOSE)

    @given(cases(constraints=(A2Q, SIGNED)))
    def test_signs_never_flip_and_magnitudes_never_grow(self, case):
        budget, weights, bias = case
        projected = budget.project(weights, bias)
        assert (projected * weights >= 0).all()
        assert (np.abs(projected) <= np.abs(weights)).all()

    @given(cases(constraints=(A2Q, SIGNED)), st.floats(0, 1))
    def test_feasible_weights_stay(self, case, part):
        budget, weights, bias = case
        feasible = budget.project(weights, bias) * min(part, 1 - 1e-9)
        assert np.array_equal(budget.project(feasible, bias), feasible)

    @given(cases(constraints=(SIGNED,)))
    def test_signed_loses_no_more_than_a2q(self, case):
        budget, weights, bias = case
        signed = budget.project(weights, bias)
        a2q = with_constraint(budget, A2Q).project(weights, bias)
        lost = [np.linalg.norm(weights - projected, axis=1) for projected in (signed, a2q)]
        assert (lost[0] <= lost[1] + CLOSE).all()

    @given(cases())
    def test_channels_do_not_meet(self, case):
        budget, weights, bias = case
        together = budget.codes(weights, bias)
        for channel in range(len(weights)):
            one = slice(channel, channel + 1)
            assert np.array_equal(budget.codes(weights[one], bias[one]), together[one])

    @given(cases(constraints=(A2Q_PLUS,)))
    def test_zero_centered_channels_sum_to_zero(self, case):
        budget, weights, bias = case
        assert np.allclose(budget.project(weights, bias).sum(axis=1), 0, rtol=0, atol=CLOSE)

    @given(cases())
    def test_wider_registers_never_lose_more(self, case):
        """A2Q and A2Q+ of one register, SIGNED of unsigned inputs are nearest: sets that grow."""
        budget, weights, _ = case
        lost = []
        for bits in (6, 7, 12):
            wider = budget_of(array_of(bits), budget.constraint)
            lost.append(np.linalg.norm(weights - wider.project(weights)))
        assert (np.diff(lost) <= CLOSE).all()


class TestPenalty:
    @given(cases())
    def test_none_on_projected_weights(self, case):
        budget, weights, bias = case
        value, gradient = budget.penalty(budget.project(weights, bias) * (1 - 1e-9), bias)
        assert value == 0.0
        assert not gradient.any()

    @given(cases(constraints=(A2Q, SIGNED)))
    def test_some_on_all_others(self, case):
        budget, weights, bias = case
        moved = not np.allclose(budget.project(weights, bias), weights, rtol=0, atol=CLOSE)
        assert (budget.penalty(weights, bias)[0] > CLOSE / 100) >= moved

    @given(cases())
    def test_the_gradient_is_that_of_finite_differences(self, case):
        """Where slopes to the left and to the right agree: elsewhere is a kink."""
        budget, weights, bias = case
        step = 2.0**-20
        value, gradient = budget.penalty(weights, bias)
        for at in np.ndindex(*weights.shape):
            slopes = []
            for sign in (1, -1):
                moved = weights.copy()
                moved[at] += sign * step
                slopes.append(sign * (budget.penalty(moved, bias)[0] - value) / step)
            if slopes[0] == pytest.approx(slopes[1], abs=1e-5):
                assert gradient[at] == pytest.approx(slopes[0], abs=1e-4)

    def test_following_it_down_ends_within_the_budget(self):
        rng = np.random.default_rng(0)
        budget = budget_of(array_of((8, 9), 10), SIGNED, -8, 7)
        weights = rng.normal(0, 3, (4, 32))
        first, _ = budget.penalty(weights)
        for _ in range(400):
            weights -= 0.05 * budget.penalty(weights)[1]
        assert budget.penalty(weights)[0] < 0.01 * first


class TestRefusals:
    def test_a_bias_that_fits_no_register(self):
        budget, weights = budget_of(array_of(7)), np.ones((2, 3))
        for bias in ([63, -64], 0, None):
            assert budget.codes(weights, bias).shape == (2, 3)
        for bias in (64, -65):
            message = (
                f"no weights are safe for channel 1: its bias code {bias} alone does not fit the "
                r"last register, int7 \[-64, 63\]: widen it, or limit the bias"
            )
            for method in (budget.project, budget.codes, budget.penalty):
                with pytest.raises(DataError, match=message):
                    method(weights, [0, bias])

    @pytest.mark.parametrize("bias", [[1, 2, 3], [0.5, 1.0], "one"])
    def test_bias_codes(self, bias):
        with pytest.raises(DataError, match="bias_codes must be"):
            budget_of(array_of(7)).project(np.ones((2, 3)), bias)

    @pytest.mark.parametrize(
        "weights", [np.ones(3), np.ones((1, 2, 3)), [["a"]], [[True]], [[1], []]]
    )
    def test_weights(self, weights):
        for method in ("project", "codes", "penalty"):
            with pytest.raises(DataError, match="weights must be"):
                getattr(budget_of(array_of(7)), method)(weights)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_weights_that_are_not_finite(self, value):
        weights = np.array([[1.0, value], [value, 0.0]])
        message = rf"weights must be finite, got {value} at \(0, 1\) \(2 in all\)"
        for method in ("project", "codes", "penalty"):
            with pytest.raises(DataError, match=message):
                getattr(budget_of(array_of(7)), method)(weights)

    def test_an_order_for_another_k(self):
        budget = budget_of(array_of(7, order=(1, 0)))
        with pytest.raises(SpecError, match="the stated order permutes 2 products, but K is 3"):
            budget.project(np.ones((1, 3)))

    def test_an_empty_input_range(self):
        assert budget_of(array_of(7), low=3, high=3).input_low == 3
        with pytest.raises(SpecError, match=r"input_low must not exceed input_high, got 4\.\.3"):
            budget_of(array_of(7), low=4, high=3)

    @pytest.mark.parametrize("name", ["low", "high", "zero_point"])
    def test_codes_of_more_than_63_bits(self, name):
        limits = {"low": -(2**62), "high": 2**62 - 1, "zero_point": 2**62 - 1}
        budget_of(array_of(7), **limits)
        limits[name] += -1 if name == "low" else 1
        with pytest.raises(SpecError, match=rf"input_{name} must be a code of int63 \["):
            budget_of(array_of(7), **limits)

    def test_a_field_of_another_type(self):
        with pytest.raises(SpecError, match=r"WeightBudget.input_low must be an integer, got 0\.5"):
            budget_of(array_of(7), low=0.5)

    def test_sums_that_pass_the_simulator(self):
        """w * 1 and its correction -5 * w each near 2^62: more than an int64 adds up."""
        budget = WeightBudget(
            accumulator=array_of(63), weight_format=IntFormat(63), input_low=0, input_high=1,
            input_zero_point=5,
        )  # fmt: skip
        with pytest.raises(WidthError, match="a sum of channel 0 could need"):
            budget.codes(np.array([[2.0**62]]))


class TestAsText:
    @given(budgets(3))
    @example(budget_of(array_of((2, 7), 9), A2Q_PLUS))
    def test_round_trip(self, budget):
        assert WeightBudget.from_toml(budget.to_toml()) == budget
