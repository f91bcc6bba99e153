"""Tests for lsqsim.learn.operations.linear."""

from typing import Any

import numpy as np
import pytest

from float64_network import check_operation
from lsqsim.learn.graph import Bias, LinearNode
from lsqsim.learn.operations import build_operation

F = np.float32


def linear(k, features, bias) -> Any:
    node = LinearNode(name="layer", source="input", features=features, bias=bias)
    return build_operation(node, (k,), (features,), np.random.default_rng(0))


@pytest.mark.parametrize("bias", Bias)
@pytest.mark.parametrize(("n", "k", "features"), [(4, 5, 3), (1, 1, 1), (3, 1, 4)])
def test_finite_differences(bias, n, k, features):
    operation = linear(k, features, bias)
    if operation.weights.bias is not None:
        operation.weights.bias.value[:] = np.arange(features) / 4
    x = np.random.default_rng(1).normal(size=(n, k)).astype(F)
    check_operation(
        operation, lambda p, x: x[0] @ p["layer.weight"] + p.get("layer.bias", 0.0), [x]
    )


def test_gradients_add_up_and_may_be_left_out():
    operation = linear(1, 1, Bias.LEARNED)
    operation.needs_input_gradient = False
    for _ in range(2):
        operation.forward([np.full((1, 1), 3, F)], training=True)
        assert operation.backward(np.ones((1, 1), F)) == [None]
    assert [p.grad.reshape(-1).tolist() for p in operation.parameters] == [[6.0], [2.0]]
