"""Tests for the strategies of layers and their inputs: legal on any datapath, and varied."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from drawing import drawn, share
from layer_oracle import OracleLayer
from lsqsim import testing
from lsqsim.datapath import CompiledLayer
from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat
from lsqsim.specs import (
    AccumulatorSpec,
    Activation,
    Conv2dSpec,
    Layout,
    LinearSpec,
    QuantizerSpec,
    StageSpec,
    simple_datapath,
)

DATAPATH = simple_datapath(per_channel=True)
ONE_STEP = replace(DATAPATH, weight=QuantizerSpec(format=IntFormat(8)))
IMAGES = Conv2dSpec(stride=(2, 1), padding=(0, 1, 2, 0), dilation=(1, 2), groups=2)


class TestLaws:
    @settings(max_examples=settings.default.max_examples // 2)
    @given(st.data())
    def test_runs_and_equals_the_oracle(self, data):
        """Any datapath, any layer for it, any inputs: legal, and every register is right."""
        spec = data.draw(testing.datapath_specs())
        layer = data.draw(testing.layers(datapath=spec))
        values = data.draw(testing.layer_inputs(layer, spec))
        trace = CompiledLayer(layer, spec).run(values, trace=True).trace
        oracle = OracleLayer(layer, spec, values)
        for name in trace:
            expected = np.asarray(oracle.registers[name], trace[name].dtype)
            assert (trace[name] == expected.reshape(trace[name].shape)).all(), name

    @pytest.mark.parametrize("k", [0, 1, 6])
    @pytest.mark.parametrize(
        "computes", [LinearSpec(), IMAGES, replace(IMAGES, layout=Layout.NHWC)]
    )
    def test_an_order_sets_k(self, computes, k):
        accumulator = AccumulatorSpec(stages=(StageSpec(bits=32),), order=tuple(range(k)))
        spec = replace(DATAPATH, accumulator=accumulator)
        for layer in drawn(testing.layers(computes, datapath=spec), 10):
            assert np.prod(layer.weight_shape[1:]) == k
            (values,) = drawn(testing.layer_inputs(layer, spec), 1)
            CompiledLayer(layer, spec).run(values)


@cache
def drawn_layers(spec):
    return drawn(testing.layers(datapath=spec))


class TestVariety:
    @pytest.mark.parametrize(
        ("holds", "least"),
        [
            (lambda x: isinstance(x.spec, LinearSpec), 0.2),
            (lambda x: isinstance(x.spec, Conv2dSpec) and x.spec.groups > 1, 0.1),
            (lambda x: isinstance(x.spec, Conv2dSpec) and x.spec.layout is Layout.NHWC, 0.1),
            (lambda x: x.weight is not None, 0.2),
            (lambda x: x.weight_codes is not None, 0.2),
            (lambda x: x.bias is not None, 0.1),
            (lambda x: x.bias_codes is not None, 0.1),
            (lambda x: x.bias is None and x.bias_codes is None, 0.1),
            (lambda x: x.input_zero_point != 0, 0.1),
            (lambda x: np.any(x.weight_zero_point), 0.1),
            (lambda x: x.output_zero_point != 0, 0.1),
            (lambda x: x.n_outputs > 1 and np.ptp(x.weight_step) > 0, 0.1),
            (lambda x: isinstance(x.spec, LinearSpec) and x.weight_shape[1] == 0, 0.005),
        ],
    )
    def test_occurs(self, holds, least):
        assert share(drawn_layers(DATAPATH), holds) >= least

    def test_depthwise(self):
        layers = drawn(testing.layers(IMAGES, datapath=DATAPATH))
        assert share(layers, lambda x: x.weight_shape[1] == 1) >= 0.05

    def test_output_steps_may_differ_where_weight_steps_do_not(self):
        assert share(drawn_layers(ONE_STEP), lambda x: np.ndim(x.output_step) == 1) >= 0.2
        assert share(drawn_layers(ONE_STEP), lambda x: np.ndim(x.output_step) == 0) >= 0.2

    def test_relu6_has_one_output_step(self):
        strategy = testing.layers(LinearSpec(activation=Activation.RELU6), datapath=ONE_STEP)
        assert all(np.ndim(layer.output_step) == 0 for layer in drawn(strategy, 50))

    def test_batch_and_channels_can_be_set(self):
        strategy = testing.layers(IMAGES, datapath=DATAPATH, n_outputs=3)
        for layer in drawn(strategy, 10):
            assert layer.n_outputs == 4, "rounded up to the groups"
            (values,) = drawn(testing.layer_inputs(layer, DATAPATH, batch=0), 1)
            assert len(values) == 0


class TestWideCodes:
    """Codes of 31 bits leave no room for zero points, and little for K and bias."""

    WIDE = QuantizerSpec(format=IntFormat(31))
    WIDEST = QuantizerSpec(format=IntFormat(63))
    SPEC = replace(simple_datapath(acc_bits=63), input=WIDE, weight=WIDE, bias=WIDEST)

    def test_is_legal(self):
        for layer in drawn(testing.layers(datapath=self.SPEC), 100):
            assert layer.input_zero_point == 0
            (values,) = drawn(testing.layer_inputs(layer, self.SPEC), 1)
            CompiledLayer(layer, self.SPEC).run(values)

    def test_an_order_that_is_too_long(self):
        accumulator = AccumulatorSpec(stages=(StageSpec(bits=63),), order=tuple(range(9)))
        spec = replace(self.SPEC, accumulator=accumulator)
        with pytest.raises(SpecError, match=r"allow K up to 2, and the stated order has K = 9"):
            drawn(testing.layers(datapath=spec), 1)
