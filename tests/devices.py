"""The published rescale formulas of shipped systems, on Python integers.

Each is transcribed from its mathematics (shared facts, section 5), not from
docs/datapath.md and not from any source text, and shares nothing with the
oracle. ``m0`` is the significand of 31 bits and ``e`` TFLite's exponent:
M = m0 / 2**31 * 2**e, positive e to the left.
"""

import struct
from fractions import Fraction
from math import ceil, floor

INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1


def wrap32(x: int) -> int:
    return (x + (1 << 31)) % (1 << 32) - (1 << 31)


def clamp(x: int, low: int, high: int) -> int:
    return max(low, min(high, x))


def srdhm(a: int, b: int) -> int:
    """SaturatingRoundingDoublingHighMul: gemmlowp, fixedpoint/fixedpoint.h.

    The nearest integer to a*b / 2**31, ties up; INT_MIN squared, the one
    result that does not fit, saturates.
    """
    if a == b == INT32_MIN:
        return INT32_MAX
    return (a * b + (1 << 30)) >> 31


def rounding_divide_by_pot(x: int, exponent: int) -> int:
    """RoundingDivideByPOT: gemmlowp, fixedpoint/fixedpoint.h. Ties away from zero."""
    mask = (1 << exponent) - 1
    return (x >> exponent) + ((x & mask) > (mask >> 1) + (x < 0))


def tflite_double(x: int, m0: int, e: int) -> int:
    """MultiplyByQuantizedMultiplier, two roundings: tflite-micro, kernels/internal/common.cc."""
    return rounding_divide_by_pot(srdhm(wrap32(x << max(e, 0)), m0), max(-e, 0))


def ruy_double(x: int, m0: int, e: int) -> int:
    """LiteRT's optimized kernels (ruy): as double, both roundings up; measured on its runtime."""
    y = srdhm(wrap32(x << max(e, 0)), m0)
    return (y + (1 << (-e - 1))) >> -e if e < 0 else y


def tflite_single(x: int, m0: int, e: int) -> int:
    """MultiplyByQuantizedMultiplier, one rounding: tflite-micro, kernels/internal/common.cc."""
    return (x * m0 + (1 << (30 - e))) >> (31 - e)


def tflite_16x8(x: int, m0: int, e: int) -> int:
    """MultiplyByQuantizedMultiplier of an int64 accumulator: tflite-micro, common.cc."""
    m16 = (m0 + (1 << 15)) >> 16 if m0 < 0x7FFF0000 else 0x7FFF
    return (x * m16 + (1 << (14 - e))) >> (15 - e)


def cmsis_nn_double(x: int, m0: int, e: int) -> int:
    """arm_nn_requantize: CMSIS-NN, arm_nnsupportfunctions.h. High multiply without saturation."""
    high = wrap32((wrap32(x << max(e, 0)) * m0 + (1 << 30)) >> 31)
    right = max(-e, 0)
    remainder = high % (1 << right)
    threshold = ((1 << right) - 1) // 2 + (1 if high < 0 else 0)
    return high // (1 << right) + (1 if remainder > threshold else 0)


def cmsis_nn_single(x: int, m0: int, e: int) -> int:
    """arm_nn_requantize, CMSIS_NN_USE_SINGLE_ROUNDING: one bit more than needed, then half up."""
    return ((x * m0 >> (30 - e)) + 1) >> 1


def tosa_apply_scale_32(value: int, multiplier: int, shift: int, *, double_round: bool) -> int:
    """apply_scale_32: TOSA specification, scale_helpers.tosac; 2 <= shift <= 62."""
    assert 2 <= shift <= 62
    half = 1 << (shift - 1)
    if double_round and shift > 31:
        half += (1 << 30) if value >= 0 else -(1 << 30)
    return (value * multiplier + half) >> shift


def xnnpack_rndnu(x: int, multiplier: int, shift: int) -> int:
    """Round to nearest, up: XNNPACK, requantization.h; TVM's FixedPointMultiply is the same."""
    return (x * multiplier + (1 << (shift - 1))) >> shift


def to_float32(x: float | int) -> float:
    """Round to nearest even float32; exact for |x| < 2**53, where a float64 holds x."""
    return struct.unpack("f", struct.pack("f", x))[0]


def fp32_product(acc: int, scale: float) -> int:
    """lrintf((float) acc * scale) in round-to-nearest-even mode.

    A product of two float32 needs at most 48 bits, so float64 holds it exactly
    and one conversion to float32 rounds it once.
    """
    return round(to_float32(to_float32(acc) * scale))


def xnnpack_fp32(acc: int, scale: float, zero_point: int, q_min: int, q_max: int) -> int:
    """XNNPACK, requantization.h, fp32: clamp to the limits less the zero point, then add it."""
    return clamp(fp32_product(acc, scale), q_min - zero_point, q_max - zero_point) + zero_point


def onnx_runtime(acc: int, scale: float, zero_point: int, q_min: int, q_max: int) -> int:
    """ONNX Runtime, MlasRequantizeOutput: add the zero point, then clamp."""
    return clamp(fp32_product(acc, scale) + zero_point, q_min, q_max)


def gemmini_acc_scale(acc: int, scale: float, q_min: int, q_max: int) -> int:
    """Gemmini, Configs.scala: int to float32, float32 multiply, to int, saturate; each to even."""
    return clamp(fp32_product(acc, scale), q_min, q_max)


def litert_reference_fully_connected(acc: int, scale: float) -> int:
    """LiteRT's reference kernel in doubles: round((double) acc * scale), C's round."""
    product = Fraction(float(acc) * scale)
    half = Fraction(1, 2)
    return floor(product + half) if product >= 0 else ceil(product - half)


def hawq_v3(z: int, b: int, c: int) -> int:
    """HAWQ-V3, quant_utils.py: round(double(z * b) / 2**c), to even, in doubles throughout."""
    return round(float(z) * float(b) / float(1 << c))


def nvdla_sdp(x: int, offset: int, scale16: int, truncate: int) -> int:
    """NVDLA SDP output converter: nvdla/hw, sdp_c.cpp. Half away, then 17 bits, then int8."""
    product = (x - offset) * scale16
    half = 1 << (truncate - 1) if truncate else 0
    y = (abs(product) + half) >> truncate
    return clamp(clamp(y if product >= 0 else -y, -(1 << 16), (1 << 16) - 1), -128, 127)


def tqt(x: int, shift: int) -> int:
    """TQT (Jain 2020): a power-of-two scale, banker's rounding."""
    return round(Fraction(x, 1 << shift))


def vta(x: int, shift: int) -> int:
    """VTA's ALU: an arithmetic shift right."""
    return x >> shift


def finn_threshold(k: int, factor: Fraction) -> int:
    """FINN MVAU: T_k = ceil((k - 1/2) / M)."""
    return ceil((k - Fraction(1, 2)) / factor)


def finn(x: int, factor: Fraction, bits: int) -> int:
    """FINN MVAU: the number of thresholds the accumulator reaches."""
    return sum(x >= finn_threshold(k, factor) for k in range(1, 1 << bits))


def quantize_multiplier(factor: float) -> tuple[int, int]:
    """QuantizeMultiplier: TFLite, quantization_util.cc: m0 = round(m * 2**31), away; and e."""
    exact, e = Fraction(factor), 0
    while exact >= 1:
        exact, e = exact / 2, e + 1
    while exact < Fraction(1, 2):
        exact, e = exact * 2, e - 1
    m0 = floor(exact * (1 << 31) + Fraction(1, 2))
    return (m0 // 2, e + 1) if m0 == 1 << 31 else (m0, e)
