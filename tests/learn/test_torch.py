"""The engine against PyTorch, where it is installed: the rule, every layer, and whole networks."""

import math
from typing import Any

import numpy as np
import pytest

from lsqsim.formats import IntFormat
from lsqsim.learn import graph as g
from lsqsim.learn.architectures import residual
from lsqsim.learn.model import Mode, Model
from lsqsim.learn.operations import build_operation
from lsqsim.learn.placement import QuantizationPolicy, quantized
from lsqsim.learn.quantizer import LearnedQuantizer
from lsqsim.learn.rule import EdgeMask, FeatureCount, StepRule

torch: Any = pytest.importorskip("torch", reason="PyTorch is no dependency: install it to compare")
functional = torch.nn.functional
F = np.float32
EPS = 2.0**-24
"""Half an ulp of 1."""
NAMES = {"name": "node", "source": "input"}


@pytest.fixture(autouse=True)
def one_thread():
    """A second thread would fight with the tests beside it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def normal(*shape, seed=0, deviation=2.0):
    return (np.random.default_rng(seed).normal(size=shape) * deviation).astype(F)


def away_from_ties(x, step, distance=1e-4):
    """``x`` without values whose u is within ``distance`` of a half: its rounding would decide."""
    u = x.astype(np.float64) / step
    return x[np.abs(np.abs(u - np.floor(u)) - 0.5) > distance]


class TestFusedQuantizer:
    """torch._fake_quantize_learnable_per_tensor_affine: the mask after rounding.

    It multiplies by 1 / s, so that u differs by up to three roundings from v / s: values near a
    half are left out. What is let through, and the gradient by v, are then equal bit by bit. For
    the step size it computes (fl(code * s) - v) * fl(1 / s), which is within (|code| + 3) half
    ulps of 1 of round(u) - u, as ours is within |u|; its products and its sum are float32.
    """

    @pytest.mark.parametrize("bits", [2, 3, 4, 8])
    @pytest.mark.parametrize("signed", [True, False])
    @pytest.mark.parametrize("step", [0.25, 0.1, 0.0371])
    def test_equal(self, bits, signed, step):
        fmt = IntFormat(bits, signed=signed)
        step = float(F(step))
        x = away_from_ties(normal(20_000, deviation=1.5 * fmt.max * step, seed=bits), step)
        x = np.append(x, F([fmt.min, fmt.max, 0]) * F(step)).reshape(1, -1)
        grad = normal(*x.shape, seed=1)
        rule = StepRule(edge_mask=EdgeMask.AFTER_ROUNDING)
        ours = LearnedQuantizer("q", fmt, rule, x.size)
        ours.set_step_size(step)
        y = ours.forward(x)
        dx = ours.backward(grad)

        v = torch.tensor(x, requires_grad=True)
        s = torch.tensor([step], dtype=torch.float32, requires_grad=True)
        g_step = rule.step_grad_scale(fmt, x.size)
        theirs = torch._fake_quantize_learnable_per_tensor_affine(
            v, s, torch.zeros(1), fmt.min, fmt.max, g_step
        )
        theirs.backward(torch.tensor(grad))
        assert (y == theirs.detach().numpy()).all()
        assert (dx == v.grad.numpy()).all()
        u = x.astype(np.float64) / step
        terms = np.abs(grad * np.clip(np.where(np.rint(u) == u, 0, u), fmt.min, fmt.max))
        each = EPS * float((np.abs(grad) * 2 * (max(-fmt.min, fmt.max) + 4)).sum())
        order = EPS * math.ceil(math.log2(x.size)) * float(terms.sum() + np.abs(grad).sum())
        assert abs(ours.step.grad[0] - s.grad.item()) <= (each + order) * g_step


def round_pass(x):
    y = torch.round(x)
    return (y - x).detach() + x


def grad_scale(x, scale):
    y = x * scale
    return (x - y).detach() + y


def clip(u, low, high, mask):
    """Clipping whose gradient at the edges is the mask's, not torch.clamp's."""
    if mask is EdgeMask.INCLUSIVE:
        below, above = u <= low, u >= high
    elif mask is EdgeMask.STRICT:
        below, above = u < low, u > high
    else:
        r = torch.round(u)
        below, above = r < low, r > high
    clipped = torch.where(below, torch.full_like(u, low), u)
    return torch.where(above, torch.full_like(u, high), clipped)


def quantize(v, s, fmt, mask, scale=1.0):
    """The paper's pseudocode; after rounding, what rounds to an end of the range is let through."""
    s = grad_scale(s, scale)
    rounded = round_pass(clip(v / s, fmt.min, fmt.max, mask))
    return rounded * s


