"""Tests for lsqsim.budget.witness: every witness overflows in the simulator, where it says."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lsqsim.budget.certificate import certify
from lsqsim.budget.input_range import InputRange
from lsqsim.budget.witness import witness_input
from lsqsim.datapath import CompiledLayer
from lsqsim.formats import Overflow
from lsqsim.layer import Layer
from lsqsim.overflow import OverflowKind
from lsqsim.specs import (
    AccumulatorSpec,
    Conv2dSpec,
    Layout,
    LinearSpec,
    StageSpec,
    simple_datapath,
)
from whole_layers import cases, conv_shapes


def check(compiled, witness):
    """A run on the witness meets its overflow: the first in its register, and a lost value."""
    inputs, index = witness_input(compiled, witness)
    result = compiled.run(inputs, observe=True, trace=True)
    assert result.overflow.kind[index] != OverflowKind.NONE
    steps = compiled.walk_output(result.input, index)
    first = next(step for step in steps if step.overflows)
    found = result.overflow.first_stage[index], result.overflow.first_k[index]
    assert found == (first.stage, first.k_index)
    mine = [s for s in steps if (s.stage, s.tile) == (witness.stage, witness.tile)]
    first = next(step for step in mine if step.overflows)
    assert (first.k_index, first.before + first.operand) == (witness.k_index, witness.value)
    spec = compiled.spec.accumulator.stages[witness.stage]
    is_lost = mine[-1].after != sum(step.operand for step in mine)
    assert is_lost or spec.overflow is Overflow.SATURATE


class TestWorkedExamples:
    @pytest.mark.parametrize("layout", Layout)
    @pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 2, 3, 0)])
    @pytest.mark.parametrize(("stride", "dilation"), [((1, 1), (1, 1)), ((2, 3), (3, 2))])
    def test_a_convolution_in_groups(self, layout, padding, stride, dilation):
        """Only the last of four channels, in the second group, passes 6 bits: 4 * 7 + 5 * 7."""
        w = np.zeros((4, 1, 2, 2), np.int64)
        w[3, 0, 0, 1], w[3, 0, 1, 0] = 4, 5
        spec = Conv2dSpec(
            layout=layout, groups=2, padding=padding, stride=stride, dilation=dilation
        )
        layer = Layer(
            spec=spec, weight_codes=w if layout is Layout.NCHW else w.transpose(0, 2, 3, 1),
            input_step=1.0, weight_step=1.0, output_step=1.0, input_zero_point=1,
        )  # fmt: skip
        datapath = simple_datapath(weight_bits=4, activation_bits=3, acc_bits=6)
        compiled = CompiledLayer(layer, datapath)
        (witness,) = certify(compiled).witnesses
        assert (witness.channel, witness.codes[1], witness.codes[2]) == (3, 7, 7)
        check(compiled, witness)

    def test_the_preload_and_the_post_added_bias_have_indices_of_their_own(self):
        layer = Layer(
            spec=LinearSpec(), weight_codes=np.array([[1]]), input_step=1.0, weight_step=1.0,
            output_step=1.0, bias_codes=np.array([9]),
        )  # fmt: skip
        spec = simple_datapath(weight_bits=4, activation_bits=2, acc_bits=4)
        for placement, k_index in (("PRELOAD", -1), ("POST_ADD", 1)):
            bias = type(spec.accumulator.bias)[placement]
            accumulator = replace(spec.accumulator, bias=bias)
            compiled = CompiledLayer(layer, replace(spec, accumulator=accumulator))
            (witness,) = certify(compiled).witnesses
            assert witness.k_index == k_index
            check(compiled, witness)

    def test_a_wrong_result_rather_than_a_forgiven_one(self):
        """7 * 3 leaves 5 bits; 7 * 3 - 7 * 3 is right again, 7 * 3 - 7 * 0 is not."""
        layer = Layer(
            spec=LinearSpec(), weight_codes=np.array([[7, -7]]), input_step=1.0, weight_step=1.0,
            output_step=1.0,
        )  # fmt: skip
        spec = simple_datapath(weight_bits=4, activation_bits=2, acc_bits=5)
        (witness,) = certify(CompiledLayer(layer, spec)).witnesses
        assert witness.codes in {(3, 0), (0, 3)}
        check(CompiledLayer(layer, spec), witness)


class TestLaws:
    @given(cases())
    def test_every_witness_overflows(self, case):
        compiled = CompiledLayer(case.layer, case.spec)
        for witness in certify(compiled).witnesses:
            check(compiled, witness)

    @settings(max_examples=60)
    @given(cases(conv_shapes()), st.data())
    def test_every_witness_of_a_convolution_keeps_to_its_range(self, case, data):
        """One range an input channel, in narrow registers."""
        fan_in = data.draw(st.integers(1, 3))
        overflow = data.draw(st.sampled_from(Overflow))
        accumulator = AccumulatorSpec(
            stages=(
                StageSpec(bits=data.draw(st.integers(2, 8)), fan_in=fan_in, overflow=overflow),
                StageSpec(bits=data.draw(st.integers(2, 8)), overflow=overflow),
            ),
            bias=case.spec.accumulator.bias,
            zero_points=case.spec.accumulator.zero_points,
        )
        compiled = CompiledLayer(case.layer, replace(case.spec, accumulator=accumulator))
        spec, fmt = case.layer.spec, case.spec.input.format
        axis = 1 if spec.layout is Layout.NCHW else 3
        n = case.layer.weight_shape[axis] * spec.groups
        pair = st.tuples(*[st.integers(fmt.min, fmt.max)] * 2).map(sorted)
        ends = np.array(data.draw(st.lists(pair, min_size=n, max_size=n)))
        certificate = certify(compiled, InputRange(low=ends[:, 0], high=ends[:, 1]))
        low, high = certificate.inputs.low, certificate.inputs.high
        for witness in certificate.witnesses:
            inputs, _ = witness_input(compiled, witness)
            codes = np.moveaxis(inputs.codes, axis, -1)
            inside = (low <= codes) & (codes <= high)
            zero = case.layer.input_zero_point
            assert (inside | (codes == zero)).all()
            check(compiled, witness)
