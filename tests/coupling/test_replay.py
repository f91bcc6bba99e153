"""Tests for lsqsim.coupling.replay: training sees what the hardware's registers hold."""

import numpy as np
import pytest

from lsqsim.coupling.fold import fold_model
from lsqsim.coupling.replay import HardwareReplay
from lsqsim.learn.graph import BatchNormNode, Conv2dNode, LinearNode, QuantizeNode
from lsqsim.learn.hooks import Hooks
from lsqsim.learn.loss import softmax_cross_entropy
from lsqsim.learn.model import Mode, Model
from lsqsim.learn.placement import QuantizationPolicy, quantized
from lsqsim.learn.rule import Method
from lsqsim.network.network import Keep
from small_trainings import FLOAT, a_trainer
from trained_models import EVEN, FINE, every_kind, hardware, output_step, trained

GRAPH = quantized(FLOAT, QuantizationPolicy(weight_bits=4, activation_bits=4))
LABELS = np.arange(8) % 5


def a_model(*, offsets=False, normed=True, negative=0.3):
    """With every kind of node, normalizations frozen, factors of both signs."""
    method = Method.LSQ_PLUS if offsets else Method.LSQ
    model, x = trained(
        every_kind(method, normed=normed), negative=negative if normed else 0.0, offsets=offsets
    )
    model.freeze_batch_norm()
    return model, x


def replayed(model, x, accelerator):
    step = output_step(model, x)
    return HardwareReplay(accelerator, step)(model, x), step


def layers_of(model):
    return [n.name for n in model.graph.nodes if isinstance(n, Conv2dNode | LinearNode)]


def normalization_of(model, name):
    found = [n for n in model.graph.consumers(name) if isinstance(n, BatchNormNode)]
    return found[0] if found else None


def gradients(model, x, replay):
    """Gradients of every parameter, by name."""
    model.zero_grad()
    logits = model.forward(x, Mode.TRAINING, replay)
    model.backward(softmax_cross_entropy(logits, LABELS)[1])
    return {parameter.name: parameter.grad.copy() for parameter in model.parameters}


class TestWide:
    """Registers wide enough for all change nothing but float32's last bits, and few codes."""

    @pytest.mark.parametrize("offsets", [False, True])
    def test_values_of_every_layer(self, offsets):
        model, x = a_model(offsets=offsets)
        values, step = replayed(model, x, hardware(FINE))
        model.forward(x, Mode.TRAINING, values)
        for name in layers_of(model):
            operation = model._operations[name]
            source = model.value(model.graph.node(name).source)
            own = operation.forward([source], training=True)
            largest = np.abs(own).max()
            tolerance = step if name == "f2" else 1e-5 * largest
            assert np.abs(values[name] - own).max() <= tolerance, name

    def test_codes_nearly_all(self):
        model, x = a_model()
        values, _ = replayed(model, x, hardware(FINE))
        model.forward(x, Mode.TRAINING)
        n = n_differing = 0
        for node in model.graph.nodes:
            if isinstance(node, QuantizeNode):
                step = model.quantizer(node.name).step_size
                distance = np.abs(model.value(node.name) - values[node.name]) / step
                n, n_differing = n + distance.size, n_differing + int((distance > 0.5).sum())
        assert n_differing <= n // 500

    def test_training_is_nearly_the_same(self):
        plain = a_trainer(GRAPH)
        plain.model.freeze_batch_norm()
        in_loop = a_trainer(GRAPH)
        in_loop.model.freeze_batch_norm()
        # The first forward pass sets the step sizes.
        x = plain.data_set.real(plain.data_set.train.values)
        for trainer in (plain, in_loop):
            trainer.model.forward(x, Mode.TRAINING)
        in_loop.hooks = Hooks(replay=HardwareReplay(hardware(FINE), 1e-4))
        plain.run_epoch()
        in_loop.run_epoch()
        before, after = plain.model.state(), in_loop.model.state()
        for name, array in before.items():
            scale = np.abs(array).max() + 1e-3
            assert np.abs(after[name] - array).max() < 0.02 * scale, name


