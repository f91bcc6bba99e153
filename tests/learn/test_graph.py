"""Tests for lsqsim.learn.graph: shapes, TOML, and every refusal."""

import re

import pytest
from hypothesis import given

from learn_strategies import graphs
from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat
from lsqsim.learn.graph import (
    AddNode,
    AveragePoolNode,
    BatchNormNode,
    ConcatNode,
    Conv2dNode,
    FlattenNode,
    GlobalAveragePoolNode,
    GraphSpec,
    LinearNode,
    MaxPoolNode,
    QuantizeNode,
    ReluNode,
    WeightQuantizer,
)
from lsqsim.learn.rule import Method, StepRule

ONE = {"name": "node", "source": "input"}
UINT4 = IntFormat(4, signed=False)


def shape_behind(node, *shapes):
    """Of one node on the input; a second shape is made by a linear layer or a convolution."""
    return GraphSpec(input_shape=shapes[0], nodes=(node,)).shapes()["node"]


class TestShapes:
    @pytest.mark.parametrize(
        ("node", "source", "expected"),
        [
            (LinearNode(**ONE, features=7), (5,), (7,)),
            (Conv2dNode(**ONE, channels=6), (8, 9, 4), (6, 7, 6)),
            (Conv2dNode(**ONE, channels=6, stride=(2, 3)), (8, 9, 4), (3, 3, 6)),
            (Conv2dNode(**ONE, channels=6, padding=(1, 2, 0, 3)), (8, 9, 4), (9, 10, 6)),
            (Conv2dNode(**ONE, channels=6, dilation=(3, 4)), (7, 9, 4), (1, 1, 6)),
            (Conv2dNode(**ONE, channels=6, kernel=(1, 2), groups=2), (8, 9, 4), (8, 8, 6)),
            (BatchNormNode(**ONE), (8, 9, 4), (8, 9, 4)),
            (ReluNode(**ONE), (5,), (5,)),
            (MaxPoolNode(**ONE), (8, 9, 4), (4, 4, 4)),
            (MaxPoolNode(**ONE, kernel=(3, 3), padding=(1, 1, 2, 2)), (8, 9, 4), (4, 6, 4)),
            (AveragePoolNode(**ONE, kernel=(3, 2), stride=(1, 3)), (8, 9, 4), (6, 3, 4)),
            (AveragePoolNode(**ONE), (8, 9, 4), (4, 4, 4)),
            (GlobalAveragePoolNode(**ONE), (8, 9, 4), (4,)),
            (FlattenNode(**ONE), (8, 9, 4), (288,)),
            (FlattenNode(**ONE), (5,), (5,)),
            (AddNode(**ONE, other="input"), (8, 9, 4), (8, 9, 4)),
            (ConcatNode(**ONE, other="input"), (8, 9, 4), (8, 9, 8)),
            (ConcatNode(**ONE, other="input"), (5,), (10,)),
            (QuantizeNode(**ONE, format=UINT4), (8, 9, 4), (8, 9, 4)),
        ],
    )
    def test_behind_each_node(self, node, source, expected):
        assert shape_behind(node, source) == expected

    def test_concat_of_different_channels(self):
        conv = Conv2dNode(name="conv", source="input", channels=6, kernel=(1, 1))
        joined = ConcatNode(name="both", source="input", other="conv")
        assert graph(conv, joined).shapes()["both"] == (8, 9, 10)

    def test_node_and_consumers(self):
        relu = ReluNode(name="relu", source="input")
        add = AddNode(name="add", source="relu", other="input")
        graph = GraphSpec(input_shape=(3,), nodes=(relu, add))
        assert graph.node("add") is add
        assert graph.consumers("input") == [relu, add]
        assert graph.consumers("add") == []
        assert add.sources == ("relu", "input")


