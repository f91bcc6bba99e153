"""How the program ends: one line and an exit code for every error that a user can cause."""

import sys
from typing import Any, NoReturn

import click

from lsqsim.errors import LsqsimError

UNSAFE = 1
BAD_INPUT = 2
INTERRUPTED = 130


class Program(click.Group):
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


def print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's
    """Print the version of the installed program."""
    if not wanted:
        return
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - 20 ms

    try:
        click.echo(f"lsqsim {version('lsqsim')}")
    except PackageNotFoundError:
        click.echo("lsqsim, of unknown version: it is not installed, but run from its sources")
    ctx.exit()


def _is_caused_by_interrupt(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__
    return error is not None


def _end(message: str, code: int) -> NoReturn:
    click.echo(f"lsqsim: {' '.join(message.split())}", err=True)
    sys.exit(code)
