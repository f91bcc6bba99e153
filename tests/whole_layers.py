"""Layers, datapaths and inputs that fit together, as Hypothesis strategies.

Formats are small and registers narrow, so that clips, ties and overflows are
common; factors stay where every scaling can express them.
"""

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lsqsim.formats import IntFormat, Overflow, Rounding, StochasticRounding
from lsqsim.layer import Layer
from lsqsim.specs import (
    Activation,
    ClampPoint,
    Conv2dSpec,
    DatapathSpec,
    FirstShift,
    FixedPoint,
    Granularity,
    Layout,
    LinearSpec,
    PowerOfTwo,
    ProductArithmetic,
    QuantizerSpec,
    RegisterSpec,
    RescalerSpec,
    StepArithmetic,
    Thresholds,
)
from strategies import (
    accumulator_specs,
    activations,
    any_roundings,
    float_scales,
    formats,
    overflows,
    roundings,
    thresholds,
)

MAX_ACC_BITS = 20
EXACT = ProductArithmetic.EXACT

factors = st.sampled_from([0.25, 0.5, 1.0]) | st.floats(0.1, 1)
"""Real units a code, and scales of them."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A layer, the hardware, and real inputs."""

    layer: Layer
    spec: DatapathSpec
    values: np.ndarray

    def __repr__(self) -> str:
        fields = {name: getattr(self.layer, name) for name in Layer.__slots__}
        return f"Layer({fields})\n{self.spec!r}\nvalues={self.values!r}"


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """A layer's specification and shapes that meet."""

    spec: LinearSpec | Conv2dSpec
    x: tuple[int, ...]
    w: tuple[int, ...]

    @property
    def k(self) -> int:
        return int(np.prod(self.w[1:]))


@st.composite
def linear_shapes(draw):
    k, n = draw(st.integers(0, 6)), draw(st.integers(1, 3))
    leading = tuple(draw(st.lists(st.integers(0, 3), max_size=2)))
    return Shapes(spec=LinearSpec(activation=draw(activations)), x=(*leading, k), w=(n, k))


@st.composite
def conv_shapes(draw, layout=None, depthwise=False):
    """A convolution whose kernel fits, with 1 to 3 positions each way at most."""
    pairs = st.tuples(st.integers(1, 2), st.integers(1, 2))
    stride, dilation, kernel = draw(pairs), draw(pairs), draw(pairs)
    padding = draw(st.tuples(*[st.integers(0, 2)] * 4))
    spec = Conv2dSpec(
        stride=stride, padding=padding, dilation=dilation, groups=draw(st.integers(1, 2)),
        layout=layout or draw(st.sampled_from(Layout)), activation=draw(activations),
    )  # fmt: skip
    size = [
        max(1, dilation[axis] * (kernel[axis] - 1) + 1 - sum(padding[2 * axis : 2 * axis + 2]))
        + draw(st.integers(0, 2))
        for axis in (0, 1)
    ]
    group_size, per_group = 1 if depthwise else draw(st.integers(1, 2)), draw(st.integers(1, 2))
    batch, c, o = draw(st.integers(1, 2)), group_size * spec.groups, per_group * spec.groups
    if spec.layout is Layout.NCHW:
        return Shapes(spec=spec, x=(batch, c, *size), w=(o, group_size, *kernel))
    return Shapes(spec=spec, x=(batch, *size, c), w=(o, *kernel, group_size))


@st.composite
def small_quantizers(draw, max_bits=6, channel_axis=None):
    return QuantizerSpec(
        format=draw(formats(max_bits=max_bits)),
        rounding=draw(any_roundings),
        arithmetic=draw(st.sampled_from(StepArithmetic)),
        channel_axis=channel_axis,
    )


small_registers = st.builds(RegisterSpec, bits=st.integers(2, MAX_ACC_BITS), overflow=overflows)


@st.composite
def small_fixed_points(draw):
    multiplier = IntFormat(draw(st.integers(2, 31) | st.just(40)), signed=False)
    product = draw(st.sampled_from(ProductArithmetic))
    firsts = st.builds(
        FirstShift, shift=st.integers(1, 36), rounding=roundings, register=small_registers
    )
    return FixedPoint(
        multiplier=multiplier,
        min_shift=-10,
        max_shift=draw(st.sampled_from([62, 40, 10])),
        rounding=draw(any_roundings),
        first_shift=draw(st.none() | firsts) if product is EXACT else None,
        left_register=draw(st.none() | small_registers),
        product=product,
        reduced_from=IntFormat(42, signed=False) if draw(st.booleans()) else None,
        addend=draw(st.none() | formats(max_bits=24)) if product is EXACT else None,
    )


small_powers = st.builds(PowerOfTwo, min_shift=st.just(-10), rounding=any_roundings)
small_scalings = small_fixed_points() | float_scales | small_powers | thresholds


