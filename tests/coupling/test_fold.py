"""Tests for lsqsim.coupling.fold: integers against a float64 replica, and every refusal."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lsqsim.coupling.bias_grid import biases_on_grid
from lsqsim.coupling.fold import fold_model
from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat, Rounding
from lsqsim.learn.graph import (
    AddNode,
    BatchNormNode,
    ConcatNode,
    Conv2dNode,
    FlattenNode,
    GraphSpec,
    LinearNode,
    MaxPoolNode,
    QuantizeNode,
    ReluNode,
    WeightQuantizer,
)
from lsqsim.learn.model import Mode, Model
from lsqsim.learn.rule import Granularity, Method, StepRule
from lsqsim.network.comparison import compare_network
from lsqsim.network.network import Keep
from lsqsim.network.network_file import load_network, save_network
from lsqsim.specs import PowerOfTwo
from trained_models import EVEN, FINE, every_kind, hardware, output_step, per_channel, trained
from trained_replica import replica


def check(model, x, spec):
    """Fold; the float reference equals the replica, and the integers lie within their bounds."""
    folded = fold_model(model, spec, output_step=output_step(model, x))
    network = folded.network
    values, codes = replica(model, x)
    reference = network.reference(x)
    for name, expected in codes.items():
        node = folded.names[name]
        if node != "input":
            assert (reference[node].codes == expected).all(), name
    last = model.graph.nodes[-1].name
    step = folded.meanings[last].encoding.step_size
    assert np.abs(reference[last].output - values[last]).max() < 1e-6 * step
    run = network.run(x, keep=Keep.ALL, observe=True)
    for each in compare_network(network, run):
        assert each.n_beyond_bound == each.n_inexact == 0, each
    return folded, run


class TestAgainstReplica:
    @settings(max_examples=15)
    @given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans(), st.booleans())
    def test_every_kind_of_node(self, seed, offsets, normed, by_channel):
        """Batch normalizations of both signs, learned offsets, padding, steps by channel."""
        method = Method.LSQ_PLUS if offsets else Method.LSQ
        fmt = IntFormat(4, narrow=True)
        weights = per_channel(fmt) if by_channel else None
        model, x = trained(
            every_kind(method, weights, normed=normed), seed, negative=0.3, offsets=offsets
        )
        check(model, x, hardware())

    @pytest.mark.parametrize("offsets", [False, True])
    def test_biases_that_the_rescaler_adds(self, offsets):
        method = Method.LSQ_PLUS if offsets else Method.LSQ
        model, x = trained(every_kind(method), negative=0.3, offsets=offsets)
        model.array("c1_norm.gamma")[1:3] = 0
        folded, _ = check(model, x, hardware(FINE))
        assert all(node.unit.bias is None for node in folded.network.layers.values())
        for fold in folded.network.fold_report():
            assert fold.n_clipped_bias == 0
            assert fold.bound_lsb.max() < 0.51

    def test_names_and_meanings(self):
        model, x = trained(every_kind(Method.LSQ_PLUS), offsets=True)
        folded, run = check(model, x, hardware())
        layers = [n.name for n in model.graph.nodes if isinstance(n, Conv2dNode | LinearNode)]
        assert list(folded.network.layers) == layers
        assert folded.names["qin"] == "input"
        assert [folded.names[q] for q in ("q1", "q3", "q3b", "q5", "q6", "mp", "fl", "f2")] == [
            "c1", "add", "q3b", "ap", "cat", "mp", "fl", "f2",
        ]  # fmt: skip
        values, _ = replica(model, x)
        meaning = folded.meanings["qin"]
        real = run.input.dequantize() + meaning.residual
        assert np.allclose(real, values["qin"])

    def test_weight_codes_are_the_quantizers(self):
        model, x = trained(every_kind())
        folded, _ = check(model, x, hardware())
        for name, node in folded.network.layers.items():
            expected = model.weight_quantizer(name).codes(model.state()[f"{name}.weight"])
            assert (np.moveaxis(node.unit.weight.codes, 0, -1) == expected).all()

    def test_a_dead_channel_is_its_bias(self):
        """gamma = 0 in two channels: beta alone, within the output and beyond it."""
        model, x = trained(every_kind())
        model.array("c1_norm.gamma")[1:3] = 0
        model.array("c1_norm.beta")[1:3] = [1.3, 1e6]
        folded, run = check(model, x, hardware(acc_bits=16))
        unit = folded.network.layers["c1"].unit
        assert not unit.weight.codes[1:3].any()
        assert unit.n_clipped_bias == 0
        step = folded.meanings["q1"].encoding.step_size
        codes = run.codes("c1").codes
        assert (codes[..., 1] == round(float(np.float32(1.3)) / step)).all()
        assert (codes[..., 2] == 15).all()

    def test_a_dead_channel_of_signed_codes(self):
        model, x = trained(every_kind())
        model.array("c2_norm.gamma")[:] = 0
        model.array("c2_norm.beta")[:] = [-1e6, -0.7, -0.0, 0.0, 0.4, 1e6]
        _, run = check(model, x, hardware(acc_bits=16))
        ends = run.codes("c2").codes[0, 0, 0, [0, 2, 3, 5]]
        assert ends.tolist() == [-128, 0, 0, 127]

    def test_an_output_that_is_quantized(self):
        graph = every_kind()
        shorter = GraphSpec(input_shape=graph.input_shape, nodes=graph.nodes[:-1])
        model, x = trained(shorter)
        folded = fold_model(model, hardware())
        assert folded.network.output_name == "add2"
        _, codes = replica(model, x)
        assert (folded.network.reference(x)["add2"].codes == codes["q9"]).all()
        with pytest.raises(SpecError, match=r"q9, the output, is quantized: leave output_step out"):
            fold_model(model, hardware(), output_step=1.0)

    def test_saved_and_read(self, tmp_path):
        model, x = trained(every_kind(Method.LSQ_PLUS), offsets=True)
        network = fold_model(model, hardware(), output_step=1e-3).network
        save_network(tmp_path / "net.npz", network)
        assert (load_network(tmp_path / "net.npz").codes(x) == network.codes(x)).all()


class TestPowersOfTwo:
    """TQT: every step is a power of two, and requantization a pure shift."""

    def test_folds_exactly(self):
        rule = StepRule(method=Method.TQT)
        graph = every_kind(
            Method.TQT, WeightQuantizer(format=IntFormat(4), rule=rule), normed=False
        )
        model, x = trained(graph)
        shift = PowerOfTwo(min_shift=-40, rounding=Rounding.TIES_EVEN)
        folded = fold_model(model, hardware(shift), output_step=2.0**-12)
        for fold in folded.network.fold_report():
            if fold.name not in ("ap", "gap"):  # 6 and 18 codes have no power of two
                assert not fold.fold_error.any(), fold.name
        values, codes = replica(model, x)
        reference = folded.network.reference(x)
        assert (reference["add"].codes == codes["q3"]).all()
        run = folded.network.run(x, keep=Keep.ALL, observe=True)
        compared = {each.name: each for each in compare_network(folded.network, run)}
        assert all(each.n_beyond_bound == 0 for each in compared.values())
        assert compared["add"].n_differing == compared["q3b"].n_differing == 0
        assert values["f2"].shape == run.output.codes.shape


class TestAgainstTraining:
    """With biases on the accelerator's grid, training and integers compute the same codes."""

    @pytest.mark.parametrize("scaling", [EVEN, FINE], ids=["accumulator", "rescaler"])
    @pytest.mark.parametrize(("method", "offsets"), [(Method.LSQ, False), (Method.LSQ_PLUS, True)])
    def test_every_code(self, method, offsets, scaling):
        model, x = trained(every_kind(method), offsets=offsets, negative=0.3)
        step = output_step(model, x)
        first = fold_model(model, hardware(scaling), output_step=step)
        model.load_state(model.state() | biases_on_grid(model, first))
        folded = fold_model(model, hardware(scaling), output_step=step)
        model.forward(x, Mode.EVALUATION)
        run = folded.network.run(x, keep=Keep.ALL)
        assert (run.output.codes == first.network.codes(x)).all()
        n_codes = n_differing = 0
        for name, node in folded.names.items():
            meaning, codes = folded.meanings[name], run.codes(node).codes
            encoding = meaning.encoding
            real = (codes - encoding.zero_point) * encoding.step_size + meaning.residual
            distance = np.abs(real - model.value(name)) / encoding.step_size
            n_codes, n_differing = n_codes + codes.size, n_differing + int((distance > 0.5).sum())
        assert n_differing <= n_codes // 1000


