"""Tests for lsqsim.learn.training: it learns, it repeats itself, and it stops where it must."""

import math
import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from lsqsim.data_sets import Augmentation, DataSet, Samples
from lsqsim.errors import DataError, SpecError
from lsqsim.learn.evaluation import BATCH, evaluate
from lsqsim.learn.failure import TrainingError
from lsqsim.learn.graph import GraphSpec, LinearNode, QuantizeNode
from lsqsim.learn.hooks import Hooks
from lsqsim.learn.loss import DistillationSpec
from lsqsim.learn.model import Mode, Model
from lsqsim.learn.rule import Learning, StepRule
from lsqsim.learn.schedule import Schedule
from small_trainings import (
    CODES,
    FLOAT,
    QUANTIZED,
    SPEC,
    WEIGHTS,
    a_data_set,
    a_trainer,
    bits,
)

PLAIN = replace(SPEC, augmentation=Augmentation(), epochs=1)


def linear(features=2, n=1):
    return GraphSpec(
        input_shape=(n,), nodes=(LinearNode(name="fc", source="input", features=features),)
    )


def vectors(values, labels, n_classes=2):
    values, labels = np.array(values, np.float32).reshape(len(labels), -1), np.array(labels)
    samples = Samples(values=values, labels=labels)
    return DataSet(name="vectors", train=samples, test=samples, n_classes=n_classes)


class TestLearning:
    @pytest.mark.parametrize("graph", [FLOAT, QUANTIZED], ids=["float", "quantized"])
    def test_learns_stripes(self, graph):
        trainer = a_trainer(graph, replace(SPEC, epochs=8, augmentation=Augmentation()))
        trainer.run()
        assert trainer.records[-1].test_accuracy == 1.0
        assert trainer.records[-1].loss < 0.5 * trainer.records[0].loss

    def test_one_update_by_hand(self):
        """Weights 0, one sample x = 2 of class 0: both classes get 1/2, the gradient is -+1."""
        trainer = a_trainer(
            linear(), replace(PLAIN, batch_size=1, learning_rate=0.25), vectors([2.0], [0])
        )
        trainer.model.array("fc.weight")[:] = 0
        record = trainer.run_epoch()
        assert trainer.model.array("fc.weight").tolist() == [[0.25, -0.25]]
        assert trainer.model.array("fc.bias").tolist() == [0.125, -0.125]
        assert record.loss == pytest.approx(math.log(2))
        assert record.test_loss == pytest.approx(math.log(1 + math.exp(-1.25)))
        assert (record.train_accuracy, record.test_accuracy) == (1.0, 1.0)

    def test_the_learning_rate_falls_update_by_update(self):
        """Four updates of gradients that stay: cosine from 1 over 4, one epoch of 2 each."""
        data_set = vectors([[0.0]] * 2, [0, 0])
        spec = replace(PLAIN, epochs=2, batch_size=1, learning_rate=1.0, momentum=0.0)
        trainer = a_trainer(linear(), spec, data_set)
        trainer.run()
        expected, bias = [], 0.0
        for step in range(4):
            gradient = 1 / (1 + math.exp(-2 * bias)) - 1
            bias -= (1 + math.cos(math.pi * step / 4)) / 2 * gradient
            expected.append(bias)
        assert trainer.model.array("fc.bias")[0] == pytest.approx(expected[-1], rel=1e-6)
        assert [r.learning_rate for r in trainer.records] == [1.0, pytest.approx(0.5)]

    def test_what_is_left_of_an_epoch_is_left_out(self):
        seen = []
        trainer = a_trainer(hooks=Hooks(progress=seen.append))
        trainer.run()
        assert [p.step for p in seen] == list(range(1, 13))  # 70 samples: 4 batches of 16
        assert {(p.epochs, p.steps) for p in seen} == {(3, 12)}
        assert [p.epoch for p in seen] == [1] * 4 + [2] * 4 + [3] * 4
        assert seen[-1].seconds_left == 0
        assert all(p.seconds_left > 0 for p in seen[:-1])
        assert seen[-1].loss == trainer.records[-1].loss

    def test_time_left_is_by_the_pace_of_this_process(self, monkeypatch):
        """Resumed after 4 of 12 steps: the first one took a second, seven are left."""
        seen, clock = [], iter([0.0])
        trainer = a_trainer(hooks=Hooks(progress=seen.append))
        trainer.records.append(a_trainer().run_epoch())
        monkeypatch.setattr("lsqsim.learn.training.time.perf_counter", lambda: next(clock, 1.0))
        trainer.run()
        assert seen[0].step == 5
        assert seen[0].seconds_left == 7.0

    def test_images_are_moved_over_a_border_of_zero(self):
        """An image of 200 around the offset 128: what a crop uncovers is real 0."""
        seen = []

        def replay(_model, values):
            seen.append(values.copy())
            return {}

        values = np.full((70, 6, 6, 1), 200, np.uint8)
        samples = Samples(values=values, labels=np.zeros(70, np.int64))
        data_set = DataSet(name="flat", train=samples, test=samples, n_classes=2, offset=128.0)
        a_trainer(FLOAT, replace(SPEC, epochs=1), data_set, hooks=Hooks(replay=replay)).run()
        assert set(np.unique(np.concatenate(seen))) == {0.0, 72.0}

    def test_a_teacher_is_followed(self):
        """With labels of no weight, the network comes to say what its teacher says."""
        teacher, data_set = Model(linear(n=3), 1), vectors(np.eye(3), [0, 0, 0])
        distillation = DistillationSpec(temperature=2.0, weight=1.0)
        spec = replace(
            PLAIN, epochs=400, batch_size=3, learning_rate=0.5, distillation=distillation,
            weight_decay=0.0,
        )  # fmt: skip
        trainer = a_trainer(linear(n=3), spec, data_set, teacher=teacher)
        trainer.run()
        x = np.eye(3, dtype=np.float32)
        taught, learned = (m.forward(x, Mode.EVALUATION) for m in (teacher, trainer.model))
        np.testing.assert_allclose(np.diff(learned), np.diff(taught), atol=1e-2)

    def test_records(self):
        trainer = a_trainer()
        trainer.run()
        assert [r.epoch for r in trainer.records] == [1, 2, 3]
        assert trainer.is_complete
        record = trainer.records[-1]
        assert record.step_sizes.keys() == {"codes", "conv.weight", "relu", "fc.weight"}
        for name, steps in record.step_sizes.items():
            assert steps == trainer.model.quantizers[name].step_size.tolist()
        assert record.seconds > 0


