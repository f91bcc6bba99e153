"""Tests for lsqsim.learn.operations.elementwise."""

from typing import Any

import numpy as np
import pytest

from float64_network import check_operation
from lsqsim.formats import IntFormat
from lsqsim.learn.graph import AddNode, ConcatNode, FlattenNode, QuantizeNode, ReluNode
from lsqsim.learn.operations import build_operation

F = np.float32
RNG = np.random.default_rng(0)
TWO = {"name": "node", "source": "a", "other": "b"}
ONE = {"name": "node", "source": "input"}


def values(*shape, seed=1):
    """Away from 0, where a ReLU has a kink."""
    x = np.random.default_rng(seed).normal(size=shape)
    return (x + np.sign(x) * 0.01).astype(F)


def test_relu():
    operation = build_operation(ReluNode(**ONE), (4, 3), (4, 3), RNG)
    check_operation(operation, lambda _, x: np.maximum(x[0], 0), [values(2, 4, 3)])


def test_relu_has_no_gradient_at_zero_and_shows_nan():
    operation = build_operation(ReluNode(**ONE), (3,), (3,), RNG)
    y = operation.forward([np.array([[0, -0.0, np.nan]], F)], training=True)
    assert y[0, :2].tolist() == [0, 0]
    assert np.isnan(y[0, 2])
    assert operation.backward(np.ones((1, 3), F))[0][0, :2].tolist() == [0, 0]


def test_add():
    operation = build_operation(AddNode(**TWO), (3,), (3,), RNG)
    inputs = [values(2, 3), values(2, 3, seed=2)]
    check_operation(operation, lambda _, x: x[0] + x[1], inputs)


@pytest.mark.parametrize("shape", [(2,), (2, 3, 2)])
def test_concat(shape):
    other = (*shape[:-1], 4)
    operation = build_operation(ConcatNode(**TWO), shape, (*shape[:-1], 6), RNG)
    inputs = [values(2, *shape), values(2, *other, seed=2)]
    check_operation(operation, lambda _, x: np.concatenate(x, -1), inputs)


def test_flatten_keeps_the_order_h_w_c():
    operation = build_operation(FlattenNode(**ONE), (2, 3, 4), (24,), RNG)
    check_operation(operation, lambda _, x: x[0].reshape(len(x[0]), 24), [values(2, 2, 3, 4)])


class TestQuantize:
    def quantize(self) -> Any:
        node = QuantizeNode(**ONE, format=IntFormat(2, signed=False))
        return build_operation(node, (1,), (1,), RNG)

    def test_the_first_batch_starts_the_step_size(self):
        """2 * mean / sqrt(Q_P) = 2 * 1.5 / sqrt 3, and no later batch changes it."""
        operation = self.quantize()
        operation.forward([np.array([[1.0], [2.0]], F)], training=True)
        assert operation.quantizer.step_size == pytest.approx([3**0.5])
        operation.forward([np.array([[9.0], [9.0]], F)], training=True)
        assert operation.quantizer.step_size == pytest.approx([3**0.5])

    def test_evaluation_starts_nothing(self):
        operation = self.quantize()
        operation.forward([np.array([[1.0]], F)], training=False)
        assert not operation.quantizer.is_started

    def test_forward_and_backward(self):
        operation = self.quantize()
        operation.quantizer.set_step_size(1.0)
        y = operation.forward([np.array([[0.6], [5.0]], F)], training=True)
        assert y.tolist() == [[1.0], [3.0]]
        assert operation.backward(np.full((2, 1), 2, F))[0].tolist() == [[2.0], [0.0]]
