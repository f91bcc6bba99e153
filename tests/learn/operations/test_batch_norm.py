"""Tests for lsqsim.learn.operations.batch_norm against finite differences in float64."""

from typing import Any

import numpy as np
import pytest

from float64_network import batch_norm, check_operation
from lsqsim.errors import DataError
from lsqsim.learn.graph import BatchNormNode
from lsqsim.learn.operations import build_operation

F = np.float32


def normalization(channels=3, **options) -> Any:
    node = BatchNormNode(name="norm", source="input", **options)
    operation: Any = build_operation(node, (channels,), (channels,), np.random.default_rng(0))
    operation.gamma.value[:] = np.linspace(0.5, 2, channels)
    operation.beta.value[:] = np.linspace(-1, 1, channels)
    operation.mean[:] = np.linspace(-0.5, 0.5, channels)
    operation.variance[:] = np.linspace(0.5, 4, channels)
    return operation


def values(*shape, seed=1):
    return np.random.default_rng(seed).normal(1.0, 2.0, shape).astype(F)


@pytest.mark.parametrize("shape", [(5, 3), (2, 2, 3, 3), (2, 3)])
def test_training(shape):
    def replica(p, x):
        return batch_norm(x[0], p["norm.gamma"], p["norm.beta"], 1e-5)

    check_operation(normalization(), replica, [values(*shape)], atol=1e-4)


@pytest.mark.parametrize("mode", ["evaluation", "frozen"])
def test_running_statistics(mode):
    operation = normalization(epsilon=0.25)
    moments = operation.mean.astype(np.float64), operation.variance.astype(np.float64)
    operation.is_frozen = mode == "frozen"

    def replica(p, x):
        return batch_norm(x[0], p["norm.gamma"], p["norm.beta"], 0.25, moments)

    check_operation(operation, replica, [values(2, 2, 3, 3)], training=mode == "frozen")
    assert (operation.mean == moments[0]).all()
    assert (operation.variance == moments[1]).all()


def test_one_value_is_enough_for_running_statistics():
    operation = normalization()
    assert operation.forward([values(1, 3)], training=False).shape == (1, 3)


def test_running_statistics_follow():
    """Values 1, 1, 1 and 5: mean 2, variance 3, unbiased 4; a momentum of one quarter."""
    operation = normalization(1, momentum=0.25)
    operation.mean[:], operation.variance[:] = 0, 1
    operation.forward([np.array([[1], [1], [1], [5]], F)], training=True)
    assert (operation.mean.tolist(), operation.variance.tolist()) == ([0.5], [1.75])
    statistics = operation.statistics()
    assert statistics["norm.mean"] is operation.mean
    assert statistics["norm.variance"] is operation.variance


def test_a_constant_channel():
    """Its variance is 0, and rounding never makes it negative."""
    operation = normalization(1)
    y = operation.forward([np.full((7, 1), 0.1, F)], training=True)
    assert np.allclose(y, operation.beta.value, atol=1e-3)


def test_one_value_a_channel_is_refused():
    message = "norm: batch normalization needs at least 2 values a channel in training, got 1: use"
    with pytest.raises(DataError, match=message):
        normalization().forward([values(1, 3)], training=True)
