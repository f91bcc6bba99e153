"""From columns of patches back to images: the gradient of a convolution by its input."""

from lsqsim_kernels._jit import kernel


@kernel
def add_columns(columns, stride_h, stride_w, dilation_h, dilation_w, image):
    """Add every patch to the place it was taken from.

    ``columns`` is float32 (n, out_h, out_w, kernel_h, kernel_w, channels), ``image`` float32
    (n, padded height, padded width, channels).
    """
    n, out_h, out_w, kernel_h, kernel_w, channels = columns.shape
    for b in range(n):
        for y in range(out_h):
            for x in range(out_w):
                for p in range(kernel_h):
                    for q in range(kernel_w):
                        row = image[b, y * stride_h + p * dilation_h, x * stride_w + q * dilation_w]
                        patch = columns[b, y, x, p, q]
                        for c in range(channels):
                            row[c] += patch[c]
