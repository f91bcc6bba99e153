"""Tests for lsqsim.observed.layers and profile: on paper, by the oracle, laws, refusals."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import oracle
from exact_sums import exact_sums, width
from layer_oracle import OracleLayer
from lsqsim import operand_rows
from lsqsim.compare import compare
from lsqsim.datapath import CompiledLayer
from lsqsim.errors import DataError, SpecError, WidthError
from lsqsim.formats import Overflow
from lsqsim.layer import Layer
from lsqsim.observed import layers as observed_layers
from lsqsim.observed.layers import observe_layer, observe_with_output
from lsqsim.observed.profile import LayerProfile, _distinct
from lsqsim.observed.sweep import Sweeper, fan_ins_of
from lsqsim.overflow import OverflowCounts
from lsqsim.specs import (
    AccumulatorSpec,
    BiasPlacement,
    FanIn,
    KOrder,
    LinearSpec,
    StageSpec,
    ZeroPointHandling,
    simple_datapath,
)
from lsqsim.sqnr import sqnr_db
from strategies import overflows
from whole_layers import MAX_ACC_BITS, cases, conv_shapes, linear_shapes

WRAP, SATURATE, ALL = Overflow.WRAP, Overflow.SATURATE, FanIn.ALL
KINDS = ("none", "transient", "persistent")
SIMPLE = simple_datapath(
    weight_bits=4, activation_bits=4, acc_bits=16, input_signed=True, output_signed=True
)


def stage(fan_in, bits, overflow=WRAP):
    return StageSpec(fan_in=fan_in, bits=bits, overflow=overflow)


def fc(**fields):
    """A linear layer of one output, all steps 1: codes are values."""
    given = {
        "name": "fc", "spec": LinearSpec(), "weight_codes": np.array([[1, 1, 1]]),
        "input_step": 1.0, "weight_step": 1.0, "output_step": 1.0,
    } | fields  # fmt: skip
    return Layer(**given)


def observe(layer, inputs, *stage_lists, spec=SIMPLE, **options):
    designs = [replace(spec.accumulator, stages=tuple(stages)) for stages in stage_lists]
    return observe_layer(CompiledLayer(layer, spec), np.array(inputs, float), designs, **options)


def profile_of(layer, inputs, spec=SIMPLE):
    return observe(layer, inputs, spec.accumulator.stages, spec=spec).profiles[0]


class TestWorkedExamples:
    INPUTS = ((7, 5, -6), (1, 1, 1), (7, 7, 7), (-8, -8, 7))
    """Sums 7 12 6 | 1 2 3 | 7 14 21 | -8 -16 -9: widths 5, 3, 6, 5; totals 4, 3, 6, 5."""

    @pytest.mark.parametrize(
        ("bits", "transient", "persistent"),
        [(2, 0, 4), (3, 0, 3), (4, 1, 2), (5, 0, 1), (6, 0, 0), (63, 0, 0)],
    )
    def test_counts_at_every_width(self, bits, transient, persistent):
        profile = profile_of(fc(), self.INPUTS)
        expected = OverflowCounts(4, transient, persistent)
        assert profile.counts([bits]) == expected
        assert profile.by_channel([bits]) == [expected]

    def test_what_the_data_needs(self):
        profile = profile_of(fc(), self.INPUTS)
        assert (profile.low.tolist(), profile.high.tolist()) == ([[-16]], [[21]])
        assert (profile.total_low.tolist(), profile.total_high.tolist()) == ([-9], [21])
        assert profile.observed_bits == (6,)
        assert profile.observed_total_bits == 6
        assert profile.needed_bits_histogram(0).tolist()[:8] == [0, 0, 0, 1, 0, 2, 1, 0]
        assert profile.needed_bits_histogram().tolist()[:8] == [0, 0, 0, 1, 1, 1, 1, 0]
        assert profile.needed_bits_histogram(0).size == 64

    def test_wrapping_needs_only_the_totals(self):
        """12 passes the 4-bit register on its way to 6."""
        profile = profile_of(fc(), [[7, 5, -6]])
        assert (profile.observed_bits, profile.observed_total_bits) == ((5,), 4)

    def test_tiles(self):
        """Tiles of two: 12 | -6, then 12, 6: the tile needs five bits, as does the outer sum."""
        spec = replace(SIMPLE, accumulator=AccumulatorSpec(stages=(stage(2, 4), stage(ALL, 8))))
        profile = profile_of(fc(), [[7, 5, -6]], spec)
        assert profile.fan_ins == (2, ALL)
        assert profile.observed_bits == (5, 5)
        assert profile.counts([5, 5]).overflowed == 0
        assert profile.counts([4, 5]) == profile.counts([5, 4]) == OverflowCounts(1, 1, 0)
        assert profile.counts([5, 3]) == OverflowCounts(1, 0, 1)

    def test_designs_side_by_side(self):
        """Totals 6, 3, 21, -9; outputs of 4 bits, so that 21 is 7 and -9 is -8 even if exact."""
        y = observe(
            fc(), self.INPUTS, [stage(ALL, 4)], [stage(ALL, 4, SATURATE)], [stage(ALL, 6, SATURATE)]
        )
        # wrapping, 21 is 5 and -9 is 7; saturating, 7 7 1 | 1 2 3 | 7 7 7 | -8 -8 -1
        assert (y.name, y.n_outputs, y.exact_bits) == ("fc", 4, 6)
        assert [d.n_inexact for d in y.designs] == [2, 3, 0]
        assert [d.n_changed for d in y.designs] == [2, 2, 0]
        assert [d.changed_by_channel.tolist() for d in y.designs] == [[2], [2], [0]]
        assert [d.changed_samples.tolist() for d in y.designs] == [
            [False, False, True, True], [True, False, False, True], [False] * 4,
        ]  # fmt: skip
        signal = 6**2 + 3**2 + 21**2 + 9**2
        noises = [16**2 + 16**2, 5**2 + 14**2 + 8**2, 14**2 + 1**2]
        assert y.exact_sqnr_db == 10 * math.log10(signal / noises[2])
        assert [d.sqnr_db for d in y.designs] == [10 * math.log10(signal / n) for n in noises]

    def test_real_inputs_are_the_signal(self):
        """2.25 is code 2; without the real value nothing is lost."""
        layer = fc(weight_codes=np.array([[1]]))
        design = [stage(ALL, 8)]
        assert observe(layer, [[2.25]], design).designs[0].sqnr_db == math.inf
        real = observe(layer, [[2.25]], design, values=[[2.25]])
        assert real.designs[0].sqnr_db == real.exact_sqnr_db == 10 * math.log10(81)

    def test_sqnr_without_signal(self):
        assert sqnr_db(np.zeros(2), np.ones(2)) == -math.inf
        assert sqnr_db(np.zeros(2), np.zeros(2)) == math.inf

    @pytest.mark.parametrize("bias", BiasPlacement)
    def test_no_products(self, bias):
        """K = 0: the one sum is the bias."""
        layer = fc(weight_codes=np.zeros((2, 0), int), bias_codes=np.array([7, 100]))
        accumulator = AccumulatorSpec(stages=(stage(2, 2), stage(ALL, 6, SATURATE)), bias=bias)
        spec = replace(SIMPLE, accumulator=accumulator)
        y = observe(layer, np.zeros((3, 0)), accumulator.stages, spec=spec)
        assert y.designs[0].overflow_by_channel == (
            OverflowCounts(3, 0, 0),
            OverflowCounts(3, 0, 3),
        )
        assert y.profiles[0].observed_bits == (2, 8)
        assert y.profiles[0].to_dict()["low"] == [[None, 7], [None, 100]]
        assert y.designs[0].n_inexact == 3

    def test_empty_batch(self):
        y = observe(fc(), np.zeros((0, 3)), [stage(ALL, 4)], [stage(2, 4), stage(ALL, 4, SATURATE)])
        assert (y.n_outputs, y.exact_bits, y.exact_sqnr_db) == (0, 2, math.inf)
        assert [p.observed_bits for p in y.profiles] == [(2,), (2, 2)]
        assert [d.overflow for d in y.designs] == [OverflowCounts(0, 0, 0)] * 2
        assert [d.changed_samples.size for d in y.designs] == [0, 0]
        assert y.profiles[0].to_dict()["total_low"] == [None]
        assert y.profiles[0].to_dict()["needed_bits"] == []
        assert y.profiles[0].to_dict()["needed_bits_by_channel"] == {
            "total": [[0]], "stages": [[[0]]],
        }  # fmt: skip

    def test_one_vector(self):
        y = observe(fc(), [7, 5, -6], [stage(ALL, 4, SATURATE)])
        assert y.designs[0].changed_samples.tolist() == [True]

    def test_json(self):
        y = observe(fc(), self.INPUTS, [stage(ALL, 4)], [stage(2, 5), stage(ALL, 8)])
        table = json.loads(json.dumps(y.to_dict(), allow_nan=False))
        assert table["name"] == "fc"
        assert table["designs"][0]["overflow"] == {"outputs": 4, "transient": 1, "persistent": 2}
        assert table["designs"][1]["accumulator"]["stages"][0] == {
            "bits": 5, "fan_in": 2, "overflow": "wrap",
        }  # fmt: skip
        assert table["designs"][0]["n_changed_samples"] == 2
        assert table["profiles"][1]["fan_ins"] == [2, "all"]
        assert table["profiles"][0]["low"] == [[-16]]
        assert table["profiles"][0]["needed_bits"] == [
            {"peak_bits": [3], "total_bits": 3, "n_equal": 1},
            {"peak_bits": [5], "total_bits": 4, "n_equal": 1},
            {"peak_bits": [5], "total_bits": 5, "n_equal": 1},
            {"peak_bits": [6], "total_bits": 6, "n_equal": 1},
        ]
        perfect = observe(fc(), [[1, 1, 1]], [stage(ALL, 4)])
        assert perfect.to_dict()["exact_sqnr_db"] is None
        assert perfect.designs[0].to_dict()["sqnr_db"] is None

    def test_histograms_over_channels_and_of_each(self):
        layer = fc(weight_codes=np.array([[1, 1, 1], [1, 1, 1], [7, 7, -7]]))
        profile = profile_of(layer, [[1, 1, 1]])
        table = profile.to_dict()
        assert table["needed_bits"] == [
            {"peak_bits": [3], "total_bits": 3, "n_equal": 2},
            {"peak_bits": [5], "total_bits": 4, "n_equal": 1},
        ]
        totals, (sums,) = (table["needed_bits_by_channel"][key] for key in ("total", "stages"))
        assert totals == [[0, 0, 0, 1, 0, 0], [0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 1, 0]]
        assert sums == [[0, 0, 0, 1, 0, 0], [0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 1]]
        assert profile.needed_bits_by_channel().shape == (3, 64)

    def test_profiles_by_fan_ins(self):
        flat, tiled = [stage(ALL, 4)], [stage(2, 4), stage(ALL, 8)]
        y = observe(fc(), self.INPUTS, flat, tiled, [stage(ALL, 9, SATURATE)])
        assert [p.fan_ins for p in y.profiles] == [(ALL,), (2, ALL)]
        assert y.profile_of(AccumulatorSpec(stages=tuple(tiled))) is y.profiles[1]
        with pytest.raises(SpecError, match=r"no design observed has the fan-ins .*: add one"):
            y.profile_of(AccumulatorSpec(stages=(stage(3, 4), stage(ALL, 8))))

    def test_many_stages(self):
        """More widths than fit one integer of the histogram: a tree of 16 stages."""
        stages = [stage(2, 8)] * 15 + [stage(ALL, 8)]
        inputs = np.random.default_rng(0).integers(-8, 8, (50, 40))
        layer = fc(weight_codes=np.random.default_rng(1).integers(-8, 8, (3, 40)))
        tree = observe(layer, inputs, stages, [stage(ALL, 8)])
        for bits in range(4, 12):
            spec = replace(
                SIMPLE,
                accumulator=AccumulatorSpec(stages=tuple(replace(s, bits=bits) for s in stages)),
            )
            result = CompiledLayer(layer, spec).run(inputs.astype(float))
            assert tree.profiles[0].by_channel([bits] * 16) == result.overflow.by_channel()

    def test_progress(self, monkeypatch):
        """Each list of fan-ins, and each design, counts every row."""
        monkeypatch.setattr(operand_rows, "_BLOCK_OPERANDS", 6)
        seen = []
        observe(
            fc(), self.INPUTS,
            [stage(ALL, 4)], [stage(ALL, 3, SATURATE)], [stage(ALL, 6, SATURATE)],
            progress=lambda *counts: seen.append(counts),
        )  # fmt: skip
        # one pass by two rows; at once, what wraps and what fits; the other one by two rows
        assert seen == [(2, 16), (4, 16), (8, 16), (12, 16), (14, 16), (16, 16)]


@st.composite
def stage_lists(draw, max_bits=MAX_ACC_BITS):
    """One to three stages."""
    inner = st.builds(
        StageSpec, bits=st.integers(2, max_bits), overflow=overflows,
        fan_in=st.integers(1, 4) | st.just(ALL),
    )  # fmt: skip
    last = st.builds(StageSpec, bits=st.integers(2, max_bits), overflow=overflows)
    return (*draw(st.lists(inner, max_size=2)), draw(last))


@st.composite
def designs_for(draw, spec):
    """One to four designs; some share their fan-ins."""
    lists = draw(st.lists(stage_lists(), min_size=1, max_size=2))
    designs = []
    for stages in draw(st.lists(st.sampled_from(lists), min_size=1, max_size=4)):
        widths = st.integers(2, MAX_ACC_BITS)
        redrawn = tuple(replace(s, bits=draw(widths), overflow=draw(overflows)) for s in stages)
        designs.append(replace(spec.accumulator, stages=redrawn))
    return designs


def exact_layer(case):
    """The oracle with a register that holds every total of small layers."""
    stages = (stage(ALL, MAX_ACC_BITS),)
    spec = replace(case.spec, accumulator=replace(case.spec.accumulator, stages=stages))
    return OracleLayer(case.layer, spec, case.values)


def on_design(case, design):
    return replace(case.spec, accumulator=design)


class TestAgainstOracle:
    def check_profile(self, profile, case, design):
        """Sums, and overflow at a few choices of widths, one simulation each."""
        layer, spec = case.layer, on_design(case, design)
        expected = OracleLayer(layer, spec, case.values)
        formed = [[[] for _ in design.stages] for _ in range(layer.n_outputs)]
        for channel, pairs in expected.outputs:
            sums = exact_sums(
                [a for a, _ in pairs], [b for _, b in pairs], expected.bias[channel], design,
                layer.input_zero_point, expected.w_zeros[channel],
            )  # fmt: skip
            for into, level in zip(formed[channel], sums, strict=True):
                into.extend(level)
        table = profile.to_dict()
        none = [None] * len(design.stages)
        lows = [[min(s) if s else None for s in levels] or none for levels in formed]
        assert table["low"] == lows
        assert table["high"] == [[max(s) if s else None for s in levels] for levels in formed]
        totals = np.moveaxis(expected.total, layer.output_channel_axis, 0)
        assert table["total_low"] == [row.min().item() if row.size else None for row in totals]
        assert table["total_high"] == [row.max().item() if row.size else None for row in totals]
        for level, needed in enumerate(profile.observed_bits):
            assert needed == max(2, *[width(levels[level]) for levels in formed])
        assert profile.observed_total_bits == max(2, width(totals.reshape(-1).tolist()))

    def check_design(self, found, case, design, exact):
        expected = OracleLayer(case.layer, on_design(case, design), case.values)
        axis = case.layer.output_channel_axis
        kinds = np.moveaxis(expected.kind, axis, 0)
        assert found.accumulator == design
        assert list(found.overflow_by_channel) == [
            OverflowCounts(row.size, int((row == 1).sum()), int((row == 2).sum())) for row in kinds
        ]
        assert found.overflow.transient == (kinds == 1).sum()
        assert found.overflow.persistent == (kinds == 2).sum()
        assert found.overflow.outputs == kinds.size
        assert found.n_inexact == (expected.registers["accumulator"] != exact.total).sum()
        changed = expected.registers["output"] != exact.registers["output"]
        assert found.n_changed == changed.sum()
        by_channel = [row.sum() for row in np.moveaxis(changed, axis, 0)]
        assert found.changed_by_channel.tolist() == by_channel
        samples = changed if changed.ndim > 1 else changed[None]
        assert found.changed_samples.tolist() == [sample.any() for sample in samples]

    def check(self, case, data):
        designs = data.draw(designs_for(case.spec))
        compiled = CompiledLayer(case.layer, case.spec)
        y = observe_layer(compiled, case.values, designs)
        exact = exact_layer(case)
        assert len(y.designs) == len(designs)
        for design, found in zip(designs, y.designs, strict=True):
            self.check_design(found, case, design, exact)
            self.check_profile(y.profile_of(design), case, design)

    @settings(max_examples=60)
    @given(cases(linear_shapes()), st.data())
    def test_linear(self, case, data):
        self.check(case, data)

    @settings(max_examples=60)
    @given(cases(conv_shapes()), st.data())
    def test_conv2d(self, case, data):
        self.check(case, data)

    @settings(max_examples=60)
    @given(cases(), stage_lists(), st.data())
    def test_every_width_from_one_pass(self, case, stages, data):
        """The profile at drawn widths, two around what is needed, against the oracle at each."""
        design = replace(case.spec.accumulator, stages=stages)
        sums = Sweeper(CompiledLayer(case.layer, case.spec), case.values)
        profile = LayerProfile.of(
            fan_ins_of(design), sums.measure(fan_ins_of(design), lambda _: None)
        )
        near = [st.integers(max(2, bits - 2), bits) for bits in profile.observed_bits]
        expected = OracleLayer(case.layer, on_design(case, design), case.values)
        for bits in data.draw(st.lists(st.tuples(*near), min_size=1, max_size=3)):
            at = replace(
                design,
                stages=tuple(replace(s, bits=b) for s, b in zip(stages, bits, strict=True)),
            )
            kinds = [[] for _ in range(case.layer.n_outputs)]
            for channel, pairs in expected.outputs:
                reduced = oracle.reduce(
                    [a for a, _ in pairs], [b for _, b in pairs], expected.bias[channel], at,
                    case.layer.input_zero_point, expected.w_zeros[channel],
                )  # fmt: skip
                kinds[channel].append(reduced.kind)
            assert profile.by_channel(bits) == [
                OverflowCounts(len(k), k.count("transient"), k.count("persistent")) for k in kinds
            ]
            flat = [kind for of_channel in kinds for kind in of_channel]
            counts = profile.counts(bits)
            assert (counts.transient, counts.persistent) == tuple(map(flat.count, KINDS[1:]))


class TestLaws:
    @given(cases(), st.data())
    def test_a_run_on_the_design_says_the_same(self, case, data):
        """Registers, codes, counts and SQNR of ``CompiledLayer.run`` for each design."""
        designs = data.draw(designs_for(case.spec))
        compiled = CompiledLayer(case.layer, case.spec)
        y = observe_layer(compiled, case.values, designs, values=case.values)
        for design, found in zip(designs, y.designs, strict=True):
            unit = CompiledLayer(case.layer, on_design(case, design))
            result = unit.run(case.values)
            assert found.overflow == result.overflow.counts()
            assert list(found.overflow_by_channel) == result.overflow.by_channel()
            comparison = compare(unit, result, case.values)
            assert found.n_inexact == comparison.n_inexact
            assert found.sqnr_db == comparison.sqnr_db
            bits = [s.bits for s in design.stages]
            assert y.profile_of(design).counts(bits) == found.overflow

    @given(cases(), st.data(), st.integers(1, 60), st.integers(1, 20), st.integers(1, 40))
    def test_blocks_change_nothing(self, case, data, products, operands, registers):
        designs = data.draw(designs_for(case.spec))
        compiled = CompiledLayer(case.layer, case.spec)
        whole = observe_layer(compiled, case.values, designs)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(operand_rows, "_BLOCK_PRODUCTS", products)
            patch.setattr(operand_rows, "_BLOCK_OPERANDS", operands)
            patch.setattr(observed_layers, "_BATCH_REGISTERS", registers)
            parts = observe_layer(compiled, case.values, designs)
        assert parts.to_dict() == whole.to_dict()
        for left, right in zip(parts.profiles, whole.profiles, strict=True):
            for name in ("channel", "peak_bits", "total_bits", "n_equal"):
                assert getattr(left, name).tolist() == getattr(right, name).tolist()

    @given(cases(), overflows)
    def test_the_exact_code_does_not_depend_on_the_width(self, case, overflow):
        """The exact accumulator is as wide as the totals need; a wider one gives the same codes."""
        compiled = CompiledLayer(case.layer, case.spec)
        _, output = observe_with_output(compiled, case.values, [case.spec.accumulator])
        wide = replace(case.spec.accumulator, stages=(stage(ALL, MAX_ACC_BITS, overflow),))
        result = compiled.with_accumulator(wide).run(case.values)
        assert result.overflow.counts().overflowed == 0
        assert result.output.codes.tolist() == output.codes.tolist()

    @given(cases(), st.data())
    def test_another_accumulator_is_another_compilation(self, case, data):
        design = data.draw(designs_for(case.spec))[0]
        compiled = CompiledLayer(case.layer, case.spec)
        other = compiled.with_accumulator(design)
        fresh = CompiledLayer(case.layer, on_design(case, design))
        assert other.weight is compiled.weight
        assert other.spec == fresh.spec
        assert compiled.spec == case.spec
        left, right = other.run(case.values), fresh.run(case.values)
        assert left.accumulators.tolist() == right.accumulators.tolist()
        assert left.output.codes.tolist() == right.output.codes.tolist()

    def test_the_order_experiment(self):
        """K = 512, Gaussian int8 weights, uniform uint8 inputs, P = 17: wrap recovers what fits."""
        rng = np.random.default_rng(0)
        weights = np.clip(np.rint(rng.normal(0, 32, (4, 512))), -128, 127).astype(int)
        spec = simple_datapath(acc_bits=17, output_bits=16, output_signed=True)
        layer = fc(weight_codes=weights, output_step=8.0)
        inputs = rng.integers(0, 256, (64, 512)).astype(float)
        y = observe(
            layer, inputs, [stage(ALL, 17)], [stage(ALL, 17, SATURATE)], [stage(ALL, 24)], spec=spec
        )
        wrap, saturate, wide = y.designs
        assert wrap.overflow == saturate.overflow
        assert wrap.n_inexact == wrap.overflow.persistent
        assert saturate.n_inexact > wrap.n_inexact > 0
        assert wide.n_inexact == wide.n_changed == 0


class TestHistogram:
    """Rows of widths are packed into integers, as many at a time as there is room for."""

    @pytest.mark.parametrize("n_widths", [0, 1, 8, 9, 10, 19, 40])
    @pytest.mark.parametrize("n_channels", [1, 3, 64, 5000])
    def test_distinct_rows(self, n_widths, n_channels):
        """As rows compared whole, in the same order; a third of all differ in one width only."""
        rng = np.random.default_rng(n_widths)
        table = rng.choice([0, 1, 62, 63], (300, n_widths + 1))
        table[:, 0] = rng.integers(0, n_channels, 300)
        table[100:200] = table[:100]
        table[200:] = table[:100]
        table[200:, rng.integers(0, n_widths + 1)] ^= n_widths > 0
        columns = [table[:, 0] % n_channels, *table[:, 1:].astype(np.uint8).T]
        first, n_equal = _distinct(columns, n_channels)
        rows, at, counts = np.unique(
            np.stack(columns, axis=1), axis=0, return_index=True, return_counts=True
        )
        assert np.stack(columns, axis=1)[first].tolist() == rows.tolist()
        assert (first.tolist(), n_equal.tolist()) == (at.tolist(), counts.tolist())


class TestRefusals:
    def test_no_designs(self):
        with pytest.raises(SpecError, match="at least one design"):
            observe(fc(), [[1, 1, 1]])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"bias": BiasPlacement.POST_ADD}, "bias is post_add in a design and preload in the"),
            ({"zero_points": ZeroPointHandling.CENTER}, "zero_points is center in a design"),
            ({"order": KOrder.REVERSED}, "order is reversed in a design and natural in the layer"),
        ],
    )
    def test_designs_that_differ_in_more_than_stages(self, change, message):
        design = replace(SIMPLE.accumulator, **change)
        with pytest.raises(SpecError, match=f"^fc: designs differ .* stages only, but {message}"):
            observe_layer(CompiledLayer(fc(), SIMPLE), [[1.0, 1.0, 1.0]], [design])

    def test_designs_too_wide_for_the_rescaler(self):
        y = observe(fc(), [[1, 1, 1]], [stage(ALL, 33)])
        assert y.designs[0].n_changed == 0
        with pytest.raises(WidthError, match=r"^fc: the rescaler's product could pass 63 bits"):
            observe(fc(), [[1, 1, 1]], [stage(ALL, 34)])

    def test_totals_too_wide_for_the_rescaler(self):
        """33 bits are the last that a 31-bit multiplier takes."""
        spec = simple_datapath(
            weight_bits=16, activation_bits=17, acc_bits=8, input_signed=True, output_signed=True
        )
        layer = fc(weight_codes=np.full((1, 4), 32767), output_step=2.0**20)
        top = 65535.0
        y = observe(layer, [[top, top, 0, 0]], [stage(ALL, 8)], spec=spec)
        assert y.exact_bits == 33
        with pytest.raises(WidthError, match=r"^fc: .*designs are judged, need 34 bits$"):
            observe(layer, [[top] * 4], [stage(ALL, 8)], spec=spec)

    def test_values_of_another_shape(self):
        with pytest.raises(DataError, match=r"^fc: values must .* of shape \(1, 3\), got \(3,\)"):
            observe(fc(), [[1, 1, 1]], [stage(ALL, 8)], values=[1.0, 1.0, 1.0])

    def test_inputs_that_do_not_meet(self):
        with pytest.raises(DataError, match=r"^fc: inputs .* do not meet"):
            observe(fc(), [[1, 1]], [stage(ALL, 8)])

    @pytest.mark.parametrize(
        ("bits", "message"),
        [
            ([8, 8], r"one width for each of 1 stages, got \[8, 8\]"),
            ([], r"one width for each of 1 stages"),
            ([1], r"register bits must be in 2\.\.63, got 1"),
            ([64], r"register bits must be in 2\.\.63, got 64"),
        ],
    )
    def test_widths(self, bits, message):
        profile = profile_of(fc(), [[1, 1, 1]])
        for ask in (profile.counts, profile.by_channel):
            with pytest.raises(SpecError, match=message):
                ask(bits)

    @pytest.mark.parametrize("level", [-1, 1])
    def test_stages(self, level):
        with pytest.raises(SpecError, match=rf"stage must be in 0\.\.0, or None, got {level}"):
            profile_of(fc(), [[1, 1, 1]]).needed_bits_histogram(level)
