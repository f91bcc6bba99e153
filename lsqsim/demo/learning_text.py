"""What learning gained, as a table: accuracies before and after, and how far step sizes moved."""

import textwrap

from rich import box
from rich.console import Console
from rich.table import Table

from lsqsim.demo.results import DemoResult

_WIDTH = 79
_LAYERS = (
    ("input_codes", "layer1.weight"),
    ("relu1", "layer2.weight"),
    ("relu2", "layer3.weight"),
)
"""Quantizers of each layer's inputs and weights."""


def print_learning(result: DemoResult, console: Console) -> None:
    """Print the table and what it means."""
    text = (
        "What learning gained: step sizes start calibrated (of least squared error, weights the "
        "float network's), and LSQ learns them by gradient, with the weights. All codes have one "
        "width, in the first and last layer too, since the accumulators below are about one "
        "width. Right: % of the test images; integers: on the first design of the width below; "
        "same: % of images that integers and the trained network give one class; x, w: by how many "
        "% the learned step size of a layer's inputs and weights exceeds the calibrated one. (Of "
        "pixels, multiples of 1/16, many 8-bit step sizes keep all.)"
    )
    for line in ("", *textwrap.wrap(text, _WIDTH), ""):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(_table(result))
    best = max(result.learned.values(), key=lambda found: found.accuracy_gain)
    line = f"Learning gains most at {best.bits} bits: {100 * best.accuracy_gain:.1f} points."
    console.print(f"\n{line}", markup=False, highlight=False, soft_wrap=True)


def percent(share: float) -> str:
    """A share in percent."""
    return f"{100 * share:.1f}"


def _table(result: DemoResult) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False, header_style="")
    for name, width in (
        ("\nbits", 4), ("right\nfloat", 6), ("\ncalibr.", 7), ("\nlearned", 7),
        ("\nintegers", 8), ("\nsame", 6), ("layer1\nx", 7), ("\nw", 3), ("layer2\nx", 6),
        ("\nw", 3), ("layer3\nx", 6), ("\nw", 3),
    ):  # fmt: skip
        table.add_column(name, justify="right", width=width, no_wrap=True)
    for bits, learned in result.learned.items():
        run = result.widest(bits)
        table.add_row(
            str(bits),
            percent(result.float_accuracy),
            percent(learned.calibrated_accuracy),
            percent(learned.accuracy),
            percent(run.integer_accuracy),
            percent(run.agreement),
            *(f"{100 * learned.step_change(name):+.0f}" for pair in _LAYERS for name in pair),
        )
    return table
