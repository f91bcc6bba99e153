"""Tests for lsqsim train: what it writes and prints, that it goes on, and what it refuses."""

import csv
import json
import os
import pty
import re
import signal
import sys
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from command_line import call, finish, start
from lsqsim.commands import training
from lsqsim.coupling.evaluation import run_on_integers
from lsqsim.coupling.hardware import HardwareSpec
from lsqsim.data_sets import load_data_set
from lsqsim.files import load_arrays
from lsqsim.formats import Overflow
from lsqsim.learn import rule
from lsqsim.learn.checkpoint import Checkpoint, load_training
from lsqsim.learn.graph import BatchNormNode, GraphSpec, LinearNode
from lsqsim.network.network_file import load_network
from lsqsim.specs import AccumulatorSpec, StageSpec
from small_trainings import FLOAT, a_data_set

QUICK = ("--float-epochs", 3, "--epochs", 2, "--batch-size", 8, "--learning-rate", 0.05)
FILES = ["checkpoint.npz", "float", "log.csv", "log.jsonl", "network.npz", "training.svg"]
SIXTEEN = HardwareSpec(accumulator=AccumulatorSpec(stages=(StageSpec(bits=16),)))


@pytest.fixture
def run(capsys):
    return partial(call, capsys, "train")


@pytest.fixture
def data(tmp_path):
    """Striped images of two classes."""
    made = a_data_set()
    arrays = {"offset": made.offset, "scale": made.scale, "n_classes": 2}
    for part in ("train", "test"):
        samples = getattr(made, part)
        arrays |= {f"{part}_values": samples.values, f"{part}_labels": samples.labels}
    np.savez(tmp_path / "stripes.npz", **arrays)
    return tmp_path / "stripes.npz"


@pytest.fixture
def network(tmp_path):
    """A small convolutional network as TOML."""
    path = tmp_path / "net.toml"
    path.write_text(FLOAT.to_toml())
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def state_of(path):
    return {n: a.tobytes() for n, a in load_arrays(path).items() if "/" in n}


def policy_of(folder):
    return load_training(folder / "checkpoint.npz").model.graph


