"""Tests for lsqsim_kernels.quantize: which step size, zero point and noise an element takes."""

import math
from fractions import Fraction

import numpy as np
import pytest

from lsqsim_kernels import narrow
from lsqsim_kernels.quantize import quantize_by_division, quantize_by_reciprocal


@pytest.mark.parametrize("kernel", [quantize_by_division, quantize_by_reciprocal])
def test_element_takes_its_channels_parameters_and_its_own_noise(kernel):
    """Element (o, c, i) takes step[c], zero_point[c], noise (o * channels + c) * inner + i."""
    outer, channels, inner = 2, 3, 5
    size = outer * channels * inner
    values = np.arange(size, dtype=np.float64).reshape(outer, channels, inner) / 8 - 1.5
    step = np.array([0.5, 2.0, 1.0])
    zero = np.array([0, -3, 5])
    noise = np.arange(size) * 8
    factor = step if kernel is quantize_by_division else 1 / step
    codes = kernel(values, factor, zero, -100, 100, narrow.STOCHASTIC, noise, 8)
    for (o, c, i), value in np.ndenumerate(values):
        r = Fraction(int(noise[(o * channels + c) * inner + i]), 256)
        exact = Fraction(float(value)) / Fraction(float(step[c]))
        assert codes[o, c, i] == math.floor(exact + r) + zero[c]
