"""Where quantizers stand: from a float network to one whose every stored value is codes.

Each convolution and linear layer takes codes of the activation width and holds weights of the
weight width; the first and the last such layer take the edge width. What an addition takes, and
what it yields, is stored in codes of the stream width: they are requantized for the layer that
takes them. An unsigned quantizer is its own ReLU.
"""

from dataclasses import dataclass, replace

from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat, SpecEnum
from lsqsim.learn.graph import (
    INPUT,
    AddNode,
    AnyNode,
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
from lsqsim.learn.rule import Granularity, Method, StepRule
from lsqsim.specs.toml import Spec

_Layer = LinearNode | Conv2dNode
_Sum = AddNode | ConcatNode | AveragePoolNode | GlobalAveragePoolNode
_Moved = MaxPoolNode | FlattenNode


class InputSign(SpecEnum):
    """Whether the network's real inputs have a sign."""

    SIGNED = "signed"
    UNSIGNED = "unsigned"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizationPolicy(Spec):
    """Widths and rules of a whole network.

    Attributes
    ----------
    weight_bits, activation_bits
        Of all layers but the first and the last.
    edge_bits
        Of the first and the last layer: their weights and what they take.
    stream_bits
        Of what additions, concatenations and pools take and yield.
    input_sign
        Of the real inputs.
    activation_rule, weight_rule
        How step sizes are learned.
    """

    weight_bits: int = 8
    activation_bits: int = 8
    edge_bits: int = 8
    stream_bits: int = 8
    input_sign: InputSign = InputSign.UNSIGNED
    activation_rule: StepRule = StepRule()
    weight_rule: StepRule = StepRule()

    def validate(self) -> None:
        if self.activation_rule.granularity is not Granularity.PER_TENSOR:
            raise SpecError(
                "activations have one step size, which leaves the sum over channels: "
                "activation_rule.granularity must be per_tensor"
            )
        for bits in (self.weight_bits, self.edge_bits):
            IntFormat(bits)
        for bits in (self.activation_bits, self.stream_bits):
            IntFormat(bits, signed=False)


def quantized(graph: GraphSpec, policy: QuantizationPolicy) -> GraphSpec:
    """``graph``, float, with quantizers wherever the accelerator stores codes.

    Layers, and the names of their weights, stay what they are, so that the float network's state
    fits; a quantizer that takes the place of a ReLU is called as the ReLU was.

    Raises
    ------
    SpecError
        A graph with quantizers already, or without a layer.
    """
    return _Placement(graph, policy).placed()


class _Placement:
    def __init__(self, graph: GraphSpec, policy: QuantizationPolicy) -> None:
        for node in graph.nodes:
            if isinstance(node, QuantizeNode) or (isinstance(node, _Layer) and node.weights):
                raise SpecError(f"{node.name} is quantized already: give the float network")
        self._graph, self._policy = graph, policy
        layers = [node.name for node in graph.nodes if isinstance(node, _Layer)]
        if not layers:
            raise SpecError("there is no layer to quantize")
        self._edges = {layers[0], layers[-1]}
        self._nodes: list[AnyNode] = []
        self._formats: dict[str, IntFormat] = {}
        """Format of every value that is stored as codes."""
        self._renamed: dict[str, str] = {}
        """What stands in the new graph for a node of the old one."""
        self._requantized: dict[tuple[str, IntFormat], str] = {}

    def placed(self) -> GraphSpec:
        self._store(INPUT, "input_codes", signed=self._policy.input_sign is InputSign.SIGNED)
        for node in self._graph.nodes:
            self._place(node)
        return replace(self._graph, nodes=tuple(self._nodes))

    def _place(self, node: AnyNode) -> None:
        match node:
            case Conv2dNode() | LinearNode():
                weight_bits, bits = self._layer_bits(node)
                source, weights = self._taken(node.source, bits), self._weights(weight_bits)
                self._append(replace(node, source=source, weights=weights))
                self._store_unless_continued(node)
            case BatchNormNode():
                self._append(replace(node, source=self._now(node.source)))
                self._store_unless_continued(node)
            case ReluNode():
                if self._now(node.source) in self._formats:
                    raise SpecError(f"{node.name} follows stored codes: put it before them")
                self._store(node.source, node.name, signed=False)
                self._renamed[node.name] = self._renamed[node.source]
            case AddNode() | ConcatNode():
                bits = self._policy.stream_bits
                taken = [self._taken(source, bits, at_least=True) for source in node.sources]
                self._append(replace(node, source=taken[0], other=taken[1]))
                self._store_unless_continued(node)
            case AveragePoolNode() | GlobalAveragePoolNode():
                self._append(replace(node, source=self._now(node.source)))
                self._store_unless_continued(node)
            case _:
                self._append(replace(node, source=self._now(node.source)))
                self._formats[node.name] = self._formats[self._now(node.source)]

    def _append(self, node: AnyNode) -> None:
        self._nodes.append(node)

    def _now(self, name: str) -> str:
        return self._renamed.get(name, name)

    def _store_unless_continued(self, node: AnyNode) -> None:
        """Put a quantizer behind ``node``, unless what is added next belongs to the same store."""
        consumers = self._graph.consumers(node.name)
        if node is self._graph.nodes[-1]:
            return
        if len(consumers) == 1 and isinstance(consumers[0], BatchNormNode | ReluNode):
            return
        signed = not self._is_nonnegative(node)
        self._store(node.name, f"{node.name}_codes", signed=signed)

    def _is_nonnegative(self, node: AnyNode) -> bool:
        """Whether a node's values have no sign since its sources' codes have none."""
        is_sum = isinstance(node, _Sum)
        return is_sum and not any(self._formats[self._now(s)].signed for s in node.sources)

    def _store(self, source: str, name: str, *, signed: bool) -> None:
        fmt = IntFormat(self._stored_bits(name, source), signed=signed)
        node = QuantizeNode(
            name=name, source=self._now(source), format=fmt, rule=self._activation_rule(fmt)
        )
        self._append(node)
        self._formats[name] = fmt
        self._renamed[source] = name

    def _stored_bits(self, name: str, source: str) -> int:
        """As many bits as the most demanding of the consumers takes."""
        asked = [
            bits for consumer in self._consumers(name, source) for bits in self._wanted_by(consumer)
        ]
        return max(asked, default=self._policy.stream_bits)

    def _consumers(self, name: str, source: str) -> list[AnyNode]:
        """Who takes what is stored, in the float graph: by the ReLU's name, or by the source's."""
        by_name = self._graph.consumers(name)
        return by_name or self._graph.consumers(source)

    def _wanted_by(self, consumer: AnyNode) -> list[int]:
        match consumer:
            case Conv2dNode() | LinearNode():
                return [self._layer_bits(consumer)[1]]
            case MaxPoolNode() | FlattenNode():
                return [
                    bits
                    for further in self._graph.consumers(consumer.name)
                    for bits in self._wanted_by(further)
                ]
            case _:
                return [self._policy.stream_bits]

    def _layer_bits(self, layer: _Layer) -> tuple[int, int]:
        policy = self._policy
        if layer.name in self._edges:
            return policy.edge_bits, policy.edge_bits
        return policy.weight_bits, policy.activation_bits

    def _taken(self, source: str, bits: int, *, at_least: bool = False) -> str:
        """The stored codes of ``source``, requantized where they have more than ``bits`` bits.

        With ``at_least``, more are welcome.
        """
        stored = self._now(source)
        held = self._formats[stored]
        if held.bits <= bits or at_least:
            return stored
        fmt = IntFormat(bits, signed=held.signed)
        if (stored, fmt) not in self._requantized:
            name = f"{stored}_{fmt}"
            self._append(
                QuantizeNode(name=name, source=stored, format=fmt, rule=self._activation_rule(fmt))
            )
            self._formats[name] = fmt
            self._requantized[stored, fmt] = name
        return self._requantized[stored, fmt]

    def _activation_rule(self, fmt: IntFormat) -> StepRule:
        """PACT is for unsigned codes: signed ones are learned by LSQ."""
        rule = self._policy.activation_rule
        if rule.method is Method.PACT and fmt.signed:
            return replace(rule, method=Method.LSQ)
        return rule

    def _weights(self, bits: int) -> WeightQuantizer:
        return WeightQuantizer(format=IntFormat(bits), rule=self._policy.weight_rule)
