"""Models as training leaves them: a graph with every kind of node, and parameters at random."""

import numpy as np

from lsqsim.coupling.hardware import HardwareSpec
from lsqsim.formats import IntFormat, Rounding
from lsqsim.learn.graph import (
    AddNode,
    AveragePoolNode,
    BatchNormNode,
    Bias,
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
from lsqsim.learn.model import Mode, Model
from lsqsim.learn.rule import Granularity, Method, StepRule
from lsqsim.network.nodes import AddSpec
from lsqsim.specs import (
    AccumulatorSpec,
    FixedPoint,
    Granularity as RescalerGranularity,
    RescalerSpec,
    StageSpec,
)

EVEN = FixedPoint(min_shift=-20, rounding=Rounding.TIES_EVEN)
"""Ties as training has them."""

FINE = FixedPoint(
    multiplier=IntFormat(28), min_shift=-20, rounding=Rounding.TIES_EVEN, addend=IntFormat(60)
)
"""The same, the bias added to the product."""


def unsigned(bits):
    return IntFormat(bits, signed=False)


def hardware(scaling=EVEN, acc_bits=32, **fields):
    given = {
        "accumulator": AccumulatorSpec(stages=(StageSpec(bits=acc_bits),)),
        "rescaler": RescalerSpec(
            output=IntFormat(8), scaling=scaling, granularity=RescalerGranularity.PER_CHANNEL
        ),
        "add": AddSpec(rounding=Rounding.TIES_EVEN),
    } | fields
    return HardwareSpec(**given)


def every_kind(method=Method.LSQ, weights=None, *, normed=True):
    """A graph on images (6, 5, 3) with every kind of node, in every legal place."""
    rule = StepRule(method=method)
    w = weights or WeightQuantizer(format=IntFormat(4, narrow=True))

    def quantize(name, source, fmt):
        return QuantizeNode(name=name, source=source, format=fmt, rule=rule)

    norms = {
        name: BatchNormNode(name=f"{name}_norm", source=name) if normed else None
        for name in ("c1", "c2", "f1")
    }
    behind = {name: name if norm is None else norm.name for name, norm in norms.items()}
    nodes = (
        quantize("qin", "input", IntFormat(8)),
        Conv2dNode(name="c1", source="qin", channels=6, padding=(1, 1, 1, 1), weights=w),
        norms["c1"],
        ReluNode(name="r1", source=behind["c1"]),
        quantize("q1", "r1", unsigned(4)),
        Conv2dNode(name="c2", source="q1", channels=6, padding=(0, 2, 1, 1), groups=3,
                   bias=Bias.LEARNED, weights=w),
        norms["c2"],
        quantize("q2", behind["c2"], IntFormat(8)),
        AddNode(name="add", source="q2", other="q1"),
        ReluNode(name="r2", source="add"),
        quantize("q3", "r2", unsigned(8)),
        quantize("q3b", "q3", unsigned(2)),
        Conv2dNode(name="c3", source="q3b", channels=4, kernel=(3, 2), stride=(2, 2),
                   dilation=(1, 2), padding=(1, 1, 1, 1), bias=Bias.LEARNED, weights=w),
        ReluNode(name="r3", source="c3"),
        quantize("q4", "r3", unsigned(4)),
        AveragePoolNode(name="ap", source="q3", kernel=(2, 3), stride=(2, 1)),
        quantize("q5", "ap", unsigned(4)),
        ConcatNode(name="cat", source="q4", other="q5"),
        quantize("q6", "cat", unsigned(4)),
        MaxPoolNode(name="mp", source="q6", kernel=(3, 3), stride=(1, 1), padding=(1, 1, 1, 1)),
        GlobalAveragePoolNode(name="gap", source="mp"),
        quantize("q7", "gap", unsigned(8)),
        FlattenNode(name="fl", source="mp"),
        LinearNode(name="f1", source="fl", features=10, bias=Bias.NONE, weights=w),
        norms["f1"],
        quantize("q8", behind["f1"], IntFormat(8)),
        AddNode(name="add2", source="q8", other="q7"),
        quantize("q9", "add2", IntFormat(8)),
        LinearNode(name="f2", source="q9", features=5, weights=w),
    )  # fmt: skip
    return GraphSpec(input_shape=(6, 5, 3), nodes=tuple(n for n in nodes if n is not None))


def per_channel(fmt=IntFormat(4)):
    return WeightQuantizer(format=fmt, rule=StepRule(granularity=Granularity.PER_CHANNEL))


def trained(graph, seed=0, *, negative=0.0, offsets=False):
    """A model with every parameter at random, and inputs (float32) that use its ranges.

    ``negative`` is the share of batch normalizations' factors below 0; ``offsets`` gives every
    quantizer of activations a learned offset.
    """
    rng = np.random.default_rng(seed)
    model = Model(graph, seed)
    x = rng.normal(size=(8, *graph.input_shape)).astype(np.float32)
    for name, array in model.state().items():
        kind = name.rpartition(".")[2]
        if kind == "gamma":
            sign = np.where(rng.random(array.shape) < negative, -1, 1)
            model.array(name)[:] = rng.uniform(0.5, 1.5, array.shape) * sign
        if kind in ("beta", "bias"):
            model.array(name)[:] = rng.normal(0, 0.5, array.shape)
    model.forward(x, Mode.TRAINING)
    if offsets:
        for node in graph.nodes:
            if isinstance(node, QuantizeNode):
                quantizer = model.quantizer(node.name)
                quantizer.offset.value[:] = -rng.uniform(-1, 3) * quantizer.step_size
    for _ in range(2):
        model.forward(x, Mode.TRAINING)
    return model, x


def output_step(model, x):
    """Real units a code of 16-bit logits."""
    return float(np.abs(model.forward(x, Mode.EVALUATION)).max()) / 30_000
