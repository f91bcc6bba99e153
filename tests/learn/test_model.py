"""Tests for lsqsim.learn.model: whole networks against finite differences, state, and replay."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from float64_network import Network
from lsqsim.errors import DataError, SpecError
from lsqsim.formats import IntFormat
from lsqsim.learn.graph import (
    AddNode,
    AveragePoolNode,
    BatchNormNode,
    Bias,
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
from lsqsim.learn.model import Mode, Model
from lsqsim.learn.operations import convolution
from lsqsim.learn.rule import EdgeMask, GradScale, Learning, Method, StepRule

F = np.float32
NONE = StepRule(grad_scale=GradScale.NONE)


def weights(bits=4, **rule):
    return WeightQuantizer(format=IntFormat(bits), rule=replace(NONE, **rule))


def codes(name, source, *, bits=4, signed=False, **rule):
    fmt = IntFormat(bits, signed=signed)
    return QuantizeNode(name=name, source=source, format=fmt, rule=replace(NONE, **rule))


#: Every kind of node but codes; values with two and three consumers; an addition of one to itself.
FLOAT = GraphSpec(
    input_shape=(6, 6, 2),
    nodes=(
        Conv2dNode(name="stem", source="input", channels=4, padding=(1, 1, 1, 1)),
        BatchNormNode(name="norm", source="stem"),
        ReluNode(name="relu", source="norm"),
        Conv2dNode(
            name="deep", source="relu", channels=4, groups=4, padding=(1, 1, 1, 1),
            bias=Bias.LEARNED,
        ),
        AddNode(name="sum", source="deep", other="relu"),
        MaxPoolNode(name="largest", source="sum"),
        AveragePoolNode(name="mean", source="relu"),
        ConcatNode(name="both", source="largest", other="mean"),
        AddNode(name="twice", source="both", other="both"),
        GlobalAveragePoolNode(name="pool", source="twice"),
        FlattenNode(name="flat", source="mean"),
        LinearNode(name="left", source="pool", features=3),
        LinearNode(name="right", source="flat", features=3, bias=Bias.NONE),
        AddNode(name="out", source="left", other="right"),
    ),
)  # fmt: skip


def quantized(mask):
    """LSQ and LSQ+ on weights and activations, with padding and a residual addition."""
    return GraphSpec(
        input_shape=(5, 5, 2),
        nodes=(
            codes("in_codes", "input", bits=8, signed=True, edge_mask=mask),
            Conv2dNode(
                name="stem", source="in_codes", channels=4, padding=(1, 1, 1, 1),
                weights=weights(8, edge_mask=mask),
            ),
            BatchNormNode(name="norm", source="stem"),
            codes("relu", "norm", bits=2, edge_mask=mask),
            Conv2dNode(name="conv", source="relu", channels=4, weights=weights(2, edge_mask=mask)),
            codes("conv_codes", "conv", bits=3, method=Method.LSQ_PLUS, edge_mask=mask),
            GlobalAveragePoolNode(name="pool", source="conv_codes"),
            LinearNode(name="last", source="pool", features=3, weights=weights(3, edge_mask=mask)),
        ),
    )  # fmt: skip


def batch(graph, n=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, *graph.input_shape)).astype(F)


def trained(graph, n=4, seed=0, x=None):
    """A model after one forward and backward pass, with the weights of its loss."""
    model = Model(graph, seed)
    x = batch(graph, n) if x is None else x
    y = model.forward(x, Mode.TRAINING).copy()
    loss = np.random.default_rng(5).normal(size=y.shape).astype(F)
    model.backward(loss.copy())
    return model, x, y, loss


def directional(network, parameters, x, loss, seed, h=1e-6):
    """A direction for all trained parameters, and the loss's derivative along it."""
    rng = np.random.default_rng(seed)
    direction = {name: rng.normal(size=value.shape) for name, value in parameters.items()}
    ends = [
        float(
            (loss * network({n: v + s * h * direction[n] for n, v in parameters.items()}, x)).sum()
        )
        for s in (1, -1)
    ]
    return direction, (ends[0] - ends[1]) / (2 * h)


