"""From a node to the operation that carries it out, with weights drawn for training."""

import math

import numpy as np

from lsqsim.errors import SpecError
from lsqsim.learn.graph import (
    AddNode,
    AnyNode,
    AveragePoolNode,
    BatchNormNode,
    Bias,
    ConcatNode,
    Conv2dNode,
    FlattenNode,
    GlobalAveragePoolNode,
    LinearNode,
    MaxPoolNode,
    Node,
    QuantizeNode,
    ReluNode,
    Shape,
    WeightQuantizer,
)
from lsqsim.learn.operations.batch_norm import BatchNorm
from lsqsim.learn.operations.convolution import Conv2d
from lsqsim.learn.operations.elementwise import Add, Concat, Flatten, Quantize, Relu
from lsqsim.learn.operations.linear import Linear
from lsqsim.learn.operations.operation import Operation
from lsqsim.learn.operations.pooling import AveragePool, GlobalAveragePool, MaxPool
from lsqsim.learn.operations.weights import Weights
from lsqsim.learn.quantizer import LearnedQuantizer
from lsqsim.learn.rule import Method

WEIGHT_SUFFIX = ".weight"
"""A layer's weight quantizer is called by the layer's name and this."""


def build_operation(
    node: AnyNode, source: Shape, result: Shape, rng: np.random.Generator
) -> Operation:
    """The operation of ``node``, from shape ``source`` to shape ``result`` of one sample."""
    match node:
        case LinearNode():
            return Linear(_weights(node, (source[0], node.features), rng))
        case Conv2dNode():
            shape = (*node.kernel, source[2] // node.groups, node.channels)
            return Conv2d(node, _weights(node, shape, rng), (result[0], result[1]))
        case BatchNormNode():
            return BatchNorm(node, source[-1])
        case MaxPoolNode():
            return MaxPool(node, (result[0], result[1]))
        case AveragePoolNode():
            return AveragePool(node, (result[0], result[1]))
        case QuantizeNode():
            quantizer = LearnedQuantizer(node.name, node.format, node.rule, source[-1])
            return Quantize(quantizer)
        case _:
            return _PLAIN[type(node)]()


_PLAIN: dict[type[Node], type[Operation]] = {
    ReluNode: Relu,
    GlobalAveragePoolNode: GlobalAveragePool,
    FlattenNode: Flatten,
    AddNode: Add,
    ConcatNode: Concat,
}
"""Operations that their node says nothing about."""


def _weights(
    node: LinearNode | Conv2dNode, shape: tuple[int, ...], rng: np.random.Generator
) -> Weights:
    """Weights drawn as He et al. (2015) have it for ReLU: variance 2 / fan-in."""
    deviation = math.sqrt(2 / math.prod(shape[:-1]))
    values = rng.standard_normal(shape, np.float32) * np.float32(deviation)
    quantizer = None
    if node.weights is not None:
        quantizer = _weight_quantizer(node.name, node.weights, shape[-1])
    return Weights(node.name, values, quantizer, bias=node.bias is Bias.LEARNED)


def _weight_quantizer(layer: str, spec: WeightQuantizer, n_outputs: int) -> LearnedQuantizer:
    name = layer + WEIGHT_SUFFIX
    if spec.rule.method in (Method.LSQ_PLUS, Method.PACT):
        raise SpecError(
            f"{name}: {spec.rule.method} quantizes activations; give weights the rule lsq or tqt"
        )
    return LearnedQuantizer(name, spec.format, spec.rule, n_outputs)
