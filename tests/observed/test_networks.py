"""Tests for lsqsim.observed.networks: predictions on paper, and against whole runs."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lsqsim.chain import Chain
from lsqsim.datapath import CompiledLayer
from lsqsim.errors import DataError, SpecError
from lsqsim.formats import Overflow, Rounding, StochasticRounding
from lsqsim.layer import Layer
from lsqsim.observed import networks as observed_networks
from lsqsim.observed.layers import observe_layer
from lsqsim.observed.networks import observe_chain
from lsqsim.specs import (
    Activation,
    BiasPlacement,
    Conv2dSpec,
    FanIn,
    LinearSpec,
    StageSpec,
    Thresholds,
    simple_datapath,
)
from strategies import overflows

SATURATE = Overflow.SATURATE
SPEC = simple_datapath(weight_bits=4, activation_bits=6, acc_bits=16, input_signed=True,
                       output_signed=True)  # fmt: skip
WIDE = 20


def design(*stages, spec=SPEC):
    return replace(spec.accumulator, stages=stages)


def layer(weight, name="layer", **fields):
    given = {
        "name": name, "spec": LinearSpec(), "weight": np.array(weight, float),
        "input_step": 1.0, "weight_step": 1.0, "output_step": 1.0,
    } | fields  # fmt: skip
    return Layer(**given)


def spec_of(scaling=None):
    if scaling is None:
        return SPEC
    return replace(SPEC, rescaler=replace(SPEC.rescaler, scaling=scaling))


class TestWorkedExamples:
    """One layer of two channels, x0 + x1 and 5, to a 4-bit saturating or wrapping register."""

    CHAIN = Chain([CompiledLayer(layer([[1, 1], [0, 0]], bias=np.array([0.0, 5.0])), SPEC)])
    INPUTS = ((4.0, 4.0), (1.0, 1.0), (3.0, 3.0))
    DESIGNS = (
        design(StageSpec(bits=4)), design(StageSpec(bits=4, overflow=SATURATE)),
        design(StageSpec(bits=3, overflow=SATURATE)),
    )  # fmt: skip

    def test_predictions(self):
        """8, 2, 6 against 5: classes 0, 1, 0. Wrapped, 8 is -8: class 1. Cut to 3, 5 is 3 too."""
        y = observe_chain(self.CHAIN, self.INPUTS, self.DESIGNS, labels=[0, 1, 1])
        assert (y.n_predictions, y.exact_accuracy) == (3, 2 / 3)
        assert [d.n_changed for d in y.designs] == [1, 0, 0]
        # the last: 3 and 3, 2 and 3, 3 and 3: the first of equals
        assert [d.accuracy for d in y.designs] == [1 / 3, 2 / 3, 2 / 3]
        assert [d.accumulator for d in y.designs] == list(self.DESIGNS)

    def test_one_layer_is_a_chain(self):
        y = observe_chain(self.CHAIN, self.INPUTS, self.DESIGNS)
        alone = observe_layer(self.CHAIN.layers[0], self.INPUTS, self.DESIGNS)
        assert [observed.to_dict() for observed in y.layers] == [alone.to_dict()]
        assert (y.exact_accuracy, y.designs[0].accuracy) == (None, None)

    def test_json(self):
        y = observe_chain(self.CHAIN, self.INPUTS, self.DESIGNS, labels=np.array([0, 1, 1]))
        table = json.loads(json.dumps(y.to_dict(), allow_nan=False))
        assert table["n_predictions"] == 3
        assert table["designs"][0]["n_changed"] == 1
        assert table["designs"][0]["accuracy"] == 1 / 3
        assert table["designs"][0]["accumulator"]["stages"][0]["bits"] == 4
        assert table["layers"][0]["name"] == "layer"

    def test_empty_batch(self):
        y = observe_chain(self.CHAIN, np.zeros((0, 2)), self.DESIGNS, labels=np.zeros(0, int))
        assert (y.n_predictions, y.exact_accuracy) == (0, None)
        assert [(d.n_changed, d.accuracy) for d in y.designs] == [(0, None)] * 3

    def test_layers_see_the_exact_network(self):
        """The first layer overflows; the second is not blamed for what it would get then."""
        net = Chain([CompiledLayer(layer([[1, 1]]), SPEC), CompiledLayer(layer([[-1]]), SPEC)])
        y = observe_chain(net, [[4.0, 4.0]], [design(StageSpec(bits=4))])
        first, second = y.layers
        assert first.designs[0].n_changed == 1
        assert second.profiles[0].total_low.tolist() == [-8]
        assert second.designs[0].n_changed == 0

    def test_progress(self):
        seen = []
        observe_chain(
            self.CHAIN, self.INPUTS, self.DESIGNS, progress=lambda *counts: seen.append(counts)
        )
        assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]

    def test_only_samples_that_change_run_again(self, monkeypatch):
        """At four wrapping bits the first; at three saturating ones all; at sixteen none."""
        rows = []

        def run(self, inputs, *, observe=True):
            rows.append(len(inputs.codes))
            return original(self, inputs, observe=observe)

        original = Chain.run
        monkeypatch.setattr(Chain, "run", run)
        wide = design(StageSpec(bits=16))
        observe_chain(self.CHAIN, self.INPUTS, (self.DESIGNS[0], self.DESIGNS[2], wide))
        assert rows == [1, 3]


@st.composite
def networks(draw):
    """(chain, inputs): two or three linear or pointwise layers, with whatever rescaler."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scaling = draw(
        st.sampled_from(
            [None, Thresholds(),
             replace(SPEC.rescaler.scaling, rounding=StochasticRounding(seed=3, bits=8)),
             replace(SPEC.rescaler.scaling, rounding=Rounding.TO_NEG)]
        )
    )  # fmt: skip
    spec = replace(
        spec_of(scaling),
        accumulator=replace(SPEC.accumulator, bias=draw(st.sampled_from(BiasPlacement))),
    )
    convolve, n = draw(st.booleans()), 3
    units = []
    for i in range(draw(st.integers(2, 3))):
        activation = draw(st.sampled_from([Activation.NONE, Activation.RELU]))
        kind = Conv2dSpec(activation=activation) if convolve else LinearSpec(activation=activation)
        weight = rng.integers(-8, 8, (n, n, 1, 1) if convolve else (n, n))
        fields = {
            "spec": kind, "bias": rng.integers(-9, 9, n) * 2.0**i, "input_step": 2.0**i,
            "output_step": 2.0 ** (i + 1), "input_zero_point": i, "output_zero_point": i + 1,
        }  # fmt: skip
        units.append(CompiledLayer(layer(weight, name=f"{i}", **fields), spec))
    shape = (draw(st.integers(1, 5)), n, *((1, 2) if convolve else ()))
    return Chain(units), rng.integers(-32, 32, shape).astype(float)


