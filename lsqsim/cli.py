"""The command line: arguments only; NumPy and Numba are imported once a command runs."""

import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

import click

from lsqsim.errors import LsqsimError
from lsqsim.formats import MAX_BITS, Overflow, Rounding, SpecEnum

BAD_INPUT = 2
INTERRUPTED = 130

_MAX_SEED = (1 << 32) - 1
_OPPOSITES = {
    "signed_input": "unsigned_input",
    "signed_output": "unsigned_output",
    "per_channel": "per_tensor",
}
_FILE = click.Path(path_type=Path, readable=False)
_CODE_BITS = click.IntRange(1, MAX_BITS)
_REGISTER_BITS = click.IntRange(2, MAX_BITS)


class _Member(click.Choice):
    """The name of an enumeration's member, as the member."""

    def __init__(self, members: type[SpecEnum]) -> None:
        super().__init__([member.value for member in members])
        self._members = members

    def convert(self, value: Any, param: Any, ctx: Any) -> SpecEnum:
        return self._members(super().convert(value, param, ctx))


_OVERFLOW = _Member(Overflow)
_ROUNDING = _Member(Rounding)


class _Program(click.Group):
    """Ends every error a user can cause in one line and exit code 2, an interrupt in 130."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        kwargs["standalone_mode"] = False
        try:
            code = super().main(*args, **kwargs)
        except click.ClickException as error:
            _end(f"error: {error.format_message()}", BAD_INPUT)
        except click.Abort:
            _end("interrupted", INTERRUPTED)
        except LsqsimError as error:
            _end(f"error: {error}", BAD_INPUT)
        except MemoryError as error:
            _end(f"error: the layer and its input need more memory: {error}", BAD_INPUT)
        except OSError as error:
            _end(f"error: {error}", BAD_INPUT)
        sys.exit(code)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _end("interrupted", INTERRUPTED)
        except SystemError as error:
            # What Numba makes of an interrupt that arrives while a kernel hands back its arrays.
            if not _is_caused_by_interrupt(error):
                raise
            _end("interrupted", INTERRUPTED)


def _is_caused_by_interrupt(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__
    return error is not None


def _commands():
    """What the commands do; imported this late, for it brings NumPy and Numba."""
    from lsqsim import commands  # noqa: PLC0415

    return commands


def _end(message: str, code: int) -> NoReturn:
    click.echo(f"lsqsim: {' '.join(message.split())}", err=True)
    sys.exit(code)


def _datapath_options(command: Callable[..., None]) -> Callable[..., None]:
    """``--datapath``, or the widths that stand for one."""
    options = (
        click.option("--datapath", type=_FILE, metavar="FILE.toml", help="The datapath, as TOML."),
        click.option(
            "--weight-bits",
            type=_CODE_BITS,
            metavar="BITS",
            help="Signed weight codes.  [default: 8]",
        ),
        click.option(
            "--activation-bits", type=_CODE_BITS, metavar="BITS", help="Input codes.  [default: 8]"
        ),
        click.option(
            "--acc-bits", type=_REGISTER_BITS, metavar="BITS", help="Accumulator.  [default: 32]"
        ),
        click.option("--overflow", type=_OVERFLOW, help="Of the accumulator.  [default: wrap]"),
        click.option(
            "--output-bits",
            type=_CODE_BITS,
            metavar="BITS",
            help="Output codes.  [default: as the inputs]",
        ),
        click.option("--rounding", type=_ROUNDING, help="Of the rescaler.  [default: ties_pos]"),
        click.option(
            "--tile",
            type=click.IntRange(1),
            metavar="N",
            help="Sum every N products in a first stage, as a column of N PEs does.",
        ),
        click.option(
            "--tile-bits", type=_REGISTER_BITS, metavar="BITS", help="Register of the first stage."
        ),
        click.option(
            "--tile-overflow",
            type=_OVERFLOW,
            help="Of the first stage.  [default: as --overflow]",
        ),
        click.option(
            "--signed-input/--unsigned-input",
            default=None,
            help="[default: by the sign of the input zero point; when it is 0, signed if an "
            "input is negative]",
        ),
        click.option(
            "--signed-output/--unsigned-output",
            default=None,
            help="[default: by the sign of the output zero point; when it is 0, signed unless "
            "a ReLU is fused]",
        ),
        click.option(
            "--per-channel/--per-tensor",
            default=None,
            help="Step sizes and factors.  [default: as the layer has step sizes]",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _take_widths(options: dict[str, Any]) -> Any:
    """The width options as :class:`~lsqsim.commands.Widths`; refused beside ``--datapath``."""
    commands = _commands()
    given = {field.name: options.pop(field.name) for field in fields(commands.Widths)}
    clashing = [_flag(name, value) for name, value in given.items() if value is not None]
    if options["datapath"] is not None and clashing:
        names = ", ".join(clashing)
        raise click.UsageError(
            f"--datapath states the whole datapath, {names} a part of one: give one or the other"
        )
    return commands.Widths(**given)


def _flag(name: str, value: object) -> str:
    """The option as it was written."""
    if value is False:
        name = _OPPOSITES[name]
    return f"--{name.replace('_', '-')}"


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's
    if not wanted:
        return
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - 20 ms

    try:
        click.echo(f"lsqsim {version('lsqsim')}")
    except PackageNotFoundError:
        click.echo("lsqsim, of unknown version: it is not installed, but run from its sources")
    ctx.exit()


@click.group(cls=_Program, invoke_without_command=True, context_settings={"max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
@click.pass_context
def main(ctx: click.Context) -> None:
    """Simulate the integer datapath of a quantized layer, bit by bit."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@main.command()
