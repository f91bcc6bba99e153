"""Tests for lsqsim.specs.accumulator."""

import pytest

from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat, Overflow
from lsqsim.specs import (
    AccumulatorSpec,
    BiasPlacement,
    FanIn,
    KOrder,
    RegisterSpec,
    StageSpec,
    ZeroPointHandling,
)

LAST = StageSpec(bits=32)


class TestWorkedExamples:
    def test_defaults(self):
        stage = StageSpec(bits=20)
        assert (stage.fan_in, stage.overflow) == (FanIn.ALL, Overflow.WRAP)
        spec = AccumulatorSpec(stages=(stage,))
        assert spec.bias is BiasPlacement.PRELOAD
        assert spec.zero_points is ZeroPointHandling.FOLD
        assert spec.order is KOrder.NATURAL
        assert RegisterSpec(bits=20).overflow is Overflow.WRAP

    @pytest.mark.parametrize("bits", [2, 63])
    def test_formats(self, bits):
        assert RegisterSpec(bits=bits).format == IntFormat(bits)
        assert StageSpec(bits=bits).format == IntFormat(bits)

    def test_format_is_the_last_stages(self):
        spec = AccumulatorSpec(stages=(StageSpec(bits=20, fan_in=16), LAST))
        assert spec.format == IntFormat(32)

    def test_names_are_those_of_the_text(self):
        assert [str(x) for x in BiasPlacement] == ["preload", "post_add"]
        assert [str(x) for x in ZeroPointHandling] == ["fold", "center"]
        assert [str(x) for x in KOrder] == ["natural", "reversed"]
        assert [str(x) for x in FanIn] == ["all"]


class TestRefusals:
    @pytest.mark.parametrize("bits", [1, 64, 0, -8])
    @pytest.mark.parametrize("cls", [RegisterSpec, StageSpec])
    def test_register_widths(self, cls, bits):
        with pytest.raises(SpecError, match=rf"register bits must be in 2\.\.63, got {bits}"):
            cls(bits=bits)

    @pytest.mark.parametrize("fan_in", [1, 2, FanIn.ALL])
    def test_legal_fan_ins(self, fan_in):
        assert StageSpec(bits=8, fan_in=fan_in).fan_in == fan_in

    @pytest.mark.parametrize("fan_in", [0, -1])
    def test_fan_in(self, fan_in):
        with pytest.raises(SpecError, match=f"fan_in must be 1 or more, or 'all', got {fan_in}"):
            StageSpec(bits=8, fan_in=fan_in)

    def test_no_stage(self):
        with pytest.raises(SpecError, match="needs at least one stage"):
            AccumulatorSpec(stages=())

    @pytest.mark.parametrize("stages", [(2,), (FanIn.ALL, 2), (2, 16)])
    def test_last_stage_takes_all(self, stages):
        built = tuple(StageSpec(bits=8, fan_in=fan_in) for fan_in in stages)
        message = f"the last stage takes all.*fan_in must be 'all', got {stages[-1]}"
        with pytest.raises(SpecError, match=message):
            AccumulatorSpec(stages=built)

    @pytest.mark.parametrize("order", [(), (0,), (2, 0, 1)])
    def test_legal_orders(self, order):
        assert AccumulatorSpec(stages=(LAST,), order=order).order == order

    @pytest.mark.parametrize("order", [(1,), (0, 0), (0, 2), (-1, 0), (1, 2, 3)])
    def test_orders(self, order):
        message = rf"order must be a permutation of 0\.\.{len(order) - 1}: each index once"
        with pytest.raises(SpecError, match=message):
            AccumulatorSpec(stages=(LAST,), order=order)


class TestGolden:
    def test_register(self):
        spec = RegisterSpec(bits=17, overflow=Overflow.SATURATE)
        assert spec.to_toml() == 'bits = 17\noverflow = "saturate"\n'

    def test_stage(self):
        assert StageSpec(bits=20, fan_in=16).to_toml() == (
            'bits = 20\nfan_in = 16\noverflow = "wrap"\n'
        )

    def test_accumulator(self):
        spec = AccumulatorSpec(
            stages=(StageSpec(bits=20, fan_in=16, overflow=Overflow.SATURATE), LAST),
            bias=BiasPlacement.POST_ADD,
            zero_points=ZeroPointHandling.CENTER,
            order=(1, 0),
        )
        text = """\
stages = [
    { bits = 20, fan_in = 16, overflow = "saturate" },
    { bits = 32, fan_in = "all", overflow = "wrap" },
]
bias = "post_add"
zero_points = "center"
order = [
    1,
    0,
]
"""
        assert spec.to_toml() == text
        assert AccumulatorSpec.from_toml(text) == spec
