"""Tests for lsqsim.network.network: what is kept, batches, the reference, bounds, refusals."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lsqsim.errors import DataError, SpecError, WidthError
from lsqsim.formats import IntFormat, Rounding, StochasticRounding
from lsqsim.network import network as module
from lsqsim.network.comparison import compare_network
from lsqsim.network.encoding import Encoding, InputSpec
from lsqsim.network.network import Keep, Network
from lsqsim.network.nodes import Add, AddSpec, Flatten, Requantize
from lsqsim.specs import AccumulatorSpec, FixedPoint, QuantizerSpec, StageSpec
from networks import S8, code_graphs, every_kind, inputs, layer_node, rescaler

ONE = Encoding(format=S8, step_size=1.0)
INPUT = InputSpec(shape=(2,), quantizer=QuantizerSpec(format=S8), step_size=1.0)
NARROW = AccumulatorSpec(stages=(StageSpec(bits=6),))


def linear(name, source, codes, **fields):
    return layer_node(name, source, ONE, ONE, codes, **fields)


def residual(**fields):
    """y = x + W x, W = [[1, -1], [2, 0]] / 2."""
    return Network(INPUT, [
        linear("fc", "input", [[1, -1], [2, 0]], **fields),
        Add(name="add", source="fc", other="input", output=ONE),
    ])  # fmt: skip


class TestWorkedExamples:
    def test_a_residual(self):
        """W (6, 2) = (2, 6); W (-3, 0) = (-1.5, -3), whose tie goes up."""
        run = residual().run([[6.0, 2.0], [-3.0, 0.0]], keep=Keep.ALL, observe=True)
        assert run.codes("fc").codes.tolist() == [[2, 6], [-1, -3]]
        assert run.output.codes.tolist() == [[8, 8], [-4, -3]]
        assert run.results["fc"].accumulators.tolist() == [[4, 12], [-3, -6]]
        assert run.codes("input").codes.tolist() == [[6, 2], [-3, 0]]
        assert {name: counts.outputs for name, counts in run.overflow.items()} == {
            "fc": 4, "add": 4,
        }  # fmt: skip

    def test_classes_are_the_first_of_equals(self):
        assert Network.classes(np.array([[1, 3, 3], [2, 2, 1]])).tolist() == [1, 0]

    def test_reference(self):
        found = residual().reference([[6.0, 2.0], [-3.0, 0.0]])
        assert found["fc"].output.tolist() == [[2.0, 6.0], [-1.5, -3.0]]
        assert found["add"].codes.tolist() == [[8, 8], [-4, -3]]

    def test_an_accumulator_that_overflows(self):
        """40 wraps to -24 in 6 bits, 80 to 16; codes are not quantized again."""
        network = residual().with_accumulator(NARROW)
        run = network.run([[40.0, 0.0]], observe=True)
        assert run.output.codes.tolist() == [[40 - 12, 8]]
        assert (run.overflow["fc"].persistent, run.overflow["add"].persistent) == (2, 0)

    def test_the_bound_is_silent_where_a_register_lost_its_total(self):
        network = residual().with_accumulator(NARROW)
        run = network.run([[40.0, 0.0]], keep=Keep.ALL, observe=True)
        fc = compare_network(network, run)[0]
        assert (fc.n_inexact, fc.n_beyond_bound, fc.n_differing, fc.max_lsb) == (2, 0, 2, 32)

    def test_transient_overflows_add_up_over_batches(self, monkeypatch):
        """40 - 40 passes through 40, which 6 bits wrap; 80 is lost."""
        monkeypatch.setattr(module, "_BLOCK_CODES", 2)
        network = residual().with_accumulator(NARROW)
        counts = network.run([[40.0, 40.0]] * 3, observe=True).overflow["fc"]
        assert (counts.outputs, counts.transient, counts.persistent) == (6, 3, 3)

    def test_some_layers_on_another_accumulator(self):
        network = Network(INPUT, [linear("a", "input", np.eye(2, dtype=int) * 2),
                                  linear("b", "a", np.eye(2, dtype=int) * 2)])  # fmt: skip
        narrow = network.with_accumulator(NARROW, layers=["b"])
        kept = [node.unit.spec.accumulator for node in narrow.layers.values()]
        assert kept == [network.layers["a"].unit.spec.accumulator, NARROW]
        with pytest.raises(SpecError, match=r"no layer is called c; layers are a, b"):
            network.with_accumulator(NARROW, layers=["a", "c"])
        with pytest.raises(WidthError, match=r"a: the rescaler's"):
            network.with_accumulator(AccumulatorSpec(stages=(StageSpec(bits=63),)))


class TestRunning:
    @pytest.fixture(scope="class")
    @classmethod
    def network(cls):
        return every_kind()

    def test_only_the_output_is_kept(self, network):
        x = inputs(network, 2)
        run = network.run(x)
        assert list(run.results) == ["fc"]
        assert run.overflow == {}
        everything = network.run(x, keep=Keep.ALL, observe=True)
        assert list(everything.results) == list(network.nodes)
        assert (run.output.codes == everything.output.codes).all()
        assert (network.codes(x) == run.output.codes).all()

    def test_batches_change_nothing(self, network, monkeypatch):
        x = inputs(network, 5)
        whole = network.run(x, keep=Keep.ALL, observe=True)
        monkeypatch.setattr(module, "_BLOCK_CODES", 2 * 90)
        told = []
        parts = network.run(
            x, keep=Keep.ALL, observe=True, progress=lambda done, n: told.append((done, n))
        )
        assert told == [(2, 5), (4, 5), (5, 5)]
        assert parts.overflow == whole.overflow
        for name, result in whole.results.items():
            other = parts.results[name]
            assert (result.output.codes == other.output.codes).all()
            assert np.array_equal(result.accumulators, other.accumulators)
            if result.overflow is not None:
                assert (result.overflow.total == other.overflow.total).all()

    def test_codes_in_place_of_reals(self, network):
        x = inputs(network, 2)
        codes = network.input_codes(x)
        assert (network.codes(codes) == network.codes(x)).all()
        assert (network.as_input(codes.codes).codes == codes.codes).all()
        assert network.reference(codes)["fc"].codes.shape == (2, 4)

    def test_an_empty_batch(self, network):
        run = network.run(np.zeros((0, 5, 6, 2)), keep=Keep.ALL, observe=True)
        assert run.output.codes.shape == (0, 4)
        assert [each.n_outputs for each in compare_network(network, run)] == [0] * 11

    def test_random_bits_do_not_depend_on_batches(self, monkeypatch):
        stochastic = StochasticRounding(seed=5)
        x = np.arange(12.0).reshape(6, 2)
        for node in (
            Requantize(name="q", source="input", output=Encoding(format=S8, step_size=3.0),
                       rescaler=rescaler(S8, FixedPoint(rounding=stochastic))),
            Add(name="q", source="input", other="input", adder=AddSpec(rounding=stochastic),
                output=Encoding(format=S8, step_size=3.0)),
        ):  # fmt: skip
            monkeypatch.setattr(module, "_BLOCK_CODES", 1 << 20)
            whole = Network(INPUT, [node]).codes(x)
            monkeypatch.setattr(module, "_BLOCK_CODES", 2)
            assert (Network(INPUT, [node]).codes(x) == whole).all()


class TestAgainstReference:
    def test_every_kind_of_node_within_its_bound(self):
        for seed in range(5):
            network = every_kind(seed)
            x = inputs(network, 20, seed)
            run = network.run(x, keep=Keep.ALL, observe=True)
            for each in compare_network(network, run, x):
                assert each.n_beyond_bound == each.n_inexact == 0
                assert each.max_lsb <= 1

    @settings(max_examples=50)
    @given(st.data())
    def test_random_graphs(self, data):
        network = data.draw(code_graphs())
        x = inputs(network, 4, data.draw(st.integers(0, 9)))
        run = network.run(x, keep=Keep.ALL, observe=True)
        for each in compare_network(network, run):
            assert each.n_beyond_bound == 0

    def test_a_layer_of_powers_of_two_equals_it(self):
        x = np.random.default_rng(0).integers(-60, 60, (200, 2)).astype(float)
        network = residual()
        run = network.run(x, keep=Keep.ALL, observe=True)
        compared = compare_network(network, run, x)
        assert [(c.n_differing, c.n_strayed) for c in compared] == [(0, 0), (0, 0)]
        assert compared[1].sqnr_db == np.inf


class TestRefusals:
    def test_no_nodes(self):
        with pytest.raises(SpecError, match=r"a network needs at least one node"):
            Network(INPUT, [])

    @pytest.mark.parametrize("name", ["input", "", "a/b", "flat"])
    def test_names(self, name):
        flat = Flatten(name="flat", source="input")
        with pytest.raises(SpecError, match=rf"without '/' and not 'input', got '{name}'"):
            Network(INPUT, [flat, Flatten(name=name, source="flat")])

    def test_sources(self):
        """Of itself, of a later node (a cycle), of none."""
        later = Flatten(name="b", source="a")
        for source in ("a", "b", "nowhere"):
            with pytest.raises(SpecError, match=rf"a takes '{source}', which no node before it is"):
                Network(INPUT, [Flatten(name="a", source=source), later])

    def test_no_such_node(self):
        with pytest.raises(SpecError, match=r"there is no node 'x': fc, add"):
            residual().node("x")
        assert residual().node("add").name == "add"

    def test_steps_that_do_not_meet(self):
        half = Encoding(format=S8, step_size=0.5)
        with pytest.raises(SpecError, match=r"fc takes int8 of step size 0\.5, zero point 0, but "
                           r"input puts out int8 of step size 1\.0"):  # fmt: skip
            Network(INPUT, [layer_node("fc", "input", half, ONE, np.eye(2, dtype=int))])

    def test_an_input_too_large(self):
        with pytest.raises(
            SpecError, match=r"the input has shape \(268435457,\), more than 268435456"
        ):
            Network(InputSpec(shape=((1 << 28) + 1,), quantizer=INPUT.quantizer, step_size=1.0),
                    [Flatten(name="f", source="input")])  # fmt: skip

    def test_inputs(self):
        network = residual()
        for shape in ((2,), (1, 3), (1, 2, 1)):
            with pytest.raises(
                DataError, match=r"this network takes inputs of shape \(n, 2\), got"
            ):
                network.run(np.zeros(shape))
        with pytest.raises(DataError, match=r"this network takes inputs of shape \(n, 2\)"):
            network.reference(np.zeros((1, 3)))
        with pytest.raises(DataError, match=r"NaN has no code: 1 of 2"):
            network.run([[0.0, np.nan]])
        with pytest.raises(DataError, match=r"input codes must be codes of int8 .*, got 128"):
            network.as_input(np.array([[0, 128]]))
        with pytest.raises(DataError, match=r"takes inputs of shape \(n, 2\), got \(2,\)"):
            network.as_input(np.array([0, 1]))

    def test_codes_of_another_meaning(self):
        other = Encoding(format=S8, step_size=0.5).tensor(np.zeros((1, 2), np.int64))
        message = (
            r"input codes are int8 of step size 0\.5, zero point 0; "
            r"this network takes int8 of step size 1\.0, zero point 0"
        )
        with pytest.raises(DataError, match=message):
            residual().run(other)

    def test_an_error_while_running_names_its_node_once(self):
        """Accumulators of 4 stages in a stated order that K has not."""
        order = AccumulatorSpec(stages=(StageSpec(bits=20),), order=(0, 1, 2))
        with pytest.raises(
            SpecError, match=r"^fc: the stated order permutes 3 products, but K is 2"
        ):
            residual().with_accumulator(order).codes([[1.0, 2.0]])

    def test_a_comparison_needs_all_of_a_run(self):
        network = residual()
        for options in ({}, {"keep": Keep.ALL}, {"observe": True}):
            with pytest.raises(DataError, match=r"with keep=Keep\.ALL and observe=True"):
                compare_network(network, network.run([[1.0, 2.0]], **options))

    def test_a_run_without_registers_needs_no_observation(self):
        network = Network(INPUT, [Flatten(name="f", source="input")])
        (found,) = compare_network(network, network.run([[1.0, 2.0]], keep=Keep.ALL))
        assert (found.bound_lsb, found.n_beyond_bound, found.overflow) == (0.0, 0, None)


class TestFoldReport:
    def test_of_every_node_with_a_factor(self):
        network = every_kind()
        folds = {fold.name: fold for fold in network.fold_report()}
        assert list(folds) == [n for n in network.nodes if n not in ("max", "flat")]
        assert folds["conv"].factor.shape == folds["conv"].bound_lsb.shape == (3,)
        assert folds["add"].factor.tolist() == [1.0, 1.0]
        assert folds["add"].fold_error.tolist() == [0.0, 0.0]
        assert folds["both"].bound_lsb.shape == (39,)
        assert len(folds["both"].parameters) == len(folds["both"].factor) == 2
        for fold in folds.values():
            assert (np.abs(fold.fold_error) < 1e-8).all()
            assert (fold.bound_lsb >= 0.5).all()
            assert fold.n_clipped_bias == 0

    def test_clipped_biases(self):
        folds = residual(bias=np.array([1e12, 1.0])).fold_report()
        assert [fold.n_clipped_bias for fold in folds] == [1, 0]

    def test_an_integer_narrower_than_its_rounding(self):
        """Rounding to -inf is off by up to a whole code."""
        four = IntFormat(4)
        unit = rescaler(four, FixedPoint(rounding=Rounding.TO_NEG))
        output = Encoding(format=four, step_size=8.0)
        node = Requantize(name="q", source="input", output=output, rescaler=unit)
        (fold,) = Network(INPUT, [node]).fold_report()
        assert fold.bound_lsb.tolist() == pytest.approx([1.0] * 2, abs=1e-9)
