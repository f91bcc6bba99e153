"""The demonstration as text of 80 columns: the network, its layers, and one output's registers."""

import textwrap
from collections.abc import Iterable
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from lsqsim.demo.learning_text import percent, print_learning
from lsqsim.demo.results import DemoResult, DesignRun, LayerRun
from lsqsim.demo.saving import network_command, simulate_command
from lsqsim.demo.summary import summary
from lsqsim.demo.walk_text import walk_lines

_DIRECTORY = Path("demo-output")
"""Where the printed command would save to."""
_WIDTH = 79
_LEGEND = (
    ("w4a4p10", "bits of weights, activations and accumulator, which wraps"),
    ("w4a4p10s", "an accumulator that saturates"),
    ("w4a4t16x9p12", "16 products each meet in a 9-bit register, those sums in 12 bits"),
    ("fake quant.", "the trained network, which rounds where the datapath has codes"),
    ("transient", "a sum left its register on the way, but the total fits;"),
    ("", "lost: it is not what the accumulator ends with"),
    ("persistent", "the total itself does not fit"),
)


def print_demo(result: DemoResult, console: Console, *, saved: Path | None = None) -> None:
    """Print everything.

    Parameters
    ----------
    result : DemoResult
        What to print.
    console : Console
        Where.
    saved : Path, optional
        Where :func:`~lsqsim.demo.saving.save_demo` has put the files.
    """
    _print_head(result, console)
    print_learning(result, console)
    _print_designs_head(console)
    console.print(_network_table(result))
    console.print()
    for sentence in summary(result):
        _print_lines(console, _wrapped(f"- {sentence}", indent="  "))
    _print_layers(result, console)
    digit = int(result.data_set.test.labels[result.walk.image])
    _print_lines(console, ["", *walk_lines(result.walk, digit=digit)])
    _print_next_step(result, console, saved)


def _print_head(result: DemoResult, console: Console) -> None:
    layers = result.designs[0].layers
    sizes = "-".join(str(n) for n in (layers[0].shape[1], *(run.shape[2] for run in layers)))
    text = (
        f"A float network ({sizes}, ReLU), trained on {len(result.data_set.train.labels)} of "
        f"scikit-learn's handwritten digits, classifies {percent(result.float_accuracy)} % of "
        f"{len(result.data_set.test.labels)} other ones right."
    )
    _print_lines(console, _wrapped(text))


def _print_designs_head(console: Console) -> None:
    legend = [f"  {word:<14}{meaning}" for word, meaning in _LEGEND]
    _print_lines(console, ["", "The learned networks on integer datapaths:", "", *legend, ""])


def _network_table(result: DemoResult) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False, header_style="")
    table.add_column("\n\ndesign", no_wrap=True)
    for name in (
        "fake\nquant.\nright %", "\ninteger\nright %", "\nsame\nclass %",
        "overflow\ntransient\n%", "\nof them\nlost %", "overflow\npersist.\n%",
    ):  # fmt: skip
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("worst layer\nagainst its\nreference", no_wrap=True)
    previous = None
    for run in result.designs:
        widths = (run.design.weight_bits, run.design.activation_bits)
        if previous not in (None, widths):
            table.add_section()
        previous = widths
        table.add_row(*_network_row(run))
    return table


def _network_row(run: DesignRun) -> tuple[str, ...]:
    counts = run.counts
    return (
        run.design.name,
        percent(run.fake_quantized_accuracy),
        percent(run.integer_accuracy),
        percent(run.agreement),
        _share(counts.transient, counts.outputs),
        _share(run.n_transient_lost, counts.transient) if counts.transient else "",
        _share(counts.persistent, counts.outputs),
        run.worst_layer.comparison.verdict,
    )


def _print_layers(result: DemoResult, console: Console) -> None:
    layers = result.designs[0].layers
    shapes = ", ".join(" x ".join(map(str, run.shape)) for run in layers)
    text = (
        "Each layer runs on the codes that the one before put out, and is judged on those alone. "
        "Bits: the least accumulator that holds every total, of these images / of any. Worst: "
        "the output channel with the most overflows, and the share of its outputs."
    )
    _print_lines(console, ["", f"Layer by layer, M x K x N: {shapes}", "", *_wrapped(text), ""])
    console.print(_layer_table(show_header=True))
    for run in result.designs:
        table = _layer_table(show_header=False)
        for layer in run.layers:
            table.add_row(*_layer_row(layer))
        console.print(_formats(run), style="bold", highlight=False, soft_wrap=True)
        console.print(table)


def _layer_table(*, show_header: bool) -> Table:
    """Columns of fixed widths, so that the tables of all designs align."""
    table = Table(box=None, padding=0, pad_edge=False, show_header=show_header, header_style="")
    for name, width in (
        ("\nlayer", -7), ("multiplier\n>> shift", 16), ("\nbits", 7),
        ("  against\n  reference", -17), ("bound\nLSB", 5), ("SQNR\ndB", 6),
        ("  overflow %\ntrans. pers.", 13), ("\nworst %", 8),
    ):  # fmt: skip
        justify = "left" if width < 0 else "right"
        table.add_column(name, justify=justify, width=abs(width), no_wrap=True)
    return table


def _formats(run: DesignRun) -> str:
    hidden, last = run.layers[0].compiled.spec, run.layers[-1].compiled.spec
    tile = "" if run.design.tile is None else f"int{run.design.tile_bits} -> "
    return (
        f"{run.design.name}: {hidden.input.format} x {hidden.weight.format} -> "
        f"{tile}{hidden.accumulator.format}, {run.design.overflow} -> {hidden.rescaler.output} "
        f"(logits {last.rescaler.output})"
    )


def _layer_row(run: LayerRun) -> tuple[str, ...]:
    comparison, worst = run.comparison, run.worst_channel
    multiplier, shift = run.scale
    transient = _share(run.counts.transient, run.counts.outputs)
    persistent = _share(run.counts.persistent, run.counts.outputs)
    return (
        run.compiled.layer.name,
        f"{multiplier} >> {shift}",
        f"{run.bits_used}/{run.bits_safe}",
        f"  {comparison.verdict}",
        f"{comparison.bound_lsb:.2f}",
        f"{comparison.sqnr_db:.1f}",
        f"{transient:>6}{persistent:>6}",
        "-" if worst is None else f"{worst[0]}: {100 * worst[1]:.0f}",
    )


def _print_next_step(result: DemoResult, console: Console, saved: Path | None) -> None:
    where = f"Networks, layers, inputs and datapaths are in {saved}."
    if saved is None:
        where = f"To keep networks, layers and datapaths as files: lsqsim demo --save {_DIRECTORY}"
    directory = saved or _DIRECTORY
    command = simulate_command(result, directory)
    _print_lines(console, ["", where, "Then go on with the layer above, or any other:", *command])
    _print_lines(console, ["or with a whole network:", network_command(result, directory)])


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def _print_lines(console: Console, lines: Iterable[str]) -> None:
    """As they are: without markup and colors, and never broken, so that commands can be copied."""
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _share(part: int, whole: int) -> str:
    """A percentage that tells none from few, and most from all."""
    if part in (0, whole):
        return "100" if part else "-"
    percent = 100 * part / whole
    return f"{max(percent, 0.01):.2f}" if percent < 10 else f"{min(percent, 99.9):.1f}"