def check_gradients(model, network, x, loss):
    """Each parameter alone, then all of them together, along random directions."""
    state = {name: value.astype(np.float64) for name, value in model.state().items()}
    wide, weights_of_loss = x.astype(np.float64), loss.astype(np.float64)
    names = [p.name for p in model.parameters]
    fixed = {n: v for n, v in state.items() if n not in names}
    network(state, wide)

    def function(parameters, x):
        return network(fixed | state | parameters, x)

    grads = {p.name: p.grad.astype(np.float64) for p in model.parameters}
    for seed, chosen in enumerate([*[[name] for name in names], names]):
        moved = {name: state[name] for name in chosen}
        direction, expected = directional(function, moved, wide, weights_of_loss, seed)
        got = sum(float((grads[name] * direction[name]).sum()) for name in chosen)
        size = sum(float(np.abs(grads[name] * direction[name]).sum()) for name in chosen)
        assert got == pytest.approx(expected, rel=0, abs=2e-5 * size + 1e-5), chosen


class TestWorkedExamples:
    def test_two_layers(self):
        """y = relu(2 * 3) * -4 = -24: gradients 2 * -4 = -8 and 6."""
        nodes = (
            LinearNode(name="a", source="input", features=1, bias=Bias.NONE),
            ReluNode(name="relu", source="a"),
            LinearNode(name="b", source="relu", features=1),
        )
        model = Model(GraphSpec(input_shape=(1,), nodes=nodes), seed=0)
        model.array("a.weight")[:], model.array("b.weight")[:] = 3, -4
        assert model.forward(np.array([[2.0]], F), Mode.TRAINING).tolist() == [[-24.0]]
        model.backward(np.ones((1, 1), F))
        assert [p.grad.reshape(-1).tolist() for p in model.parameters] == [[-8], [6], [1]]
        assert model.value("relu").tolist() == [[6.0]]
        model.zero_grad()
        assert not any(p.grad.any() for p in model.parameters)

    def test_the_seed_decides(self):
        a, b, c = (Model(FLOAT, seed).state() for seed in (1, 1, 2))
        assert all((a[name] == b[name]).all() for name in a)
        assert (a["stem.weight"] != c["stem.weight"]).all()

    def test_quantizers_by_name(self):
        model = Model(quantized(EdgeMask.STRICT), 0)
        assert list(model.quantizers) == [
            "in_codes", "stem.weight", "relu", "conv.weight", "conv_codes", "last.weight",
        ]  # fmt: skip
        assert model.quantizer("relu").format == IntFormat(2, signed=False)
        assert model.weight_quantizer("conv").format == IntFormat(2)

    def test_step_sizes_start_with_the_first_batch(self):
        model, *_ = trained(quantized(EdgeMask.INCLUSIVE))
        started = {name: q.step_size.copy() for name, q in model.quantizers.items()}
        assert all(q.is_started for q in model.quantizers.values())
        model.forward(batch(model.graph, seed=9) * 100, Mode.TRAINING)
        assert all((q.step_size == started[name]).all() for name, q in model.quantizers.items())

    @pytest.mark.parametrize("between", ["nothing", "max_pool"])
    def test_padding_is_the_quantized_zero(self, between):
        """Offset -0.75, step 0.5: a real 0 becomes 0.25; a pool between moves codes only."""
        nodes = [codes("q", "input", method=Method.LSQ_PLUS)]
        if between == "max_pool":
            nodes.append(MaxPoolNode(name="m", source="q", kernel=(1, 1), stride=(1, 1)))
        source = nodes[-1].name
        nodes.append(
            Conv2dNode(name="c", source=source, channels=1, kernel=(1, 1), padding=(1, 0, 0, 0))
        )
        model = Model(GraphSpec(input_shape=(1, 1, 1), nodes=tuple(nodes)), 0)
        model.quantizer("q").set_step_size(0.5)
        model.quantizer("q").offset.value[:] = -0.75
        model.array("c.weight")[:] = 1
        y = model.forward(np.full((1, 1, 1, 1), 0.7, F), Mode.EVALUATION)
        assert y.reshape(-1).tolist() == [0.25, 0.75]

    def test_padding_is_zero_without_a_quantizer(self):
        conv = Conv2dNode(name="c", source="input", channels=1, kernel=(1, 1), padding=(1, 0, 0, 0))
        model = Model(GraphSpec(input_shape=(1, 1, 1), nodes=(conv,)), 0)
        assert model.forward(np.ones((1, 1, 1, 1), F), Mode.EVALUATION)[0, 0] == 0


