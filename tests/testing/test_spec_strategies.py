"""Tests for the strategies of specifications: legal, within bounds, and as varied as they say."""

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from drawing import drawn
from lsqsim import testing
from lsqsim.errors import SpecError
from lsqsim.formats import (
    AnyRounding,
    Generator,
    IntFormat,
    Overflow,
    Rounding,
    StochasticRounding,
)
from lsqsim.specs import (
    Activation,
    BiasPlacement,
    ClampPoint,
    FanIn,
    FixedPoint,
    FloatScale,
    FloatWidth,
    Granularity,
    KOrder,
    Layout,
    PowerOfTwo,
    ProductArithmetic,
    RescalerSpec,
    StepArithmetic,
    Thresholds,
    ZeroPointHandling,
    simple_datapath,
)

INT8 = IntFormat(8)

SPECS = {
    "quantizer": testing.quantizer_specs(rounding=testing.roundings(stochastic=True)),
    "register": testing.register_specs(),
    "stage": testing.stage_specs(),
    "accumulator": testing.accumulator_specs(),
    "accumulator of 4": testing.accumulator_specs(k=4),
    "first shift": testing.first_shifts(),
    "fixed point": testing.fixed_points(),
    "float scale": testing.float_scales(),
    "power of two": testing.powers_of_two(),
    "thresholds": testing.thresholds(),
    "scaling": testing.scalings(),
    "rescaler": testing.rescaler_specs(),
    "linear": testing.linear_specs(),
    "conv2d": testing.conv2d_specs(),
    "layer": testing.layer_specs(),
    "datapath": testing.datapath_specs(),
}


class TestLaws:
    @pytest.mark.parametrize("name", SPECS)
    def test_each_is_legal_and_round_trips(self, name):
        """Construction validates; TOML reads back equal."""
        for spec in drawn(SPECS[name], 100):
            assert type(spec).from_toml(spec.to_toml()) == spec

    @given(testing.int_formats())
    def test_formats_round_trip(self, fmt):
        assert IntFormat.parse(str(fmt)) == fmt


class TestBounds:
    """What a keyword names is all that is drawn."""

    @pytest.mark.parametrize(
        ("strategy", "holds"),
        [
            (testing.int_formats(bits=(3, 5)), lambda f: 3 <= f.bits <= 5),
            (testing.int_formats(bits=7), lambda f: f.bits == 7),
            (testing.int_formats(signed=False), lambda f: not f.signed),
            (testing.int_formats(narrow=True), lambda f: f.narrow and f.signed and f.bits >= 2),
            (testing.int_formats(narrow=False), lambda f: not f.narrow),
            (testing.roundings(), lambda r: isinstance(r, Rounding)),
            (testing.stochastic_roundings(bits=(4, 8)), lambda r: 4 <= r.bits <= 8),
            (
                testing.stochastic_roundings(generator=Generator.SPLITMIX64),
                lambda r: r.generator is Generator.SPLITMIX64,
            ),
            (testing.quantizer_specs(fmt=INT8), lambda q: q.format == INT8),
            (
                testing.quantizer_specs(fmt=testing.int_formats(bits=(2, 4))),
                lambda q: q.format.bits in {2, 3, 4},
            ),
            (testing.quantizer_specs(channel_axis=st.none()), lambda q: q.channel_axis is None),
            (testing.register_specs(bits=(16, 17)), lambda r: r.bits in {16, 17}),
            (
                testing.stage_specs(fan_in=2, overflow=Overflow.WRAP),
                lambda s: s.fan_in == 2 and s.overflow is Overflow.WRAP,
            ),
            (
                testing.accumulator_specs(max_depth=2, bits=(8, 32), overflow=Overflow.SATURATE),
                lambda a: (
                    len(a.stages) <= 2
                    and all(8 <= s.bits <= 32 for s in a.stages)
                    and all(s.overflow is Overflow.SATURATE for s in a.stages)
                ),
            ),
            (
                testing.accumulator_specs(k=3),
                lambda a: isinstance(a.order, KOrder) or len(a.order) == 3,
            ),
            (testing.fixed_points(shifts=31), lambda f: f.min_shift == f.max_shift == 31),
            (testing.powers_of_two(shifts=(2, 5)), lambda p: 2 <= p.min_shift <= p.max_shift <= 5),
            (testing.rescaler_specs(output=INT8), lambda r: r.output == INT8),
            (
                testing.rescaler_specs(scaling=testing.float_scales(width=FloatWidth.FLOAT32)),
                lambda r: r.scaling.width is FloatWidth.FLOAT32,
            ),
            (
                testing.rescaler_specs(acc_format=IntFormat(63, signed=False)),
                lambda r: r.input_offset > 0,
            ),
            (testing.conv2d_specs(max_groups=1, max_padding=0), lambda c: c.groups == 1),
            (
                testing.linear_specs(activation=Activation.RELU),
                lambda s: s.activation is Activation.RELU,
            ),
        ],
    )  # fmt: skip
    def test_holds(self, strategy, holds):
        assert all(map(holds, drawn(strategy, 60)))