class TestRuns:
    def test_files_and_report(self, run, data, tmp_path):
        outcome = run(data, "--output", tmp_path / "out", *QUICK, "--bits", 3)
        assert (outcome.code, outcome.err) == (0, "")
        assert names(tmp_path / "out") == FILES
        assert names(tmp_path / "out" / "float") == ["checkpoint.npz", "log.csv", "log.jsonl"]
        text = " ".join(outcome.out.split())
        assert "stripes: 70 samples to train on, 20 to test, 2 classes" in text
        assert "weights 3, activations 3, first and last layer 8" in text
        assert "overflows none" in text
        assert "same prediction as trained 20 of 20 samples" in text
        assert "quantizer after epoch 1 after epoch 2" in text

    def test_json_says_what_the_files_say(self, run, data, tmp_path):
        out = tmp_path / "out"
        outcome = run(data, "--output", out, *QUICK, "--json", "--integers-every", 1)
        report = json.loads(outcome.out)
        rows = list(csv.DictReader((out / "log.csv").read_text().splitlines()))
        assert [row["epoch"] for row in rows] == ["1", "2"]
        last = report["quantized"]["test_accuracy"]
        assert float(rows[-1]["test_accuracy"]) == last
        integers = report["integers"]
        assert float(rows[-1]["measured.integer_accuracy"]) == integers["accuracy"]
        assert integers["n_agreeing"] == 20 * float(rows[-1]["measured.agreement"])
        assert report["bits"] == {"weights": 4, "activations": 4, "first_and_last": 8}
        assert report["files"] == [str(out / name) for name in FILES if name != "float"]
        float_rows = list(csv.DictReader((out / "float" / "log.csv").read_text().splitlines()))
        assert float(float_rows[-1]["test_accuracy"]) == report["float"]["test_accuracy"]

    def test_the_network_file_is_the_network(self, run, data, tmp_path):
        report = json.loads(run(data, "--output", tmp_path / "out", *QUICK, "--json").out)
        made = load_data_set(data)
        found = run_on_integers(load_network(tmp_path / "out" / "network.npz"), made, made.test)
        assert found.accuracy == report["integers"]["accuracy"]

    def test_its_own_network(self, run, data, network, tmp_path):
        out = tmp_path / "out"
        assert run(data, "--output", out, *QUICK, "--network", network).code == 0
        assert load_training(out / "float" / "checkpoint.npz").model.graph == FLOAT
        assert list(load_network(out / "network.npz").layers) == ["conv", "fc"]

    def test_a_narrow_accumulator_overflows(self, run, data, tmp_path):
        outcome = run(
            data, "--output", tmp_path / "out", *QUICK, "--acc-bits", 8, "--overflow", "saturate"
        )
        assert "accumulator 8 bits" in " ".join(outcome.out.split())
        assert "persistent" in outcome.out

    def test_hardware_from_a_file(self, run, data, tmp_path):
        (tmp_path / "hardware.toml").write_text(SIXTEEN.to_toml())
        outcome = run(
            data, "--output", tmp_path / "out", *QUICK, "--hardware", tmp_path / "hardware.toml"
        )
        assert "accumulator 16 bits" in " ".join(outcome.out.split())

    def test_integers_after_every_second_epoch(self, run, data, tmp_path):
        options = ("--float-epochs", 1, "--epochs", 4, "--batch-size", 8, "--integers-every", 2)
        assert run(data, "--output", tmp_path / "out", *options).code == 0
        rows = csv.DictReader((tmp_path / "out" / "log.csv").read_text().splitlines())
        assert [bool(row["measured.integer_accuracy"]) for row in rows] == [False, True] * 2

    def test_counts_and_progress_are_of_all_samples(self, run, data, tmp_path, monkeypatch):
        run(data, "--output", tmp_path / "out", *QUICK, "--acc-bits", 8)
        network, made = load_network(tmp_path / "out" / "network.npz"), load_data_set(data)
        whole = run_on_integers(network, made, made.test)
        monkeypatch.setattr("lsqsim.coupling.evaluation.BATCH", 7)
        told = []
        parts = run_on_integers(network, made, made.test, lambda *done: told.append(done))
        assert parts.overflow == whole.overflow
        assert parts.overflow.persistent > 0
        assert (parts.predictions == whole.predictions).all()
        assert told == [(7, 20), (14, 20), (20, 20)]


