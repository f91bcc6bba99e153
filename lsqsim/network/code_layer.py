"""Means and requantizations as layers of ones: the same array and the same rescaler."""

from dataclasses import replace
from fractions import Fraction

import numpy as np

from lsqsim.datapath import CompiledLayer
from lsqsim.formats import IntFormat, signed_bits
from lsqsim.layer import Layer
from lsqsim.network.encoding import Encoding
from lsqsim.network.nodes import Averaging, Rescaled
from lsqsim.specs import (
    MIN_REGISTER_BITS,
    AccumulatorSpec,
    DatapathSpec,
    Granularity,
    LinearSpec,
    QuantizerSpec,
    StageSpec,
    ZeroPointHandling,
)


def mean_layer(node: Averaging, source: Encoding, window: int) -> CompiledLayer:
    """A layer of one output that takes the mean of ``window`` codes (K)."""
    return _ones(node, source, window, node.bias, node.accumulator)


def requantizing_layer(node: Rescaled, source: Encoding, bias: float) -> CompiledLayer:
    """A layer of one input and one output that only rescales, in a register that holds every code.

    ``bias`` is the real constant added before rounding.

    Examples
    --------
    Codes of step 1/4 and zero point 2 into codes of step 1: (7 - 2) / 4 = 1.25.

    >>> from lsqsim.network.nodes import Requantize
    >>> from lsqsim.specs import RescalerSpec
    >>> one = Encoding(format=IntFormat(2, signed=False), step_size=1.0)
    >>> rescaler = RescalerSpec(output=one.format)
    >>> node = Requantize(name="q", source="x", output=one, rescaler=rescaler)
    >>> source = Encoding(format=IntFormat(8), step_size=0.25, zero_point=2)
    >>> unit = requantizing_layer(node, source, 0.0)
    >>> unit.spec.accumulator.format, unit.rescale(np.array([[7 - 2]])).codes
    (IntFormat(bits=9, signed=True, narrow=False), array([[1]]))
    """
    largest = max(map(abs, source.centered)) << node.guard_bits
    if bias and not node.rescaler.takes_bias:
        unit = Fraction(source.step_size) / (1 << node.guard_bits)
        largest += int(abs(Fraction(bias)) / unit) + 1
    accumulator = AccumulatorSpec(
        stages=(StageSpec(bits=max(signed_bits(largest), MIN_REGISTER_BITS)),),
        zero_points=ZeroPointHandling.CENTER,
    )
    return _ones(node, source, 1, bias, accumulator)


def _ones(
    node: Rescaled, source: Encoding, k: int, bias: float, accumulator: AccumulatorSpec
) -> CompiledLayer:
    """Weights of real value 1/k, each the code 2**guard_bits."""
    guard = node.guard_bits
    layer = Layer(
        name=node.name,
        spec=LinearSpec(activation=node.activation),
        weight_codes=np.full((1, k), 1 << guard, np.int64),
        weight_step=2.0**-guard / k,
        bias=np.array([bias]) if bias else None,
        input_step=source.step_size,
        input_zero_point=source.zero_point,
        output_step=node.output.step_size,
        output_zero_point=node.output.zero_point,
    )
    spec = DatapathSpec(
        input=QuantizerSpec(format=source.format),
        weight=QuantizerSpec(format=IntFormat(guard + 1, signed=False)),
        accumulator=accumulator,
        rescaler=replace(node.rescaler, granularity=Granularity.PER_CHANNEL),
    )
    return CompiledLayer(layer, spec)
