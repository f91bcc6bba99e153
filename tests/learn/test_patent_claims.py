"""US 11,823,054 B2, *Learned step size quantization*: a test for each claim from 2 to 13.

Docstrings give each claim's idea in our words. Claim 1, which the others build on, is the whole
system: a quantizer with a configurable step, matrix multipliers of a first precision, a multiplier
to a second one, and a computing node that trains the step. The digests of the patent that we could
read print claims 2 to 5 and 7 to 13, but not claim 6; its test says so.
"""

import math

import numpy as np
import pytest

from lsqsim.formats import IntFormat
from lsqsim.learn.architectures import perceptron, residual
from lsqsim.learn.graph import (
    Conv2dNode,
    FlattenNode,
    GraphSpec,
    LinearNode,
    QuantizeNode,
    WeightQuantizer,
)
from lsqsim.learn.loss import softmax_cross_entropy
from lsqsim.learn.model import Mode, Model
from lsqsim.learn.optimizer import Sgd
from lsqsim.learn.parameters import Kind
from lsqsim.learn.placement import QuantizationPolicy, quantized
from lsqsim.learn.quantizer import LearnedQuantizer
from lsqsim.learn.rule import GradScale, LevelCount, Positivity, StepRule

F = np.float32
RULE = StepRule(positivity=Positivity.HALVE)
POLICY = QuantizationPolicy(
    weight_bits=2, activation_bits=2, edge_bits=4, activation_rule=RULE, weight_rule=RULE
)


def network(seed=0):
    """A small network with a quantizer for each layer of weights and of activations."""
    return Model(quantized(perceptron((6,), 3, (8, 8)), POLICY), seed)


def task(n=96):
    """Three classes that a line each tells apart."""
    rng = np.random.default_rng(1)
    x = np.abs(rng.normal(size=(n, 6))).astype(F)
    return x, (x @ rng.normal(size=(6, 3))).argmax(axis=1)


def loss_and_backward(model, x, labels):
    model.zero_grad()
    loss, grad = softmax_cross_entropy(model.forward(x, Mode.TRAINING), labels)
    model.backward(grad)
    return loss


def steps(model):
    return {name: q.step_size.copy() for name, q in model.quantizers.items()}


def train(model, *, only_steps, updates=60, rate=0.1):
    """Losses of gradient descent, on the step sizes alone or on everything."""
    x, labels = task()
    losses = [loss_and_backward(model, x, labels)]
    chosen = [p for p in model.parameters if p.kind is Kind.STEP or not only_steps]
    optimizer = Sgd(chosen, model.quantizers, momentum=0.0, weight_decay=0.0)
    for _ in range(updates):
        optimizer.update(rate)
        losses.append(loss_and_backward(model, x, labels))
    return losses


def step_gradient(rule, *, bits=2, features=1, batch=1):
    """Of one quantizer whose values, each with gradient 1, are all clipped to the largest code."""
    fmt = IntFormat(bits, signed=False)
    quantizer = LearnedQuantizer("q", fmt, rule, features)
    quantizer.set_step_size(1.0)
    quantizer.forward(np.full((batch, features), 1e6, F))
    quantizer.backward(np.full((batch, features), 1 / (batch * features * fmt.max), F))
    return float(quantizer.step.grad[0])


def test_claim_2_steps_are_optimized_by_backpropagation():
    """The node finds each step size by backpropagation: from the loss, through all layers."""
    model = network()
    x, labels = task()
    loss_and_backward(model, x, labels)
    grads = {p.name: p.grad for p in model.parameters if p.kind is Kind.STEP}
    assert len(grads) == len(model.quantizers) == 6
    assert all(np.isfinite(grad).all() and grad.any() for grad in grads.values())
    before = steps(model)
    losses = train(model, only_steps=True)
    assert losses[-1] < 0.9 * losses[0]
    assert all((after != before[name]).all() for name, after in steps(model).items())


def test_claim_3_backpropagation_applies_gradient_descent():
    """Each step size moves against its gradient, by the learning rate times it."""
    model = network()
    loss_and_backward(model, *task())
    before = {p.name: p.value - F(1e-3) * p.grad for p in model.parameters}
    Sgd(model.parameters, model.quantizers, momentum=0.0, weight_decay=0.0).update(1e-3)
    for p in model.parameters:
        np.testing.assert_allclose(p.value, before[p.name], rtol=1e-6, atol=1e-9)
    losses = train(network(), only_steps=False)
    assert losses[-1] < 0.7 * losses[0]


def test_claim_4_rounding_is_passed_through():
    """Forward the quantizer rounds; backward, rounding is the identity."""
    quantizer = LearnedQuantizer("q", IntFormat(4), StepRule(grad_scale=GradScale.NONE), 5)
    quantizer.set_step_size(0.5)
    v, grad = np.array([[-1.3, -0.2, 0.2, 0.9, 1.6]], F), np.array([[5.0, 4.0, 3.0, 2.0, 1.0]], F)
    rounded = quantizer.forward(v)
    assert rounded.tolist() == [[-1.5, 0.0, 0.0, 1.0, 1.5]]
    assert (quantizer.backward(grad) == grad).all()
    # Through round(v / s) * s: round(v / s), and v / s * -1 from the identity that stands for it.
    assert quantizer.step.grad[0] == pytest.approx(((rounded - v) / 0.5 * grad).sum(), rel=1e-6)