class TestRepeats:
    def test_same_seed_same_bits(self):
        one, two = a_trainer(), a_trainer()
        one.run()
        two.run()
        assert bits(one) == bits(two)

    def test_another_seed_other_bits(self):
        one, two = a_trainer(), a_trainer(spec=replace(SPEC, seed=8))
        one.run()
        two.run()
        assert bits(one) != bits(two)

    def test_each_epoch_has_an_order_of_its_own(self):
        """... which hangs on the seed and its number alone."""
        seen = []

        def replay(_model, values):
            seen.append(values.tobytes())
            return {}

        trainer = a_trainer(hooks=Hooks(replay=replay))
        trainer.run()
        assert len(set(seen)) == 12
        again = a_trainer(hooks=Hooks(replay=replay))
        again.records += trainer.records[:1]
        again.run()
        assert seen[12:] == seen[4:12]

    def test_blas_has_one_thread(self):
        found = []

        def replay(_model, _values):
            found.extend(x["num_threads"] for x in threadpool_info() if x["user_api"] == "blas")
            return {}

        a_trainer(spec=PLAIN, hooks=Hooks(replay=replay)).run()
        assert set(found) == {1}


class TestHooks:
    @pytest.mark.parametrize(("every", "epochs"), [(1, [1, 2, 3]), (2, [2, 3]), (5, [3])])
    def test_evaluate_joins_the_record(self, every, epochs):
        def count(model):
            assert isinstance(model, Model)
            return {"accuracy": np.float64(0.5)}

        trainer = a_trainer(hooks=Hooks(evaluate=count, evaluate_every=every))
        trainer.run()
        assert [r.epoch for r in trainer.records if r.measured == {"accuracy": 0.5}] == epochs

    def test_replay_takes_the_place_of_what_the_network_computes(self):
        """With outputs of the right class, there is next to nothing to lose."""
        values = np.array([[100.0, 0.0]] * 16, np.float32)
        data_set = vectors([[1.0]] * 16, [0] * 16)
        trainer = a_trainer(
            linear(), PLAIN, data_set, hooks=Hooks(replay=lambda _m, _x: {"fc": values})
        )
        assert trainer.run_epoch().loss == pytest.approx(0, abs=1e-12)

    def test_refuses_never(self):
        with pytest.raises(SpecError, match="evaluate_every must be 1 or more, got 0"):
            Hooks(evaluate_every=0)


