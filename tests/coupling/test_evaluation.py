"""Tests for lsqsim.coupling.evaluation: trained networks on the integers."""

from functools import cache

import numpy as np
import pytest

from lsqsim.coupling.evaluation import calibrated_output_step, evaluate_on_integers
from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat
from lsqsim.learn.evaluation import evaluate
from lsqsim.learn.model import Mode, Model
from lsqsim.learn.placement import QuantizationPolicy, quantized
from small_trainings import FLOAT, a_data_set, a_trainer
from trained_models import FINE, hardware

GRAPH = quantized(FLOAT, QuantizationPolicy(weight_bits=4, activation_bits=4))


@cache
def a_training():
    trainer = a_trainer(GRAPH)
    trainer.run()
    return trainer.model, trainer.data_set


class TestEvaluateOnIntegers:
    def test_wide_registers_say_what_training_said(self):
        model, data = a_training()
        found = evaluate_on_integers(model, data, data.test, hardware(FINE))
        assert found.agreement == 1.0
        assert found.accuracy == found.fake_quantized_accuracy
        assert found.accuracy == evaluate(model, data, data.test).accuracy

    @pytest.mark.parametrize("acc_bits", [24, 5])
    def test_shares_by_hand(self, acc_bits):
        model, data = a_training()
        found = evaluate_on_integers(model, data, data.train, hardware(FINE, acc_bits))
        codes = found.folded.network.codes(data.real(data.train.values))
        predicted = codes.reshape(len(codes), -1).argmax(axis=1)
        logits = model.forward(data.real(data.train.values), Mode.EVALUATION)
        assert found.accuracy == np.mean(predicted == data.train.labels)
        assert found.agreement == np.mean(predicted == logits.argmax(axis=1))
        if acc_bits == 5:
            assert found.agreement < 1

    def test_output_step(self):
        model, data = a_training()
        accelerator = hardware(FINE)
        step = calibrated_output_step(model, data.real(data.train.values), accelerator)
        by_itself = evaluate_on_integers(model, data, data.test, accelerator)
        given = evaluate_on_integers(model, data, data.test, accelerator, output_step=step)
        coarse = evaluate_on_integers(model, data, data.test, accelerator, output_step=1e6)
        steps = [
            each.folded.meanings["fc"].encoding.step_size for each in (by_itself, given, coarse)
        ]
        assert steps == [step, step, 1e6]
        assert coarse.accuracy == np.mean(data.test.labels == 0)

    def test_what_folding_refuses(self):
        _, data = a_training()
        with pytest.raises(SpecError, match="has no step size yet"):
            evaluate_on_integers(Model(GRAPH, 0), data, data.test, hardware(), output_step=1.0)


class TestCalibratedOutputStep:
    @pytest.mark.parametrize("bits", [8, 16])
    def test_twice_the_largest_output_fits(self, bits):
        model, data = a_training()
        x = data.real(data.train.values)
        largest = float(np.abs(model.forward(x, Mode.EVALUATION)).max())
        step = calibrated_output_step(model, x, hardware(logits=IntFormat(bits)))
        assert step == pytest.approx(2 * largest / ((1 << bits - 1) - 1), rel=1e-6)

    def test_of_all_batches(self):
        model, data = a_training()
        x = np.concatenate([np.zeros((600, 6, 6, 1), np.float32), data.real(data.train.values)])
        alone = calibrated_output_step(model, data.real(data.train.values), hardware())
        assert calibrated_output_step(model, x, hardware()) >= alone * (1 - 1e-6)

    def test_outputs_of_zero(self):
        model = Model(GRAPH, 0)
        model.load_state(a_training()[0].state())
        for part in ("weight", "bias"):
            model.array(f"fc.{part}")[:] = 0
        assert calibrated_output_step(model, np.zeros((1, 6, 6, 1), np.float32), hardware()) == 1.0


def test_data_have_samples_of_both_classes():
    assert set(a_data_set().test.labels.tolist()) == {0, 1}
