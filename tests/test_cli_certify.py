"""Tests for lsqsim certify and lsqsim check-certificate: what they print, write and refuse."""

import json
import re
from functools import partial

import numpy as np
import pytest

from command_line import INPUTS, WIDTHS, call, write_files, write_layer
from lsqsim.budget.certificate import certify, seal
from lsqsim.budget.input_range import InputRange
from lsqsim.datapath import CompiledLayer
from lsqsim.layer_file import load_layer
from lsqsim.specs import simple_datapath

NARROW = ("--weight-bits", 4, "--activation-bits", 4, "--acc-bits", 7)
"""Too narrow for two of the three channels of ``fc.npz``."""
ONE_WEIGHT_ROW = np.array([[0.5, 1.0, -1.0, 0.25]])


@pytest.fixture
def run(capsys):
    return partial(call, capsys)


@pytest.fixture
def folder(tmp_path):
    write_files(tmp_path)
    return tmp_path


def words(outcome):
    return " ".join(outcome.out.split())


def assert_refused(outcome, error):
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("lsqsim: error: ")
    assert outcome.err.count("\n") == 1
    assert re.search(error, outcome.err), outcome.err


class TestCertify:
    def test_a_safe_layer(self, run, folder):
        outcome = run("certify", folder / "fc.npz")
        assert (outcome.code, outcome.err) == (0, "")
        text = words(outcome)
        assert "Certificate of fc: K = 4, 3 channels, input codes 0..255" in text
        assert "0 32 bits, wrap saturate-safe" in text
        assert "All 3 channels are certified" in text
        assert "unsafe:" not in text
        assert max(map(len, outcome.out.splitlines())) <= 80

    def test_an_unsafe_layer(self, run, folder):
        outcome = run("certify", folder / "fc.npz", *NARROW)
        assert (outcome.code, outcome.err) == (1, "")
        text = words(outcome)
        assert "0 7 bits, wrap unsafe" in text
        assert re.search(r"\d of 3 channels certified", text)
        assert re.search(
            r"Stage 0 is unsafe: in channel \d, tile 0, the sum is -?\d+ at K index \d, "
            r"outside int7 \[-64, 63\]",
            text,
        )
        assert f"lsqsim certify {folder}/fc.npz --witness witness.npy --weight-bits 4" in text
        assert "--codes --weight-bits 4 --activation-bits 4 --acc-bits 7 --unsigned-input" in text

    def test_json_is_the_library_s(self, run, folder):
        outcome = run("certify", folder / "fc.npz", *NARROW, "--json")
        assert outcome.code == 1
        report = json.loads(outcome.out)
        spec = simple_datapath(
            weight_bits=4, activation_bits=4, acc_bits=7, output_signed=True
        )  # fmt: skip
        certificate = certify(CompiledLayer(load_layer(folder / "fc.npz"), spec))
        assert report["certificate"] == certificate.to_dict()
        assert report["is_safe"] is False
        assert report["n_safe_channels"] == int(certificate.safe_channels.sum())
        assert report["bounds"][0]["headroom_bits"] == certificate.stages[0].headroom_bits

    def test_two_stages(self, run, folder):
        tiles = ("--tile", 2, "--tile-bits", 5, "--tile-overflow", "saturate")
        outcome = run("certify", folder / "fc.npz", *WIDTHS, *tiles)
        text = words(outcome)
        assert outcome.code == 1
        assert "0 5 bits, saturate unsafe" in text
        assert "1 8 bits, saturate" in text
        assert "tile" in text

    def test_a_stage_that_others_make_safe(self, run, folder):
        tiles = ("--tile", 2, "--tile-bits", 3, "--tile-overflow", "saturate")
        text = words(run("certify", folder / "fc.npz", *NARROW, *tiles))
        assert "Stage 1 would lack bits for exact sums: it is safe as a stage before it" in text

    def test_an_inner_stage_that_loses_first(self, run, tmp_path):
        """Both stages are too narrow; one input may be lost in the inner one already."""
        np.savez(tmp_path / "fc.npz", weight_codes=np.full((1, 8), 7))
        options = ("--weight-bits", 4, "--activation-bits", 4, "--acc-bits", 9,
                   "--overflow", "saturate", "--tile", 4, "--tile-bits", 9)  # fmt: skip
        outcome = run("certify", tmp_path / "fc.npz", *options)
        assert outcome.code == 1
        assert "Stage 0 is unsafe: in channel 0" in words(outcome)

    def test_an_input_range(self, run, folder):
        outcome = run("certify", folder / "fc.npz", *NARROW, "--input-range", "0:1")
        assert outcome.code == 0
        assert "input codes 0..1" in outcome.out

    def test_ranges_of_data(self, run, folder):
        outcome = run("certify", folder / "fc.npz", *NARROW, "--calibrate", folder / "x.npy",
                      "--json")  # fmt: skip
        certificate = json.loads(outcome.out)["certificate"]
        assert certificate["input_low"] == [2, 0, 5, 1]
        assert certificate["input_high"] == [12, 4, 8, 15]
        text = words(run("certify", folder / "fc.npz", *NARROW, "--calibrate", folder / "x.npy"))
        assert "input codes 0..15 by input channel" in text
        assert f"--calibrate {folder}/x.npy" in text

    def test_ranges_of_codes(self, run, folder):
        np.save(folder / "codes.npy", np.array([[0, 1, 2, 3], [1, 1, 0, 9]]))
        outcome = run("certify", folder / "fc.npz", *NARROW, "--calibrate", folder / "codes.npy",
                      "--codes", "--json")  # fmt: skip
        certificate = json.loads(outcome.out)["certificate"]
        assert certificate["input_low"] == [0, 1, 0, 3]
        assert certificate["input_high"] == [1, 1, 2, 9]

    def test_ranges_of_a_convolution(self, run, tmp_path):
        np.savez(tmp_path / "conv.npz", weight=np.ones((2, 2, 2, 2)), input_step=1.0)
        np.save(tmp_path / "x.npy", np.array([[[[1.0] * 3] * 3, [[7.0] * 3] * 3]]))
        outcome = run("certify", tmp_path / "conv.npz", "--calibrate", tmp_path / "x.npy", "--json")
        assert json.loads(outcome.out)["certificate"]["input_low"] == [1, 7]

    def test_writes_the_certificate(self, run, folder):
        outcome = run("certify", folder / "fc.npz", *NARROW, "--output", folder / "c.json",
                      "--json")  # fmt: skip
        written = json.loads((folder / "c.json").read_text())
        assert written == json.loads(outcome.out)["certificate"]

    def test_progress_on_a_terminal_only(self, run, folder, monkeypatch):
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)
        assert "\x1b[" in run("certify", folder / "fc.npz").err


