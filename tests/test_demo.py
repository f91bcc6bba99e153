"""Tests for lsqsim.demo: one run of the demonstration, looked at from all sides."""

import io
import json
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numba.core import config
from rich.console import Console

from lsqsim.datapath import CompiledLayer
from lsqsim.demo import DESIGNS, Design, network, print_demo, run_demo, runs as demo_runs, save_demo
from lsqsim.demo.saving import simulate_command
from lsqsim.demo.summary import summary
from lsqsim.errors import DataError, LsqsimError, SpecError
from lsqsim.files import load_array, load_datapath
from lsqsim.formats import IntFormat, Overflow
from lsqsim.layer_file import load_layer
from lsqsim.specs import FanIn, StageSpec

pytest.importorskip("sklearn", reason="the demonstration needs scikit-learn")

FEW_IMAGES = 20
"""As plain Python, kernels need a minute for all of them."""


@pytest.fixture(scope="module", autouse=True)
def _fewer_images_without_compiler():
    with pytest.MonkeyPatch.context() as patch:
        if config.DISABLE_JIT:  # pyright: ignore[reportAttributeAccessIssue]
            patch.setattr(network, "N_TEST", FEW_IMAGES)
        yield


@pytest.fixture(scope="module")
def steps():
    """What the run said of its progress."""
    return []


@pytest.fixture(scope="module")
def trained():
    """The network of the one run that all tests share."""
    return []


@pytest.fixture(scope="module")
def result(steps, trained):
    def train(digits, *, seed):
        trained.append(network.train(digits, seed=seed))
        return trained[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_runs, "train", train)
        return run_demo(progress=lambda *step: steps.append(step))


@pytest.fixture
def run_again(result, trained, monkeypatch):
    """Run other designs on the same network, without training it again."""
    assert result.seed == 0
    monkeypatch.setattr(demo_runs, "train", lambda *_, **__: trained[0])
    return lambda *names: run_demo(designs=[Design.parse(name) for name in names])


@pytest.fixture(scope="module")
def runs(result):
    return {run.design.name: run for run in result.designs}


@pytest.fixture(scope="module")
def saved(result, tmp_path_factory):
    directory = tmp_path_factory.mktemp("demo") / "new" / "folder"
    save_demo(result, directory)
    return directory


def text_of(result, **options):
    console = Console(file=io.StringIO(), width=80, highlight=False)
    print_demo(result, console, **options)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


class TestDesign:
    def test_one_accumulator(self):
        design = Design.parse("w4a3p10")
        assert design == Design(weight_bits=4, activation_bits=3, acc_bits=10)
        assert design.stages == (StageSpec(bits=10),)
        spec = design.datapath(output=IntFormat(8))
        assert [str(spec.weight.format), str(spec.input.format)] == ["int4", "uint3"]
        assert spec.rescaler.output == IntFormat(8)
        assert design.datapath().rescaler.output == IntFormat(3, signed=False)

    def test_a_register_for_every_sixteen_products(self):
        stages = Design.parse("w4a4t16x9p12s").stages
        assert [stage.fan_in for stage in stages] == [16, FanIn.ALL]
        assert [stage.bits for stage in stages] == [9, 12]
        assert {stage.overflow for stage in stages} == {Overflow.SATURATE}

    @pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
    def test_name_reads_back(self, design):
        assert Design.parse(design.name) == design

    def test_names_are_unique(self):
        assert len({design.name for design in DESIGNS}) == len(DESIGNS)

    @pytest.mark.parametrize("text", ["", "w4a4", "w4a4p12x", "w4a4t16p12", "W4A4P12", "w4a4p-1"])
    def test_refuses_other_names(self, text):
        with pytest.raises(SpecError, match="a design is written w4a4p16"):
            Design.parse(text)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("w1a4p12", "weights need 2 bits or more, got 1"),
            ("w4a0p12", "bits must be in 1..63, got 0"),
            ("w4a4p1", "register bits must be in 2..63, got 1"),
            ("w4a4p64", "register bits must be in 2..63, got 64"),
            ("w4a4t0x9p12", "fan_in must be 1 or more"),
        ],
    )
    def test_refuses_widths_out_of_range(self, text, message):
        with pytest.raises(SpecError, match=message):
            Design.parse(text)

    def test_refuses_half_a_tile(self):
        with pytest.raises(SpecError, match="both tile and tile_bits"):
            Design(weight_bits=4, activation_bits=4, acc_bits=12, tile=16)


