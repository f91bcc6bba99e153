"""Tests for lsqsim.design.side_by_side: rows against certificates and runs, and the marks."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, strategies as st

from lsqsim.budget.certificate import certify
from lsqsim.chain import Chain
from lsqsim.datapath import CompiledLayer
from lsqsim.design.grid import DesignGrid, chain_inputs, design_name
from lsqsim.design.side_by_side import compare_designs
from lsqsim.formats import Overflow
from lsqsim.layer import Layer
from lsqsim.specs import Activation, BiasPlacement, LinearSpec, simple_datapath

SPEC = simple_datapath(weight_bits=4, activation_bits=4)


def make_chain(seed=0, sizes=(12, 6, 3), bias=BiasPlacement.PRELOAD):
    """Two layers of random codes, the second on the 4-bit codes of the first."""
    rng = np.random.default_rng(seed)
    spec = replace(SPEC, accumulator=replace(SPEC.accumulator, bias=bias))
    layers = [
        Layer(
            name=f"layer{i}",
            spec=LinearSpec(activation=Activation.RELU),
            weight_codes=rng.integers(-8, 8, (n, k)),
            bias_codes=rng.integers(-40, 41, n),
            input_step=1.0,
            weight_step=1.0 / 30,
            output_step=1.0,
        )
        for i, (k, n) in enumerate(pairwise(sizes))
    ]
    return Chain([CompiledLayer(layer, spec) for layer in layers])


def data_of(chain, n=40, seed=1):
    k = chain.layers[0].layer.weight_shape[1]
    return np.random.default_rng(seed).integers(0, 16, (n, k)).astype(float)


def compared(chain, data=None, labels=None, **grid):
    designs = DesignGrid(**({"acc_bits": tuple(range(6, 13))} | grid)).designs(
        chain, chain_inputs(chain)
    )
    return compare_designs(chain, designs, data=data, labels=labels)


class TestWorkedExample:
    """Weights 7 and -8 on 4-bit inputs reach -120 .. 105: 8 bits; this data, -8 .. 7, 4 bits."""

    LAYER = Layer(
        spec=LinearSpec(), weight_codes=np.array([[7, -8], [1, 0]]),
        input_step=1.0, weight_step=1.0, output_step=1.0,
    )  # fmt: skip
    CHAIN = Chain([CompiledLayer(LAYER, replace(SPEC, rescaler=simple_datapath().rescaler))])
    DATA = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])

    def rows(self, **grid):
        return compared(self.CHAIN, self.DATA, **grid)

    def test_widths(self):
        (layer,) = self.rows().layers
        assert (layer.k, layer.n) == (2, 2)
        assert layer.bounds["wrap"] == layer.bounds["saturate"] == 8
        assert (layer.observed_wrap, layer.observed_saturate) == (4, 4)

    def test_marks(self):
        found = self.rows(acc_bits=(3, 4, 7, 8))
        assert design_name(found.smallest_certified.accumulator) == "8 wrap"
        assert design_name(found.smallest_lossless.accumulator) == "4 wrap"
        assert [row.is_certified for row in found.designs] == [False, False, False, True]
        assert [row.is_lossless for row in found.designs] == [False, True, True, True]
        assert {row.certified_bits for row in found.designs} == {8}
        assert {row.data_type_bits for row in found.designs} == {9}
        assert {row.observed.bits for row in found.designs} == {4}

    def test_without_data_nothing_is_observed(self):
        found = compared(self.CHAIN, acc_bits=(7, 8))
        assert found.observation is None
        assert found.smallest_lossless is None
        assert all(row.observed is None for row in found.designs)
        assert found.layers[0].observed_wrap is None

    def test_no_design_large_enough(self):
        found = compared(self.CHAIN, acc_bits=(7,))
        assert found.smallest_certified is None
        assert found.to_dict()["smallest_certified"] is None

    def test_the_smaller_of_equal_last_registers_has_fewer_bits_before(self):
        found = compared(self.CHAIN, acc_bits=(9,), tiles=(1, None), tile_bits=(9,))
        assert design_name(found.smallest_certified.accumulator) == "9 wrap"

    def test_steps_are_told(self):
        told = []
        compare_designs(
            self.CHAIN, [self.CHAIN.layers[0].spec.accumulator], data=self.DATA,
            steps=lambda *step: told.append(step),
        )  # fmt: skip
        assert told[0] == ("proving", 0, 1)
        assert told[-1] == ("running", 2, 2)


class TestAgainstParts:
    @pytest.mark.parametrize("bias", BiasPlacement)
    def test_rows_say_what_certificates_and_runs_say(self, bias):
        chain = make_chain(bias=bias)
        data = data_of(chain)
        labels = np.arange(len(data)) % 3
        found = compared(
            chain, data, labels, overflows=tuple(Overflow), tiles=(None, 4), tile_bits=(7, 9)
        )
        exact = chain.with_accumulator(replace(SPEC.accumulator, bias=bias)).run(data)
        inputs = chain_inputs(chain)
        assert {row.is_certified for row in found.designs} == {True, False}
        for row in found.designs:
            on_design = chain.with_accumulator(row.accumulator)
            certificates = [certify(u, r) for u, r in zip(on_design.layers, inputs, strict=True)]
            assert row.is_certified == all(c.is_safe for c in certificates)
            if row.is_certified:
                assert row.is_lossless
            values = [data, *(result.output for result in exact[:-1])]
            runs = [u.run(v) for u, v in zip(on_design.layers, values, strict=True)]
            counts = [run.overflow.counts() for run in runs]
            assert row.observed.overflow.transient == sum(c.transient for c in counts)
            assert row.observed.overflow.persistent == sum(c.persistent for c in counts)
            assert row.observed.n_changed == sum(
                int((run.output.codes != want.output.codes).sum())
                for run, want in zip(runs, exact, strict=True)
            )
            classes = chain.classes(on_design.run(data)[-1].output.codes)
            assert row.observed.accuracy == (classes == labels).mean()
            wanted = chain.classes(exact[-1].output.codes)
            assert row.observed.n_changed_predictions == (classes != wanted).sum()

    @given(st.integers(0, 2**32 - 1))
    def test_the_certified_width_is_certified_and_one_less_is_not(self, seed):
        chain = make_chain(seed)
        found = compared(chain, overflows=tuple(Overflow), acc_bits=tuple(range(2, 16)))
        for row in found.designs:
            assert row.is_certified == (row.accumulator.format.bits >= row.certified_bits)

    def test_json(self):
        chain = make_chain()
        found = compared(chain, data_of(chain), np.zeros(40, int))
        table = json.loads(json.dumps(found.to_dict(), allow_nan=False))
        assert len(table["designs"]) == 7
        assert table["layers"][1]["layer"] == "layer1"
        assert table["smallest_lossless"] == design_name(found.smallest_lossless.accumulator)