@st.composite
def designs(draw, accumulator):
    stages = st.builds(StageSpec, bits=st.integers(4, 12), overflow=overflows)
    lists = st.tuples(stages) | st.tuples(
        st.builds(replace, stages, fan_in=st.integers(1, 2) | st.just(FanIn.ALL)), stages
    )
    return replace(accumulator, stages=draw(lists))


class TestAgainstWholeRuns:
    @settings(max_examples=200)
    @given(networks(), st.data())
    def test_predictions(self, network, data):
        """Each design on every layer, all samples together: the same predictions and codes."""
        net, inputs = network
        own = net.layers[0].spec.accumulator
        given_ = data.draw(st.lists(designs(own), min_size=1, max_size=3))
        exact = net.with_accumulator(replace(own, stages=(StageSpec(bits=WIDE),)))
        wanted = exact.classes(exact.run(inputs)[-1].output.codes)
        labels = data.draw(st.sampled_from([wanted, np.zeros_like(wanted)]))
        y = observe_chain(net, inputs, given_, labels=labels)
        assert y.n_predictions == wanted.size
        assert y.exact_accuracy == (wanted == labels).mean()
        for each, found in zip(given_, y.designs, strict=True):
            unit = net.with_accumulator(each)
            classes = unit.classes(unit.run(inputs)[-1].output.codes)
            assert found.n_changed == (classes != wanted).sum()
            assert found.accuracy == (classes == labels).mean()

    def test_noise_goes_by_the_place_of_a_sample(self):
        """With stochastic rounding all samples run again, and there is a case that needs it."""
        noisy = replace(SPEC.rescaler.scaling, rounding=StochasticRounding(seed=1))
        rng = np.random.default_rng(0)
        spec = spec_of(noisy)
        units = [
            CompiledLayer(layer(rng.integers(-8, 8, (4, 4)), output_step=8.0**(i + 1),
                                input_step=8.0**i), spec)
            for i in range(2)
        ]  # fmt: skip
        net, inputs = Chain(units), rng.integers(-32, 32, (200, 4)).astype(float)
        narrow = design(StageSpec(bits=8, overflow=SATURATE), spec=spec)
        unit = net.with_accumulator(narrow)
        exact = net.run(inputs)[-1].output.codes.argmax(axis=1)
        expected = int((unit.run(inputs)[-1].output.codes.argmax(axis=1) != exact).sum())
        assert observe_chain(net, inputs, [narrow]).designs[0].n_changed == expected
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(observed_networks, "_is_noisy", lambda _: False)
            assert observe_chain(net, inputs, [narrow]).designs[0].n_changed != expected


class TestRefusals:
    CHAIN = TestWorkedExamples.CHAIN
    DESIGN = (design(StageSpec(bits=8)),)

    def test_one_vector(self):
        with pytest.raises(DataError, match=r"samples along axis 0, got shape \(2,\): give one"):
            observe_chain(self.CHAIN, [1.0, 1.0], self.DESIGN)

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            ([0, 1], r"shape \(1,\), got int64 of shape \(2,\)"),
            ([0.0], r"shape \(1,\), got float64 of shape \(1,\)"),
        ],
    )
    def test_labels(self, labels, message):
        with pytest.raises(
            DataError, match=f"labels must be integers, one a prediction: {message}"
        ):
            observe_chain(self.CHAIN, [[1.0, 1.0]], self.DESIGN, labels=labels)

    def test_designs(self):
        with pytest.raises(SpecError, match="at least one design"):
            observe_chain(self.CHAIN, [[1.0, 1.0]], [])
