"""Tests for lsqsim.report on trainings: tables and figure say what the records say."""

import io
import json
import re
import sys

import matplotlib as mpl
import pytest
from rich.console import Console

from lsqsim.errors import LsqsimError
from lsqsim.report.training import print_training, training_report
from lsqsim.report.training_figure import draw_training


def records(n=3, *, steps=True, measured=()):
    return [
        {
            "epoch": epoch,
            "learning_rate": 0.1,
            "loss": 1 / epoch,
            "train_accuracy": 0.5,
            "test_loss": 1.2 / epoch,
            "test_accuracy": 0.6,
            "seconds": 1.0,
            "step_sizes": {"act": [0.5 * epoch], "conv.weight": [0.25, 0.125]} if steps else {},
            "dead": [],
            "measured": {"integer_accuracy": 0.5} if epoch in measured else {},
        }
        for epoch in range(1, n + 1)
    ]


def svg(*arguments, title="digits, 4 bits", **options):
    """Text as text, to be read."""
    return draw_training(records(*arguments, **options), title, ".svg").decode()


def words(text):
    """What matplotlib writes beside each drawn text."""
    return set(re.findall(r"<!-- (.*?) -->", text))


def test_says_what_it_shows():
    shown = words(svg())
    assert {"digits, 4 bits", "Loss", "Right predictions (%)", "training set", "epoch"} <= shown
    assert {"act", "conv.weight"} <= shown
    assert any(word.startswith("Step sizes") for word in shown)
    assert "test set on the integers" not in shown


def test_a_float_network_has_no_step_sizes():
    assert not any(word.startswith("Step sizes") for word in words(svg(steps=False)))


def test_integers_where_they_were_measured():
    assert "test set on the integers" in words(svg(measured=(2, 3)))


def test_names_only_those_that_moved_the_most():
    many = records()
    for record in many:
        record["step_sizes"] = {f"q{i}": [1 + i * record["epoch"] / 10] for i in range(6)}
    shown = words(draw_training(many, "t", ".svg").decode())
    assert {f"q{i}" for i in range(6)} & shown == {"q3", "q4", "q5"}


@pytest.mark.parametrize("n", [1, 40, 41])
def test_any_number_of_epochs(n):
    assert svg(n).endswith("</svg>\n")


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_same_data_same_bytes(suffix):
    before = dict(mpl.rcParams)
    first, second = (draw_training(records(), "t", suffix) for _ in range(2))
    assert first == second
    assert b"dc:date" not in first
    assert dict(mpl.rcParams) == before


def test_needs_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(LsqsimError, match=r"needs matplotlib: pip install 'lsqsim\[plot\]'"):
        draw_training(records(), "t", ".svg")


INTEGERS = {
    "accuracy": 0.5125, "accuracy_without_loop": None, "n_agreeing": 79, "accumulator_bits": 12,
    "transient": 0, "persistent": 0, "outputs": 2000,
}  # fmt: skip


def a_report(epochs=None, **integers):
    return training_report(
        data={"name": "digits", "n_train": 200, "n_test": 80, "n_classes": 10},
        bits={"weights": 2, "activations": 3, "first_and_last": 8},
        records=epochs or records(),
        integers=INTEGERS | integers,
        float_accuracy=0.75,
        files=["out/network.npz"],
    )


def printed(report):
    file = io.StringIO()
    print_training(report, Console(file=file, width=80, highlight=False, markup=False))
    assert max(map(len, file.getvalue().splitlines())) <= 80
    return " ".join(file.getvalue().split())


class TestTables:
    def test_plain_values(self):
        report = a_report()
        assert json.loads(json.dumps(report, allow_nan=False)) == report
        assert report["epochs"] == 3
        assert report["seconds"] == 3.0
        assert report["quantized"] == {"loss": 1 / 3, "test_loss": 1.2 / 3, "test_accuracy": 0.6}
        assert report["step_sizes"]["act"] == {"first": [0.5], "last": [1.5]}

    def test_words(self):
        text = printed(a_report())
        assert "digits: 200 samples to train on, 80 to test, 10 classes" in text
        assert "weights 2, activations 3, first and last layer 8" in text
        assert "float 75.00 %" in text
        assert "quantized, as trained 60.00 %" in text
        assert "on the integers 51.25 %" in text
        assert "accumulator 12 bits overflows none" in text
        assert "same prediction as trained 79 of 80 samples" in text
        assert "act 0.5 1.5 conv.weight 0.125 .. 0.25 0.125 .. 0.25" in text
        assert "out/network.npz" in text
        assert "dead" not in text

    @pytest.mark.parametrize(
        ("found", "text"),
        [
            ({"transient": 20}, "overflows 1 % transient, 0 % persistent"),
            ({"persistent": 10}, "overflows 0 % transient, 0.5 % persistent"),
        ],
    )
    def test_overflows(self, found, text):
        assert text in printed(a_report(**found))

    def test_training_on_the_integers(self):
        assert "before training on them" not in printed(a_report())
        text = printed(a_report(accuracy_without_loop=0.125))
        assert "on the integers, before training on them 12.50 % on the integers 51.25 %" in text

    def test_dead_quantizers(self):
        epochs = records()
        epochs[-1]["dead"] = ["act", "other"]
        assert "dead act, other: all values clip" in printed(a_report(epochs))
