"""A network on the integers: a graph of nodes, between which codes pass and nothing else."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from math import prod

import numpy as np

from lsqsim.channels import require_codes
from lsqsim.errors import DataError, LsqsimError, SpecError
from lsqsim.formats import StochasticRounding
from lsqsim.network.encoding import Encoding, InputSpec, Shape, encoding_of
from lsqsim.network.folds import NodeFold, fold_of
from lsqsim.network.nodes import INPUT, Add, LayerNode, Node, Rescaled
from lsqsim.network.reference import NodeReference, node_reference, reference_input
from lsqsim.network.shapes import output_encoding, output_shape, require_size
from lsqsim.network.units import NodeResult, Unit, build_unit
from lsqsim.overflow import OverflowCounts
from lsqsim.specs import AccumulatorSpec, Thresholds
from lsqsim.tensor import QTensor

Progress = Callable[[int, int], None]
"""Called with (samples done, samples in all) as a run goes on."""

_BLOCK_CODES = 1 << 23
"""Codes of the largest node that are in memory at once, about."""


class Keep(Enum):
    """What a run keeps."""

    OUTPUT = auto()
    """The last node's result."""
    ALL = auto()
    """Every node's."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NetworkRun:
    """What a run yields.

    Attributes
    ----------
    input
        The codes that entered.
    results
        Results of the nodes that were kept, by name, in order; the last is
        the network's output.
    overflow
        Outputs by kind of overflow, of every node with an accumulator; empty
        when not observed.
    """

    input: QTensor
    results: dict[str, NodeResult]
    overflow: dict[str, OverflowCounts]

    @property
    def output(self) -> QTensor:
        """The network's output codes."""
        return list(self.results.values())[-1].output

    def codes(self, name: str) -> QTensor:
        """The codes behind a node that was kept, or ``"input"``."""
        return self.input if name == INPUT else self.results[name].output