class TestPseudocode:
    """The paper's Algorithm 1 in autograd, float64: only its rounding is straight-through."""

    @pytest.mark.parametrize("mask", EdgeMask)
    @pytest.mark.parametrize("fmt", [IntFormat(2), IntFormat(4), IntFormat(3, signed=False)])
    @pytest.mark.parametrize("step", [0.5, 1.0, 0.3])
    @pytest.mark.parametrize("are_weights", [False, True])
    def test_equal(self, mask, fmt, step, are_weights):
        """Steps that are powers of two bring the very edges, and ties."""
        step = float(F(step))
        x = normal(6, 50, seed=fmt.bits, deviation=fmt.max * step)
        if math.frexp(step)[0] == 0.5:
            halves = np.arange(2 * fmt.min - 4, 2 * fmt.max + 5) / 2
            x.reshape(-1)[: halves.size] = halves * step
        grad = normal(*x.shape, seed=1)
        ours = LearnedQuantizer("q", fmt, StepRule(edge_mask=mask), 50)
        ours.set_step_size(step)
        y = ours.forward(x)
        dx = ours.backward(grad, are_weights=are_weights)

        v = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        s = torch.tensor(step, dtype=torch.float64, requires_grad=True)
        n = x.size if are_weights else 50
        theirs = quantize(v, s, fmt, mask, 1 / math.sqrt(n * fmt.max))
        theirs.backward(torch.tensor(grad, dtype=torch.float64))
        np.testing.assert_allclose(y, theirs.detach().numpy(), rtol=2 * EPS, atol=0)
        np.testing.assert_allclose(dx, v.grad.numpy(), rtol=1e-12, atol=0)
        size = float(np.abs(grad).sum()) * (fmt.max + 2) / math.sqrt(n * fmt.max)
        assert ours.step.grad[0] == pytest.approx(s.grad.item(), rel=1e-6, abs=4 * EPS * size)

    def test_whole_batches(self):
        rule = StepRule(feature_count=FeatureCount.BATCH)
        q = LearnedQuantizer("q", IntFormat(2), rule, 5)
        q.set_step_size(0.5)
        x, grad = normal(4, 5), normal(4, 5, seed=1)
        q.forward(x)
        q.backward(grad)
        s = torch.tensor(0.5, requires_grad=True)
        quantize(torch.tensor(x), s, IntFormat(2), EdgeMask.INCLUSIVE, 1 / math.sqrt(20)).backward(
            torch.tensor(grad)
        )
        assert q.step.grad[0] == pytest.approx(s.grad.item(), rel=1e-5)


