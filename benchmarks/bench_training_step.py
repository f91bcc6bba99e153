"""One training step of the CIFAR-10 network with LSQ at 2 bits, against the same in PyTorch.

Forward, backward and update at batch 128, one thread each. PyTorch quantizes by its own fused
operator, `_fake_quantize_learnable_per_tensor_affine`, in the memory layout that suits it better.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.paired import Measurement, measure
from lsqsim.formats import IntFormat
from lsqsim.learn.architectures import residual
from lsqsim.learn.evaluation import one_thread
from lsqsim.learn.graph import (
    INPUT,
    AddNode,
    AnyNode,
    BatchNormNode,
    Conv2dNode,
    GlobalAveragePoolNode,
    GraphSpec,
    LinearNode,
    QuantizeNode,
)
from lsqsim.learn.loss import softmax_cross_entropy
from lsqsim.learn.model import Mode, Model
from lsqsim.learn.optimizer import Sgd
from lsqsim.learn.placement import InputSign, QuantizationPolicy, quantized

BATCH, CLASSES, BITS = 128, 10, 2
IMAGE = (32, 32, 3)
PRODUCTS = 12_281_088
"""Multiply-accumulates of one image's forward pass."""
RATE, MOMENTUM = 0.001, 0.9


def run(pairs: int) -> Iterator[Measurement]:
    """The float network, and the quantized one."""
    float_graph = residual(IMAGE, CLASSES)
    policy = QuantizationPolicy(weight_bits=BITS, activation_bits=BITS, input_sign=InputSign.SIGNED)
    rng = np.random.default_rng(0)
    images = rng.standard_normal((BATCH, *IMAGE), np.float32)
    labels = rng.integers(0, CLASSES, BATCH)
    for name, graph in (("float", float_graph), ("LSQ 2 bits", quantized(float_graph, policy))):
        with one_thread():
            yield measure(
                f"training step, {name}",
                _ours(graph, images, labels),
                "PyTorch",
                _with_torch(graph, images, labels),
                work=3 * BATCH * PRODUCTS,
                pairs=pairs,
            )


def _ours(graph: GraphSpec, images: np.ndarray, labels: np.ndarray) -> Callable[[], None]:
    model = Model(graph, 0)
    optimizer = Sgd(model.parameters, model.quantizers, momentum=MOMENTUM, weight_decay=0.0)

    def step() -> None:
        model.zero_grad()
        grad = softmax_cross_entropy(model.forward(images, Mode.TRAINING), labels)[1]
        model.backward(grad)
        optimizer.update(RATE)

    return step


def _with_torch(
    graph: GraphSpec, images: np.ndarray, labels: np.ndarray
) -> Callable[[], None] | None:
    """The same step in PyTorch, of the faster of its two memory layouts; None without it."""
    try:  # a peer, not a dependency: hence no import that type checkers look for
        torch = import_module("torch")
    except ImportError:
        return None
    torch.set_num_threads(1)
    steps = [
        _torch_step(torch, graph, images, labels, layout)
        for layout in (torch.contiguous_format, torch.channels_last)
    ]
    times = [measure("", step, "", None, work=1, pairs=3).seconds for step in steps]
    return steps[int(np.argmin(times))]


def _torch_step(
    torch: Any, graph: GraphSpec, images: np.ndarray, labels: np.ndarray, layout: Any
) -> Callable[[], None]:
    network = _TorchNetwork(torch, graph, layout)
    x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).contiguous(memory_format=layout)
    y = torch.from_numpy(labels)
    optimizer = torch.optim.SGD(network.parameters, RATE, momentum=MOMENTUM)
    functional = torch.nn.functional

    def step() -> None:
        optimizer.zero_grad()
        functional.cross_entropy(network(x), y).backward()
        optimizer.step()

    return step


class _TorchNetwork:
    """Our graph, node by node, on PyTorch's operators."""

    def __init__(self, torch: Any, graph: GraphSpec, layout: Any) -> None:
        self._torch, self._graph, self._layout = torch, graph, layout
        self._zero = torch.zeros(1)
        self._modules: dict[str, Any] = {}
        self.parameters: list[Any] = []
        shapes = graph.shapes()
        for node in graph.nodes:
            self._build(node, shapes[node.source][-1])

    def _build(self, node: AnyNode, channels: int) -> None:
        nn = self._torch.nn
        match node:
            case Conv2dNode():
                module = nn.Conv2d(
                    channels, node.channels, node.kernel, node.stride, node.padding[0], bias=False
                ).to(memory_format=self._layout)
            case LinearNode():
                module = nn.Linear(channels, node.features)
            case BatchNormNode():
                module = nn.BatchNorm2d(channels)
            case _:
                module = None
        if module is not None:
            self._modules[node.name] = module
            self.parameters += list(module.parameters())
        if isinstance(node, QuantizeNode) or getattr(node, "weights", None) is not None:
            step = nn.Parameter(self._torch.tensor([0.05]))
            self._modules[f"{node.name}.step"] = step
            self.parameters.append(step)

    def __call__(self, x: Any) -> Any:
        values = {INPUT: x}
        for node in self._graph.nodes:
            values[node.name] = self._apply(node, [values[source] for source in node.sources])
        return values[self._graph.nodes[-1].name]

    def _apply(self, node: AnyNode, inputs: list[Any]) -> Any:
        x, functional = inputs[0], self._torch.nn.functional
        match node:
            case Conv2dNode():
                weight = self._weight(node)
                return functional.conv2d(x, weight, None, node.stride, node.padding[0])
            case LinearNode():
                return functional.linear(x, self._weight(node), self._modules[node.name].bias)
            case QuantizeNode():
                return self._quantize(node.name, x, node.format, x.numel() // x.shape[0])
            case AddNode():
                return x + inputs[1]
            case GlobalAveragePoolNode():
                return x.mean((2, 3))
            case BatchNormNode():
                return self._modules[node.name](x)
            case _:
                return functional.relu(x)

    def _weight(self, node: Conv2dNode | LinearNode) -> Any:
        weight = self._modules[node.name].weight
        if node.weights is None:
            return weight
        return self._quantize(node.name, weight, node.weights.format, weight.numel())

    def _quantize(self, name: str, values: Any, fmt: IntFormat, n_features: int) -> Any:
        return self._torch._fake_quantize_learnable_per_tensor_affine(  # noqa: SLF001 - its fused LSQ
            values, self._modules[f"{name}.step"], self._zero, fmt.min, fmt.max,
            (n_features * fmt.max) ** -0.5,
        )  # fmt: skip