class TestNetwork:
    def test_float_network_has_learned(self, result):
        assert result.float_accuracy >= (0.95 if len(result.digits.test_classes) == 600 else 0.9)

    def test_steps_pass_from_layer_to_layer(self, runs):
        layers = [run.compiled.layer for run in runs["w4a4p12"].layers]
        assert layers[0].input_step == 1 / 15
        for before, after in pairwise(layers):
            assert before.output_step == after.input_step

    def test_quantized_layers_have_the_float_network(self, result, runs):
        """Weights and biases of all designs are the float network's own."""
        float_layers = [run.compiled.layer for run in runs["w8a8p32"].layers]
        coarse_layers = [run.compiled.layer for run in runs["w2a2p8"].layers]
        for fine, coarse in zip(float_layers, coarse_layers, strict=True):
            np.testing.assert_array_equal(fine.weight, coarse.weight)
            np.testing.assert_array_equal(fine.bias, coarse.bias)
        values = result.digits.test_pixels
        for layer in float_layers:
            values = values @ layer.weight.T + layer.bias
            values = values if layer is float_layers[-1] else np.maximum(values, 0)
        accuracy = (values.argmax(axis=1) == result.digits.test_classes).mean()
        assert accuracy == result.float_accuracy


class TestIntegers:
    def test_accuracy_at_8_bits_is_the_float_networks(self, result, runs):
        assert abs(runs["w8a8p32"].integer_accuracy - result.float_accuracy) <= 0.005

    def test_classes_at_8_bits_are_the_fake_quantized_ones(self, runs):
        assert runs["w8a8p32"].agreement >= 0.999

    def test_narrow_codes_cost_accuracy(self, runs):
        assert runs["w2a2p8"].fake_quantized_accuracy < runs["w8a8p32"].fake_quantized_accuracy

    def test_nothing_overflows_where_the_accumulator_is_wide(self, runs):
        counts = runs["w8a8p32"].counts
        assert (counts.transient, counts.persistent) == (0, 0)

    def test_a_narrow_accumulator_overflows_and_loses_accuracy(self, runs):
        wide, narrow = runs["w4a4p12"], runs["w4a4p9"]
        assert narrow.counts.persistent > 0
        assert narrow.integer_accuracy < wide.integer_accuracy - 0.2

    def test_wrapping_forgives_transient_overflow_and_saturating_does_not(self, runs):
        wraps, saturates = runs["w4a4p9"], runs["w4a4p9s"]
        assert wraps.counts.transient > 0
        assert wraps.n_transient_lost == 0
        assert saturates.n_transient_lost > 0.9 * saturates.counts.transient

    def test_saturating_softens_persistent_overflow(self, runs):
        assert runs["w4a4p9s"].integer_accuracy > runs["w4a4p9"].integer_accuracy

    def test_a_narrow_tile_is_not_forgiven(self, runs):
        run = runs["w4a4t16x9p12"]
        assert run.counts.persistent == 0
        assert run.n_transient_lost > 0

    def test_nothing_lies_beyond_its_bound(self, result):
        comparisons = [layer.comparison for run in result.designs for layer in run.layers]
        assert len(comparisons) == 3 * len(DESIGNS)
        assert sum(comparison.n_beyond_bound for comparison in comparisons) == 0

    def test_bits_used_are_the_least_that_hold_the_totals(self, runs):
        for layer in runs["w4a4p10"].layers:
            total = layer.result.overflow.total
            for bits, fits in ((layer.bits_used, True), (layer.bits_used - 1, False)):
                fmt = IntFormat(bits)
                assert (fmt.holds(int(total.min())) and fmt.holds(int(total.max()))) is fits
            assert layer.bits_used <= layer.bits_safe

    def test_codes_pass_untouched(self, runs):
        """The chain's codes are those of every layer alone, on the real values they stand for."""
        for run in runs.values():
            values = None
            for layer in run.layers:
                if values is not None:
                    alone = layer.compiled.run(values, observe=False)
                    np.testing.assert_array_equal(alone.input.codes, layer.result.input.codes)
                    np.testing.assert_array_equal(alone.output.codes, layer.result.output.codes)
                values = layer.result.output.dequantize()

    def test_worst_channel(self, runs):
        layer = runs["w4a4p10"].layers[0]
        channel, share = layer.worst_channel
        kinds = layer.result.overflow.kind > 0
        assert share == kinds[:, channel].mean() == kinds.mean(axis=0).max()
        assert runs["w8a8p32"].layers[0].worst_channel is None


