"""Train a small residual network on CIFAR-10 at several widths, and test it on the integers.

    python -m benchmarks.cifar10 DATA --output FOLDER

DATA is a folder with CIFAR-10 (binary or Python version), or its name below ``LSQSIM_DATA_DIR``.
Every training is a checkpoint in FOLDER: interrupted, the same command goes on where it stopped,
and gives the same bits. At the end it prints the table as Markdown and writes ``table.json``.

All quantized networks start from the float network of their seed, with step sizes of least squared
error, and are trained alike; only widths, or what moves the step sizes, differ.
"""

import argparse
import json
import multiprocessing
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from lsqsim.commands.phases import CHECKPOINT_NAME, run_phase
from lsqsim.coupling import HardwareSpec, evaluate_on_integers
from lsqsim.data_sets import Augmentation, DataSet, Flip, load_data_set
from lsqsim.files import text_writer, write_files
from lsqsim.learn.architectures import residual
from lsqsim.learn.checkpoint import load_training
from lsqsim.learn.failure import TrainingError
from lsqsim.learn.log import LINES_NAME
from lsqsim.learn.model import Model
from lsqsim.learn.placement import InputSign, QuantizationPolicy, quantized
from lsqsim.learn.rule import GradScale, Learning, StepRule, StepStart
from lsqsim.learn.schedule import weight_decay_of
from lsqsim.learn.training import Trainer
from lsqsim.learn.training_spec import TrainingSpec
from lsqsim.network.comparison import compare_network
from lsqsim.network.network import Keep, Network
from lsqsim.specs import AccumulatorSpec, StageSpec

SEEDS = (0, 1, 2)
FLOAT_EPOCHS, EPOCHS = 12, 10
FLOAT_RATE, RATE = 0.1, 0.03
FLOAT_DECAY = 5e-4
STANDARD = Augmentation(crop_padding=4, flip=Flip.HORIZONTAL)
HARDWARE = HardwareSpec(accumulator=AccumulatorSpec(stages=(StageSpec(bits=28),)))
N_COMPARED = 50
"""Test images on which every code of every node is compared with the float reference."""
RESULT = "result.json"

_START = StepRule(start=StepStart.LEAST_SQUARES)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training: float where ``bits`` is None, else from the float network of its seed."""

    row: str
    seed: int
    bits: int | None = None
    rule: StepRule = field(default=_START)

    @property
    def name(self) -> str:
        """Its folder."""
        return f"{self.row.replace(' ', '-')}-{self.seed}"


FLOAT = [Run(row="float", seed=seed) for seed in SEEDS]
QUANTIZED = [
    *(Run(row="2 bits", seed=seed, bits=2) for seed in SEEDS),
    *(Run(row=f"{bits} bits", seed=0, bits=bits) for bits in (4, 3, 8)),
    *(
        Run(row="2 bits fixed", seed=seed, bits=2, rule=replace(_START, learning=Learning.FIXED))
        for seed in SEEDS
    ),
    Run(row="2 bits unscaled", seed=0, bits=2, rule=replace(_START, grad_scale=GradScale.NONE)),
]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where data and results are, and how long training takes."""

    data: str
    folder: Path
    float_epochs: int
    epochs: int


def complete(run: Run, settings: Settings) -> dict[str, Any]:
    """Train what is left of ``run``, and test it; kept beside its checkpoint."""
    data_set = load_data_set(settings.data)
    trainer = _trainer(run, settings, data_set)
    folder = settings.folder / run.name
    folder.mkdir(parents=True, exist_ok=True)
    try:
        run_phase(trainer, folder)
    except TrainingError as error:
        return {"failure": str(error)}
    result = _tested(run, trainer)
    write_files({folder / RESULT: text_writer(json.dumps(result, indent=2) + "\n")})
    return result


def _trainer(run: Run, settings: Settings, data_set: DataSet) -> Trainer:
    graph = residual(data_set.sample_shape, data_set.n_classes)
    if run.bits is None:
        model = Model(graph, run.seed)
        spec = TrainingSpec(
            epochs=settings.float_epochs, learning_rate=FLOAT_RATE, weight_decay=FLOAT_DECAY,
            seed=run.seed, augmentation=STANDARD,
        )  # fmt: skip
    else:
        policy = QuantizationPolicy(
            weight_bits=run.bits, activation_bits=run.bits, input_sign=InputSign.SIGNED,
            activation_rule=run.rule, weight_rule=run.rule,
        )  # fmt: skip
        model = Model(quantized(graph, policy), run.seed)
        start = load_training(settings.folder / FLOAT[run.seed].name / CHECKPOINT_NAME)
        model.load_state(model.state() | start.model.state())
        spec = TrainingSpec(
            epochs=settings.epochs, learning_rate=RATE, weight_decay=weight_decay_of(run.bits),
            seed=run.seed, augmentation=STANDARD,
        )  # fmt: skip
    return Trainer(model, data_set, spec)