class TestDeadQuantizers:
    """A fixed step size of 1e-6 clips whatever is not 0; one that learns gets out of there."""

    GRAPH = GraphSpec(
        input_shape=(1,),
        nodes=(
            QuantizeNode(
                name="tiny", source="input", format=CODES, rule=StepRule(learning=Learning.FIXED)
            ),
            LinearNode(name="fc", source="tiny", features=2, weights=WEIGHTS),
        ),
    )

    def a_trainer(self, values, **options):
        spec = replace(PLAIN, epochs=2, batch_size=2)
        trainer = a_trainer(self.GRAPH, spec, vectors(values, [0, 1, 0, 1]), **options)
        trainer.model.quantizer("tiny").set_step_size(1e-6)
        return trainer

    def test_are_warned_of_once(self):
        told = []
        trainer = self.a_trainer([1, 2, 3, 4], hooks=Hooks(warn=told.append))
        trainer.run()
        assert [r.dead for r in trainer.records] == [["tiny"], ["tiny"]]
        assert told == [
            "tiny clips all values: nothing can be learned through it; its step size is 1e-06"
        ]

    def test_that_die_within_an_epoch(self):
        """The second batch of two is the last one."""

        def kill(_done):
            trainer.model.quantizer("tiny").set_step_size(1e-6)

        told = []
        trainer = self.a_trainer([1, 2, 3, 4], hooks=Hooks(progress=kill, warn=told.append))
        trainer.model.quantizer("tiny").set_step_size(1.0)
        assert trainer.run_epoch().dead == ["tiny"]
        assert len(told) == 1

    def test_by_a_warning_unless_told_otherwise(self):
        with pytest.warns(UserWarning, match="^tiny clips all values"):
            self.a_trainer([1, 2, 3, 4]).run()

    def test_one_value_inside_is_alive(self):
        with warnings.catch_warnings(action="error"):
            trainer = self.a_trainer([3e-6] * 4)
            trainer.run()
        assert trainer.records[0].dead == []


class TestStops:
    def test_at_a_loss_that_is_not_finite(self):
        """Its first epoch stays in the records."""
        trainer = a_trainer()
        trainer.run_epoch()
        before = list(trainer.records)
        trainer.model.array("conv.weight")[0, 0, 0, 0] = math.nan
        error = re.escape(
            "the loss of step 1 of epoch 2 is nan: conv.weight is the first that is not finite: "
            "lower the learning rate, 0.05 (what was saved after epoch 1 is kept)"
        )
        with pytest.raises(TrainingError, match=error):
            trainer.run_epoch()
        assert trainer.records == before

    def test_names_the_node(self):
        """Values that overflow where no parameter does."""
        trainer = a_trainer(linear(), replace(PLAIN, batch_size=1), vectors([3e38], [0]))
        trainer.model.array("fc.weight")[:] = 9
        error = r"step 1 of epoch 1 is nan: fc is the first .* \(nothing was saved yet\)"
        with pytest.raises(TrainingError, match=error):
            trainer.run()

    def test_at_the_teacher(self):
        teacher = Model(linear(), 0)
        teacher.array("fc.weight")[:] = math.nan
        spec = replace(PLAIN, batch_size=1, distillation=DistillationSpec())
        trainer = a_trainer(linear(), spec, vectors([1.0], [0]), teacher=teacher)
        with pytest.raises(TrainingError, match="is nan: the teacher's output is the first"):
            trainer.run()

    def test_after_the_last_update(self):
        """An update that leaves nothing finite is seen by the test, before anything is saved."""
        spec = replace(
            PLAIN, batch_size=1, learning_rate=3e38, momentum=0.0, schedule=Schedule.CONSTANT
        )
        trainer = a_trainer(linear(), spec, vectors([5.0], [0]))
        trainer.model.array("fc.weight")[:] = 0
        error = r"the test loss after epoch 1 is nan: fc\.weight is the first"
        with pytest.raises(TrainingError, match=error):
            trainer.run()
        assert trainer.records == []

    def test_at_statistics_that_are_infinite(self):
        """An infinite variance normalizes all to 0: the test loss is finite all the same."""

        def break_statistics(_done):
            trainer.model.array("norm.variance")[:] = math.inf

        spec = replace(PLAIN, batch_size=70)
        trainer = a_trainer(FLOAT, spec, hooks=Hooks(progress=break_statistics))
        with pytest.raises(TrainingError, match=r"epoch 1 is nan: norm\.variance is the first"):
            trainer.run_epoch()


