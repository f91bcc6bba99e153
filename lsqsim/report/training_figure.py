"""Training as a picture: loss, accuracy and step sizes, epoch by epoch.

Color tells what was measured on; line and marker tell it as well, so that nothing hangs on color
alone.
"""

import math
from collections.abc import Sequence
from typing import Any

from lsqsim.report.content import Report
from lsqsim.report.drawing import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    look,
    picture_of,
)

_TRAIN: Report = {"color": BLUE, "linestyle": "--", "marker": "o", "label": "training set"}
_TEST: Report = {"color": ORANGE, "linestyle": "-", "marker": "s", "label": "test set"}
_INTEGERS: Report = {
    "color": GREEN, "linestyle": ":", "marker": "D", "label": "test set on the integers",
}  # fmt: skip
_GRID = {"axes.grid": True, "grid.color": "#eeeeee", "grid.linewidth": 0.8}
_HEADING: dict[str, Any] = {"loc": "left", "fontsize": 9.5}
_MAX_MARKED = 40
"""Epochs up to which each has a marker."""
_N_NAMED = 3
"""Quantizers that are called by name: those that moved the most."""

INTEGER_ACCURACY = "integer_accuracy"
"""What a record calls the accuracy of the integer network, measured after an epoch."""


def draw_training(records: Sequence[Report], title: str, suffix: str) -> bytes:
    """The picture of the records of all epochs, as a PNG or SVG file.

    Parameters
    ----------
    records : sequence of dict
        Plain data of each epoch (``EpochRecord.to_dict``), at least one.
    title : str
        Stands above.
    suffix : str
        ``.png`` or ``.svg``.

    Raises
    ------
    LsqsimError
        matplotlib is missing.
    """
    with look(_GRID):
        return picture_of(_draw(records, title), suffix)


def _draw(records: Sequence[Report], title: str) -> Any:
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: PLC0415
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    n_panels = 3 if records[-1]["step_sizes"] else 2
    figure = Figure(figsize=(7.5, 2.6 * n_panels + 0.6), layout=ConstrainedLayoutEngine(h_pad=0.06))
    axes = figure.subplots(n_panels, 1, sharex=True)
    _draw_loss(axes[0], records)
    _draw_accuracy(axes[1], records)
    if n_panels == 3:
        _draw_steps(axes[2], records)
    axes[-1].set_xlabel("epoch")
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.suptitle(title, fontsize=11.5, fontweight="bold")
    return figure


def _plot(axis: Any, records: Sequence[Report], values: Sequence[float], style: Report) -> None:
    marker = style["marker"] if len(records) <= _MAX_MARKED else ""
    epochs = [record["epoch"] for record in records]
    axis.plot(epochs, values, **style | {"marker": marker, "markersize": 4, "linewidth": 1.5})


def _draw_loss(axis: Any, records: Sequence[Report]) -> None:
    _plot(axis, records, [record["loss"] for record in records], _TRAIN)
    _plot(axis, records, [record["test_loss"] for record in records], _TEST)
    axis.set_title("Loss", **_HEADING)
    axis.legend(frameon=False)


def _draw_accuracy(axis: Any, records: Sequence[Report]) -> None:
    _plot(axis, records, [100 * record["train_accuracy"] for record in records], _TRAIN)
    _plot(axis, records, [100 * record["test_accuracy"] for record in records], _TEST)
    measured = [record for record in records if INTEGER_ACCURACY in record["measured"]]
    if measured:
        found = [100 * record["measured"][INTEGER_ACCURACY] for record in measured]
        _plot(axis, measured, found, _INTEGERS)
    axis.set_title("Right predictions (%)", **_HEADING)
    axis.legend(frameon=False)


def _draw_steps(axis: Any, records: Sequence[Report]) -> None:
    """Every step size against that after the first epoch; of several channels, their mean."""
    from matplotlib.ticker import MaxNLocator, NullLocator  # noqa: PLC0415

    first = {name: _mean(steps) for name, steps in records[0]["step_sizes"].items()}
    curves = {
        name: [_mean(record["step_sizes"][name]) / start for record in records]
        for name, start in first.items()
    }
    farthest = sorted(curves, key=lambda name: -abs(math.log(curves[name][-1])))[:_N_NAMED]
    for name, ratios in curves.items():
        is_weight = name.endswith(".weight")
        style = {"color": BLUE if is_weight else ORANGE, "linestyle": "-" if is_weight else "--"}
        epochs = [record["epoch"] for record in records]
        axis.plot(epochs, ratios, linewidth=1.0, alpha=0.8, **style)
        if name in farthest:
            axis.annotate(
                name, (epochs[-1], ratios[-1]), (4, 0), textcoords="offset points",
                va="center", fontsize=7, color=INK,
            )  # fmt: skip
    axis.axhline(1.0, color=FAINT, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    axis.set_yscale("log", base=2)
    axis.yaxis.set_major_locator(MaxNLocator(6))
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
    axis.yaxis.set_minor_locator(NullLocator())
    axis.set_title("Step sizes against those after epoch 1 (solid: weights, dashed: activations)",
                   **_HEADING)  # fmt: skip


def _mean(steps: Sequence[float]) -> float:
    """The geometric mean: step sizes are positive, and what counts are their ratios."""
    return math.exp(math.fsum(map(math.log, steps)) / len(steps))