def _tested(run: Run, trainer: Trainer) -> dict[str, Any]:
    """What a trained run is worth, on the integers too."""
    accuracy, data_set = trainer.records[-1].test_accuracy, trainer.data_set
    if run.bits is None:
        return {"accuracy": accuracy}
    found = evaluate_on_integers(trainer.model, data_set, data_set.test, HARDWARE)
    return {
        "accuracy": accuracy,
        "integer_accuracy": found.accuracy,
        "agreement": found.agreement,
        "codes": _codes(found.folded.network, data_set),
    }


def _codes(network: Network, data_set: DataSet) -> dict[str, int]:
    """Codes of all nodes that differ from the float reference, and those beyond the bound."""
    values = data_set.real(data_set.test.values[:N_COMPARED])
    run = network.run(values, keep=Keep.ALL, observe=True)
    nodes = compare_network(network, run)
    return {
        "compared": sum(node.n_outputs for node in nodes),
        "differing": sum(node.n_differing for node in nodes),
        "beyond_bound": sum(node.n_beyond_bound for node in nodes),
    }


def run_all(settings: Settings, jobs: int) -> dict[str, dict[str, Any]]:
    """Train and test every run, floats first; results by name, or why there is none."""
    results: dict[str, dict[str, Any]] = {}
    context = multiprocessing.get_context("spawn")
    work = partial(complete, settings=settings)
    with (
        _progress(settings) as show,
        ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool,
    ):
        running: dict[Future[dict[str, Any]], Run] = {pool.submit(work, run): run for run in FLOAT}
        while running:
            for future in wait(running, timeout=1, return_when="FIRST_COMPLETED").done:
                run = running.pop(future)
                results[run.name] = future.result()
                if run.bits is None:
                    after = [q for q in QUANTIZED if q.seed == run.seed]
                    running |= {pool.submit(work, q): q for q in after}
            show()
    return results


@contextmanager
def _progress(settings: Settings) -> Iterator[Callable[[], None]]:
    """On a terminal, how many epochs are done; call what it yields to look again."""
    console = Console(stderr=True)
    runs = [*FLOAT, *QUANTIZED]
    total = sum(settings.float_epochs if run.bits is None else settings.epochs for run in runs)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("epochs", total=total)

        def show() -> None:
            done = sum(_epochs_done(settings.folder / run.name) for run in runs)
            progress.update(task, completed=done)

        yield show


def _epochs_done(folder: Path) -> int:
    path = folder / LINES_NAME
    return len(path.read_text().splitlines()) if path.exists() else 0


def markdown(results: Mapping[str, dict[str, Any]]) -> str:
    """The table of the runs that have results: a row for all seeds of a kind, in percent."""
    lines = [
        "| network | seeds | fake quantization | on the integers | against float | same class |",
        "|---|---|---|---|---|---|",
    ]
    runs = [run for run in [*FLOAT, *QUANTIZED] if run.name in results]
    reference = statistics.mean(results[run.name]["accuracy"] for run in runs if run.bits is None)
    for kind in dict.fromkeys(run.row for run in runs):
        found = [results[run.name] for run in runs if run.row == kind]
        lines.append(_line(kind, found, reference))
    return "\n".join(lines) + "\n"


def _line(kind: str, found: Sequence[dict[str, Any]], reference: float) -> str:
    failures = [result["failure"] for result in found if "failure" in result]
    if failures:
        return f"| {kind} | {len(found)} | diverges: {failures[0]} | | | |"
    if "integer_accuracy" not in found[0]:
        return f"| {kind} | {len(found)} | {_percent([r['accuracy'] for r in found])} | | | |"
    integers = [result["integer_accuracy"] for result in found]
    gain = 100 * (statistics.mean(integers) - reference)
    agreement = 100 * min(result["agreement"] for result in found)
    return (
        f"| {kind} | {len(found)} | {_percent([r['accuracy'] for r in found])} | "
        f"{_percent(integers)} | {gain:+.2f} | {agreement:.2f} % |"
    )


def _percent(shares: Sequence[float]) -> str:
    mean = f"{100 * statistics.mean(shares):.2f}"
    return mean if len(shares) == 1 else f"{mean} ± {100 * statistics.stdev(shares):.2f}"


def main() -> None:
    """Parse options, train, test, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="folder of CIFAR-10, or its name below LSQSIM_DATA_DIR")
    parser.add_argument("--output", type=Path, required=True, help="folder of all results")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once, one core each (2)")
    parser.add_argument("--float-epochs", type=int, default=FLOAT_EPOCHS)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of each quantized network")
    options = parser.parse_args()
    settings = Settings(
        data=options.data, folder=options.output,
        float_epochs=options.float_epochs, epochs=options.epochs,
    )  # fmt: skip
    results = run_all(settings, options.jobs)
    table = markdown(results)
    files = {"table.md": table, "table.json": json.dumps(results, indent=2) + "\n"}
    write_files({settings.folder / name: text_writer(text) for name, text in files.items()})
    print(table)


if __name__ == "__main__":
    main()
