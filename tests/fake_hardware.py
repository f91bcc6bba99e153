"""Hardware as a user might wrap it, each with the faults that hardware has; NumPy and ints only.

Keyword-only options after the arguments of ``assert_bit_exact`` plant one fault
each; the defaults are right.
"""

from itertools import product

import numpy as np

from lsqsim.formats import IntFormat, Overflow
from lsqsim.specs import (
    AccumulatorSpec,
    Conv2dSpec,
    FixedPoint,
    FloatScale,
    Granularity,
    LinearSpec,
    PowerOfTwo,
    QuantizerSpec,
    RescalerSpec,
    StageSpec,
    Thresholds,
    simple_datapath,
)

INT4, INT8, INT16 = IntFormat(4), IntFormat(8), IntFormat(16)
UINT8 = IntFormat(8, signed=False)

QUANTIZER = QuantizerSpec(format=INT8)
CHANNEL_QUANTIZER = QuantizerSpec(format=INT8, channel_axis=1)
ARRAY = AccumulatorSpec(
    stages=(
        StageSpec(bits=8, fan_in=4, overflow=Overflow.SATURATE),
        StageSpec(bits=12, overflow=Overflow.SATURATE),
    )
)
ARRAY_LIMITS = {"input_format": INT4, "weight_format": INT4}
RESCALER = RescalerSpec(output=INT8, scaling=FixedPoint(multiplier=UINT8))
CHANNEL_RESCALER = RescalerSpec(
    output=INT8, scaling=FixedPoint(multiplier=UINT8), granularity=Granularity.PER_CHANNEL
)
BY_FLOAT = RescalerSpec(output=INT8, scaling=FloatScale())
BY_SHIFT = RescalerSpec(output=INT8, scaling=PowerOfTwo())
BY_THRESHOLDS = RescalerSpec(output=INT4, scaling=Thresholds())
RESCALER_LIMITS = {"acc_format": INT16}
LINEAR = simple_datapath(input_signed=True, output_signed=True, per_channel=True)
LINEAR_LIMITS = {"layer": LinearSpec()}
CONVOLUTION = simple_datapath(input_signed=True, output_signed=True)
CONVOLUTION_LIMITS = {"layer": Conv2dSpec(padding=(1, 0, 0, 1), groups=2)}


def ties_away(x):
    return np.copysign(np.floor(np.abs(x) + 0.5), x)


def ties_pos(x):
    return np.floor(x + 0.5)


def quantizer(
    values, step_size, zero_point, *,
    low=-128, high=127, rule=np.rint, zero_first=False, flush=0.0, by_reciprocal=False,
):  # fmt: skip
    """int8, ties to even, float64 division."""
    wide = np.where(np.abs(values) < flush, 0, values).astype(np.float64)
    with np.errstate(over="ignore", under="ignore"):
        quotient = wide * (1 / step_size) if by_reciprocal else wide / step_size
    if zero_first:
        return np.clip(rule(quotient + zero_point), low, high).astype(np.int64)
    rounded = np.clip(rule(quotient), low - zero_point, high - zero_point)
    return rounded.astype(np.int64) + zero_point


def channel_quantizer(values, step_size, zero_point, *, shifted=0, **options):
    """Channels on axis 1, ``shifted`` places off."""
    steps, zeros = (np.roll(parameter, shifted) for parameter in (step_size, zero_point))
    rows = [quantizer(values[:, c], steps[c], zeros[c], **options) for c in range(values.shape[1])]
    return np.stack(rows, axis=1)


def wrap(value, bits):
    return (value + (1 << bits >> 1)) % (1 << bits) - (1 << bits >> 1)


def saturate(value, bits, *, edge_fits=False):
    """``edge_fits``: 2**(bits - 1) itself is taken for a value that fits."""
    top = (1 << bits >> 1) - 1
    if edge_fits and value == top + 1:
        return wrap(value, bits)
    return min(max(value, -top - 1), top)


