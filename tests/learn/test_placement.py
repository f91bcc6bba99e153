"""Tests for lsqsim.learn.placement: networks as tables of where quantizers stand."""

from dataclasses import replace

import pytest

from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat
from lsqsim.learn.architectures import perceptron, residual
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
from lsqsim.learn.model import Model
from lsqsim.learn.placement import InputSign, QuantizationPolicy, quantized
from lsqsim.learn.rule import Granularity, Method, StepRule

W2A3 = QuantizationPolicy(weight_bits=2, activation_bits=3, edge_bits=8, stream_bits=6)


def table(graph):
    """Name, sources, and format of what is stored or of the weights."""
    rows = []
    for node in graph.nodes:
        fmt = ""
        if isinstance(node, QuantizeNode):
            fmt = str(node.format)
        elif isinstance(node, LinearNode | Conv2dNode) and node.weights is not None:
            fmt = str(node.weights.format)
        rows.append((node.name, *node.sources, fmt))
    return rows


def conv(name, source, channels=4):
    return Conv2dNode(name=name, source=source, channels=channels, kernel=(1, 1))


def placed(*nodes, shape=(8, 8, 4), policy=W2A3):
    return quantized(GraphSpec(input_shape=shape, nodes=nodes), policy)


class TestNetworks:
    def test_perceptron(self):
        assert table(quantized(perceptron((4, 4, 1), 10, (6, 5, 4)), W2A3)) == [
            ("input_codes", "input", "uint8"),
            ("flatten", "input_codes", ""),
            ("layer1", "flatten", "int8"),
            ("relu1", "layer1", "uint3"),
            ("layer2", "relu1", "int2"),
            ("relu2", "layer2", "uint3"),
            ("layer3", "relu2", "int2"),
            ("relu3", "layer3", "uint8"),
            ("layer4", "relu3", "int8"),
        ]

    def test_one_layer_is_first_and_last(self):
        assert table(quantized(perceptron((5,), 3, ()), W2A3)) == [
            ("input_codes", "input", "uint8"),
            ("layer1", "input_codes", "int8"),
        ]

    def test_residual(self):
        """Streams hold 6 bits; what only a layer takes holds 3; sums are requantized for layers."""
        assert table(quantized(residual((8, 8, 3), 10, (4, 6)), W2A3)) == [
            ("input_codes", "input", "uint8"),
            ("stem", "input_codes", "int8"),
            ("stem_norm", "stem", ""),
            ("stem_relu", "stem_norm", "uint6"),
            ("stem_relu_uint3", "stem_relu", "uint3"),
            ("block1_conv1", "stem_relu_uint3", "int2"),
            ("block1_conv1_norm", "block1_conv1", ""),
            ("block1_conv1_relu", "block1_conv1_norm", "uint3"),
            ("block1_conv2", "block1_conv1_relu", "int2"),
            ("block1_conv2_norm", "block1_conv2", ""),
            ("block1_conv2_norm_codes", "block1_conv2_norm", "int6"),
            ("block1_add", "block1_conv2_norm_codes", "stem_relu", ""),
            ("block1_relu", "block1_add", "uint3"),
            ("block2_conv1", "block1_relu", "int2"),
            ("block2_conv1_norm", "block2_conv1", ""),
            ("block2_conv1_relu", "block2_conv1_norm", "uint3"),
            ("block2_conv2", "block2_conv1_relu", "int2"),
            ("block2_conv2_norm", "block2_conv2", ""),
            ("block2_conv2_norm_codes", "block2_conv2_norm", "int6"),
            ("block2_shortcut", "block1_relu", "int2"),
            ("block2_shortcut_norm", "block2_shortcut", ""),
            ("block2_shortcut_norm_codes", "block2_shortcut_norm", "int6"),
            ("block2_add", "block2_conv2_norm_codes", "block2_shortcut_norm_codes", ""),
            ("block2_relu", "block2_add", "uint6"),
            ("pool", "block2_relu", ""),
            ("pool_codes", "pool", "uint8"),
            ("classifier", "pool_codes", "int8"),
        ]

    def test_max_pool_and_flatten_move_codes(self):
        """Stored in what the layer behind them takes."""
        nodes = (
            conv("c1", "input"),
            ReluNode(name="r1", source="c1"),
            MaxPoolNode(name="m", source="r1"),
            conv("c2", "m"),
            BatchNormNode(name="b2", source="c2"),
            MaxPoolNode(name="m2", source="b2"),
            FlattenNode(name="f", source="m2"),
            LinearNode(name="last", source="f", features=2),
        )
        assert table(placed(*nodes)) == [
            ("input_codes", "input", "uint8"),
            ("c1", "input_codes", "int8"),
            ("r1", "c1", "uint3"),
            ("m", "r1", ""),
            ("c2", "m", "int2"),
            ("b2", "c2", ""),
            ("b2_codes", "b2", "int8"),
            ("m2", "b2_codes", ""),
            ("f", "m2", ""),
            ("last", "f", "int8"),
        ]

    def test_concat_and_average_pool(self):
        """A concatenation of unsigned codes is unsigned; with a signed part it is signed."""
        nodes = (
            conv("c1", "input"),
            ReluNode(name="r1", source="c1"),
            conv("c2", "r1"),
            ConcatNode(name="cat", source="r1", other="c2"),
            conv("c3", "cat"),
            ReluNode(name="r3", source="c3"),
            AveragePoolNode(name="avg", source="r3"),
            conv("last", "avg"),
        )
        assert table(placed(*nodes)) == [
            ("input_codes", "input", "uint8"),
            ("c1", "input_codes", "int8"),
            ("r1", "c1", "uint6"),
            ("r1_uint3", "r1", "uint3"),
            ("c2", "r1_uint3", "int2"),
            ("c2_codes", "c2", "int6"),
            ("cat", "r1", "c2_codes", ""),
            ("cat_codes", "cat", "int3"),
            ("c3", "cat_codes", "int2"),
            ("r3", "c3", "uint6"),
            ("avg", "r3", ""),
            ("avg_codes", "avg", "uint8"),
            ("last", "avg_codes", "int8"),
        ]

    def test_codes_are_requantized_once_for_all_that_take_them(self):
        nodes = (
            conv("c1", "input"),
            ReluNode(name="r", source="c1"),
            conv("c2", "r"),
            conv("c3", "r"),
            AddNode(name="a", source="c2", other="c3"),
            AddNode(name="b", source="a", other="r"),
            GlobalAveragePoolNode(name="g", source="b"),
            LinearNode(name="last", source="g", features=2),
        )
        assert table(placed(*nodes)) == [
            ("input_codes", "input", "uint8"),
            ("c1", "input_codes", "int8"),
            ("r", "c1", "uint6"),
            ("r_uint3", "r", "uint3"),
            ("c2", "r_uint3", "int2"),
            ("c2_codes", "c2", "int6"),
            ("c3", "r_uint3", "int2"),
            ("c3_codes", "c3", "int6"),
            ("a", "c2_codes", "c3_codes", ""),
            ("a_codes", "a", "int6"),
            ("b", "a_codes", "r", ""),
            ("b_codes", "b", "int6"),
            ("g", "b_codes", ""),
            ("g_codes", "g", "int8"),
            ("last", "g_codes", "int8"),
        ]

    def test_more_bits_than_asked_for_are_kept_in_sums(self):
        """The input's 8 bits join a sum of 6-bit streams as they are."""
        nodes = (
            conv("c1", "input"),
            AddNode(name="a", source="c1", other="input"),
            GlobalAveragePoolNode(name="g", source="a"),
            LinearNode(name="last", source="g", features=2),
        )
        rows = table(placed(*nodes))
        assert ("input_codes", "input", "uint8") in rows
        assert ("a", "c1_codes", "input_codes", "") in rows

    def test_a_relu_at_the_end(self):
        nodes = (conv("c1", "input"), ReluNode(name="r", source="c1"))
        assert table(placed(*nodes))[-1] == ("r", "c1", "uint6")