class TestToml:
    @given(graphs())
    def test_reads_back_equal(self, graph):
        assert GraphSpec.from_toml(graph.to_toml()) == graph

    def test_text(self):
        """Each node says its kind; defaults may be left out."""
        text = """
            input_shape = [4, 4, 1]
            [[nodes]]
            kind = "conv2d"
            name = "conv"
            source = "input"
            channels = 2
            weights = { format = "int4", rule = { method = "tqt" } }
            [[nodes]]
            kind = "batch_norm"
            name = "norm"
            source = "conv"
            momentum = 1
            [[nodes]]
            kind = "add"
            name = "sum"
            source = "norm"
            other = "conv"
            [[nodes]]
            kind = "global_average_pool"
            name = "pool"
            source = "sum"
        """
        weights = WeightQuantizer(format=IntFormat(4), rule=StepRule(method=Method.TQT))
        assert GraphSpec.from_toml(text) == GraphSpec(
            input_shape=(4, 4, 1),
            nodes=(
                Conv2dNode(name="conv", source="input", channels=2, weights=weights),
                BatchNormNode(name="norm", source="conv", momentum=1.0),
                AddNode(name="sum", source="norm", other="conv"),
                GlobalAveragePoolNode(name="pool", source="sum"),
            ),
        )

    def test_unknown_kind(self):
        kinds = (
            "linear, conv2d, batch_norm, relu, max_pool, average_pool, global_average_pool, "
            "flatten, add, concat, quantize"
        )
        message = rf"nodes\[0\]\.kind must be one of {kinds}, got 'lstm'"
        with pytest.raises(SpecError, match=message):
            GraphSpec.from_toml('input_shape = [4]\nnodes = [{ kind = "lstm" }]')

    def test_an_error_names_its_key(self):
        text = 'input_shape = [4]\nnodes = [{ kind = "relu", name = 3, source = "input" }]'
        with pytest.raises(SpecError, match=r"nodes\[0\]\.name must be a string, got 3"):
            GraphSpec.from_toml(text)


def graph(*nodes, shape=(8, 9, 4)):
    return GraphSpec(input_shape=shape, nodes=nodes)


