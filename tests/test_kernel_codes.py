"""Tests for lsqsim.kernel_codes: choices of a specification as the plain ints kernels take."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

import oracle
from lsqsim.formats import Generator, IntFormat, Overflow, Rounding, StochasticRounding
from lsqsim.kernel_codes import rounding_arguments, store, store_arguments, store_in
from lsqsim.specs import RegisterSpec
from lsqsim_kernels import narrow
from strategies import formats, overflows, registers, stochastic_roundings

INT64 = hnp.arrays(
    np.int64,
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4),
    elements=st.integers(-(1 << 63), (1 << 63) - 1),
)


class TestWorkedExamples:
    @pytest.mark.parametrize(
        ("rounding", "expected"),
        [
            (Rounding.TO_NEG, [-3, -2, 1, 2]),
            (Rounding.TO_ZERO, [-2, -1, 1, 2]),
            (Rounding.TIES_POS, [-2, -1, 2, 3]),
            (Rounding.TIES_AWAY, [-3, -2, 2, 3]),
            (Rounding.TIES_EVEN, [-2, -2, 2, 2]),
        ],
    )
    def test_each_rounding_reaches_its_rule(self, rounding, expected):
        """The table of docs/datapath.md: -2.5, -1.5, 1.5 and 2.5."""
        arguments = rounding_arguments(rounding, 4)
        halves = [narrow.shift_right(x, 1, arguments[0], 0, 0) for x in (-5, -3, 3, 5)]
        assert halves == expected
        assert (arguments[1].size, arguments[2]) == (0, 0)

    def test_noise_is_that_of_the_generator(self):
        """Marsaglia's first words from seed 1, top 8 bits; and SplitMix64's, of 1234567."""
        code, noise, bits = rounding_arguments(StochasticRounding(seed=1, bits=8), 3)
        assert (code, bits) == (narrow.STOCHASTIC, 8)
        assert noise.tolist() == [270369 >> 24, 67634689 >> 24, 2647435461 >> 24]
        rounding = StochasticRounding(generator=Generator.SPLITMIX64, seed=1234567)
        _, noise, _ = rounding_arguments(rounding, 2)
        assert noise.tolist() == [6457827717110365317 >> 32, 3203168211198807973 >> 32]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("int8", (-128, 127, 255)),
            ("uint4", (0, 15, 15)),
            ("int4-narrow", (-7, 7, 15)),
            ("int1", (-1, 0, 1)),
            ("uint63", (0, (1 << 63) - 1, (1 << 63) - 1)),
        ],
    )
    def test_registers(self, text, expected):
        fmt = IntFormat.parse(text)
        assert store_arguments(fmt, Overflow.SATURATE) == (*expected, False)
        assert store_arguments(fmt, Overflow.WRAP) == (*expected, True)

    def test_no_register(self):
        """Where there is none, values stay exact: they are the very array."""
        values = np.array([1 << 62])
        assert store_in(None, values) is values


class TestAgainstOracle:
    @given(INT64, formats(), overflows)
    def test_store(self, values, fmt, overflow):
        if fmt.narrow:
            overflow = Overflow.SATURATE  # a narrow range never wraps
        expected = [oracle.store_format(v, fmt, overflow) for v in values.reshape(-1).tolist()]
        stored = store(values, fmt, overflow)
        assert stored.shape == values.shape
        assert stored.reshape(-1).tolist() == expected

    @given(INT64, registers)
    def test_store_in(self, values, register: RegisterSpec):
        expected = [
            oracle.store(v, register.bits, register.overflow) for v in values.reshape(-1).tolist()
        ]
        assert store_in(register, values).reshape(-1).tolist() == expected

    @given(stochastic_roundings, st.integers(0, 9))
    def test_noise(self, rounding, n):
        assert rounding_arguments(rounding, n)[1].tolist() == oracle.noise_values(rounding, n)

    @given(stochastic_roundings, st.integers(-999, 999), st.integers(0, 40))
    def test_stochastic_shift(self, rounding, value, shift):
        code, noise, bits = rounding_arguments(rounding, 1)
        rounded = narrow.shift_right_array(
            np.array([[[value]]]), np.array([shift]), code, noise, bits
        )
        x = Fraction(value, 1 << shift)
        assert rounded.item() == oracle.round_fraction(x, rounding, noise.item())


class TestLaws:
    def test_store_takes_any_memory_order(self):
        values = np.arange(12).reshape(3, 4).T[::-1]
        assert store(values, IntFormat(63), Overflow.WRAP).tolist() == values.tolist()
