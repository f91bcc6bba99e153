"""Tests for `lsqsim simulate` and `describe` of a network file: reports, files, each bad input."""

import json
from functools import partial

import numpy as np
import pytest

from command_line import call, write_layer
from lsqsim.compare import compare
from lsqsim.network.comparison import compare_network
from lsqsim.network.network import Keep
from lsqsim.network.network_file import save_network
from lsqsim.report import network_report, simulation_report
from networks import every_kind, inputs


@pytest.fixture
def run(capsys):
    return partial(call, capsys)


@pytest.fixture
def network():
    return every_kind()


@pytest.fixture
def folder(tmp_path, network):
    """A folder with ``net.npz``, ``x.npy`` and ``q.npy``: a network, its inputs, their codes."""
    save_network(tmp_path / "net.npz", network)
    x = inputs(network, 3)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "q.npy", network.input_codes(x).codes)
    return tmp_path


def of_all(network, folder):
    x = np.load(folder / "x.npy")
    return network.run(x, keep=Keep.ALL, observe=True), x


class TestWhole:
    def test_the_report(self, run, folder, network):
        result, x = of_all(network, folder)
        outcome = run("simulate", folder / "net.npz", folder / "x.npy", "--json")
        assert (outcome.code, outcome.err) == (0, "")
        report = json.loads(outcome.out)
        assert report == network_report(network, compare_network(network, result, x), 3)
        assert report["input"] == {
            "shape": [5, 6, 2], "format": "int8", "step_size": 0.25, "zero_point": -7,
        }  # fmt: skip
        assert [node["name"] for node in report["nodes"]] == list(network.nodes)
        add = report["nodes"][3]
        assert add["sources"] == ["branch", "conv"]
        assert add["fold"]["held"] == [{"multiplier": [16384, 16384], "shift": [14, 14]}]
        assert add["comparison"]["overflow"] == {"transient": 0, "persistent": 0}
        assert report["nodes"][4]["fold"] is None

    def test_tables(self, run, folder):
        out = run("simulate", folder / "net.npz", folder / "x.npy").out
        assert all(len(line) <= 80 for line in out.splitlines())
        for words in ("samples   3", "Nodes", "Folding (largest of all channels)",
                      "Against the float reference", "overflows"):  # fmt: skip
            assert words in out

    def test_output_and_trace(self, run, folder, network):
        result, _ = of_all(network, folder)
        files = ("--output", folder / "y.npy", "--trace", folder / "t.npz")
        assert run("simulate", folder / "net.npz", folder / "x.npy", *files).code == 0
        assert (np.load(folder / "y.npy") == result.output.codes).all()
        with np.load(folder / "t.npz") as trace:
            assert trace.files == ["input", *network.nodes]
            for name in network.nodes:
                assert (trace[name] == result.codes(name).codes).all()

    def test_codes(self, run, folder, network):
        result, _ = of_all(network, folder)
        arguments = (folder / "net.npz", folder / "q.npy", "--codes", "--output", folder / "y.npy")
        assert run("simulate", *arguments).code == 0
        assert (np.load(folder / "y.npy") == result.output.codes).all()


class TestOneNode:
    def test_a_layer(self, run, folder, network):
        result, _ = of_all(network, folder)
        files = ("--output", folder / "y.npy", "--trace", folder / "t.npz")
        outcome = run(
            "simulate", folder / "net.npz", folder / "x.npy", "--node", "branch", "--by-channel",
            "--json", *files,
        )  # fmt: skip
        unit = network.nodes["branch"].unit
        alone = unit.run(result.codes("narrow"), trace=True)
        expected = simulation_report(unit, alone, compare(unit, alone), by_channel=True)
        assert json.loads(outcome.out) == expected
        assert (np.load(folder / "y.npy") == result.codes("branch").codes).all()
        with np.load(folder / "t.npz") as trace:
            assert (trace["accumulator"] == result.results["branch"].accumulators).all()
        assert (
            "Overflow" in run("simulate", folder / "net.npz", folder / "x.npy", "--node", "fc").out
        )

    def test_another_node(self, run, folder, network):
        result, _ = of_all(network, folder)
        arguments = ("--node", "mean", "--json", "--output", folder / "y.npy")
        outcome = run("simulate", folder / "net.npz", folder / "x.npy", *arguments)
        assert [node["name"] for node in json.loads(outcome.out)["nodes"]] == ["mean"]
        assert (np.load(folder / "y.npy") == result.codes("mean").codes).all()


class TestDescribe:
    def test_json(self, run, folder, network):
        report = json.loads(run("describe", folder / "net.npz", "--json").out)
        assert report == network_report(network)
        assert "comparison" not in report["nodes"][0]

    def test_tables(self, run, folder):
        out = run("describe", folder / "net.npz").out
        assert "Folding" in out
        assert "Against" not in out


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--node", "x"), "error: there is no node 'x': conv, narrow, branch, add, max,"),
            (("--by-channel",), "of one layer: name it by --node, one of conv, branch, fc"),
            (("--by-channel", "--node", "add"), "error: --by-channel counts overflows of one lay"),
            (("--acc-bits", "8", "--unsigned-input"),
             "error: a network's nodes have their own datapaths: leave out --acc-bits, --unsi"),
            (("--datapath", "d.toml"), "datapaths: leave out --datapath"),
            (("--output", "x.npy"), "error: --output would overwrite the input"),
        ],
    )  # fmt: skip
    def test_options(self, run, folder, monkeypatch, arguments, message):
        monkeypatch.chdir(folder)
        outcome = run("simulate", "net.npz", "x.npy", *arguments)
        assert outcome.code == 2
        assert message in outcome.err
        assert outcome.err.count("\n") == 1

    def test_describe_takes_no_widths_either(self, run, folder):
        outcome = run("describe", folder / "net.npz", "--weight-bits", "4")
        assert (outcome.code, "leave out --weight-bits" in outcome.err) == (2, True)

    def test_a_node_of_a_layer(self, run, folder):
        write_layer(folder / "fc.npz")
        outcome = run("simulate", folder / "fc.npz", folder / "x.npy", "--node", "fc")
        assert outcome.code == 2
        assert "--node names a node of a network, but" in outcome.err

    def test_inputs_of_another_shape(self, run, folder):
        np.save(folder / "z.npy", np.zeros((2, 5, 6)))
        outcome = run("simulate", folder / "net.npz", folder / "z.npy")
        assert outcome.code == 2
        assert "this network takes inputs of shape (n, 5, 6, 2), got (2, 5, 6)" in outcome.err

    def test_real_inputs_where_codes_are_announced(self, run, folder):
        outcome = run("simulate", folder / "net.npz", folder / "x.npy", "--codes")
        assert "input codes must be integer codes, got dtype float64" in outcome.err

    def test_a_damaged_network(self, run, folder):
        with np.load(folder / "net.npz") as file:
            arrays = dict(file)
        del arrays["fc/weight_step"]
        np.savez(folder / "bad.npz", **arrays)
        outcome = run("simulate", folder / "bad.npz", folder / "x.npy")
        assert outcome.code == 2
        assert "bad.npz: fc: the array fc/weight_step is missing" in outcome.err
