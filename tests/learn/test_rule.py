"""Tests for lsqsim.learn.rule: g in all its variants, and which formats a rule can train."""

import math

import pytest
from hypothesis import given, strategies as st

from learn_strategies import step_rules
from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat
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
    check_learnable,
)

INT3, UINT4 = IntFormat(3), IntFormat(4, signed=False)


class TestWorkedExamples:
    @pytest.mark.parametrize(
        ("grad_scale", "level_count", "fmt", "expected"),
        [
            # N = 12; int3 has Q_P = 3 and 8 levels, uint4 has 15 and 16.
            (GradScale.PAPER, LevelCount.Q_P, INT3, 1 / 6),
            (GradScale.PAPER, LevelCount.LEVELS, INT3, 1 / 96**0.5),
            (GradScale.PAPER, LevelCount.Q_P, UINT4, 1 / 180**0.5),
            (GradScale.PAPER, LevelCount.LEVELS, UINT4, 1 / 192**0.5),
            (GradScale.INVERSE_SQRT_FEATURES, LevelCount.Q_P, INT3, 1 / 12**0.5),
            (GradScale.INVERSE_SQRT_FEATURES, LevelCount.LEVELS, INT3, 1 / 12**0.5),
            (GradScale.FEATURES, LevelCount.LEVELS, INT3, 12.0),
            (GradScale.INVERSE_SQRT_LEVELS, LevelCount.Q_P, INT3, 1 / 3**0.5),
            (GradScale.INVERSE_SQRT_LEVELS, LevelCount.LEVELS, UINT4, 1 / 4),
            (GradScale.NONE, LevelCount.Q_P, INT3, 1.0),
        ],
    )
    def test_g(self, grad_scale, level_count, fmt, expected):
        for factor in (1.0, 10.0, 0.1):
            rule = StepRule(grad_scale=grad_scale, level_count=level_count, grad_factor=factor)
            assert rule.step_grad_scale(fmt, 12) == pytest.approx(expected * factor, rel=1e-15)

    def test_the_default_is_the_paper(self):
        assert StepRule() == StepRule(
            method=Method.LSQ,
            edge_mask=EdgeMask.INCLUSIVE,
            feature_count=FeatureCount.SAMPLE,
            level_count=LevelCount.Q_P,
            grad_scale=GradScale.PAPER,
            grad_factor=1.0,
            start=StepStart.PAPER,
            positivity=Positivity.REFUSE,
            granularity=Granularity.PER_TENSOR,
            learning=Learning.LEARNED,
        )


class TestLaws:
    @given(step_rules)
    def test_toml_reads_back_equal(self, rule):
        assert StepRule.from_toml(rule.to_toml()) == rule

    @given(step_rules, st.integers(2, 16), st.booleans(), st.integers(1, 10**9))
    def test_g_is_positive_and_finite(self, rule, bits, signed, n):
        g = rule.step_grad_scale(IntFormat(bits, signed=signed), n)
        assert math.isfinite(g)
        assert g > 0


class TestRefusals:
    @pytest.mark.parametrize("factor", [0.0, -1.0, math.inf, math.nan])
    def test_factor(self, factor):
        with pytest.raises(
            SpecError, match=f"grad_factor must be finite and positive, got {factor}"
        ):
            StepRule(grad_factor=factor)

    def test_names_of_choices(self):
        with pytest.raises(SpecError, match="edge_mask must be 'inclusive' or 'strict' or "):
            StepRule.from_toml('edge_mask = "open"')

    def test_widest_format(self):
        check_learnable(IntFormat(16), StepRule())
        with pytest.raises(SpecError, match="codes of at most 16 bits are learned, got int17"):
            check_learnable(IntFormat(17), StepRule())

    def test_a_positive_code(self):
        check_learnable(IntFormat(1, signed=False), StepRule())
        check_learnable(IntFormat(2, narrow=True), StepRule())
        with pytest.raises(SpecError, match="int1 has no positive code: Q_P must be 1 or more"):
            check_learnable(IntFormat(1), StepRule())

    def test_pact_is_for_unsigned_codes(self):
        rule = StepRule(method=Method.PACT)
        check_learnable(UINT4, rule)
        with pytest.raises(SpecError, match="PACT quantizes unsigned activations, got int3"):
            check_learnable(INT3, rule)