class TestWitness:
    @pytest.mark.parametrize(
        "options",
        [
            NARROW,
            (*NARROW, "--overflow", "saturate"),
            (*NARROW, "--tile", 2, "--tile-bits", 6),
            (*NARROW, "--signed-input"),
        ],
    )
    def test_the_simulator_shows_it(self, run, folder, options):
        write_layer(folder / "fc.npz", weight=ONE_WEIGHT_ROW, bias=np.array([0.5]))
        claim = run("certify", folder / "fc.npz", *options, "--witness", folder / "w.npy", "--json")
        assert claim.code == 1
        report = json.loads(claim.out)
        stages = report["certificate"]["stages"]
        witness = next(stage["witness"] for stage in stages if stage["witness"])
        shown = run("simulate", folder / "fc.npz", folder / "w.npy", "--codes", *options, "--json")
        first = json.loads(shown.out)["overflow"]["first"]
        assert (first["stage"], first["k"]) == (witness["stage"], witness["k_index"])
        assert first["output"] == [0, witness["channel"]]

    def test_the_printed_command_works(self, run, folder):
        """Word by word, also where data made the inputs signed."""
        np.save(folder / "x.npy", -INPUTS)
        outcome = run("certify", folder / "fc.npz", *NARROW, "--calibrate", folder / "x.npy",
                      "--witness", folder / "w.npy")  # fmt: skip
        assert outcome.code == 1
        line = next(line for line in outcome.out.splitlines() if "lsqsim simulate" in line)
        assert "--signed-input" in line
        shown = run(*line.split()[1:])
        assert (shown.code, shown.err) == (0, "")
        assert "First overflow" in shown.out

    def test_a_convolution(self, run, tmp_path):
        """No padding: the image is as large as the kernel, and has one output."""
        np.savez(
            tmp_path / "conv.npz", weight=np.random.default_rng(0).normal(size=(1, 2, 3, 3)),
            stride=2, input_step=1.0, output_step=1.0,
        )  # fmt: skip
        options = ("--acc-bits", 12)
        claim = run("certify", tmp_path / "conv.npz", *options, "--witness", tmp_path / "w.npy",
                    "--json")  # fmt: skip
        witness = json.loads(claim.out)["certificate"]["stages"][0]["witness"]
        shown = run("simulate", tmp_path / "conv.npz", tmp_path / "w.npy", "--codes", *options,
                    "--json")  # fmt: skip
        first = json.loads(shown.out)["overflow"]["first"]
        assert (first["output"], first["k"]) == ([0, 0, 0, 0], witness["k_index"])

    def test_a_datapath_file(self, run, folder):
        text = run("describe", *NARROW, "--signed-output", "--toml").out
        (folder / "d.toml").write_text(text)
        outcome = run("certify", folder / "fc.npz", "--datapath", folder / "d.toml")
        assert f"--codes --datapath {folder}/d.toml" in words(outcome)

    def test_step_sizes_that_simulating_lacks(self, run, tmp_path):
        np.savez(tmp_path / "fc.npz", weight_codes=np.array([[7, -8]]))
        outcome = run("certify", tmp_path / "fc.npz", "--acc-bits", 7)
        assert "once input_step and weight_step and output_step are in the layer file" in words(
            outcome
        )
        np.savez(tmp_path / "fc.npz", weight=np.array([[7.0, -8]]), input_step=1.0)
        outcome = run("certify", tmp_path / "fc.npz", "--acc-bits", 7)
        assert "once output_step is in the layer file" in words(outcome)
        outcome = run("certify", tmp_path / "fc.npz", "--acc-bits", 7, "--input-range", "1:255")
        assert "--input-range=1:255" in words(outcome)