REFUSALS = [
    (graph, "a network needs at least one node"),
    (
        lambda: graph(ReluNode(**ONE), shape=(3, 4)),
        "input_shape must be (h, w, c) or (features,), each 1 or more, got (3, 4)",
    ),
    (lambda: graph(ReluNode(**ONE), shape=()), "each 1 or more, got ()"),
    (lambda: graph(ReluNode(**ONE), shape=(0,)), "each 1 or more, got (0,)"),
    (
        lambda: graph(ReluNode(**ONE), ReluNode(**ONE)),
        "node names are unique, not empty and without dots, got 'node'",
    ),
    (lambda: graph(ReluNode(name="", source="input")), "without dots, got ''"),
    (lambda: graph(ReluNode(name="a.b", source="input")), "without dots, got 'a.b'"),
    (lambda: graph(ReluNode(name="input", source="input")), "without dots, got 'input'"),
    (
        lambda: graph(ReluNode(name="node", source="later")),
        "node takes 'later', which no node before it is called",
    ),
    (lambda: graph(ReluNode(name="node", source="node")), "node takes 'node', which no node"),
    (lambda: graph(AddNode(**ONE, other="x")), "node takes 'x', which no node before it"),
    (
        lambda: graph(LinearNode(**ONE, features=2)),
        "node takes a vector (features,): flatten it first, got (8, 9, 4)",
    ),
    (
        lambda: graph(Conv2dNode(**ONE, channels=2), shape=(5,)),
        "node takes an image (h, w, c), got (5,)",
    ),
    (lambda: graph(MaxPoolNode(**ONE), shape=(5,)), "node takes an image"),
    (lambda: graph(AveragePoolNode(**ONE), shape=(5,)), "node takes an image"),
    (lambda: graph(GlobalAveragePoolNode(**ONE), shape=(5,)), "node takes an image"),
    (
        lambda: graph(Conv2dNode(**ONE, channels=4, groups=3)),
        "node: groups must divide the channels, got 3 groups for 4 input and 4 output channels",
    ),
    (lambda: graph(Conv2dNode(**ONE, channels=3, groups=2)), "groups must divide the channels"),
    (
        lambda: graph(Conv2dNode(**ONE, channels=2, kernel=(9, 1))),
        "node: a window of 9 x 1 does not fit an image of 8 x 9 with padding (0, 0, 0, 0)",
    ),
    (
        lambda: graph(Conv2dNode(**ONE, channels=2, dilation=(1, 5), padding=(0, 0, 0, 1))),
        "node: a window of 3 x 11 does not fit an image of 8 x 9 with padding (0, 0, 0, 1)",
    ),
    (lambda: graph(MaxPoolNode(**ONE, kernel=(9, 9))), "a window of 9 x 9 does not fit"),
    (lambda: graph(AveragePoolNode(**ONE, kernel=(1, 10))), "a window of 1 x 10 does not fit"),
    (
        lambda: graph(FlattenNode(name="flat", source="input"), AddNode(**ONE, other="flat")),
        "node adds values of one shape, got (8, 9, 4), (288,)",
    ),
    (
        lambda: graph(MaxPoolNode(name="half", source="input"), ConcatNode(**ONE, other="half")),
        "node joins channels of images of one size, got (8, 9, 4), (4, 4, 4)",
    ),
    (lambda: graph(ReluNode(**ONE)).node("x"), "there is no node 'x': node"),
    (lambda: LinearNode(**ONE, features=0), "node: features must be 1 or more, got 0"),
    (lambda: Conv2dNode(**ONE, channels=0), "node: channels must be 1 or more, got 0"),
    (lambda: Conv2dNode(**ONE, channels=1, groups=0), "groups must be 1 or more, got 0"),
    (lambda: Conv2dNode(**ONE, channels=1, kernel=(3, 0)), "kernel must be 1 or more, got 0"),
    (lambda: Conv2dNode(**ONE, channels=1, stride=(0, 1)), "stride must be 1 or more, got 0"),
    (lambda: Conv2dNode(**ONE, channels=1, dilation=(1, 0)), "dilation must be 1 or more, got 0"),
    (
        lambda: Conv2dNode(**ONE, channels=1, padding=(0, 0, -1, 0)),
        "node: padding must be 0 or more, got -1",
    ),
    (lambda: BatchNormNode(**ONE, momentum=1.5), "node: momentum must be in 0..1, got 1.5"),
    (lambda: BatchNormNode(**ONE, momentum=float("nan")), "momentum must be in 0..1, got nan"),
    (lambda: BatchNormNode(**ONE, epsilon=0.0), "epsilon must be finite and above 0, got 0.0"),
    (lambda: MaxPoolNode(**ONE, kernel=(0, 2)), "node: kernel must be 1 or more, got 0"),
    (lambda: MaxPoolNode(**ONE, stride=(2, 0)), "node: stride must be 1 or more, got 0"),
    (lambda: MaxPoolNode(**ONE, padding=(0, -1, 0, 0)), "padding must be 0 or more, got -1"),
    (
        lambda: MaxPoolNode(**ONE, padding=(0, 2, 0, 0)),
        "node: padding must be smaller than the window, got (0, 2, 0, 0), (2, 2)",
    ),
    (lambda: MaxPoolNode(**ONE, padding=(0, 0, 2, 0)), "padding must be smaller than the window"),
    (lambda: AveragePoolNode(**ONE, kernel=(2, 0)), "node: kernel must be 1 or more, got 0"),
    (lambda: AveragePoolNode(**ONE, stride=(0, 1)), "node: stride must be 1 or more, got 0"),
    (lambda: QuantizeNode(**ONE, format=IntFormat(17)), "codes of at most 16 bits"),
    (lambda: WeightQuantizer(format=IntFormat(1)), "int1 has no positive code"),
]


class TestRefusals:
    @pytest.mark.parametrize(("build", "message"), REFUSALS, ids=[m for _, m in REFUSALS])
    def test_message(self, build, message):
        with pytest.raises(SpecError, match=re.escape(message)):
            build()

    def test_just_legal(self):
        """The other side of each limit."""
        graph(Conv2dNode(**ONE, channels=1, kernel=(8, 9)))
        graph(Conv2dNode(**ONE, channels=2, dilation=(1, 5), padding=(0, 0, 1, 1)))
        graph(AveragePoolNode(**ONE, kernel=(8, 9)))
        MaxPoolNode(**ONE, padding=(1, 1, 1, 1))
        BatchNormNode(**ONE, momentum=0.0)
        BatchNormNode(**ONE, momentum=1.0)
