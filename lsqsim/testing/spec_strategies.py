"""Strategies for formats, quantizers, accumulators and layer specifications."""

from hypothesis import strategies as st

from lsqsim.errors import SpecError
from lsqsim.formats import (
    MAX_BITS,
    MAX_NOISE_BITS,
    AnyRounding,
    Generator,
    IntFormat,
    Overflow,
    Rounding,
    StochasticRounding,
)
from lsqsim.specs import (
    AccumulatorSpec,
    Activation,
    BiasPlacement,
    Conv2dSpec,
    FanIn,
    KOrder,
    LayerSpec,
    Layout,
    LinearSpec,
    QuantizerSpec,
    RegisterSpec,
    StageSpec,
    StepArithmetic,
    ZeroPointHandling,
)
from lsqsim.testing.choices import Choice, Range, chosen, ends_of, integers_in

_NARROWEST = 2
"""Bits of the narrowest register, and of the narrowest format with a narrow range."""


def int_formats(
    *, bits: Range = (1, MAX_BITS), signed: bool | None = None, narrow: bool | None = None
) -> st.SearchStrategy[IntFormat]:
    """Integer formats; one-bit, unsigned and narrow ones among them unless excluded.

    A narrow range needs a sign and two bits: ``narrow=True`` implies both.
    """
    low, high = ends_of("bits", bits, 1, MAX_BITS)
    if narrow:
        if signed is False or high < _NARROWEST:
            raise SpecError(
                f"a narrow range needs a signed format of at least 2 bits, "
                f"got bits {bits} and signed {signed}"
            )
        low, signed = max(low, _NARROWEST), True

    def build(bits: int, *, signed: bool, narrow: bool) -> IntFormat:
        return IntFormat(bits, signed=signed, narrow=narrow and signed and bits >= _NARROWEST)

    return st.builds(
        build,
        integers_in("bits", (low, high), 1, MAX_BITS),
        signed=chosen(signed, st.sampled_from([True, False])),
        narrow=chosen(narrow, st.booleans()),
    )


def stochastic_roundings(
    *, bits: Range = (1, MAX_NOISE_BITS), generator: Choice[Generator] = None
) -> st.SearchStrategy[StochasticRounding]:
    """Stochastic rounding with ``bits`` random bits an element."""
    return st.builds(
        StochasticRounding,
        generator=chosen(generator, st.sampled_from(Generator)),
        seed=integers_in("seed", (1, (1 << 32) - 1), 1, (1 << 32) - 1),
        bits=integers_in("bits", bits, 1, MAX_NOISE_BITS),
    )


def roundings(*, stochastic: bool = False) -> st.SearchStrategy[AnyRounding]:
    """The five deterministic rules; stochastic ones too when asked for."""
    rules = st.sampled_from(Rounding)
    return rules | stochastic_roundings() if stochastic else rules


def overflows() -> st.SearchStrategy[Overflow]:
    """Wrap or saturate."""
    return st.sampled_from(Overflow)


def quantizer_specs(
    *,
    fmt: Choice[IntFormat] = None,
    rounding: Choice[AnyRounding] = None,
    arithmetic: Choice[StepArithmetic] = None,
    channel_axis: Choice[int | None] = None,
) -> st.SearchStrategy[QuantizerSpec]:
    """Quantizers; ``channel_axis=st.none()`` keeps to one step size for the whole tensor."""
    return st.builds(
        QuantizerSpec,
        format=chosen(fmt, int_formats()),
        rounding=chosen(rounding, roundings()),
        arithmetic=chosen(arithmetic, st.sampled_from(StepArithmetic)),
        channel_axis=chosen(channel_axis, st.none() | st.integers(0, 2)),
    )


def register_specs(
    *, bits: Range = (_NARROWEST, MAX_BITS), overflow: Choice[Overflow] = None
) -> st.SearchStrategy[RegisterSpec]:
    """Signed registers."""
    return st.builds(
        RegisterSpec,
        bits=integers_in("bits", bits, _NARROWEST, MAX_BITS),
        overflow=chosen(overflow, overflows()),
    )


