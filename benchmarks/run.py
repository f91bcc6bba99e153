"""Run every benchmark and print one table; ``--json FILE`` also writes it for machines.

Figures are medians of paired runs; ratios carry over between machines, seconds do not. A peer that
is not installed leaves its cells blank.
"""

import argparse
import json
import platform
from dataclasses import asdict
from pathlib import Path

import numba
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import (
    bench_certificate,
    bench_matmul_array,
    bench_quantizer,
    bench_rescaler,
    bench_training_step,
)
from benchmarks.paired import Measurement

UNITS = {
    "quantizer": bench_quantizer,
    "matmul_array": bench_matmul_array,
    "rescaler": bench_rescaler,
    "certificate": bench_certificate,
    "training_step": bench_training_step,
}


def main() -> None:
    """Parse options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=7, help="paired runs of each line (7)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument(
        "--only", choices=sorted(UNITS), action="append", help="measure this unit; may be repeated"
    )
    options = parser.parse_args()
    if options.pairs < 1:
        parser.error(f"--pairs must be 1 or more, got {options.pairs}")
    lines: list[Measurement] = []
    progress_console = Console(stderr=True)
    with Progress(
        console=progress_console, transient=True, disable=not progress_console.is_terminal
    ) as progress:
        task = progress.add_task("measuring", total=None)
        for name in options.only or UNITS:
            for line in UNITS[name].run(options.pairs):
                lines.append(line)
                progress.update(task, description=line.name)
    Console().print(table(lines))
    if options.json:
        report = {"machine": machine(), "lines": [asdict(line) for line in lines]}
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def table(lines: list[Measurement]) -> Table:
    """One row a measurement: milliseconds, and millions of operations a second."""
    result = Table(title=f"Medians of paired runs, one thread, {machine()}", title_justify="left")
    for heading in ("work", "ms", "M/s", "peer", "ms", "M/s", "ratio"):
        result.add_column(heading, justify="left" if heading in ("work", "peer") else "right")
    for line in lines:
        result.add_row(
            line.name,
            *_figures(line.work, line.seconds),
            line.peer,
            *_figures(line.work, line.peer_seconds),
            "" if line.ratio is None else f"{line.ratio:.2f}",
        )
    return result


def _figures(work: int, seconds: float | None) -> tuple[str, str]:
    """Milliseconds, and millions of operations a second; blank where nothing was measured."""
    if seconds is None:
        return "", ""
    return f"{seconds * 1e3:.3g}", f"{work / seconds / 1e6:.0f}"


def machine() -> str:
    """Processor architecture, and the versions that decide the figures."""
    python = platform.python_version()
    return (
        f"{platform.machine()}, Python {python}, NumPy {np.__version__}, Numba {numba.__version__}"
    )


if __name__ == "__main__":
    main()