class TestFiniteDifferences:
    def test_float_network(self):
        model, x, y, loss = trained(FLOAT)
        network = Network(FLOAT)
        state = {name: value.astype(np.float64) for name, value in model.state().items()}
        np.testing.assert_allclose(y, network(state, x.astype(np.float64)), rtol=0, atol=2e-5)
        check_gradients(model, network, x, loss)

    def test_frozen_batch_norm(self):
        model = Model(FLOAT, 0)
        model.array("norm.mean")[:] = [0.1, -0.2, 0.3, 0.0]
        model.array("norm.variance")[:] = [0.5, 2.0, 1.5, 1.0]
        model.freeze_batch_norm()
        before = model.state()
        x = batch(FLOAT)
        y = model.forward(x, Mode.TRAINING).copy()
        assert (y == model.forward(x, Mode.EVALUATION)).all()
        loss = np.random.default_rng(5).normal(size=y.shape).astype(F)
        model.backward(loss)
        assert all((before[name] == value).all() for name, value in model.state().items())
        check_gradients(model, Network(FLOAT, training=False), x, loss)

    @pytest.mark.parametrize("mask", EdgeMask)
    def test_quantized_network(self, mask):
        """The straight lines of the rule through the network's own values (float64_network.py)."""
        graph = quantized(mask)
        model, x, _, loss = trained(graph)
        # The offset starts at the least value, which float64 would not put on the very edge.
        model.quantizer("conv_codes").offset.value[:] -= 0.1
        model.zero_grad()
        y = model.forward(x, Mode.TRAINING)
        model.backward(loss)
        network = Network(graph)
        state = {name: value.astype(np.float64) for name, value in model.state().items()}
        expected = network(state, x.astype(np.float64))
        for node in graph.nodes:
            np.testing.assert_allclose(
                model.value(node.name), network.values[node.name], rtol=0, atol=1e-4,
                err_msg=f"{node.name}: another seed, should a value lie on the edge of two codes",
            )  # fmt: skip
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-4)
        check_gradients(model, network, x, loss)


class TestState:
    @pytest.mark.parametrize("graph", [FLOAT, quantized(EdgeMask.STRICT)])
    def test_round_trip(self, graph):
        model, x, *_ = trained(graph)
        other = Model(graph, seed=7)
        other.load_state(model.state())
        a, b = (m.forward(x, Mode.EVALUATION) for m in (model, other))
        assert (a == b).all()

    def test_the_state_is_a_copy(self):
        model = Model(FLOAT, 0)
        state = model.state()
        state["stem.weight"][:] = 0
        assert model.array("stem.weight").all()
        model.load_state(state)
        state["stem.weight"][:] = 1
        assert not model.array("stem.weight").any()

    def test_it_holds_running_statistics_and_steps(self):
        assert {"norm.mean", "norm.variance", "norm.gamma", "norm.beta"} <= Model(
            FLOAT, 0
        ).state().keys()
        assert {"relu.step", "conv.weight.step", "conv_codes.offset"} <= (
            Model(quantized(EdgeMask.STRICT), 0).state().keys()
        )

    def test_refusals(self):
        model = Model(FLOAT, 0)
        before = model.state()
        good = {name: value + 1 for name, value in before.items()}
        missing = {name: value for name, value in good.items() if name != "left.bias"}
        table = [
            (missing, "left.bias is missing from the state: it is of another network"),
            (good | {"x": np.zeros(1)}, "x is unknown to the network: it is of another network"),
            (
                good | {"left.bias": np.zeros(4, F)},
                r"left.bias has shape \(4,\) in the state, \(3,\) in the network: it is of another",
            ),
        ]
        for state, message in table:
            with pytest.raises(DataError, match=message):
                model.load_state(state)
            assert all((before[name] == value).all() for name, value in model.state().items())


