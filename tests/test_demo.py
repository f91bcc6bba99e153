"""Tests for lsqsim.demo: one run of the demonstration, looked at from all sides."""

import io
import json
import os
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from lsqsim.datapath import CompiledLayer
from lsqsim.demo import DESIGNS, Design, print_demo, run_demo, runs as demo_runs, save_demo
from lsqsim.demo.runs import flat_pixels
from lsqsim.demo.saving import network_command, simulate_command
from lsqsim.demo.summary import summary
from lsqsim.errors import DataError, LsqsimError, SpecError
from lsqsim.files import load_array, load_datapath
from lsqsim.formats import IntFormat, Overflow
from lsqsim.layer_file import load_layer
from lsqsim.network.network_file import load_network
from lsqsim.specs import FanIn, StageSpec

pytest.importorskip("sklearn", reason="the demonstration needs scikit-learn")

pytestmark = pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"),
    reason="as plain Python, the training would take an hour",
)


@pytest.fixture(scope="module")
def steps():
    """What the run said of its progress."""
    return []


@pytest.fixture(scope="module")
def result(steps):
    """The one run that all tests share."""
    return run_demo(progress=lambda *step: steps.append(step))


@pytest.fixture
def run_again(result, monkeypatch):
    """Run other designs on the same networks, without training them again."""
    assert result.seed == 0

    def learned(_model, _data_set, bits, **_):
        return result.learned[bits]

    monkeypatch.setattr(demo_runs, "train_float", lambda *_, **__: result.learned[8].model)
    monkeypatch.setattr(demo_runs, "learn", learned)
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


class TestLearning:
    def test_float_network_has_learned(self, result):
        assert result.float_accuracy >= 0.95

    def test_learned_steps_beat_calibrated_ones_at_2_bits(self, result):
        """By 8 points or more; about 15 for this seed, 9 .. 15 for others."""
        assert result.learned[2].accuracy_gain > 0.08

    def test_learned_accuracy_is_near_the_float_networks(self, result):
        for bits, most_lost in ((8, 0.01), (4, 0.015), (3, 0.025), (2, 0.04)):
            assert result.learned[bits].accuracy > result.float_accuracy - most_lost, bits

    def test_learned_steps_differ_as_in_the_paper(self, result):
        """At 2 bits the weights' by tens of percent: they are not those of the least error."""
        for i in (1, 2, 3):
            assert result.learned[2].step_change(f"layer{i}.weight") > 0.1

    def test_layers_have_the_learned_steps(self, result, runs):
        for run in runs.values():
            steps = result.learned[run.design.weight_bits].learned_steps
            layers = [layer.compiled.layer for layer in run.layers]
            inputs = [steps[name] for name in ("input_codes", "relu1", "relu2")]
            assert [layer.input_step for layer in layers] == inputs
            assert [layer.weight_step for layer in layers] == [
                steps[f"layer{i}.weight"] for i in (1, 2, 3)
            ]

    def test_layers_have_the_learned_codes(self, result, runs):
        for run in runs.values():
            model = result.learned[run.design.weight_bits].model
            for layer in run.layers:
                name = layer.compiled.layer.name
                codes = model.weight_quantizer(name).codes(model.array(f"{name}.weight"))
                np.testing.assert_array_equal(layer.compiled.weight.codes, codes.T)

    def test_steps_pass_from_layer_to_layer(self, runs):
        layers = [run.compiled.layer for run in runs["w4a4p12"].layers]
        for before, after in pairwise(layers):
            assert before.output_step == after.input_step


