"""Tests for lsqsim.budget.bounds: worked examples, published widths, and that each bound holds."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from lsqsim.budget import closed_forms
from lsqsim.budget.bounds import BOUNDS, layer_bounds, tile_ranges
from lsqsim.budget.input_range import InputRange
from lsqsim.budget.layer_operands import layer_operands, legal_inputs
from lsqsim.datapath import CompiledLayer
from lsqsim.formats import IntFormat, Overflow
from lsqsim.layer import Layer
from lsqsim.specs import (
    AccumulatorSpec,
    BiasPlacement,
    LinearSpec,
    QuantizerSpec,
    StageSpec,
    ZeroPointHandling,
    simple_datapath,
)


def compile_codes(weights, *, input_format="uint4", weight_format="int4", **options):
    """A linear layer of these weight codes; ``options`` of the accumulator, or of the layer."""
    fields = AccumulatorSpec.__dataclass_fields__
    accumulator = AccumulatorSpec(
        **{"stages": (StageSpec(bits=32),)} | {k: v for k, v in options.items() if k in fields}
    )
    layer = Layer(
        spec=LinearSpec(),
        weight_codes=np.array(weights),
        input_step=1.0,
        weight_step=1.0,
        output_step=64.0,
        **{k: v for k, v in options.items() if k not in fields},
    )
    spec = replace(
        simple_datapath(),
        input=QuantizerSpec(format=IntFormat.parse(input_format)),
        weight=QuantizerSpec(format=IntFormat.parse(weight_format)),
        accumulator=accumulator,
    )
    return CompiledLayer(layer, spec)


def widths(compiled, inputs=None):
    return [
        tuple(stage.largest()[name] for name in BOUNDS) for stage in layer_bounds(compiled, inputs)
    ]


class TestWorkedExamples:
    def test_two_products(self):
        """Data type [-240, 210], l1 15 * 15 = 225, width 225: half is 112.5; exact [-120, 105]."""
        assert widths(compile_codes([[7, -8]])) == [(9, 9, 8, 8, 8)]

    def test_the_bias_counts_everywhere(self):
        """23 more: exact [-97, 128], and the register starts from 23."""
        compiled = compile_codes([[7, -8]], bias_codes=np.array([23]))
        assert widths(compiled) == [(9, 9, 9, 9, 9)]

    def test_a_post_added_bias_leaves_the_prefix_alone(self):
        """-120 on the way, though the total is -20 at least."""
        compiled = compile_codes([[7, -8]], bias_codes=np.array([100]), bias=BiasPlacement.POST_ADD)
        assert widths(compiled)[0][3:] == (9, 9)
        low = compile_codes([[0, -8]], bias_codes=np.array([100]), bias=BiasPlacement.POST_ADD)
        assert widths(low)[0][3:] == (8, 8)
        below = compile_codes([[-1, -8]], bias_codes=np.array([120]), bias=BiasPlacement.POST_ADD)
        assert widths(below)[0][3:] == (8, 9)

    def test_the_input_range_narrows_all_but_the_data_type(self):
        compiled = compile_codes([[7, -8]])
        assert widths(compiled, InputRange(low=0, high=3)) == [(9, 7, 6, 6, 6)]

    def test_inner_stages_look_at_their_tiles(self):
        """Tiles (7, 7) and (-8, -8) in 4-bit unsigned inputs: [0, 210] and [-240, 0]."""
        stages = (StageSpec(fan_in=2, bits=9), StageSpec(bits=10))
        inner, outer = layer_bounds(compile_codes([[7, 7, -8, -8]], stages=stages))
        assert inner.largest() == {
            "data_type": 9, "l1": 9, "zero_centered": 8, "wrap": 9, "saturate": 9,
        }  # fmt: skip
        assert (inner.headroom_bits, outer.headroom_bits) == (0, 1)

    def test_headroom_goes_by_the_stage_s_own_rule(self):
        options = {"bias_codes": np.array([120]), "bias": BiasPlacement.POST_ADD}
        for overflow, headroom in ((Overflow.WRAP, 0), (Overflow.SATURATE, -1)):
            stages = (StageSpec(bits=8, overflow=overflow),)
            (stage,) = layer_bounds(compile_codes([[-1, -8]], stages=stages, **options))
            assert stage.headroom_bits == headroom

    def test_no_register_is_narrower_than_two_bits(self):
        assert widths(compile_codes([[0, 0]])) == [(9, 2, 2, 2, 2)]
        assert widths(compile_codes(np.zeros((1, 0), int))) == [(2, 2, 2, 2, 2)]

    def test_centered_zero_points_shift_the_formats(self):
        """Inputs -7 .. 8 and weights -9 .. 6: a product of -72 .. 63."""
        compiled = compile_codes(
            [[7, -8]], zero_points=ZeroPointHandling.CENTER, input_zero_point=7,
            weight_zero_point=1,
        )  # fmt: skip
        (stage,) = layer_bounds(compiled)
        assert stage.largest()["data_type"] == 9

    def test_to_dict_has_the_layer_and_its_channels(self):
        (stage,) = layer_bounds(compile_codes([[7, -8], [1, 1]]))
        table = stage.to_dict()
        assert table["wrap"] == 8
        assert table["channels"]["wrap"] == [8, 6]
        assert table["headroom_bits"] == 24


class TestPublishedWidths:
    """Worst codes of the formats, unsigned inputs, K = 2304 (datapath formulas, A2Q)."""

    @pytest.mark.parametrize(
        ("bits", "weight_format", "width"),
        [
            (2, "int2", 15), (3, "int3", 17), (4, "int4", 20), (8, "int8", 28),
            (4, "int4-narrow", 19),
        ],
    )  # fmt: skip
    def test_data_type(self, bits, weight_format, width):
        worst = IntFormat.parse(weight_format).min
        compiled = compile_codes(
            np.full((1, 2304), worst), input_format=f"uint{bits}", weight_format=weight_format
        )
        (stage,) = layer_bounds(compiled)
        assert stage.largest()["data_type"] == width
        assert stage.largest()["wrap"] == width

    def test_zero_centered_is_too_small_for_truncated_codes(self):
        """Weights of 2 in all, none negative, 8-bit inputs: 0 .. 510 needs 10 bits."""
        compiled = compile_codes([[1, 1, 0]], input_format="uint8")
        (stage,) = layer_bounds(compiled)
        assert stage.largest()["zero_centered"] == 9
        assert stage.largest()["wrap"] == stage.largest()["saturate"] == 10


@st.composite
def layers(draw):
    k, n = draw(st.integers(0, 12)), draw(st.integers(1, 3))
    stages = draw(
        st.lists(st.builds(StageSpec, fan_in=st.integers(1, 4), bits=st.just(20)), max_size=2)
    )
    input_format = draw(st.sampled_from(["uint3", "int3", "int4-narrow", "uint1"]))
    fmt = IntFormat.parse(input_format)
    rows = st.lists(st.integers(-8, 7), min_size=k, max_size=k)
    return compile_codes(
        np.array(draw(st.lists(rows, min_size=n, max_size=n)), int).reshape(n, k),
        input_format=input_format,
        stages=(*stages, StageSpec(bits=32)),
        bias=draw(st.sampled_from(BiasPlacement)),
        zero_points=draw(st.sampled_from(ZeroPointHandling)),
        bias_codes=np.array(draw(st.lists(st.integers(-99, 99), min_size=n, max_size=n))),
        input_zero_point=draw(st.integers(fmt.min, fmt.max)),
        weight_zero_point=draw(st.just(0) | st.integers(-8, 7)),
    )


class TestLaws:
    @given(layers())
    def test_the_exact_bound_is_the_least(self, compiled):
        for stage in layer_bounds(compiled):
            assert (stage.wrap <= stage.saturate).all()
            assert (stage.saturate <= stage.data_type).all()
            assert (stage.saturate <= stage.l1).all()

    @given(st.lists(st.integers(-8, 7), min_size=1, max_size=40), st.integers(1, 8))
    def test_norms_are_the_published_formulas(self, weights, bits):
        """Ours take 2**N - 1 as the largest unsigned input; A2Q, a power of two above it."""
        (stage,) = layer_bounds(compile_codes([weights], input_format=f"uint{bits}"))
        norm = sum(map(abs, weights))
        found = stage.largest()
        assert found["zero_centered"] == max(
            2, closed_forms.zero_centered_bits(norm, input_bits=bits)
        )
        published = closed_forms.l1_bits(norm, input_bits=bits, signed_input=False)
        assert max(2, published) - 1 <= found["l1"] <= max(2, published)

    @given(layers())
    def test_tiles_make_up_their_stage(self, compiled):
        """Plain sums over each tile, every prefix of its operands."""
        operands = layer_operands(compiled, legal_inputs(compiled))
        sizes = [1]
        for stage in compiled.spec.accumulator.stages[:-1]:
            sizes.append(sizes[-1] * stage.fan_in)
        for level in range(len(sizes) - 1):
            found = tile_ranges(operands, level)
            for channel in range(operands.n_channels):
                expected = [
                    tile_extremes(operands, channel, start, sizes[level], sizes[level + 1])
                    for start in range(0, operands.k, sizes[level + 1])
                ]
                ends = (found.prefix_low, found.prefix_high, found.result_low, found.result_high)
                assert list(zip(*(end[channel].tolist() for end in ends), strict=True)) == expected

    @given(layers())
    def test_the_last_stage_is_one_tile(self, compiled):
        operands = layer_operands(compiled, legal_inputs(compiled))
        last = len(compiled.spec.accumulator.stages) - 1
        found, bounds = tile_ranges(operands, last), layer_bounds(compiled)[last]
        assert found.wrap_bits[:, 0].tolist() == bounds.wrap.tolist()
        assert found.saturate_bits[:, 0].tolist() == bounds.saturate.tolist()


def tile_extremes(operands, channel, start, step, size):
    """Ends of all prefixes, and of the result, of the tile that begins at ``start``."""
    group = operands.groups[channel]
    low = high = 0
    prefixes = []
    for t in range(start, min(start + size, operands.k)):
        ends = [
            int(operands.weights[channel, t]) * int(e[group, t])
            for e in (operands.low, operands.high)
        ]
        low, high = low + min(ends), high + max(ends)
        if (t + 1 - start) % step == 0 or t + 1 == operands.k:
            prefixes.append((low, high))
    return min(p[0] for p in prefixes), max(p[1] for p in prefixes), low, high
