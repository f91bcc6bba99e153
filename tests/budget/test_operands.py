"""Tests for lsqsim.budget.operands: the ends that weights meet, and what can't be added up."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from lsqsim.budget.input_range import InputRange
from lsqsim.budget.layer_operands import layer_operands, legal_inputs
from lsqsim.budget.operands import range_operands
from lsqsim.datapath import CompiledLayer
from lsqsim.errors import DataError, SpecError, WidthError
from lsqsim.layer import Layer
from lsqsim.specs import (
    AccumulatorSpec,
    Conv2dSpec,
    Layout,
    LinearSpec,
    StageSpec,
    ZeroPointHandling,
    simple_datapath,
)
from oracle.layers import conv2d_operands

SPEC = AccumulatorSpec(stages=(StageSpec(bits=20),))
CENTERED = replace(SPEC, zero_points=ZeroPointHandling.CENTER)
LARGE = 1 << 61


def compiled(w, spec=None, **options):
    layer = Layer(
        spec=spec or LinearSpec(), weight_codes=np.array(w), input_step=1.0, weight_step=1.0,
        output_step=1.0, **options,
    )  # fmt: skip
    return CompiledLayer(layer, simple_datapath(weight_bits=4, activation_bits=3))


class TestWorkedExamples:
    def test_folded(self):
        """(x - 2)(w - 3): K z_x z_w - z_x sum(w) = 12 - 2, and -3 times the sum of inputs."""
        found = range_operands(
            SPEC, np.array([[1, 4]]), bias=np.array([7]), input_low=0, input_high=5,
            input_zero_point=2, weight_zero_point=3,
        )  # fmt: skip
        assert (found.constant.tolist(), found.coupling.tolist()) == ([7 + 12 - 10], [-3])
        assert (found.weights.tolist(), found.high.tolist()) == ([[1, 4]], [[5, 5]])

    def test_centered(self):
        found = range_operands(
            CENTERED, np.array([[1, 4]]), input_low=0, input_high=5, input_zero_point=2,
            weight_zero_point=3,
        )  # fmt: skip
        assert (found.constant.tolist(), found.coupling.tolist()) == ([0], [0])
        assert found.weights.tolist() == [[-2, 1]]
        assert (found.low.tolist(), found.high.tolist()) == ([[-2, -2]], [[3, 3]])
        assert found.codes(np.array([3, -2])) == [5, 0]

    def test_in_the_order_of_entry(self):
        spec = replace(SPEC, order=(2, 0, 1))
        found = range_operands(
            spec, np.array([[1, 2, 3]]), input_low=np.array([4, 5, 6]), input_high=9
        )
        assert (found.weights.tolist(), found.low.tolist()) == ([[3, 1, 2]], [[6, 4, 5]])
        assert found.codes(np.array([30, 10, 20])) == [10, 20, 30]


class TestInputChannels:
    def test_of_a_linear_layer(self):
        unit = compiled([[1, 2], [3, 4]])
        found = layer_operands(unit, legal_inputs(unit, InputRange(low=[0, 1], high=[2, 3])))
        assert (found.low.tolist(), found.high.tolist()) == ([[0, 1]], [[2, 3]])

    @given(st.data())
    def test_of_a_convolution(self, data):
        """Each product meets the channel that the oracle's index loops find for it."""
        layout = data.draw(st.sampled_from(Layout))
        groups, depth, kh, kw = (data.draw(st.integers(1, 3)) for _ in range(4))
        n = groups * data.draw(st.integers(1, 2))
        is_nchw = layout is Layout.NCHW
        shape = (n, depth, kh, kw) if is_nchw else (n, kh, kw, depth)
        spec = Conv2dSpec(groups=groups, layout=layout)
        unit = compiled(np.zeros(shape, int), spec)
        low = np.arange(depth * groups) % 4
        found = layer_operands(unit, legal_inputs(unit, InputRange(low=low, high=low + 4)))
        image = low.reshape(-1, 1, 1) * np.ones((kh, kw), int)
        image = image[None] if is_nchw else image.transpose(1, 2, 0)[None]
        outputs = conv2d_operands(image.tolist(), np.zeros(shape, int).tolist(), spec, 0)
        for channel, pairs in outputs:
            row = found.low[found.groups[channel]]
            assert row.tolist() == [code for code, _ in pairs]

    def test_padding_adds_the_zero_point(self):
        spec = Conv2dSpec(padding=(0, 0, 0, 1))
        unit = compiled(np.zeros((1, 2, 1, 1), int), spec, input_zero_point=3)
        inputs = legal_inputs(unit, InputRange(low=[0, 4], high=[1, 5]))
        assert (list(inputs.low), list(inputs.high)) == ([0, 3], [3, 5])
        unpadded = compiled(np.zeros((1, 2, 1, 1), int), Conv2dSpec(), input_zero_point=3)
        assert legal_inputs(unpadded, InputRange(low=0, high=1)).high == 1