class TestRefusals:
    def test_a_training_set_smaller_than_a_batch(self):
        a_trainer(spec=replace(SPEC, batch_size=70))
        error = "the training set has 70 samples, a batch 71: give a batch size of 70 or less"
        with pytest.raises(DataError, match=error):
            a_trainer(spec=replace(SPEC, batch_size=71))

    def test_samples_of_another_shape(self):
        error = r"samples of stripes have shape \(6, 6, 1\), the network takes \(1,\): give a net"
        with pytest.raises(DataError, match=error):
            a_trainer(linear())

    def test_other_classes(self):
        error = r"vectors has 3 classes, the network puts out \(2,\): give a network with one"
        with pytest.raises(DataError, match=error):
            a_trainer(linear(), PLAIN, vectors([[1.0]] * 16, [0] * 16, n_classes=3))

    @pytest.mark.parametrize("has_teacher", [True, False])
    def test_a_distillation_without_teacher_and_the_reverse(self, has_teacher):
        teacher = Model(QUANTIZED, 0) if has_teacher else None
        spec = SPEC if has_teacher else replace(SPEC, distillation=DistillationSpec())
        with pytest.raises(SpecError, match="a distillation: give both"):
            a_trainer(spec=spec, teacher=teacher)

    @pytest.mark.parametrize(
        ("field", "bad", "good", "error"),
        [
            ("epochs", 0, 1, r"epochs must be in 1\.\.100000, got 0"),
            ("epochs", 100_001, 100_000, r"epochs must be in 1\.\.100000, got 100001"),
            ("batch_size", 0, 1, r"batch_size must be in 1\.\.65536, got 0"),
            ("batch_size", 65_537, 65_536, r"batch_size must be in 1\.\.65536, got 65537"),
            ("seed", -1, 0, r"seed must be in 0\.\.4294967295, got -1"),
            ("seed", 1 << 32, (1 << 32) - 1, r"seed must be in 0\.\.4294967295, got 4294967296"),
            ("learning_rate", 0.0, 1e-30, "learning_rate must be finite and above 0, got 0.0"),
            ("learning_rate", math.inf, 1.0, "learning_rate must be finite and above 0, got inf"),
            ("learning_rate", math.nan, 1.0, "learning_rate must be finite and above 0, got nan"),
            ("momentum", 1.0, 0.999, r"momentum must be 0 or more and below 1, got 1\.0"),
            ("momentum", -0.1, 0.0, r"momentum must be 0 or more and below 1, got -0\.1"),
            ("weight_decay", -1e-9, 0.0, "weight_decay must be finite and 0 or more, got -1e-09"),
            ("weight_decay", math.inf, 1.0, "weight_decay must be finite and 0 or more, got inf"),
        ],
    )
    def test_specifications(self, field, bad, good, error):
        assert getattr(replace(SPEC, **{field: good}), field) == good
        with pytest.raises(SpecError, match=error):
            replace(SPEC, **{field: bad})


@pytest.mark.parametrize("spec", [SPEC, replace(SPEC, distillation=DistillationSpec())])
def test_to_and_from_toml(spec):
    assert type(spec).from_toml(spec.to_toml()) == spec


class TestEvaluation:
    def test_counts_all_samples(self):
        """Also those after the last whole batch."""
        n = BATCH + 3
        data_set = vectors(np.linspace(-1, 1, n), (np.arange(n) > 100).astype(int))
        model = Model(linear(), 0)
        model.array("fc.weight")[:] = [[-1.0, 1.0]]
        found = evaluate(model, data_set, data_set.test)
        np.testing.assert_array_equal(found.predictions, data_set.test.values[:, 0] > 0)
        assert found.accuracy == pytest.approx(1 - 26 / n)
        logits = model.forward(data_set.test.values, Mode.EVALUATION).astype(np.float64)
        right = logits[np.arange(n), data_set.test.labels]
        expected = (np.log(np.exp(logits).sum(axis=1)) - right).mean()
        assert found.loss == pytest.approx(expected, rel=1e-6)

    def test_changes_nothing(self):
        trainer, data_set = a_trainer(), a_data_set()
        trainer.run()
        before = bits(trainer)
        evaluate(trainer.model, data_set, data_set.train)
        assert bits(trainer) == before
