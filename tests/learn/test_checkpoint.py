"""Tests for lsqsim.learn.checkpoint: killed and resumed, the bits are those of a run in one go."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import small_trainings
from lsqsim.errors import DataError
from lsqsim.files import load_arrays
from lsqsim.learn.checkpoint import Checkpoint, data_digest, load_training, state_digest
from lsqsim.learn.loss import DistillationSpec
from lsqsim.learn.model import Model
from small_trainings import FLOAT, QUANTIZED, SPEC, a_data_set, a_trainer, bits

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint.npz"


def saved(path, epochs=1, more=None, **options):
    """A checkpoint of some epochs, and its training."""
    trainer = a_trainer(**options)
    checkpoint = Checkpoint(path, trainer, more)
    for _ in range(epochs):
        trainer.run_epoch()
    checkpoint.save()
    return trainer


def resume(path, more=None, **options):
    trainer = a_trainer(**options)
    assert Checkpoint(path, trainer, more).resume()
    return trainer


def run_program(path, *step, **environment):
    folders = [ROOT, ROOT / "kernels", ROOT / "tests"]
    return subprocess.run(
        [sys.executable, small_trainings.__file__, path, *map(str, step)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders))} | environment,
        timeout=120,
        check=False,
    ).returncode


def arrays_of(path):
    """All that decides how a training goes on."""
    found = load_arrays(path)
    return {n: a.tobytes() for n, a in found.items() if n.startswith(("state/", "momentum/"))}


class TestResume:
    def test_there_is_none(self, path):
        trainer = a_trainer()
        before = bits(trainer)
        assert not Checkpoint(path, trainer).resume()
        assert bits(trainer) == before

    @pytest.mark.parametrize("epochs", [1, 2, 3])
    def test_goes_on_to_the_same_bits(self, path, epochs):
        whole = a_trainer()
        whole.run()
        first = saved(path, epochs)
        resumed = resume(path)
        assert resumed.records == first.records
        resumed.run()
        assert bits(resumed) == bits(whole)
        assert len(resumed.records) == 3

    def test_momenta_are_part_of_it(self, path):
        """Without them, the bits would differ: the test above can fail."""
        saved(path)
        resumed, whole = resume(path), a_trainer()
        whole.run()
        resumed.optimizer.load_state({n: a * 0 for n, a in resumed.optimizer.state().items()})
        resumed.run()
        assert bits(resumed) != bits(whole)

    @pytest.mark.slow
    def test_after_kill_in_the_middle_of_an_epoch(self, path, tmp_path):
        """Step 6 is the second of epoch 2, of four."""
        whole = tmp_path / "whole.npz"
        assert run_program(whole) == 0
        assert run_program(path, 2, 6) == -signal.SIGKILL
        assert len(resume(path).records) == 1
        assert run_program(path, 3, 12) == -signal.SIGKILL
        assert len(resume(path).records) == 2
        assert run_program(path) == 0
        assert arrays_of(path) == arrays_of(whole)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.npz", "whole.npz"]

    @pytest.mark.slow
    def test_whatever_the_number_of_threads(self, tmp_path):
        found = []
        for n in "12":
            path = tmp_path / f"{n}.npz"
            assert run_program(path, OPENBLAS_NUM_THREADS=n, NUMBA_NUM_THREADS=n) == 0
            found.append(arrays_of(path))
        assert found[0] == found[1]


class TestOtherTrainings:
    @pytest.mark.parametrize(
        ("asked", "error"),
        [
            (
                {"spec": replace(SPEC, learning_rate=0.02)},
                (
                    r"checkpoint\.npz: is of another training: training\.learning_rate is 0\.05 "
                    r"there, and 0\.02 is asked for: give another --output, or --restart to begin"
                ),
            ),
            ({"spec": replace(SPEC, epochs=9)}, r"training\.epochs is 3 there, and 9 is asked"),
            (
                {"spec": replace(SPEC, augmentation=replace(SPEC.augmentation, crop_padding=2))},
                r"training\.augmentation\.crop_padding is 1 there, and 2 is asked",
            ),
            (
                {"graph": replace(QUANTIZED, nodes=(*QUANTIZED.nodes[:-1], FLOAT.nodes[-1]))},
                r"network\.nodes\[5\]\.weights\.format is 'int4' there, and none is asked",
            ),
            ({"data_set": a_data_set(seed=1)}, r"data set is '[0-9a-f]+' there, and '[0-9a-f]+'"),
            ({"seed": 4}, r"starting state is '[0-9a-f]{32}' there, and '[0-9a-f]{32}' is asked"),
            ({"more": {"hardware": "bits = 9"}}, r"hardware\.bits is none there, and 9 is asked"),
        ],
    )  # fmt: skip
    def test_are_refused(self, path, asked, error):
        saved(path)
        with pytest.raises(DataError, match=error):
            resume(path, **asked)

    def test_another_teacher(self, path):
        spec = replace(SPEC, distillation=DistillationSpec())
        saved(path, spec=spec, teacher=Model(FLOAT, 0))
        resume(path, spec=spec, teacher=Model(FLOAT, 0))
        error = "teacher is '[0-9a-f]{32}' there, and '[0-9a-f]{32}' is asked"
        with pytest.raises(DataError, match=error):
            resume(path, spec=spec, teacher=Model(FLOAT, 1))

    def test_more_that_decides_on_the_bits(self, path):
        saved(path, more={"hardware": "bits = 8"})
        resume(path, more={"hardware": "bits = 8"})
        for more, given in (({"hardware": "bits = 9"}, "9"), (None, "none")):
            error = rf"hardware\.bits is 8 there, and {given} is asked for"
            with pytest.raises(DataError, match=error):
                resume(path, more=more)


def change(path, name, value):
    """The file with one array in place of another, or without it."""
    arrays = load_arrays(path)
    arrays[name] = value
    np.savez(path, **{n: a for n, a in arrays.items() if a is not None})


class TestDamage:
    def test_truncated(self, path):
        saved(path)
        content = path.read_bytes()
        for length in (len(content) - 1, len(content) // 2, 5):
            path.write_bytes(content[:length])
            with pytest.raises(DataError, match=r"checkpoint\.npz: is damaged"):
                resume(path)

    def test_flipped_bits(self, path):
        saved(path)
        content = bytearray(path.read_bytes())
        content[content.index(b"conv.weight.npy") + 200] ^= 1
        path.write_bytes(content)
        with pytest.raises(DataError, match="is damaged"):
            resume(path)

    def test_empty(self, path):
        path.touch()
        with pytest.raises(DataError, match=r"checkpoint\.npz: is empty"):
            resume(path)

    @pytest.mark.parametrize(
        ("name", "value", "error"),
        [
            ("format", None, "is no checkpoint of a training, its format is missing: give anoth"),
            ("format", np.array(1), "its format is missing"),
            ("format", np.array("lsqsim training checkpoint 2"), "holds 'lsqsim .* 2', not 'lsq"),
            ("identity", np.array(["{}"]), "its identity is missing"),
            ("identity", np.array("{"), "is damaged: Expecting"),
            ("identity", np.array("[]"), "does not say which training it is of"),
            ("identity", np.array('{"data": 1}'), "does not say which training it is of"),
            ("records", np.array("["), "is damaged: its records: Expecting"),
            ("records", np.array("5"), "is damaged: its records: 'int' object is not iterable"),
            ("records", np.array("[{}]"), "its records: a record of an epoch has dead, epoch"),
            ("state/conv.weight", None, r"is damaged: conv\.weight is missing from the state"),
            ("state/conv.weight", np.zeros(2, np.float32), r"conv\.weight has shape \(2,\)"),
            ("state/conv.weight", np.zeros((3, 3, 1, 4)), "conv.weight holds no finite float32"),
            ("state/fc.bias", np.float32([1, np.nan]), r"fc\.bias holds no finite float32"),
            ("momentum/fc.bias", None, "momenta do not fit the network's parameters: fc.bias"),
            ("momentum/fc.bias", np.zeros(2), r"the momentum of fc\.bias must be float32"),
        ],
    )
    def test_takes_all_or_nothing(self, path, name, value, error):
        saved(path)
        change(path, name, value)
        trainer = a_trainer()
        before = bits(trainer)
        with pytest.raises(DataError, match=error):
            Checkpoint(path, trainer).resume()
        assert bits(trainer) == before
        assert trainer.records == []

    @pytest.mark.parametrize("epochs", [[2], [1, 1], [1, 2, 3, 4]])
    def test_epochs_that_are_not_a_training(self, path, epochs):
        trainer = saved(path)
        checkpoint = Checkpoint(path, trainer)
        trainer.records[:] = [replace(trainer.records[0], epoch=epoch) for epoch in epochs]
        checkpoint._identity = Checkpoint(path, a_trainer())._identity
        checkpoint.save()
        with pytest.raises(DataError, match=r"is damaged: its epochs are \["):
            resume(path)


class TestDigests:
    def test_data(self):
        one, two = a_data_set(), a_data_set()
        assert data_digest(one) == data_digest(replace(two, name="other"))
        for changes in ({"n_classes": 3}, {"offset": 1.0}, {"scale": 2.0}, {"test": one.train}):
            assert data_digest(replace(one, **changes)) != data_digest(one)
        two.test.labels[0] ^= 1
        assert data_digest(two) != data_digest(one)

    def test_state(self):
        state = {"a": np.zeros(2, np.float32), "b": np.zeros(1, np.float32)}
        assert state_digest(state) == state_digest(dict(reversed(state.items())))
        assert state_digest(state) != state_digest(state | {"a": np.zeros((2, 1), np.float32)})
        assert state_digest(state) != state_digest(state | {"a": np.zeros(1, np.float64)})
        assert state_digest(state) != state_digest({"a": state["a"], "c": state["b"]})


class TestLoading:
    @pytest.mark.parametrize("epochs", [1, 3])
    def test_a_checkpoint_by_itself(self, path, epochs):
        trainer = saved(path, epochs)
        loaded = load_training(path)
        assert loaded.spec == SPEC
        assert loaded.model.graph == QUANTIZED
        assert loaded.records == trainer.records
        assert loaded.is_complete == (epochs == 3)
        assert state_digest(loaded.model.state()) == state_digest(trainer.model.state())

    @pytest.mark.parametrize(
        ("name", "value", "error"),
        [
            ("identity", np.array("{}"), "is damaged: missing key input_shape"),
            ("format", None, "is no checkpoint of a training, its format is missing"),
            ("state/fc.bias", None, r"is damaged: fc\.bias is missing from the state"),
            ("state/fc.bias", np.float32([1, np.nan]), r"damaged: fc\.bias holds no finite"),
            ("records", np.array("[3]"), "is damaged: its records: a record of an epoch has"),
        ],
    )
    def test_refuses_others(self, path, name, value, error):
        saved(path)
        change(path, name, value)
        with pytest.raises(DataError, match=rf"checkpoint\.npz: .*{error}"):
            load_training(path)
