"""Faults that hardware has, planted one at a time: each is found, and shown by a small call."""

from functools import partial

import numpy as np
import pytest

import fake_hardware as fake
from fake_hardware import (
    ARRAY,
    ARRAY_LIMITS,
    CHANNEL_QUANTIZER,
    CHANNEL_RESCALER,
    CONVOLUTION,
    CONVOLUTION_LIMITS,
    INT8,
    QUANTIZER,
    RESCALER,
    RESCALER_LIMITS,
)
from lsqsim.formats import Rounding
from lsqsim.specs import AccumulatorSpec, DatapathSpec, QuantizerSpec, RescalerSpec
from lsqsim.testing import BitMismatch, assert_bit_exact

FAULTS = {
    "quantizer saturates one below the top": (
        partial(fake.quantizer, high=126), QUANTIZER, {}, 2, 128,
    ),
    "quantizer saturates one above the bottom": (
        partial(fake.quantizer, low=-127), QUANTIZER, {}, 2, 129,
    ),
    "quantizer rounds ties up": (partial(fake.quantizer, rule=fake.ties_pos), QUANTIZER, {}, 2, 2),
    "quantizer rounds ties away": (
        partial(fake.quantizer, rule=fake.ties_away), QUANTIZER, {}, 2, 2,
    ),
    "quantizer adds its zero point before rounding": (
        partial(fake.quantizer, zero_first=True), QUANTIZER, {}, 2, 2,
    ),
    "quantizer multiplies by the reciprocal": (
        partial(fake.quantizer, by_reciprocal=True), QUANTIZER, {"max_examples": 1000}, 8, 128,
    ),
    "quantizer flushes subnormals": (
        partial(fake.quantizer, rule=np.floor, flush=2.0**-126),
        QuantizerSpec(format=INT8, rounding=Rounding.TO_NEG), {}, 2, 1,
    ),
    "quantizer takes the next channel's step": (
        partial(fake.channel_quantizer, shifted=1), CHANNEL_QUANTIZER, {}, 6, 4,
    ),
    "array adds in reverse order": (
        partial(fake.array, backward=True), ARRAY, ARRAY_LIMITS, 11, 1,
    ),
    "array's inner register wraps": (
        partial(fake.array, store=fake.wrap), ARRAY, ARRAY_LIMITS, 5, 8,
    ),
    "array's accumulator wraps": (
        partial(fake.array, acc_store=fake.wrap), ARRAY, ARRAY_LIMITS, 3, 2048,
    ),
    "array takes 2**7 for a value that fits": (
        partial(fake.array, store=partial(fake.saturate, edge_fits=True)),
        ARRAY, ARRAY_LIMITS, 5, 8,
    ),
    "array takes 2**11 for a value that fits": (
        partial(fake.array, acc_store=partial(fake.saturate, edge_fits=True)),
        ARRAY, ARRAY_LIMITS, 5, 2048,
    ),
    "array adds the bias last": (partial(fake.array, preload=False), ARRAY, ARRAY_LIMITS, 11, 2048),
    "array's fan-in is one too large": (partial(fake.array, fan_in=5), ARRAY, ARRAY_LIMITS, 11, 0),
    "array's fan-in is one too small": (partial(fake.array, fan_in=3), ARRAY, ARRAY_LIMITS, 9, 0),
    "array drops the last partial group": (
        partial(fake.array, drop_partial=True), ARRAY, ARRAY_LIMITS, 3, 8,
    ),
    "array forgets the zero points": (
        partial(fake.array, correct=False), ARRAY, ARRAY_LIMITS, 3, 8,
    ),
    "rescaler rounds ties of negative numbers away": (
        partial(fake.rescaler, away=True), RESCALER, RESCALER_LIMITS, 3, 1,
    ),
    "rescaler saturates one below the top": (
        partial(fake.rescaler, top=1), RESCALER, RESCALER_LIMITS, 3, 1 << 15,
    ),
    "rescaler wraps": (partial(fake.rescaler, wraps=True), RESCALER, RESCALER_LIMITS, 3, 1 << 15),
    "rescaler adds its zero point before rounding": (
        partial(fake.rescaler, zero_first=True), RESCALER, RESCALER_LIMITS, 3, 2,
    ),
    "rescaler shifts one less for negative numbers": (
        partial(fake.rescaler, short_for_negative=1), RESCALER, RESCALER_LIMITS, 3, 2,
    ),
    "rescaler takes the next channel's parameters": (
        partial(fake.channel_rescaler, shifted=1), CHANNEL_RESCALER, RESCALER_LIMITS, 9, 4,
    ),
    "convolution pads with code 0": (
        partial(fake.convolution, pad_with_zero=True), CONVOLUTION, CONVOLUTION_LIMITS, 8, 128,
    ),
    "convolution reads the next group's channels": (
        partial(fake.convolution, next_group=True), CONVOLUTION, CONVOLUTION_LIMITS, 8, 4,
    ),
}  # fmt: skip
"""Name to (candidate, specification, limits, elements of the counterexample, largest of them)."""

SHOWN = {
    QuantizerSpec: ("values", "step_size"),
    AccumulatorSpec: ("x", "w", "bias"),
    RescalerSpec: ("acc", "multiplier", "shift"),
    DatapathSpec: ("x", "w"),
}


@pytest.mark.slow
class TestPlantedFaults:
    @pytest.mark.parametrize("name", FAULTS)
    def test_is_found_and_small(self, name):
        candidate, spec, limits, size, largest = FAULTS[name]
        with pytest.raises(BitMismatch) as caught:
            assert_bit_exact(candidate, spec, seed=1, **limits)
        mismatch = caught.value
        operands = [np.asarray(mismatch.arguments[key]) for key in SHOWN[type(spec)]]
        assert sum(operand.size for operand in operands) <= size, mismatch
        assert max(abs(operand).max() for operand in operands if operand.size) <= largest, mismatch