class TestNarrow:
    """What registers hold, to the last code, whatever they lost."""

    @pytest.mark.parametrize("scaling", [EVEN, FINE], ids=["accumulator", "rescaler"])
    @pytest.mark.parametrize("offsets", [False, True])
    @pytest.mark.parametrize("normed", [False, True])
    def test_values_are_the_registers(self, scaling, offsets, normed):
        model, x = a_model(offsets=offsets, normed=normed)
        values, step = replayed(model, x, hardware(scaling, acc_bits=7))
        folded = fold_model(model, hardware(scaling, acc_bits=7), output_step=step)
        run = folded.network.run(x, keep=Keep.ALL, observe=True)
        n_overflows = 0
        for name in layers_of(model)[:-1]:
            registers, unit = run.results[name].accumulators, folded.network.layers[name].unit
            n_overflows += int(run.results[name].overflow.counts().persistent)
            real = registers * (unit.layer.input_step * unit.weight.step_size)
            if scaling is FINE and unit.layer.bias is not None:
                real = real + unit.layer.bias
            [stored] = [key for key, node in folded.names.items() if node == name]
            real = real + folded.meanings[stored].residual
            norm = normalization_of(model, name)
            got = values[name].astype(np.float64)
            if norm is not None:
                gamma, beta, mean, variance = (
                    model.array(f"{norm.name}.{part}").astype(np.float64)
                    for part in ("gamma", "beta", "mean", "variance")
                )
                got = (got - mean) / np.sqrt(variance + norm.epsilon) * gamma + beta
            assert np.allclose(got, real, rtol=1e-5, atol=1e-5 * np.abs(real).max()), name
        assert n_overflows > 100
        for node in model.graph.nodes:
            if isinstance(node, QuantizeNode) or node.name == "f2":
                meaning = folded.meanings[node.name]
                codes = run.codes(folded.names[node.name]).codes
                held = (values[node.name] - np.float32(meaning.residual)) / np.float32(
                    meaning.encoding.step_size
                )
                assert np.abs(held - (codes - meaning.encoding.zero_point)).max() < 1e-2
                assert (np.rint(held) == codes - meaning.encoding.zero_point).all(), node.name

    def test_the_network_puts_out_the_hardwares_output(self):
        model, x = a_model()
        values, _ = replayed(model, x, hardware(FINE, acc_bits=7))
        plain = model.forward(x, Mode.TRAINING).copy()
        out = model.forward(x, Mode.TRAINING, values)
        assert (out == values["f2"]).all()
        assert np.abs(out - plain).max() > 10 * np.abs(plain).mean() / 100
        for name, array in values.items():
            assert array.dtype == np.float32
            assert (model.value(name) == array).all(), name

    def test_a_dead_channel(self):
        """gamma = 0: nothing to divide by, and nothing lost."""
        model, x = a_model()
        model.array("c1_norm.gamma")[2] = 0
        values, _ = replayed(model, x, hardware(FINE, acc_bits=7))
        assert all(np.isfinite(array).all() for array in values.values())
        model.forward(x, Mode.TRAINING, values)
        beta = model.array("c1_norm.beta")[2]
        assert np.allclose(model.value("c1_norm")[..., 2], beta)


class TestGradients:
    def test_of_the_last_layer_by_hand(self):
        """Its weights' gradient is x^T g, with x the codes' values and g of the hardware's out."""
        model, x = a_model()
        values, _ = replayed(model, x, hardware(FINE, acc_bits=7))
        found = gradients(model, x, values)
        grad = softmax_cross_entropy(values["f2"], LABELS)[1]
        assert np.allclose(found["f2.bias"], grad.sum(axis=0), rtol=1e-5, atol=1e-7)
        weight = model.array("f2.weight")
        quantizer = model.weight_quantizer("f2")
        quotient = weight / quantizer.step_size
        inside = (quotient > quantizer.format.min) & (quotient < quantizer.format.max)
        expected = np.where(inside, values["q9"].T @ grad, 0)
        assert np.allclose(found["f2.weight"], expected, rtol=1e-4, atol=1e-6)

    def test_as_if_the_network_had_computed_them(self):
        """Replaying a network's own values changes no bit of a gradient."""
        model, x = a_model(offsets=True)
        plain = gradients(model, x, None)
        own = {n.name: model.value(n.name).copy() for n in model.graph.nodes
               if isinstance(n, QuantizeNode | Conv2dNode | LinearNode)}  # fmt: skip
        again = gradients(model, x, own)
        assert all((again[name] == grad).all() for name, grad in plain.items())

    def test_narrow_registers_give_finite_gradients_to_all(self):
        model, x = a_model(offsets=True)
        values, _ = replayed(model, x, hardware(FINE, acc_bits=9))
        found = gradients(model, x, values)
        assert all(np.isfinite(grad).all() for grad in found.values())
        assert any(found["c1.weight"].ravel())
        assert any((found[name] != grad).any() for name, grad in gradients(model, x, None).items())


def test_the_model_is_left_alone():
    model, x = a_model()
    before = model.state()
    replayed(model, x, hardware(FINE, acc_bits=7))
    assert all((array == before[name]).all() for name, array in model.state().items())


def test_folds_anew_at_every_call():
    model, x = a_model()
    replay = HardwareReplay(hardware(FINE), 4 * output_step(model, x))
    first = replay(model, x)["f2"]
    model.array("f2.bias")[:] += np.float32(1.0)
    moved = replay(model, x)["f2"] - first
    assert np.abs(moved - 1).max() < 2 * replay.output_step
    assert isinstance(model, Model)
