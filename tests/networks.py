"""Small integer networks for tests, drawn and on paper."""

import numpy as np
from hypothesis import strategies as st

from lsqsim.datapath import CompiledLayer
from lsqsim.formats import IntFormat, Overflow
from lsqsim.layer import Layer
from lsqsim.network.encoding import Encoding, InputSpec
from lsqsim.network.network import Network
from lsqsim.network.nodes import (
    Add,
    AddSpec,
    AveragePool,
    Concat,
    Flatten,
    GlobalAveragePool,
    LayerNode,
    MaxPool,
    Requantize,
)
from lsqsim.specs import (
    AccumulatorSpec,
    Activation,
    Conv2dSpec,
    DatapathSpec,
    FixedPoint,
    Granularity,
    Layout,
    LinearSpec,
    QuantizerSpec,
    RescalerSpec,
    StageSpec,
)

S8, U4 = IntFormat(8), IntFormat(4, signed=False)
SCALING = FixedPoint(min_shift=-8)


def rescaler(fmt, scaling=SCALING, **fields):
    return RescalerSpec(output=fmt, scaling=scaling, **fields)


def layer_node(name, source, taken, output, codes, **fields):
    """A layer that takes and puts out the given encodings; conv2d for four axes."""
    codes = np.asarray(codes)
    spec = Conv2dSpec(layout=Layout.NHWC, **fields.pop("geometry", {}))
    datapath = DatapathSpec(
        input=QuantizerSpec(format=taken.format),
        weight=QuantizerSpec(format=IntFormat(4), channel_axis=0),
        accumulator=AccumulatorSpec(
            stages=(StageSpec(bits=fields.pop("acc_bits", 24), overflow=Overflow.SATURATE),)
        ),
        rescaler=rescaler(output.format, granularity=Granularity.PER_CHANNEL),
    )
    given = {
        "spec": spec if codes.ndim == 4 else LinearSpec(activation=Activation.NONE),
        "weight_codes": codes, "weight_step": 0.5,
        "input_step": taken.step_size, "input_zero_point": taken.zero_point,
        "output_step": output.step_size, "output_zero_point": output.zero_point,
    } | fields  # fmt: skip
    unit = CompiledLayer(Layer(name=name, **given), datapath)
    return LayerNode(source=source, unit=unit)


def every_kind(seed=0, **layer_fields):
    """A network of images (5, 6, 2) with a node of every kind, zero points and biases."""
    rng = np.random.default_rng(seed)
    x = InputSpec(
        shape=(5, 6, 2), quantizer=QuantizerSpec(format=S8), step_size=0.25, zero_point=-7
    )
    wide = Encoding(format=S8, step_size=0.3, zero_point=5)
    narrow = Encoding(format=U4, step_size=0.7, zero_point=1)

    def weights(*shape):
        return rng.integers(-8, 8, shape)

    return Network(x, [
        layer_node("conv", "input", x.encoding, wide, weights(3, 3, 3, 2),
                   weight_step=rng.uniform(0.05, 0.2, 3), bias=rng.normal(0, 2, 3),
                   geometry={"padding": (1, 1, 1, 1)}, **layer_fields),
        Requantize(name="narrow", source="conv", output=narrow, rescaler=rescaler(U4)),
        layer_node("branch", "narrow", narrow, wide, weights(3, 3, 3, 1),
                   geometry={"padding": (0, 2, 1, 1), "groups": 3}),
        Add(name="add", source="branch", other="conv", output=wide, activation=Activation.RELU),
        MaxPool(name="max", source="add", kernel=(3, 2), stride=(2, 1), padding=(1, 0, 1, 0)),
        AveragePool(name="mean", source="add", kernel=(2, 3), stride=(1, 2), output=narrow,
                    rescaler=rescaler(U4), bias=0.1, guard_bits=4),
        Requantize(name="some", source="max", output=narrow, rescaler=rescaler(U4), bias=-0.2),
        GlobalAveragePool(name="all", source="mean", output=wide, rescaler=rescaler(S8)),
        Flatten(name="flat", source="some"),
        Concat(name="both", source="flat", others=("all",), output=wide, rescaler=rescaler(S8),
               offsets=(0.0, 0.4), guard_bits=6),
        layer_node("fc", "both", wide, Encoding(format=IntFormat(16), step_size=0.01),
                   weights(4, 39), bias_codes=rng.integers(-50, 50, 4)),
    ])  # fmt: skip


def inputs(network, n, seed=0):
    """Real inputs that use the whole range of the input's codes, and more."""
    rng = np.random.default_rng(seed)
    reach = 1.1 * network.input.quantizer.format.n_levels / 2 * network.input.step_size
    return rng.uniform(-reach, reach, (n, *network.input.shape))


@st.composite
def code_graphs(draw):
    """Networks of random nodes without weights on images of 1 to 4 rows and columns."""
    encodings = st.builds(
        Encoding,
        format=st.builds(IntFormat, st.integers(3, 8), signed=st.just(True)),
        step_size=st.floats(0.2, 2.0),
        zero_point=st.integers(-4, 3),
    )
    first = draw(encodings)
    shape = tuple(draw(st.integers(1, 4)) for _ in range(3))
    x = InputSpec(shape=shape, quantizer=QuantizerSpec(format=first.format),
                  step_size=first.step_size, zero_point=first.zero_point)  # fmt: skip
    nodes, same = [], ["input"]
    for i in range(draw(st.integers(1, 4))):
        source, other = draw(st.sampled_from(same)), draw(st.sampled_from(same))
        output = draw(encodings)
        common = {"name": f"n{i}", "source": source}
        stored = common | {
            "output": output,
            "activation": draw(st.sampled_from([Activation.NONE, Activation.RELU])),
            "bias": draw(st.just(0.0) | st.floats(-1.0, 1.0)),
        }  # fmt: skip
        node = draw(st.sampled_from([
            Add(**stored, other=other, adder=AddSpec()),
            Requantize(**stored, rescaler=rescaler(output.format), guard_bits=2),
            MaxPool(**common, kernel=(3, 3), stride=(1, 1), padding=(1, 1, 1, 1)),
            AveragePool(**stored, kernel=(1, 1), stride=(1, 1), rescaler=rescaler(output.format)),
        ]))  # fmt: skip
        nodes.append(node)
        same.append(node.name)
    return Network(x, nodes)
