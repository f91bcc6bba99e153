"""A trained network folded to an integer one: every quantizer becomes the output of a node."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from lsqsim.coupling.hardware import HardwareSpec
from lsqsim.coupling.layer_folding import (
    LayerPart,
    Meaning,
    State,
    fold_layer,
    meaning_of,
    quantizer_spec,
    rescaler_for,
)
from lsqsim.errors import SpecError
from lsqsim.learn import graph
from lsqsim.learn.quantizer import LearnedQuantizer
from lsqsim.network.encoding import Encoding, InputSpec
from lsqsim.network.network import Network
from lsqsim.network.nodes import (
    INPUT,
    Add,
    AveragePool,
    Concat,
    Flatten,
    GlobalAveragePool,
    LayerNode,
    MaxPool,
    Node,
    Requantize,
)
from lsqsim.specs import Activation


class TrainedModel(Protocol):
    """What folding needs of a model: its graph, arrays and quantizers."""

    @property
    def graph(self) -> graph.GraphSpec: ...

    def state(self) -> State:
        """All parameters and statistics by name."""
        ...

    def quantizer(self, node: str, /) -> LearnedQuantizer:
        """The quantizer of a QuantizeNode."""
        ...

    def weight_quantizer(self, layer: str, /) -> LearnedQuantizer:
        """The quantizer of a layer's weights."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoldedNetwork:
    """An integer network, and where the training network's codes are in it.

    Attributes
    ----------
    network
        The integer network. A layer's node has the layer's name.
    names
        Training node to the integer node whose codes are its values:
        quantizers, poolings of largest values, flattenings, and an output
        without quantizer. That of the input's quantizer is ``"input"``.
    meanings
        The same nodes to what their codes mean; real values are
        (code - zero_point) * step_size + residual.
    """

    network: Network
    names: dict[str, str]
    meanings: dict[str, Meaning]


def fold_model(
    model: TrainedModel, hardware: HardwareSpec, *, output_step: float | None = None
) -> FoldedNetwork:
    """Fold batch normalizations, step sizes and offsets into codes, biases and factors.

    Weight codes are those of the model's quantizers, bit for bit (negated in
    channels whose normalization has a negative factor).

    Parameters
    ----------
    model : TrainedModel
        The network: its input quantized; every layer, addition, average and
        concatenation on quantized values, and through an optional batch
        normalization (of layers) and an optional ReLU to one quantizer.
    hardware : HardwareSpec
        The accelerator.
    output_step : float, optional
        Real units a code of an output that has no quantizer.

    Raises
    ------
    SpecError
        A graph of another pattern, naming the node and what to insert; what
        folding a layer raises.
    """
    return _Folding(model, hardware, output_step).run()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Coded:
    """A value that is codes: of which integer node, and what they mean."""

    name: str
    meaning: Meaning


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    """A value that is not stored yet: a node on codes, and what follows it."""

    node: Any
    sources: list[_Coded]
    norm: graph.BatchNormNode | None = None
    activation: Activation = Activation.NONE

    @property
    def is_bare_layer(self) -> bool:
        """Whether it is a layer that nothing follows yet."""
        is_layer = isinstance(self.node, graph.Conv2dNode | graph.LinearNode)
        return is_layer and self.norm is None and self.activation is Activation.NONE