@click.argument("layer", type=_FILE, metavar="LAYER.npz")
@click.argument("inputs", type=_FILE, metavar="INPUT.npy")
@_datapath_options
@click.option(
    "--codes", is_flag=True, help="The input holds integer codes, not real values to quantize."
)
@click.option("--trace", type=_FILE, metavar="OUT.npz", help="Write every register.")
@click.option("--output", type=_FILE, metavar="OUT.npy", help="Write the output codes.")
@click.option("--by-channel", is_flag=True, help="Count overflows by output channel, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def simulate(*, as_json: bool, **options: Any) -> None:
    """Run a layer on an input and compare with the float reference.

    LAYER.npz holds weight (real) or weight_codes (integers), with two axes for a linear layer
    and four for a convolution; it may hold bias or bias_codes, input_step, weight_step,
    output_step, input_zero_point, weight_zero_point, output_zero_point and activation, and for
    a convolution stride, padding, dilation, groups and layout. Step sizes left out are
    calibrated: that of the input and the weights from themselves, that of the output from the
    float reference.

    INPUT.npy holds real inputs: (..., K) for a linear layer, (n, c, h, w) for a convolution.
    """
    widths = _take_widths(options)
    commands = _commands()
    commands.simulate(commands.Simulation(widths=widths, **options), as_json=as_json)


@main.command()
@click.argument("layer", type=_FILE, metavar="[LAYER.npz]", required=False)
@_datapath_options
@click.option("--toml", "as_toml", is_flag=True, help="Print only the datapath's TOML.")
@click.option("--json", "as_json", is_flag=True, help="Print the description as JSON.")
def describe(*, layer: Path | None, as_toml: bool, as_json: bool, **options: Any) -> None:
    """Describe a datapath in words: every unit, width and rounding.

    With a layer, also its shapes, the range of its codes, and multiplier, shift and fold error
    of its channels. `lsqsim describe --acc-bits 16 --toml > my.toml` starts a TOML file.
    """
    if as_toml and as_json:
        raise click.UsageError("--toml and --json are two forms of one output: give one of them")
    widths = _take_widths(options)
    if as_toml:
        _commands().print_toml(options["datapath"], widths, layer)
    else:
        _commands().describe(options["datapath"], widths, layer, as_json=as_json)


@main.command()
@click.option("--seed", type=click.IntRange(0, _MAX_SEED), default=0, show_default=True)
@click.option("--save", type=_FILE, metavar="DIR", help="Also write layers, inputs and traces.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def demo(*, seed: int, save: Path | None, as_json: bool) -> None:
    """Run a small trained network on narrower and narrower datapaths."""
    _commands().demonstrate(seed=seed, save=save, as_json=as_json)
