"""Tests for lsqsim.compare: each verdict, and where the first difference is said to be."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from layers import datapaths, layer_runs
from lsqsim.compare import compare
from lsqsim.datapath import CompiledLayer
from lsqsim.errors import DataError
from lsqsim.formats import IntFormat, Overflow
from lsqsim.layer import Layer
from lsqsim.specs import (
    AccumulatorSpec,
    Conv2dSpec,
    FixedPoint,
    KOrder,
    Layout,
    LinearSpec,
    PowerOfTwo,
    StageSpec,
    StepArithmetic,
    simple_datapath,
)

SPEC = simple_datapath(input_signed=True, output_signed=True, activation_bits=8)


def linear(weight, **changes) -> Layer:
    steps = {"input_step": 1.0, "weight_step": 1.0, "output_step": 1.0}
    return Layer(spec=LinearSpec(), weight=np.array(weight, float), **steps | changes)


def with_stages(*stages, order=KOrder.NATURAL):
    return replace(SPEC, accumulator=AccumulatorSpec(stages=stages, order=order))


class TestVerdict:
    """Worked by hand: what the numbers of a comparison are."""

    def test_exact(self):
        compiled = CompiledLayer(linear([[1, 2]]), SPEC)
        inputs = np.array([[3.0, 4.0], [5.0, -6.0]])
        comparison = compare(compiled, compiled.run(inputs), inputs)
        assert comparison.verdict == "exact"
        assert (comparison.n_outputs, comparison.n_differing, comparison.max_lsb) == (2, 0, 0)
        assert comparison.first_difference is None
        assert comparison.sqnr_db == math.inf

    def test_within_some_lsb(self):
        """M = 3/4 held as 1 by a shifter alone: 10 -> 10 against 7.5 -> 8."""
        spec = replace(SPEC, rescaler=replace(SPEC.rescaler, scaling=PowerOfTwo()))
        compiled = CompiledLayer(linear([[1]], output_step=4 / 3), spec)
        inputs = np.array([[10.0], [0.0]])
        comparison = compare(compiled, compiled.run(inputs), inputs)
        assert comparison.verdict == "within 2 LSB"
        assert comparison.n_differing == 1
        # 10 codes of 4/3 against 10: noise (10/3)^2, signal 10^2.
        assert comparison.sqnr_db == pytest.approx(20 * math.log10(3))
        difference = comparison.first_difference
        assert (difference.register, difference.index) == ("output", (0, 0))
        assert (difference.left, difference.right) == (10, 8)
        assert comparison.n_beyond_bound == 0

    def test_noise_without_signal(self):
        layer = linear([[0]], bias=np.array([0.0]), output_zero_point=0)
        compiled = CompiledLayer(layer, SPEC)
        result = compiled.run(np.ones((1, 1)))
        wrong = replace(result, output=replace(result.output, codes=np.array([[1]])))
        assert compare(compiled, wrong, np.ones((1, 1))).sqnr_db == -math.inf

    def test_empty_batch(self):
        compiled = CompiledLayer(linear([[1, 2]]), SPEC)
        comparison = compare(compiled, compiled.run(np.zeros((0, 2))), np.zeros((0, 2)))
        assert (comparison.verdict, comparison.n_outputs, comparison.max_lsb) == ("exact", 0, 0)

    def test_output_beyond_the_bound_is_counted(self):
        """A planted defect: one code three off."""
        compiled = CompiledLayer(linear([[1]]), SPEC)
        inputs = np.array([[5.0], [6.0]])
        result = compiled.run(inputs)
        broken = replace(result, output=replace(result.output, codes=np.array([[5], [9]])))
        comparison = compare(compiled, broken, inputs)
        assert (comparison.n_beyond_bound, comparison.max_lsb) == (1, 3)

    def test_as_json(self):
        compiled = CompiledLayer(linear([[1]]), SPEC)
        table = compare(compiled, compiled.run(np.ones((1, 1))), np.ones((1, 1))).to_dict()
        assert json.loads(json.dumps(table)) == table
        assert table["sqnr_db"] is None
        assert table["verdict"] == "exact"

    def test_needs_totals(self):
        compiled = CompiledLayer(linear([[1]]), SPEC)
        with pytest.raises(DataError, match="observe=True"):
            compare(compiled, compiled.run(np.ones((1, 1)), observe=False))


class TestFirstDifference:
    """The earliest register, with its tile, K index and both values."""

    def test_input_codes(self):
        """fl32(v * fl32(1 / s)) is not fl64(v / s) for some v; find one and see it named."""
        quantizer = replace(SPEC.input, arithmetic=StepArithmetic.RECIPROCAL_FLOAT32)
        step = float(np.float32(0.1))
        compiled = CompiledLayer(linear([[1]], input_step=step), replace(SPEC, input=quantizer))
        ties = (np.arange(-100, 100) + 0.5) * step
        candidates = np.concatenate([np.nextafter(ties, 0), ties, np.nextafter(ties, np.inf)])
        inputs = candidates[:, None]
        difference = compare(compiled, compiled.run(inputs), inputs).first_difference
        assert difference.register == "input_codes"
        assert abs(difference.left - difference.right) == 1
        value = inputs[difference.index]
        assert difference.left == compiled.input_quantizer.quantize(value).codes

    def test_inner_stage(self):
        """Tiles of two in 6 bits [-32, 31]: the second tile sums 20 + 20 at k = 3."""
        spec = with_stages(
            StageSpec(fan_in=2, bits=6, overflow=Overflow.SATURATE), StageSpec(bits=32)
        )
        compiled = CompiledLayer(linear([[1, 1, 1, 1], [1, 1, 1, 0]]), spec)
        inputs = np.array([[1.0, 2.0, 20.0, 20.0]])
        difference = compare(compiled, compiled.run(inputs), inputs).first_difference
        assert (difference.register, difference.index, difference.tile) == ("stage_0", (0, 0), 1)
        assert difference.k_range == (3, 3)
        assert (difference.left, difference.right) == (31, 40)

    def test_reversed_order_reports_the_natural_index(self):
        spec = with_stages(StageSpec(bits=6, overflow=Overflow.SATURATE), order=KOrder.REVERSED)
        compiled = CompiledLayer(linear([[1, 1, 1]]), spec)
        inputs = np.array([[9.0, 20.0, 20.0]])
        difference = compare(compiled, compiled.run(inputs), inputs).first_difference
        assert difference.k_range == (1, 1)
        assert (difference.left, difference.right) == (31, 40)

    def test_forgiven_overflow_is_no_difference(self):
        """Wrapping: 20 + 20 - 20 passes 31 on the way and ends right."""
        compiled = CompiledLayer(linear([[1, 1, 1]]), with_stages(StageSpec(bits=6)))
        inputs = np.array([[20.0, 20.0, -20.0]])
        result = compiled.run(inputs)
        assert result.overflow.counts().transient == 1
        comparison = compare(compiled, result, inputs)
        assert comparison.first_difference is None
        assert comparison.n_inexact == 0

    @pytest.mark.parametrize("layout", Layout)
    def test_convolution(self, layout):
        """Channel 1 of image 1 overflows at its bottom right position only."""
        weight = np.zeros((2, 1, 2, 2))
        weight[1] = 1.0
        x = np.ones((2, 1, 3, 3))
        x[1, 0, 2, 2] = 60.0
        spec = with_stages(StageSpec(bits=7, overflow=Overflow.SATURATE))
        index = (1, 1, 1, 1)
        if layout is Layout.NHWC:
            weight, x = weight.transpose(0, 2, 3, 1), x.transpose(0, 2, 3, 1)
        compiled = CompiledLayer(
            replace(linear([[1]]), spec=Conv2dSpec(layout=layout), weight=weight), spec
        )
        inputs = x + 1.0
        difference = compare(compiled, compiled.run(inputs), inputs).first_difference
        assert difference.index == index
        assert difference.k_range == (3, 3)
        assert (difference.left, difference.right) == (63, 67)

    def test_prints_as_one_line(self):
        spec = with_stages(StageSpec(bits=6, overflow=Overflow.SATURATE))
        compiled = CompiledLayer(linear([[1, 1]]), spec)
        inputs = np.array([[20.0, 20.0]])
        text = str(compare(compiled, compiled.run(inputs), inputs).first_difference)
        assert text == "stage_0[0, 0] tile 0 k 1: 31 against 40"


class TestLaws:
    """What holds for every layer."""

    @given(st.data())
    def test_overflow_explains_every_inexact_accumulator(self, data):
        """With a narrow register, the first difference is an overflow or a rounding."""
        spec = data.draw(datapaths(acc_bits=8, scaling=st.just(FixedPoint(min_shift=-8))))
        layer, inputs = data.draw(layer_runs(spec))
        compiled = CompiledLayer(layer, spec)
        result = compiled.run(inputs)
        comparison = compare(compiled, result, inputs)
        assert comparison.n_beyond_bound == 0
        assert (comparison.first_difference is None) <= (comparison.n_differing == 0)
        difference = comparison.first_difference
        if comparison.n_inexact:
            assert difference.register == "stage_0"
            assert IntFormat(8).holds(difference.left)
            assert not IntFormat(8).holds(difference.right)
            at = difference.index
            assert result.overflow.first_k[at] == difference.k_range[0]
