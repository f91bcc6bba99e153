"""Strategies for rescaler specifications, one for each scaling."""

from hypothesis import strategies as st

from lsqsim.errors import SpecError
from lsqsim.formats import MAX_BITS, AnyRounding, IntFormat, Overflow, Rounding
from lsqsim.specs import (
    ClampPoint,
    FirstShift,
    FixedPoint,
    FloatScale,
    FloatWidth,
    Granularity,
    PowerOfTwo,
    ProductArithmetic,
    RegisterSpec,
    RescalerSpec,
    Scaling,
    Thresholds,
)
from lsqsim.specs.rescaler import MAX_SHIFT
from lsqsim.testing.choices import Choice, Range, chosen, ends_of, integers_in
from lsqsim.testing.spec_strategies import int_formats, overflows, register_specs, roundings

SHIFTS = (-MAX_SHIFT, MAX_SHIFT)
LARGEST = 1 << (MAX_BITS - 1)
"""Greatest magnitude that drawn offsets leave an accumulator: half of what int64 holds."""
_THRESHOLD_BITS = (1, 6)


def largest_magnitude(acc_format: IntFormat, offset: int) -> int:
    """Greatest magnitude of an accumulator less its offset."""
    return max(abs(acc_format.min - offset), abs(acc_format.max - offset))


def left_room(acc_format: IntFormat, offset: int = 0) -> int:
    """Bits by which every accumulator, less its offset, can be shifted left within 62 bits."""
    return max(MAX_BITS - 1 - largest_magnitude(acc_format, offset).bit_length(), 0)


def first_shifts(
    *,
    shift: Range = (1, MAX_SHIFT),
    rounding: Choice[Rounding] = None,
    register: Choice[RegisterSpec] = None,
) -> st.SearchStrategy[FirstShift]:
    """The first of two roundings."""
    return st.builds(
        FirstShift,
        shift=integers_in("shift", shift, 1, MAX_SHIFT),
        rounding=chosen(rounding, st.sampled_from(Rounding)),
        register=chosen(register, register_specs()),
    )


@st.composite
def _fixed_points(
    draw: st.DrawFn, shifts: tuple[int, int], room: int, fields: dict[str, Choice]
) -> FixedPoint:
    multiplier = draw(chosen(fields["multiplier"], int_formats(bits=(2, 32))))
    product = draw(chosen(fields["product"], st.sampled_from(ProductArithmetic)))
    low, high = shifts
    firsts: st.SearchStrategy[FirstShift | None] = st.none()
    if product is ProductArithmetic.EXACT and high + room >= 1:
        firsts |= first_shifts(shift=(1, min(MAX_SHIFT, high + room)))
    first_shift = draw(chosen(fields["first_shift"], firsts))
    base = 0 if first_shift is None else first_shift.shift
    max_shift = draw(st.integers(min(max(low, base - room), high), high))
    wider = st.builds(
        lambda extra: IntFormat(multiplier.bits + extra, signed=multiplier.signed),
        st.integers(1, max(1, MAX_BITS - multiplier.bits)),
    )
    return FixedPoint(
        multiplier=multiplier,
        min_shift=draw(st.integers(low, max_shift)),
        max_shift=max_shift,
        rounding=draw(chosen(fields["rounding"], roundings())),
        first_shift=first_shift,
        left_register=draw(chosen(fields["left_register"], st.none() | register_specs())),
        product=product,
        reduced_from=draw(
            chosen(
                fields["reduced_from"],
                st.none() | wider if multiplier.bits < MAX_BITS else st.none(),
            )
        ),
        addend=draw(chosen(fields["addend"], st.none())),
    )


def fixed_points(  # noqa: PLR0913 - a keyword for each choice of the hardware
    *,
    multiplier: Choice[IntFormat] = None,
    shifts: Range = SHIFTS,
    rounding: Choice[AnyRounding] = None,
    first_shift: Choice[FirstShift | None] = None,
    left_register: Choice[RegisterSpec | None] = None,
    product: Choice[ProductArithmetic] = None,
    reduced_from: Choice[IntFormat | None] = None,
    addend: Choice[IntFormat | None] = None,
    room: int = MAX_SHIFT,
) -> st.SearchStrategy[FixedPoint]:
    """Multiplier-and-shift scalings.

    ``st.none()`` for a register, ``first_shift`` or ``reduced_from`` leaves it
    out; there is no ``addend`` unless one is given, together with an exact
    ``product`` and for per-channel rescalers. ``shifts`` bounds min_shift and
    max_shift. ``room`` is the number of bits the accumulator can be shifted
    left: at max_shift, the unit then is
    within its widths.
    """
    low, high = ends_of("shifts", shifts, *SHIFTS)
    if high < -room:
        raise SpecError(
            f"shifts up to {high} shift left by {-high} bits at least, but the accumulator "
            f"leaves {room}"
        )
    fields: dict[str, Choice] = {
        "multiplier": multiplier,
        "rounding": rounding,
        "first_shift": first_shift,
        "left_register": left_register,
        "product": product,
        "reduced_from": reduced_from,
        "addend": addend,
    }
    return _fixed_points((low, high), room, fields)


