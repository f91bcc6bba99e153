"""Frozen, keyword-only specifications, one module a unit; no arrays, no kernels."""

from lsqsim.specs.accumulator import (
    MIN_REGISTER_BITS,
    AccumulatorSpec,
    BiasPlacement,
    FanIn,
    KOrder,
    RegisterSpec,
    StageSpec,
    ZeroPointHandling,
    entry_order,
    tile_sizes,
)
from lsqsim.specs.datapath import DatapathSpec, simple_datapath
from lsqsim.specs.layer import Activation, Conv2dSpec, LayerSpec, Layout, LinearSpec
from lsqsim.specs.quantizer import QuantizerSpec, StepArithmetic
from lsqsim.specs.rescaler import (
    ClampPoint,
    FirstShift,
    FixedPoint,
    FloatScale,
    FloatWidth,
    Granularity,
    PowerOfTwo,
    ProductArithmetic,
    RescalerSpec,
    Scaling,
    Thresholds,
)

__all__ = [
    "MIN_REGISTER_BITS",
    "AccumulatorSpec",
    "Activation",
    "BiasPlacement",
    "ClampPoint",
    "Conv2dSpec",
    "DatapathSpec",
    "FanIn",
    "FirstShift",
    "FixedPoint",
    "FloatScale",
    "FloatWidth",
    "Granularity",
    "KOrder",
    "LayerSpec",
    "Layout",
    "LinearSpec",
    "PowerOfTwo",
    "ProductArithmetic",
    "QuantizerSpec",
    "RegisterSpec",
    "RescalerSpec",
    "Scaling",
    "StageSpec",
    "StepArithmetic",
    "Thresholds",
    "ZeroPointHandling",
    "entry_order",
    "simple_datapath",
    "tile_sizes",
]
