"""Tests for lsqsim.specs.layer."""

import pytest

from lsqsim.errors import SpecError
from lsqsim.specs import Activation, Conv2dSpec, Layout, LinearSpec


class TestWorkedExamples:
    def test_defaults(self):
        spec = Conv2dSpec()
        assert (spec.stride, spec.padding, spec.dilation) == ((1, 1), (0, 0, 0, 0), (1, 1))
        assert (spec.groups, spec.layout, spec.activation) == (1, Layout.NCHW, Activation.NONE)
        assert LinearSpec().activation is Activation.NONE

    def test_names_are_those_of_the_text(self):
        assert [str(x) for x in Layout] == ["nchw", "nhwc"]
        assert [str(x) for x in Activation] == ["none", "relu", "relu6"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("option", "message"),
        [
            ({"stride": (0, 1)}, r"stride must be 1 or more, got \(0, 1\)"),
            ({"stride": (1, 0)}, r"stride must be 1 or more, got \(1, 0\)"),
            ({"padding": (0, 0, 0, -1)}, r"padding must be 0 or more, got \(0, 0, 0, -1\)"),
            ({"padding": (-1, 0, 0, 0)}, r"padding must be 0 or more, got \(-1, 0, 0, 0\)"),
            ({"dilation": (0, 1)}, r"dilation must be 1 or more, got \(0, 1\)"),
            ({"dilation": (1, -1)}, r"dilation must be 1 or more, got \(1, -1\)"),
            ({"groups": 0}, "groups must be 1 or more, got 0$"),
        ],
    )
    def test_below_the_least(self, option, message):
        with pytest.raises(SpecError, match=message):
            Conv2dSpec(**option)


class TestGolden:
    def test_linear(self):
        assert LinearSpec(activation=Activation.RELU).to_toml() == 'activation = "relu"\n'

    def test_conv2d(self):
        spec = Conv2dSpec(
            stride=(2, 1), padding=(0, 1, 2, 3), groups=4, layout=Layout.NHWC,
            activation=Activation.RELU6,
        )  # fmt: skip
        text = """\
stride = [
    2,
    1,
]
padding = [
    0,
    1,
    2,
    3,
]
dilation = [
    1,
    1,
]
groups = 4
layout = "nhwc"
activation = "relu6"
"""
        assert spec.to_toml() == text
        assert Conv2dSpec.from_toml(text) == spec
