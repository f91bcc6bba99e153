"""Tests for lsqsim.learn.architectures: shapes, names, and work."""

import math

import pytest

from lsqsim.errors import SpecError
from lsqsim.learn.architectures import NAMES, architecture, perceptron, residual
from lsqsim.learn.graph import Conv2dNode, LinearNode


def multiply_accumulates(graph):
    """Of all layers, for one sample."""
    shapes = graph.shapes()
    total = 0
    for node in graph.nodes:
        if isinstance(node, Conv2dNode):
            inputs = shapes[node.source][2] // node.groups
            total += math.prod(shapes[node.name]) * math.prod(node.kernel) * inputs
        elif isinstance(node, LinearNode):
            total += shapes[node.source][0] * node.features
    return total


def test_the_residual_network():
    """12.3 million, as docs and README say."""
    graph = residual((32, 32, 3), 10)
    assert multiply_accumulates(graph) == 12_281_088
    shapes = graph.shapes()
    assert shapes["stem"] == (16, 16, 32)
    assert [shapes[f"block{i}_relu"] for i in (1, 2, 3)] == [
        (16, 16, 32), (8, 8, 64), (4, 4, 128),
    ]  # fmt: skip
    assert (shapes["pool"], shapes["classifier"]) == ((128,), (10,))
    names = [node.name for node in graph.nodes]
    assert "block1_shortcut" not in names
    assert {"block2_shortcut", "block3_shortcut"} <= set(names)


def test_a_stem_of_stride_one():
    graph = residual((32, 32, 3), 10, (16, 32, 64), stem_stride=1)
    assert graph.shapes()["stem"] == (32, 32, 16)
    assert multiply_accumulates(graph) == pytest.approx(12.5e6, rel=0.01)  # MLPerf Tiny's ResNet-8


def test_the_perceptron():
    graph = perceptron((8, 8, 1), 10)
    assert [node.name for node in graph.nodes] == [
        "flatten", "layer1", "relu1", "layer2", "relu2", "layer3",
    ]  # fmt: skip
    assert list(graph.shapes().values()) == [(8, 8, 1), (64,), (64,), (64,), (32,), (32,), (10,)]
    assert [node.name for node in perceptron((5,), 2, (3,)).nodes] == ["layer1", "relu1", "layer2"]


@pytest.mark.parametrize("name", NAMES)
def test_by_name(name):
    graph = architecture(name, (32, 32, 3), 7)
    assert graph.shapes()[graph.nodes[-1].name] == (7,)


def test_refusals():
    with pytest.raises(
        SpecError, match="there is no network 'vgg'; named ones are perceptron, resi"
    ):
        architecture("vgg", (32, 32, 3), 10)
