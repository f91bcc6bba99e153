"""The command ``demo``."""

from pathlib import Path

from lsqsim.commands.terminal import make_console, print_json, progress
from lsqsim.demo import print_demo, run_demo, save_demo


def demonstrate(*, seed: int, save: Path | None, as_json: bool) -> None:
    """Run the demonstration, print it, and write its files where asked."""
    with progress() as tell:
        result = run_demo(seed=seed, progress=tell.steps)
        if save is not None:
            save_demo(result, save)
    if as_json:
        print_json(result.to_dict())
    else:
        print_demo(result, make_console(), saved=save)