class TestVariety:
    """Every choice that a specification has is drawn."""

    @pytest.mark.parametrize(
        ("strategy", "choice", "expected"),
        [
            (testing.int_formats(), lambda f: (f.signed, f.narrow), 3),
            (testing.int_formats(), lambda f: f.bits in {1, 63}, 2),
            (testing.overflows(), lambda o: o, Overflow),
            (testing.roundings(), lambda r: r, Rounding),
            (testing.roundings(stochastic=True), type, 2),
            (testing.quantizer_specs(), lambda q: q.arithmetic, StepArithmetic),
            (testing.quantizer_specs(), lambda q: q.channel_axis, 4),
            (testing.stage_specs(), lambda s: s.fan_in, 6),
            (testing.accumulator_specs(), lambda a: len(a.stages), 3),
            (testing.accumulator_specs(), lambda a: a.bias, BiasPlacement),
            (testing.accumulator_specs(), lambda a: a.zero_points, ZeroPointHandling),
            (testing.accumulator_specs(), lambda a: a.order, KOrder),
            (testing.accumulator_specs(k=3), lambda a: a.order, 2 + 6),
            (testing.scalings(), type, 4),
            (testing.fixed_points(), lambda f: f.product, ProductArithmetic),
            (testing.fixed_points(), lambda f: f.first_shift is None, 2),
            (testing.fixed_points(), lambda f: f.left_register is None, 2),
            (testing.fixed_points(), lambda f: f.reduced_from is None, 2),
            (testing.rescaler_specs(), lambda r: r.granularity, Granularity),
            (testing.rescaler_specs(), lambda r: r.clamp_point, ClampPoint),
            (testing.rescaler_specs(), lambda r: r.overflow, Overflow),
            (testing.rescaler_specs(), lambda r: r.intermediate is None, 2),
            (testing.rescaler_specs(), lambda r: r.input_offset == 0, 2),
            (testing.layer_specs(), lambda s: s.activation, Activation),
            (testing.conv2d_specs(), lambda c: c.layout, Layout),
            (testing.conv2d_specs(), lambda c: c.groups, 3),
            (testing.datapath_specs(), lambda d: d.weight.channel_axis, 2),
        ],
    )
    def test_occurs(self, strategy, choice, expected):
        seen = set(map(choice, drawn(strategy)))
        assert len(seen) == (expected if isinstance(expected, int) else len(expected))

    def test_last_stage_takes_all(self):
        assert all(a.stages[-1].fan_in is FanIn.ALL for a in drawn(testing.accumulator_specs(), 50))

    def test_a_multiplier_of_63_bits_has_no_wider_one(self):
        widest = IntFormat(63, signed=False)
        specs = drawn(testing.fixed_points(multiplier=widest), 30)
        assert all(spec.reduced_from is None for spec in specs)

    def test_deterministic_where_rounding_must_be(self):
        def rounding_of(scaling: FixedPoint | FloatScale | PowerOfTwo | Thresholds) -> AnyRounding:
            return scaling.rounding

        roundings = map(rounding_of, drawn(testing.scalings(), 100))
        assert not any(isinstance(rounding, StochasticRounding) for rounding in roundings)


class TestRefusals:
    @pytest.mark.parametrize("bits", [(0, 8), (8, 64), (9, 8), 64])
    def test_bits(self, bits):
        with pytest.raises(SpecError, match=r"bits must be a number or .* within 1\.\.63, got"):
            testing.int_formats(bits=bits)

    @pytest.mark.parametrize("limits", [{"signed": False}, {"bits": 1}])
    def test_narrow_without_room(self, limits):
        with pytest.raises(SpecError, match="needs a signed format of at least 2 bits"):
            testing.int_formats(narrow=True, **limits)

    def test_no_stage(self):
        with pytest.raises(SpecError, match="max_depth must be 1 or more, got 0"):
            testing.accumulator_specs(max_depth=0)

    def test_shifts_that_leave_the_accumulator_no_room(self):
        testing.fixed_points(shifts=-9, room=9)
        with pytest.raises(SpecError, match=r"shift left by 9 bits at least, .* leaves 8"):
            testing.fixed_points(shifts=(-20, -9), room=8)


class TestAddend:
    """A bias at the product: drawn where the hardware has a place for it."""

    def test_only_on_request(self):
        assert all(s.addend is None for s in drawn(testing.fixed_points(), 20))
        exact = ProductArithmetic.EXACT
        scaling = testing.fixed_points(product=exact, addend=IntFormat(40))
        assert all(s.addend == IntFormat(40) for s in drawn(scaling, 5))

    def test_units_are_legal_and_per_channel(self):
        scaling = testing.fixed_points(
            product=ProductArithmetic.EXACT, addend=IntFormat(63), shifts=(0, 40)
        )
        scaling = scaling.filter(lambda s: s.first_shift is None)
        specs = testing.rescaler_specs(scaling=scaling, input_offset=st.just(0))
        for unit in drawn(testing.rescalers(specs), 30):
            assert unit.spec.granularity is Granularity.PER_CHANNEL

    def test_calls_and_layers(self):
        scaling = FixedPoint(addend=IntFormat(30), min_shift=-8)
        datapath = simple_datapath(per_channel=True)
        rescaler = replace(datapath.rescaler, scaling=scaling)
        spec = replace(datapath, rescaler=rescaler)
        calls = drawn(testing.datapath_calls(spec), 30)
        assert {call.arguments["addend"].any() for call in calls} == {True, False}
        assert not any(call.arguments["bias"].any() for call in calls)

    def test_per_tensor_calls_have_none(self):
        spec = RescalerSpec(output=IntFormat(8))
        [call] = drawn(testing.rescaler_calls(spec, acc_format=IntFormat(16)), 1)
        assert "addend" not in call.arguments
