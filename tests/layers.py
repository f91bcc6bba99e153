"""Random real layers: steps, weights and inputs as training leaves them."""

import numpy as np
from hypothesis import strategies as st

from lsqsim.formats import IntFormat, Overflow, Rounding
from lsqsim.layer import Layer
from lsqsim.specs import (
    AccumulatorSpec,
    Activation,
    BiasPlacement,
    Conv2dSpec,
    DatapathSpec,
    FirstShift,
    FixedPoint,
    FloatScale,
    FloatWidth,
    Granularity,
    Layout,
    LinearSpec,
    PowerOfTwo,
    ProductArithmetic,
    QuantizerSpec,
    RegisterSpec,
    RescalerSpec,
    StageSpec,
    Thresholds,
)

INTERMEDIATE = RegisterSpec(bits=40)


def scalings():
    """Every kind of scaling, with every deterministic rounding."""
    rounding = st.sampled_from(Rounding)
    return st.one_of(
        st.builds(FixedPoint, rounding=rounding, min_shift=st.just(-8)),
        st.builds(
            FixedPoint, rounding=rounding, multiplier=st.just(IntFormat(8, signed=False)),
            min_shift=st.just(-8),
        ),
        st.builds(FixedPoint, rounding=rounding, first_shift=st.builds(FirstShift)),
        st.just(FixedPoint(product=ProductArithmetic.FLOAT64, rounding=Rounding.TIES_EVEN)),
        st.builds(FloatScale, rounding=rounding, width=st.sampled_from(FloatWidth)),
        st.builds(PowerOfTwo, rounding=rounding, min_shift=st.just(-20)),
        st.builds(Thresholds, rounding=rounding),
    )  # fmt: skip


@st.composite
def datapaths(draw, acc_bits=32, scaling=None):
    """Datapaths of a few bits with one accumulator register."""
    scaling = draw(scalings() if scaling is None else scaling)
    registers = st.none() if isinstance(scaling, Thresholds) else st.none() | st.just(INTERMEDIATE)
    output = IntFormat(draw(st.integers(2, 8)), signed=draw(st.booleans()))
    return DatapathSpec(
        input=QuantizerSpec(
            format=IntFormat(draw(st.integers(1, 6)), signed=draw(st.booleans())),
            rounding=draw(st.sampled_from(Rounding)),
        ),
        weight=QuantizerSpec(
            format=IntFormat(draw(st.integers(2, 6))), channel_axis=draw(st.sampled_from([None, 0]))
        ),
        accumulator=AccumulatorSpec(
            stages=(StageSpec(bits=acc_bits, overflow=draw(st.sampled_from(Overflow))),),
            bias=draw(st.sampled_from(BiasPlacement)),
        ),
        rescaler=RescalerSpec(
            output=output,
            scaling=scaling,
            granularity=Granularity.PER_CHANNEL,
            intermediate=draw(registers),
        ),
    )


@st.composite
def layer_runs(draw, spec, steps=None):
    """(layer, real inputs) for ``spec``; ``steps`` draws one step size."""
    steps = st.floats(0.01, 2.0) if steps is None else steps
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_outputs, per_group, groups = draw(st.integers(1, 3)), draw(st.integers(1, 3)), 1
    activation = draw(st.sampled_from(Activation))
    if draw(st.booleans()):
        groups = draw(st.integers(1, 2))
        kind = Conv2dSpec(
            padding=draw(st.tuples(*[st.integers(0, 1)] * 4)), groups=groups,
            layout=draw(st.sampled_from(Layout)), activation=activation,
        )  # fmt: skip
        nchw = (n_outputs * groups, per_group, 2, 2), (2, per_group * groups, 3, 3)
        w_shape, x_shape = (
            nchw if kind.layout is Layout.NCHW else tuple((a, c, d, b) for a, b, c, d in nchw)
        )
    else:
        kind = LinearSpec(activation=activation)
        w_shape, x_shape = (n_outputs, per_group * 4), (5, per_group * 4)
    s_x, s_w = draw(steps), draw(steps)
    weight_step = s_w
    if spec.weight.channel_axis == 0:
        weight_step = np.array([draw(steps) for _ in range(w_shape[0])])
    spread = 2.0 ** (spec.weight.format.bits - 2)
    layer = Layer(
        spec=kind,
        weight=rng.normal(0, spread, w_shape) * s_w,
        bias=rng.normal(0, spread, w_shape[0]) * s_x * s_w if draw(st.booleans()) else None,
        input_step=s_x,
        weight_step=weight_step,
        output_step=draw(steps),
        input_zero_point=draw(st.integers(spec.input.format.min, spec.input.format.max)),
        output_zero_point=draw(st.integers(spec.rescaler.output.min, spec.rescaler.output.max)),
    )
    reach = 2.0**spec.input.format.bits
    return layer, rng.uniform(-reach, reach, x_shape) * s_x
