"""Tests for lsqsim.error_bound: it holds, is nearly reached, and is void where it must be."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

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
    Granularity,
    LinearSpec,
    PowerOfTwo,
    RegisterSpec,
    RescalerSpec,
    Thresholds,
    simple_datapath,
)
from lsqsim.tensor import QTensor
from whole_layers import cases, without_noise

ALL_8_BIT = np.arange(-128, 128)


def one_product(scaling, *, output_step=1.0, weight=1.0, bias=None, activation=Activation.NONE):
    """A layer y = w x of 8-bit inputs and 16-bit outputs, so that nothing clips."""
    spec = simple_datapath(
        weight_bits=8, activation_bits=8, output_bits=16, input_signed=True, output_signed=True
    )
    takes_bias = isinstance(scaling, FixedPoint) and scaling.addend is not None
    granularity = Granularity.PER_CHANNEL if takes_bias else Granularity.PER_TENSOR
    rescaler = replace(spec.rescaler, scaling=scaling, granularity=granularity)
    spec = replace(spec, rescaler=rescaler)
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


class TestBiasAtTheProduct:
    """A bias that the rescaler adds: |B / 2**right - b / s_y|, whatever the accumulator's units."""

    @given(cases(), st.booleans())
    def test_random_layers(self, case, is_double):
        spec = without_noise(case.spec)
        n, y_step = case.layer.n_outputs, case.layer.output_step
        first = FirstShift(shift=7, register=RegisterSpec(bits=40)) if is_double else None
        scaling = FixedPoint(
            multiplier=IntFormat(16, signed=False), min_shift=-10, max_shift=40,
            addend=IntFormat(24), first_shift=first,
        )  # fmt: skip
        rescaler = RescalerSpec(
            output=IntFormat(8), scaling=scaling, granularity=Granularity.PER_CHANNEL
        )
        bias = np.arange(1, n + 1) * 1.37 * y_step
        layer = replace(case.layer, bias_codes=None, bias=bias, output_zero_point=0)
        spec = replace(spec, rescaler=rescaler)
        compiled = CompiledLayer(layer, spec)
        comparison = compare(compiled, compiled.run(case.values), case.values)
        assert np.isfinite(error_bound(compiled).total).all()
        assert comparison.n_beyond_bound == 0

    @pytest.mark.parametrize("bits", [4, 20, 40])
    def test_term_is_exact(self, bits):
        """Of a factor of 4 held as 4-bit 8 / 2: a bias of 1.3 real units is 10.4 half codes."""
        scaling = FixedPoint(
            multiplier=IntFormat(4, signed=False), min_shift=-8, addend=IntFormat(bits)
        )
        compiled = one_product(scaling, output_step=0.25, bias=np.array([1.3]))
        held: Any = compiled.rescaler.parameters
        shift, addend = int(held.shift[0]), int(held.addend[0])
        assert (shift, addend) == (1, {4: 7}.get(bits, 10))
        exact = abs(Fraction(addend, 2) - Fraction(1.3) * 4)
        assert Fraction(error_bound(compiled).bias[0]) == pytest.approx(float(exact), abs=1e-15)
        assert largest_distance(compiled) <= error_bound(compiled).total[0]

    def test_finer_than_in_the_accumulator(self):
        coarse = one_product(FixedPoint(), output_step=0.25, bias=np.array([0.4]))
        fine = one_product(
            FixedPoint(addend=IntFormat(50)), output_step=0.25, bias=np.array([0.4])
        )  # fmt: skip
        assert error_bound(fine).bias[0] < 1e-6
        assert error_bound(coarse).bias[0] > 1
        assert largest_totals(fine) == [128]

    def test_first_shift_before_a_left_register(self):
        """What is shifted out is the first shift, though the total shift is less."""
        scaling = FixedPoint(
            multiplier=IntFormat(4, signed=False), first_shift=FirstShift(shift=6),
            left_register=RegisterSpec(bits=32), addend=IntFormat(20), min_shift=-8,
        )  # fmt: skip
        compiled = one_product(scaling, bias=np.array([3.0]))
        held: Any = compiled.rescaler.parameters
        assert held.addend.tolist() == [3 << 6]
        assert error_bound(compiled).bias[0] == 0
        assert largest_distance(compiled) <= error_bound(compiled).total[0]

    @pytest.mark.parametrize(("bias", "is_void"), [(0.0, False), (5e3, True)])
    @pytest.mark.parametrize("place", ["first", "intermediate"])
    def test_registers_that_it_overflows(self, bias, is_void, place):
        register = RegisterSpec(bits=14)
        first = FirstShift(shift=10, register=register) if place == "first" else None
        scaling = FixedPoint(
            multiplier=IntFormat(10, signed=False), first_shift=first, max_shift=10,
            addend=IntFormat(40),
        )  # fmt: skip
        compiled = one_product(scaling, bias=np.array([bias]), output_step=2.0)
        if place == "intermediate":
            rescaler = replace(compiled.spec.rescaler, intermediate=register)
            compiled = CompiledLayer(compiled.layer, replace(compiled.spec, rescaler=rescaler))
        assert np.isfinite(error_bound(compiled).total[0])
        too_large = replace(compiled.layer, bias=np.array([4 * bias]))
        assert np.isinf(error_bound(CompiledLayer(too_large, compiled.spec)).total[0]) == is_void


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
