"""Tests that the examples run, and say what docs/overflow.md says of them."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from examples import accumulation_order, digits_widths, narrow_accumulator

ROOT = Path(__file__).parents[1]
GRADIENTS = (ROOT / "docs" / "gradients.md").read_text()
OVERFLOW = (ROOT / "docs" / "overflow.md").read_text()


@pytest.fixture(scope="module")
def neuron():
    return accumulation_order.run(seed=1)


@pytest.fixture(scope="module")
def rows():
    return list(digits_widths.rows())


class TestAccumulationOrder:
    """The order experiment, published as 64 % that fit; 9.5 %, 57 % and 0 % of them recovered."""

    def test_share_that_fits(self, neuron):
        assert neuron.fits == pytest.approx(0.64, abs=0.02)

    def test_wrapping_recovers_all_in_every_order(self, neuron):
        assert set(neuron.wrap.values()) == {1.0}

    def test_saturation_recovers_what_was_published(self, neuron):
        assert neuron.saturate["natural"] == pytest.approx(0.095, abs=0.02)
        assert neuron.saturate["reversed"] == pytest.approx(0.57, abs=0.02)

    @pytest.mark.parametrize("direction", ["ascending", "descending"])
    def test_sorted_by_weight_it_recovers_none(self, neuron, direction):
        assert neuron.saturate[f"sorted, {direction}"] == 0.0

    def test_an_order_found_from_the_weights_recovers_most(self, neuron):
        assert 0.9 < neuron.saturate["balanced"] < 1.0

    def test_other_neurons_differ_by_tens_of_percent(self):
        """Neither direction is the better one: the draw of the weights decides."""
        neurons = accumulation_order.run_many(16, n_inputs=100)
        for order in ("natural", "reversed"):
            low, _, high = accumulation_order.percentiles(neurons, order)
            assert high - low > 0.3, order
        better = [n.saturate["natural"] > n.saturate["reversed"] for n in neurons]
        assert 0 < sum(better) < len(neurons)

    def test_a_neuron_none_of_whose_totals_fit(self):
        """Weights this large leave a register of 17 bits for every one of a few inputs."""
        neuron = accumulation_order.run(seed=3, n_inputs=4, weight_deviation=60)
        assert neuron.fits == 0.0
        assert neuron.wrap["natural"] != neuron.wrap["natural"]

    @pytest.mark.parametrize("name", accumulation_order.ORDERS)
    def test_each_order_takes_every_product_once(self, name):
        weights = np.array([3, -5, 0, 2, -1, 7])
        order = accumulation_order.ORDERS[name](weights)
        assert not isinstance(order, tuple) or sorted(order) == list(range(6))


class TestDigitsWidths:
    def test_exact_widths_are_between_observed_and_bounds(self, rows):
        for row in rows:
            data_type, l1, _, exact, totals, prefixes = map(int, row[3:])
            assert totals <= prefixes <= exact <= min(l1, data_type), row

    def test_table_of_the_document(self, rows):
        """Generated; other processors may end training a little differently, hence by 1 bit."""
        lines = _generated("python examples/digits_widths.py").splitlines()
        committed = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        assert committed[0] == list(digits_widths.COLUMNS)
        assert len(committed) == 2 + len(rows)
        for written, found in zip(committed[2:], rows, strict=True):
            assert written[:3] == found[:3]
            pairs = zip(written[3:], found[3:], strict=True)
            assert all(abs(int(a) - int(b)) <= 1 for a, b in pairs), (written, found)


class TestNarrowAccumulator:
    """What hardware in the loop brings back; shorter trainings than the script's."""

    def test_the_loop_recovers_most(self):
        trained = narrow_accumulator.train(0, float_epochs=12, epochs=6)
        assert trained.accuracy > 0.9
        assert min(trained.certified_bits.values()) > max(narrow_accumulator.RATES)
        found = narrow_accumulator.survive(trained, 9, 0, epochs=5)
        assert found.before < trained.accuracy
        assert found.after > found.before

    def test_table_of_the_document(self):
        pattern = r"<!-- python examples/narrow_accumulator.py -->\n(.*?)\n<!-- end -->"
        [text] = re.findall(pattern, GRADIENTS, re.DOTALL)
        head, _, *rows = [
            [c.strip() for c in line.strip("|").split("|")] for line in text.split("\n")
        ]
        assert head == list(narrow_accumulator.COLUMNS)
        for row in rows:
            wide, before, after = (float(row[i].rstrip("%")) for i in (2, 4, 5))
            assert before < after - 5 < wide


def test_order_table_of_the_document(neuron):
    """The neuron's figures, which depend on nothing but NumPy's generator."""
    text = _generated("python examples/accumulation_order.py")
    for name in accumulation_order.ORDERS:
        figures = rf"{name} +{neuron.wrap[name]:.1%} +{neuron.saturate[name]:.1%} "
        assert re.search(figures, text), name


@pytest.mark.parametrize(
    "name", ["accumulation_order.py", "digits_widths.py", "narrow_accumulator.py"]
)
def test_runs_as_a_script(name):
    shown = subprocess.run(
        [sys.executable, ROOT / "examples" / name, "--help"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "--seed" in shown


def _generated(command: str) -> str:
    """What stands between the markers of ``command``."""
    pattern = rf"<!-- {re.escape(command)} -->\n(.*?)\n<!-- end -->"
    [text] = re.findall(pattern, OVERFLOW, re.DOTALL)
    return text.strip("`\n")