class TestRun:
    def test_is_deterministic(self, result):
        names = ("w8a8p32", result.walk.design)
        again = run_demo(designs=[Design.parse(name) for name in names]).to_dict()
        first = result.to_dict()
        kept = [run for run in first["designs"] if run["name"] in names]
        assert again == first | {"designs": kept}

    def test_another_seed_gives_another_network(self, runs):
        other = run_demo(seed=1, designs=[Design.parse("w8a8p32")])
        weight = runs["w8a8p32"].layers[0].compiled.layer.weight
        assert (other.designs[0].layers[0].compiled.layer.weight != weight).any()

    def test_tells_its_progress(self, result, steps):
        n = len(DESIGNS) + 1
        assert result.seed == 0
        assert [step[1:] for step in steps] == [(i, n) for i in range(n + 1)]
        assert [step[0] for step in (steps[0], steps[1], steps[-1])] == [
            "training the float network",
            "running w8a8p32",
            "done",
        ]

    @pytest.mark.parametrize("seed", [-1, 1 << 32])
    def test_refuses_a_seed_out_of_range(self, seed):
        with pytest.raises(SpecError, match=r"seed must be in 0\.\.2\*\*32-1"):
            run_demo(seed=seed)

    def test_refuses_no_designs(self):
        with pytest.raises(SpecError, match="at least one design"):
            run_demo(designs=[])

    def test_names_the_extra_without_scikit_learn(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "sklearn", None)
        with pytest.raises(LsqsimError, match=r"pip install 'lsqsim\[demo\]'"):
            run_demo()

    def test_dictionary_is_json(self, result):
        table = result.to_dict()
        assert json.loads(json.dumps(table, allow_nan=False))["seed"] == 0
        assert [run["name"] for run in table["designs"]] == [d.name for d in DESIGNS]


class TestWalk:
    def test_is_the_layers_own_run(self, result, runs):
        walk = result.walk
        layer = runs[walk.design].layers[0]
        at = (walk.image, walk.neuron)
        assert walk.accumulator == layer.result.accumulators[at]
        assert walk.exact_total == layer.result.overflow.total[at]
        assert walk.output_code == layer.result.output.codes[at]
        assert walk.pixels == result.digits.test_pixels[walk.image].tolist()

    def test_registers_follow_from_each_other(self, result):
        walk = result.walk
        products = [x * w for x, w in zip(walk.input_codes, walk.weight_codes, strict=True)]
        assert walk.exact_total == sum(products) + walk.bias_code
        assert walk.accumulator == sum(walk.stages[0]) + walk.bias_code
        assert walk.stages[1] == [walk.accumulator]
        assert walk.product == walk.accumulator * walk.multiplier
        rounded = (walk.product + (1 << walk.shift - 1)) >> walk.shift
        assert walk.output_code == min(max(rounded, 0), 15)

    def test_shows_an_overflow(self, result):
        """The first overflow that the run reports is the first that the walk meets."""
        walk = result.walk
        run = next(run for run in result.designs if run.design.name == walk.design)
        first = walk.overflows[0]
        report = run.layers[0].result.overflow
        assert first.k_index == report.first_k[walk.image, walk.neuron]
        assert first.after != first.before + first.operand
        assert walk.accumulator != walk.exact_total

    def test_shows_the_largest_output_where_nothing_overflows(self, run_again):
        walk = run_again("w4a4p16").walk
        assert walk.overflows == []
        assert walk.accumulator == walk.exact_total
        assert walk.output_code == 15


