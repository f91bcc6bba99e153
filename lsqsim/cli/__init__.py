"""The command line: arguments only; NumPy and Numba are imported once a command runs."""

from pathlib import Path
from typing import Any

import click

from lsqsim.cli import options as opt
from lsqsim.cli.parameters import FILE, OVERFLOWS, TILES, WIDTHS
from lsqsim.cli.program import UNSAFE, Program, print_version
from lsqsim.cli.training import train

_MAX_SEED = (1 << 32) - 1

_layer = click.argument("layer", type=FILE, metavar="LAYER.npz")


def _commands():
    """What the commands do; imported this late, for it brings NumPy and Numba."""
    from lsqsim import commands  # noqa: PLC0415

    return commands


@click.group(cls=Program, invoke_without_command=True, context_settings={"max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=print_version,
    help="Show the version and exit.",
)
@click.pass_context
def main(ctx: click.Context) -> None:
    """Simulate the integer datapath of a quantized layer, bit by bit."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@main.command()
@_layer
@click.argument("inputs", type=FILE, metavar="INPUT.npy")
@click.option("--node", metavar="NAME", help="Report on one node of a network.")
@opt.datapath_options
@click.option(
    "--codes", is_flag=True, help="The input holds integer codes, not real values to quantize."
)
@click.option("--trace", type=FILE, metavar="OUT.npz", help="Write every register.")
@click.option("--output", type=FILE, metavar="OUT.npy", help="Write the output codes.")
@click.option("--by-channel", is_flag=True, help="Count overflows by output channel, too.")
@opt.as_json
def simulate(*, as_json: bool, **options: Any) -> None:
    """Run a layer, or a network, on an input and compare with the float reference.

    LAYER.npz holds weight (real) or weight_codes (integers), with two axes for a linear layer
    and four for a convolution; it may hold bias or bias_codes, input_step, weight_step,
    output_step, input_zero_point, weight_zero_point, output_zero_point and activation, and for
    a convolution stride, padding, dilation, groups and layout. Step sizes left out are
    calibrated: that of the input and the weights from themselves, that of the output from the
    float reference.

    INPUT.npy holds real inputs: (..., K) for a linear layer, (n, c, h, w) for a convolution.

    In place of a layer, LAYER.npz may hold an integer network, as training saves it: its nodes
    have their own datapaths, and its input is (n, h, w, c) or (n, features). --trace then writes
    the codes of all nodes. With --node naming a layer, the report, --trace and --output are that
    layer's, on the codes that reach it.
    """
    widths = opt.take_widths(options, has_datapath=options["datapath"] is not None)
    commands = _commands()
    commands.simulate(commands.Simulation(widths=widths, **options), as_json=as_json)


@main.command()
@click.argument("layer", type=FILE, metavar="[LAYER.npz]", required=False)
@opt.datapath_options
@click.option("--toml", "as_toml", is_flag=True, help="Print only the datapath's TOML.")
@opt.as_json
def describe(*, layer: Path | None, as_toml: bool, as_json: bool, **options: Any) -> None:
    """Describe a datapath in words: every unit, width and rounding.

    With a layer, also its shapes, the range of its codes, and multiplier, shift and fold error
    of its channels; with a network, the same of its nodes. `lsqsim describe --acc-bits 16 --toml >
    my.toml` starts a TOML file.
    """
    if as_toml and as_json:
        raise click.UsageError("--toml and --json are two forms of one output: give one of them")
    widths = opt.take_widths(options, has_datapath=options["datapath"] is not None)
    if as_toml:
        _commands().print_toml(options["datapath"], widths, layer)
    else:
        _commands().describe(options["datapath"], widths, layer, as_json=as_json)


@main.command()
@click.option("--seed", type=click.IntRange(0, _MAX_SEED), default=0, show_default=True)
@click.option("--save", type=FILE, metavar="DIR", help="Also write layers, inputs and traces.")
@opt.as_json
def demo(*, seed: int, save: Path | None, as_json: bool) -> None:
    """Run a small trained network on narrower and narrower datapaths."""
    _commands().demonstrate(seed=seed, save=save, as_json=as_json)


main.add_command(train)


@main.command()
@_layer
@opt.datapath_options
@opt.input_range
@click.option(
    "--calibrate",
    type=FILE,
    metavar="INPUT.npy",
    help="Data whose codes, input channel by input channel, are all that can occur.",
)
@click.option("--codes", is_flag=True, help="The data holds integer codes, not real values.")
@click.option("--output", type=FILE, metavar="CERT.json", help="Write the certificate.")
@click.option(
    "--witness",
    type=FILE,
    metavar="OUT.npy",
    help="Write input codes that overflow the first unsafe stage.",
)
@opt.as_json
@click.pass_context
def certify(ctx: click.Context, *, as_json: bool, input_range: str | None, **options: Any) -> None:
    """Prove which registers of a layer no input can overflow.

    Each stage is saturate-safe (no sum leaves the register), wrap-safe (some may, and wrapping
    makes good for it) or unsafe: then a witness is named, an input that loses its value there.
    Exit code 1 if a stage is unsafe. Step sizes are needed only where the integer bias depends
    on them.
    """
    widths = opt.take_widths(options, has_datapath=options["datapath"] is not None)
    if input_range is not None and options["calibrate"] is not None:
        raise click.UsageError("--input-range and --calibrate state one range: give one of them")
    if options["codes"] and options["calibrate"] is None:
        raise click.UsageError("--codes says what --calibrate holds: give both, or neither")
    options["input_range"] = opt.take_input_range(input_range)
    commands = _commands()
    if not commands.certify(commands.Certification(widths=widths, **options), as_json=as_json):
        ctx.exit(UNSAFE)


@main.command("check-certificate")
@click.argument("certificate", type=FILE, metavar="CERT.json")
@_layer
def check_certificate(*, certificate: Path, layer: Path) -> None:
    """Check every claim of a certificate against a layer file, by code of its own.

    Exit code 0 when all of it is true, also where it says that a stage is unsafe.
    """
    _commands().check_certificate_file(certificate, layer)


@main.command()
@click.argument("layers", type=FILE, metavar="LAYER.npz...", nargs=-1, required=True)
@click.option(
    "--acc-bits",
    "acc_widths",
    type=WIDTHS,
    metavar="LIST",
    help="Widths of the last register: 12:24 with both ends, 12,14,20, or a mixture.  [default: "
    "from 2 below the least that is certified or that the data needs, to 1 above the data-type "
    "bound]",
)
@click.option(
    "--overflow", "overflows", type=OVERFLOWS, metavar="LIST", default="wrap,saturate",
    show_default=True, help="Rules of the last register, and of a tile's.",
)  # fmt: skip
@click.option(
    "--tile", "tiles", type=TILES, metavar="LIST", default="none", show_default=True,
    help="Products summed in a first stage, e.g. none,16,64; none for the datapath's own stages.",
)  # fmt: skip
@click.option(
    "--tile-bits",
    "tile_widths",
    type=WIDTHS,
    metavar="LIST",
    help="Widths of the first stage's register.  [default: the least that is certified]",
)
@opt.base_options
@opt.input_range
@click.option("--data", type=FILE, metavar="INPUT.npy", help="Inputs to see what designs lose on.")
@click.option("--codes", is_flag=True, help="The data holds integer codes, not real values.")
@click.option("--labels", type=FILE, metavar="CLASSES.npy", help="Right classes of the data.")
@click.option("--figure", type=FILE, metavar="OUT.png|.svg", help="Draw losses against widths.")
@click.option("--csv", "as_csv", is_flag=True, help="Print one line a design, as CSV.")
@opt.as_json
def budget(*, as_json: bool, as_csv: bool, input_range: str | None, **options: Any) -> None:
    """Compare accumulators of a layer, or of a network: proven, and on data.

    Several layers are a network, each fed by the one before; every design is given to all of
    them. A step size that two layers share need be in one of their files only; others that are
    missing are calibrated from the data. Output options are those of the last layer.
    """
    _check_budget(options, as_json=as_json, as_csv=as_csv)
    datapaths = options.pop("datapaths")
    widths = opt.take_widths(options, has_datapath=bool(datapaths))
    options["input_range"] = opt.take_input_range(input_range)
    for name in ("acc", "tile"):
        options[f"{name}_bits"] = options.pop(f"{name}_widths") or ()
    commands = _commands()
    files = commands.NetworkFiles(layers=options.pop("layers"), datapaths=datapaths, widths=widths)
    commands.budget(commands.Budgeting(files=files, **options), as_json=as_json, as_csv=as_csv)


def _check_budget(options: dict[str, Any], *, as_json: bool, as_csv: bool) -> None:
    """Options that say something only beside others, or that exclude each other."""
    if as_json and as_csv:
        raise click.UsageError("--csv and --json are two forms of one output: give one of them")
    for name in ("labels", "codes", "figure"):
        if options[name] and options["data"] is None:
            raise click.UsageError(f"--{name} says something of data: give --data, too")
    if options["tile_widths"] and set(options["tiles"]) == {None}:
        raise click.UsageError("--tile-bits are widths of a tile's register: give --tile, too")
