"""SHA-256 of every register of a fixed set of layers, as JSON on standard output.

Whatever runs the kernels, compiled or as plain Python, must print the same.
``python tests/digest.py > tests/golden/digest.json`` writes the golden file
anew; only a change of docs/datapath.md is a reason to.
"""

import hashlib
import json
import random
import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lsqsim.datapath import CompiledLayer, LayerResult
from lsqsim.formats import Generator, IntFormat, Overflow, Rounding, StochasticRounding
from lsqsim.geometry import adder_tree, interleaved_order, packed_lanes, weight_stationary
from lsqsim.layer import Layer
from lsqsim.specs import (
    AccumulatorSpec,
    Activation,
    BiasPlacement,
    ClampPoint,
    Conv2dSpec,
    DatapathSpec,
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

INT8, UINT8, INT5, UINT4 = map(IntFormat.parse, ("int8", "uint8", "int5", "uint4"))
XORSHIFT = StochasticRounding(generator=Generator.XORSHIFT32, seed=2024, bits=32)
SPLITMIX = StochasticRounding(generator=Generator.SPLITMIX64, seed=2024, bits=5)
SATURATE, WRAP = Overflow.SATURATE, Overflow.WRAP
RELU6 = Activation.RELU6


@dataclass(frozen=True, kw_only=True)
class Case:
    """One layer with its hardware; operands follow from ``seed``."""

    seed: int
    spec: DatapathSpec
    kind: LinearSpec | Conv2dSpec
    x: tuple[int, ...] = (4, 6)
    w: tuple[int, ...] = (3, 6)
    bias: bool = True
    layer: dict[str, Any]

    def operands(self) -> tuple[Layer, np.ndarray]:
        """The layer, and its real inputs."""
        # Python promises these numbers for good; NumPy's generators may change.
        numbers = random.Random(self.seed)

        def reals(shape: tuple[int, ...], spread: float) -> np.ndarray:
            size = int(np.prod(shape))
            values = [spread * (2 * numbers.random() - 1) for _ in range(size)]
            return np.array(values).reshape(shape)

        x_format, w_format = self.spec.input.format, self.spec.weight.format
        fields = {"input_step": 0.1, "weight_step": 0.3, "output_step": 0.7} | self.layer
        steps = np.reshape(fields["weight_step"], (-1, *[1] * (len(self.w) - 1)))
        bias_steps = fields["input_step"] * steps.reshape(-1)
        layer = Layer(
            spec=self.kind,
            weight=reals(self.w, 1.2 * w_format.max) * steps,
            bias=reals(self.w[:1], 99.0) * bias_steps if self.bias else None,
            **fields,
        )
        return layer, reals(self.x, 1.2 * x_format.max) * fields["input_step"]

    def run(self) -> LayerResult:
        layer, values = self.operands()
        return CompiledLayer(layer, self.spec).run(values, trace=True)


CASES: dict[str, Case] = {}


def case(
    name: str,
    scaling: Any = FixedPoint(),  # noqa: B008 - frozen
    *,
    accumulator: dict[str, Any] | None = None,
    rescaler: dict[str, Any] | None = None,
    datapath: dict[str, Any] | None = None,
    **fields: Any,
) -> None:
    """Add a case: 8-bit codes and outputs, one register of 13 bits, unless said otherwise."""
    stages = {"stages": (StageSpec(bits=13),)}
    assert name not in CASES
    fields = {"kind": LinearSpec(), "layer": {}} | fields
    units = {
        "input": QuantizerSpec(format=INT8),
        "weight": QuantizerSpec(format=INT5),
        "accumulator": AccumulatorSpec(**stages | (accumulator or {})),
        "rescaler": RescalerSpec(**{"output": INT8, "scaling": scaling} | (rescaler or {})),
    }
    spec = DatapathSpec(**units | (datapath or {}))
    CASES[name] = Case(seed=len(CASES), spec=spec, **fields)


def _scalings() -> None:
    for rounding in (*Rounding, XORSHIFT, SPLITMIX):
        name = rounding.generator if isinstance(rounding, StochasticRounding) else rounding
        case(f"fixed point, {name}", FixedPoint(multiplier=UINT8, rounding=rounding))
        case(f"power of two, {name}", PowerOfTwo(rounding=rounding))
        case(f"float scale, {name}", FloatScale(width=FloatWidth.FLOAT32, rounding=rounding))
    first = FirstShift(shift=31, register=RegisterSpec(bits=32, overflow=SATURATE))
    left = RegisterSpec(bits=32, overflow=WRAP)
    double = FixedPoint(first_shift=first, left_register=left, rounding=Rounding.TIES_AWAY)
    case("double rounding", double)
    narrow = FirstShift(shift=9, rounding=Rounding.TO_ZERO, register=RegisterSpec(bits=9))
    narrow_left = RegisterSpec(bits=14, overflow=SATURATE)
    fields = {"multiplier": UINT8, "first_shift": narrow, "left_register": narrow_left}
    case("double rounding, narrow", FixedPoint(**fields))
    to_left = {"rescaler": {"output": IntFormat(20)}, "layer": {"output_step": 0.0003}}
    case("left shift", FixedPoint(multiplier=UINT4, min_shift=-9), **to_left)
    case("power of two to the left", PowerOfTwo(min_shift=-9), **to_left)
    reduced = FixedPoint(
        multiplier=IntFormat(15, signed=False), reduced_from=IntFormat(31, signed=False)
    )
    case("reduced multiplier", reduced)
    wide = FixedPoint(
        multiplier=IntFormat(40, signed=False), product=ProductArithmetic.FLOAT64,
        rounding=Rounding.TIES_EVEN,
    )  # fmt: skip
    case("float64 product", wide, accumulator={"stages": (StageSpec(bits=22),)})
    case("float64 scale", FloatScale(width=FloatWidth.FLOAT64, rounding=Rounding.TIES_AWAY))
    counted = {"output": UINT4, "input_offset": 3}
    case(
        "thresholds",
        Thresholds(),
        rescaler=counted,
        layer={"output_zero_point": 5, "output_step": 9.0},
    )
    case(
        "thresholds, to zero",
        Thresholds(rounding=Rounding.TO_ZERO),
        rescaler={"output": INT5},
        layer={"output_step": 5.0},
    )


def _quantizers() -> None:
    def units(arithmetic: StepArithmetic, rounding: Any) -> dict[str, Any]:
        fields = {"arithmetic": arithmetic, "rounding": rounding}
        return {
            "input": QuantizerSpec(format=INT8, **fields),
            "weight": QuantizerSpec(format=INT5, **fields),
            "bias": QuantizerSpec(format=INT8, **fields),
        }

    case("float32 division", datapath=units(StepArithmetic.DIVIDE_FLOAT32, XORSHIFT))
    case("float32 reciprocal", datapath=units(StepArithmetic.RECIPROCAL_FLOAT32, SPLITMIX))
    case("float64 division", datapath=units(StepArithmetic.DIVIDE_FLOAT64, Rounding.TO_ZERO))


def _accumulators() -> None:
    zeros = {"input_zero_point": -7, "weight_zero_point": 3, "output_zero_point": 11}
    saturated = StageSpec(bits=11, overflow=SATURATE)
    for zero_points in ZeroPointHandling:
        for bias in BiasPlacement:
            fields = {"stages": (saturated,), "zero_points": zero_points, "bias": bias}
            case(f"zero points, {zero_points}, {bias}", accumulator=fields, layer=zeros)
    machines = {
        "systolic": weight_stationary(
            rows=4, column_bits=11, column_overflow=SATURATE, acc_bits=12
        ),
        "tree": adder_tree(leaves=4, bits=10, growth=0, acc_bits=12, overflow=SATURATE),
        "lanes": packed_lanes(lanes=2, lane_bits=10, acc_bits=11, acc_overflow=SATURATE),
    }
    for name, stages in machines.items():
        post = {"stages": stages, "bias": BiasPlacement.POST_ADD, "order": KOrder.REVERSED}
        case(f"{name}, reversed, biased last", accumulator=post)
        order = {"stages": stages, "order": interleaved_order(6, 3)}
        case(f"{name}, interleaved", accumulator=order, layer=zeros)


def _output() -> None:
    between = {"intermediate": RegisterSpec(bits=7), "input_offset": -100, "overflow": WRAP}
    case("intermediate register", rescaler=between, layer={"output_zero_point": -50})
    before = {"clamp_point": ClampPoint.BEFORE_ZERO_POINT, "output": UINT8}
    relu6 = {"output_zero_point": 9, "input_step": 0.01, "output_step": 0.05}
    case("relu6", rescaler=before, kind=LinearSpec(activation=RELU6), layer=relu6)
    channels = {
        "weight_step": np.array([0.3, 0.05, 0.11]),
        "output_step": np.array([0.7, 0.2, 0.5]),
        "weight_zero_point": np.array([0, -3, 15]),
    }
    for scaling in (FixedPoint(), FloatScale(), PowerOfTwo(), Thresholds()):
        case(
            f"channels, {type(scaling).__name__}", scaling, layer=channels,
            rescaler={"granularity": Granularity.PER_CHANNEL},
            datapath={"weight": QuantizerSpec(format=INT5, channel_axis=0)},
        )  # fmt: skip


def _shapes() -> None:
    conv = Conv2dSpec(
        stride=(2, 1), padding=(1, 2, 0, 1), dilation=(1, 2), groups=2, activation=RELU6
    )
    zeros = {
        "input_step": 0.01,
        "output_step": 0.06,
        "input_zero_point": 4,
        "output_zero_point": -20,
    }
    case("nchw", kind=conv, x=(2, 4, 5, 6), w=(4, 2, 2, 3), layer=zeros)
    nhwc = replace(conv, layout=Layout.NHWC)
    case("nhwc", kind=nhwc, x=(2, 5, 6, 4), w=(4, 2, 3, 2), layer=zeros)
    noisy = FixedPoint(rounding=XORSHIFT)
    case("depthwise", noisy, kind=Conv2dSpec(groups=3), x=(1, 3, 3, 3), w=(3, 1, 2, 2))
    case("no batch", kind=conv, x=(0, 4, 5, 6), w=(4, 2, 2, 3))
    case("no products", x=(2, 0), w=(3, 0))
    case("one sample", FloatScale(rounding=SPLITMIX), x=(6,), bias=False)
    case("further axes", x=(2, 1, 3, 6))


def _widest() -> None:
    """At the ends of int64, where plain Python warns of overflows that compiled code hides."""
    int31 = QuantizerSpec(format=IntFormat(31))
    exact = (StageSpec(bits=63),)
    wrapping = (StageSpec(bits=61, fan_in=1), StageSpec(bits=62))
    narrower = (StageSpec(bits=61, fan_in=2, overflow=SATURATE), StageSpec(bits=60))
    for name, scaling, stages, shift in (
        ("power of two", PowerOfTwo(rounding=Rounding.TIES_AWAY), exact, 34),
        ("power of two, stochastic", PowerOfTwo(rounding=XORSHIFT), exact, 60),
        ("few random bits", PowerOfTwo(rounding=SPLITMIX), exact, 61),
        ("fixed point", FixedPoint(multiplier=IntFormat(2)), exact, 33),
        ("wrapping", PowerOfTwo(), wrapping, 30),
        ("float32", FloatScale(width=FloatWidth.FLOAT32), narrower, 32),
        ("float64", FloatScale(width=FloatWidth.FLOAT64), narrower, 1),
    ):
        case(
            f"widest, {name}", scaling, x=(3, 4), w=(2, 4), accumulator={"stages": stages},
            rescaler={"output": IntFormat(62), "overflow": WRAP},
            datapath={"input": int31, "weight": int31},
            layer={"input_step": 1.0, "weight_step": 1.0, "output_step": float(1 << shift)},
        )  # fmt: skip


for add_cases in (_scalings, _quantizers, _accumulators, _output, _shapes, _widest):
    add_cases()


def digest(result: LayerResult) -> str:
    """SHA-256 of names, shapes and values of all that a run reports."""
    assert result.trace is not None
    assert result.overflow is not None
    report = {
        name: getattr(result.overflow, name) for name in ("total", "kind", "first_stage", "first_k")
    }
    sha = hashlib.sha256()
    for name, values in (result.trace.registers | report).items():
        dtype = "<f8" if values.dtype.kind == "f" else "<i8"
        sha.update(f"{name} {dtype} {values.shape}\n".encode())
        sha.update(np.ascontiguousarray(values).astype(dtype).tobytes())
    return sha.hexdigest()


def digests() -> dict[str, str]:
    """Digest of every case, by name."""
    return {name: digest(it.run()) for name, it in CASES.items()}


if __name__ == "__main__":
    golden = {
        "source": "registers of lsqsim, which tests/test_jit_disabled.py compares with the oracle",
        "generator": "tests/digest.py",
        "digests": digests(),
    }
    json.dump(golden, sys.stdout, indent=2)
    sys.stdout.write("\n")
