"""Tests for lsqsim.coupling.layer_folding: one layer on paper."""

import numpy as np
import pytest

from lsqsim.coupling.layer_folding import LayerPart, Meaning, fold_layer, meaning_of
from lsqsim.formats import IntFormat
from lsqsim.learn.graph import BatchNormNode, LinearNode
from lsqsim.learn.quantizer import LearnedQuantizer
from lsqsim.learn.rule import Granularity, Method, StepRule
from lsqsim.network.encoding import Encoding
from lsqsim.specs import Activation
from trained_models import hardware

S8 = IntFormat(8)
X, Y = (Meaning(encoding=Encoding(format=S8, step_size=s)) for s in (0.5, 0.25))
NORM = BatchNormNode(name="norm", source="fc", epsilon=1.0)


def quantizer(steps=0.5, fmt=IntFormat(4), offset=0.0, **rule):
    made = LearnedQuantizer("w", fmt, StepRule(**rule), 2)
    made.set_step_size(steps)
    made.offset.value[:] = offset
    return made


def state(**arrays):
    """W = [[1, -1], [2, 3]] / 2 of inputs by outputs; gamma, beta, mean, variance of 2 channels."""
    given = {"fc.weight": [[0.5, -0.5], [1.0, 1.5]]} | {
        f"norm.{key}": value for key, value in arrays.items() if key != "bias"
    }
    if "bias" in arrays:
        given["fc.bias"] = arrays["bias"]
    return {key: np.array(value, np.float32) for key, value in given.items()}


def fold(given, norm=NORM, source=X, output=Y, weights=None):
    part = LayerPart(node=LinearNode(name="fc", source="x", features=2), norm=norm,
                     activation=Activation.NONE, quantizer=weights or quantizer())  # fmt: skip
    return fold_layer(part, given, source, output, hardware())


class TestBatchNorm:
    def test_on_paper(self):
        """a = (6/3, 1/2): steps 0.5 a, biases beta - mean a."""
        unit = fold(state(gamma=[6, 1], beta=[1, -1], mean=[2, 3], variance=[8, 3]))
        assert unit.layer.weight_codes.tolist() == [[1, 2], [-1, 3]]
        assert np.asarray(unit.layer.weight_step).tolist() == [1.0, 0.25]
        assert unit.layer.bias.tolist() == [-3.0, -2.5]
        assert unit.bias.codes.tolist() == [-6, -20]

    def test_a_bias_of_the_layer_is_scaled_too(self):
        unit = fold(state(gamma=[6, 1], beta=[1, -1], mean=[2, 3], variance=[8, 3], bias=[10, 20]))
        assert unit.layer.bias.tolist() == [17.0, 7.5]

    def test_a_negative_factor_turns_the_codes(self):
        unit = fold(state(gamma=[-6, 1], beta=[1, -1], mean=[2, 3], variance=[8, 3]))
        assert unit.layer.weight_codes.tolist() == [[-1, -2], [-1, 3]]
        assert np.asarray(unit.layer.weight_step).tolist() == [1.0, 0.25]
        assert unit.layer.bias.tolist() == [5.0, -2.5]

    def test_a_factor_of_zero(self):
        """The factor M becomes 1, so that the bias is a number of output codes."""
        unit = fold(state(gamma=[0, 1], beta=[1.125, -1], mean=[2, 3], variance=[8, 3]))
        assert unit.layer.weight_codes.tolist() == [[0, 0], [-1, 3]]
        assert unit.factor.tolist()[0] == 1.0
        assert unit.bias.codes.tolist()[0] == 5  # 4.5, away from zero
        assert unit.run(np.array([[3.0, -9.0]])).output.codes[0, 0] == 5

    @pytest.mark.parametrize(
        ("beta", "code"), [(31.75, 127), (1e30, 127), (-32.0, -128), (-1e30, -128)]
    )
    def test_the_bias_of_a_dead_channel_is_clipped_to_the_output(self, beta, code):
        unit = fold(state(gamma=[0, 1], beta=[beta, 0], mean=[0, 0], variance=[0, 0]))
        assert unit.bias.codes[0] == code


class TestOffsets:
    def test_of_the_source(self):
        """x = (q - 3) / 2 + 0.125: 0.125 times the sums of the weights, (1.5, 1)."""
        source = Meaning(encoding=Encoding(format=S8, step_size=0.5, zero_point=3), residual=0.125)
        unit = fold(state(bias=[1, 0]), norm=None, source=source)
        assert unit.layer.bias.tolist() == [1.1875, 0.125]
        assert unit.layer.input_zero_point == 3

    def test_of_the_output(self):
        output = Meaning(encoding=Encoding(format=S8, step_size=0.25, zero_point=1), residual=-0.1)
        unit = fold(state(), norm=None, output=output)
        assert unit.layer.bias.tolist() == [0.1, 0.1]
        assert unit.layer.output_zero_point == 1

    def test_with_a_factor(self):
        """The sum of the weights as the normalization scales them, its sign included."""
        source = Meaning(encoding=X.encoding, residual=0.5)
        unit = fold(state(gamma=[-2, 1], beta=[0, 0], mean=[0, 0], variance=[0, 0]), source=source)
        assert unit.layer.bias.tolist() == [0.5 * 1.5 * -2, 0.5 * 1.0]


class TestParameters:
    def test_one_step_size_without_normalization(self):
        unit = fold(state(), norm=None)
        assert unit.layer.weight_step == 0.5
        assert unit.layer.bias is None

    def test_one_step_size_a_channel(self):
        weights = quantizer([0.5, 0.25], granularity=Granularity.PER_CHANNEL)
        unit = fold(state(), norm=None, weights=weights)
        assert unit.layer.weight_codes.tolist() == [[1, 2], [-2, 6]]
        assert np.asarray(unit.layer.weight_step).tolist() == [0.5, 0.25]


class TestMeaning:
    def test_without_offset(self):
        found = meaning_of(quantizer(0.5, S8))
        assert found == Meaning(encoding=Encoding(format=S8, step_size=0.5), residual=0.0)

    @pytest.mark.parametrize(
        ("offset", "zero", "residual"),
        [(-1.0, 2, 0.0), (-1.125, 2, -0.125), (1.0, 0, 1.0), (-9.0, 15, -1.5), (-0.25, 0, -0.25)],
    )
    def test_the_zero_point_is_the_code_nearest_to_zero(self, offset, zero, residual):
        """-0.25 is half a code: the tie goes to the even code 0."""
        made = quantizer(0.5, IntFormat(4, signed=False), offset, method=Method.LSQ_PLUS)
        found = meaning_of(made)
        assert (found.encoding.zero_point, found.residual) == (zero, residual)