class TestPolicy:
    def test_sign_of_the_inputs(self):
        policy = replace(W2A3, input_sign=InputSign.SIGNED)
        graph = quantized(perceptron((5,), 3), policy)
        assert graph.nodes[0] == QuantizeNode(
            name="input_codes", source="input", format=IntFormat(8), rule=policy.activation_rule
        )

    def test_rules_go_where_they_belong(self):
        weight_rule = StepRule(granularity=Granularity.PER_CHANNEL)
        activation_rule = StepRule(grad_factor=0.5)
        policy = replace(W2A3, weight_rule=weight_rule, activation_rule=activation_rule)
        for node in quantized(residual((8, 8, 3), 10, (4, 6)), policy).nodes:
            if isinstance(node, QuantizeNode):
                assert node.rule == activation_rule
            elif isinstance(node, LinearNode | Conv2dNode):
                assert node.weights.rule == weight_rule

    def test_pact_is_for_unsigned_codes_only(self):
        policy = replace(W2A3, activation_rule=StepRule(method=Method.PACT))
        graph = quantized(residual((8, 8, 3), 10, (4, 6)), policy)
        for node in graph.nodes:
            if isinstance(node, QuantizeNode):
                assert node.rule.method is (Method.LSQ if node.format.signed else Method.PACT)

    @pytest.mark.parametrize("method", [Method.LSQ_PLUS, Method.TQT])
    def test_other_methods_take_signed_codes_as_well(self, method):
        policy = replace(W2A3, activation_rule=StepRule(method=method))
        for node in quantized(residual((8, 8, 3), 10, (4, 6)), policy).nodes:
            assert not isinstance(node, QuantizeNode) or node.rule.method is method

    @pytest.mark.parametrize("graph", [perceptron((4, 4, 1), 3), residual((8, 8, 3), 4, (4, 6))])
    def test_the_float_state_fits(self, graph):
        """Names and shapes of weights and statistics are those of the float network."""
        whole = Model(quantized(graph, W2A3), 0).state()
        for name, value in Model(graph, 0).state().items():
            assert whole[name].shape == value.shape

    def test_toml(self):
        policy = replace(W2A3, input_sign=InputSign.SIGNED)
        assert QuantizationPolicy.from_toml(policy.to_toml()) == policy


