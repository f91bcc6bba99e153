"""Options that several commands have."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import click

from lsqsim.cli.parameters import CODE_BITS, FILE, OVERFLOW, REGISTER_BITS, ROUNDING
from lsqsim.errors import DataError

Command = Callable[..., None]

_DATAPATH = click.option(
    "--datapath", type=FILE, metavar="FILE.toml", help="The datapath, as TOML."
)
_CODES = (
    click.option(
        "--weight-bits", type=CODE_BITS, metavar="BITS", help="Signed weight codes.  [default: 8]"
    ),
    click.option(
        "--activation-bits", type=CODE_BITS, metavar="BITS", help="Input codes.  [default: 8]"
    ),
)
_ACCUMULATOR = (
    click.option(
        "--acc-bits", type=REGISTER_BITS, metavar="BITS", help="Accumulator.  [default: 32]"
    ),
    click.option("--overflow", type=OVERFLOW, help="Of the accumulator.  [default: wrap]"),
)
_OUTPUT = (
    click.option(
        "--output-bits",
        type=CODE_BITS,
        metavar="BITS",
        help="Output codes.  [default: as the inputs]",
    ),
    click.option("--rounding", type=ROUNDING, help="Of the rescaler.  [default: ties_pos]"),
)
_TILE = (
    click.option(
        "--tile",
        type=click.IntRange(1),
        metavar="N",
        help="Sum every N products in a first stage, as a column of N PEs does.",
    ),
    click.option(
        "--tile-bits", type=REGISTER_BITS, metavar="BITS", help="Register of the first stage."
    ),
    click.option(
        "--tile-overflow", type=OVERFLOW, help="Of the first stage.  [default: as --overflow]"
    ),
)
_FLAGS = (
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

as_json = click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
input_range = click.option(
    "--input-range",
    metavar="LOW:HIGH",
    help="Input codes that can occur, e.g. 0:200.  [default: all of the format]",
)


def datapath_options(command: Command) -> Command:
    """``--datapath``, or the widths that stand for one."""
    return _with(command, (_DATAPATH, *_CODES, *_ACCUMULATOR, *_OUTPUT, *_TILE, *_FLAGS))


def base_options(command: Command) -> Command:
    """As :func:`datapath_options`, for a command that has accumulators of its own."""
    several = click.option(
        "--datapath",
        "datapaths",
        type=FILE,
        metavar="FILE.toml",
        multiple=True,
        help="All but the accumulator, as TOML; once for all layers, or once for each.",
    )
    return _with(command, (several, *_CODES, *_OUTPUT, *_FLAGS))


def take_widths(options: dict[str, Any], *, has_datapath: bool) -> Any:
    """The width options as :class:`~lsqsim.widths.Widths`; refused beside ``--datapath``."""
    from lsqsim.widths import Widths, option_name  # noqa: PLC0415 - brings NumPy

    names = [field.name for field in fields(Widths) if field.name in options]
    given = {name: options.pop(name) for name in names}
    clashing = [option_name(name, value) for name, value in given.items() if value is not None]
    if has_datapath and clashing:
        raise click.UsageError(
            f"--datapath states the whole datapath, {', '.join(clashing)} a part of one: give one "
            f"or the other"
        )
    return Widths(**given)


def take_input_range(text: str | None) -> Any:
    """``--input-range`` as an :class:`~lsqsim.budget.input_range.InputRange`."""
    from lsqsim.budget.input_range import InputRange  # noqa: PLC0415 - brings NumPy

    try:
        return None if text is None else InputRange.parse(text)
    except DataError as error:
        raise DataError(f"--input-range: {error}") from None


def _with(command: Command, options: tuple[Callable[[Command], Command], ...]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