class TestHardwareInTheLoop:
    OPTIONS = (*QUICK, "--hardware-in-the-loop", "--overflow", "saturate", "--json")

    def test_trains_on_after_the_ordinary_training(self, run, data, network, tmp_path):
        out, options = tmp_path / "out", ("--network", network, "--acc-bits", 10)
        outcome = run(data, "--output", out, *options, *self.OPTIONS)
        assert (outcome.code, outcome.err) == (0, "")
        assert names(out) == sorted([*FILES, "ordinary"])
        report = json.loads(outcome.out)
        ordinary = tmp_path / "ordinary"
        outcome = run(
            data, "--output", ordinary, *QUICK, *options, "--overflow", "saturate", "--json"
        )
        without = json.loads(outcome.out)
        assert state_of(ordinary / "checkpoint.npz") == state_of(out / "ordinary/checkpoint.npz")
        assert report["integers"]["accuracy_without_loop"] == without["integers"]["accuracy"]
        assert without["integers"]["accuracy_without_loop"] is None
        before, after = (load_arrays(path / "checkpoint.npz") for path in (out / "ordinary", out))
        for part in ("mean", "variance"):  # frozen
            assert (before[f"state/norm.{part}"] == after[f"state/norm.{part}"]).all()
        assert (before["state/conv.weight"] != after["state/conv.weight"]).any()

    def test_the_hardware_decides_on_the_bits(self, run, data, tmp_path):
        out = tmp_path / "out"
        assert run(data, "--output", out, "--acc-bits", 10, *self.OPTIONS).code == 0
        wide = tmp_path / "wide"
        assert run(data, "--output", wide, "--acc-bits", 30, *self.OPTIONS).code == 0
        assert state_of(out / "ordinary/checkpoint.npz") == state_of(
            wide / "ordinary/checkpoint.npz"
        )
        assert state_of(out / "checkpoint.npz") != state_of(wide / "checkpoint.npz")
        outcome = run(data, "--output", out, "--acc-bits", 11, *self.OPTIONS)
        error = r"hardware in the loop\.accumulator\.stages\[0\]\.bits is 10 there, and 11 is asked"
        assert outcome.code == 2
        assert re.search(error, outcome.err)

    def test_interrupted_in_the_loop_with_the_same_bits(self, run, data, tmp_path, monkeypatch):
        options = ("--acc-bits", 10, *self.OPTIONS)
        whole, out = tmp_path / "whole", tmp_path / "out"
        assert run(data, "--output", whole, *options).code == 0
        run_epoch, done = training.Trainer.run_epoch, []

        def interrupted(trainer):
            done.append(trainer)
            if len(done) == 3 + 2 + 2:
                raise KeyboardInterrupt
            return run_epoch(trainer)

        with monkeypatch.context() as patch:
            patch.setattr("lsqsim.learn.training.Trainer.run_epoch", interrupted)
            assert run(data, "--output", out, *options).code == 130
        assert run(data, "--output", out, *options).code == 0
        assert state_of(out / "checkpoint.npz") == state_of(whole / "checkpoint.npz")