class _Folding:
    """One walk over the graph, node by node."""

    def __init__(
        self, model: TrainedModel, hardware: HardwareSpec, output_step: float | None
    ) -> None:
        self.model = model
        self.hardware = hardware
        self.output_step = output_step
        self.state = model.state()
        self.last = model.graph.nodes[-1].name
        self.values: dict[str, _Coded | _Pending] = {}
        self.nodes: list[Node] = []
        self.input: InputSpec | None = None

    def run(self) -> FoldedNetwork:
        for node in self.model.graph.nodes:
            value = self._fold(node)
            self.values[node.name] = value
            if isinstance(value, _Pending):
                self._require_one_consumer(node.name)
        self._store_output()
        assert self.input is not None, "nothing but a quantizer may take the input"
        coded = {key: value for key, value in self.values.items() if isinstance(value, _Coded)}
        return FoldedNetwork(
            network=Network(self.input, self.nodes),
            names={key: value.name for key, value in coded.items()},
            meanings={key: value.meaning for key, value in coded.items()},
        )

    def _fold(self, node: graph.AnyNode) -> _Coded | _Pending:
        match node:
            case graph.QuantizeNode():
                return self._quantize(node)
            case graph.BatchNormNode():
                return self._normalize(node)
            case graph.ReluNode():
                return self._rectify(node)
            case graph.MaxPoolNode():
                source = self._coded(node.name, node.source)
                pool = MaxPool(
                    name=node.name, source=source.name, kernel=node.kernel, stride=node.stride,
                    padding=node.padding,
                )  # fmt: skip
                return self._move(pool, source)
            case graph.FlattenNode():
                source = self._coded(node.name, node.source)
                return self._move(Flatten(name=node.name, source=source.name), source)
            case _:
                sources = [self._coded(node.name, source) for source in node.sources]
                return _Pending(node=node, sources=sources)

    def _coded(self, name: str, source: str) -> _Coded:
        value = self.values.get(source)
        if isinstance(value, _Coded):
            return value
        raise SpecError(
            f"{name} takes {source}, which is not quantized: insert a QuantizeNode behind {source}"
        )

    def _move(self, node: Node, source: _Coded) -> _Coded:
        self.nodes.append(node)
        return replace(source, name=node.name)

    def _normalize(self, node: graph.BatchNormNode) -> _Pending:
        value = self.values.get(node.source)
        if isinstance(value, _Pending) and value.is_bare_layer:
            return replace(value, norm=node)
        raise SpecError(
            f"{node.name}: a batch normalization folds into a layer directly before it, but "
            f"follows {node.source}: move it behind a layer, or remove it"
        )

    def _rectify(self, node: graph.ReluNode) -> _Pending:
        value = self.values.get(node.source)
        if not isinstance(value, _Pending):
            raise SpecError(
                f"{node.name}: a ReLU is the clip of the quantizer behind it, but follows "
                f"{node.source}, which is "
                f"{'the input' if node.source == INPUT else 'quantized already'}: move it between "
                f"a layer and its QuantizeNode, or remove it"
            )
        return replace(value, activation=Activation.RELU)

    def _quantize(self, node: graph.QuantizeNode) -> _Coded:
        quantizer = self.model.quantizer(node.name)
        meaning = meaning_of(quantizer)
        if node.source == INPUT:
            return self._take_input(node.name, meaning, float(quantizer.offset.value[0]))
        value = self.values[node.source]
        if isinstance(value, _Coded):
            value = _Pending(node=node, sources=[value])
        self._store(value, meaning)
        return _Coded(name=value.node.name, meaning=meaning)

    def _take_input(self, name: str, meaning: Meaning, offset: float) -> _Coded:
        if self.input is not None:
            raise SpecError(
                f"{name} quantizes the network's input a second time: take the first one's values"
            )
        encoding = meaning.encoding
        self.input = InputSpec(
            shape=self.model.graph.input_shape,
            quantizer=quantizer_spec(encoding.format),
            step_size=encoding.step_size,
            offset=offset,
            zero_point=encoding.zero_point,
        )
        return _Coded(name=INPUT, meaning=meaning)

    def _store_output(self) -> None:
        value = self.values[self.last]
        if isinstance(value, _Coded):
            if self.output_step is not None:
                raise SpecError(f"{self.last}, the output, is quantized: leave output_step out")
            return
        if self.output_step is None:
            raise SpecError(
                f"{self.last}, the output, has no quantizer: give output_step, the real units a "
                f"code of its {self.hardware.logits}, or insert a QuantizeNode behind it"
            )
        encoding = Encoding(format=self.hardware.logits, step_size=float(self.output_step))
        meaning = Meaning(encoding=encoding)
        self._store(value, meaning)
        self.values[self.last] = _Coded(name=value.node.name, meaning=meaning)

    def _require_one_consumer(self, name: str) -> None:
        n = len(self.model.graph.consumers(name))
        if n == (name != self.last):
            return
        if n == 0:
            raise SpecError(f"{name}: no node takes its values: remove it")
        raise SpecError(
            f"{name} is not quantized, and {n} nodes take its values: insert one QuantizeNode "
            f"behind it, for all of them"
        )

    def _store(self, value: _Pending, output: Meaning) -> None:
        """The integer node that puts out ``output``.

        Codes from the zero point upward are their own ReLU; it is named, so that the float
        reference has it too.
        """
        if output.encoding.centered[0] == 0:
            value = replace(value, activation=Activation.RELU)
        node = value.node
        if isinstance(node, graph.Conv2dNode | graph.LinearNode):
            if node.weights is None:
                raise SpecError(f"{node.name}: its weights are not quantized: give it weights")
            part = LayerPart(
                node=node, norm=value.norm, activation=value.activation,
                quantizer=self.model.weight_quantizer(node.name),
            )  # fmt: skip
            unit = fold_layer(part, self.state, value.sources[0].meaning, output, self.hardware)
            self.nodes.append(LayerNode(source=value.sources[0].name, unit=unit))
            return
        self.nodes.append(self._builder(node)(**self._fields(value, output)))

    def _fields(self, value: _Pending, output: Meaning) -> dict[str, Any]:
        """What all nodes without weights have."""
        residual = [source.meaning.residual for source in value.sources]
        is_sum = isinstance(value.node, graph.AddNode)
        names = [source.name for source in value.sources]
        fields: dict[str, Any] = {
            "name": value.node.name,
            "source": names[0],
            "output": output.encoding,
            "activation": value.activation,
            "bias": (sum(residual) if is_sum else residual[0]) - output.residual,
        }
        if is_sum:
            return fields | {"other": names[1], "adder": self.hardware.add}
        if isinstance(value.node, graph.ConcatNode):
            others = tuple(each - residual[0] for each in residual)
            fields |= {"others": tuple(names[1:]), "offsets": others}
        rescaler = rescaler_for(self.hardware, output.encoding.format, per_channel=False)
        needs_guard = (fields["bias"] or any(residual)) and not rescaler.takes_bias
        guard = self.hardware.guard_bits if needs_guard else 0
        return fields | {"rescaler": rescaler, "guard_bits": guard}

    def _builder(self, node: graph.AnyNode) -> Callable[..., Node]:
        pool = self.hardware.pool
        match node:
            case graph.AddNode():
                return Add
            case graph.ConcatNode():
                return Concat
            case graph.AveragePoolNode():
                return partial(
                    AveragePool, kernel=node.kernel, stride=node.stride, accumulator=pool
                )
            case graph.GlobalAveragePoolNode():
                return partial(GlobalAveragePool, accumulator=pool)
            case _:
                return Requantize