class TorchNetwork:
    """A graph in PyTorch, float32; parameters by the engine's names, images channels first."""

    def __init__(self, graph, state, *, training=True):
        self.graph, self.training = graph, training
        trained = {name: torch.tensor(value) for name, value in state.items()}
        self.parameters = {
            name: value.requires_grad_(not name.endswith((".mean", ".variance")))
            for name, value in trained.items()
        }
        self.running = {}

    def __call__(self, x):
        values = {g.INPUT: first(torch.tensor(x))}
        for node in self.graph.nodes:
            sources = [values[source] for source in node.sources]
            values[node.name] = self.node(node, *sources)
        return last(values[self.graph.nodes[-1].name])

    def node(self, node, x, other=None):  # noqa: C901 - a case for each node
        p = self.parameters
        match node:
            case g.LinearNode():
                return functional.linear(x, self.weight(node).T, p.get(f"{node.name}.bias"))
            case g.Conv2dNode():
                top, bottom, left, right = node.padding
                padded = functional.pad(x, (left, right, top, bottom))
                w = self.weight(node).permute(3, 2, 0, 1)
                return functional.conv2d(
                    padded,
                    w,
                    p.get(f"{node.name}.bias"),
                    node.stride,
                    0,
                    node.dilation,
                    node.groups,
                )
            case g.BatchNormNode():
                running = (
                    p[f"{node.name}.mean"].detach().clone(),
                    p[f"{node.name}.variance"].detach().clone(),
                )
                self.running[node.name] = running
                return functional.batch_norm(
                    x, *running, p[f"{node.name}.gamma"], p[f"{node.name}.beta"],
                    self.training, node.momentum, node.epsilon,
                )  # fmt: skip
            case g.ReluNode():
                return functional.relu(x)
            case g.MaxPoolNode():
                return functional.max_pool2d(x, node.kernel, node.stride, node.padding[::2])
            case g.AveragePoolNode():
                return functional.avg_pool2d(x, node.kernel, node.stride)
            case g.GlobalAveragePoolNode():
                return x.mean((2, 3))
            case g.FlattenNode():
                return last(x).flatten(1)
            case g.AddNode():
                return x + other
            case g.ConcatNode():
                return torch.cat([x, other], 1)
            case g.QuantizeNode():
                return self.quantized(node.name, node, x, x[0].numel())

    def weight(self, node):
        w = self.parameters[f"{node.name}.weight"]
        if node.weights is None:
            return w
        return self.quantized(f"{node.name}.weight", node.weights, w, w.numel())

    def quantized(self, name, spec, v, n):
        scale = spec.rule.step_grad_scale(spec.format, n)
        step = self.parameters[f"{name}.step"]
        return quantize(v, step, spec.format, spec.rule.edge_mask, scale)


def first(x):
    """Channels last to channels first."""
    return x.permute(0, 3, 1, 2) if x.dim() == 4 else x


def last(x):
    return x.permute(0, 2, 3, 1) if x.dim() == 4 else x


def check_network(graph, *, n=4, seed=0, training=True, tolerance=2e-5, start=None):
    """Output, and each parameter's gradient, within ``tolerance`` of its largest element."""
    model = Model(graph, seed)
    x = normal(n, *graph.input_shape, seed=seed + 1)
    if start is not None:
        start(model, x)
    theirs = TorchNetwork(graph, model.state(), training=training)
    y = model.forward(x, Mode.TRAINING if training else Mode.EVALUATION)
    loss = normal(*y.shape, seed=seed + 2)
    expected = theirs(x)
    close(y, expected.detach().numpy(), tolerance, "output")
    model.backward(loss)
    expected.backward(torch.tensor(loss))
    for parameter in model.parameters:
        close(
            parameter.grad,
            theirs.parameters[parameter.name].grad.numpy(),
            tolerance,
            parameter.name,
        )
    for name, (mean, variance) in theirs.running.items():
        close(model.array(f"{name}.mean"), mean.numpy(), tolerance, f"{name}.mean")
        close(model.array(f"{name}.variance"), variance.numpy(), tolerance, f"{name}.variance")


def close(a, b, tolerance, what):
    limit = tolerance * (float(np.abs(b).max()) + 1e-3)
    np.testing.assert_allclose(a, b, rtol=0, atol=limit, err_msg=what)


