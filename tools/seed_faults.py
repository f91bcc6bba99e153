"""Seed faults in kernels and units, one at a time, and see whether the tests catch each.

A fault changes one node of a syntax tree: a comparison, a constant by one, an operator, the order
of two arguments, a statement left out, and so on (seeding/kinds.py has them all). For each, the
tests that call the faulty function run in a forked process, the fastest first, until one fails.
Survivors are listed, but for those in equivalent_faults.toml, with the reason why nothing could
catch them.

The sources are copied first, so that the tree can be edited meanwhile. What is finished is kept
in build/seed-faults/: a second run tests only faults and survivors that anything has changed for.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from seeding.baseline import SLOWEST, Baseline, measure
from seeding.faults import Fault, find_faults
from seeding.forks import prepare
from seeding.kinds import Neighbors
from seeding.report import Progress, Report, reasons_in
from seeding.runs import Outcome, run_faults
from seeding.state import State

ROOT = Path(__file__).parents[1]
EQUIVALENT = Path("tools/equivalent_faults.toml")
STATE = Path("build/seed-faults/finished.jsonl")
SOURCES = (
    "kernels/lsqsim_kernels/narrow.py",
    "kernels/lsqsim_kernels/noise.py",
    "kernels/lsqsim_kernels/quantize.py",
    "kernels/lsqsim_kernels/reduce.py",
    "kernels/lsqsim_kernels/ranges.py",
    "kernels/lsqsim_kernels/needed_bits.py",
    "lsqsim/kernel_codes.py",
    "lsqsim/quantizer.py",
    "lsqsim/array_operands.py",
    "lsqsim/matmul_array.py",
    "lsqsim/rescaler.py",
    "lsqsim/folding.py",
    "lsqsim/convolution.py",
    "lsqsim/walk.py",
    "lsqsim/budget/operands.py",
    "lsqsim/budget/layer_operands.py",
    "lsqsim/budget/ranges.py",
    "lsqsim/budget/bounds.py",
    "lsqsim/budget/witness.py",
    "lsqsim/budget/certificate.py",
    "lsqsim/observed/profile.py",
    "lsqsim/observed/sweep.py",
    "lsqsim/certificate_audit.py",
    "lsqsim/certificate_checker.py",
    "lsqsim/exact_sums.py",
    "kernels/lsqsim_kernels/learned_step.py",
    "kernels/lsqsim_kernels/batch_norm.py",
    "kernels/lsqsim_kernels/columns.py",
    "kernels/lsqsim_kernels/pooling.py",
    "kernels/lsqsim_kernels/momentum.py",
    "lsqsim/learn/rule.py",
    "lsqsim/learn/quantizer.py",
    "lsqsim/learn/model.py",
    "lsqsim/learn/placement.py",
    "lsqsim/learn/loss.py",
    "lsqsim/learn/optimizer.py",
    "lsqsim/learn/schedule.py",
    "lsqsim/learn/training.py",
    "lsqsim/learn/operations/convolution.py",
    "lsqsim/learn/operations/linear.py",
    "lsqsim/learn/operations/batch_norm.py",
    "lsqsim/learn/operations/pooling.py",
    "lsqsim/learn/operations/elementwise.py",
    "lsqsim/learn/operations/weights.py",
    "lsqsim/network/adder.py",
    "lsqsim/network/code_layer.py",
    "lsqsim/network/units.py",
    "lsqsim/network/folds.py",
    "lsqsim/network/network.py",
    "lsqsim/coupling/fold.py",
    "lsqsim/coupling/layer_folding.py",
    "lsqsim/coupling/replay.py",
    "lsqsim/coupling/evaluation.py",
)
TESTS_LEFT_OUT = (
    # These start processes of their own, which would test the code without the fault.
    "tests/test_jit.py",
    "tests/test_jit_disabled.py",
    "tests/test_packaging.py",
    "tests/test_seed_faults_tool.py",
    "tests/learn/test_checkpoint.py",
    # These see much of the code, at a distance: a fault of a unit is its own tests' to catch.
    "tests/test_cli.py",
    "tests/test_cli_budget.py",
    "tests/test_cli_certify.py",
    "tests/test_cli_network.py",
    "tests/test_cli_refusals.py",
    "tests/test_cli_train.py",
    "tests/test_demo.py",
    "tests/test_examples.py",
    "tests/test_figures.py",
    "tests/test_report.py",
    "tests/test_report_budget.py",
    "tests/test_report_network.py",
    "tests/test_report_training.py",
    "tests/testing",
    # Needs more memory than a process with a fault may have.
    "tests/budget/test_exhaustive.py",
)
_NOT_COPIED = shutil.ignore_patterns(
    ".*", "__pycache__", "build", "dist", "demo-output", "benchmarks"
)


def main() -> int:
    """Run the command line; returns the exit code."""
    options = _options()
    started = time.monotonic()
    root = options.root.resolve()
    reasons = reasons_in(root / EQUIVALENT)
    with tempfile.TemporaryDirectory(prefix="seed-faults-") as directory:
        copy = Path(directory) / "tree"
        shutil.copytree(root, copy, ignore=_NOT_COPIED)
        faults = _faults(copy, options)
        if options.list:
            print(*faults, sep="\n")
            return 0
        finished = _run(copy, faults, State(root / STATE, copy, fresh=options.fresh), options)
    report = Report(faults, finished, reasons, is_all=not (options.match or options.sample))
    report.print()
    print(f"\n{len(faults)} faults in {(time.monotonic() - started) / 60:.1f} min.")
    if options.json:
        options.json.write_text(json.dumps(report.as_json(), indent=1) + "\n")
    return 0 if report.rate >= options.at_least and not report.mistakes else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", metavar="FILE", help="faults of this source")
    parser.add_argument("--match", metavar="TEXT", help="faults with this in what --list prints")
    parser.add_argument("--sample", type=int, metavar="N", help="N faults chosen at random")
    parser.add_argument("--seed", type=int, default=1, help="of that choice (default: 1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="default: all cores")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write every outcome here")
    parser.add_argument("--fresh", action="store_true", help="forget what is finished")
    parser.add_argument("--list", action="store_true", help="print the faults and stop")
    parser.add_argument(
        "--slowest", type=float, default=SLOWEST, metavar="S",
        help="leave out tests of more than S seconds (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--at-least", type=float, default=95.0, metavar="PERCENT",
        help="exit with 1 when fewer are caught (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--root", type=Path, default=ROOT, help="tree to work on (default: this)")
    return parser.parse_args()


def _faults(root: Path, options: argparse.Namespace) -> list[Fault]:
    """Those asked for, in source order."""
    sources = options.only or SOURCES
    packages = {root / Path(source).parent for source in sources}
    neighbors = Neighbors.among(sorted({file for top in packages for file in top.rglob("*.py")}))
    faults = [fault for source in sources for fault in find_faults(root, source, neighbors)]
    if options.match:
        faults = [fault for fault in faults if options.match in str(fault)]
    if options.sample and options.sample < len(faults):
        chosen = random.Random(options.seed).sample(range(len(faults)), options.sample)
        faults = [faults[at] for at in sorted(chosen)]
    return faults


def _run(
    copy: Path, faults: list[Fault], state: State, options: argparse.Namespace
) -> dict[str, Outcome]:
    """Outcomes by the faults' keys, from what is finished and from running the rest."""
    finished = {fault.key: known for fault in faults if (known := state.known(fault)) is not None}
    waiting = [fault for fault in faults if fault.key not in finished]
    if finished:
        print(f"{len(finished)} faults are known from before.", file=sys.stderr)
    if not waiting:
        return finished
    prepare()
    settings = TESTS_LEFT_OUT, options.slowest
    baseline = state.baseline(settings, lambda: measure(copy, *settings))
    _describe(baseline)
    progress = Progress(len(waiting))
    for fault, outcome in run_faults(copy, waiting, baseline, options.jobs):
        state.add(fault, outcome)
        finished[fault.key] = outcome
        progress.step(survived=not outcome.killed)
    progress.end()
    return finished


def _describe(baseline: Baseline) -> None:
    total = sum(baseline.seconds.values())
    print(f"{len(baseline.seconds)} tests pass in {total:.0f} s.", file=sys.stderr)
    for name in baseline.slow:
        print(f"left out, too slow: {name}", file=sys.stderr)
    for name, why in baseline.failed.items():
        print(f"LEFT OUT, FAILS WITHOUT A FAULT: {name}: {why}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
