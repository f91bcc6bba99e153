"""Test your own hardware against this simulator, with Hypothesis.

:func:`assert_bit_exact` drives any callable (an RTL wrapper, a C library) against
a specification, and shrinks what it finds to the smallest counterexample. The
strategies it is made of are public: one for every specification, for layers and
their inputs, and for operands that are biased to range ends, ties and register
edges. In all of them a keyword takes the value itself or a strategy of values,
and None means every legal one; leave an optional part out with ``st.none()``.

Needs Hypothesis: ``pip install "lsqsim[testing]"``. docs/testing-your-hardware.md
shows how to wire an RTL simulation and a C library.
"""

from importlib.util import find_spec

if find_spec("hypothesis") is None:
    raise ImportError(
        'lsqsim.testing needs Hypothesis: install it with pip install "lsqsim[testing]"',
        name="hypothesis",
    )

from lsqsim.testing.accumulator_operands import accumulators
from lsqsim.testing.array_operands import ArraySizes, matmul_operands
from lsqsim.testing.bit_exact import assert_bit_exact
from lsqsim.testing.calls import (
    Call,
    array_calls,
    datapath_calls,
    quantizer_calls,
    rescaler_calls,
)
from lsqsim.testing.datapath_strategies import datapath_specs
from lsqsim.testing.layer_strategies import layer_inputs, layers
from lsqsim.testing.mismatch import BitMismatch
from lsqsim.testing.operands import codes, real_values, step_sizes, zero_points
from lsqsim.testing.parameter_strategies import factors, rescaler_parameters, rescalers
from lsqsim.testing.rescaler_strategies import (
    first_shifts,
    fixed_points,
    float_scales,
    powers_of_two,
    rescaler_specs,
    scalings,
    thresholds,
)
from lsqsim.testing.spec_strategies import (
    accumulator_specs,
    conv2d_specs,
    int_formats,
    layer_specs,
    linear_specs,
    overflows,
    quantizer_specs,
    register_specs,
    roundings,
    stage_specs,
    stochastic_roundings,
)

__all__ = [
    "ArraySizes",
    "BitMismatch",
    "Call",
    "accumulator_specs",
    "accumulators",
    "array_calls",
    "assert_bit_exact",
    "codes",
    "conv2d_specs",
    "datapath_calls",
    "datapath_specs",
    "factors",
    "first_shifts",
    "fixed_points",
    "float_scales",
    "int_formats",
    "layer_inputs",
    "layer_specs",
    "layers",
    "linear_specs",
    "matmul_operands",
    "overflows",
    "powers_of_two",
    "quantizer_calls",
    "quantizer_specs",
    "real_values",
    "register_specs",
    "rescaler_calls",
    "rescaler_parameters",
    "rescaler_specs",
    "rescalers",
    "roundings",
    "scalings",
    "stage_specs",
    "step_sizes",
    "stochastic_roundings",
    "thresholds",
    "zero_points",
]
