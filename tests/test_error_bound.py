"""Tests for lsqsim.error_bound: it holds, is nearly reached, and is void where it must be."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from layers import datapaths, layer_runs
from lsqsim.compare import compare, distance
from lsqsim.datapath import CompiledLayer
from lsqsim.error_bound import error_bound, exact_factors, largest_totals
from lsqsim.errors import LsqsimError
from lsqsim.formats import IntFormat, Overflow, Rounding
from lsqsim.layer import Layer
from lsqsim.reference import reference_from_codes
from lsqsim.specs import (
    Activation,
    FirstShift,
    FixedPoint,
    FloatScale,
    LinearSpec,
    PowerOfTwo,
    RegisterSpec,
    Thresholds,
    simple_datapath,
)
from lsqsim.tensor import QTensor

ALL_8_BIT = np.arange(-128, 128)


def one_product(scaling, *, output_step=1.0, weight=1.0, bias=None, activation=Activation.NONE):
    """A layer y = w x of 8-bit inputs and 16-bit outputs, so that nothing clips."""
    spec = simple_datapath(
        weight_bits=8, activation_bits=8, output_bits=16, input_signed=True, output_signed=True
    )
    spec = replace(spec, rescaler=replace(spec.rescaler, scaling=scaling))
    layer = Layer(
        spec=LinearSpec(activation=activation), weight=np.array([[weight]]), bias=bias,
        input_step=1.0, weight_step=1.0, output_step=output_step,
    )  # fmt: skip
    return CompiledLayer(layer, spec)


def largest_distance(compiled: CompiledLayer) -> float:
    """Over all 256 inputs."""
    result = compiled.run(ALL_8_BIT[:, None])
    reference = reference_from_codes(compiled.layer, compiled.spec, result.input, compiled.weight)
    return float(distance(compiled, result, reference).max())


class TestHolds:
    """No output lies beyond the bound, whatever the scaling, rounding and activation."""

    @given(st.data())
    def test_random_layers(self, data):
        spec = data.draw(datapaths())
        layer, inputs = data.draw(layer_runs(spec))
        try:
            compiled = CompiledLayer(layer, spec)
        except LsqsimError:
            return  # a factor the unit can't express
        comparison = compare(compiled, compiled.run(inputs), inputs)
        assert comparison.n_inexact == 0
        assert comparison.n_beyond_bound == 0


class TestIsNearlyReached:
    """Exhaustive over the inputs, some output passes 95 % of the bound."""

    @pytest.mark.parametrize("rounding", Rounding)
    def test_rounding(self, rounding):
        """Multiples of an irrational ratio come near every distance from a breakpoint."""
        compiled = one_product(FixedPoint(rounding=rounding), output_step=1.618)
        bound = error_bound(compiled).total[0]
        assert bound * 0.95 <= largest_distance(compiled) <= bound

    @pytest.mark.parametrize("rounding", [r for r in Rounding if r.is_nearest])
    def test_ties_reach_it(self, rounding):
        compiled = one_product(FixedPoint(rounding=rounding), output_step=2.0)
        assert largest_distance(compiled) == 0.5 == error_bound(compiled).rounding[0]

    def test_fold(self):
        """Four bits of multiplier: 6/7 is held as 14/16, and the error grows with the total."""
        scaling = FixedPoint(multiplier=IntFormat(4, signed=False))
        compiled = one_product(scaling, output_step=7 / 6, weight=100.0)
        bound = error_bound(compiled)
        assert bound.fold[0] > 100 * bound.rounding[0]
        assert 0.95 * bound.total[0] <= largest_distance(compiled) <= bound.total[0]

    def test_float32_product(self):
        """16-bit outputs of a float32 product of 24 significant bits: rounding dominates."""
        compiled = one_product(FloatScale(), output_step=1.618)
        bound = error_bound(compiled)
        assert 0.95 * bound.total[0] <= largest_distance(compiled) <= bound.total[0]

    def test_bias(self):
        """A bias of 0.4 accumulator units is lost, and counts M times."""
        compiled = one_product(FixedPoint(), output_step=0.25, bias=np.array([0.4]))
        bound = error_bound(compiled)
        assert bound.bias[0] == pytest.approx(1.6)
        assert 0.75 * bound.total[0] <= largest_distance(compiled) <= bound.total[0]

    def test_relu6(self):
        """6 / 4 = 1.5 codes is clipped at code 2, half a code too high."""
        compiled = one_product(FixedPoint(), output_step=4.0, activation=Activation.RELU6)
        bound = error_bound(compiled)
        assert bound.activation[0] == 0.5
        assert largest_distance(compiled) == 0.5

    def test_two_roundings(self):
        """An odd total halved and rounded up, then a tie rounded up again."""
        scaling = FixedPoint(first_shift=FirstShift(), rounding=Rounding.TIES_AWAY)
        compiled = one_product(scaling, output_step=4.0)
        bound = error_bound(compiled)
        assert bound.rounding[0] == 0.75
        assert largest_distance(compiled) == 0.75


class TestTerms:
    """Single terms that can be said exactly."""

    def test_nothing_shifted_out_is_no_error(self):
        assert error_bound(one_product(PowerOfTwo())).rounding[0] == 0
        assert error_bound(one_product(PowerOfTwo(), output_step=2.0)).rounding[0] == 0.5
        assert error_bound(one_product(Thresholds())).rounding[0] == 0.5

    def test_exact_fold_is_no_error(self):
        assert error_bound(one_product(FixedPoint(), output_step=8.0)).fold[0] == 0

    def test_largest_total_is_the_exact_bound(self):
        """-128 * 3 + 5 against 127 * 3 + 5."""
        compiled = one_product(FixedPoint(), weight=3.0, bias=np.array([5.0]))
        assert largest_totals(compiled) == [386]
        assert exact_factors(compiled) == [1]

    def test_input_offset_counts(self):
        compiled = one_product(PowerOfTwo())
        spec = replace(compiled.spec, rescaler=replace(compiled.spec.rescaler, input_offset=3))
        assert error_bound(CompiledLayer(compiled.layer, spec)).fold[0] == 3.0


class TestVoid:
    """Where a register of the rescaler can lose the value, no bound is claimed."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"intermediate": RegisterSpec(bits=7)},
            {"output": IntFormat(7), "overflow": Overflow.WRAP},
            {
                "scaling": FixedPoint(
                    multiplier=IntFormat(4, signed=False),
                    min_shift=-4,
                    left_register=RegisterSpec(bits=10),
                )
            },
            {
                "scaling": FixedPoint(
                    first_shift=FirstShift(shift=20, register=RegisterSpec(bits=10))
                )
            },
        ],
    )
    def test_narrow_register(self, changes):
        compiled = one_product(FixedPoint(min_shift=-4), output_step=1 / 64)
        spec = replace(compiled.spec, rescaler=replace(compiled.spec.rescaler, **changes))
        narrow = CompiledLayer(compiled.layer, spec)
        assert error_bound(narrow).total.tolist() == [np.inf]
        assert np.isfinite(error_bound(compiled).total).all()

    def test_wide_registers_keep_it(self):
        compiled = one_product(FixedPoint())
        wide = {"intermediate": RegisterSpec(bits=20), "overflow": Overflow.WRAP}
        spec = replace(compiled.spec, rescaler=replace(compiled.spec.rescaler, **wide))
        assert np.isfinite(error_bound(CompiledLayer(compiled.layer, spec)).total).all()


def test_codes_of_a_run_can_be_compared_without_reals():
    compiled = one_product(FixedPoint(), output_step=0.5)
    codes = QTensor(
        codes=np.array([[3]]), format=IntFormat(8), step_size=np.array(1.0),
        zero_point=np.array(0),
    )  # fmt: skip
    assert compare(compiled, compiled.run(codes)).verdict == "exact"