W = WeightQuantizer(format=IntFormat(4))
Q_IN = QuantizeNode(name="qin", source="input", format=IntFormat(8))
CONV = Conv2dNode(name="c", source="qin", channels=3, padding=(1, 1, 1, 1), weights=W)
Q = QuantizeNode(name="q", source="c", format=IntFormat(8))


def fold(*nodes, **options):
    model = Model(GraphSpec(input_shape=(4, 4, 3), nodes=nodes), 0)
    for quantizer in model.quantizers.values():
        quantizer.set_step_size(1.0)
    return fold_model(model, hardware(), **options)


def named(node, **changes):
    fields = {name: getattr(node, name) for name in type(node).__dataclass_fields__}
    return type(node)(**(fields | changes))


class TestRefusals:
    @pytest.mark.parametrize(
        ("nodes", "message"),
        [
            ([named(CONV, source="input")],
             r"c takes input, which is not quantized: insert a QuantizeNode behind input"),
            ([FlattenNode(name="f", source="input")], r"f takes input, which is not quantized"),
            ([Q_IN, CONV, MaxPoolNode(name="m", source="c")],
             r"m takes c, which is not quantized: insert a QuantizeNode behind c"),
            ([Q_IN, CONV, AddNode(name="a", source="qin", other="c")],
             r"a takes c, which is not quantized"),
            ([Q_IN, CONV, ConcatNode(name="a", source="c", other="qin")],
             r"a takes c, which is not quantized"),
            ([Q_IN, named(CONV, weights=None), Q],
             r"c: its weights are not quantized: give it weights"),
            ([Q_IN, CONV, Q, named(Q, name="p", source="c")],
             r"c is not quantized, and 2 nodes take its values: insert one QuantizeNode behind it"),
            ([Q_IN, CONV, named(CONV, name="d"), named(Q, source="d")],
             r"c: no node takes its values: remove it"),
            ([Q_IN, BatchNormNode(name="b", source="qin")],
             r"b: a batch normalization folds into a layer directly before it, but follows qin"),
            ([Q_IN, CONV, ReluNode(name="r", source="c"), BatchNormNode(name="b", source="r")],
             r"b: a batch normalization folds .* but follows r: move it behind a layer"),
            ([Q_IN, CONV, BatchNormNode(name="b", source="c"), BatchNormNode(name="e", source="b")],
             r"e: a batch normalization folds .* but follows b"),
            ([Q_IN, AddNode(name="a", source="qin", other="qin"),
              BatchNormNode(name="b", source="a")], r"b: a batch normalization .* follows a:"),
            ([Q_IN, ReluNode(name="r", source="qin")],
             r"r: a ReLU is the clip .* but follows qin, which is quantized already: move it betw"),
            ([ReluNode(name="r", source="input")],
             r"r: a ReLU .* follows input, which is the input"),
            ([Q_IN, named(Q_IN, name="q2")],
             r"q2 quantizes the network's input a second time: take the first one's values"),
            ([Q_IN, CONV],
             r"c, the output, has no quantizer: give output_step, .* code of its int16, or"),
            ([Q_IN], r"a network needs at least one node"),
        ],
    )  # fmt: skip
    def test_graphs_of_another_pattern(self, nodes, message):
        with pytest.raises(SpecError, match=message):
            fold(*nodes)

    def test_output_steps(self):
        for step in (0.0, -1.0, float("nan")):
            with pytest.raises(SpecError, match=r"step_size must be finite and positive, got"):
                fold(Q_IN, CONV, output_step=step)

    def test_step_sizes_of_activations_by_channel(self):
        rule = StepRule(granularity=Granularity.PER_CHANNEL)
        with pytest.raises(SpecError, match=r"qin: activations have one step size .* 3 channels"):
            fold(named(Q_IN, rule=rule), CONV, Q)

    def test_step_sizes_that_have_not_started(self):
        model = Model(GraphSpec(input_shape=(4, 4, 3), nodes=(Q_IN, CONV, Q)), 0)
        with pytest.raises(SpecError, match=r"qin has no step size yet: train on a batch first"):
            fold_model(model, hardware())

    def test_weights_with_offsets(self):
        model, x = trained(every_kind())
        model.weight_quantizer("c3").offset.value[:] = 0.1
        with pytest.raises(SpecError, match=r"c3: weights with a learned offset can't be folded"):
            fold_model(model, hardware(), output_step=output_step(model, x))

    def test_a_code_without_a_negative(self):
        graph = GraphSpec(
            input_shape=(4, 4, 3),
            nodes=(Q_IN, CONV, BatchNormNode(name="b", source="c"), named(Q, source="b")),
        )
        model, _ = trained(graph)
        model.array("b.gamma")[1] = -1
        model.array("c.weight")[0, 0, 0, :] = 0
        quantizer = model.weight_quantizer("c")
        quantizer.set_step_size(float(np.abs(model.array("c.weight")).max()) / 7)
        fold_model(model, hardware())
        model.array("c.weight")[0, 0, 0, 1] = -100
        message = (
            r"c: the batch normalization's factor of channel 1 is negative, and weight code -8 has "
            r"no negative in int4: keep gamma positive, or train the weights in a narrow format"
        )
        with pytest.raises(SpecError, match=message):
            fold_model(model, hardware())

    def test_what_the_hardware_refuses_names_the_layer(self):
        model, x = trained(every_kind())
        tight = hardware(PowerOfTwo(min_shift=0, max_shift=1))
        with pytest.raises(SpecError, match=r"^c1: factor .* needs shift"):
            fold_model(model, tight, output_step=output_step(model, x))
