"""Designs side by side as a picture: what each width of the last register loses, and the bounds.

Three panels share the widths: which bits each bound asks for, how many outputs overflow, and
what that costs. Color tells the overflow rule; line and marker tell what is summed before; a filled
marker saturates, so that nothing hangs on color alone.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lsqsim.errors import DataError
from lsqsim.report.budget import acc_bits_of, groups_of
from lsqsim.report.budget_words import cost_of, exact_level, figure_title, findings, group_label
from lsqsim.report.content import Report
from lsqsim.report.drawing import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    load_matplotlib,
    look,
    picture_of,
)

MAX_LINES = 8
SUFFIXES = (".png", ".svg")

_BOUNDS = {
    "data_type": "data types",
    "l1": "l1 norm (A2Q)",
    "zero_centered": "zero-centered (A2Q+)",
    "saturate": "exact, saturating",
    "wrap": "exact, wrapping",
    "observed_saturate": "this data, saturating",
    "observed_wrap": "this data, wrapping",
}
_COLORS = {"wrap": BLUE, "saturate": ORANGE}
_STYLES = (
    *(("-", "o"), ("--", "s"), (":", "^"), ("-.", "D")),
    *(("-", "v"), ("--", "P"), (":", "X"), ("-.", "<")),
)
_GUIDE, _AREA = "#bbbbbb", "#ececec"
_HEADING: dict[str, Any] = {"loc": "left", "fontsize": 9.5}
_RIGHT: dict[str, Any] = {"loc": "right", "color": GREEN}
_MAX_LABEL = 52
"""Longer labels stand below each other, not side by side."""
_APART = 0.07
"""Bits by which curves are moved apart, so that equal ones stay in view."""


def require_drawable(path: Path, n_lines: int) -> None:
    """Refuse a picture that can't be drawn, or that nobody could read, before a long run."""
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path}: a figure ends in {' or '.join(SUFFIXES)}: change the name")
    if n_lines > MAX_LINES:
        raise DataError(
            f"a figure has at most {MAX_LINES} curves, one for each rule, tile and tile width; "
            f"these designs make {n_lines}: give fewer"
        )
    load_matplotlib()


def draw_budget(report: Report, suffix: str) -> bytes:
    """The picture of a :func:`~lsqsim.report.budget_report` with data, as a PNG or SVG file.

    Parameters
    ----------
    report : dict
        The report.
    suffix : str
        ``.png`` or ``.svg``.
    """
    with look():
        return picture_of(_Picture(report).draw(), suffix)


