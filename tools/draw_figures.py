"""Draw the figures of docs/overflow.md: ``python -m tools.draw_figures [FOLDER]``.

The same data give the same bytes: no date, no random ids, letters as outlines. Nothing is told by
color alone.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from examples.accumulation_order import ORDERS, percentiles, run, run_many
from examples.digits_widths import network, trained
from lsqsim import AccumulatorSpec, CompiledLayer, Overflow, OverflowKind, StageSpec
from lsqsim.budget.bounds import layer_bounds
from lsqsim.design.comparison import BudgetComparison
from lsqsim.design.grid import chain_inputs
from lsqsim.design.side_by_side import compare_designs
from lsqsim.observed.networks import observe_chain

FOLDER = Path(__file__).parents[1] / "docs" / "figures"
BITS = 4
WALK_BITS = 9
STYLE: Any = {
    "axes.axisbelow": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": 9,
    "hatch.linewidth": 0.6,
    "legend.edgecolor": "none",
    "legend.framealpha": 1,
    "svg.hashsalt": "lsqsim",
}
DASHES = (0, (4, 1.5))
# Blue wraps and orange saturates, as in the figure of `lsqsim budget`.
DARK, BLUE, ORANGE, PALE = "#1a1a1a", "#0072b2", "#d55e00", "#dddddd"


def register_walk() -> Figure:
    """One output of the digits network, in registers that wrap and that saturate."""
    unit = network(BITS).layers[0]
    digits, _ = trained()
    wraps, saturates = (_narrowed(unit, overflow) for overflow in Overflow)
    result, other = wraps.run(digits.test_pixels), saturates.run(digits.test_pixels)
    assert result.overflow is not None
    off = result.overflow.total - other.accumulators  # clipped above, where it is positive
    off[result.overflow.kind != OverflowKind.TRANSIENT] = 0
    index = np.unravel_index(off.argmax(), off.shape)
    at = tuple(int(i) for i in index)
    wrapping, saturating = (
        [addition.after for addition in one.walk_output(result.input, at)]
        for one in (wraps, saturates)
    )
    exact = np.cumsum([a.operand for a in wraps.walk_output(result.input, at)])
    register = wraps.spec.accumulator.format
    entered = np.arange(len(exact))

    figure = Figure(figsize=(7.2, 3.8))
    axes = figure.add_subplot()
    top, bottom = exact.max() * 1.12, register.min * 1.25
    for low, high in ((register.max, top), (bottom, register.min)):
        axes.axhspan(low, high, color=PALE, linewidth=0, zorder=0)
    is_outside = exact > register.max
    axes.fill_between(
        entered, exact, register.max, where=list(is_outside), step="post",
        facecolor="white", edgecolor=DARK, hatch="////", linewidth=0,
    )  # fmt: skip
    axes.step(entered, saturating, where="post", color=ORANGE, linewidth=2.6)
    axes.step(entered, wrapping, where="post", color=BLUE, linewidth=1.3, linestyle=DASHES)
    axes.step(entered, exact, where="post", color=DARK, linewidth=1.1)
    axes.set(xlim=(0, len(exact) - 1), ylim=(bottom, top), xlabel="products that have entered")
    axes.set_ylabel("register, units of s_x · s_w")
    axes.set_yticks([register.min, register.min // 2, 0, register.max // 2 + 1, register.max])
    axes.set_title(
        f"{WALK_BITS}-bit registers. Digits, {BITS}-bit codes: "
        f"layer1, neuron {at[1]}, image {at[0]}"
    )
    axes.text(0.6, register.max + 8, "beyond the register", va="bottom", fontsize=8)
    peak = int(exact.argmax())
    axes.text(peak - 3, exact[peak] - 12, "exact sum", ha="right")
    middle = int(np.flatnonzero(is_outside).mean())
    axes.text(
        middle, register.max + 30, "transient overflow", ha="center", fontsize=8,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )  # fmt: skip
    _label_ends(axes, exact[-1], wrapping[-1], saturating[-1])
    return figure


def needed_bits() -> Figure:
    """Outputs by the bits that they need, and the bounds, for each layer."""
    chain = network(BITS)
    design = chain.layers[0].spec.accumulator
    seen = observe_chain(chain, trained()[0].test_pixels, [design])
    figure = Figure(figsize=(7.2, 4.4))
    panels = figure.subplots(len(chain.layers), 1, sharex=True)
    for axes, unit, inputs, layer in zip(
        panels, chain.layers, chain_inputs(chain), seen.layers, strict=True
    ):
        [bounds] = layer_bounds(unit, inputs)
        profile = layer.profile_of(design)
        share = profile.needed_bits_histogram(0) / layer.n_outputs
        widths = np.flatnonzero(share)
        axes.bar(widths, 100 * share[widths], width=0.8, color=PALE, edgecolor=DARK, linewidth=0.8)
        for bits in widths:
            _label_bar(axes, int(bits), share[bits])
        largest = bounds.largest()
        marks = {
            "observed": profile.observed_bits[-1],
            "exact": largest["saturate"],
            "l1": largest["l1"],
            "data type": largest["data_type"],
        }
        _mark_bounds(axes, marks)
        axes.set_title(f"{unit.layer.name}, K = {unit.layer.weight_shape[1]}")
        axes.set(ylabel="% of outputs", ylim=(0, 90), yticks=(0, 25, 50), xlim=(0.4, 14.9))
    panels[-1].set_xlabel("bits that an output needs, all prefixes included")
    panels[-1].set_xticks(range(1, 15))
    return figure


def accumulation_order() -> Figure:
    """The order experiment: what saturation recovers of the totals that fit."""
    one, many = run(), run_many(100)
    names = list(ORDERS)
    figure = Figure(figsize=(7.2, 3.2))
    axes = figure.add_subplot()
    places = np.arange(len(names))[::-1]
    axes.axvline(100, color=BLUE, linewidth=2, linestyle=DASHES)
    axes.text(101.5, places.mean(), "wrap:\n100 % in\nevery order", va="center", color=BLUE)
    for place, name in zip(places, names, strict=True):
        low, middle, high = (100 * share for share in percentiles(many, name))
        below = place - 0.19
        axes.plot([low, high], [below] * 2, color=DARK, linewidth=1, marker="|", clip_on=False)
        axes.plot(middle, below, "o", color="white", markeredgecolor=DARK, clip_on=False, zorder=3)
        shown = 100 * one.saturate[name]
        axes.barh(place + 0.16, shown, height=0.34, color=ORANGE, edgecolor=DARK, linewidth=0.8)
        is_wide = shown > 85
        axes.text(
            shown + (-1 if is_wide else 1.2), place + 0.15, f"{shown:.1f} %", fontsize=8,
            va="center", ha="right" if is_wide else "left", color="white" if is_wide else DARK,
        )  # fmt: skip
    axes.set_yticks(places, names)
    axes.set(xlim=(0, 118), ylim=(-0.6, len(names) - 0.4), xticks=range(0, 101, 20))
    axes.set_xlabel("% of the totals that fit that a saturating register ends with")
    axes.set_title(
        f"K = 512, 17 bits. Bars: one neuron, {100 * one.fits:.0f} % of its totals fit.\n"
        f"Below them: median (○) and 10th to 90th percentile of {len(many)} neurons"
    )
    return figure


def width_sweep() -> Figure:
    """Overflow and accuracy against the width, the bounds drawn in."""
    chain = network(BITS)
    widths = range(8, 15)
    found = _sweep(widths)
    figure = Figure(figsize=(7.2, 4.6))
    accuracy, overflow = figure.subplots(2, 1, sharex=True, height_ratios=(1.25, 1))
    for rule, color, style, marker in (
        (Overflow.WRAP, BLUE, DASHES, "s"),
        (Overflow.SATURATE, ORANGE, "-", "o"),
    ):
        seen = [
            design.observed for design in found.designs
            if design.accumulator.stages[-1].overflow is rule and design.observed is not None
        ]  # fmt: skip
        accuracy.plot(
            widths, [100 * (one.accuracy or 0.0) for one in seen],
            color=color, linestyle=style, marker=marker, label=f"{rule}s",
            markerfacecolor=color if rule is Overflow.SATURATE else "white",
        )  # fmt: skip
    n = [one.overflow.outputs for one in seen]
    persistent = [100 * one.overflow.persistent / m for one, m in zip(seen, n, strict=True)]
    transient = [100 * one.overflow.transient / m for one, m in zip(seen, n, strict=True)]
    overflow.bar(widths, persistent, width=0.6, color="#777777", edgecolor=DARK, label="persistent")
    overflow.bar(widths, transient, width=0.6, bottom=persistent, color="white", edgecolor=DARK,
                 hatch="////", label="transient")  # fmt: skip
    for bits, a, b in zip(widths, persistent, transient, strict=True):
        _label_bar(overflow, bits, (a + b) / 100)
    layers = found.layers
    marks = {
        "observed": max(layer.observed_saturate or 0 for layer in layers),
        "exact": max(layer.bounds["saturate"] for layer in layers),
        "l1": max(layer.bounds["l1"] for layer in layers),
        "data type": max(layer.bounds["data_type"] for layer in layers),
    }
    accuracy.set(ylabel="% of images right", ylim=(0, 135), yticks=range(0, 101, 20))
    overflow.set(xlabel="accumulator bits P", ylabel="% of outputs", xticks=list(widths))
    overflow.set_ylim(0, 1.35 * max(a + b for a, b in zip(persistent, transient, strict=True)))
    _mark_bounds(accuracy, marks)
    for bits in marks.values():
        overflow.axvline(bits, color=DARK, linewidth=0.8, linestyle=":", zorder=0)
    accuracy.legend(loc="center", bbox_to_anchor=(0.6, 0.35), title="a register that")
    overflow.legend(loc="upper right", title="outputs that overflow")
    accuracy.set_title(f"Digits, {BITS}-bit codes, {chain.layers[0].layer.name} to "
                       f"{chain.layers[-1].layer.name} alike: 600 test images")  # fmt: skip
    return figure


FIGURES: dict[str, Callable[[], Figure]] = {
    "register_walk": register_walk,
    "needed_bits": needed_bits,
    "accumulation_order": accumulation_order,
    "width_sweep": width_sweep,
}


def draw(folder: Path, *, suffix: str = ".svg") -> list[Path]:
    """Every figure as a file; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    with mpl.rc_context(STYLE):
        for name, figure in FIGURES.items():
            paths.append(folder / f"{name}{suffix}")
            metadata = {"Date": None, "Creator": None} if suffix == ".svg" else None
            figure().savefig(paths[-1], metadata=metadata, dpi=150)
    return paths