class TestOptions:
    """What each option becomes."""

    def arguments(self, monkeypatch, run, *options):
        found = []
        monkeypatch.setattr("lsqsim.commands.train", lambda a, as_json: found.append((a, as_json)))
        outcome = run("digits", "--output", "out", *options)
        assert outcome.code == 0, outcome.err
        return found[0][0]

    def test_defaults(self, monkeypatch, run):
        found = self.arguments(monkeypatch, run)
        assert found.rule == rule.StepRule()
        assert (found.weight_bits, found.activation_bits) == (4, 4)
        assert found.accelerator.spec() == HardwareSpec(
            accumulator=AccumulatorSpec(stages=(StageSpec(bits=32),))
        )
        spec = found.recipe.quantized_spec(4, 4)
        assert (spec.epochs, spec.batch_size, spec.learning_rate) == (30, 128, 0.01)
        assert spec.weight_decay == 1e-4
        assert spec.distillation is None

    @pytest.mark.parametrize(
        ("bits", "rate", "decay"),
        [((8, 8), 0.001, 1e-4), ((3, 8), 0.01, 0.5e-4), ((8, 3), 0.01, 1e-4),
         ((2, 2), 0.01, 0.25e-4), ((7, 7), 0.01, 1e-4)],
    )  # fmt: skip
    def test_recipes_of_precisions(self, monkeypatch, run, bits, rate, decay):
        spec = self.arguments(monkeypatch, run).recipe.quantized_spec(*bits)
        assert (spec.learning_rate, spec.weight_decay) == (rate, decay)

    def test_recipe(self, monkeypatch, run):
        found = self.arguments(
            monkeypatch, run, *QUICK, "--seed", 5, "--crop", 2, "--flip", "--distill",
            "--float-learning-rate", 0.5,
        )  # fmt: skip
        spec, float_spec = found.recipe.quantized_spec(4, 4), found.recipe.float_spec()
        assert (spec.epochs, spec.batch_size, spec.learning_rate, spec.seed) == (2, 8, 0.05, 5)
        assert (float_spec.epochs, float_spec.learning_rate, float_spec.seed) == (3, 0.5, 5)
        assert spec.augmentation == float_spec.augmentation
        assert (spec.augmentation.crop_padding, str(spec.augmentation.flip)) == (2, "horizontal")
        assert spec.distillation is not None
        assert float_spec.distillation is None

    def test_rule(self, monkeypatch, run):
        found = self.arguments(
            monkeypatch, run, "--edge-mask", "strict", "--feature-count", "batch",
            "--level-count", "levels", "--grad-scale", "none", "--grad-factor", 0.5,
            "--step-start", "largest", "--positivity", "halve", "--step-learning", "fixed",
            "--method", "tqt",
        )  # fmt: skip
        assert found.rule == rule.StepRule(
            method=rule.Method.TQT, edge_mask=rule.EdgeMask.STRICT,
            feature_count=rule.FeatureCount.BATCH, level_count=rule.LevelCount.LEVELS,
            grad_scale=rule.GradScale.NONE, grad_factor=0.5, start=rule.StepStart.LARGEST,
            positivity=rule.Positivity.HALVE, learning=rule.Learning.FIXED,
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("method", "weights"),
        [("lsq", "lsq"), ("lsq_plus", "lsq"), ("pact", "lsq"), ("tqt", "tqt")],
    )
    def test_weights_have_a_method_of_weights(self, monkeypatch, run, method, weights):
        found = self.arguments(monkeypatch, run, "--method", method, "--per-channel")
        policy = found.policy(a_data_set())
        assert str(policy.weight_rule.method) == weights
        assert str(policy.activation_rule.method) == method
        assert policy.weight_rule.granularity is rule.Granularity.PER_CHANNEL
        assert policy.activation_rule.granularity is rule.Granularity.PER_TENSOR

    @pytest.mark.parametrize(("offset", "sign"), [(0.0, "unsigned"), (1.0, "signed")])
    def test_the_data_say_whether_inputs_have_a_sign(self, monkeypatch, run, offset, sign):
        found = self.arguments(monkeypatch, run)
        made = a_data_set()
        made.train.values[0] = 0
        assert str(found.policy(replace(made, offset=offset)).input_sign) == sign

    def test_widths_apart(self, monkeypatch, run):
        found = self.arguments(monkeypatch, run, "--weight-bits", 2)
        assert (found.weight_bits, found.activation_bits) == (2, 4)

    def test_hardware_of_widths(self, monkeypatch, run):
        found = self.arguments(monkeypatch, run, "--acc-bits", 12, "--overflow", "saturate")
        stage = StageSpec(bits=12, overflow=Overflow.SATURATE)
        assert found.accelerator.spec().accumulator.stages == (stage,)

    def test_help_lists_the_names(self, run):
        text = run("--help").out
        assert "[lsq|lsq_plus|pact|tqt]" in text
        assert "[refuse|halve|logarithm]" in text


