"""Tests for lsqsim.tensor: what codes mean."""

from fractions import Fraction

import numpy as np
import pytest

from lsqsim.formats import IntFormat
from lsqsim.tensor import QTensor

CODES = np.array([[[-8, 7], [0, 1]], [[2, 3], [4, 5]]])


def tensor(step, zero_point, axis=None):
    return QTensor(
        codes=CODES, format=IntFormat(4), step_size=np.array(step),
        zero_point=np.array(zero_point), channel_axis=axis,
    )  # fmt: skip


class TestWorkedExamples:
    def test_one_step(self):
        assert tensor(0.25, 3).dequantize().tolist() == [
            [[-2.75, 1.0], [-0.75, -0.5]],
            [[-0.25, 0.0], [0.25, 0.5]],
        ]

    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_one_step_a_channel(self, axis):
        reals = np.moveaxis(tensor([0.5, 2.0], [1, -1], axis).dequantize(), axis, 0)
        codes = np.moveaxis(CODES, axis, 0)
        assert reals[0].tolist() == ((codes[0] - 1) * 0.5).tolist()
        assert reals[1].tolist() == ((codes[1] + 1) * 2.0).tolist()


class TestAgainstOracle:
    @pytest.mark.parametrize("step", [0.1, 1 / 3, 1e-30])
    def test_rounded_once(self, step):
        exact = [(c - 3) * Fraction(step) for c in CODES.reshape(-1).tolist()]
        reals = tensor(step, 3).dequantize().reshape(-1).tolist()
        assert reals == [float(x) for x in exact]


class TestLaws:
    def test_dtype_and_shape(self):
        reals = tensor(1.0, 0).dequantize()
        assert reals.dtype == np.float64
        assert reals.shape == CODES.shape

    def test_frozen(self):
        with pytest.raises(AttributeError):
            tensor(1.0, 0).codes = CODES  # pyright: ignore[reportAttributeAccessIssue]
