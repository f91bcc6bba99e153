"""Batch normalization of training: float32 (rows, channels), channels contiguous.

Sums over rows are float64, in the order of the rows.
"""

import numpy as np

from lsqsim_kernels._jit import kernel


@kernel
def add_moments(x, sums, squares):
    """Add the sums of x and of its square over the rows to ``sums`` and ``squares``, float64."""
    rows, channels = x.shape
    for i in range(rows):
        for c in range(channels):
            value = np.float64(x[i, c])
            sums[c] += value
            squares[c] += value * value


@kernel
def scale_and_shift(x, scale, shift, out):
    """``out`` = x * scale + shift, channel by channel; ``out`` may be ``x``."""
    rows, channels = x.shape
    for i in range(rows):
        for c in range(channels):
            out[i, c] = x[i, c] * scale[c] + shift[c]


@kernel
def add_gradient_sums(x, grad, mean, inverse_deviation, sums, products):
    """Add sum(grad) to ``sums``, and sum(grad * normalized x) to ``products``."""
    rows, channels = x.shape
    for i in range(rows):
        for c in range(channels):
            g = grad[i, c]
            sums[c] += np.float64(g)
            products[c] += np.float64(g * ((x[i, c] - mean[c]) * inverse_deviation[c]))


@kernel
def normalization_gradient(x, grad, mean, factor, mean_grad, slope, out):
    """``out`` = factor * (grad - mean_grad - (x - mean) * slope); ``out`` may be ``grad``."""
    rows, channels = x.shape
    for i in range(rows):
        for c in range(channels):
            out[i, c] = factor[c] * (grad[i, c] - mean_grad[c] - (x[i, c] - mean[c]) * slope[c])
