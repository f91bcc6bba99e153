"""Tests for lsqsim.learn.operations.pooling against finite differences in float64."""

import numpy as np
import pytest

from float64_network import check_operation, pool
from lsqsim.learn.graph import AveragePoolNode, GlobalAveragePoolNode, MaxPoolNode
from lsqsim.learn.operations import build_operation

F = np.float32
NAMES = {"name": "pool", "source": "input"}


def operation_of(node, shape):
    return build_operation(node, shape, node.result_shape([shape]), np.random.default_rng(0))


def distinct(*shape):
    """Values that differ by far more than the finite differences move them."""
    size = int(np.prod(shape))
    return np.random.default_rng(0).permutation(size).reshape(shape).astype(F) / 8


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1, 1, 1)},
        {"kernel": (3, 2), "stride": (1, 2), "padding": (0, 2, 1, 0)},
        {"kernel": (1, 1), "stride": (3, 2)},
    ],
)
def test_max(options):
    node = MaxPoolNode(**NAMES, **options)
    check_operation(
        operation_of(node, (6, 7, 3)),
        lambda _, x: pool(x[0], node.kernel, node.stride, node.padding, np.max),
        [distinct(2, 6, 7, 3)],
    )


def test_of_equals_the_first_takes_the_gradient():
    operation = operation_of(MaxPoolNode(**NAMES), (2, 2, 1))
    operation.forward([np.zeros((1, 2, 2, 1), F)], training=True)
    [dx] = operation.backward(np.full((1, 1, 1, 1), 3, F))
    assert dx.reshape(-1).tolist() == [3, 0, 0, 0]


@pytest.mark.parametrize(
    "options",
    [{}, {"kernel": (3, 2), "stride": (1, 2)}, {"kernel": (2, 2), "stride": (3, 3)}],
)
def test_average(options):
    node = AveragePoolNode(**NAMES, **options)
    check_operation(
        operation_of(node, (6, 7, 3)),
        lambda _, x: pool(x[0], node.kernel, node.stride, (0, 0, 0, 0), np.mean),
        [distinct(2, 6, 7, 3)],
    )


def test_global_average():
    node = GlobalAveragePoolNode(**NAMES)
    check_operation(
        operation_of(node, (3, 5, 4)), lambda _, x: x[0].mean((1, 2)), [distinct(2, 3, 5, 4)]
    )


@pytest.mark.parametrize("node", [MaxPoolNode(**NAMES), AveragePoolNode(**NAMES)])
def test_gradients_do_not_pile_up(node):
    """The buffer of the gradient starts from 0 in every pass, also after a larger batch."""
    operation = operation_of(node, (4, 4, 2))
    x = distinct(2, 4, 4, 2)
    operation.forward([distinct(5, 4, 4, 2)], training=True)
    operation.backward(np.ones((5, 2, 2, 2), F))
    operation.forward([x], training=True)
    [dx] = operation.backward(np.ones((2, 2, 2, 2), F))
    assert dx.shape == x.shape
    assert dx.sum() == 16