def float_scales(
    *, width: Choice[FloatWidth] = None, rounding: Choice[AnyRounding] = None
) -> st.SearchStrategy[FloatScale]:
    """Floating-point scalings."""
    return st.builds(
        FloatScale,
        width=chosen(width, st.sampled_from(FloatWidth)),
        rounding=chosen(rounding, roundings()),
    )


def powers_of_two(
    *, shifts: Range = SHIFTS, rounding: Choice[AnyRounding] = None, room: int = MAX_SHIFT
) -> st.SearchStrategy[PowerOfTwo]:
    """Shifters; ``shifts`` and ``room`` as in :func:`fixed_points`."""
    low, high = ends_of("shifts", shifts, *SHIFTS)
    return st.builds(
        lambda most, back, rounding: PowerOfTwo(
            min_shift=max(low, most - back), max_shift=most, rounding=rounding
        ),
        st.integers(min(max(low, -room), high), high),
        st.integers(0, high - low),
        chosen(rounding, roundings()),
    )


def thresholds(*, rounding: Choice[Rounding] = None) -> st.SearchStrategy[Thresholds]:
    """Threshold units."""
    return st.builds(Thresholds, rounding=chosen(rounding, st.sampled_from(Rounding)))


def scalings(*, room: int = MAX_SHIFT) -> st.SearchStrategy[Scaling]:
    """Any scaling; ``room`` as in :func:`fixed_points`."""
    return fixed_points(room=room) | float_scales() | powers_of_two(room=room) | thresholds()


@st.composite
def _rescaler_specs(
    draw: st.DrawFn, acc_format: IntFormat, fields: dict[str, Choice]
) -> RescalerSpec:
    offset = draw(chosen(fields["input_offset"], _input_offsets(acc_format)))
    scaling = draw(chosen(fields["scaling"], scalings(room=left_room(acc_format, offset))))
    counts = isinstance(scaling, Thresholds)
    formats = int_formats(bits=_THRESHOLD_BITS if counts else (1, MAX_BITS))
    output = draw(chosen(fields["output"], formats))
    saturates = counts or output.narrow
    registers = st.none() if counts else st.none() | register_specs()
    takes_bias = isinstance(scaling, FixedPoint) and scaling.addend is not None
    granularities = [Granularity.PER_CHANNEL] if takes_bias else list(Granularity)
    return RescalerSpec(
        output=output,
        scaling=scaling,
        overflow=draw(
            chosen(fields["overflow"], st.just(Overflow.SATURATE) if saturates else overflows())
        ),
        granularity=draw(chosen(fields["granularity"], st.sampled_from(granularities))),
        input_offset=offset,
        intermediate=draw(chosen(fields["intermediate"], registers)),
        clamp_point=draw(chosen(fields["clamp_point"], st.sampled_from(ClampPoint))),
    )


def rescaler_specs(  # noqa: PLR0913 - a keyword for each choice of the hardware
    *,
    acc_format: IntFormat = IntFormat(32),
    output: Choice[IntFormat] = None,
    scaling: Choice[Scaling] = None,
    overflow: Choice[Overflow] = None,
    granularity: Choice[Granularity] = None,
    input_offset: Choice[int] = None,
    intermediate: Choice[RegisterSpec | None] = None,
    clamp_point: Choice[ClampPoint] = None,
) -> st.SearchStrategy[RescalerSpec]:
    """Rescalers that some parameters make a legal unit for accumulators of ``acc_format``.

    Threshold units have outputs of up to 6 bits unless ``output`` says
    otherwise: they hold one threshold a code.
    """
    fields: dict[str, Choice] = {
        "output": output,
        "scaling": scaling,
        "overflow": overflow,
        "granularity": granularity,
        "input_offset": input_offset,
        "intermediate": intermediate,
        "clamp_point": clamp_point,
    }
    return _rescaler_specs(acc_format, fields)


def _input_offsets(acc_format: IntFormat) -> st.SearchStrategy[int]:
    """Offsets that leave every accumulator a magnitude of 2**62 at most."""
    low = max(acc_format.max - LARGEST, -LARGEST)
    high = min(acc_format.min + LARGEST, LARGEST - 1)
    inside = st.integers(max(low, acc_format.min), min(high, acc_format.max))
    if not low <= 0 <= high:
        return inside
    return st.just(0) | st.integers(max(low, -9), min(high, 9)) | inside