class TestRefusals:
    @pytest.mark.parametrize("ends", [(-1, 3), (0, 8), (9, 9)])
    def test_of_codes_outside_the_format(self, ends):
        with pytest.raises(SpecError, match=r"layer: the input range .* uint3 \[0, 7\]"):
            legal_inputs(compiled([[1]]), InputRange(low=ends[0], high=ends[1]))

    def test_of_another_number_of_channels(self):
        with pytest.raises(DataError, match="layer: the input range is for 3 input channels, the "):
            legal_inputs(compiled([[1, 2]]), InputRange(low=[0] * 3, high=[1] * 3))

    def test_of_groups_that_do_not_divide_the_channels(self):
        unit = compiled(np.ones((3, 1, 1, 1), int), Conv2dSpec(groups=2))
        with pytest.raises(DataError, match="layer: groups of inputs must divide the output"):
            layer_operands(unit, InputRange(low=[0, 1], high=[2, 3]))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"weights": np.array([1, 2])}, r"weights must be a matrix .*, got \(2,\)"),
            ({"weights": np.array([[1.5, 2]])}, "weights must be integer codes"),
            ({"bias": np.array([1, 2])}, r"bias must have shape \(1,\), .*, got \(2,\)"),
            ({"input_low": 4}, r"the input range 4\.\.3 is empty"),
            ({"input_low": np.array([0])[:0]}, "input_low must be one code, or one for each of 2"),
            ({"input_low": np.array([0] * 3)}, "input_low must be one code, or one for each of 2"),
            ({"input_high": 0.5}, "input_high must be integer codes"),
        ],
    )
    def test_of_operands(self, options, message):
        given_ = {"weights": np.array([[1, 2]]), "input_low": 0, "input_high": 3} | options
        with pytest.raises(DataError, match=message) as caught:
            range_operands(SPEC, given_.pop("weights"), **given_)
        assert "\n" not in str(caught.value)

    def test_of_an_order_of_another_length(self):
        with pytest.raises(SpecError, match="the stated order permutes 2 products, but K is 3"):
            range_operands(
                replace(SPEC, order=(1, 0)), np.ones((1, 3), int), input_low=0, input_high=1
            )

    @pytest.mark.parametrize("sign", [1, -1])
    def test_of_sums_past_62_bits(self, sign):
        """Magnitudes up to 2**62 - 1 are legal, 2**62 is not."""
        w = np.array([[sign * LARGE]])
        for bias, ok in ((LARGE - 1, True), (LARGE, False), (1 - LARGE, True), (-LARGE, False)):
            arguments = {"bias": np.array([bias]), "input_low": 0, "input_high": 1}
            if ok:
                assert range_operands(SPEC, w, **arguments).constant.tolist() == [bias]
                continue
            with pytest.raises(WidthError, match="a sum of channel 0 could need 64 bits for K = 1"):
                range_operands(SPEC, w, **arguments)

    def test_of_corrections_past_62_bits(self):
        """K z_x z_w is 2**65, which wraps to 0 in int64; the inputs themselves add nothing."""
        with pytest.raises(WidthError, match="zero-point correction needs 67 bits for K = 2"):
            range_operands(
                SPEC, np.zeros((1, 2), int), input_low=0, input_high=0, input_zero_point=1 << 33,
                weight_zero_point=1 << 31,
            )  # fmt: skip

    def test_of_no_correction_that_fits(self):
        """2**31 * 2**30, which a float64 estimate alone can't tell from too much."""
        found = range_operands(
            SPEC, np.zeros((1, 1), int), input_low=0, input_high=0, input_zero_point=1 << 31,
            weight_zero_point=1 << 30,
        )  # fmt: skip
        assert found.constant.tolist() == [LARGE]

    def test_of_no_correction_at_all(self):
        """A zero point of 2**61 with K = 8 moves nothing where weights and their zero are 0."""
        found = range_operands(
            SPEC, np.zeros((1, 8), int), input_low=0, input_high=0, input_zero_point=LARGE
        )
        assert found.constant.tolist() == [0]
