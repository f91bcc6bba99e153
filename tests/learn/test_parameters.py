"""Tests for lsqsim.learn.parameters."""

import numpy as np

from lsqsim.learn.parameters import Kind, Parameter


def test_values_and_gradients_are_float32_of_one_shape():
    parameter = Parameter("layer.weight", Kind.WEIGHT, np.arange(6.0).reshape(2, 3).T)
    assert parameter.value.dtype == parameter.grad.dtype == np.float32
    assert parameter.value.flags.c_contiguous
    assert parameter.value.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert (parameter.grad == np.zeros((3, 2))).all()


def test_parameters_are_compared_by_identity():
    a, b = (Parameter("x", Kind.BIAS, np.zeros(1)) for _ in range(2))
    assert a != b