class TestGoesOn:
    def test_a_second_call_trains_nothing(self, run, data, tmp_path, monkeypatch):
        first = run(data, "--output", tmp_path / "out", *QUICK, "--json")
        before = state_of(tmp_path / "out" / "checkpoint.npz")
        monkeypatch.setattr("lsqsim.learn.training.Trainer.run_epoch", None)
        second = run(data, "--output", tmp_path / "out", *QUICK, "--json")
        assert second.code == 0
        assert second.out == first.out
        assert state_of(tmp_path / "out" / "checkpoint.npz") == before

    @pytest.mark.parametrize("at", [2, 4])
    def test_after_an_interrupt_with_the_same_bits(self, run, data, tmp_path, monkeypatch, at):
        """In the second float epoch, or in the first with quantizers: 3 + 1."""
        run(data, "--output", tmp_path / "whole", *QUICK)
        run_epoch, done = training.Trainer.run_epoch, []

        def interrupted(trainer):
            done.append(trainer)
            if len(done) == at:
                raise KeyboardInterrupt
            return run_epoch(trainer)

        with monkeypatch.context() as patch:
            patch.setattr("lsqsim.learn.training.Trainer.run_epoch", interrupted)
            outcome = run(data, "--output", tmp_path / "out", *QUICK)
        assert (outcome.code, outcome.out, outcome.err) == (130, "", "lsqsim: interrupted\n")
        assert run(data, "--output", tmp_path / "out", *QUICK).code == 0
        for name in ("checkpoint.npz", "float/checkpoint.npz"):
            assert state_of(tmp_path / "out" / name) == state_of(tmp_path / "whole" / name)
        integers = [load_arrays(tmp_path / name / "network.npz") for name in ("out", "whole")]
        assert all((integers[0][name] == array).all() for name, array in integers[1].items())

    def test_other_options_are_refused_and_restart_begins_anew(self, run, data, tmp_path):
        out = tmp_path / "out"
        assert run(data, "--output", out, *QUICK).code == 0
        before = state_of(out / "checkpoint.npz")
        outcome = run(data, "--output", out, *QUICK, "--bits", 2)
        assert outcome.code == 2
        assert re.search(
            r"out/checkpoint\.npz: is of another training: network\.\S+ is .* there, and .* is "
            r"asked for: give another --output, or --restart to begin anew\n$",
            outcome.err,
        )
        assert state_of(out / "checkpoint.npz") == before
        assert run(data, "--output", out, *QUICK, "--bits", 2, "--restart").code == 0
        assert state_of(out / "checkpoint.npz") != before

    def test_what_a_killed_process_left_half_written_is_removed(self, run, data, tmp_path):
        for folder in (tmp_path / "out", tmp_path / "out" / "float"):
            folder.mkdir()
            (folder / ".lsqsim-0123456789abcdef.part").touch()
        assert run(data, "--output", tmp_path / "out", *QUICK).code == 0
        assert names(tmp_path / "out") == FILES
        assert len(names(tmp_path / "out" / "float")) == 3

    def test_the_float_network_of_another_call(self, run, data, tmp_path):
        """The same bits as if it had been trained anew."""
        run(data, "--output", tmp_path / "one", *QUICK, "--bits", 2)
        options = ("--float-from", tmp_path / "one", *QUICK[2:], "--bits", 2)
        outcome = run(data, "--output", tmp_path / "two", *options)
        assert outcome.code == 0, outcome.err
        assert names(tmp_path / "two") == [name for name in FILES if name != "float"]
        one, two = (state_of(tmp_path / name / "checkpoint.npz") for name in ("one", "two"))
        assert one == two