class _Picture:
    """One picture being drawn."""

    def __init__(self, report: Report) -> None:
        from matplotlib.figure import Figure  # noqa: PLC0415
        from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: PLC0415

        self.report = report
        self.groups = list(groups_of(report).values())
        self.bounds = {name: max(layer[name] for layer in report["layers"]) for name in _BOUNDS}
        layout = ConstrainedLayoutEngine(h_pad=0.06, hspace=0.04)
        self.figure = Figure(figsize=(8.0, 8.6), layout=layout)
        axes = self.figure.subplots(3, 1, sharex=True, height_ratios=(1.5, 2.4, 2.4))
        self.widths, self.overflow, self.cost = axes

    def draw(self) -> Any:
        """All of it."""
        self._draw_bounds()
        self._draw_overflow()
        self._draw_cost()
        self._draw_axis()
        self.figure.suptitle(figure_title(self.report), fontsize=11.5, fontweight="bold")
        self._draw_legend()
        return self.figure

    def _draw_bounds(self) -> None:
        """One row a bound; its width as a number, and a guide down through the other panels."""
        axis, names = self.widths, list(_BOUNDS)
        for row, name in enumerate(names):
            bits = self.bounds[name]
            marker = "v" if name.startswith("observed") else "D"
            axis.plot([bits], [row], marker=marker, color=INK, markersize=6)
            axis.annotate(
                self._number(name), (bits, row), (8, 0), textcoords="offset points", va="center",
            )  # fmt: skip
            axis.plot([bits, bits], [row, len(names)], color=_GUIDE, linewidth=0.9, zorder=0)
        for bits in set(self.bounds.values()):
            for other in (self.overflow, self.cost):
                other.axvline(bits, color=_GUIDE, linewidth=0.9, zorder=0)
        axis.set_yticks(range(len(names)), [_BOUNDS[name] for name in names])
        axis.set_ylim(len(names) - 0.4, -0.7)
        axis.tick_params(axis="y", length=0)
        axis.set_title("Width of the last register by each bound", **_HEADING)
        axis.set_title("green halo: certified for all inputs", **_HEADING | _RIGHT)

    def _number(self, name: str) -> str:
        bits = self.bounds[name]
        is_short = name == "zero_centered" and bits < self.bounds["wrap"]
        return f"{bits} (too few)" if is_short else f"{bits}"

    def _draw_overflow(self) -> None:
        axis, n_outputs = self.overflow, self.report["designs"][0]["observed"]["outputs"]
        for x, style, designs in self._lines():
            shares = [100 * d["observed"]["overflow_share"] for d in designs]
            self._plot(axis, x, shares, style, designs)
        # Whether a total fits depends on the last register's width alone.
        persistent = {
            acc_bits_of(d): 100 * d["observed"]["persistent"] / max(n_outputs, 1)
            for d in self.report["designs"]
        }
        bits = sorted(persistent)
        heights = [persistent[width] for width in bits]
        axis.fill_between(bits, heights, color=_AREA, linewidth=0, zorder=0)
        heading = "Outputs that overflow; gray: persistently, so that their total does not fit"
        least = 100 / max(n_outputs, 1)
        axis.set_yscale("symlog", linthresh=least, linscale=0.6)
        ticks = [tick for tick in (0.0001, 0.001, 0.01, 0.1, 1, 10, 100) if tick > 1.5 * least]
        axis.set_yticks([0, *ticks], ["none", *(f"{tick:g} %" for tick in ticks)])
        axis.set_yticks([], minor=True)
        axis.set_ylim(-least / 3, 160)
        axis.set_title(heading, **_HEADING)

    def _draw_cost(self) -> None:
        observation = self.report["observation"]
        axis, has_labels = self.cost, observation["exact_accuracy"] is not None
        for x, style, designs in self._lines():
            costs = [cost_of(design, has_labels=has_labels) for design in designs]
            self._plot(axis, x, costs, style, designs)
        title = "Right predictions (%)" if has_labels else "Worst layer's SQNR (dB)"
        exact = exact_level(observation, has_labels=has_labels)
        if exact is not None:
            axis.axhline(exact, color=INK, linewidth=1.0, linestyle=(0, (1, 2)), zorder=1)
            title += f"; dotted: {exact:.1f} without any overflow"
        axis.margins(y=0.08)
        axis.set_title(title, **_HEADING)

    @staticmethod
    def _plot(
        axis: Any, x: list[float], y: list[float], style: Report, designs: Sequence[Report]
    ) -> None:
        """One curve, with a halo behind what is certified."""
        axis.plot(x, y, **style)
        proven = [i for i, design in enumerate(designs) if design["is_certified"]]
        axis.plot(
            [x[i] for i in proven], [y[i] for i in proven], linestyle="", marker="o",
            markersize=13, color=GREEN, alpha=0.25, markeredgewidth=0, zorder=1.5,
        )  # fmt: skip

    def _draw_axis(self) -> None:
        widths = [*self.bounds.values(), *(acc_bits_of(d) for d in self.report["designs"])]
        low, high = min(widths), max(widths)
        self.cost.set_xlim(low - 0.6, high + 0.9)
        self.cost.set_xticks(range(low, high + 1, max(1, (high - low) // 20)))
        self.cost.set_xlabel("width P of the last register (bits)")
        for axis in (self.overflow, self.cost):
            axis.grid(axis="y", color="#eeeeee", linewidth=0.8)
            axis.tick_params(axis="x", labelbottom=True)

    def _draw_legend(self) -> None:
        handles, labels = self.overflow.get_legend_handles_labels()
        is_long = max(map(len, labels)) > _MAX_LABEL
        legend = self.figure.legend(
            handles, labels, loc="outside lower center", ncols=1 if is_long else 2,
            frameon=False, fontsize=8, handlelength=4, title="\n".join(findings(self.report)),
        )  # fmt: skip
        legend.get_title().set_multialignment("center")

    def _lines(self) -> Iterator[tuple[list[float], dict[str, Any], Sequence[Report]]]:
        """Widths, style and designs of every curve."""
        structures = list(dict.fromkeys(map(_inner, self.groups)))
        for i, designs in enumerate(self.groups):
            rule = designs[0]["accumulator"]["stages"][-1]["overflow"]
            line, marker = _STYLES[structures.index(_inner(designs))]
            aside = _APART * (i - (len(self.groups) - 1) / 2)
            style = {
                "label": group_label(designs),
                "color": _COLORS[rule],
                "linestyle": line,
                "marker": marker,
                "markersize": 6,
                "markerfacecolor": _COLORS[rule] if rule == "saturate" else "white",
                "linewidth": 1.5,
            }
            yield [acc_bits_of(design) + aside for design in designs], style, designs


def _inner(designs: Sequence[Report]) -> tuple[Any, ...]:
    *inner, _ = designs[0]["accumulator"]["stages"]
    return tuple((stage["fan_in"], stage["bits"]) for stage in inner)
