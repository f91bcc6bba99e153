"""Tests for the kernel that adds patches to images."""

import numpy as np

from lsqsim_kernels import columns

F = np.float32


def test_every_patch_goes_where_it_was_taken_from():
    """The indices of an image, taken as patches and added back: each times its count."""
    n, h, w, c = 2, 6, 7, 3
    (kh, kw), (sh, sw), (dh, dw) = (2, 3), (2, 1), (3, 2)
    oh, ow = (h - dh * (kh - 1) - 1) // sh + 1, (w - dw * (kw - 1) - 1) // sw + 1
    source = np.arange(n * h * w * c).reshape(n, h, w, c)
    patches = np.empty((n, oh, ow, kh, kw, c), F)
    count = np.zeros_like(source)
    for y in range(oh):
        for x in range(ow):
            rows = slice(y * sh, y * sh + dh * (kh - 1) + 1, dh)
            cols = slice(x * sw, x * sw + dw * (kw - 1) + 1, dw)
            patches[:, y, x] = source[:, rows, cols]
            count[:, rows, cols] += 1
    image = np.ones((n, h, w, c), F)
    columns.add_columns(patches, sh, sw, dh, dw, image)
    assert count.max() > 1
    assert (image == 1 + source * count).all()
