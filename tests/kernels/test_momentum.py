"""Tests for the kernel of gradient descent against float64 arithmetic."""

import numpy as np

from lsqsim_kernels import momentum


def test_two_updates_by_hand():
    """v = 1, p = 2 - 0.5; then v = 0.5 * 1 + 1 + 0.25 * 1.5 and p falls by half of it."""
    value, velocity, grad = (np.array([x], np.float32) for x in (2.0, 0.0, 0.5))
    rate, keep, decay = np.float32(0.5), np.float32(0.5), np.float32(0.25)
    momentum.descend(value, velocity, grad, rate, keep, decay)
    assert (value[0], velocity[0]) == (1.5, 1.0)
    grad[:] = 1.0
    momentum.descend(value, velocity, grad, rate, keep, decay)
    assert (value[0], velocity[0]) == (1.5 - 0.5 * 1.875, 1.875)


def test_every_element():
    rng = np.random.default_rng(0)
    value, velocity, grad = (rng.normal(size=1001).astype(np.float32) for _ in range(3))
    wide = [x.astype(np.float64) for x in (value, velocity, grad)]
    rate, keep, decay = (np.float32(x) for x in (0.1, 0.9, 1e-2))
    momentum.descend(value, velocity, grad, rate, keep, decay)
    v = float(keep) * wide[1] + wide[2] + float(decay) * wide[0]
    np.testing.assert_allclose(velocity, v, rtol=0, atol=1e-6)
    np.testing.assert_allclose(value, wide[0] - float(rate) * v, rtol=0, atol=1e-6)
    assert (grad == wide[2]).all()