class TestLegalEdges:
    def test_no_products(self, run, tmp_path):
        np.savez(tmp_path / "fc.npz", weight_codes=np.zeros((2, 0), int), bias_codes=[3, -60])
        outcome = run("certify", tmp_path / "fc.npz", "--acc-bits", 7)
        assert outcome.code == 0
        assert "K is 0: every accumulator holds its bias alone." in words(outcome)
        outcome = run("certify", tmp_path / "fc.npz", "--acc-bits", 6)
        assert outcome.code == 1
        assert "the sum is -60 before the first product" in words(outcome)
        assert "Input codes (all): none" in words(outcome)

    def test_channels_without_weights(self, run, tmp_path):
        np.savez(tmp_path / "fc.npz", weight_codes=np.array([[0, 0], [0, 0], [1, 1]]))
        text = words(run("certify", tmp_path / "fc.npz"))
        assert "2 channels have no nonzero weight: the total is the bias alone." in text
        np.savez(tmp_path / "fc.npz", weight_codes=np.array([[0, 0]]))
        text = words(run("certify", tmp_path / "fc.npz"))
        assert "The one channel is certified" in text
        assert "1 channel has no nonzero weight" in text

    def test_a_bias_added_last(self, run, tmp_path):
        np.savez(tmp_path / "fc.npz", weight_codes=np.array([[1, 1]]), bias_codes=[40])
        text = run("describe", "--acc-bits", 7, "--activation-bits", 4, "--toml").out
        (tmp_path / "d.toml").write_text(text.replace('"preload"', '"post_add"'))
        outcome = run("certify", tmp_path / "fc.npz", "--datapath", tmp_path / "d.toml")
        assert "when the bias is added, outside int7" in words(outcome)

    def test_step_sizes_that_no_integer_depends_on(self, run, folder):
        """The weights' own step is found from them; no bias needs the others."""
        write_layer(folder / "fc.npz", output_step=None)
        whole = run("certify", folder / "fc.npz", *NARROW, "--json").out
        write_layer(folder / "fc.npz")
        assert run("certify", folder / "fc.npz", *NARROW, "--json").out == whole
        for steps in (["input_step", "weight_step", "output_step"], ["weight_step"]):
            write_layer(folder / "fc.npz", bias=None, **dict.fromkeys(steps))
            assert run("certify", folder / "fc.npz").code == 0

    def test_a_rescaler_without_place_for_a_stand_in(self, run, folder):
        write_layer(folder / "fc.npz", output_step=None)
        text = run("describe", *WIDTHS, "--toml").out
        (folder / "d.toml").write_text(text.replace("min_shift = 0", "min_shift = 60"))
        outcome = run("certify", folder / "fc.npz", "--datapath", folder / "d.toml")
        assert_refused(
            outcome, "output_step is missing, and a factor of 0.5 was tried in its place"
        )


