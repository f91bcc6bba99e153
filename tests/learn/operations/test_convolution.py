"""Tests for lsqsim.learn.operations.convolution against finite differences in float64."""

from typing import Any

import numpy as np
import pytest

from float64_network import check_operation, conv2d
from lsqsim.formats import IntFormat
from lsqsim.learn.graph import Bias, Conv2dNode, WeightQuantizer
from lsqsim.learn.operations import build_operation, convolution

F = np.float32


def convolve(shape, *, seed=0, **options) -> tuple[Conv2dNode, Any]:
    """The node and its operation, for images of ``shape``."""
    node = Conv2dNode(**{"name": "conv", "source": "input"} | options)
    result = node.result_shape([shape])
    return node, build_operation(node, shape, result, np.random.default_rng(seed))


def images(n, shape, seed=1):
    return np.random.default_rng(seed).normal(size=(n, *shape)).astype(F)


CASES = [
    {"channels": 4},
    {"channels": 4, "kernel": (1, 1)},
    {"channels": 4, "kernel": (1, 1), "stride": (2, 1)},
    {"channels": 4, "kernel": (1, 1), "padding": (1, 0, 0, 2), "bias": Bias.LEARNED},
    {"channels": 4, "kernel": (2, 3), "stride": (2, 1), "padding": (1, 0, 2, 1)},
    {"channels": 4, "kernel": (2, 2), "dilation": (2, 3), "padding": (0, 1, 1, 1)},
    {"channels": 6, "groups": 2, "padding": (1, 1, 1, 1), "bias": Bias.LEARNED},
    {"channels": 4, "groups": 4, "stride": (2, 2), "padding": (1, 1, 1, 1)},
    {"channels": 8, "groups": 4, "kernel": (2, 1), "dilation": (2, 1)},
    {"channels": 4, "groups": 2, "kernel": (1, 1)},
]


@pytest.mark.parametrize("options", CASES, ids=[str(i) for i in range(len(CASES))])
def test_finite_differences(options):
    node, operation = convolve((5, 6, 4), **options)
    if operation.weights.bias is not None:
        operation.weights.bias.value[:] = np.arange(node.channels) / 4

    def replica(parameters, inputs):
        y = conv2d(inputs[0], parameters["conv.weight"], node)
        return y + parameters.get("conv.bias", 0.0)

    check_operation(operation, replica, [images(2, (5, 6, 4))])


@pytest.mark.parametrize("groups", [1, 2])
def test_padding_value(groups):
    """What stands around the image is what a real 0 becomes; it gets no gradient."""
    node, operation = convolve((3, 3, 2), channels=2, groups=groups, padding=(1, 1, 1, 1))
    operation.padding_value = lambda: 0.25

    def replica(parameters, inputs):
        return conv2d(inputs[0], parameters["conv.weight"], node, 0.25)

    check_operation(operation, replica, [images(2, (3, 3, 2))])


def test_on_paper():
    """[1 2 3] with weights [10 1], and gradient [1 2]."""
    _, operation = convolve((1, 3, 1), channels=1, kernel=(1, 2))
    operation.weights.weight.value[:] = np.array([10, 1], F).reshape(1, 2, 1, 1)
    y = operation.forward([np.array([1, 2, 3], F).reshape(1, 1, 3, 1)], training=True)
    assert y.reshape(-1).tolist() == [12, 23]
    [dx] = operation.backward(np.array([1, 2], F).reshape(1, 1, 2, 1))
    assert dx.reshape(-1).tolist() == [10, 21, 2]
    assert operation.weights.weight.grad.reshape(-1).tolist() == [5, 8]


@pytest.mark.parametrize("options", CASES, ids=[str(i) for i in range(len(CASES))])
def test_blocks_change_nothing(options, monkeypatch):
    """Integers, so that every sum is exact: any block gives the same bits."""
    rng = np.random.default_rng(0)
    x = rng.integers(-8, 8, (5, 5, 6, 4)).astype(F)
    results = []
    for block in (convolution._BLOCK_VALUES, 1, 2 * 5 * 6 * 9):
        monkeypatch.setattr(convolution, "_BLOCK_VALUES", block)
        _, operation = convolve((5, 6, 4), **options)
        weight = operation.weights.weight
        weight.value[:] = np.random.default_rng(1).integers(-8, 8, weight.value.shape)
        y = operation.forward([x], training=True).copy()
        grad = np.random.default_rng(2).integers(-4, 4, y.shape).astype(F)
        [dx] = operation.backward(grad)
        results.append((y, dx.copy(), weight.grad))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert (a == b).all()


def test_forward_does_not_depend_on_blocks(monkeypatch):
    """A row of a matrix product is summed alike in any block, up to the processor's rounding."""
    x = images(9, (8, 8, 3))
    _, operation = convolve((8, 8, 3), channels=8, padding=(1, 1, 1, 1))
    whole = operation.forward([x], training=True).copy()
    monkeypatch.setattr(convolution, "_BLOCK_VALUES", 1)
    np.testing.assert_allclose(operation.forward([x], training=True), whole, rtol=0, atol=1e-5)


def test_gradients_that_nobody_needs_are_left_out():
    _, operation = convolve((3, 3, 2), channels=2)
    operation.needs_input_gradient = False
    operation.forward([images(1, (3, 3, 2))], training=True)
    assert operation.backward(np.ones((1, 1, 1, 2), F)) == [None]
    assert operation.weights.weight.grad.any()


def test_quantized_weights_are_applied():
    """int2 of step 1: codes -2 .. 1; N = 4 weights."""
    weights = WeightQuantizer(format=IntFormat(2))
    _, operation = convolve((1, 1, 4), channels=1, kernel=(1, 1), weights=weights)
    operation.weights.weight.value.reshape(-1)[:] = [-9, -0.75, 0.25, 0.75]
    operation.weights.quantizer.set_step_size(1.0)
    x = np.array([1, 10, 100, 1000], F).reshape(1, 1, 1, 4)
    assert operation.forward([x], training=True).reshape(-1).tolist() == [-2 - 10 + 1000]
    operation.backward(np.ones((1, 1, 1, 1), F))
    assert operation.weights.weight.grad.reshape(-1).tolist() == [0, 10, 100, 1000]
    step = 1 * -2 + 10 * -0.25 + 100 * -0.25 + 1000 * 0.25
    assert operation.weights.quantizer.step.grad == pytest.approx([step / 4**0.5])


def test_two_batches_of_different_sizes():
    """Buffers are taken again: what an earlier, larger batch left in them is not seen."""
    options = {"channels": 4, "groups": 2, "padding": (1, 0, 2, 1), "dilation": (2, 1)}
    _, reused = convolve((5, 6, 4), **options)
    reused.forward([images(7, (5, 6, 4), seed=2)], training=True)
    reused.backward(np.ones((7, *reused._out_size, 4), F))
    reused.weights.weight.grad[:] = 0
    _, fresh = convolve((5, 6, 4), **options)
    x = images(3, (5, 6, 4))
    grad = np.random.default_rng(3).normal(size=(3, *fresh._out_size, 4)).astype(F)
    results = []
    for operation in (reused, fresh):
        y = operation.forward([x], training=True).copy()
        results.append((y, operation.backward(grad)[0], operation.weights.weight.grad))
    for a, b in zip(*results, strict=True):
        assert (a == b).all()
