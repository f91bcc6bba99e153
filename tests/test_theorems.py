"""The theorems of docs/quantization.md section 5, as properties."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st

from layers import datapaths, layer_runs
from lsqsim.compare import compare
from lsqsim.datapath import CompiledLayer
from lsqsim.error_bound import error_bound
from lsqsim.errors import LsqsimError
from lsqsim.folding import FixedPointParameters
from lsqsim.formats import IntFormat, Rounding
from lsqsim.layer import Layer
from lsqsim.reference import output_rounding, reference_from_codes
from lsqsim.specs import (
    Activation,
    FirstShift,
    FixedPoint,
    FloatScale,
    LinearSpec,
    PowerOfTwo,
    Thresholds,
    simple_datapath,
)

POWERS = st.integers(-6, 3).map(lambda e: 2.0**e)
ONE_ROUNDING = st.one_of(
    st.builds(FixedPoint, rounding=st.sampled_from(Rounding), min_shift=st.just(-30)),
    st.builds(PowerOfTwo, rounding=st.sampled_from(Rounding), min_shift=st.just(-30)),
    st.builds(Thresholds, rounding=st.sampled_from(Rounding)),
    st.builds(FloatScale, rounding=st.sampled_from(Rounding)),
)


def integral_bias(layer: Layer) -> Layer:
    """The layer with its bias moved to the grid of s_x * s_w."""
    if layer.bias is None:
        return layer
    unit = layer.input_step * np.asarray(layer.weight_step)
    return replace(layer, bias=np.rint(layer.bias / unit) * unit)


class TestTheorem2:
    """Powers of two, no overflow, one rounding: integer and float agree for all inputs."""

    @given(st.data())
    def test_exactly_equal(self, data):
        spec = data.draw(datapaths(acc_bits=24, scaling=ONE_ROUNDING))
        layer, inputs = data.draw(layer_runs(spec, steps=POWERS))
        assume(layer.spec.activation is not Activation.RELU6 or layer.output_step in (1.0, 2.0))
        compiled = CompiledLayer(integral_bias(layer), spec)
        result = compiled.run(inputs)
        assert compare(compiled, result, inputs).verdict == "exact"
        reference = reference_from_codes(compiled.layer, spec, result.input, compiled.weight)
        assert (reference.accumulator == result.accumulators).all()

    def test_needs_a_single_rounding(self):
        """5 / 4 rounded twice is 2.5, 3, then a tie: 2. Rounded once it is 1."""
        spec = simple_datapath(input_signed=True, output_signed=True)
        layer = Layer(
            spec=LinearSpec(), weight=np.eye(1), input_step=1.0, weight_step=1.0, output_step=4.0
        )
        twice = FixedPoint(first_shift=FirstShift(), rounding=Rounding.TIES_AWAY)
        inputs = np.arange(-128, 128)[:, None]
        verdicts = []
        for scaling in (FixedPoint(rounding=Rounding.TIES_AWAY), twice):
            rescaler = replace(spec.rescaler, scaling=scaling)
            compiled = CompiledLayer(layer, replace(spec, rescaler=rescaler))
            verdicts.append(compare(compiled, compiled.run(inputs), inputs).verdict)
        assert verdicts == ["exact", "within 1 LSB"]

    def test_needs_power_of_two_steps(self):
        """A step of 0.1 has no exact factor: among many ties some code differs."""
        spec = simple_datapath(output_signed=True, input_signed=True)
        layer = Layer(
            spec=LinearSpec(), weight=np.eye(1), input_step=0.1, weight_step=1.0, output_step=0.2
        )
        compiled = CompiledLayer(layer, spec)
        inputs = np.arange(-128, 128)[:, None] * 0.1
        assert compare(compiled, compiled.run(inputs), inputs).verdict == "within 1 LSB"


class TestTheorem1:
    """A code differs only where the real output lies within E' of a breakpoint."""

    @given(st.data())
    def test_differing_outputs_are_nearly_ties(self, data):
        spec = data.draw(datapaths())
        layer, inputs = data.draw(layer_runs(spec))
        assume(layer.spec.activation is not Activation.RELU6)
        try:
            compiled = CompiledLayer(layer, spec)
        except LsqsimError:
            return
        result = compiled.run(inputs)
        reference = reference_from_codes(layer, spec, result.input, compiled.weight)
        bound = error_bound(compiled)
        last = last_rounding(spec.rescaler.scaling, compiled)
        axis = layer.output_channel_axis
        differing = np.argwhere(result.output.codes != reference.codes)
        for at in map(tuple, differing.tolist()):
            reach = bound.total[at[axis]] - last[at[axis]]
            position = Fraction(float(reference.output[at])) / Fraction(layer.output_step)
            assert breakpoint_distance(position, output_rounding(spec.rescaler)) <= reach


def last_rounding(scaling, compiled: CompiledLayer) -> np.ndarray:
    """The share of E that the last rounding has, per channel."""
    largest = error_bound(compiled).rounding
    if isinstance(scaling, FixedPoint) and scaling.first_shift is not None:
        assert isinstance(scaling.rounding, Rounding)
        assert isinstance(compiled.rescaler.parameters, FixedPointParameters)
        half = np.where(scaling.rounding.is_nearest, 0.5, 1.0)
        assume((compiled.rescaler.parameters.shift > scaling.first_shift.shift).all())
        return np.broadcast_to(half, largest.shape)
    return largest


def breakpoint_distance(position: Fraction, rounding: Rounding) -> Fraction:
    """Distance to the nearest half-integer, or integer for directed rules."""
    shifted = position - Fraction(1, 2) if rounding.is_nearest else position
    below = math.floor(shifted)
    return min(shifted - below, below + 1 - shifted)


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_31_bit_multipliers_differ_by_one_at_most(bits):
    """The remark at the end of section 4, over random factors."""
    rng = np.random.default_rng(bits)
    spec = simple_datapath(input_signed=True, output_signed=True, output_bits=bits)
    for _ in range(20):
        layer = Layer(
            spec=LinearSpec(), weight=rng.normal(size=(4, 16)), input_step=0.02,
            weight_step=0.03, output_step=float(rng.uniform(0.001, 0.1)),
        )  # fmt: skip
        compiled = CompiledLayer(layer, spec)
        inputs = rng.normal(size=(64, 16))
        comparison = compare(compiled, compiled.run(inputs), inputs)
        assert comparison.max_lsb <= 1
        assert comparison.bound_lsb < 0.501
        assert IntFormat(bits).holds(int(compiled.rescaler.clamp[1]))