@st.composite
def small_rescalers(draw):
    scaling = draw(small_scalings)
    counted = isinstance(scaling, Thresholds)
    output = draw(formats(max_bits=4 if counted else 10))
    takes_bias = isinstance(scaling, FixedPoint) and scaling.addend is not None
    granularities = [Granularity.PER_CHANNEL] if takes_bias else list(Granularity)
    return RescalerSpec(
        output=output,
        scaling=scaling,
        overflow=Overflow.SATURATE if counted or output.narrow else draw(overflows),
        granularity=draw(st.sampled_from(granularities)),
        input_offset=draw(st.integers(-9, 9)),
        intermediate=None if counted else draw(st.none() | small_registers),
        clamp_point=draw(st.sampled_from(ClampPoint)),
    )


def codes_of(fmt):
    return st.integers(fmt.min, fmt.max)


def reals(shape, fmt, step):
    """Quarters of a step over the range of ``fmt`` and somewhat past it."""
    quarters = st.integers(4 * fmt.min - 7, 4 * fmt.max + 7)
    steps = np.reshape(step, np.shape(step) + (1,) * (len(shape) - np.ndim(step)))
    return hnp.arrays(np.int64, shape, elements=quarters).map(lambda q: q / 4 * steps)


def without_noise(spec):
    """``spec`` with ties to even instead of stochastic roundings, which depend on the position."""

    def settled(unit):
        noisy = isinstance(getattr(unit, "rounding", None), StochasticRounding)
        return replace(unit, rounding=Rounding.TIES_EVEN) if noisy else unit

    return replace(
        spec,
        input=settled(spec.input),
        weight=settled(spec.weight),
        bias=settled(spec.bias),
        rescaler=replace(spec.rescaler, scaling=settled(spec.rescaler.scaling)),
    )


@st.composite
def cases(draw, shapes=None):
    """A layer with its datapath and inputs, every one of them legal."""
    sizes = draw(linear_shapes() | conv_shapes() if shapes is None else shapes)
    rescaler = draw(small_rescalers())
    acc_bits = draw(st.sampled_from([8, MAX_ACC_BITS]))
    per_channel = rescaler.granularity is Granularity.PER_CHANNEL
    axis = draw(st.sampled_from([None, 0])) if per_channel else None
    spec = DatapathSpec(
        input=draw(small_quantizers()),
        weight=draw(small_quantizers(channel_axis=axis)),
        accumulator=draw(accumulator_specs(k=sizes.k, max_bits=acc_bits)),
        rescaler=rescaler,
        bias=draw(small_quantizers(max_bits=12)),
    )
    layer = draw(layers(sizes, spec))
    return Case(
        layer=layer, spec=spec, values=draw(reals(sizes.x, spec.input.format, layer.input_step))
    )


@st.composite
def layers(draw, sizes, spec):
    n = sizes.w[0]
    each = st.lists(factors, min_size=n, max_size=n).map(np.array)
    x_step = draw(factors)
    w_step = draw(each) if spec.weight.channel_axis == 0 else draw(factors)
    w_format, b_format = spec.weight.format, spec.bias.format
    y_step = draw(output_steps(sizes, spec, x_step, w_step))
    codes_given, bias_kind = draw(st.booleans()), draw(st.sampled_from(["none", "real", "codes"]))
    real_bias = reals((n,), b_format, x_step * np.broadcast_to(w_step, (n,)))
    if spec.rescaler.takes_bias:
        bias_kind = "none" if bias_kind == "none" else "real"
        real_bias = reals((n,), spec.rescaler.output, np.broadcast_to(y_step, (n,)))
    return Layer(
        spec=sizes.spec,
        input_step=x_step,
        weight_step=w_step,
        output_step=y_step,
        weight=None if codes_given else draw(reals(sizes.w, w_format, w_step)),
        weight_codes=draw(hnp.arrays(np.int64, sizes.w, elements=codes_of(w_format)))
        if codes_given
        else None,
        bias=draw(real_bias) if bias_kind == "real" else None,
        bias_codes=draw(hnp.arrays(np.int64, (n,), elements=codes_of(b_format)))
        if bias_kind == "codes"
        else None,
        input_zero_point=draw(codes_of(spec.input.format)),
        weight_zero_point=draw(hnp.arrays(np.int64, (n,), elements=codes_of(w_format)))
        if spec.weight.channel_axis == 0
        else draw(codes_of(w_format)),
        output_zero_point=draw(codes_of(spec.rescaler.output)),
    )


@st.composite
def output_steps(draw, sizes, spec, x_step, w_step):
    """Such that every channel's factor is in 2**-8 .. 2**6."""
    factor = draw(st.sampled_from([0.125, 0.25, 0.5, 1.0, 2.0]) | st.floats(1 / 16, 4))
    step = x_step * float(np.max(w_step)) / factor
    several = spec.rescaler.granularity is Granularity.PER_CHANNEL
    if several and sizes.spec.activation is not Activation.RELU6 and draw(st.booleans()):
        n = sizes.w[0]
        return step * draw(st.lists(factors, min_size=n, max_size=n).map(np.array))
    return step
