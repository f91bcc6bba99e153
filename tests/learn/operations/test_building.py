"""Tests for lsqsim.learn.operations.building: how weights start, and rules that do not fit."""

import numpy as np
import pytest

from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat
from lsqsim.learn.graph import Bias, Conv2dNode, LinearNode, WeightQuantizer
from lsqsim.learn.operations import build_operation
from lsqsim.learn.rule import Granularity, Method, StepRule


def test_weights_have_the_variance_of_he():
    """2 / fan-in; the fan-in of a group is its own."""
    rng = np.random.default_rng(0)
    linear = build_operation(
        LinearNode(name="a", source="input", features=200), (50,), (200,), rng
    ).parameters[0]
    assert linear.value.shape == (50, 200)
    assert linear.value.var() == pytest.approx(2 / 50, rel=0.05)
    node = Conv2dNode(name="b", source="input", channels=100, groups=4)
    conv = build_operation(node, (5, 5, 16), (3, 3, 100), rng).parameters[0]
    assert conv.value.shape == (3, 3, 4, 100)
    assert conv.value.var() == pytest.approx(2 / 36, rel=0.1)
    assert abs(conv.value.mean()) < 0.02


def test_names_of_parameters():
    weights = WeightQuantizer(
        format=IntFormat(4), rule=StepRule(granularity=Granularity.PER_CHANNEL)
    )
    node = LinearNode(name="a", source="input", features=3, weights=weights)
    operation = build_operation(node, (2,), (3,), np.random.default_rng(0))
    assert [p.name for p in operation.parameters] == ["a.weight", "a.bias", "a.weight.step"]
    assert operation.parameters[2].value.shape == (3,)
    assert (operation.parameters[1].value == 0).all()
    node = Conv2dNode(name="b", source="input", channels=3, bias=Bias.NONE)
    operation = build_operation(node, (3, 3, 1), (1, 1, 3), np.random.default_rng(0))
    assert [p.name for p in operation.parameters] == ["b.weight"]


@pytest.mark.parametrize("method", [Method.LSQ_PLUS, Method.PACT])
def test_methods_for_activations_are_refused(method):
    fmt = IntFormat(4, signed=False)  # PACT takes no other
    weights = WeightQuantizer(format=fmt, rule=StepRule(method=method))
    node = LinearNode(name="a", source="input", features=3, weights=weights)
    message = f"a.weight: {method} quantizes activations; give weights the rule lsq or tqt"
    with pytest.raises(SpecError, match=message):
        build_operation(node, (2,), (3,), np.random.default_rng(0))
