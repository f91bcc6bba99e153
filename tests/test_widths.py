"""Tests for lsqsim.widths: a datapath from widths, and what layer and inputs settle."""

import numpy as np
import pytest

from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat, Overflow, Rounding
from lsqsim.layer import Layer
from lsqsim.specs import Activation, FanIn, Granularity, LinearSpec, StageSpec, simple_datapath
from lsqsim.widths import Widths, option_name

POSITIVE, NEGATIVE = np.array([[0.0, 1.0]]), np.array([[0.0, -1.0]])


def a_layer(**changes):
    fields = {
        "spec": LinearSpec(), "weight": np.ones((2, 2)), "input_step": 1.0, "weight_step": 1.0,
        "output_step": 1.0,
    }  # fmt: skip
    return Layer(**(fields | changes))


RELU = LinearSpec(activation=Activation.RELU)


class TestWorkedExamples:
    def test_nothing_given_is_the_simple_datapath(self):
        assert Widths().datapath(None, None) == simple_datapath()

    def test_everything_given(self):
        widths = Widths(
            weight_bits=4, activation_bits=3, acc_bits=16, overflow=Overflow.SATURATE,
            output_bits=5, rounding=Rounding.TO_NEG, tile=8, tile_bits=9,
            tile_overflow=Overflow.WRAP, signed_input=True, signed_output=True, per_channel=True,
        )  # fmt: skip
        spec = widths.datapath(None, None)
        assert spec.input.format == IntFormat(3)
        assert spec.weight.format == IntFormat(4)
        assert spec.weight.channel_axis == 0
        assert spec.accumulator.stages == (
            StageSpec(bits=9, fan_in=8, overflow=Overflow.WRAP),
            StageSpec(bits=16, fan_in=FanIn.ALL, overflow=Overflow.SATURATE),
        )
        assert spec.rescaler.output == IntFormat(5)
        assert spec.rescaler.scaling.rounding is Rounding.TO_NEG
        assert spec.rescaler.granularity is Granularity.PER_CHANNEL

    def test_a_tile_overflows_as_the_accumulator_unless_told(self):
        spec = Widths(tile=4, tile_bits=8, overflow=Overflow.SATURATE).datapath(None, None)
        assert [stage.overflow for stage in spec.accumulator.stages] == [Overflow.SATURATE] * 2

    @pytest.mark.parametrize(
        "widths", [Widths(tile=4), Widths(tile_bits=4), Widths(tile_overflow=Overflow.WRAP)]
    )
    def test_half_a_tile(self, widths):
        with pytest.raises(SpecError, match="give --tile and --tile-bits together"):
            widths.datapath(None, None)


class TestSigns:
    @pytest.mark.parametrize(
        ("zero_point", "inputs", "signed"),
        [
            (0, None, False),
            (0, POSITIVE, False),
            (0, NEGATIVE, True),
            (0, np.zeros((0, 2)), False),
            (-1, POSITIVE, True),
            (1, NEGATIVE, False),
        ],
    )
    def test_input(self, zero_point, inputs, signed):
        layer = a_layer(input_zero_point=zero_point)
        assert Widths().datapath(layer, inputs).input.format.signed is signed
        for given in (True, False):
            spec = Widths(signed_input=given).datapath(layer, inputs)
            assert spec.input.format.signed is given

    @pytest.mark.parametrize(
        ("zero_point", "spec", "signed"),
        [
            (0, LinearSpec(), True),
            (0, RELU, False),
            (-1, RELU, True),
            (1, LinearSpec(), False),
        ],
    )
    def test_output(self, zero_point, spec, signed):
        layer = a_layer(output_zero_point=zero_point, spec=spec)
        assert Widths().datapath(layer, None).rescaler.output.signed is signed
        for given in (True, False):
            assert Widths(signed_output=given).datapath(layer, None).rescaler.output.signed is given

    def test_neither_without_a_layer(self):
        spec = Widths().datapath(None, NEGATIVE)
        assert (spec.input.format.signed, spec.rescaler.output.signed) == (True, False)


class TestChannels:
    @pytest.mark.parametrize("name", ["weight_step", "output_step", "weight_zero_point"])
    def test_as_the_layer_has_them(self, name):
        layer = a_layer(**{name: np.array([1, 2])})
        assert Widths().datapath(layer, None).weight.channel_axis == 0
        assert Widths(per_channel=False).datapath(layer, None).weight.channel_axis is None

    def test_one_for_all(self):
        assert Widths().datapath(a_layer(), None).weight.channel_axis is None
        assert Widths(per_channel=True).datapath(a_layer(), None).weight.channel_axis == 0


class TestNetworks:
    def test_a_layer_takes_what_the_one_before_puts_out(self):
        widths = Widths(activation_bits=4, output_bits=6, signed_output=True, signed_input=True)
        first = widths.within_network(former=None, is_last=False)
        assert first == Widths(activation_bits=4, signed_input=True)
        last = widths.within_network(former=IntFormat(4, signed=False), is_last=True)
        assert last == Widths(
            activation_bits=4, output_bits=6, signed_output=True, signed_input=False
        )


class TestOptions:
    def test_they_stand_for_the_widths(self):
        widths = Widths(acc_bits=9, overflow=Overflow.SATURATE, per_channel=False, tile=4)
        assert widths.options(input_signed=True) == [
            "--acc-bits", "9", "--overflow", "saturate", "--tile", "4", "--signed-input",
            "--per-tensor",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("name", "value", "option"),
        [
            ("signed_input", True, "--signed-input"),
            ("signed_output", False, "--unsigned-output"),
            ("per_channel", False, "--per-tensor"),
            ("tile_bits", 3, "--tile-bits"),
        ],
    )
    def test_names(self, name, value, option):
        assert option_name(name, value) == option