class Network:
    """A graph that runs on codes only; its output is the last node.

    Codes are samples first, channels last: (n, h, w, c) or (n, features).

    Parameters
    ----------
    input_spec : InputSpec
        Shape and quantizer of the input.
    nodes : sequence of Node
        In an order in which every node's sources stand before it.

    Raises
    ------
    SpecError
        Names that repeat or are not there yet; shapes, formats, step sizes or
        zero points that do not meet; what a unit raises, with its node's name.

    Attributes
    ----------
    input, nodes
        As given; nodes by name, in order.
    encodings, shapes
        What the codes behind the input and every node mean, and the shape of
        one sample of them.
    units
        What runs each node.

    Examples
    --------
    Codes of step 1/4 added to themselves, in codes of step 1.

    >>> from lsqsim.formats import IntFormat
    >>> from lsqsim.specs import QuantizerSpec
    >>> quantizer = QuantizerSpec(format=IntFormat(8))
    >>> x = InputSpec(shape=(2,), quantizer=quantizer, step_size=0.25)
    >>> one = Encoding(format=IntFormat(8), step_size=1.0)
    >>> network = Network(x, [Add(name="twice", source="input", other="input", output=one)])
    >>> network.codes(np.array([[1.0, -1.75]]))
    array([[ 2, -3]])
    """

    def __init__(self, input_spec: InputSpec, nodes: Sequence[Node]) -> None:
        if not nodes:
            raise SpecError("a network needs at least one node")
        require_size("the input has shape", input_spec.shape)
        self.input = input_spec
        self.nodes: dict[str, Node] = {}
        self.encodings: dict[str, Encoding] = {INPUT: input_spec.encoding}
        self.shapes: dict[str, Shape] = {INPUT: input_spec.shape}
        self.units: dict[str, Unit] = {}
        for node in nodes:
            self._take(node)
        self.output_name = nodes[-1].name

    def _take(self, node: Node) -> None:
        name = node.name
        if name in self.shapes or not name or "/" in name:
            raise SpecError(
                f"node names are unique, not empty, without '/' and not {INPUT!r}, got {name!r}"
            )
        for source in node.sources:
            if source not in self.shapes:
                raise SpecError(f"{name} takes {source!r}, which no node before it is called")
        encodings = [self.encodings[source] for source in node.sources]
        shapes = [self.shapes[source] for source in node.sources]
        self.shapes[name] = output_shape(node, shapes)
        self.encodings[name] = output_encoding(node, encodings)
        self.units[name] = build_unit(node, encodings, shapes)
        self.nodes[name] = node

    @property
    def layers(self) -> dict[str, LayerNode]:
        """The nodes with weights, in order."""
        return {name: node for name, node in self.nodes.items() if isinstance(node, LayerNode)}

    def node(self, name: str) -> Node:
        """The node of this name; SpecError if there is none."""
        if name not in self.nodes:
            raise SpecError(f"there is no node {name!r}: {', '.join(self.nodes)}")
        return self.nodes[name]

    def with_accumulator(
        self, accumulator: AccumulatorSpec, *, layers: Iterable[str] | None = None
    ) -> "Network":
        """The same network with layers on another accumulator; nothing is quantized again.

        Parameters
        ----------
        accumulator : AccumulatorSpec
            The multiply array's registers.
        layers : iterable of str, optional
            Names of the layers that get it; all unless given.

        Raises
        ------
        SpecError, WidthError
            A name that no layer has; what a layer raises for the accumulator.
        """
        chosen = set(self.layers if layers is None else layers)
        if not chosen <= set(self.layers):
            unknown = ", ".join(sorted(chosen - set(self.layers)))
            raise SpecError(f"no layer is called {unknown}; layers are {', '.join(self.layers)}")
        return Network(
            self.input,
            [
                replace(node, unit=node.unit.with_accumulator(accumulator))
                if isinstance(node, LayerNode) and name in chosen
                else node
                for name, node in self.nodes.items()
            ],
        )

    def input_codes(self, inputs: object) -> QTensor:
        """The codes that enter for real inputs, or for codes of the input's meaning.

        Parameters
        ----------
        inputs : float array (n, ...) or QTensor
            Samples first; an empty batch is legal.

        Raises
        ------
        DataError
            Samples of another shape, NaN, or codes that mean something else.
        """
        if isinstance(inputs, QTensor):
            given = encoding_of(inputs)
            if given != self.input.encoding:
                raise DataError(
                    f"input codes are {given}; this network takes {self.input.encoding}"
                )
            self._check_samples(inputs.codes.shape)
            return inputs
        array = np.asarray(inputs)
        self._check_samples(array.shape)
        return self.input.quantize(array)

    def as_input(self, codes: object) -> QTensor:
        """Integers as codes of the input; DataError outside its format."""
        fmt = self.input.quantizer.format
        array = require_codes("input codes", codes, fmt.min, fmt.max, str(fmt))
        self._check_samples(array.shape)
        return self.input.encoding.tensor(array)

    def _check_samples(self, shape: Shape) -> None:
        if len(shape) != len(self.input.shape) + 1 or shape[1:] != self.input.shape:
            sizes = ", ".join(map(str, self.input.shape))
            raise DataError(f"this network takes inputs of shape (n, {sizes}), got {shape}")

    def run(
        self,
        inputs: object,
        *,
        keep: Keep = Keep.OUTPUT,
        observe: bool = False,
        progress: Progress | None = None,
    ) -> NetworkRun:
        """Run the network, a bounded number of samples at a time.

        Parameters
        ----------
        inputs : float array (n, ...) or QTensor
            Real inputs, quantized here; or codes.
        keep : Keep
            Whether the results of all nodes are kept, or the last one's.
        observe : bool
            Also report exact totals and overflows.
        progress : callable, optional
            Called with (samples done, samples in all).

        Raises
        ------
        DataError
            As :meth:`input_codes`.
        """
        codes = self.input_codes(inputs)
        parts: dict[str, list[NodeResult]] = {}
        counts: dict[str, list[OverflowCounts]] = {}
        n = len(codes.codes)
        for start, block in self._blocks(codes):
            for name, result in self._pass(block, observe=observe):
                if result.overflow is not None:
                    counts.setdefault(name, []).append(result.overflow.counts())
                if keep is Keep.ALL or name == self.output_name:
                    parts.setdefault(name, []).append(result)
            if progress is not None:
                progress(start + len(block.codes), n)
        results = {name: NodeResult.joined(each) for name, each in parts.items()}
        overflow = {name: OverflowCounts.summed(each) for name, each in counts.items()}
        return NetworkRun(input=codes, results=results, overflow=overflow)

    def codes(self, inputs: object) -> np.ndarray:
        """Output codes of :meth:`run`, int64."""
        return self.run(inputs).output.codes

    @staticmethod
    def classes(codes: np.ndarray) -> np.ndarray:
        """The channel with the largest output code of every sample, the first of equals; int64."""
        return codes.argmax(axis=-1)

    def reference(self, inputs: object) -> dict[str, NodeReference]:
        """Every node by the float reference, from the reference's own codes (fake quantization).

        Parameters
        ----------
        inputs : float array (n, ...) or QTensor
            Real inputs, divided by the step size in float64; or codes.
        """
        is_codes = isinstance(inputs, QTensor)
        codes = inputs.codes if is_codes else reference_input(self.input, inputs)
        self._check_samples(codes.shape)
        found: dict[str, NodeReference] = {}
        tensors = {INPUT: self.input.encoding.tensor(codes)}
        for name, node in self.nodes.items():
            found[name] = node_reference(node, [tensors[source] for source in node.sources])
            tensors[name] = self.encodings[name].tensor(found[name].codes)
        return found

    def fold_report(self) -> list[NodeFold]:
        """What every node became that has a factor: what it holds, its error, and the bound."""
        folds = [
            fold_of(name, node.kind, self.units[name], [self.shapes[s][-1] for s in node.sources])
            for name, node in self.nodes.items()
        ]
        return [fold for fold in folds if fold is not None]

    def _blocks(self, codes: QTensor) -> Iterator[tuple[int, QTensor]]:
        n = len(codes.codes)
        size = max(1, _BLOCK_CODES // max(prod(shape) for shape in self.shapes.values()))
        if any(map(_is_stochastic, self.nodes.values())):
            size = max(n, 1)  # a unit draws its random bits anew for every call
        for start in range(0, max(n, 1), size):
            yield start, replace(codes, codes=codes.codes[start : start + size])

    def _pass(self, codes: QTensor, *, observe: bool) -> Iterator[tuple[str, NodeResult]]:
        """Results of all nodes, in order; codes are dropped once nothing takes them any more."""
        last_use = {s: name for name, node in self.nodes.items() for s in node.sources}
        tensors = {INPUT: codes}
        for name, node in self.nodes.items():
            sources = [tensors[source] for source in node.sources]
            try:
                result = self.units[name].run(sources, observe=observe)
            except LsqsimError as error:
                text = str(error)
                prefix = "" if text.startswith(f"{name}: ") else f"{name}: "
                raise type(error)(f"{prefix}{text}") from None
            tensors[name] = result.output
            for source in {*node.sources}:
                if last_use[source] == name:
                    del tensors[source]
            yield name, result


def _is_stochastic(node: Node) -> bool:
    match node:
        case LayerNode(unit=unit):
            scaling = unit.spec.rescaler.scaling
        case Rescaled(rescaler=rescaler):
            scaling = rescaler.scaling
        case Add(adder=adder):
            scaling = adder
        case _:
            return False
    return not isinstance(scaling, Thresholds) and isinstance(scaling.rounding, StochasticRounding)
