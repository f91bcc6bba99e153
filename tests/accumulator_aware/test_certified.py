"""Weights trained to a budget, through the layer and its certificate: safe, whatever the data."""

from dataclasses import replace

import numpy as np
import pytest

from lsqsim.accumulator_aware.weight_budget import WeightBudget
from lsqsim.accumulator_aware.weight_limits import Constraint
from lsqsim.budget.certificate import certify
from lsqsim.budget.ranges import Verdict
from lsqsim.certificate_audit import check_certificate
from lsqsim.datapath import CompiledLayer
from lsqsim.formats import Overflow
from lsqsim.layer import Layer
from lsqsim.specs import AccumulatorSpec, BiasPlacement, LinearSpec, StageSpec, simple_datapath

DESIGNS = {
    "one register": (StageSpec(bits=11, overflow=Overflow.SATURATE),),
    "a tile and an outer register, as AXE": (
        StageSpec(fan_in=16, bits=10, overflow=Overflow.SATURATE),
        StageSpec(bits=12),
    ),
    "three stages": (
        StageSpec(fan_in=2, bits=8),
        StageSpec(fan_in=8, bits=10),
        StageSpec(bits=11),
    ),
}


@pytest.mark.parametrize("stages", DESIGNS.values(), ids=DESIGNS)
@pytest.mark.parametrize("bias", BiasPlacement)
@pytest.mark.parametrize("constraint", Constraint)
def test_every_stage_is_certified(stages, bias, constraint):
    rng = np.random.default_rng(0)
    accumulator = AccumulatorSpec(stages=stages, bias=bias)
    spec = simple_datapath(weight_bits=4, activation_bits=4)
    spec = replace(spec, accumulator=accumulator)
    weights, bias_codes = rng.normal(0, 3, (6, 80)), rng.integers(-60, 61, 6)
    budget = WeightBudget(
        accumulator=accumulator,
        weight_format=spec.weight.format,
        input_low=0,
        input_high=15,
        constraint=constraint,
    )
    unsafe = CompiledLayer(layer(np.rint(weights).clip(-8, 7), bias_codes), spec)
    assert not certify(unsafe).is_safe
    codes = budget.codes(weights, bias_codes)
    assert np.count_nonzero(codes) > 60
    compiled = CompiledLayer(layer(codes, bias_codes), spec)
    certificate = certify(compiled)
    assert [stage.verdict for stage in certificate.stages] == [Verdict.SATURATE_SAFE] * len(stages)
    check_certificate(certificate.to_dict(), compiled)


def layer(codes, bias_codes):
    return Layer(
        spec=LinearSpec(),
        weight_codes=codes.astype(np.int64),
        bias_codes=bias_codes,
        input_step=1.0,
        weight_step=1.0,
        output_step=64.0,
    )
