"""How far an output can lie from the float reference, by analysis alone (equation 14).

Valid for every output whose accumulator holds its exact total; derived in
docs/quantization.md. All terms are in output codes (LSB), formed in exact
rational arithmetic and rounded up at the end.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import numpy as np

from lsqsim.budget.layer_operands import layer_operands, legal_inputs
from lsqsim.budget.ranges import exact_ranges
from lsqsim.datapath import CompiledLayer
from lsqsim.folding import FixedPointParameters, PowerOfTwoParameters
from lsqsim.formats import AnyRounding, Overflow, Rounding
from lsqsim.rescaler import Rescaler
from lsqsim.specs import (
    Activation,
    FixedPoint,
    FloatScale,
    FloatWidth,
    PowerOfTwo,
    ProductArithmetic,
)

_SIGNIFICANT_BITS = {FloatWidth.FLOAT32: 24, FloatWidth.FLOAT64: 53}
_UNIT_ROUNDOFF_FLOAT64 = Fraction(1, 1 << 53)
_HALF = Fraction(1, 2)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ErrorBound:
    """The terms of the bound, float64 (channels,) each, in LSB.

    Attributes
    ----------
    rounding
        Of the rescaler's one or two roundings.
    fold
        The scale held is not the real factor: |scale - M| * largest total.
    product
        Float products are rounded themselves.
    bias
        The bias was rounded to an integer.
    activation
        ReLU6's clip was rounded to a code.
    reference
        The reference's own float64 rounding.
    total
        Their sum; infinite where a register of the rescaler can overflow, so
        that no bound short of the output's range holds.
    """

    rounding: np.ndarray
    fold: np.ndarray
    product: np.ndarray
    bias: np.ndarray
    activation: np.ndarray
    reference: np.ndarray
    total: np.ndarray


def error_bound(compiled: CompiledLayer) -> ErrorBound:
    """The bound of every output channel, for any input the format allows."""
    layer, rescaler = compiled.layer, compiled.rescaler
    n = layer.n_outputs
    scales = _per_channel(rescaler.parameters.exact_scales(), n)
    factors = exact_factors(compiled)
    totals = largest_totals(compiled)
    rows = [
        _channel_terms(compiled, channel, scale, factor, total)
        for channel, (scale, factor, total) in enumerate(zip(scales, factors, totals, strict=True))
    ]
    terms = np.array([[_round_up(term) for term in row] for row in rows]).reshape(n, 6)
    total = np.array([_round_up(sum(row, Fraction(0))) for row in rows])
    void = np.array(
        [
            _can_overflow(compiled, c, s, t)
            for c, (s, t) in enumerate(zip(scales, totals, strict=True))
        ],
        bool,
    )
    if layer.bias is not None:
        void |= ~np.isfinite(np.asarray(layer.bias, np.float64))
    rounding, fold, product, bias, activation, reference = terms.T
    return ErrorBound(
        rounding=rounding, fold=fold, product=product, bias=bias, activation=activation,
        reference=reference, total=np.where(void, np.inf, total),
    )  # fmt: skip


def exact_factors(compiled: CompiledLayer) -> list[Fraction]:
    """M = s_x * s_w / s_y of every output channel, as an exact fraction (equation 6)."""
    layer = compiled.layer
    n = layer.n_outputs
    weight = _per_channel(np.atleast_1d(layer.weight_step).tolist(), n)
    output = _per_channel(np.atleast_1d(layer.output_step).tolist(), n)
    step = Fraction(float(layer.input_step))
    return [
        step * Fraction(float(w)) / Fraction(float(y)) for w, y in zip(weight, output, strict=True)
    ]


def largest_totals(compiled: CompiledLayer) -> list[int]:
    """Largest magnitude of the exact total of every output channel, over all inputs."""
    exact = exact_ranges(layer_operands(compiled, legal_inputs(compiled)))
    low, high = exact.result_low[:, -1].tolist(), exact.result_high[:, -1].tolist()
    return [max(abs(a), abs(b)) for a, b in zip(low, high, strict=True)]


def _channel_terms(
    compiled: CompiledLayer, channel: int, scale: Fraction, factor: Fraction, total: int
) -> tuple[Fraction, ...]:
    offset = abs(compiled.spec.rescaler.input_offset)
    return (
        _rounding_term(compiled, channel),
        abs(scale - factor) * total + scale * offset,
        _product_term(compiled, scale * (total + offset), total + offset),
        _bias_term(compiled, channel, factor),
        _activation_term(compiled),
        _reference_term(compiled, channel, factor),
    )


def _rounding_term(compiled: CompiledLayer, channel: int) -> Fraction:
    n = compiled.layer.n_outputs
    match compiled.spec.rescaler.scaling, compiled.rescaler.parameters:
        case FixedPoint() as scaling, FixedPointParameters() as held:
            shifts = scaling.split(_per_channel(held.shift.tolist(), n)[channel])
            last = _largest_error(scaling.rounding) if shifts.last > 0 else Fraction(0)
            if scaling.first_shift is None or shifts.first == 0:
                return last
            return last + _largest_error(scaling.first_shift.rounding) / (1 << shifts.last)
        case PowerOfTwo() as scaling, PowerOfTwoParameters() as held:
            right = _per_channel(held.shift.tolist(), n)[channel]
            return _largest_error(scaling.rounding) if right > 0 else Fraction(0)
        case scaling, _:
            return _largest_error(scaling.rounding)


def _largest_error(rounding: AnyRounding) -> Fraction:
    is_nearest = isinstance(rounding, Rounding) and rounding.is_nearest
    return _HALF if is_nearest else Fraction(1)


def _product_term(compiled: CompiledLayer, largest: Fraction, largest_acc: int) -> Fraction:
    """Relative error of fl(fl(acc) * scale); the first fl is exact for narrow accumulators."""
    match compiled.spec.rescaler.scaling:
        case FloatScale(width=width):
            bits = _SIGNIFICANT_BITS[width]
        case FixedPoint(product=ProductArithmetic.FLOAT64):
            bits = _SIGNIFICANT_BITS[FloatWidth.FLOAT64]
        case _:
            return Fraction(0)
    unit = Fraction(1, 1 << bits)
    n_roundings = 1 if largest_acc <= 1 << bits else 2
    return ((1 + unit) ** n_roundings - 1) * largest


def _bias_term(compiled: CompiledLayer, channel: int, factor: Fraction) -> Fraction:
    """How far the bias that is added lies from the real one."""
    layer = compiled.layer
    if compiled.rescaler_bias is not None:
        exact = Fraction(float(compiled.rescaler_bias[channel]))
        return abs(_addend(compiled.rescaler, channel) - exact)
    if layer.bias is None or compiled.bias is None:
        return Fraction(0)
    steps = _per_channel(np.atleast_1d(layer.weight_step).tolist(), layer.n_outputs)
    unit = Fraction(float(layer.input_step)) * Fraction(float(steps[channel]))
    bias = float(layer.bias[channel])
    if not math.isfinite(bias):  # it clips, and voids the bound
        return Fraction(0)
    return abs(int(compiled.bias.codes[channel]) - Fraction(bias) / unit) * factor


def _addend(rescaler: Rescaler, channel: int) -> Fraction:
    """What the rescaler adds to its product, in output codes."""
    match rescaler.spec.scaling, rescaler.parameters:
        case FixedPoint() as scaling, FixedPointParameters(addend=np.ndarray() as addend) as held:
            right = scaling.split(int(held.shift[channel])).right
            return Fraction(int(addend[channel]), 1 << right)
        case _:
            return Fraction(0)


def _activation_term(compiled: CompiledLayer) -> Fraction:
    if compiled.layer.spec.activation is not Activation.RELU6:
        return Fraction(0)
    zero = compiled.layer.output_zero_point
    top = 6 / Fraction(float(compiled.layer.output_step))
    ideal = min(top, Fraction(compiled.spec.rescaler.output.max - zero))
    return abs(compiled.rescaler.clamp[1] - zero - ideal)


def _reference_term(compiled: CompiledLayer, channel: int, factor: Fraction) -> Fraction:
    """Float64 sum of K rounded products, a bias and two quotients: K + 8 roundings at most."""
    layer, fmt = compiled.layer, compiled.spec.input.format
    largest_x = max(abs(end - layer.input_zero_point) for end in (fmt.min, fmt.max))
    zero = int(np.broadcast_to(compiled.weight.zero_point, (layer.n_outputs,))[channel])
    row = compiled.weight.codes[channel].ravel().tolist()
    norm = sum(abs(w - zero) for w in row) * largest_x
    norm += 0 if compiled.bias is None else abs(int(compiled.bias.codes[channel])) + 1
    added = compiled.rescaler_bias
    bias = Fraction(0) if added is None else Fraction(abs(float(added[channel])))
    return (len(row) + 8) * _UNIT_ROUNDOFF_FLOAT64 * (norm * factor + bias)


def _can_overflow(compiled: CompiledLayer, channel: int, scale: Fraction, total: int) -> bool:
    """Whether a register of the rescaler itself may lose its value for some exact total."""
    spec, rescaler = compiled.spec.rescaler, compiled.rescaler
    acc = total + abs(spec.input_offset)
    added = abs(_addend(rescaler, channel))
    result = math.ceil(scale * acc + added) + 2
    if spec.intermediate is not None and not spec.intermediate.format.holds(result):
        return True
    match spec.scaling, rescaler.parameters:
        case FixedPoint() as scaling, FixedPointParameters() as held:
            if _left_or_high_overflows(scaling, held, acc):
                return True
        case _:
            pass
    wraps = spec.overflow is Overflow.WRAP
    return wraps and not (
        spec.output.holds(result + rescaler.zero_point)
        and spec.output.holds(rescaler.zero_point - result)
    )


def _left_or_high_overflows(
    scaling: FixedPoint, parameters: FixedPointParameters, acc: int
) -> bool:
    first = scaling.first_shift
    channels = zip(
        parameters.multiplier.tolist(),
        parameters.shift.tolist(),
        parameters.addends,
        strict=True,
    )
    for m, shift, addend in channels:
        shifts = scaling.split(shift)
        shifted = acc << shifts.left
        if scaling.left_register is not None and not scaling.left_register.format.holds(shifted):
            return True
        if first is not None and not first.register.format.holds(
            (shifted * m + abs(addend) >> shifts.first) + 1
        ):
            return True
    return False


def _per_channel(values: list[T], n: int) -> list[T]:
    return values * n if len(values) == 1 else values


def _round_up(value: Fraction) -> float:
    try:
        nearest = float(value)
    except OverflowError:
        return math.inf
    return nearest if Fraction(nearest) >= value else math.nextafter(nearest, math.inf)
