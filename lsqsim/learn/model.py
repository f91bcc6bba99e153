"""A network in training: its operations in order, forward and backward."""

from collections.abc import Mapping
from enum import Enum, auto

import numpy as np

from lsqsim.errors import DataError
from lsqsim.learn.graph import INPUT, GraphSpec, QuantizeNode
from lsqsim.learn.operations import Operation, build_operation
from lsqsim.learn.operations.batch_norm import BatchNorm
from lsqsim.learn.operations.building import WEIGHT_SUFFIX
from lsqsim.learn.operations.convolution import Conv2d
from lsqsim.learn.operations.elementwise import Flatten, Quantize
from lsqsim.learn.operations.linear import Linear
from lsqsim.learn.operations.pooling import MaxPool
from lsqsim.learn.parameters import Parameter
from lsqsim.learn.quantizer import LearnedQuantizer
from lsqsim.learn.rule import Learning


class Mode(Enum):
    """What a forward pass is for."""

    TRAINING = auto()
    """Batch statistics; what the backward pass needs is kept; step sizes start."""
    EVALUATION = auto()
    """Running statistics; nothing changes."""


class Model:
    """The computing node's copy of the network (the patent's term): float32, channels last.

    Parameters
    ----------
    graph : GraphSpec
        The network, float or with quantizers.
    seed : int
        Of the weights.

    Raises
    ------
    SpecError
        A rule that does not fit where it stands.

    Examples
    --------
    One layer of one weight, and its gradient.

    >>> from lsqsim.learn.graph import LinearNode
    >>> model = Model(GraphSpec(input_shape=(1,), nodes=(LinearNode(
    ...     name="layer", source="input", features=1),)), seed=0)
    >>> model.array("layer.weight")[:] = 3
    >>> model.forward(np.array([[2.0]], np.float32), Mode.TRAINING)
    array([[6.]], dtype=float32)
    >>> model.backward(np.array([[1.0]], np.float32))
    >>> model.parameters[0].name, model.parameters[0].grad
    ('layer.weight', array([[2.]], dtype=float32))
    """

    def __init__(self, graph: GraphSpec, seed: int) -> None:
        self.graph = graph
        shapes = graph.shapes()
        rng = np.random.default_rng(seed)
        self._operations: dict[str, Operation] = {
            node.name: build_operation(node, shapes[node.source], shapes[node.name], rng)
            for node in graph.nodes
        }
        self.parameters: list[Parameter] = [
            parameter
            for operation in self._operations.values()
            for parameter in operation.parameters
        ]
        self.quantizers = self._find_quantizers()
        self._needs_gradient = self._find_gradients()
        self._pad_with_quantized_zero()
        self._values: dict[str, np.ndarray] = {}
        self._sums: dict[str, np.ndarray] = {}

    def forward(
        self,
        x: np.ndarray,
        mode: Mode,
        replay: Mapping[str, np.ndarray] | None = None,
    ) -> np.ndarray:
        """The network's output (n, classes), float32, valid until the next pass.

        Parameters
        ----------
        x : float32 array (n, ...)
            Real inputs, of the graph's input shape.
        mode : Mode
            Training or evaluation.
        replay : mapping, optional
            Values of nodes that were computed elsewhere, as by the accelerator: they take the
            place of what the node computes, and gradients pass straight through.

        Raises
        ------
        DataError
            Inputs or replayed values of another shape, an empty batch, one value a channel to
            normalize, or a step size that has not started in evaluation.
        """
        if x.shape[1:] != self.graph.input_shape or not len(x):
            raise DataError(
                f"the network takes a batch of {self.graph.input_shape}, got shape {x.shape}"
            )
        training = mode is Mode.TRAINING
        if not training:
            self._require_started()
        values = self._values = {INPUT: np.ascontiguousarray(x, np.float32)}
        for node in self.graph.nodes:
            sources = [values[source] for source in node.sources]
            result = self._operations[node.name].forward(sources, training=training)
            if replay is not None and node.name in replay:
                result = _replayed(node.name, result.shape, replay[node.name])
            values[node.name] = result
        return values[self.graph.nodes[-1].name]

    def backward(self, grad: np.ndarray) -> None:
        """Add to every parameter's gradient, from the gradient by the last forward's output."""
        grads: dict[str, np.ndarray] = {self.graph.nodes[-1].name: grad}
        for node in reversed(self.graph.nodes):
            arrived = grads.pop(node.name, None)
            if arrived is None or not self._needs_gradient[node.name]:
                continue
            for source, part in zip(
                node.sources, self._operations[node.name].backward(arrived), strict=True
            ):
                if part is not None and self._needs_gradient[source]:
                    held = grads.get(source)
                    grads[source] = part if held is None else self._sum(source, held, part)

    def _sum(self, name: str, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Gradients of two consumers, in memory of their own: either may be another's."""
        out = self._sums.get(name)
        if out is None or out.shape != first.shape:
            out = self._sums[name] = np.empty_like(first)
        return np.add(first, second, out=out)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters:
            parameter.grad[...] = 0

    def quantizer(self, node: str) -> LearnedQuantizer:
        """The quantizer of a QuantizeNode."""
        return self.quantizers[node]

    def weight_quantizer(self, layer: str) -> LearnedQuantizer:
        """The quantizer of a layer's weights."""
        return self.quantizers[layer + WEIGHT_SUFFIX]

    def array(self, name: str) -> np.ndarray:
        """The parameter or running statistic of this name, itself, not a copy."""
        return self._arrays()[name]

    def value(self, node: str) -> np.ndarray:
        """What ``node`` put out in the last forward pass."""
        return self._values[node]

    def state(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and running statistics, float32, by name."""
        return {name: array.copy() for name, array in self._arrays().items()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take what :meth:`state` gave.

        Raises
        ------
        DataError
            Names or shapes other than this network's; nothing is taken then.
        """
        arrays = self._arrays()
        if different := sorted(arrays.keys() ^ state.keys()):
            where = "missing from" if different[0] in arrays else "unknown to"
            what = "the state" if different[0] in arrays else "the network"
            raise DataError(f"{different[0]} is {where} {what}: it is of another network")
        for name, array in arrays.items():
            if array.shape != state[name].shape:
                raise DataError(
                    f"{name} has shape {state[name].shape} in the state, {array.shape} in the "
                    f"network: it is of another network"
                )
        for name, array in arrays.items():
            array[...] = state[name]

    def freeze_batch_norm(self) -> None:
        """Let every batch normalization use its running statistics in training as well."""
        for operation in self._operations.values():
            if isinstance(operation, BatchNorm):
                operation.is_frozen = True

    def first_nonfinite(self) -> str | None:
        """The first parameter, or else node of the last forward pass, that holds NaN or inf."""
        for name, array in self._arrays().items():
            if not np.isfinite(array).all():
                return name
        for name, array in self._values.items():
            if not np.isfinite(array).all():
                return name
        return None

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {parameter.name: parameter.value for parameter in self.parameters}
        for operation in self._operations.values():
            arrays |= operation.statistics()
        return arrays

    def _find_quantizers(self) -> dict[str, LearnedQuantizer]:
        found: dict[str, LearnedQuantizer] = {}
        for operation in self._operations.values():
            match operation:
                case Quantize(quantizer=quantizer):
                    found[quantizer.name] = quantizer
                case Conv2d(weights=weights) | Linear(weights=weights):
                    if weights.quantizer is not None:
                        found[weights.quantizer.name] = weights.quantizer
                case _:
                    pass
        return found

    def _find_gradients(self) -> dict[str, bool]:
        """Which values have something to learn before them; layers skip what nobody needs."""
        needs = {INPUT: False}
        for node in self.graph.nodes:
            operation = self._operations[node.name]
            above = any(needs[source] for source in node.sources)
            fixed = isinstance(node, QuantizeNode) and node.rule.learning is Learning.FIXED
            needs[node.name] = above or (bool(operation.parameters) and not fixed)
            if isinstance(operation, Conv2d | Linear):
                operation.needs_input_gradient = above
        return needs

    def _pad_with_quantized_zero(self) -> None:
        for node in self.graph.nodes:
            operation = self._operations[node.name]
            if isinstance(operation, Conv2d):
                source = self._operations.get(self._stored(node.source))
                if isinstance(source, Quantize):
                    operation.padding_value = source.quantizer.quantized_zero

    def _stored(self, name: str) -> str:
        """The node that decided on the codes of ``name``: pooling and flattening move them only."""
        while isinstance(self._operations.get(name), MaxPool | Flatten):
            name = self.graph.node(name).source
        return name

    def _require_started(self) -> None:
        for quantizer in self.quantizers.values():
            if not quantizer.is_started:
                raise DataError(
                    f"{quantizer.name} has no step size yet: train on a batch first, or set one"
                )


def _replayed(name: str, shape: tuple[int, ...], values: np.ndarray) -> np.ndarray:
    if values.shape != shape:
        raise DataError(f"{name} puts out shape {shape}, what is to replace it has {values.shape}")
    return np.ascontiguousarray(values, np.float32)