REFUSALS = {
    "a range without order": (("--input-range", "5:2"), "the input range 5..2 is empty: its low"),
    "a range of words": (("--input-range", "a:b"), "--input-range: .* LOW:HIGH, .* got 'a:b'"),
    "a range of fractions": (("--input-range", "0:1.5"), "LOW:HIGH, two integer .* got '0:1.5'"),
    "an empty range": (("--input-range", ""), "LOW:HIGH, two integer codes .* got ''"),
    "one end": (("--input-range", "5"), "LOW:HIGH, two integer codes .* got '5'"),
    "a range beyond all": (("--input-range", f"0:{10**30}"), "must be of integer codes"),
    "a range beyond the format": (
        ("--input-range", "0:256"), r"the input range 0..256 must lie within .* uint8 \[0, 255\]"
    ),
    "two ranges": (
        ("--input-range", "0:1", "--calibrate", "x.npy"), "state one range: give one of them"
    ),
    "codes of nothing": (("--codes",), "--codes says what --calibrate holds: give both"),
    "data that is missing": (("--calibrate", "none.npy"), "none.npy: can't be read: No such file"),
    "codes outside the format": (
        ("--calibrate", "large.npy", "--codes"), r"input codes must be codes of uint8 .* got 256"
    ),
    "real codes": (("--calibrate", "x.npy", "--codes"), "input codes must be integer"),
    "no data": (("--calibrate", "empty.npy"), r"can't be found from no data, .* shape \(0, 4\)"),
    "data of another K": (("--calibrate", "wide.npy"), r"fc: inputs \(2, 5\) and weights \(3, 4\)"),
    "NaN": (("--calibrate", "nan.npy"), "NaN has no code: 1 of 4"),
    "a datapath beside widths": (("--datapath", "d.toml", "--acc-bits", 8), "--acc-bits a part"),
    "an accumulator of 1 bit": (("--acc-bits", 1), "1 is not in the range"),
    "a witness where all is safe": (
        ("--witness", "w.npy"), "w.npy: there is no input to write, no stage of fc is unsafe"
    ),
    "a witness over the layer": (("--witness", "fc.npz"), "--witness would overwrite the layer"),
    "a certificate over the data": (
        ("--calibrate", "x.npy", "--output", "x.npy"), "--output would overwrite the input"
    ),
    "one path for two": (
        ("--output", "o", "--witness", "o"), "--witness would overwrite what --output writes"
    ),
    "no such folder": (("--output", "none/c.json"), "none/c.json: can't be written: there is no"),
}  # fmt: skip


@pytest.mark.parametrize(("options", "error"), REFUSALS.values(), ids=REFUSALS)
def test_bad_input(run, folder, monkeypatch, options, error):
    monkeypatch.chdir(folder)
    np.save("large.npy", np.array([[0, 0, 256, 0]]))
    np.save("empty.npy", np.zeros((0, 4)))
    np.save("wide.npy", np.zeros((2, 5)))
    np.save("nan.npy", np.array([[0, np.nan, 0, 0]]))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    output = () if "--output" in options else ("--output", "c.json")
    assert_refused(run("certify", "fc.npz", *options, *output), error)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


class TestStepsThatAreNeeded:
    def test_by_the_bias(self, run, folder):
        write_layer(folder / "fc.npz", input_step=None)
        outcome = run("certify", folder / "fc.npz")
        assert_refused(
            outcome, "fc: input_step is missing, and the integer bias depends on it: add"
        )

    def test_by_the_bias_of_codes(self, run, folder):
        write_layer(
            folder / "fc.npz", weight=None, weight_codes=np.ones((3, 4), int), weight_step=None
        )
        assert_refused(run("certify", folder / "fc.npz"), "fc: weight_step is missing, and the int")

    def test_by_real_data(self, run, folder):
        write_layer(folder / "fc.npz", input_step=None, bias=None)
        outcome = run("certify", folder / "fc.npz", "--calibrate", folder / "x.npy")
        assert_refused(outcome, "input_step is missing, and real inputs become codes by it: add")


