"""Tests for lsqsim.budget.certificate: safe layers never lose a total; unsafe ones show how."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from lsqsim.budget.certificate import certify, layer_digest, seal
from lsqsim.budget.input_range import InputRange
from lsqsim.budget.ranges import Verdict
from lsqsim.datapath import CompiledLayer
from lsqsim.errors import DataError, SpecError, WidthError
from lsqsim.formats import IntFormat, Overflow
from lsqsim.layer import Layer
from lsqsim.specs import (
    AccumulatorSpec,
    BiasPlacement,
    Conv2dSpec,
    FanIn,
    LinearSpec,
    PowerOfTwo,
    StageSpec,
    simple_datapath,
)
from lsqsim.tensor import QTensor
from whole_layers import cases

FOUR_BITS = (StageSpec(bits=4),)


def linear(w, stages=FOUR_BITS, bias=None, placement=BiasPlacement.PRELOAD, name="fc"):
    spec = simple_datapath(weight_bits=4, activation_bits=2)
    accumulator = AccumulatorSpec(stages=tuple(stages), bias=placement)
    layer = Layer(
        spec=LinearSpec(), weight_codes=np.array(w, np.int64), input_step=1.0, weight_step=1.0,
        output_step=1.0, bias_codes=None if bias is None else np.array(bias), name=name,
    )  # fmt: skip
    return CompiledLayer(layer, replace(spec, accumulator=accumulator))


def tensor(compiled, codes):
    unit = compiled.input_quantizer
    return QTensor(
        codes=codes, format=compiled.spec.input.format, step_size=unit.step_size[0],
        zero_point=unit.zero_point[0],
    )  # fmt: skip


class TestWorkedExamples:
    def test_a_narrow_register(self):
        """3 * 3 = 9 leaves 4 bits; 5 hold it and 3 * -2 = -6."""
        (stage,) = certify(linear([[3, -2], [1, 1]])).stages
        assert stage.verdicts.tolist() == [Verdict.UNSAFE, Verdict.SATURATE_SAFE]
        assert (stage.verdict, stage.wrap_bits, stage.headroom_bits) == (Verdict.UNSAFE, 5, -1)
        assert str(stage.witness) == "channel 0: 9 leaves stage 0, tile 0, at K index 0"
        assert not stage.is_wrap_safe
        assert not stage.is_saturate_safe

    def test_wrapping_makes_good(self):
        """With inputs of 3 alone, 9 - 6 = 3: wrong on the way, right in the end."""
        certificate = certify(linear([[3, -2]]), InputRange(low=3, high=3))
        (stage,) = certificate.stages
        assert (stage.verdict, stage.required_bits) == (Verdict.WRAP_SAFE, 3)
        assert certificate.is_safe
        assert certificate.witnesses == ()

    def test_one_channel_is_safe(self):
        certificate = certify(linear([[3, -2], [1, 1]]))
        assert certificate.safe_channels.tolist() == [False, True]
        assert not certificate.is_safe

    def test_a_tile_and_its_sum(self):
        """Tiles of one product need 5 bits, 9; all together 3 * 3 + 3 * 3 = 18 needs 6."""
        stages = (StageSpec(bits=5, fan_in=1), StageSpec(bits=6, overflow=Overflow.SATURATE))
        certificate = certify(linear([[3, 3]], stages))
        assert certificate.is_safe
        assert [stage.required_bits for stage in certificate.stages] == [5, 6]
        assert [stage.headroom_bits for stage in certificate.stages] == [0, 0]

    @pytest.mark.parametrize("placement", BiasPlacement)
    @pytest.mark.parametrize("w", [np.empty((2, 0)), np.zeros((2, 3))])
    def test_the_bias_alone(self, w, placement):
        """No products, or weights of 0: the range is the bias, 7 and -8 fit 4 bits, 8 does not."""
        for bias, is_safe in (([7, -8], True), ([8, 0], False), ([0, -9], False)):
            certificate = certify(linear(w, bias=bias, placement=placement))
            (stage,) = certificate.stages
            assert stage.result_low.tolist() == stage.result_high.tolist() == bias
            assert certificate.is_safe is is_safe

    def test_what_a_certificate_says(self):
        table = certify(linear([[3, -2]]), InputRange(low=[0, 1], high=[3, 2])).to_dict()
        assert (table["input_low"], table["input_high"]) == ([0, 1], [3, 2])
        assert json.loads(json.dumps(table)) == table
        rest = {key: value for key, value in table.items() if key != "seal"}
        assert table["seal"] == seal(rest)

    def test_the_digest_is_of_weights_bias_and_zero_points(self):
        layers = [linear([[3, -2]]), linear([[3, -3]]), linear([[3, -2]], bias=[1])]
        shifted = replace(layers[0].layer, input_zero_point=1)
        layers.append(CompiledLayer(shifted, layers[0].spec))
        assert len({layer_digest(layer) for layer in layers}) == len(layers)
        assert layer_digest(linear([[3, -2]], bias=[0])) == layer_digest(layers[0])
        assert layer_digest(linear([[3, -2]], name="x")) == layer_digest(layers[0])


class TestLaws:
    @given(cases())
    def test_a_safe_layer_holds_its_exact_totals(self, case):
        """In every safe channel, for the inputs at hand and for extreme ones."""
        compiled = CompiledLayer(case.layer, case.spec)
        certificate = certify(compiled)
        fmt = case.spec.input.format
        codes = compiled.run(case.values).input.codes
        for inputs in (codes, *(np.full_like(codes, end) for end in (fmt.min, fmt.max))):
            result = compiled.run(tensor(compiled, inputs), observe=True)
            axis = compiled.layer.output_channel_axis
            wrong = np.moveaxis(result.accumulators != result.overflow.total, axis, -1)
            assert not wrong[..., certificate.safe_channels].any()

    @given(cases())
    def test_no_addition_overflows_where_all_is_saturate_safe(self, case):
        compiled = CompiledLayer(case.layer, case.spec)
        certificate = certify(compiled)
        calm = np.all([stage.verdicts == Verdict.SATURATE_SAFE for stage in certificate.stages], 0)
        result = compiled.run(case.values, observe=True)
        kinds = np.moveaxis(result.overflow.kind, compiled.layer.output_channel_axis, -1)
        assert not kinds[..., calm].any()

    @given(cases(), st.data())
    def test_every_input_in_range_keeps_to_the_ranges(self, case, data):
        """Any input of one output, walked step by step in registers that hold all."""
        compiled = CompiledLayer(case.layer, case.spec)
        fmt = case.spec.input.format
        code = st.integers(fmt.min, fmt.max)
        low, high = sorted(data.draw(st.tuples(code, code)))
        certificate = certify(compiled, InputRange(low=low, high=high))
        low, high = certificate.inputs.least, certificate.inputs.largest
        channel = data.draw(st.integers(0, case.layer.n_outputs - 1))
        k = int(np.prod(case.layer.weight_shape[1:]))
        one = st.integers(low, high) | st.sampled_from([low, high])
        codes = data.draw(st.lists(one, min_size=k, max_size=k))
        stages = case.spec.accumulator.stages
        wide = replace(
            case.spec.accumulator, stages=tuple(replace(stage, bits=40) for stage in stages)
        )
        scaling = PowerOfTwo(min_shift=-10)
        rescaler = replace(case.spec.rescaler, scaling=scaling, intermediate=None)
        takes_bias = case.spec.rescaler.takes_bias  # which the accumulator then does not
        layer = replace(case.layer, bias=None) if takes_bias else case.layer
        roomy = CompiledLayer(layer, replace(case.spec, accumulator=wide, rescaler=rescaler))
        for step in roomy.walk_codes(codes, channel):
            stage = certificate.stages[step.stage]
            assert stage.prefix_low[channel] <= step.after <= stage.prefix_high[channel]

    @given(cases())
    def test_an_unsafe_stage_has_a_witness_and_no_other_has(self, case):
        for level, stage in enumerate(certify(CompiledLayer(case.layer, case.spec)).stages):
            assert (stage.witness is None) == (stage.verdict is not Verdict.UNSAFE)
            assert stage.witness is None or stage.witness.stage <= level


class TestRefusals:
    def test_of_a_range_outside_the_format(self):
        with pytest.raises(SpecError, match=r"fc: the input range 0\.\.4 must lie within .* uint2"):
            certify(linear([[1]]), InputRange(low=0, high=4))

    def test_of_a_range_for_other_channels(self):
        with pytest.raises(
            DataError, match="fc: the input range is for 2 input channels, the layer"
        ):
            certify(linear([[1]]), InputRange(low=[0, 0], high=[1, 1]))

    def test_of_groups_that_do_not_divide(self):
        layer = Layer(
            spec=Conv2dSpec(groups=2), weight_codes=np.ones((3, 1, 1, 1), int), input_step=1.0,
            weight_step=1.0, output_step=1.0,
        )  # fmt: skip
        with pytest.raises(DataError, match="layer: groups of inputs must divide the output"):
            certify(CompiledLayer(layer, simple_datapath()), InputRange(low=[0, 0], high=[1, 1]))

    def test_of_registers_whose_garbage_can_not_be_added(self):
        """Eight 62-bit registers, one of them unsafe: no int64 holds what they could add up to."""
        w = np.zeros((1, 16), np.int64)
        w[0, :2] = 1 << 60
        stages = (StageSpec(bits=62, fan_in=2), StageSpec(bits=63, fan_in=FanIn.ALL))
        spec = simple_datapath(weight_bits=62, activation_bits=1)
        rescaler = replace(
            spec.rescaler, output=IntFormat(8), scaling=PowerOfTwo(), overflow=Overflow.SATURATE
        )
        accumulator = AccumulatorSpec(stages=stages)
        layer = Layer(
            spec=LinearSpec(), weight_codes=w, input_step=1.0, weight_step=1.0, output_step=1.0
        )
        compiled = CompiledLayer(layer, replace(spec, accumulator=accumulator, rescaler=rescaler))
        with pytest.raises(WidthError, match="8 registers of 62 bits"):
            certify(compiled)