def test_claim_5_the_gradient_is_based_on_layer_size_and_precision():
    """Four times the features halve g; so do as many times larger Q_P."""
    paper = StepRule()
    base = step_gradient(paper, bits=2, features=4)
    assert base == pytest.approx(1 / math.sqrt(4 * 3))
    assert step_gradient(paper, bits=2, features=16) == pytest.approx(base / 2)
    assert step_gradient(paper, bits=4, features=4) == pytest.approx(base * math.sqrt(3 / 15))


@pytest.mark.skip(reason="no source that we could read prints claim 6")
def test_claim_6():
    """Not known; its test is written when its text is."""


def test_claim_7_the_quantizer_quantizes_the_weights():
    """What the matrix multiplier gets are weights made by the step size, learned with it."""
    weights = WeightQuantizer(format=IntFormat(2), rule=StepRule(grad_scale=GradScale.NONE))
    layer = LinearNode(name="layer", source="input", features=1, weights=weights)
    model = Model(GraphSpec(input_shape=(4,), nodes=(layer,)), 0)
    model.array("layer.weight")[:, 0] = [-3.0, -0.2, 0.4, 0.9]
    quantizer = model.weight_quantizer("layer")
    quantizer.set_step_size(0.5)
    # Codes -2, 0, 1, 1.
    assert model.forward(np.array([[1, 10, 100, 1000]], F), Mode.TRAINING).tolist() == [[549.0]]
    model.backward(np.ones((1, 1), F))
    assert quantizer.step.grad[0] == pytest.approx(1 * -2 + 10 * 0.4 + 100 * 0.2 + 1000 * 1)


def test_claim_8_quantizers_stand_at_activation_layers():
    """Values between layers are multiples of their quantizer's step size, within its codes."""
    model = network()
    x, labels = task()
    loss_and_backward(model, x, labels)
    nodes = [node for node in model.graph.nodes if isinstance(node, QuantizeNode)]
    assert [node.name for node in nodes] == ["input_codes", "relu1", "relu2"]
    for node in nodes:
        quantizer, values = model.quantizer(node.name), model.value(node.name)
        found = np.rint(values / quantizer.step_size)
        assert (found * quantizer.step_size == values).all()
        assert found.min() >= 0
        assert found.max() <= node.format.max


def test_claim_9_quantizers_stand_at_weight_layers():
    """A layer's product is that of at most 2**bits different weights."""
    model = network()
    x, _ = task()
    model.forward(x, Mode.TRAINING)
    quantizer = model.weight_quantizer("layer2")
    codes = quantizer.codes(model.array("layer2.weight"))
    assert set(codes.reshape(-1)) <= {-2, -1, 0, 1}
    expected = model.value("relu1") @ (codes * quantizer.step_size) + model.array("layer2.bias")
    np.testing.assert_allclose(model.value("layer2"), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("graph", [perceptron((6,), 3, (8, 8)), residual((8, 8, 3), 3, (4, 6))])
def test_claim_10_each_weight_layer_and_each_activation_layer_has_a_quantizer(graph):
    """Every layer has one for its weights and takes codes; each learns a step of its own."""
    model = Model(quantized(graph, POLICY), 0)
    layers = [n for n in model.graph.nodes if isinstance(n, LinearNode | Conv2dNode)]
    for layer in layers:
        assert model.weight_quantizer(layer.name).step in model.parameters
        source = model.graph.node(layer.source)
        while isinstance(source, FlattenNode):
            source = model.graph.node(source.source)
        assert model.quantizer(source.name).step in model.parameters
    assert len({id(q.step) for q in model.quantizers.values()}) == len(model.quantizers)


def test_claim_11_the_gradient_is_scaled_by_the_number_of_features():
    """N multiplies it."""
    rule = StepRule(grad_scale=GradScale.FEATURES)
    for features in (1, 3, 16):
        assert step_gradient(rule, features=features, batch=2) == pytest.approx(features)


def test_claim_12_the_gradient_is_scaled_by_the_inverse_root_of_features():
    """1 / sqrt(N), whatever the precision."""
    rule = StepRule(grad_scale=GradScale.INVERSE_SQRT_FEATURES)
    for features in (1, 3, 16):
        for bits in (2, 8):
            scaled = step_gradient(rule, features=features, bits=bits)
            assert scaled == pytest.approx(1 / math.sqrt(features))


def test_claim_13_the_gradient_is_scaled_by_the_inverse_roots_of_features_and_levels():
    """1 / sqrt(N), and 1 / sqrt of the number of quantization levels, 2**bits."""
    rule = StepRule(grad_scale=GradScale.PAPER, level_count=LevelCount.LEVELS)
    for features in (1, 3, 16):
        for bits in (2, 8):
            scaled = step_gradient(rule, features=features, bits=bits)
            assert scaled == pytest.approx(1 / math.sqrt(features) / math.sqrt(2**bits))
    alone = StepRule(grad_scale=GradScale.INVERSE_SQRT_LEVELS, level_count=LevelCount.LEVELS)
    assert step_gradient(alone, features=16, bits=4) == pytest.approx(1 / 4)