class TestReplay:
    def test_values_are_replaced_and_gradients_pass_through(self):
        model, x, y, loss = trained(FLOAT)
        plain = {p.name: p.grad.copy() for p in model.parameters}
        model.zero_grad()
        given = np.random.default_rng(3).normal(size=model.value("pool").shape).astype(F)
        kept = given.copy()
        replayed = model.forward(x, Mode.TRAINING, {"pool": given})
        weight, bias = model.array("left.weight"), model.array("left.bias")
        left = given @ weight + bias
        np.testing.assert_allclose(replayed, y - model_left(model, y, left), rtol=0, atol=1e-5)
        model.backward(loss)
        # Behind the replayed node, gradients are of the replayed values; before it, as they were.
        left_grad = next(p.grad for p in model.parameters if p.name == "left.weight")
        np.testing.assert_allclose(left_grad, given.T @ loss, rtol=0, atol=1e-5)
        for p in model.parameters:
            if p.name != "left.weight":
                np.testing.assert_allclose(p.grad, plain[p.name], rtol=0, atol=1e-5)
        assert (given == kept).all()

    def test_its_own_values_change_nothing(self):
        model, x, y, loss = trained(FLOAT)
        values = {node.name: model.value(node.name).copy() for node in FLOAT.nodes}
        plain = {p.name: p.grad.copy() for p in model.parameters}
        model.zero_grad()
        assert (model.forward(x, Mode.TRAINING, values) == y).all()
        model.backward(loss)
        assert all((p.grad == plain[p.name]).all() for p in model.parameters)

    def test_it_replaces_no_more_than_the_node(self):
        """Flattening gives a view: neither its source nor the caller's inputs are written to."""
        nodes = (FlattenNode(name="flat", source="input"),)
        x = np.ones((1, 1, 1, 2), F)
        model = Model(GraphSpec(input_shape=(1, 1, 2), nodes=nodes), 0)
        assert model.forward(x, Mode.TRAINING, {"flat": np.zeros((1, 2))}).tolist() == [[0, 0]]
        assert (x == 1).all()
        assert (model.value("input") == 1).all()

    def test_codes_of_other_types(self):
        nodes = (ReluNode(name="relu", source="input"), ReluNode(name="last", source="relu"))
        model = Model(GraphSpec(input_shape=(2,), nodes=nodes), 0)
        y = model.forward(np.ones((1, 2), F), Mode.TRAINING, {"relu": np.array([[3, -4]])})
        assert (y.dtype, y.tolist()) == (F, [[3, 0]])

    def test_shapes(self):
        model = Model(FLOAT, 0)
        message = r"pool puts out shape \(4, 8\), what is to replace it has \(4, 9\)"
        with pytest.raises(DataError, match=message):
            model.forward(batch(FLOAT), Mode.TRAINING, {"pool": np.zeros((4, 9), F)})


def model_left(model, y, left):
    """y = left + right; what changed in left."""
    return y - model.value("right") - left


def operation_of(model, name) -> Any:
    return model._operations[name]


class TestPruning:
    """What nobody needs is not computed."""

    def test_the_first_layer_has_no_input_gradient(self):
        model = Model(FLOAT, 0)
        assert not operation_of(model, "stem").needs_input_gradient
        assert operation_of(model, "deep").needs_input_gradient

    @pytest.mark.parametrize(
        ("learning", "needed"), [(Learning.FIXED, False), (Learning.LEARNED, True)]
    )
    def test_a_fixed_quantizer_of_the_input_needs_none(self, learning, needed):
        nodes = (
            codes("q", "input", learning=learning),
            FlattenNode(name="flat", source="q"),
            LinearNode(name="a", source="flat", features=2),
        )
        model = Model(GraphSpec(input_shape=(1, 1, 2), nodes=nodes), 0)
        assert operation_of(model, "a").needs_input_gradient is needed
        model.forward(np.full((3, 1, 1, 2), 0.3, F), Mode.TRAINING)
        model.backward(np.ones((3, 2), F))
        assert bool(model.quantizer("q").step.grad.any()) is needed
        assert next(p for p in model.parameters if p.name == "a.weight").grad.any()

    def test_a_fixed_quantizer_behind_a_layer_passes_gradients(self):
        nodes = (
            LinearNode(name="a", source="input", features=2),
            codes("q", "a", signed=True, learning=Learning.FIXED),
            LinearNode(name="b", source="q", features=2),
        )
        model = Model(GraphSpec(input_shape=(2,), nodes=nodes), 0)
        model.forward(np.ones((3, 2), F), Mode.TRAINING)
        model.backward(np.ones((3, 2), F))
        assert model.array("a.weight").shape == (2, 2)
        assert next(p for p in model.parameters if p.name == "a.weight").grad.any()
        assert not model.quantizer("q").step.grad.any()

    def test_a_node_that_leads_nowhere(self):
        nodes = (
            LinearNode(name="a", source="input", features=2),
            LinearNode(name="dead", source="a", features=2),
            ReluNode(name="out", source="a"),
        )
        model = Model(GraphSpec(input_shape=(2,), nodes=nodes), 0)
        model.forward(np.ones((3, 2), F), Mode.TRAINING)
        model.backward(np.ones((3, 2), F))
        assert not any(p.grad.any() for p in model.parameters if p.name.startswith("dead"))


