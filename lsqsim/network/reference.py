"""The float reference of a whole network: fake quantization, rounding where the codes are.

Shares no code with the units: windows are sums and maxima of strided slices,
layers are computed by :mod:`lsqsim.reference`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from lsqsim.formats import AnyRounding, Rounding
from lsqsim.network.encoding import Encoding, InputSpec
from lsqsim.network.nodes import (
    Add,
    AveragePool,
    Concat,
    GlobalAveragePool,
    LayerNode,
    MaxPool,
    Node,
    Requantize,
)
from lsqsim.reference import ideal_codes, output_rounding, reference_from_codes
from lsqsim.specs import Activation
from lsqsim.tensor import QTensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NodeReference:
    """One node in float64, computed from the codes of its sources.

    Attributes
    ----------
    output
        Real output, after the activation, clipped to what the codes can say.
    codes
        Ideal codes: ``output`` rounded once, int64.
    """

    output: np.ndarray
    codes: np.ndarray


def reference_input(spec: InputSpec, values: object) -> np.ndarray:
    """Codes of real inputs, by float64 arithmetic; int64."""
    quotient = (np.asarray(values, np.float64) - spec.offset) / spec.step_size
    zero = 0 if spec.offset else spec.zero_point
    return ideal_codes(quotient, zero, spec.quantizer.format, spec.quantizer.rounding)


def node_reference(node: Node, sources: Sequence[QTensor]) -> NodeReference:
    """``node`` on the dequantized codes of its sources; float64."""
    if isinstance(node, LayerNode):
        unit = node.unit
        found = reference_from_codes(unit.layer, unit.spec, sources[0], unit.weight)
        return NodeReference(output=found.output, codes=found.codes)
    values = [(source.codes - source.zero_point) * source.step_size for source in sources]
    real = values[0]
    match node:
        case Add():
            return _stored(real + values[1], node, node.adder.rounding)
        case AveragePool():
            windows = _slices(real, node.kernel, node.stride)
            mean = sum(windows[1:], windows[0]) / len(windows)
            return _stored(mean, node, output_rounding(node.rescaler))
        case GlobalAveragePool():
            return _stored(real.mean(axis=(1, 2)), node, output_rounding(node.rescaler))
        case Requantize():
            return _stored(real, node, output_rounding(node.rescaler))
        case Concat():
            offsets = node.offsets or (0.0,) * len(values)
            shifted = [value + each for value, each in zip(values, offsets, strict=True)]
            return _stored(np.concatenate(shifted, axis=-1), node, output_rounding(node.rescaler))
        case MaxPool():
            top, bottom, left, right = node.padding
            widths = ((0, 0), (top, bottom), (left, right), (0, 0))
            padded = np.pad(real, widths, constant_values=-np.inf)
            return _moved(np.maximum.reduce(_slices(padded, node.kernel, node.stride)), sources[0])
        case _:
            return _moved(real.reshape(len(real), int(np.prod(real.shape[1:]))), sources[0])


def _stored(
    real: np.ndarray, node: Add | AveragePool | GlobalAveragePool | Requantize | Concat,
    rounding: AnyRounding,
) -> NodeReference:  # fmt: skip
    output: Encoding = node.output
    real = real + node.bias
    if node.activation is Activation.RELU:
        real = np.maximum(real, 0)
    step, zero, fmt = output.step_size, output.zero_point, output.format
    clipped = np.clip(real, (fmt.min - zero) * step, (fmt.max - zero) * step)
    rule = rounding if isinstance(rounding, Rounding) else Rounding.TIES_EVEN
    return NodeReference(output=clipped, codes=ideal_codes(clipped / step, zero, fmt, rule))


def _moved(real: np.ndarray, source: QTensor) -> NodeReference:
    """Values that are codes already."""
    codes = np.rint(real / source.step_size).astype(np.int64) + source.zero_point
    return NodeReference(output=real, codes=codes)


def _slices(
    image: np.ndarray, kernel: tuple[int, int], stride: tuple[int, int]
) -> list[np.ndarray]:
    """The value under each position of the window, for all windows."""
    height = (image.shape[1] - kernel[0]) // stride[0] + 1
    width = (image.shape[2] - kernel[1]) // stride[1] + 1
    return [
        image[:, i : i + height * stride[0] : stride[0], j : j + width * stride[1] : stride[1]][
            :, :height, :width
        ]
        for i, j in product(range(kernel[0]), range(kernel[1]))
    ]