class TestRefusals:
    def refused(self, outcome, error):
        assert outcome.code == 2
        assert outcome.out == ""
        assert re.search(error, outcome.err)
        assert outcome.err.startswith("lsqsim: error: ")
        assert outcome.err.count("\n") == 1

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            (("--bits", 4, "--weight-bits", 2),
             "--bits states both widths: leave out --weight-bits, or it"),
            (("--hardware", "h.toml", "--acc-bits", 8, "--overflow", "wrap"),
             "--hardware states the whole accelerator: leave out --acc-bits, --overflow, or it"),
            (("--float-from", "x", "--network", "perceptron", "--float-epochs", 3),
             "--float-from takes a float network that is trained: leave out --network, --float-ep"),
            (("--method", "lsd"), "'lsd' is not one of lsq, lsq_plus, pact, tqt"),
            (("--bits", 17), r"17 is not in the range 1<=x<=16"),
            (("--learning-rate", 0), "0.0 is not in the range x>0"),
            (("--learning-rate", "nan"), "learning_rate must be finite and above 0, got nan"),
            (("--epochs", 0), "0 is not in the range x>=1"),
            (("--batch-size", 71), "the training set has 70 samples, a batch 71: give a batch"),
            (("--network", "resnet"), "there is no network 'resnet'; named ones are perceptron, "),
            (("--network", "none.toml"), r"none\.toml: can't be read: No such file"),
            (("--network", "bad.toml"), r"bad\.toml: unknown key nodez; legal keys are"),
            (("--network", "words.toml"), r"words\.toml: malformed TOML"),
            (("--network", "latin.toml"), r"latin\.toml: malformed TOML: 'utf-8'"),
            (("--network", "other.toml"), r"samples of stripes have shape \(6, 6, 1\), the netw"),
            (("--hardware", "bad.toml"), r"bad\.toml: unknown key nodez"),
            (("--output", "stripes.npz"), r"stripes\.npz: can't be made: File exists"),
            (("--crop", 300), r"crop_padding must be in 0\.\.256, got 300"),
        ],
    )  # fmt: skip
    def test_options(self, run, data, tmp_path, monkeypatch, options, error):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "bad.toml").write_text("nodez = 1")
        (tmp_path / "words.toml").write_text("a b")
        (tmp_path / "latin.toml").write_bytes(b"a = '\xe9'")
        other = GraphSpec(
            input_shape=(3,), nodes=(LinearNode(name="fc", source="input", features=2),)
        )
        (tmp_path / "other.toml").write_text(other.to_toml())
        before = names(tmp_path)
        self.refused(run(data, "--output", "out", *QUICK, *options), error)
        assert names(tmp_path) == before

    @pytest.mark.parametrize("content", [None, "train_values"])
    def test_data(self, run, tmp_path, content):
        if content is not None:
            np.savez(tmp_path / "d.npz", train_values=np.zeros((2, 3)))
        error = r"d\.npz: (there is no such file|lacks the arrays train_labels)"
        self.refused(run(tmp_path / "d.npz", "--output", tmp_path / "out"), error)

    def test_an_empty_data_set(self, run, tmp_path):
        empty, none = np.zeros((0, 3), np.float32), np.zeros(0, np.int64)
        np.savez(
            tmp_path / "d.npz", train_values=empty, train_labels=none, test_values=empty,
            test_labels=none, n_classes=2,
        )  # fmt: skip
        outcome = run(tmp_path / "d.npz", "--output", tmp_path / "out")
        self.refused(outcome, r"d\.npz: .*the train set is empty")

    def test_no_output(self, run, data):
        self.refused(run(data), "Missing option '--output'")

    def test_what_can_not_be_folded_is_refused_before_training(self, run, data, tmp_path):
        """Codes that are normalized have no layer to fold that into; nothing is left behind."""
        norm = BatchNormNode(name="first", source="input")
        nodes = (norm, replace(FLOAT.nodes[0], source="first"), *FLOAT.nodes[1:])
        path = tmp_path / "net.toml"
        path.write_text(replace(FLOAT, nodes=nodes).to_toml())
        outcome = run(data, "--output", tmp_path / "out", *QUICK, "--network", path)
        self.refused(outcome, "first: a batch normalization folds into a layer directly before it")
        assert not (tmp_path / "out").exists()

    def test_a_damaged_checkpoint(self, run, data, tmp_path):
        out = tmp_path / "out"
        run(data, "--output", out, *QUICK)
        content = (out / "checkpoint.npz").read_bytes()
        (out / "checkpoint.npz").write_bytes(content[: len(content) // 2])
        self.refused(run(data, "--output", out, *QUICK), r"out/checkpoint\.npz: is damaged")
        assert run(data, "--output", out, *QUICK, "--restart").code == 0

    def test_a_folder_without_float_network(self, run, data, tmp_path):
        outcome = run(data, "--output", tmp_path / "two", *QUICK[2:], "--float-from", tmp_path)
        self.refused(outcome, "holds no float network: give the --output of an earlier lsqsim tr")

    def test_float_networks_that_are_none(self, run, data, tmp_path):
        out = tmp_path / "out"
        run(data, "--output", out, *QUICK)
        (out / "float" / "checkpoint.npz").write_bytes((out / "checkpoint.npz").read_bytes())
        outcome = run(data, "--output", tmp_path / "two", *QUICK[2:], "--float-from", out)
        self.refused(outcome, r"float/checkpoint\.npz: is of a network that is quantized already")

    def test_float_networks_that_are_not_finished(self, run, data, tmp_path, monkeypatch):
        out, save = tmp_path / "out", Checkpoint.save

        def interrupted(checkpoint):
            save(checkpoint)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Checkpoint, "save", interrupted)
            assert run(data, "--output", out, *QUICK).code == 130
        outcome = run(data, "--output", tmp_path / "two", *QUICK[2:], "--float-from", out)
        self.refused(outcome, "its training ended after 1 of 3 epochs: run that lsqsim train aga")

    def test_a_loss_that_is_not_finite_keeps_what_is_saved(self, run, data, network, tmp_path):
        out = tmp_path / "out"
        options = ("--float-learning-rate", 1e30, "--float-epochs", 2, "--batch-size", 8)
        outcome = run(data, "--output", out, "--network", network, *options)
        error = (
            "the loss of step 2 of epoch 1 is nan: .* is the first that is not finite: lower the "
        )
        self.refused(outcome, rf"{error}learning rate, 1e\+30 \(nothing was saved yet\)")
        assert names(out) == ["float"]
        assert names(out / "float") == []


class TestEnds:
    def test_without_matplotlib(self, run, data, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        outcome = run(data, "--output", tmp_path / "out", *QUICK)
        assert outcome.code == 0
        assert outcome.err == (
            "lsqsim: warning: there is no training.svg: the figure needs matplotlib: pip install "
            "'lsqsim[plot]'\n"
        )
        assert names(tmp_path / "out") == FILES[:-1]

    def test_a_dead_quantizer_is_one_line(self, run, tmp_path):
        """All inputs are 0: no code but 0 enters."""
        rng = np.random.default_rng(0)
        values, labels = np.zeros((20, 3), np.float32), rng.integers(0, 2, 20)
        np.savez(
            tmp_path / "d.npz", train_values=values, train_labels=labels, test_values=values,
            test_labels=labels, n_classes=2,
        )  # fmt: skip
        outcome = run(tmp_path / "d.npz", "--output", tmp_path / "out", *QUICK)
        assert outcome.code == 0
        lines = [line for line in outcome.err.splitlines() if "input_codes" in line]
        assert len(lines) == 1
        assert lines[0].startswith("lsqsim: warning: input_codes clips all values: nothing can")
        assert "input_codes" in re.search(r"dead +(.*)", outcome.out)[1]


@pytest.mark.slow
class TestProcess:
    OPTIONS = ("--float-epochs", 100_000, "--batch-size", 8)

    def test_progress_on_a_terminal_and_an_interrupt(self, data, tmp_path):
        leader, follower = pty.openpty()
        process = start("train", data, "--output", tmp_path / "out", *self.OPTIONS, stderr=follower)
        os.close(follower)
        shown = bytearray()
        while not re.search(rb"float: epoch \d+/100000, loss \d", shown):
            shown.extend(os.read(leader, 4096))
        process.send_signal(signal.SIGINT)
        try:
            while chunk := os.read(leader, 4096):
                shown.extend(chunk)
        except OSError:
            pass  # the terminal's other end is closed
        assert finish(process).code == 130
        assert b"interrupted" in shown
        assert b"Traceback" not in shown

    def test_killed_and_resumed(self, data, tmp_path):
        options = ("--float-epochs", 150, "--epochs", 3, "--batch-size", 8)
        for name in ("whole", "out"):
            process = start("train", data, "--output", tmp_path / name, *options)
            if name == "out":
                log = tmp_path / "out" / "float" / "log.csv"
                while not log.exists():
                    time.sleep(0.01)
                process.kill()
                assert finish(process).code == -signal.SIGKILL
                process = start("train", data, "--output", tmp_path / name, *options)
            assert finish(process, timeout=200).code == 0
        for name in ("checkpoint.npz", "float/checkpoint.npz"):
            assert state_of(tmp_path / "out" / name) == state_of(tmp_path / "whole" / name)
