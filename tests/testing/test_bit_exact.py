"""Tests for assert_bit_exact: what is right passes, each planted fault is found, and small."""

from functools import partial

import hypothesis
import numpy as np
import pytest
from hypothesis import HealthCheck, strategies as st
from hypothesis.database import InMemoryExampleDatabase
from hypothesis.errors import FailedHealthCheck

import fake_hardware as fake
import independent
from fake_hardware import (
    ARRAY,
    ARRAY_LIMITS,
    BY_FLOAT,
    BY_SHIFT,
    BY_THRESHOLDS,
    CHANNEL_QUANTIZER,
    CHANNEL_RESCALER,
    CONVOLUTION,
    CONVOLUTION_LIMITS,
    INT8,
    INT16,
    LINEAR,
    LINEAR_LIMITS,
    QUANTIZER,
    RESCALER,
    RESCALER_LIMITS,
)
from lsqsim.datapath import CompiledLayer
from lsqsim.errors import SpecError
from lsqsim.folding import FixedPointParameters
from lsqsim.formats import IntFormat
from lsqsim.layer import Layer
from lsqsim.matmul_array import MatmulArray
from lsqsim.quantizer import Quantizer
from lsqsim.rescaler import Rescaler
from lsqsim.specs import (
    LinearSpec,
    PowerOfTwo,
    QuantizerSpec,
    RescalerSpec,
    StageSpec,
)
from lsqsim.testing import ArraySizes, BitMismatch, assert_bit_exact


def found(candidate, spec, **limits) -> BitMismatch:
    with pytest.raises(BitMismatch) as caught:
        assert_bit_exact(candidate, spec, seed=1, **limits)
    return caught.value


class TestRightImplementations:
    @pytest.mark.parametrize(
        ("candidate", "spec", "limits"),
        [
            (fake.quantizer, QUANTIZER, {}),
            (fake.channel_quantizer, CHANNEL_QUANTIZER, {}),
            (fake.array, ARRAY, ARRAY_LIMITS),
            (fake.rescaler, RESCALER, RESCALER_LIMITS),
            (fake.channel_rescaler, CHANNEL_RESCALER, RESCALER_LIMITS),
            (fake.linear, LINEAR, LINEAR_LIMITS),
            (fake.convolution, CONVOLUTION, CONVOLUTION_LIMITS),
        ],
    )
    def test_hardware_passes(self, candidate, spec, limits):
        assert_bit_exact(candidate, spec, seed=1, max_examples=100, **limits)

    @pytest.mark.parametrize(
        ("make", "spec", "limits"),
        [
            (independent.quantizer, QUANTIZER, {}),
            (independent.quantizer, CHANNEL_QUANTIZER, {}),
            (independent.array, ARRAY, ARRAY_LIMITS),
            (independent.rescaler, RESCALER, RESCALER_LIMITS),
            (independent.rescaler, CHANNEL_RESCALER, RESCALER_LIMITS),
            (independent.rescaler, BY_FLOAT, RESCALER_LIMITS),
            (independent.rescaler, BY_SHIFT, RESCALER_LIMITS),
            (independent.rescaler, BY_THRESHOLDS, RESCALER_LIMITS),
        ],
    )
    def test_the_oracle_passes(self, make, spec, limits):
        assert_bit_exact(make(spec), spec, seed=1, max_examples=100, **limits)

    def test_our_quantizer_passes(self):
        def ours(values, step_size, zero_point):
            unit = Quantizer(QUANTIZER, step_size=step_size, zero_point=zero_point)
            return unit.quantize(values).codes.astype(np.int8)

        assert_bit_exact(ours, QUANTIZER, seed=1, max_examples=50)

    def test_our_array_passes(self):
        unit = MatmulArray(ARRAY, **ARRAY_LIMITS)

        def ours(**operands):
            return unit.accumulate(**operands).registers

        assert_bit_exact(ours, ARRAY, seed=1, max_examples=50, **ARRAY_LIMITS)

    def test_our_rescaler_passes_with_its_product(self):
        def ours(acc, multiplier, shift, zero_point, low, high):
            held = FixedPointParameters(multiplier=np.array([multiplier]), shift=np.array([shift]))
            unit = Rescaler(
                RESCALER, held, acc_format=INT16, zero_point=zero_point, clamp=(low, high)
            )
            output, product = unit.rescale_traced(acc)
            return {"output": output, "product": product}

        assert_bit_exact(ours, RESCALER, seed=1, max_examples=50, **RESCALER_LIMITS)

    def test_our_layer_passes(self):
        layer = Layer(
            spec=LinearSpec(), weight_codes=np.array([[3, -5]]), bias=np.array([0.3]),
            input_step=0.5, weight_step=0.25, output_step=0.3, output_zero_point=-3,
        )  # fmt: skip
        compiled = CompiledLayer(layer, CONVOLUTION)

        def ours(values, **_):
            return compiled.run(values).output.codes

        assert_bit_exact(ours, CONVOLUTION, layer=layer, seed=1, max_examples=50)


def halving(acc, shift, zero_point, low, high):
    """Floors where the specification rounds."""
    return np.clip((acc >> shift) + zero_point, low, high)


HALVING = RescalerSpec(output=INT8, scaling=PowerOfTwo())


