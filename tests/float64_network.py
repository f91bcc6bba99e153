"""A network in float64, node by node in plain loops; shares no code with the engine but the graph.

What a learned quantizer adds to a gradient is no derivative of what it computes. Here it is the
straight line through what it computes at the values of one base run, with the slopes that
docs/gradients.md states: finite differences of that network are the gradients that the engine
must have, up to the factor g of step sizes.
"""

from dataclasses import dataclass

import numpy as np

import learned_oracle as oracle
from lsqsim.formats import IntFormat
from lsqsim.learn import graph as g


def conv2d(x, w, node, padding_value=0.0):
    """One output position at a time; x (n, h, w, c), w (kh, kw, c / groups, outputs)."""
    top, bottom, left, right = node.padding
    n, height, width, c = x.shape
    padded = np.full((n, height + top + bottom, width + left + right, c), padding_value)
    padded[:, top : top + height, left : left + width] = x
    kh, kw, per_group, outputs = w.shape
    (sh, sw), (dh, dw) = node.stride, node.dilation
    oh = (padded.shape[1] - dh * (kh - 1) - 1) // sh + 1
    ow = (padded.shape[2] - dw * (kw - 1) - 1) // sw + 1
    share = outputs // node.groups
    y = np.empty((n, oh, ow, outputs))
    for i in range(oh):
        for j in range(ow):
            rows = slice(i * sh, i * sh + dh * (kh - 1) + 1, dh)
            cols = slice(j * sw, j * sw + dw * (kw - 1) + 1, dw)
            for k in range(node.groups):
                patch = padded[:, rows, cols, k * per_group : (k + 1) * per_group]
                out = slice(k * share, (k + 1) * share)
                y[:, i, j, out] = np.tensordot(patch, w[..., out], 3)
    return y


def pool(x, kernel, stride, padding, reduce):
    top, bottom, left, right = padding
    n, height, width, c = x.shape
    padded = np.full((n, height + top + bottom, width + left + right, c), -np.inf)
    padded[:, top : top + height, left : left + width] = x
    oh = (padded.shape[1] - kernel[0]) // stride[0] + 1
    ow = (padded.shape[2] - kernel[1]) // stride[1] + 1
    y = np.empty((n, oh, ow, c))
    for i in range(oh):
        for j in range(ow):
            a, b = i * stride[0], j * stride[1]
            y[:, i, j] = reduce(padded[:, a : a + kernel[0], b : b + kernel[1]], axis=(1, 2))
    return y


def batch_norm(x, gamma, beta, epsilon, moments=None):
    axes = tuple(range(x.ndim - 1))
    mean, variance = (x.mean(axes), x.var(axes)) if moments is None else moments
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta


@dataclass
class Line:
    """A quantizer as the straight line through its base values."""

    fmt: IntFormat
    mask: str
    base: tuple | None = None

    def __call__(self, v, step, offset=0.0):
        low, high = self.fmt.min, self.fmt.max
        if self.base is None:
            step32, offset32 = np.float32(step), np.float32(offset)
            us = [oracle.position(np.float32(x), step32, offset32) for x in v.reshape(-1)]
            codes = np.array([oracle.code(u, low, high) for u in us], float).reshape(v.shape)
            slopes = [
                np.array([float(rule(u, low, high, self.mask)) for u in us]).reshape(v.shape)
                for rule in (oracle.by_value, oracle.by_step, oracle.by_offset)
            ]
            self.base = v.copy(), float(step), float(offset), codes, slopes
        v0, step0, offset0, codes, (by_value, by_step, by_offset) = self.base
        base = codes * step0 + offset0
        return (
            base + by_value * (v - v0) + by_step * (step - step0) + by_offset * (offset - offset0)
        )


class Network:
    """A graph run in float64; parameters by the names that the engine gives them."""

    def __init__(self, graph, *, training=True):
        self.graph = graph
        self.training = training
        self.lines = {}

    def __call__(self, parameters, x):
        values = {g.INPUT: x}
        for node in self.graph.nodes:
            sources = [values[s] for s in node.sources]
            values[node.name] = self.node(node, parameters, sources)
        self.values = values
        return values[self.graph.nodes[-1].name]

    def node(self, node, parameters, sources):  # noqa: C901 - a case for each node
        x = sources[0]
        match node:
            case g.LinearNode() | g.Conv2dNode():
                w = parameters[f"{node.name}.weight"]
                if node.weights is not None:
                    w = self.line(f"{node.name}.weight", node.weights, parameters, w)
                y = x @ w if isinstance(node, g.LinearNode) else conv2d(x, w, node)
                return y + parameters.get(f"{node.name}.bias", 0.0)
            case g.BatchNormNode():
                running = parameters[f"{node.name}.mean"], parameters[f"{node.name}.variance"]
                gamma, beta = parameters[f"{node.name}.gamma"], parameters[f"{node.name}.beta"]
                return batch_norm(x, gamma, beta, node.epsilon, None if self.training else running)
            case g.ReluNode():
                return np.maximum(x, 0)
            case g.MaxPoolNode():
                return pool(x, node.kernel, node.stride, node.padding, np.max)
            case g.AveragePoolNode():
                return pool(x, node.kernel, node.stride, (0, 0, 0, 0), np.mean)
            case g.GlobalAveragePoolNode():
                return x.mean((1, 2))
            case g.FlattenNode():
                return x.reshape(len(x), -1)
            case g.AddNode():
                return x + sources[1]
            case g.ConcatNode():
                return np.concatenate(sources, -1)
            case g.QuantizeNode():
                return self.line(node.name, node, parameters, x)

    def line(self, name, spec, parameters, v):
        """Per tensor, LSQ or LSQ+, steps learned as they are."""
        if name not in self.lines:
            self.lines[name] = Line(spec.format, spec.rule.edge_mask.value)
        offset = parameters.get(f"{name}.offset", np.zeros(1))
        return self.lines[name](v, parameters[f"{name}.step"][0], offset[0])


def differences(function, x, weights, h=1e-5):
    """d sum(weights * function(x)) / dx, element by element."""
    grad = np.empty_like(x)
    for index in np.ndindex(*x.shape):
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved[index] += sign * h
            ends.append(float((weights * function(moved)).sum()))
        grad[index] = (ends[0] - ends[1]) / (2 * h)
    return grad


def check_operation(operation, replica, inputs, *, training=True, seed=0, atol=2e-5):
    """Forward and all gradients of an operation against ``replica(parameters, inputs)``."""
    wide = [x.astype(np.float64) for x in inputs]
    parameters = {p.name: p.value.astype(np.float64) for p in operation.parameters}
    y = operation.forward(inputs, training=training)
    expected = replica(parameters, wide)
    np.testing.assert_allclose(y, expected, rtol=0, atol=atol)
    weights = np.random.default_rng(seed).normal(size=y.shape).astype(np.float32)
    grads = operation.backward(weights.copy())
    for i, grad in enumerate(grads):

        def of_input(x, i=i):
            return replica(parameters, [*wide[:i], x, *wide[i + 1 :]])

        expected = differences(of_input, wide[i], weights)
        np.testing.assert_allclose(grad, expected, rtol=0, atol=atol, err_msg=f"input {i}")
    for parameter in operation.parameters:

        def of_parameter(value, name=parameter.name):
            return replica(parameters | {name: value}, wide)

        expected = differences(of_parameter, parameters[parameter.name], weights)
        np.testing.assert_allclose(
            parameter.grad, expected, rtol=0, atol=atol * 10, err_msg=parameter.name
        )