class TestIntegers:
    def test_accuracy_at_8_bits_is_the_float_networks(self, result, runs):
        assert abs(runs["w8a8p32"].integer_accuracy - result.float_accuracy) <= 0.01

    @pytest.mark.parametrize("name", ["w8a8p32", "w4a4p12", "w3a3p10"])
    def test_classes_are_the_trained_ones_where_nothing_overflows(self, runs, name):
        assert runs[name].counts.overflowed == 0
        assert runs[name].agreement >= 0.999

    def test_classes_at_2_bits_are_the_trained_ones_but_for_ties(self, runs):
        """One image of 600 has two largest outputs that float32 rounds apart."""
        assert runs["w2a2p8"].counts.overflowed == 0
        assert runs["w2a2p8"].agreement >= 0.995

    def test_narrow_codes_cost_accuracy(self, runs):
        assert runs["w2a2p8"].fake_quantized_accuracy < runs["w8a8p32"].fake_quantized_accuracy

    def test_nothing_overflows_where_the_accumulator_is_wide(self, runs):
        counts = runs["w8a8p32"].counts
        assert (counts.transient, counts.persistent) == (0, 0)

    def test_a_narrow_accumulator_overflows_and_loses_accuracy(self, runs):
        wide, narrow = runs["w4a4p12"], runs["w4a4p9"]
        assert narrow.counts.persistent > 0
        assert narrow.integer_accuracy < wide.integer_accuracy - 0.05

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
        learned = [found for found in first["learned"] if found["bits"] in (8, 4)]
        assert again == first | {"designs": kept, "learned": learned}

    def test_another_seed_gives_another_network(self, runs):
        other = run_demo(seed=1, designs=[Design.parse("w8a8p32")])
        codes = runs["w8a8p32"].layers[0].compiled.weight.codes
        assert (other.designs[0].layers[0].compiled.weight.codes != codes).any()

    def test_tells_its_progress(self, result, steps):
        n = 40 + 4 * 25 + len(DESIGNS)
        assert result.seed == 0
        assert [step[1] for step in steps] == sorted(step[1] for step in steps)
        assert {step[1] for step in steps} == set(range(n + 1))
        assert {step[2] for step in steps} == {n}
        assert list(dict.fromkeys(step[0] for step in steps)) == [
            "training the float network",
            *(f"learning {bits}-bit step sizes" for bits in (8, 4, 3, 2)),
            *(f"running {design.name}" for design in DESIGNS),
            "done",
        ]

    def test_refuses_two_widths(self):
        with pytest.raises(SpecError, match="of one width, got w4a8p16"):
            run_demo(designs=[Design.parse("w4a8p16")])

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
        assert walk.pixels == flat_pixels(result.data_set)[walk.image].tolist()

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
        networks = {f"w{bits}a{bits}.npz" for bits in (8, 4, 3, 2)}
        assert files == {"classes.npy", "images.npy"} | networks | {
            f"{design}/{layer}{suffix}"
            for design in runs
            for layer in names
            for suffix in (".npz", "_input.npy", ".toml")
        }

    def test_classes(self, result, saved):
        classes = load_array(saved / "classes.npy")
        np.testing.assert_array_equal(classes, result.data_set.test.labels)

    def test_networks_run_to_the_same_classes(self, result, saved):
        images = load_array(saved / "images.npy")
        for bits in result.learned:
            network = load_network(saved / f"w{bits}a{bits}.npz")
            codes = network.codes(images)
            expected = result.widest(bits).layers[-1].result.output.codes
            np.testing.assert_array_equal(codes, expected)

    def test_printed_network_command_names_files_that_are_there(self, result, saved):
        words = network_command(result, saved).split()
        assert words[:2] == ["lsqsim", "simulate"]
        assert all(Path(word).is_file() for word in words[2:])

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

    def test_has_what_learning_gained(self, result):
        lines = text_of(result).splitlines()
        for bits, found in result.learned.items():
            cells = next(line.split() for line in lines if line.startswith(f"{bits:>4} "))
            assert cells[2:4] == [
                f"{100 * found.calibrated_accuracy:.1f}", f"{100 * found.accuracy:.1f}"
            ]  # fmt: skip
            assert cells[7] == f"{100 * found.step_change('layer1.weight'):+.0f}"

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
        narrow = run_again("w4a4p6")
        text = text_of(narrow)
        n = len(narrow.walk.overflows)
        assert n > 3
        assert f"* {n - 3} more additions overflow" in text
        assert "+ 64 products = " in text

    def test_summary_says_only_what_there_are_designs_for(self, result, runs):
        wide = replace(result, designs=(runs["w8a8p32"],))
        assert [sentence.split(":")[0] for sentence in summary(wide)] == [
            "Learned step sizes (calibrated ones, no training), whatever the accumulator",
            "Accumulator bits that hold every total of these images (of any)",
            summary(wide)[-1].split(":")[0],
        ]

    def test_summary_compares_the_two_rules(self, result):
        text = " ".join(summary(result))
        assert "an accumulator that wraps loses 0 of " in text
        assert "w4a4p9 is right on " in text
        assert ", 0 lie farther from the float reference" in text