class TestSearch:
    def test_a_seed_makes_the_same_calls_again(self):
        runs = []
        for _ in range(2):
            calls = []

            def dut(acc, shift, calls=calls, **_):
                calls.append((acc.tolist(), shift))
                raise RuntimeError

            found(dut, HALVING, acc_format=INT16)
            runs.append(calls)
        assert runs[0] == runs[1]

    def test_without_a_seed_it_finds_the_same_smallest_call(self):
        with pytest.raises(BitMismatch) as caught:
            assert_bit_exact(halving, HALVING, acc_format=INT16)
        assert caught.value.arguments["acc"].tolist() == [1]
        assert caught.value.arguments["shift"] == 1

    def test_number_of_calls(self):
        count = 0

        def dut(values, step_size, zero_point):
            nonlocal count
            count += 1
            return fake.quantizer(values, step_size, zero_point)

        assert_bit_exact(dut, QUANTIZER, max_examples=30)
        assert count == 30

    def test_nothing_is_kept_between_runs(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        found(halving, HALVING, acc_format=INT16)
        assert not list(tmp_path.rglob("examples"))

    def test_settings_are_taken(self):
        database = InMemoryExampleDatabase()
        with pytest.raises(BitMismatch):
            assert_bit_exact(
                halving, HALVING, acc_format=INT16,
                settings=hypothesis.settings(database=database, derandomize=False),
            )  # fmt: skip
        assert vars(database)["data"]

    def test_derandomized_settings(self):
        settings = hypothesis.settings(derandomize=True, database=None)
        found(halving, HALVING, acc_format=INT16, settings=settings)

    def test_within_a_property_of_the_user(self):
        @hypothesis.settings(
            max_examples=3, suppress_health_check=[HealthCheck.nested_given], database=None
        )
        @hypothesis.given(st.integers(2, 8))
        def property_(bits):
            spec = QuantizerSpec(format=IntFormat(bits))
            fmt = spec.format
            dut = partial(fake.quantizer, low=fmt.min, high=fmt.max)
            assert_bit_exact(dut, spec, max_examples=10)

        property_()

    def test_an_assumption_leaves_calls_out(self):
        def dut(acc, shift, zero_point, low, high):
            hypothesis.assume(not (acc & ((1 << shift) - 1)).any())
            return halving(acc, shift, zero_point, low, high)

        spec = RescalerSpec(output=INT8, scaling=PowerOfTwo(min_shift=0, max_shift=2))
        assert_bit_exact(dut, spec, acc_format=INT8, seed=1, size=1)

    def test_an_answer_that_does_not_repeat(self):
        asked = set()

        def dut(values, step_size, zero_point):
            codes = fake.quantizer(values, step_size, zero_point)
            key = values.tobytes(), step_size, zero_point
            if key in asked or not codes.any():
                return codes
            asked.add(key)
            return codes - 1

        mismatch = found(dut, QUANTIZER)
        assert mismatch.__notes__ == [
            "The same call was answered otherwise, too: it does not repeat."
        ]

    def test_to_assume_everything_away_is_no_pass(self):
        with pytest.raises(FailedHealthCheck, match="filtering out a lot"):
            assert_bit_exact(lambda **_: hypothesis.reject(), QUANTIZER)


class TestLimits:
    def test_what_no_simpler_call_shows_stays(self):
        def dut(values, step_size, zero_point):
            codes = fake.quantizer(values, step_size, zero_point)
            return codes + (values.size == 3)

        assert found(dut, QUANTIZER, dtypes=[np.float64]).arguments["values"].tolist() == [0, 0, 0]

    def test_hold_to_the_end(self):
        """What the user fixes stays fixed while a mismatch is made simpler."""
        seen = []

        def dut(values, step_size, zero_point):
            seen.append((values.size, step_size, zero_point, values.dtype))
            return np.zeros(values.shape, np.int64)

        found(dut, QUANTIZER, size=2, step_size=0.25, zero_point=3, dtypes=[np.float32])
        assert set(seen) == {(2, 0.25, 3, np.dtype(np.float32))}

    def test_array_sizes_hold(self):
        def dut(x, w, bias, **_):
            assert (x.shape, w.shape, bias.shape) == ((2, 3), (2, 3), (2,))
            return np.zeros((2, 2), np.int64)

        sizes = ArraySizes(m=2, n=2, k=3)
        mismatch = found(dut, ARRAY, sizes=sizes, **ARRAY_LIMITS)
        assert mismatch.__cause__ is None

    def test_channels(self):
        mismatch = found(
            lambda values, **_: np.full(values.shape, 99), CHANNEL_QUANTIZER, n_channels=4, size=1
        )
        assert mismatch.arguments["step_size"].shape == (4,)

    def test_drawn_layers_are_linear_if_that_will_do(self):
        mismatch = found(lambda **_: np.zeros(1, np.int64), CONVOLUTION)
        assert "stride" not in mismatch.arguments
        assert len(mismatch.arguments["values"]) == 1
        assert len(mismatch.arguments["w"]) == 1

    @pytest.mark.parametrize(
        ("spec", "limits", "name"),
        [
            (ARRAY, {"weight_format": INT8}, "input_format"),
            (ARRAY, {"input_format": INT8}, "weight_format"),
            (RESCALER, {}, "acc_format"),
        ],
    )
    def test_what_a_unit_receives_must_be_given(self, spec, limits, name):
        with pytest.raises(SpecError, match=rf"give {name}, such as {name}=IntFormat\(8\)"):
            assert_bit_exact(fake.array, spec, **limits)

    def test_another_specification(self):
        stage = StageSpec(bits=8)
        with pytest.raises(
            SpecError, match=r"spec must be one of QuantizerSpec, .*, got StageSpec"
        ):
            assert_bit_exact(fake.array, stage)

    def test_a_misspelled_limit(self):
        with pytest.raises(TypeError, match="acc_fromat"):
            assert_bit_exact(fake.rescaler, RESCALER, acc_format=INT16, acc_fromat=INT16)