NODES = [
    (g.LinearNode(**NAMES, features=7), (9,)),
    (g.LinearNode(**NAMES, features=7, bias=g.Bias.NONE), (9,)),
    (g.Conv2dNode(**NAMES, channels=6), (8, 9, 4)),
    (g.Conv2dNode(**NAMES, channels=6, bias=g.Bias.LEARNED, padding=(1, 1, 1, 1)), (8, 9, 4)),
    (g.Conv2dNode(**NAMES, channels=6, stride=(2, 3), padding=(0, 1, 2, 1)), (8, 9, 4)),
    (g.Conv2dNode(**NAMES, channels=6, kernel=(2, 3), dilation=(3, 2)), (8, 9, 4)),
    (g.Conv2dNode(**NAMES, channels=6, groups=2, padding=(1, 1, 1, 1)), (8, 9, 4)),
    (g.Conv2dNode(**NAMES, channels=8, groups=4, stride=(2, 2)), (8, 9, 4)),  # depthwise, twice
    (g.Conv2dNode(**NAMES, channels=6, kernel=(1, 1), stride=(2, 2)), (8, 9, 4)),
    (g.BatchNormNode(**NAMES), (9,)),
    (g.BatchNormNode(**NAMES, momentum=0.3, epsilon=0.01), (5, 4, 3)),
    (g.ReluNode(**NAMES), (5, 4, 3)),
    (g.MaxPoolNode(**NAMES), (8, 9, 4)),
    (g.MaxPoolNode(**NAMES, kernel=(3, 2), stride=(2, 1), padding=(1, 1, 1, 1)), (8, 9, 4)),
    (g.AveragePoolNode(**NAMES), (8, 9, 4)),
    (g.AveragePoolNode(**NAMES, kernel=(3, 2), stride=(1, 2)), (8, 9, 4)),
    (g.GlobalAveragePoolNode(**NAMES), (5, 4, 3)),
    (g.FlattenNode(**NAMES), (5, 4, 3)),
]


class TestLayers:
    @pytest.mark.parametrize(("node", "shape"), NODES)
    def test_forward_and_gradients(self, node, shape):
        """By the input as well, which a network alone does not ask for."""
        result = node.result_shape([shape])
        operation = build_operation(node, shape, result, np.random.default_rng(0))
        graph = g.GraphSpec(input_shape=shape, nodes=(node,))
        state = {p.name: p.value.copy() for p in operation.parameters} | {
            name: value.copy() for name, value in operation.statistics().items()
        }
        network = TorchNetwork(graph, state)
        x = normal(4, *shape, seed=1)
        v = torch.tensor(x, requires_grad=True)
        y = operation.forward([x], training=True)
        expected = last(network.node(node, first(v)))
        close(y, expected.detach().numpy(), 2e-6, "output")
        loss = normal(*y.shape, seed=2)
        [dx] = operation.backward(loss)
        expected.backward(torch.tensor(loss))
        close(dx, v.grad.numpy(), 5e-6, "input")
        for parameter in operation.parameters:
            theirs = network.parameters[parameter.name].grad.numpy()
            close(parameter.grad, theirs, 5e-6, parameter.name)
        for (name, ours), theirs in zip(
            operation.statistics().items(), network.running.get("node", ()), strict=True
        ):
            close(ours, theirs.numpy(), 2e-6, name)


class TestNetworks:
    @pytest.mark.parametrize("training", [True, False])
    def test_float_residual(self, training):
        check_network(residual((12, 12, 3), 5, (8, 12)), training=training)

    @pytest.mark.parametrize("mask", EdgeMask)
    @pytest.mark.parametrize("bits", [2, 4])
    def test_quantized_residual(self, mask, bits):
        """Every step size learned by the pseudocode; none of the values is near a tie by chance."""
        rule = StepRule(edge_mask=mask)
        policy = QuantizationPolicy(
            weight_bits=bits, activation_bits=bits, edge_bits=4, stream_bits=4,
            activation_rule=rule, weight_rule=rule,
        )  # fmt: skip
        graph = quantized(residual((6, 6, 2), 3, (4,), stem_stride=1), policy)

        def start(model, x):
            state = model.state()
            model.forward(x, Mode.TRAINING)
            steps = {n: v for n, v in model.state().items() if n.endswith(".step")}
            model.load_state(state | steps)

        check_network(graph, n=2, tolerance=1e-4, start=start)
