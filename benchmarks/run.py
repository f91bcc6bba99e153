"""Run every benchmark and print one table; ``--json FILE`` also writes it for machines.

Figures are medians of
paired runs; ratios carry over between machines, seconds do not.
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

from benchmarks import bench_matmul_array, bench_quantizer, bench_rescaler
from benchmarks.paired import Measurement

UNITS = (bench_quantizer, bench_matmul_array, bench_rescaler)


def main() -> None:
    """Parse options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=7, help="paired runs of each line (7)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    if options.pairs < 1:
        parser.error(f"--pairs must be 1 or more, got {options.pairs}")
    lines: list[Measurement] = []
    progress_console = Console(stderr=True)
    with Progress(
        console=progress_console, transient=True, disable=not progress_console.is_terminal
    ) as progress:
        task = progress.add_task("measuring", total=None)
        for unit in UNITS:
            for line in unit.run(options.pairs):
                lines.append(line)
                progress.update(task, description=line.name)
    Console().print(table(lines))
    if options.json:
        report = {"machine": machine(), "lines": [asdict(line) for line in lines]}
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def table(lines: list[Measurement]) -> Table:
    """One row a measurement: millions of operations a second, ours and the peer's."""
    result = Table(title=f"Medians of paired runs, one thread, {machine()}", title_justify="left")
    for heading in ("work", "M/s", "peer", "M/s", "ratio"):
        result.add_column(heading, justify="left" if heading in ("work", "peer") else "right")
    for line in lines:
        result.add_row(
            line.name,
            f"{line.work / line.seconds / 1e6:.0f}",
            line.peer,
            f"{line.work / line.peer_seconds / 1e6:.0f}",
            f"{line.ratio:.2f}",
        )
    return result


def machine() -> str:
    """Processor architecture, and the versions that decide the figures."""
    python = platform.python_version()
    return (
        f"{platform.machine()}, Python {python}, NumPy {np.__version__}, Numba {numba.__version__}"
    )


if __name__ == "__main__":
    main()
