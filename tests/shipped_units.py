"""The last table of docs/datapath.md as specifications, each beside its published formula.

Tests of the oracle and of the rescaler both walk through it: ``UNITS`` pairs a
specification and parameters with a function of the accumulator alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import product

import devices
from lsqsim.formats import IntFormat, Overflow, Rounding
from lsqsim.specs import (
    ClampPoint,
    FirstShift,
    FixedPoint,
    FloatScale,
    FloatWidth,
    PowerOfTwo,
    ProductArithmetic,
    RegisterSpec,
    RescalerSpec,
    Thresholds,
)
from oracle import Parameters

INT8, INT16, INT32 = IntFormat(8), IntFormat(16), IntFormat(32)
UINT4 = IntFormat(4, signed=False)
UINT15, UINT31 = IntFormat(15, signed=False), IntFormat(31, signed=False)
WRAP_32 = RegisterSpec(bits=32, overflow=Overflow.WRAP)
SATURATE_32 = RegisterSpec(bits=32, overflow=Overflow.SATURATE)

SRDHM = FixedPoint(multiplier=INT32, min_shift=31, max_shift=31)
TFLITE_DOUBLE = FixedPoint(
    first_shift=FirstShift(shift=31, rounding=Rounding.TIES_POS, register=SATURATE_32),
    left_register=WRAP_32,
    rounding=Rounding.TIES_AWAY,
)
RUY_DOUBLE = replace(TFLITE_DOUBLE, rounding=Rounding.TIES_POS)
SINGLE = FixedPoint(rounding=Rounding.TIES_POS)
TFLITE_16X8 = FixedPoint(multiplier=UINT15, reduced_from=UINT31, rounding=Rounding.TIES_POS)
CMSIS_DOUBLE = replace(
    TFLITE_DOUBLE, first_shift=FirstShift(shift=31, rounding=Rounding.TIES_POS, register=WRAP_32)
)
TOSA_DOUBLE = FixedPoint(
    first_shift=FirstShift(shift=31, rounding=Rounding.TIES_POS), rounding=Rounding.TIES_AWAY
)
FP32 = FloatScale(width=FloatWidth.FLOAT32, rounding=Rounding.TIES_EVEN)
FP64 = FloatScale(width=FloatWidth.FLOAT64, rounding=Rounding.TIES_AWAY)
HAWQ = FixedPoint(product=ProductArithmetic.FLOAT64, rounding=Rounding.TIES_EVEN)
NVDLA_SCALING = FixedPoint(multiplier=INT16, rounding=Rounding.TIES_AWAY)
NVDLA = RescalerSpec(
    output=INT8,
    scaling=NVDLA_SCALING,
    input_offset=-7,
    intermediate=RegisterSpec(bits=17, overflow=Overflow.SATURATE),
)


@dataclass(frozen=True)
class Unit:
    """A specification with parameters, and the published formula for the same output code."""

    name: str
    spec: RescalerSpec
    parameters: Parameters
    published: Callable[[int], int]
    zero_point: int = 0
    factor: float | None = None
    """The real factor that the parameters come from, where one unit folds it."""

    def __str__(self) -> str:
        p = self.parameters
        match self.spec.scaling:
            case FloatScale():
                return f"{self.name}-x{float(p.scale)}"
            case Thresholds():
                return f"{self.name}-x{self.factor}"
            case _:
                return f"{self.name}-m{p.multiplier}>>{p.shift}"


FACTORS = (0.3, 0.004, 0.5, 0.75, 1.5, 3.7, 2.0**-9, 1 - 2.0**-33, 0.011111111910680305)
"""Below and above 1, powers of two, halves (ties everywhere), one that rounds up to 2**31."""

OUT32 = RescalerSpec(output=INT32)
"""Wide enough to see a 32-bit result whole."""
ZERO_POINT = -3


def saturated(f: Callable[[int], int], out: IntFormat, zero_point: int = 0):
    """The published formula, zero point and output clip added, as every one of them does."""
    return lambda x: devices.clamp(f(x) + zero_point, out.min, out.max)


def fixed(name, scaling, m, shift, published, factor=None) -> list[Unit]:
    """One unit seen whole in 32 bits, and one through a zero point into int8."""
    parameters = Parameters(multiplier=m, shift=shift)
    return [
        Unit(name, RescalerSpec(output=INT32, scaling=scaling), parameters,
             saturated(published, INT32), factor=factor),
        Unit(name + "-int8", RescalerSpec(output=INT8, scaling=scaling), parameters,
             saturated(published, INT8, ZERO_POINT), ZERO_POINT, factor),
    ]  # fmt: skip


def fixed_point_units(factor: float) -> list[Unit]:
    """Every unit whose multiplier comes from QuantizeMultiplier."""
    m0, e = devices.quantize_multiplier(factor)
    shift = 31 - e
    units = []
    for name, scaling, published in (
        ("tflite-double", TFLITE_DOUBLE, devices.tflite_double),
        ("ruy-double", RUY_DOUBLE, devices.ruy_double),
        ("tflite-single", SINGLE, devices.tflite_single),
        ("cmsis-double", CMSIS_DOUBLE, devices.cmsis_nn_double),
        ("cmsis-single", SINGLE, devices.cmsis_nn_single),
    ):
        units += fixed(name, scaling, m0, shift, lambda x, f=published: f(x, m0, e), factor)
    for double_round, scaling in ((False, SINGLE), (True, TOSA_DOUBLE)):
        units += fixed(
            "tosa-double" if double_round else "tosa-single", scaling, m0, shift,
            lambda x, d=double_round: devices.tosa_apply_scale_32(x, m0, shift, double_round=d),
            factor,
        )  # fmt: skip
    units += fixed("xnnpack-rndnu", SINGLE, m0, shift,
                   lambda x: devices.xnnpack_rndnu(x, m0, shift), factor)  # fmt: skip
    units += fixed("hawq", HAWQ, m0, shift, lambda x: devices.hawq_v3(x, m0, shift), factor)
    m16 = 0x7FFF if m0 >= 0x7FFF0000 else (m0 + (1 << 15)) >> 16
    units += fixed("tflite-16x8", TFLITE_16X8, m16, 15 - e,
                   lambda x: devices.tflite_16x8(x, m0, e), factor)  # fmt: skip
    return units


def float_units(factor: float) -> list[Unit]:
    s32, z = devices.to_float32(factor), ZERO_POINT
    p32, p64 = Parameters(scale=Fraction(s32)), Parameters(scale=Fraction(factor))
    after = RescalerSpec(output=INT8, scaling=FP32)
    before = replace(after, clamp_point=ClampPoint.BEFORE_ZERO_POINT)
    whole = RescalerSpec(output=INT32, scaling=FP64)
    return [
        Unit("onnxruntime", after, p32,
             lambda x: devices.onnx_runtime(x, s32, z, -128, 127), z, factor),
        Unit("xnnpack-fp32", before, p32,
             lambda x: devices.xnnpack_fp32(x, s32, z, -128, 127), z, factor),
        Unit("gemmini", after, p32,
             lambda x: devices.gemmini_acc_scale(x, s32, -128, 127), 0, factor),
        Unit("litert-reference", whole, p64,
             saturated(lambda x: devices.litert_reference_fully_connected(x, factor), INT32),
             0, factor),
    ]  # fmt: skip


def srdhm_units() -> list[Unit]:
    spec = replace(OUT32, scaling=SRDHM, intermediate=SATURATE_32)
    return [
        Unit("srdhm", spec, Parameters(multiplier=b, shift=31), partial(devices.srdhm, b))
        for b in (1, 1 << 30, 1583594044, devices.INT32_MAX)
    ]


def power_of_two_units() -> list[Unit]:
    rules = (
        ("rdbypot", Rounding.TIES_AWAY, devices.rounding_divide_by_pot),
        ("tqt", Rounding.TIES_EVEN, devices.tqt),
        ("vta", Rounding.TO_NEG, devices.vta),
    )
    units = []
    for shift, (name, rounding, published) in product((0, 1, 3, 9), rules):
        spec = RescalerSpec(output=INT16, scaling=PowerOfTwo(rounding=rounding))
        whole = saturated(lambda x, f=published, n=shift: f(x, n), INT16)
        units.append(Unit(name, spec, Parameters(shift=shift), whole))
    return units


def nvdla_units() -> list[Unit]:
    units = []
    for scale, truncate in ((1, 0), (19661, 16), (21845, 9), (3, 1), (32767, 2)):
        published = partial(devices.nvdla_sdp, offset=-7, scale16=scale, truncate=truncate)
        units.append(Unit("nvdla", NVDLA, Parameters(multiplier=scale, shift=truncate), published))
    return units


def finn_units() -> list[Unit]:
    spec = RescalerSpec(output=UINT4, scaling=Thresholds())
    units = []
    for factor in (0.3, 0.5, 2.0, 0.011111111910680305):
        exact = Fraction(factor)
        thresholds = tuple(devices.finn_threshold(k, exact) for k in range(1, 16))
        published = partial(devices.finn, factor=exact, bits=4)
        units.append(Unit("finn", spec, Parameters(thresholds=thresholds), published, 0, factor))
    return units


UNITS: list[Unit] = [
    *(unit for factor in FACTORS for unit in fixed_point_units(factor)),
    *(unit for factor in FACTORS for unit in float_units(factor)),
    *srdhm_units(),
    *power_of_two_units(),
    *nvdla_units(),
    *finn_units(),
]