def main() -> None:
    """Draw all."""
    parser = argparse.ArgumentParser(description="Draw the figures of docs/overflow.md.")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="docs/figures")
    parser.add_argument("--png", action="store_true", help="PNG, to look at, instead of SVG")
    options = parser.parse_args()
    for path in draw(options.folder, suffix=".png" if options.png else ".svg"):
        print(path)


def _narrowed(unit: CompiledLayer, overflow: Overflow) -> CompiledLayer:
    return unit.with_accumulator(
        AccumulatorSpec(stages=(StageSpec(bits=WALK_BITS, overflow=overflow),))
    )


def _sweep(widths: range) -> BudgetComparison:
    digits, _ = trained()
    designs = [
        AccumulatorSpec(stages=(StageSpec(bits=bits, overflow=overflow),))
        for overflow in Overflow
        for bits in widths
    ]
    return compare_designs(
        network(BITS), designs, data=digits.test_pixels, labels=digits.test_classes
    )


def _label_ends(axes: Axes, exact: int, wrapping: int, saturating: int) -> None:
    assert exact == wrapping, "a wrapping register forgives transient overflow"
    ends = ((exact, f"exact, and\nwraps (dashed): {_signed(exact)}", DARK),
            (saturating, f"saturates (thick):\n{_signed(saturating)}", ORANGE))  # fmt: skip
    for value, text, color in ends:
        axes.annotate(
            text, (1, value), (6, 0), va="center", color=color,
            xycoords=("axes fraction", "data"), textcoords="offset points", annotation_clip=False,
        )  # fmt: skip


def _mark_bounds(axes: Axes, marks: dict[str, int], *, at: float = 0.98) -> None:
    """A dotted line at each bound, its name at the top; equal ones share a line."""
    names: dict[int, list[str]] = {}
    for name, bits in marks.items():
        names.setdefault(bits, []).append(name)
    for bits, together in names.items():
        axes.axvline(bits, color=DARK, linewidth=0.8, linestyle=":", zorder=0)
        axes.text(
            bits, at, ",\n".join(together), ha="center", va="top", fontsize=7.5,
            transform=axes.get_xaxis_transform(),
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )  # fmt: skip


def _label_bar(axes: Axes, place: int, share: float) -> None:
    axes.annotate(
        _percent(share), (place, 100 * share), (0, 3), textcoords="offset points", ha="center",
        fontsize=7, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0},
    )  # fmt: skip


def _signed(value: int) -> str:
    return str(value).replace("-", "\N{MINUS SIGN}")


def _percent(share: float) -> str:
    """One decimal, two below 0.1 %."""
    if share == 0:
        return "0"
    return f"{100 * share:.2f} %" if share < 0.001 else f"{100 * share:.1f} %"


if __name__ == "__main__":
    main()