class TestBuffers:
    @pytest.mark.parametrize("graph", [FLOAT, quantized(EdgeMask.INCLUSIVE)])
    def test_two_batches_of_different_sizes(self, graph):
        """Whatever an earlier batch left behind: the same bits as a fresh model's."""
        reused, *_ = trained(graph, n=7)
        fresh = Model(graph, seed=3)
        fresh.load_state(reused.state())
        x = batch(graph, n=3, seed=8)
        results = []
        for model in (reused, fresh):
            model.zero_grad()
            y = model.forward(x, Mode.TRAINING).copy()
            model.backward(np.random.default_rng(5).normal(size=y.shape).astype(F))
            results.append([y, *[p.grad for p in model.parameters]])
        for a, b in zip(*results, strict=True):
            assert (a == b).all()

    @pytest.mark.parametrize("block", [1, 1000])
    def test_blocks_change_no_more_than_the_order_of_sums(self, block, monkeypatch):
        model, _, y, _ = trained(FLOAT)
        monkeypatch.setattr(convolution, "_BLOCK_VALUES", block)
        other, _, same, _ = trained(FLOAT)
        np.testing.assert_allclose(same, y, rtol=0, atol=1e-5)
        for a, b in zip(model.parameters, other.parameters, strict=True):
            np.testing.assert_allclose(a.grad, b.grad, rtol=0, atol=2e-4)

    def test_a_pass_leaves_its_input_alone(self):
        x = batch(FLOAT)
        kept = x.copy()
        trained(FLOAT, x=x)
        assert (x == kept).all()

    def test_evaluation_changes_nothing(self):
        model, x, *_ = trained(quantized(EdgeMask.STRICT))
        before = model.state()
        model.forward(x, Mode.EVALUATION)
        assert all((before[name] == value).all() for name, value in model.state().items())


class TestNonfinite:
    def test_none(self):
        assert trained(FLOAT)[0].first_nonfinite() is None
        assert Model(FLOAT, 0).first_nonfinite() is None

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_a_parameter_comes_first(self, bad):
        model, *_ = trained(FLOAT)
        model.array("deep.bias")[1] = bad
        model.array("left.bias")[1] = bad
        assert model.first_nonfinite() == "deep.bias"

    def test_then_the_first_node(self):
        model, x, *_ = trained(FLOAT)
        model.forward(x, Mode.EVALUATION, {"largest": np.full((4, 3, 3, 4), math.nan, F)})
        assert model.first_nonfinite() == "largest"

    def test_nan_of_the_input_reaches_the_output(self):
        x = batch(FLOAT)
        x[0, 0, 0, 0] = math.nan
        model = Model(FLOAT, 0)
        assert np.isnan(model.forward(x, Mode.EVALUATION)[0]).all()
        assert model.first_nonfinite() == "input"


class TestRefusals:
    def test_shapes_of_inputs(self):
        model = Model(FLOAT, 0)
        message = r"the network takes a batch of \(6, 6, 2\), got shape "
        for shape in [(6, 6, 2), (0, 6, 6, 2), (1, 6, 6, 3), (1, 72)]:
            with pytest.raises(DataError, match=message):
                model.forward(np.zeros(shape, F), Mode.TRAINING)

    def test_evaluation_before_step_sizes(self):
        model = Model(quantized(EdgeMask.STRICT), 0)
        message = "in_codes has no step size yet: train on a batch first, or set one"
        with pytest.raises(DataError, match=message):
            model.forward(batch(model.graph), Mode.EVALUATION)

    def test_one_value_to_normalize(self):
        nodes = (BatchNormNode(name="norm", source="input"),)
        model = Model(GraphSpec(input_shape=(3,), nodes=nodes), 0)
        with pytest.raises(DataError, match="norm: batch normalization needs at least 2 values"):
            model.forward(np.ones((1, 3), F), Mode.TRAINING)

    def test_rules_for_activations_on_weights(self):
        wrong = WeightQuantizer(format=IntFormat(4), rule=StepRule(method=Method.LSQ_PLUS))
        nodes = (LinearNode(name="a", source="input", features=1, weights=wrong),)
        with pytest.raises(SpecError, match=r"a\.weight: lsq_plus quantizes activations"):
            Model(GraphSpec(input_shape=(3,), nodes=nodes), 0)