class TestSaved:
    def test_files_run_to_the_same_bits(self, runs, saved):
        for name, run in runs.items():
            for layer in run.layers:
                stem = saved / name / layer.compiled.layer.name
                compiled = CompiledLayer(
                    load_layer(stem.with_suffix(".npz")), load_datapath(stem.with_suffix(".toml"))
                )
                values = load_array(stem.with_name(f"{stem.name}_input.npy"))
                again = compiled.run(values, observe=False)
                np.testing.assert_array_equal(again.accumulators, layer.result.accumulators)
                np.testing.assert_array_equal(again.output.codes, layer.result.output.codes)

    def test_nothing_else_is_written(self, runs, saved):
        files = {path.relative_to(saved).as_posix() for path in saved.rglob("*") if path.is_file()}
        names = ("layer1", "layer2", "layer3")
        assert files == {"classes.npy"} | {
            f"{design}/{layer}{suffix}"
            for design in runs
            for layer in names
            for suffix in (".npz", "_input.npy", ".toml")
        }

    def test_classes(self, result, saved):
        classes = load_array(saved / "classes.npy")
        np.testing.assert_array_equal(classes, result.digits.test_classes)

    def test_saving_again_replaces(self, result, saved):
        save_demo(result, saved)

    def test_refuses_a_file_in_the_way(self, result, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(DataError, match="can't be made"):
            save_demo(result, tmp_path / "file")

    def test_printed_command_names_files_that_are_there(self, result, saved):
        words = " ".join(simulate_command(result, saved)).replace("\\", "").split()
        assert words[:2] == ["lsqsim", "simulate"]
        assert words[4] == "--datapath"
        for name in (words[2], words[3], words[5]):
            assert (saved / name).is_file()

    def test_command_quotes_what_a_shell_would_split(self, result):
        assert "'my demo/" in simulate_command(result, "my demo")[0]


class TestPrinted:
    def test_fits_80_columns(self, result):
        assert max(len(line.rstrip()) for line in text_of(result).splitlines()) <= 80

    def test_nothing_is_cut(self, result):
        assert "…" not in text_of(result)

    def test_has_every_design_with_its_accuracy(self, result):
        rows = text_of(result).splitlines()
        for run in result.designs:
            (row, *_) = (line.split() for line in rows if line.startswith(f"{run.design.name} "))
            accuracy = f"{100 * run.integer_accuracy:.1f}"
            if run.design.name not in ("w4a4p10", "w4a4p10s", "w4a4t16x9p12"):  # in the legend
                assert row[2] == accuracy

    def test_has_every_register_of_the_walk(self, result):
        text, walk = text_of(result), result.walk
        for value in (walk.bias_code, walk.accumulator, walk.product, walk.exact_total):
            assert str(value) in text
        for value in walk.stages[0]:
            assert str(abs(value)) in text

    def test_names_where_files_are(self, result, saved):
        assert "demo --save demo-output" in text_of(result)
        assert f"are in {saved}." in text_of(result, saved=saved)

    def test_text_is_no_markup(self, result, tmp_path):
        assert "[red]" in text_of(result, saved=tmp_path / "[red]")

    def test_walk_with_one_accumulator_and_many_overflows(self, run_again):
        narrow = run_again("w4a4p7")
        text = text_of(narrow)
        n = len(narrow.walk.overflows)
        assert n > 3
        assert f"* {n - 3} more additions overflow" in text
        assert "+ 64 products = " in text

    def test_summary_says_only_what_there_are_designs_for(self, result, runs):
        wide = replace(result, designs=(runs["w8a8p32"],))
        assert [sentence.split(":")[0] for sentence in summary(wide)] == [
            "Codes of fewer bits, whatever the accumulator",
            "Accumulator bits that hold every total of these images (of any)",
            summary(wide)[-1].split(":")[0],
        ]

    def test_summary_compares_the_two_rules(self, result):
        text = " ".join(summary(result))
        assert "an accumulator that wraps loses 0 of " in text
        assert "w4a4p9 is right on " in text
        assert ", 0 lie farther from the float reference" in text
