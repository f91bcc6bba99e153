"""Nodes as units that run: codes in, codes out, with the registers on the way."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from lsqsim.datapath import CompiledLayer
from lsqsim.errors import named_errors
from lsqsim.network.adder import Adder
from lsqsim.network.code_layer import mean_layer, requantizing_layer
from lsqsim.network.encoding import Encoding, Shape
from lsqsim.network.nodes import (
    Add,
    AveragePool,
    Flatten,
    GlobalAveragePool,
    LayerNode,
    MaxPool,
    Node,
    Requantize,
)
from lsqsim.overflow import OverflowReport
from lsqsim.tensor import QTensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NodeResult:
    """What one node yields.

    Attributes
    ----------
    output
        Its codes, samples first.
    accumulators
        Last registers behind them, int64, same shape; None for a node
        without one (pools of largest codes, flattening, requantization).
    overflow
        Exact totals and first overflows; None for a node without an
        accumulator, and when not observed.
    """

    output: QTensor
    accumulators: np.ndarray | None = None
    overflow: OverflowReport | None = None

    @classmethod
    def joined(cls, parts: Sequence["NodeResult"]) -> "NodeResult":
        """Results of neighboring samples as one."""
        first = parts[0]
        if len(parts) == 1:
            return first
        registers = [part.accumulators for part in parts if part.accumulators is not None]
        reports = [part.overflow for part in parts if part.overflow is not None]
        return cls(
            output=replace(
                first.output, codes=np.concatenate([part.output.codes for part in parts])
            ),
            accumulators=np.concatenate(registers) if registers else None,
            overflow=OverflowReport.joined(reports, 0) if reports else None,
        )


class Unit(Protocol):
    """A node with its parameters set."""

    def run(self, sources: Sequence[QTensor], *, observe: bool) -> NodeResult:
        """Codes of the node for the codes of its sources."""
        ...


def build_unit(node: Node, encodings: Sequence[Encoding], shapes: Sequence[Shape]) -> Unit:
    """The unit of ``node`` for what its sources put out.

    Raises
    ------
    SpecError, DataError, WidthError
        What the units raise; the message starts with the node's name.
    """
    match node:
        case LayerNode():
            return LayerUnit(node.unit)
        case Add():
            with named_errors(node.name):
                return AddUnit(Adder(node, *encodings))
        case AveragePool():
            return MeanUnit(mean_layer(node, encodings[0], _size(node.kernel)), node)
        case GlobalAveragePool():
            return MeanUnit(mean_layer(node, encodings[0], _size(shapes[0][:2])), node)
        case MaxPool():
            return MaxPoolUnit(node)
        case Flatten():
            return FlattenUnit()
        case Requantize():
            return RequantizeUnit([requantizing_layer(node, encodings[0], node.bias)])
        case _:
            pairs = zip(encodings, node.biases, strict=True)
            return RequantizeUnit([requantizing_layer(node, *pair) for pair in pairs])


class LayerUnit:
    """A layer on its datapath."""

    def __init__(self, compiled: CompiledLayer) -> None:
        self.compiled = compiled

    def run(self, sources: Sequence[QTensor], *, observe: bool) -> NodeResult:
        result = self.compiled.run(sources[0], observe=observe)
        return NodeResult(
            output=result.output, accumulators=result.accumulators, overflow=result.overflow
        )


class AddUnit:
    """The adder of two tensors."""

    def __init__(self, adder: Adder) -> None:
        self.adder = adder

    def run(self, sources: Sequence[QTensor], *, observe: bool) -> NodeResult:
        left, right = (source.codes for source in sources)
        codes, held = self.adder.add(left, right, observe=observe)
        report = held.overflow
        return NodeResult(
            output=self.adder.node.output.tensor(codes),
            accumulators=held.registers.reshape(codes.shape),
            overflow=report and report.mapped(lambda rows: rows.reshape(codes.shape), -1),
        )


class MeanUnit:
    """Means of windows, or of whole images."""

    def __init__(self, compiled: CompiledLayer, node: AveragePool | GlobalAveragePool) -> None:
        self.compiled = compiled
        self.node = node

    def run(self, sources: Sequence[QTensor], *, observe: bool) -> NodeResult:
        source = sources[0]
        if isinstance(self.node, GlobalAveragePool):
            windows = source.codes.transpose(0, 3, 1, 2)
            shape = windows.shape[:2]
        else:
            windows = _windows(source.codes, self.node.kernel, self.node.stride)
            shape = windows.shape[:4]
        k = self.compiled.layer.weight_shape[1]
        result = self.compiled.run(replace(source, codes=windows.reshape(-1, k)), observe=observe)
        report = result.overflow
        return NodeResult(
            output=replace(result.output, codes=result.output.codes.reshape(shape)),
            accumulators=result.accumulators.reshape(shape),
            overflow=report and report.mapped(lambda rows: rows.reshape(shape), -1),
        )


class MaxPoolUnit:
    """Largest codes of windows; padded with the least code, which wins over none."""

    def __init__(self, node: MaxPool) -> None:
        self.node = node

    def run(self, sources: Sequence[QTensor], *, observe: bool) -> NodeResult:  # noqa: ARG002 - holds no register
        source = sources[0]
        top, bottom, left, right = self.node.padding
        padded = np.pad(
            source.codes,
            ((0, 0), (top, bottom), (left, right), (0, 0)),
            constant_values=source.format.min,
        )
        codes = _windows(padded, self.node.kernel, self.node.stride).max(axis=(4, 5))
        return NodeResult(output=replace(source, codes=codes))


class FlattenUnit:
    """One vector a sample, in the order h, w, c."""

    def run(self, sources: Sequence[QTensor], *, observe: bool) -> NodeResult:  # noqa: ARG002 - holds no register
        codes = sources[0].codes
        size = int(np.prod(codes.shape[1:]))
        return NodeResult(output=replace(sources[0], codes=codes.reshape(len(codes), size)))


class RequantizeUnit:
    """Every source rescaled to the output's codes, channels one after the other."""

    def __init__(self, layers: list[CompiledLayer]) -> None:
        self.layers = layers

    def run(self, sources: Sequence[QTensor], *, observe: bool) -> NodeResult:  # noqa: ARG002 - the register is exact
        outputs = [
            layer.run(replace(source, codes=source.codes.reshape(-1, 1)), observe=False).output
            for layer, source in zip(self.layers, sources, strict=True)
        ]
        pairs = zip(outputs, sources, strict=True)
        parts = [output.codes.reshape(source.codes.shape) for output, source in pairs]
        return NodeResult(output=replace(outputs[0], codes=np.concatenate(parts, axis=-1)))


def _windows(codes: np.ndarray, kernel: tuple[int, int], stride: tuple[int, int]) -> np.ndarray:
    """(n, oh, ow, c, kh, kw): a view."""
    windows = sliding_window_view(codes, kernel, axis=(1, 2))
    return windows[:, :: stride[0], :: stride[1]]


def _size(window: Sequence[int]) -> int:
    return window[0] * window[1]