class TestRefusals:
    def test_quantized_already(self):
        graph = quantized(perceptron((5,), 3), W2A3)
        with pytest.raises(SpecError, match="input_codes is quantized already: give the float"):
            quantized(graph, W2A3)
        layer = LinearNode(
            name="a", source="input", features=2, weights=WeightQuantizer(format=IntFormat(4))
        )
        with pytest.raises(SpecError, match="a is quantized already"):
            placed(layer, shape=(3,))

    def test_no_layer(self):
        with pytest.raises(SpecError, match="there is no layer to quantize"):
            placed(ReluNode(name="r", source="input"))

    @pytest.mark.parametrize(
        "nodes",
        [
            (ReluNode(name="r", source="input"), conv("c", "r")),
            (
                conv("c", "input"),
                ReluNode(name="r", source="c"),
                AddNode(name="a", source="r", other="c"),
            ),
            (
                conv("c", "input"),
                MaxPoolNode(name="m", source="c"),
                ReluNode(name="r", source="m"),
            ),
        ],
    )
    def test_a_relu_behind_stored_codes(self, nodes):
        with pytest.raises(SpecError, match="r follows stored codes: put it before them"):
            placed(*nodes)

    def test_activations_per_channel(self):
        rule = StepRule(granularity=Granularity.PER_CHANNEL)
        with pytest.raises(SpecError, match=r"activation_rule\.granularity must be per_tensor"):
            QuantizationPolicy(activation_rule=rule)

    @pytest.mark.parametrize(
        "field", ["weight_bits", "edge_bits", "activation_bits", "stream_bits"]
    )
    def test_widths(self, field):
        with pytest.raises(SpecError, match=r"bits must be in 1\.\.63, got 0"):
            QuantizationPolicy(**{field: 0})