def stage_specs(
    *,
    bits: Range = (_NARROWEST, MAX_BITS),
    fan_in: Choice[int | FanIn] = None,
    overflow: Choice[Overflow] = None,
) -> st.SearchStrategy[StageSpec]:
    """Stages of fan-in 1 to 5, or all."""
    return st.builds(
        StageSpec,
        bits=integers_in("bits", bits, _NARROWEST, MAX_BITS),
        fan_in=chosen(fan_in, st.integers(1, 5) | st.just(FanIn.ALL)),
        overflow=chosen(overflow, overflows()),
    )


def accumulator_specs(  # noqa: PLR0913 - a keyword for each choice of the hardware
    *,
    k: int | None = None,
    max_depth: int = 3,
    bits: Range = (_NARROWEST, MAX_BITS),
    fan_in: Choice[int | FanIn] = None,
    overflow: Choice[Overflow] = None,
    bias: Choice[BiasPlacement] = None,
    zero_points: Choice[ZeroPointHandling] = None,
    order: Choice[KOrder | tuple[int, ...]] = None,
) -> st.SearchStrategy[AccumulatorSpec]:
    """Accumulators of 1 to ``max_depth`` stages.

    Parameters
    ----------
    k
        Number of products. When given, explicit permutations of them are drawn
        as ``order``, too.
    max_depth
        Most stages.
    bits, fan_in, overflow
        Of every stage, as in :func:`stage_specs`; the last takes all that is left.
    bias, zero_points, order
        Fields of the specification.

    Examples
    --------
    What a machine with two levels of saturating registers can be:

    >>> machines = accumulator_specs(max_depth=2, bits=(8, 32), overflow=Overflow.SATURATE)
    """
    if max_depth < 1:
        raise SpecError(f"max_depth must be 1 or more, got {max_depth}")
    orders: st.SearchStrategy[KOrder | tuple[int, ...]] = st.sampled_from(KOrder)
    if k is not None:
        orders |= st.permutations(range(k)).map(tuple)
    inner = stage_specs(bits=bits, fan_in=fan_in, overflow=overflow)
    last = stage_specs(bits=bits, fan_in=FanIn.ALL, overflow=overflow)
    stages = st.tuples(st.lists(inner, max_size=max_depth - 1), last)
    return st.builds(
        AccumulatorSpec,
        stages=stages.map(lambda pair: (*pair[0], pair[1])),
        bias=chosen(bias, st.sampled_from(BiasPlacement)),
        zero_points=chosen(zero_points, st.sampled_from(ZeroPointHandling)),
        order=chosen(order, orders),
    )


def linear_specs(*, activation: Choice[Activation] = None) -> st.SearchStrategy[LinearSpec]:
    """Linear layers."""
    return st.builds(LinearSpec, activation=chosen(activation, st.sampled_from(Activation)))


def conv2d_specs(
    *,
    max_stride: int = 3,
    max_padding: int = 2,
    max_dilation: int = 2,
    max_groups: int = 3,
    layout: Choice[Layout] = None,
    activation: Choice[Activation] = None,
) -> st.SearchStrategy[Conv2dSpec]:
    """Convolutions; stride, padding and dilation differ between the axes and sides."""
    strides, dilations = st.integers(1, max_stride), st.integers(1, max_dilation)
    return st.builds(
        Conv2dSpec,
        stride=st.tuples(strides, strides),
        padding=st.tuples(*[st.integers(0, max_padding)] * 4),
        dilation=st.tuples(dilations, dilations),
        groups=st.integers(1, max_groups),
        layout=chosen(layout, st.sampled_from(Layout)),
        activation=chosen(activation, st.sampled_from(Activation)),
    )


def layer_specs() -> st.SearchStrategy[LayerSpec]:
    """Linear layers and convolutions."""
    return linear_specs() | conv2d_specs()
