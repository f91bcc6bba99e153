"""What the numbers of the demonstration say, in sentences that they themselves fill in."""

from collections.abc import Iterator

from lsqsim.demo.results import DemoResult, DesignRun
from lsqsim.formats import Overflow


def summary(result: DemoResult) -> list[str]:
    """The sentences for which there are designs in ``result``."""
    return [
        *_codes(result),
        *_accumulators(result),
        *_transient(result),
        *_persistent(result),
        *_tiles(result),
        *_bound(result),
    ]


def _codes(result: DemoResult) -> Iterator[str]:
    accuracies = ", ".join(
        f"{bits} bits {100 * found.accuracy:.1f} % ({100 * found.calibrated_accuracy:.1f} %)"
        for bits, found in result.learned.items()
    )
    yield (
        f"Learned step sizes (calibrated ones, no training), whatever the accumulator: "
        f"{accuracies}; float {100 * result.float_accuracy:.1f} %."
    )


def _accumulators(result: DemoResult) -> Iterator[str]:
    needs = ", ".join(
        f"{widths} {max(layer.bits_used for layer in runs[0].layers)} "
        f"({max(layer.bits_safe for layer in runs[0].layers)})"
        for widths, runs in _by_widths(result).items()
    )
    yield f"Accumulator bits that hold every total of these images (of any): {needs}."


def _transient(result: DemoResult) -> Iterator[str]:
    """A single wrapping register always comes back to a total that fits."""
    chains = [run for run in result.designs if run.design.tile is None]
    parts: list[str] = []
    for overflow, words in (
        (Overflow.WRAP, "an accumulator that wraps loses"),
        (Overflow.SATURATE, "one that saturates"),
    ):
        runs = [run for run in chains if run.design.overflow is overflow]
        n = sum(run.counts.transient for run in runs)
        if n:
            parts.append(f"{words} {sum(run.n_transient_lost for run in runs)} of {n} totals")
    if parts:
        yield f"Transient overflow: {', '.join(parts)}."


def _persistent(result: DemoResult) -> Iterator[str]:
    """The two designs that differ in the overflow rule alone, and in accuracy the most."""
    by_name = {run.design.name: run for run in result.designs}
    pairs = [
        (run, by_name[f"{name}s"])
        for name, run in by_name.items()
        if f"{name}s" in by_name and run.counts.persistent
    ]
    if pairs:
        wrap, saturate = max(
            pairs, key=lambda pair: abs(pair[1].integer_accuracy - pair[0].integer_accuracy)
        )
        yield (
            f"Persistent overflow: wrapping turns a large sum into its opposite, saturating keeps "
            f"it large. {wrap.design.name} is right on {_percent(wrap)} %, "
            f"{saturate.design.name} on {_percent(saturate)} %."
        )


def _tiles(result: DemoResult) -> Iterator[str]:
    """A first register that overflows hands on a wrong sum: no later register can know."""
    tiled = [run for run in result.designs if run.design.tile is not None and run.n_transient_lost]
    if tiled:
        run = min(tiled, key=lambda r: r.integer_accuracy)
        share = 100 * run.n_transient_lost / run.counts.outputs
        yield (
            f"A first register that is too narrow loses totals that the accumulator behind it "
            f"would hold: {share:.2g} % of all in {run.design.name}, which is right on "
            f"{_percent(run)} %."
        )


def _bound(result: DemoResult) -> Iterator[str]:
    comparisons = [layer.comparison for run in result.designs for layer in run.layers]
    n = sum(comparison.n_outputs - comparison.n_inexact for comparison in comparisons)
    beyond = sum(comparison.n_beyond_bound for comparison in comparisons)
    yield (
        f"Of the {n} outputs whose accumulator held its exact total, {beyond} lie farther from "
        f"the float reference than the analytic bound."
    )


def _percent(run: DesignRun) -> str:
    return f"{100 * run.integer_accuracy:.1f}"


def _by_widths(result: DemoResult) -> dict[str, list[DesignRun]]:
    """Designs by widths of weights and activations, in order; the first has the most room."""
    groups: dict[str, list[DesignRun]] = {}
    for run in result.designs:
        key = f"{run.design.weight_bits}/{run.design.activation_bits}"
        groups.setdefault(key, []).append(run)
    return groups
