"""The traps of docs/overflow.md, section 3: what a formula says, and what a register needs."""

from dataclasses import replace

import numpy as np
import pytest

from lsqsim import AccumulatorSpec, BiasPlacement, Overflow, StageSpec, ZeroPointHandling
from lsqsim.budget.closed_forms import data_type_bits, rule_of_thumb_bits, zero_centered_bits
from lsqsim.budget.operands import range_operands
from lsqsim.budget.ranges import StageRanges, Verdict, exact_ranges, stage_verdicts

WIDE = AccumulatorSpec(stages=(StageSpec(bits=32),))


def ranges_of(weights, low, high, spec=WIDE, **ports):
    """Exact ranges of one channel."""
    rows = np.array([weights])
    return exact_ranges(range_operands(spec, rows, input_low=low, input_high=high, **ports))


def widths(ranges: StageRanges) -> tuple[int, int]:
    """Of a register that wraps, and of one that saturates; one channel, one stage."""
    return ranges.wrap_bits.item(), ranges.saturate_bits.item()


class TestTable:
    def test_full_range_weights(self):
        assert rule_of_thumb_bits(2304, input_bits=4, weight_bits=4) == 19
        assert data_type_bits(2304, input_bits=4, weight_bits=4, signed_input=False) == 20
        assert widths(ranges_of([-8] * 2304, 0, 15)) == (20, 20)
        assert widths(ranges_of([-7] * 2304, 0, 15)) == (19, 19)

    def test_zero_centered_formula(self):
        assert zero_centered_bits(2, input_bits=8) == 9
        assert widths(ranges_of([1, 1], 0, 255)) == (10, 10)
        assert widths(ranges_of([1, -1], 0, 255)) == (9, 9)

    def test_logarithms_in_float32(self):
        alpha, one = np.float32(10 + 8 + 8 - 1 - 1), np.float32(1)
        assert np.ceil(alpha + np.log2(one + np.float32(2) ** -alpha) + one) == 25
        assert data_type_bits(1024, input_bits=8, weight_bits=8, signed_input=True) == 26
        assert widths(ranges_of([-128] * 1024, -128, 127)) == (26, 26)

    @pytest.mark.parametrize(("weight", "bits"), [(8, 9), (-8, 8)])
    def test_ends_of_a_register(self, weight, bits):
        assert widths(ranges_of([weight], 0, 16)) == (bits, bits)

    def test_bias_after_the_products(self):
        bias = np.array([-60])
        post = replace(WIDE, bias=BiasPlacement.POST_ADD)
        assert widths(ranges_of([7], 0, 15, bias=bias)) == (7, 7)
        assert widths(ranges_of([7], 0, 15, post, bias=bias)) == (7, 8)

    def test_range_without_0(self):
        assert widths(ranges_of([7, -7], 10, 15)) == (7, 8)

    def test_folded_zero_point_of_weights(self):
        found = ranges_of([3, 3], 0, 15, weight_zero_point=3)
        assert widths(found) == (2, 8)
        assert found.prefix_low.item() == -90


class TestText:
    def test_centering_brings_0_into_the_range(self):
        """Section 4: inputs 10 .. 15 with zero point 10."""
        for handling, bits in (
            (ZeroPointHandling.FOLD, (7, 8)),
            (ZeroPointHandling.CENTER, (7, 7)),
        ):
            spec = replace(WIDE, zero_points=handling)
            assert widths(ranges_of([7, -7], 10, 15, spec, input_zero_point=10)) == bits

    @pytest.mark.parametrize(
        ("tile", "last", "verdicts"),
        [
            ("8 wrap", "8 wrap", [Verdict.WRAP_SAFE, Verdict.WRAP_SAFE]),
            ("8 wrap", "9 wrap", [Verdict.UNSAFE, Verdict.SATURATE_SAFE]),
            ("8 saturate", "8 wrap", [Verdict.UNSAFE, Verdict.SATURATE_SAFE]),
            ("8 wrap", "8 saturate", [Verdict.UNSAFE, Verdict.UNSAFE]),
        ],
    )
    def test_forgiveness(self, tile, last, verdicts):
        """Section 7: weights (7, 7, -7, -7), inputs 10 .. 15."""

        def stage(text, **fan_in):
            bits, rule = text.split()
            return StageSpec(bits=int(bits), overflow=Overflow(rule), **fan_in)

        spec = AccumulatorSpec(stages=(stage(tile, fan_in=2), stage(last)))
        operands = range_operands(spec, np.array([[7, 7, -7, -7]]), input_low=10, input_high=15)
        exact = exact_ranges(operands)
        assert exact.result_low[0].tolist() == [-210, -70]
        assert exact.result_high[0].tolist() == [210, 70]
        assert stage_verdicts(operands, exact)[0].tolist() == verdicts
