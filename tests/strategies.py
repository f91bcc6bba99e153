"""Hypothesis strategies: one per domain type, drawn so that every value is legal."""

from hypothesis import strategies as st

from lsqsim.formats import Generator, IntFormat, Overflow, Rounding, StochasticRounding
from lsqsim.specs import (
    AccumulatorSpec,
    Activation,
    BiasPlacement,
    ClampPoint,
    Conv2dSpec,
    DatapathSpec,
    FanIn,
    FirstShift,
    FixedPoint,
    FloatScale,
    FloatWidth,
    Granularity,
    KOrder,
    Layout,
    LinearSpec,
    PowerOfTwo,
    ProductArithmetic,
    QuantizerSpec,
    RegisterSpec,
    RescalerSpec,
    StageSpec,
    StepArithmetic,
    Thresholds,
    ZeroPointHandling,
)


@st.composite
def formats(draw, min_bits=1, max_bits=63):
    """Any IntFormat; the ends of the range of widths are common."""
    bits = draw(st.integers(min_bits, max_bits) | st.sampled_from([min_bits, max_bits]))
    signed = draw(st.booleans())
    return IntFormat(bits, signed=signed, narrow=draw(st.booleans()) and signed and bits >= 2)


roundings = st.sampled_from(Rounding)
overflows = st.sampled_from(Overflow)
stochastic_roundings = st.builds(
    StochasticRounding,
    generator=st.sampled_from(Generator),
    seed=st.integers(1, (1 << 32) - 1),
    bits=st.integers(1, 32),
)
any_roundings = roundings | stochastic_roundings
registers = st.builds(RegisterSpec, bits=st.integers(2, 63), overflow=overflows)

quantizer_specs = st.builds(
    QuantizerSpec,
    format=formats(),
    rounding=any_roundings,
    arithmetic=st.sampled_from(StepArithmetic),
    channel_axis=st.none() | st.integers(0, 3),
)


def stages(fan_in, min_bits=2, max_bits=63):
    return st.builds(
        StageSpec, bits=st.integers(min_bits, max_bits), fan_in=fan_in, overflow=overflows
    )


@st.composite
def stage_lists(draw, min_bits=2, max_bits=63):
    """One to four stages; fan-ins of 1 .. 5 or all, the last of all."""
    inner = stages(st.integers(1, 5) | st.just(FanIn.ALL), min_bits, max_bits)
    last = stages(st.just(FanIn.ALL), min_bits, max_bits)
    return (*draw(st.lists(inner, max_size=3)), draw(last))


@st.composite
def accumulator_specs(draw, k=None, min_bits=2, max_bits=63):
    """Any AccumulatorSpec; with ``k`` products, the order may be a permutation of them."""
    n = draw(st.integers(0, 9)) if k is None else k
    return AccumulatorSpec(
        stages=draw(stage_lists(min_bits, max_bits)),
        bias=draw(st.sampled_from(BiasPlacement)),
        zero_points=draw(st.sampled_from(ZeroPointHandling)),
        order=draw(st.sampled_from(KOrder) | st.permutations(range(n)).map(tuple)),
    )


@st.composite
def shift_ranges(draw):
    low, high = sorted(draw(st.tuples(*[st.integers(-62, 62)] * 2)))
    return {"min_shift": low, "max_shift": high}


@st.composite
def fixed_points(draw):
    multiplier = draw(formats(min_bits=2, max_bits=62))
    wider = IntFormat(63, signed=False)
    product = draw(st.sampled_from(ProductArithmetic))
    first_shifts = st.builds(
        FirstShift, shift=st.integers(1, 62), rounding=roundings, register=registers
    )
    exact = product is ProductArithmetic.EXACT
    return FixedPoint(
        **draw(shift_ranges()),
        multiplier=multiplier,
        rounding=draw(any_roundings),
        first_shift=draw(st.none() | first_shifts) if exact else None,
        left_register=draw(st.none() | registers),
        product=product,
        reduced_from=draw(st.sampled_from([None, wider])),
    )


float_scales = st.builds(FloatScale, width=st.sampled_from(FloatWidth), rounding=any_roundings)
powers_of_two = st.builds(
    lambda shifts, rounding: PowerOfTwo(**shifts, rounding=rounding), shift_ranges(), any_roundings
)
thresholds = st.builds(Thresholds, rounding=roundings)
scalings = fixed_points() | float_scales | powers_of_two | thresholds


@st.composite
def rescaler_specs(draw, scaling=scalings):
    drawn = draw(scaling)
    counted = isinstance(drawn, Thresholds)
    output = draw(formats(max_bits=16 if counted else 63))
    free = not counted and not output.narrow
    return RescalerSpec(
        output=output,
        scaling=drawn,
        overflow=draw(overflows) if free else Overflow.SATURATE,
        granularity=draw(st.sampled_from(Granularity)),
        input_offset=draw(st.integers(-(1 << 62), (1 << 62) - 1) | st.integers(-9, 9)),
        intermediate=None if counted else draw(st.none() | registers),
        clamp_point=draw(st.sampled_from(ClampPoint)),
    )


activations = st.sampled_from(Activation)
linear_specs = st.builds(LinearSpec, activation=activations)
conv2d_specs = st.builds(
    Conv2dSpec,
    stride=st.tuples(*[st.integers(1, 3)] * 2),
    padding=st.tuples(*[st.integers(0, 2)] * 4),
    dilation=st.tuples(*[st.integers(1, 3)] * 2),
    groups=st.integers(1, 3),
    layout=st.sampled_from(Layout),
    activation=activations,
)


@st.composite
def datapath_specs(draw):
    per_tensor = quantizer_specs.filter(lambda spec: spec.channel_axis is None)
    rescaler = draw(rescaler_specs())
    legal_axes = (None, 0) if rescaler.granularity is Granularity.PER_CHANNEL else (None,)
    return DatapathSpec(
        input=draw(per_tensor),
        weight=draw(
            st.builds(QuantizerSpec, format=formats(), channel_axis=st.sampled_from(legal_axes))
        ),
        accumulator=draw(accumulator_specs()),
        rescaler=rescaler,
        bias=draw(per_tensor),
    )


specs = st.one_of(
    registers,
    quantizer_specs,
    stages(st.integers(1, 99) | st.just(FanIn.ALL)),
    accumulator_specs(),
    st.builds(FirstShift, shift=st.integers(1, 62), rounding=roundings, register=registers),
    scalings,
    rescaler_specs(),
    linear_specs,
    conv2d_specs,
    datapath_specs(),
)
"""Any specification at all."""
