"""Tests for lsqsim.learn.quantizer: each published rule, its start, its scale, and refusals."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

import learned_oracle as oracle
from learn_strategies import learned_formats
from lsqsim.errors import DataError, SpecError
from lsqsim.formats import IntFormat
from lsqsim.learn.parameters import Kind
from lsqsim.learn.quantizer import LearnedQuantizer
from lsqsim.learn.rule import (
    EdgeMask,
    FeatureCount,
    GradScale,
    Granularity,
    Learning,
    LevelCount,
    Method,
    Positivity,
    StepRule,
    StepStart,
)

F = np.float32
INT3, INT4, UINT2, UINT4 = (
    IntFormat(3),
    IntFormat(4),
    IntFormat(2, signed=False),
    IntFormat(4, signed=False),
)
TINY = float(np.finfo(F).tiny)


def quantizer(fmt=INT4, step=1.0, channels=1, **rule):
    q = LearnedQuantizer("q", fmt, StepRule(**{"grad_scale": GradScale.NONE} | rule), channels)
    if step is not None:
        q.set_step_size(step)
    return q


def gradients(q, values, grad, *, are_weights=False):
    """Gradients by the values, the step and the offset, all as lists."""
    q.forward(np.asarray(values, F))
    through = q.backward(np.asarray(grad, F), are_weights=are_weights)
    return through.tolist(), q.step.grad.tolist(), q.offset.grad.tolist()


def normal(*shape, seed=0, deviation=2.0):
    return (np.random.default_rng(seed).normal(size=shape) * deviation).astype(F)


class TestWorkedExamples:
    def test_codes_and_values(self):
        q = quantizer(UINT2, 0.5)
        x = np.array([[-1.0], [0.3], [0.8], [1.3], [7.0]], F)
        assert q.codes(x)[:, 0].tolist() == [0, 1, 2, 3, 3]
        assert q.forward(x)[:, 0].tolist() == [0.0, 0.5, 1.0, 1.5, 1.5]

    def test_gradient(self):
        """u = 0.5 (to 0), 2.5 (to 2), 9 (above 7): -0.5 - 0.5 + 7."""
        through, step, _ = gradients(quantizer(), [[0.5], [2.5], [9.0]], [[1.0], [1.0], [1.0]])
        assert (through, step) == ([[1.0], [1.0], [0.0]], [6.0])

    def test_gradients_add_up(self):
        q = quantizer()
        for _ in range(2):
            gradients(q, [[9.0]], [[1.0]])
        assert q.step.grad.tolist() == [14.0]

    @pytest.mark.parametrize(
        ("method", "kinds"),
        [
            (Method.LSQ, [Kind.STEP]),
            (Method.LSQ_PLUS, [Kind.STEP, Kind.OFFSET]),
            (Method.PACT, [Kind.STEP]),
            (Method.TQT, [Kind.STEP]),
        ],
    )
    def test_what_is_learned(self, method, kinds):
        q = quantizer(UINT4, method=method)
        assert [p.kind for p in q.parameters] == kinds
        assert [p.name for p in q.parameters] == ["q.step", "q.offset"][: len(kinds)]

    def test_clipped_share(self):
        q = quantizer(UINT2)
        q.forward(np.array([[0.0], [0.5], [2.9], [3.0]], F))
        assert q.clipped() == 0.5
        assert quantizer(UINT2).clipped() == 0.0
        q = quantizer(UINT2, method=Method.LSQ_PLUS)
        q.offset.value[:] = -1
        q.forward(np.array([[-1.0], [0.5], [1.9], [2.0]], F))
        assert q.clipped() == 0.5

    def test_quantized_zero(self):
        assert quantizer(UINT4, 0.3).quantized_zero() == 0.0
        q = quantizer(UINT4, 0.5, method=Method.LSQ_PLUS)
        q.offset.value[:] = -0.75
        assert q.quantized_zero() == 0.25  # -0.75 + 2 * 0.5: of 1.5, the even code


class TestStart:
    @pytest.mark.parametrize(
        ("start", "fmt", "values", "expected"),
        [
            (StepStart.PAPER, INT4, [-2.0, 4.0], 2 * 3 / 7**0.5),
            # The unsigned quantizer is its own ReLU: -2 counts as 0.
            (StepStart.PAPER, UINT4, [-2.0, 4.0], 2 * 2 / 15**0.5),
            (StepStart.LARGEST, INT4, [-3.5, 1.0], 0.5),
            (StepStart.LARGEST, UINT2, [-3.5, 1.5], 0.5),
            (StepStart.LEAST_SQUARES, INT4, [-1.0, 0.25, 0.5, 1.75], 0.25),
            (StepStart.LEAST_SQUARES, UINT2, [-1.0, 0.25, 0.5, 0.75], 0.25),
            # mean 1, deviation 2: 7 / 8
            (StepStart.THREE_SIGMA, INT4, [-1.0, 3.0], 7 / 8),
            (StepStart.THREE_SIGMA, INT4, [1.0, -3.0], 7 / 8),
            # Nothing to go by
            (StepStart.PAPER, INT4, [0.0, 0.0], 1.0),
            (StepStart.LARGEST, INT4, [0.0, 0.0], 1.0),
            (StepStart.THREE_SIGMA, INT4, [0.0, 0.0], 1.0),
            (StepStart.LEAST_SQUARES, INT4, [0.0, 0.0], 1.0),
            (StepStart.PAPER, INT4, [1e-45, 1e-45], TINY),
        ],
    )
    def test_rules(self, start, fmt, values, expected):
        q = quantizer(fmt, None, start=start)
        assert not q.is_started
        q.start(np.array(values, F).reshape(-1, 1))
        assert q.is_started
        assert float(q.step_size[0]) == pytest.approx(expected, rel=1e-6)

    def test_every_channel_starts_by_itself(self):
        q = quantizer(INT4, None, 2, granularity=Granularity.PER_CHANNEL, start=StepStart.LARGEST)
        q.start(np.array([[7.0, 14.0], [3.5, -3.5]], F))
        assert q.step_size.tolist() == [1.0, 2.0]

    def test_offset_starts_at_the_least_value(self):
        rule = {"method": Method.LSQ_PLUS, "start": StepStart.LARGEST}
        q = quantizer(UINT2, None, **rule)
        q.start(np.array([[-1.0], [0.5]], F))
        assert (q.offset.value.tolist(), q.step_size.tolist()) == ([-1.0], [0.5])
        q = quantizer(UINT2, None, **rule)
        q.start(np.array([[1.0], [3.0]], F))
        assert (q.offset.value.tolist(), q.step_size.tolist()) == ([0.0], [1.0])
        q = quantizer(INT3, None, **rule)
        q.start(np.array([[-1.0], [3.0]], F))
        assert (q.offset.value.tolist(), q.step_size.tolist()) == ([0.0], [1.0])

    def test_least_squares_looks_at_a_spread_sample(self):
        values = np.tile(np.array([-1.0, 0.25, 0.5, 1.75], F), 1 << 17).reshape(-1, 1)
        q = quantizer(INT4, None, start=StepStart.LEAST_SQUARES)
        q.start(values)
        # Every second of the values is looked at: -1 and 0.5.
        assert q.step_size[0] > 0
        assert (q.forward(values[:4:2]) == values[:4:2]).all()

    @pytest.mark.parametrize(
        ("step", "expected"), [(0.3, 0.5), (0.25, 0.25), (0.251, 0.5), (4.0, 4.0), (3.0, 4.0)]
    )
    @pytest.mark.parametrize("fmt", [INT4, UINT4])
    def test_tqt_takes_the_next_power_of_two(self, fmt, step, expected):
        assert quantizer(fmt, step, method=Method.TQT).step_size.tolist() == [expected]

    @pytest.mark.parametrize(
        "rule", [{}, {"method": Method.PACT}, {"positivity": Positivity.LOGARITHM}]
    )
    def test_what_is_set_is_what_is_applied(self, rule):
        assert quantizer(UINT4, 0.3, **rule).step_size == pytest.approx([0.3], rel=1e-6)


class TestScale:
    @pytest.mark.parametrize(
        ("rule", "are_weights", "n"),
        [
            ({"feature_count": FeatureCount.SAMPLE}, False, 6),
            ({"feature_count": FeatureCount.BATCH}, False, 24),
            ({"feature_count": FeatureCount.SAMPLE}, True, 24),
            ({"feature_count": FeatureCount.BATCH}, True, 24),
            ({"granularity": Granularity.PER_CHANNEL}, False, 3),
            ({"granularity": Granularity.PER_CHANNEL}, True, 12),
            (
                {"granularity": Granularity.PER_CHANNEL, "feature_count": FeatureCount.BATCH},
                False,
                12,
            ),
        ],
    )
    def test_n(self, rule, are_weights, n):
        """4 samples of 3 positions and 2 channels; the sum is 7 for each value clipped."""
        x = np.full((4, 3, 2), 100.0, F)
        q = quantizer(INT4, 1.0, 2, grad_scale=GradScale.INVERSE_SQRT_FEATURES, **rule)
        _, step, _ = gradients(q, x, np.ones_like(x), are_weights=are_weights)
        clipped = 12 if "granularity" in rule else 24
        assert step == pytest.approx([7 * clipped / n**0.5] * len(step), rel=1e-6)

    @pytest.mark.parametrize("grad_scale", GradScale)
    @pytest.mark.parametrize("level_count", LevelCount)
    def test_only_the_step_is_scaled(self, grad_scale, level_count):
        rule = {"grad_scale": grad_scale, "level_count": level_count, "grad_factor": 3.0}
        x = normal(5, 7, seed=1)
        plain = gradients(quantizer(UINT4, 0.25, 7), x, x)
        scaled = gradients(quantizer(UINT4, 0.25, 7, **rule), x, x)
        g = StepRule(**rule).step_grad_scale(UINT4, 7)
        assert scaled[0] == plain[0]
        assert scaled[1] == pytest.approx([plain[1][0] * g], rel=1e-6)

    def test_fixed_steps_get_no_gradient(self):
        q = quantizer(UINT4, 0.5, method=Method.LSQ_PLUS, learning=Learning.FIXED)
        through, step, offset = gradients(q, [[0.3], [99.0]], [[2.0], [2.0]])
        assert (through, step, offset) == ([[2.0], [0.0]], [0.0], [0.0])

    def test_an_empty_batch(self):
        assert gradients(quantizer(), np.empty((0, 1)), np.empty((0, 1))) == ([], [0.0], [0.0])


def published(q, values, grad, by_parameter, mask):
    """Sum of grad times the published derivative, in Python, over all values."""
    total = 0.0
    step, offset = float(q.step_size[0]), float(q.offset.value[0])
    for v, g in zip(values.reshape(-1), grad.reshape(-1), strict=True):
        u = oracle.position(v, step, offset)
        total += float(g) * float(by_parameter(u, q.format.min, q.format.max, mask))
    return total


MASKS = {mask: mask.value for mask in EdgeMask}


class TestAgainstOracle:
    """Each method against the derivative its paper prints, written out in learned_oracle.py."""

    @pytest.mark.parametrize("mask", EdgeMask)
    @pytest.mark.parametrize("bits", [2, 3, 8, 16])
    @pytest.mark.parametrize("signed", [True, False])
    def test_lsq(self, mask, bits, signed):
        fmt = IntFormat(bits, signed=signed)
        x, g = normal(6, 5, 3, seed=bits), normal(6, 5, 3, seed=bits + 1)
        q = quantizer(fmt, 3.0 / fmt.max, 3, edge_mask=mask)
        y = q.forward(x)
        through = q.backward(g)
        step = float(q.step_size[0])
        us = [oracle.position(v, step) for v in x.reshape(-1)]
        assert y.reshape(-1).tolist() == [
            float(oracle.value(u, step, 0.0, fmt.min, fmt.max)) for u in us
        ]
        inside = [oracle.by_value(u, fmt.min, fmt.max, mask.value) for u in us]
        assert (through.reshape(-1) == g.reshape(-1) * np.array(inside)).all()
        expected = published(q, x, g, oracle.by_step, mask.value)
        assert q.step.grad[0] == pytest.approx(expected, rel=1e-5, abs=1e-4 * fmt.max)

    @pytest.mark.parametrize("mask", EdgeMask)
    def test_logarithm(self, mask):
        """d/d log s = s * d/ds."""
        x, g = normal(6, 5, seed=3), normal(6, 5, seed=4)
        plain = quantizer(INT4, 0.3, 5, edge_mask=mask)
        q = quantizer(INT4, 0.3, 5, edge_mask=mask, positivity=Positivity.LOGARITHM)
        plain.set_step_size(float(q.step_size[0]))
        assert q.step.value == pytest.approx([math.log(0.3)], rel=1e-6)
        expected = gradients(plain, x, g)[1][0] * 0.3
        assert gradients(q, x, g)[1] == pytest.approx([expected], rel=1e-5)

    @pytest.mark.parametrize("positivity", [Positivity.REFUSE, Positivity.LOGARITHM])
    @pytest.mark.parametrize("fmt", [UINT4, INT4])
    @pytest.mark.parametrize("mask", EdgeMask)
    def test_lsq_plus(self, fmt, mask, positivity):
        """Derivative by the offset: 0 inside, 1 outside; both parameters are scaled by g."""
        rule = {"method": Method.LSQ_PLUS, "edge_mask": mask, "positivity": positivity}
        x, g = normal(40, 5, seed=5), normal(40, 5, seed=6)
        q = quantizer(fmt, 0.2, 5, grad_factor=0.5, **rule)
        q.offset.value[:] = -0.7
        chain = float(q.step_size[0]) if positivity is Positivity.LOGARITHM else 1.0
        _, step, offset = gradients(q, x, g)
        by_step = published(q, x, g, oracle.by_step, mask.value) * chain * 0.5
        by_offset = published(q, x, g, oracle.by_offset, mask.value) * 0.5
        assert step == pytest.approx([by_step], rel=1e-5)
        assert offset == pytest.approx([by_offset], rel=1e-5)

    def test_pact(self):
        """y = (|x| - |x - a| + a) / 2, rounded: 1 for x >= a by a, and 1 within (0, a) by x."""
        q = quantizer(UINT4, 0.25, 5, method=Method.PACT)
        clip = 3.75
        assert q.step.value.tolist() == [clip]
        x, g = normal(40, 5, seed=7, deviation=4.0), normal(40, 5, seed=8)
        x[0] = [0.0, clip, np.nextafter(F(clip), F(0)), 4.0, -1.0]
        through, step, _ = gradients(q, x, g)
        wide = x.astype(np.float64)
        y = (np.abs(wide) - np.abs(wide - clip) + clip) / 2
        assert np.allclose(q.forward(x), np.rint(y * 15 / clip) * clip / 15, rtol=0, atol=1e-6)
        assert through == (g * ((x > 0) & (x < clip))).tolist()
        assert step == pytest.approx([float(g[x >= clip].astype(np.float64).sum())], rel=1e-6)

    @pytest.mark.parametrize("fmt", [INT4, UINT4])
    def test_tqt(self, fmt):
        """d/d log2 t = s ln 2 times round(x/s) - x/s inside, the limits outside, after rounding."""
        rule = {"method": Method.TQT, "edge_mask": EdgeMask.AFTER_ROUNDING}
        q = quantizer(fmt, 0.3, 5, **rule)
        threshold = 2.0 ** float(q.step.value[0])
        levels = 16 if fmt is UINT4 else 8
        s = 2.0 ** math.ceil(math.log2(threshold)) / levels
        assert q.step_size.tolist() == [s] == [0.5]
        x, g = normal(40, 5, seed=9, deviation=4.0), normal(40, 5, seed=10)
        through, step, _ = gradients(q, x, g)
        u = x.astype(np.float64) / s
        r = np.rint(u)
        inside = (r >= fmt.min) & (r <= fmt.max)
        by_log = s * math.log(2) * np.where(inside, r - u, np.where(r < fmt.min, fmt.min, fmt.max))
        assert through == (g * inside).tolist()
        assert step == pytest.approx([float((g * by_log).sum())], rel=1e-5)

    @given(learned_formats, st.sampled_from(EdgeMask), st.integers(0, 999))
    def test_codes_are_behind_the_values(self, fmt, mask, seed):
        x = normal(3, 4, seed=seed)
        q = quantizer(fmt, 0.7, 4, edge_mask=mask)
        assert (q.forward(x) == q.codes(x).astype(F) * q.step_size).all()


RULES = [
    {},
    {"edge_mask": EdgeMask.STRICT, "positivity": Positivity.LOGARITHM},
    {"edge_mask": EdgeMask.AFTER_ROUNDING, "method": Method.TQT},
    {"method": Method.LSQ_PLUS},
    {"method": Method.PACT, "feature_count": FeatureCount.BATCH},
]


class TestLaws:
    @pytest.mark.parametrize("rule", RULES)
    @pytest.mark.parametrize("are_weights", [False, True])
    def test_per_channel_is_per_tensor_on_each_channel(self, rule, are_weights):
        """N is the channel's, too."""
        rule = rule | {"grad_scale": GradScale.PAPER}
        x, g = normal(4, 3, 5, seed=11), normal(4, 3, 5, seed=12)
        x *= np.array([1, 2, 4, 8, 0.1], F)
        q = quantizer(UINT4, None, 5, granularity=Granularity.PER_CHANNEL, **rule)
        q.start(x)
        y = q.forward(x)
        through = q.backward(g, are_weights=are_weights)
        for c in range(5):
            one = quantizer(UINT4, None, 1, **rule)
            channel = np.ascontiguousarray(x[..., c : c + 1])
            one.start(channel)
            assert (one.forward(channel) == y[..., c : c + 1]).all()
            alone = one.backward(np.ascontiguousarray(g[..., c : c + 1]), are_weights=are_weights)
            assert (alone == through[..., c : c + 1]).all()
            assert one.step.grad[0] == q.step.grad[c]
            assert one.offset.grad[0] == q.offset.grad[c]

    @pytest.mark.parametrize("rule", RULES)
    def test_channels_of_one_step_share_its_sum(self, rule):
        x, g = normal(4, 6, seed=13), normal(4, 6, seed=14)
        wide = gradients(quantizer(UINT4, 0.25, 6, **rule), x, g)
        flat = gradients(quantizer(UINT4, 0.25, 1, **rule), x[..., None], g[..., None])
        assert wide[1] == pytest.approx(flat[1], rel=1e-6)
        assert wide[2] == pytest.approx(flat[2], rel=1e-6, abs=1e-6)

    @pytest.mark.parametrize("mask", EdgeMask)
    def test_nan_stays_visible(self, mask):
        q = quantizer(INT4, 0.5, edge_mask=mask)
        assert np.isnan(q.forward(np.array([[np.nan]], F))).all()
        assert np.isnan(gradients(q, [[np.nan], [1.0]], [[1.0], [1.0]])[1]).all()

    def test_results_go_where_they_are_asked_to(self):
        q, x = quantizer(INT4, 0.5, 2), normal(3, 2)
        out = np.empty_like(x)
        assert q.forward(x, out) is out
        g = normal(3, 2, seed=1)
        expected = q.backward(g)
        assert q.backward(g, g) is g
        assert (g == expected).all()

    def test_any_memory_order(self):
        """Results are contiguous, whatever the order of the values in memory."""
        x, g = normal(3, 4, 2), normal(3, 4, 2, seed=1)
        q, same = quantizer(INT4, 0.5, 2), quantizer(INT4, 0.5, 2)
        assert (q.forward(x) == same.forward(np.asfortranarray(x))).all()
        assert (q.backward(g) == same.backward(np.asfortranarray(g))).all()
        assert q.step.grad == same.step.grad


class TestRefusals:
    def test_the_message_names_the_quantizer(self):
        with pytest.raises(
            SpecError, match=r"^q: codes of at most 16 bits are learned, got int17$"
        ):
            quantizer(IntFormat(17))

    @pytest.mark.parametrize("step", [0.0, -1.0, math.nan, math.inf, TINY / 2])
    def test_step_sizes(self, step):
        message = r"^q: step sizes are finite and at least 1\.18e-38, got "
        with pytest.raises(DataError, match=message):
            quantizer(INT4, step)
        quantizer(INT4, TINY)

    def test_nan_has_no_code(self):
        with pytest.raises(DataError, match="q: 1 of 3 values are NaN, which has no code"):
            quantizer().codes(np.array([[1.0], [math.nan], [math.inf]], F))
        assert quantizer().codes(np.array([[math.inf], [-math.inf]], F)).tolist() == [[7], [-8]]

    @pytest.mark.parametrize("start", StepStart)
    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_starting_from_values_that_are_not_finite(self, start, bad):
        q = quantizer(INT4, None, start=start)
        with pytest.raises(DataError, match="finite"):
            q.start(np.array([[1.0], [bad]], F))
        assert not q.is_started
