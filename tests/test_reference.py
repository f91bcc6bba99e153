"""Tests for lsqsim.reference: worked examples, and Fractions as an oracle."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, strategies as st

import oracle
from lsqsim.datapath import CompiledLayer
from lsqsim.formats import Generator, IntFormat, Rounding, StochasticRounding
from lsqsim.layer import Layer
from lsqsim.reference import (
    ideal_codes,
    ideal_input_codes,
    output_rounding,
    reference_from_codes,
    reference_output,
)
from lsqsim.specs import (
    Activation,
    Conv2dSpec,
    FixedPoint,
    Layout,
    LinearSpec,
    RescalerSpec,
    simple_datapath,
)

UINT4 = IntFormat(4, signed=False)
SPEC = simple_datapath(weight_bits=4, activation_bits=4, acc_bits=16)


def linear(**changes) -> Layer:
    values = {
        "spec": LinearSpec(),
        "weight": np.array([[0.5, -0.25]]),
        "bias": np.array([0.125]),
        "input_step": 0.5,
        "weight_step": 0.25,
        "output_step": 0.25,
    }
    return Layer(**values | changes)


class TestWorkedExamples:
    """What a reader can check on paper."""

    def test_linear(self):
        assert reference_output(linear(), [[2.0, 1.0]]).tolist() == [[0.875]]

    @pytest.mark.parametrize(
        ("activation", "expected"),
        [
            (Activation.NONE, [-1.0, 3.0, 7.0]),
            (Activation.RELU, [0.0, 3.0, 7.0]),
            (Activation.RELU6, [0.0, 3.0, 6.0]),
        ],
    )
    def test_activations(self, activation, expected):
        layer = linear(spec=LinearSpec(activation=activation), weight=np.array([[1.0]]), bias=None)
        assert reference_output(layer, [[-1.0], [3.0], [7.0]]).ravel().tolist() == expected

    def test_convolution_pads_with_real_zero(self):
        layer = linear(
            spec=Conv2dSpec(padding=(1, 0, 0, 2)), weight=np.ones((1, 1, 2, 2)), bias=None
        )
        x = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
        assert reference_output(layer, x).tolist() == [[[[3.0, 2.0, 0.0], [10.0, 6.0, 0.0]]]]

    def test_stored_weight_codes_are_dequantized(self):
        layer = linear(weight=None, weight_codes=np.array([[3, 1]]), weight_zero_point=1)
        assert reference_output(layer, [[2.0, 1.0]]).tolist() == [[1.125]]

    def test_stored_bias_codes_count_accumulator_units(self):
        layer = linear(bias=None, bias_codes=np.array([2]))
        assert reference_output(layer, [[0.0, 0.0]]).tolist() == [[0.25]]

    def test_output_is_clipped_to_what_codes_say(self):
        """Unsigned 4-bit codes of step 0.25 end at 3.75."""
        compiled = CompiledLayer(linear(weight=np.array([[1.5, 1.5]])), SPEC)
        inputs = compiled.input_quantizer.quantize([[7.5, 7.5]])
        reference = reference_from_codes(compiled.layer, SPEC, inputs, compiled.weight)
        assert reference.output.tolist() == [[3.75]]
        assert reference.codes.tolist() == [[15]]
        assert reference.accumulator.tolist() == [[181.0]]

    def test_ideal_input_codes(self):
        codes = ideal_input_codes(linear(input_zero_point=2), SPEC, [-9.0, 0.0, 0.25, 0.75, 99.0])
        assert codes.tolist() == [0, 2, 2, 4, 15]

    def test_stochastic_rounding_wants_the_nearest(self):
        scaling = FixedPoint(rounding=StochasticRounding(generator=Generator.SPLITMIX64))
        assert output_rounding(RescalerSpec(output=UINT4, scaling=scaling)) is Rounding.TIES_EVEN
        scaling = replace(scaling, rounding=Rounding.TO_ZERO)
        assert output_rounding(RescalerSpec(output=UINT4, scaling=scaling)) is Rounding.TO_ZERO

    @pytest.mark.parametrize("signed", [False, True])
    def test_widest_format_keeps_its_ends(self, signed):
        """float64 can't say 2**63 - 1, the code must."""
        fmt = IntFormat(63, signed=signed)
        codes = ideal_codes(np.array([-np.inf, np.inf, 1e30]), 0, fmt, Rounding.TIES_EVEN)
        assert codes.tolist() == [fmt.min, fmt.max, fmt.max]


class TestAgainstOracle:
    """The reference's own rounding equals exact fractions."""

    @given(
        st.lists(st.floats(-40, 40) | st.integers(-80, 80).map(lambda n: n / 2), min_size=1),
        st.sampled_from(Rounding),
        st.integers(-8, 7),
    )
    def test_ideal_codes(self, quotients, rounding, zero_point):
        fmt = IntFormat(5)
        expected = [
            min(max(oracle.round_fraction(Fraction(q), rounding) + zero_point, fmt.min), fmt.max)
            for q in quotients
        ]
        assert ideal_codes(np.array(quotients), zero_point, fmt, rounding).tolist() == expected

    @given(st.data())
    def test_convolution_sums_what_the_index_loops_say(self, data):
        """Integer-valued reals: float64 is exact, so the sums must be equal."""
        groups = data.draw(st.integers(1, 2))
        spec = Conv2dSpec(
            stride=data.draw(st.tuples(st.integers(1, 2), st.integers(1, 3))),
            padding=data.draw(st.tuples(*[st.integers(0, 2)] * 4)),
            dilation=data.draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
            groups=groups,
            layout=data.draw(st.sampled_from(Layout)),
        )
        rng = np.random.default_rng(data.draw(st.integers(0, 999)))
        x = rng.integers(-9, 9, (2, 2 * groups, 4, 5))
        w = rng.integers(-9, 9, (2 * groups, 2, 2, 2))
        if spec.layout is Layout.NHWC:
            x, w = x.transpose(0, 2, 3, 1), w.transpose(0, 2, 3, 1)
        layer = linear(spec=spec, weight=w.astype(float), bias=None)
        operands = oracle.conv2d_operands(x.tolist(), w.tolist(), spec, 0)
        expected = [sum(a * b for a, b in pairs) for _, pairs in operands]
        assert reference_output(layer, x).ravel().tolist() == expected
