"""Pooling windows of training: float32 (n, h, w, channels), channels contiguous."""

import numpy as np

from lsqsim_kernels._jit import kernel


@kernel
def max_pool(image, kernel_h, kernel_w, stride_h, stride_w, top, left, out, winner):
    """Largest of every window, and which of its positions it came from: the first of equals.

    Positions beyond the image (``top`` and ``left`` rows and columns of padding) never win.
    ``out`` is float32 and ``winner`` int32 (n, out_h, out_w, channels).
    """
    n, height, width, channels = image.shape
    out_h, out_w = out.shape[1], out.shape[2]
    for b in range(n):
        for y in range(out_h):
            for x in range(out_w):
                out[b, y, x] = -np.inf
                winner[b, y, x] = -1
                for p in range(kernel_h):
                    row = y * stride_h + p - top
                    if row < 0 or row >= height:
                        continue
                    for q in range(kernel_w):
                        column = x * stride_w + q - left
                        if column < 0 or column >= width:
                            continue
                        for c in range(channels):
                            value = image[b, row, column, c]
                            best = out[b, y, x, c]
                            # NaN wins and is not beaten, so that it is seen.
                            if winner[b, y, x, c] < 0 or value > best or np.isnan(value):
                                out[b, y, x, c] = value
                                winner[b, y, x, c] = p * kernel_w + q


@kernel
def max_pool_gradient(grad, winner, kernel_w, stride_h, stride_w, top, left, image):
    """Add the gradient of every window to the position that won it."""
    n, out_h, out_w, channels = grad.shape
    for b in range(n):
        for y in range(out_h):
            for x in range(out_w):
                for c in range(channels):
                    p, q = divmod(winner[b, y, x, c], kernel_w)
                    image[b, y * stride_h + p - top, x * stride_w + q - left, c] += grad[b, y, x, c]


@kernel
def average_pool(image, kernel_h, kernel_w, stride_h, stride_w, out):
    """Mean of every window; no padding. Sums are float32, window row by row."""
    n, out_h, out_w, channels = out.shape
    share = np.float32(1.0 / (kernel_h * kernel_w))
    for b in range(n):
        for y in range(out_h):
            for x in range(out_w):
                out[b, y, x] = 0.0
                for p in range(kernel_h):
                    for q in range(kernel_w):
                        source = image[b, y * stride_h + p, x * stride_w + q]
                        for c in range(channels):
                            out[b, y, x, c] += source[c]
                for c in range(channels):
                    out[b, y, x, c] *= share


@kernel
def average_pool_gradient(grad, kernel_h, kernel_w, stride_h, stride_w, image):
    """Add to every position of each window its share of the window's gradient."""
    n, out_h, out_w, channels = grad.shape
    share = np.float32(1.0 / (kernel_h * kernel_w))
    for b in range(n):
        for y in range(out_h):
            for x in range(out_w):
                for p in range(kernel_h):
                    for q in range(kernel_w):
                        target = image[b, y * stride_h + p, x * stride_w + q]
                        for c in range(channels):
                            target[c] += grad[b, y, x, c] * share
