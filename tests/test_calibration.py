"""Tests for lsqsim.calibration: the paper's start, the least error of a grid, whole layers."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from lsqsim.calibration import (
    GRID_OCTAVES,
    GRID_STEPS_PER_OCTAVE,
    calibrate_operands,
    calibrate_output,
    error_minimizing_step_size,
    initial_step_size,
    missing_step_sizes,
)
from lsqsim.errors import DataError, SpecError
from lsqsim.formats import IntFormat
from lsqsim.layer import Layer
from lsqsim.specs import LinearSpec, simple_datapath

INT4, UINT4 = IntFormat(4), IntFormat(4, signed=False)
UNKNOWN = math.nan


def squared_error(values, step, fmt, zero_point=0):
    """In Python floats: what rounding to ``fmt`` costs."""
    codes = [min(max(round(v / step), fmt.min - zero_point), fmt.max - zero_point) for v in values]
    return sum((c * step - v) ** 2 for c, v in zip(codes, values, strict=True))


class TestInitialStepSize:
    @pytest.mark.parametrize(
        ("values", "fmt", "step"),
        [
            ([-2.0, 4.0], UINT4, 2 * 3 / 15**0.5),
            ([-2.0, 4.0], INT4, 2 * 3 / 7**0.5),
            ([1.0], IntFormat(1, signed=False), 2.0),
            ([[1, 2], [3, 2]], IntFormat(2, signed=False), 4 / 3**0.5),
            (np.array([0.5], np.float16), IntFormat(2), 1.0),
        ],
    )
    def test_two_means_over_the_root_of_the_largest_code(self, values, fmt, step):
        assert initial_step_size(values, fmt) == pytest.approx(step, rel=1e-15)

    @pytest.mark.parametrize("values", [[], [0.0, 0.0], np.zeros((0, 3)), 0])
    def test_nothing_to_measure_is_one(self, values):
        assert initial_step_size(values, INT4) == 1.0

    @pytest.mark.parametrize(
        ("values", "step"),
        [([1.7e308, -1.7e308], 1.7e308 / 7**0.5 * 2), ([5e-324], 2.2250738585072014e-308)],
    )
    def test_ends_of_float64(self, values, step):
        """No overflow on the way; a step size below the normal numbers is raised to them."""
        assert initial_step_size(values, INT4) == pytest.approx(step)

    def test_step_size_is_limited_to_float64(self):
        assert initial_step_size([1.7e308], IntFormat(2)) == np.finfo(np.float64).max

    def test_no_positive_code(self):
        with pytest.raises(SpecError, match=r"needs a positive code; int1 \[-1, 0\] has none"):
            initial_step_size([1.0], IntFormat(1))


class TestErrorMinimizingStepSize:
    def test_values_on_a_grid_keep_it(self):
        assert error_minimizing_step_size([-2.0, 0.25, 1.75, 0.5], INT4) == 0.25
        assert error_minimizing_step_size([0, 3, 15], UINT4) == 1.0

    def test_one_outlier_of_a_thousand_is_clipped(self):
        values = np.append(np.linspace(-1, 1, 1000), 3.0)
        assert 1 / 7 <= error_minimizing_step_size(values, INT4) < 2 / 7

    def test_the_zero_point_shifts_the_range(self):
        """uint4 around zero point 12 holds -12 .. 3 steps."""
        assert error_minimizing_step_size([-12.0, 3.0, 1.0], UINT4, 12) == 1.0
        assert error_minimizing_step_size([-1.0, -3.0, -15.0], UINT4, 15) == 1.0

    def test_values_of_a_sign_the_format_lacks(self):
        """They clip with any step: the others decide; without others, the largest magnitude."""
        assert error_minimizing_step_size([-100.0, 15.0, 1.0], UINT4) == 1.0
        assert error_minimizing_step_size([-100.0, -1.0], UINT4) == 100.0

    def test_a_trace_of_the_sign_the_format_has(self):
        step = error_minimizing_step_size([-1.0, 1e-320], UINT4)
        assert 0 < step < 1e-100

    @pytest.mark.parametrize("values", [[], [0.0, 0.0], np.zeros((0, 3)), 0])
    def test_nothing_to_measure_is_one(self, values):
        assert error_minimizing_step_size(values, INT4) == 1.0

    @pytest.mark.parametrize("size", [1e308, 1e-300, 5e-324])
    def test_ends_of_float64(self, size):
        step = error_minimizing_step_size([size, -size], INT4)
        assert math.isfinite(step)
        assert step > 0

    @given(
        st.lists(st.floats(-100, 100), min_size=1, max_size=9).filter(any),
        st.integers(1, 5),
        st.booleans(),
        st.data(),
    )
    def test_no_candidate_is_better(self, values, bits, signed, data):
        """Law: of the grid below the smallest step without clipping, none has a smaller error."""
        fmt = IntFormat(bits, signed=signed)
        zero = data.draw(st.integers(fmt.min, fmt.max))
        values = [v if abs(v) > 1e-9 else 0.0 for v in values]
        chosen = error_minimizing_step_size(values, fmt, zero)
        ends = [v / (fmt.max - zero) for v in values if v > 0 and fmt.max > zero]
        ends += [v / (fmt.min - zero) for v in values if v < 0 and fmt.min < zero]
        top = max(ends, default=max(map(abs, values), default=0)) or 1.0
        n = GRID_OCTAVES * GRID_STEPS_PER_OCTAVE
        grid = [top * 2 ** (-i / GRID_STEPS_PER_OCTAVE) for i in range(n + 1)]
        assert min(abs(chosen / step - 1) for step in grid) < 1e-12
        least = min(squared_error(values, step, fmt, zero) for step in grid)
        largest = max(map(abs, values))
        assert squared_error(values, chosen, fmt, zero) <= least * (1 + 1e-9) + 1e-12 * largest**2

    @given(st.lists(st.integers(-1000, 1000), min_size=1), st.integers(-40, 40))
    def test_scaling_by_a_power_of_two_scales_the_step(self, values, exponent):
        step = error_minimizing_step_size(np.array(values, float), INT4)
        scaled = error_minimizing_step_size(np.ldexp(np.array(values, float), exponent), INT4)
        assert scaled == (math.ldexp(step, exponent) if any(values) else 1.0)

    @pytest.mark.parametrize(
        ("zero", "text"),
        [(-1, "got -1"), (16, r"zero_point must be a code of uint4 \[0, 15\], got 16")],
    )
    def test_zero_point_outside_the_format(self, zero, text):
        with pytest.raises(SpecError, match=text):
            error_minimizing_step_size([1.0], UINT4, zero)


@pytest.mark.parametrize("find", [initial_step_size, error_minimizing_step_size])
class TestRefusals:
    @pytest.mark.parametrize(
        ("values", "text"),
        [
            ([[1.0, 2.0], [math.nan, 3.0]], r"finite to find a step size, .* at index \(1, 0\)"),
            ([1.0, -math.inf], r"got -inf at index \(1,\): mend the data, or state the step size"),
            (["a"], "must be real numbers to find a step size, got dtype <U1"),
            ([1j], "got dtype complex128"),
            ([True], "got dtype bool"),
        ],
    )  # fmt: skip
    def test_values(self, find, values, text):
        with pytest.raises(DataError, match=text):
            find(values, INT4)


def a_layer(**changes):
    fields = {
        "spec": LinearSpec(),
        "weight": np.array([[0.7, -0.1], [0.07, 0.01]]),
        "input_step": UNKNOWN,
        "weight_step": UNKNOWN,
        "output_step": UNKNOWN,
        "name": "fc",
    }
    return Layer(**(fields | changes))


SPEC = simple_datapath(weight_bits=4, activation_bits=4)
INPUTS = np.array([[15.0, 1.0], [2.0, 3.0]])


class TestLayers:
    def test_missing_step_sizes(self):
        assert missing_step_sizes(a_layer()) == ("input_step", "weight_step", "output_step")
        given_two = a_layer(input_step=0.5, weight_step=np.array([1.0, 2.0]))
        assert missing_step_sizes(given_two) == ("output_step",)

    def test_input_weight_and_output(self):
        layer = calibrate_operands(a_layer(), SPEC, INPUTS)
        assert layer.input_step == error_minimizing_step_size(INPUTS, UINT4)
        assert layer.weight_step == error_minimizing_step_size(layer.weight, INT4)
        assert missing_step_sizes(layer) == ("output_step",)
        outputs = np.array([[3.0, 15.0]])
        layer = calibrate_output(layer, SPEC, outputs)
        assert layer.output_step == 1.0
        assert missing_step_sizes(layer) == ()

    def test_given_step_sizes_stay(self):
        given_all = a_layer(input_step=0.5, weight_step=0.25, output_step=2.0)
        assert calibrate_operands(given_all, SPEC, None) is given_all
        assert calibrate_output(given_all, SPEC, None) is given_all

    def test_one_weight_step_a_channel(self):
        spec = simple_datapath(weight_bits=4, activation_bits=4, per_channel=True)
        layer = calibrate_operands(a_layer(), spec, INPUTS)
        expected = [error_minimizing_step_size(row, INT4) for row in layer.weight]
        assert np.asarray(layer.weight_step).tolist() == expected

    def test_zero_points_count(self):
        layer = a_layer(input_zero_point=12, weight_zero_point=np.array([7, -8]))
        spec = simple_datapath(weight_bits=4, activation_bits=4, per_channel=True)
        layer = calibrate_operands(layer, spec, np.array([[-12.0, 3.0]]))
        assert layer.input_step == 1.0
        assert np.asarray(layer.weight_step).tolist() == [
            error_minimizing_step_size(layer.weight[0], INT4, 7),
            error_minimizing_step_size(layer.weight[1], INT4, -8),
        ]

    def test_at_most_a_million_values_are_looked_at(self, monkeypatch):
        monkeypatch.setattr("lsqsim.calibration.MAX_SAMPLES", 3)
        inputs = np.array([[15.0, 1000.0], [2.0, 1000.0], [3.0, 1000.0]])
        assert calibrate_operands(a_layer(), SPEC, inputs).input_step == 1.0

    def test_the_rest_is_checked_all_the_same(self, monkeypatch):
        monkeypatch.setattr("lsqsim.calibration.MAX_SAMPLES", 1)
        with pytest.raises(DataError, match=r"fc: inputs must be finite .* index \(1, 0\)"):
            calibrate_operands(a_layer(), SPEC, np.array([[15.0, 1.0], [math.nan, 3.0]]))

    @pytest.mark.parametrize(
        ("layer", "inputs", "text"),
        [
            (a_layer(), None, "fc: input_step is missing and the inputs are codes"),
            (
                replace(a_layer(), weight=None, weight_codes=np.ones((2, 2), int)),
                INPUTS,
                "fc: weight_step is missing and the weights are codes",
            ),
            (a_layer(weight=np.full((1, 1), math.inf)), INPUTS, "fc: weights must be finite"),
        ],
    )  # fmt: skip
    def test_refusals(self, layer, inputs, text):
        with pytest.raises(DataError, match=text):
            calibrate_operands(layer, SPEC, inputs)
