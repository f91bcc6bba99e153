"""A network that learns to live with accumulators too narrow for it: hardware in the loop.

A perceptron on scikit-learn's digits, trained float, then with LSQ at 4 bits. Its certified widths
are those at which no input overflows any register. On narrower registers, which wrap, ordinary LSQ
loses its accuracy; training goes on with the hardware in the loop: the forward pass runs on these
very registers, and gradients pass straight through. Prints a Markdown table, that of
docs/gradients.md.

    python examples/narrow_accumulator.py [--seed 0] [--n-seeds 2]
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from lsqsim.budget.certificate import certify
from lsqsim.coupling import HardwareReplay, HardwareSpec, calibrated_output_step
from lsqsim.coupling.evaluation import evaluate_on_integers
from lsqsim.data_sets import DataSet, load_data_set
from lsqsim.learn.architectures import perceptron
from lsqsim.learn.hooks import Hooks
from lsqsim.learn.model import Model
from lsqsim.learn.placement import QuantizationPolicy, quantized
from lsqsim.learn.training import Trainer
from lsqsim.learn.training_spec import TrainingSpec
from lsqsim.specs import AccumulatorSpec, StageSpec

BITS = 4
WIDE_BITS = 24
RATES = {9: 0.01, 8: 0.003}
"""Accumulator width to learning rate: the narrower, the more a step can spoil."""
COLUMNS = (
    *("seed", "certified, by layer", "wide", "accumulator"),
    *("LSQ", "hardware in the loop", "fake-quantized then"),
)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The LSQ network, real units a code of its output, and its accuracy on wide registers."""

    model: Model
    output_step: float
    accuracy: float
    certified_bits: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Narrow:
    """Accuracies on one narrow accumulator, and of the same network fake-quantized at the end."""

    bits: int
    before: float
    after: float
    fake_quantized: float


@cache
def digits() -> DataSet:
    """The data set that comes with scikit-learn."""
    return load_data_set("digits")


def hardware(bits: int) -> HardwareSpec:
    """An accelerator whose accumulators have ``bits`` bits, and wrap."""
    return HardwareSpec(accumulator=AccumulatorSpec(stages=(StageSpec(bits=bits),)))


def train(seed: int, float_epochs: int = 40, epochs: int = 20) -> Trained:
    """Train float, then with LSQ, and certify the accumulators."""
    data = digits()
    graph = perceptron(data.sample_shape, data.n_classes)
    start = Model(graph, seed)
    _run(start, TrainingSpec(epochs=float_epochs, batch_size=32, learning_rate=0.05, seed=seed))
    policy = QuantizationPolicy(weight_bits=BITS, activation_bits=BITS, edge_bits=BITS)
    model = Model(quantized(graph, policy), seed)
    model.load_state(model.state() | start.state())
    _run(model, TrainingSpec(epochs=epochs, batch_size=32, learning_rate=0.01, seed=seed))
    step = calibrated_output_step(model, data.real(data.train.values), hardware(WIDE_BITS))
    found = evaluate_on_integers(model, data, data.test, hardware(WIDE_BITS), output_step=step)
    bits = {
        name: certify(node.unit).stages[-1].saturate_bits
        for name, node in found.folded.network.layers.items()
    }
    return Trained(
        model=model, output_step=step, accuracy=found.accuracy, certified_bits=bits
    )  # fmt: skip


def survive(trained: Trained, bits: int, seed: int, epochs: int = 15) -> Narrow:
    """Train a copy of the network on accumulators of ``bits`` bits."""
    data, accelerator, step = digits(), hardware(bits), trained.output_step
    model = Model(trained.model.graph, seed)
    model.load_state(trained.model.state())
    before = evaluate_on_integers(model, data, data.test, accelerator, output_step=step)
    spec = TrainingSpec(epochs=epochs, batch_size=32, learning_rate=RATES[bits], seed=seed)
    _run(model, spec, Hooks(replay=HardwareReplay(accelerator, step)))
    after = evaluate_on_integers(model, data, data.test, accelerator, output_step=step)
    return Narrow(
        bits=bits,
        before=before.accuracy,
        after=after.accuracy,
        fake_quantized=after.fake_quantized_accuracy,
    )


def _run(model: Model, spec: TrainingSpec, hooks: Hooks | None = None) -> None:
    Trainer(model, digits(), spec, hooks=hooks or Hooks()).run()


def rows(seed: int = 0, n_seeds: int = 2) -> Iterator[list[str]]:
    """The cells of the table below its head."""
    for each in range(seed, seed + n_seeds):
        trained = train(each)
        certified = " / ".join(map(str, trained.certified_bits.values()))
        for bits in RATES:
            found = survive(trained, bits, each)
            figures = found.before, found.after, found.fake_quantized
            shown = [f"{figure:.1%}" for figure in (trained.accuracy, *figures)]
            yield [str(each), certified, shown[0], f"{bits} bits", *shown[1:]]


def table(seed: int = 0, n_seeds: int = 2) -> str:
    """The table in Markdown."""
    lines: list[Sequence[str]] = [COLUMNS, ["---"] * len(COLUMNS), *rows(seed, n_seeds)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Accumulators that are too narrow, trained for.")
    parser.add_argument("--seed", type=int, default=0, help="the first one of the trainings (0)")
    parser.add_argument("--n-seeds", type=int, default=2, help="how many trainings (2)")
    given = parser.parse_args()
    print(table(given.seed, given.n_seeds))


if __name__ == "__main__":
    main()
