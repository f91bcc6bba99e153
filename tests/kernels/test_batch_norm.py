"""Tests for the kernels of batch normalization, on paper."""

import numpy as np

from lsqsim_kernels import batch_norm

F = np.float32
X = np.array([[1, 10], [3, 30]], F)


def test_moments_are_added_in_float64():
    sums, squares = np.array([1.0, 0.0]), np.zeros(2)
    batch_norm.add_moments(X, sums, squares)
    assert (sums.tolist(), squares.tolist()) == ([5, 40], [10, 1000])
    sums, squares = np.zeros(1), np.zeros(1)
    batch_norm.add_moments(np.array([[4097], [1]], F), sums, squares)
    assert squares.tolist() == [4097**2 + 1]  # neither is a float32 number


def test_scale_and_shift_in_place():
    x = X.copy()
    batch_norm.scale_and_shift(x, np.array([2, 0.5], F), np.array([1, -1], F), x)
    assert x.tolist() == [[3, 4], [7, 14]]


def test_gradient_sums():
    """Normalized x is -1, 1 in both channels."""
    sums, products = np.array([0.0, 1.0]), np.array([0.0, 1.0])
    grad = np.array([[1, 2], [5, 4]], F)
    mean, inverse = np.array([2, 20], F), np.array([1, 0.1], F)
    batch_norm.add_gradient_sums(X, grad, mean, inverse, sums, products)
    assert (sums.tolist(), products.tolist()) == ([6, 7], [4, 3])


def test_normalization_gradient():
    grad = np.array([[1, 2], [5, 4]], F)
    mean, factor = np.array([2, 20], F), np.array([2, 10], F)
    mean_grad, slope = np.array([3, 3], F), np.array([0.5, 0.25], F)
    batch_norm.normalization_gradient(X, grad, mean, factor, mean_grad, slope, grad)
    assert grad.tolist() == [[-3, 15], [3, -15]]