def array(
    x, w, bias, input_zero_point, weight_zero_point, *,
    fan_in=4, bits=8, store=saturate, acc_store=saturate, acc_bits=12, preload=True, backward=False,
    drop_partial=False, correct=True,
):  # fmt: skip
    """Groups of four products in 8 bits, then 12 bits; bias and corrections preloaded."""
    m, n, k = len(x), len(w), x.shape[1]
    inner = np.zeros((m, n, -(-k // fan_in)), np.int64)
    acc = np.zeros((m, n), np.int64)
    for i, j in product(range(m), range(n)):
        z_x, z_w = input_zero_point, int(weight_zero_point[j])
        products = [int(a) * int(b) for a, b in zip(x[i], w[j], strict=True)]
        products = products[::-1] if backward else products
        addend = int(bias[j])
        if correct:
            addend += k * z_x * z_w - z_x * int(w[j].sum()) - z_w * int(x[i].sum())
        total = acc_store(addend, acc_bits) if preload else 0
        for group in range(-(-k // fan_in)):
            register = 0
            for value in products[group * fan_in : (group + 1) * fan_in]:
                register = store(register + value, bits)
            inner[i, j, group] = register
            if not (drop_partial and (group + 1) * fan_in > k):
                total = acc_store(total + register, acc_bits)
        acc[i, j] = total if preload else acc_store(total + addend, acc_bits)
    return {"stage_0": inner, "accumulator": acc}


def rescaler(
    acc, multiplier, shift, zero_point, low, high, *,
    away=False, zero_first=False, wraps=False, top=0, short_for_negative=0, bits=8,
):  # fmt: skip
    """One rounding, ties toward plus infinity, an int8 result that saturates."""
    codes = []
    for a in acc.ravel().tolist():
        right = shift - short_for_negative if a < 0 and shift > 0 else shift
        exact = a * multiplier << max(-right, 0)
        half = 1 << right >> 1 if right > 0 else 0
        if zero_first:
            exact += zero_point
        if away and exact < 0:
            rounded = -((-exact + half) >> max(right, 0))
        else:
            rounded = (exact + half) >> max(right, 0)
        code = rounded + (0 if zero_first else zero_point)
        code = wrap(code, bits) if wraps else saturate(code, bits)
        codes.append(min(max(code, low), high - top))
    return np.array(codes, np.int64).reshape(acc.shape)


def channel_rescaler(acc, multiplier, shift, zero_point, low, high, *, shifted=0):
    """Channels last, ``shifted`` places off."""
    multiplier, shift = np.roll(multiplier, shifted).tolist(), np.roll(shift, shifted).tolist()
    columns = [
        rescaler(acc[:, c], multiplier[c], shift[c], zero_point, low, high)
        for c in range(acc.shape[1])
    ]
    return np.stack(columns, axis=1)


def linear(
    *, values, input_step, input_zero_point, w, bias, weight_zero_point,
    multiplier, shift, zero_point, low, high, **_,
):  # fmt: skip
    """A whole layer from real inputs on, with a multiplier for each channel."""
    x = quantizer(values, input_step, input_zero_point)
    products = (x - input_zero_point) @ (w - weight_zero_point[:, None]).T
    acc = wrap(products + bias, 32).reshape(-1, len(w))
    output = channel_rescaler(acc, multiplier, shift, zero_point, low, high)
    shape = (*values.shape[:-1], len(w))
    return {"input_codes": x, "accumulator": acc.reshape(shape), "output": output.reshape(shape)}


def convolution(
    x, w, bias, input_zero_point, weight_zero_point, *,
    stride, padding, dilation, groups, channels_last, pad_with_zero=False, next_group=False, **rest,
):  # fmt: skip
    """A whole layer from input codes on: 32-bit chain, then :func:`rescaler`."""
    if channels_last:
        x, w = x.transpose(0, 3, 1, 2), w.transpose(0, 3, 1, 2)
    (batch, _, height, width), (outputs, channels, kh, kw) = x.shape, w.shape
    top, bottom, left, right = padding
    padded = np.full(
        (batch, x.shape[1], height + top + bottom, width + left + right),
        0 if pad_with_zero else input_zero_point,
    )
    padded[:, :, top : top + height, left : left + width] = x
    reach = [d * (size - 1) + 1 for d, size in zip(dilation, (kh, kw), strict=True)]
    oh, ow = ((padded.shape[2 + a] - reach[a]) // stride[a] + 1 for a in range(2))
    acc = np.zeros((batch, outputs, oh, ow), np.int64)
    for b, j, row, column in product(*map(range, acc.shape)):
        group = j // (outputs // groups)
        group = (group + next_group) % groups
        top_left = row * stride[0], column * stride[1]
        total = int(bias[j]) + sum(
            (int(padded[b, group * channels + c, top_left[0] + r * dilation[0],
                        top_left[1] + s * dilation[1]]) - input_zero_point)
            * (int(w[j, c, r, s]) - int(weight_zero_point[j]))
            for c, r, s in product(range(channels), range(kh), range(kw))
        )  # fmt: skip
        acc[b, j, row, column] = wrap(total, 32)
    keywords = {name: rest[name] for name in ("multiplier", "shift", "low", "high")}
    output = rescaler(acc, zero_point=rest["zero_point"], **keywords)
    registers = {"accumulator": acc, "output": output}
    if channels_last:
        return {name: image.transpose(0, 2, 3, 1) for name, image in registers.items()}
    return registers
