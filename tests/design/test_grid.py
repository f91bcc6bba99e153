"""Tests for lsqsim.design.grid: grids, names, and what the layers of a chain can see."""

from dataclasses import replace

import numpy as np
import pytest

from lsqsim.budget.input_range import InputRange
from lsqsim.chain import Chain
from lsqsim.datapath import CompiledLayer
from lsqsim.design.grid import (
    DesignGrid,
    chain_inputs,
    common_accumulator,
    design_name,
)
from lsqsim.errors import SpecError
from lsqsim.formats import Overflow
from lsqsim.layer import Layer
from lsqsim.specs import (
    AccumulatorSpec,
    Activation,
    BiasPlacement,
    LinearSpec,
    StageSpec,
    simple_datapath,
)

WRAP, SATURATE = Overflow.WRAP, Overflow.SATURATE


def unit(weights, *, name="fc", activation=Activation.NONE, **options):
    layer = Layer(
        name=name,
        spec=LinearSpec(activation=activation),
        weight_codes=np.array(weights),
        input_step=1.0,
        weight_step=1.0,
        output_step=1.0,
    )
    return CompiledLayer(layer, simple_datapath(weight_bits=4, activation_bits=4, **options))


CHAIN = Chain([unit([[7, -8, 7, 7]])])


def grid_of(chain=CHAIN, **fields):
    return DesignGrid(**fields).designs(chain, chain_inputs(chain))


class TestGrid:
    def test_widths_of_one_kind_are_side_by_side(self):
        found = grid_of(acc_bits=(9, 10), overflows=(WRAP, SATURATE))
        assert [design_name(design) for design in found] == [
            "9 wrap", "10 wrap", "9 sat", "10 sat",
        ]  # fmt: skip

    def test_a_tile_takes_the_least_certified_width(self):
        """Two products of 15 * 7 = 105 are 210, in 9 bits; one alone and -120, in 8."""
        found = grid_of(acc_bits=(10,), tiles=(2, 1, 99))
        assert [design_name(design) for design in found] == [
            "2 x 9 wrap, 10 wrap", "1 x 8 wrap, 10 wrap", "99 x 10 wrap, 10 wrap",
        ]  # fmt: skip

    def test_the_least_width_goes_by_the_rule(self):
        """-8 first and then 7 and 7: prefixes down to -120, a result of at most 210."""
        chain = Chain([unit([[7, 7, -7, -7]])])
        names = [
            design_name(design)
            for design in grid_of(chain, acc_bits=(9,), tiles=(4,), overflows=(WRAP, SATURATE))
        ]
        assert names == ["4 x 9 wrap, 9 wrap", "4 x 9 sat, 9 sat"]

    def test_the_widest_layer_decides(self):
        chain = Chain([unit([[1, 1]], name="a"), unit([[7]], name="b")])
        (design,) = grid_of(chain, acc_bits=(9,), tiles=(2,))
        assert design.stages[0].bits == 8

    def test_stated_tile_widths_are_all_taken(self):
        found = grid_of(acc_bits=(10, 11), tiles=(None, 2), tile_bits=(7, 8))
        assert [design_name(design) for design in found] == [
            "10 wrap", "11 wrap", "2 x 7 wrap, 10 wrap", "2 x 7 wrap, 11 wrap",
            "2 x 8 wrap, 10 wrap", "2 x 8 wrap, 11 wrap",
        ]  # fmt: skip

    def test_the_stages_before_the_last_stay(self):
        compiled = unit([[7, -8, 7, 7]])
        pairs = StageSpec(fan_in=2, bits=16, overflow=SATURATE)
        chain = Chain(
            [compiled.with_accumulator(AccumulatorSpec(stages=(pairs, StageSpec(bits=32))))]
        )
        (design,) = grid_of(chain, acc_bits=(20,))
        assert design_name(design) == "2 x 16 sat, 20 wrap"

    def test_each_design_once(self):
        assert len(grid_of(acc_bits=(9, 9), overflows=(WRAP, WRAP))) == 1

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"acc_bits": ()}, "at least one entry of acc_bits"),
            ({"acc_bits": (9,), "overflows": ()}, "at least one entry of overflows"),
            ({"acc_bits": (9,), "tiles": ()}, "at least one entry of tiles"),
            ({"acc_bits": (9,), "tiles": (0,)}, "a tile sums 1 product or more, got 0"),
            ({"acc_bits": (9,), "tile_bits": (8,)}, "tile_bits are widths of a tile's register"),
        ],
    )
    def test_refusals(self, fields, message):
        with pytest.raises(SpecError, match=message):
            DesignGrid(**fields)

    def test_widths_no_register_has_are_refused(self):
        with pytest.raises(SpecError, match=r"register bits must be in 2\.\.63, got 1"):
            grid_of(acc_bits=(1,))


class TestChain:
    def test_layers_must_share_all_but_the_stages(self):
        former, latter = unit([[1]], name="a"), unit([[1]], name="b")
        assert common_accumulator(Chain([former, latter])) == former.spec.accumulator
        accumulator = replace(latter.spec.accumulator, bias=BiasPlacement.POST_ADD)
        with pytest.raises(SpecError, match="a and b have accumulators that differ in bias"):
            common_accumulator(Chain([former, latter.with_accumulator(accumulator)]))

    def test_a_layer_sees_what_the_one_before_puts_out(self):
        signed = {"input_signed": True, "output_signed": True}
        chain = Chain([unit([[1]], activation=Activation.RELU, **signed), unit([[1]], **signed)])
        first, second = chain_inputs(chain, InputRange(low=-3, high=3))
        assert (first.low, first.high) == (-3, 3)
        assert (second.low, second.high) == (0, 7)