class TestCheck:
    @pytest.fixture
    def certificate(self, run, folder):
        """The path of a certificate of ``fc.npz``, and its content."""
        run("certify", folder / "fc.npz", *NARROW, "--output", folder / "c.json")
        return folder / "c.json", json.loads((folder / "c.json").read_text())

    def test_an_unsafe_one(self, run, folder, certificate):
        outcome = run("check-certificate", certificate[0], folder / "fc.npz")
        assert (outcome.code, outcome.err) == (0, "")
        assert re.match(
            r"valid, and unsafe in stage 0: fc, input codes 0..15, 3 channels: in channel \d, "
            r"tile 0, the sum is -?\d+ at K index \d\n$",
            outcome.out,
        )

    def test_a_safe_one(self, run, folder):
        run("certify", folder / "fc.npz", "--output", folder / "c.json",
            "--calibrate", folder / "x.npy")  # fmt: skip
        outcome = run("check-certificate", folder / "c.json", folder / "fc.npz")
        assert (outcome.code, outcome.err) == (0, "")
        assert outcome.out == (
            "valid: fc, input codes 0..15 by input channel, 3 channels: no stage is unsafe, no "
            "accumulator loses its total\n"
        )

    def test_a_layer_with_stand_ins(self, run, folder):
        """The checker takes the same integers, though step sizes are missing."""
        write_layer(folder / "fc.npz", input_step=None, output_step=None, weight_step=None,
                    bias=None)  # fmt: skip
        run("certify", folder / "fc.npz", *NARROW, "--output", folder / "c.json")
        assert run("check-certificate", folder / "c.json", folder / "fc.npz").code == 0

    def test_another_layer(self, run, folder, certificate):
        write_layer(folder / "other.npz", bias=np.array([0.5, -1.0, 0.5]))
        outcome = run("check-certificate", certificate[0], folder / "other.npz")
        assert_refused(outcome, "c.json: certificate is for another layer")

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            (lambda c: c.update(version=2), "version"),
            (lambda c: c["stages"][0].update(verdict="wrap_safe"), "stages|seal"),
            (lambda c: c["stages"][0]["prefix_high"].__setitem__(0, 5), "prefix_high|seal"),
            (lambda c: c.update(seal="0" * 64), "seal"),
            (lambda c: c.pop("stages"), "stages"),
            (lambda c: c.update(stages=[]), "stages|seal"),
            (lambda c: c.update(more=1), "more"),
            (lambda c: c.update(input_high=7), "seal|input_high|stages"),
        ],
    )
    @pytest.mark.parametrize("sealed", [True, False])
    def test_tampering(self, run, folder, certificate, change, error, sealed):
        """Whether or not the seal is made anew."""
        path, table = certificate
        change(table)
        if sealed and "seal" in table and table["seal"] != "0" * 64:
            table["seal"] = seal({key: value for key, value in table.items() if key != "seal"})
        path.write_text(json.dumps(table))
        assert_refused(run("check-certificate", path, folder / "fc.npz"), f"c.json: .*({error})")

    @pytest.mark.parametrize(
        ("text", "error"),
        [
            ("", "malformed JSON"),
            ("{", "malformed JSON"),
            ("[]", "must hold a JSON object, got list"),
            ('{"a": NaN}', "NaN is no number"),
            ('{"a": -Infinity}', "-Infinity is no number"),
            ('{"a": 1e999}', "1e999 is no number"),
            ('{"a": 1, "a": 2}', "the key 'a' stands twice"),
            ("[" * 100_000, "malformed JSON"),
            ("{}", "is no overflow certificate: it lacks the key 'datapath'"),
            ('{"datapath": 3}', "datapath: the file must be a table, got 3"),
            ('{"datapath": {}}', "datapath: missing key"),
        ],
    )
    def test_foreign_files(self, run, folder, text, error):
        (folder / "c.json").write_text(text)
        outcome = run("check-certificate", folder / "c.json", folder / "fc.npz")
        assert_refused(outcome, f"c.json: .*{error}")

    def test_missing_files(self, run, folder, certificate):
        outcome = run("check-certificate", folder / "none.json", folder / "fc.npz")
        assert_refused(outcome, "none.json: can't be read: No such file")
        outcome = run("check-certificate", certificate[0], folder / "none.npz")
        assert_refused(outcome, "none.npz: can't be read: No such file")

    def test_parameters_that_the_datapath_lacks(self, run, folder, certificate):
        write_layer(folder / "fc.npz", weight_step=[1.0, 2.0, 3.0])
        outcome = run("check-certificate", certificate[0], folder / "fc.npz")
        assert_refused(outcome, "weight_step has one value a channel")


def test_the_library_s_range_is_that_of_the_command(run, folder):
    spec = simple_datapath(weight_bits=4, activation_bits=4, acc_bits=7, output_signed=True)
    compiled = CompiledLayer(load_layer(folder / "fc.npz"), spec)
    wanted = certify(compiled, InputRange(low=1, high=3)).to_dict()
    outcome = run("certify", folder / "fc.npz", *NARROW, "--input-range", "1:3", "--json")
    assert json.loads(outcome.out)["certificate"] == wanted
