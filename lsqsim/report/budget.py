"""What there is to say about designs side by side, as a JSON-ready dictionary and as CSV."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from lsqsim.budget.input_range import InputRange
from lsqsim.chain import Chain
from lsqsim.design.comparison import BudgetComparison
from lsqsim.report.content import Report, plain

CSV_COLUMNS = (
    "design",
    "acc_bits",
    "overflow",
    "tile",
    "tile_bits",
    "is_certified",
    "certified_bits",
    "data_type_bits",
    "observed_bits",
    "outputs",
    "transient",
    "persistent",
    "n_inexact",
    "n_changed",
    "sqnr_db",
    "n_changed_predictions",
    "n_predictions",
    "accuracy",
    "smallest_certified",
    "smallest_lossless",
)
"""Empty where there is no data, no label, no tile; tiles of several stages are joined by '+'."""


def budget_report(
    chain: Chain,
    inputs: Sequence[InputRange],
    comparison: BudgetComparison,
    *,
    with_channels: bool = False,
) -> Report:
    """Designs side by side.

    Parameters
    ----------
    chain : Chain
        The network.
    inputs : sequence of InputRange
        Input codes, one entry a layer.
    comparison : BudgetComparison
        What was proven and seen.
    with_channels : bool
        Also the bounds of every output channel.

    Returns
    -------
    dict
        ``network`` (names of its layers), ``inputs``, and the keys of
        :meth:`BudgetComparison.to_dict`.
    """
    report = comparison.to_dict()
    report["network"] = [unit.layer.name for unit in chain.layers]
    report["inputs"] = [{"low": legal.low, "high": legal.high} for legal in inputs]
    if with_channels:
        for layer, widths in zip(report["layers"], comparison.layers, strict=True):
            layer["channels"] = widths.register.to_dict()["channels"]
    return plain(report)


def group_key(design: Report) -> tuple[Any, ...]:
    """What the designs of one curve have in common: all but the width of the last register."""
    *inner, last = design["accumulator"]["stages"]
    return (*((s["fan_in"], s["bits"], s["overflow"]) for s in inner), last["overflow"])


def groups_of(report: Report) -> dict[tuple[Any, ...], list[Report]]:
    """The designs by their group, as they come."""
    groups: dict[tuple[Any, ...], list[Report]] = {}
    for design in report["designs"]:
        groups.setdefault(group_key(design), []).append(design)
    return groups


def acc_bits_of(design: Report) -> int:
    """Width of the last register."""
    return design["accumulator"]["stages"][-1]["bits"]


def structures_of(report: Report) -> dict[tuple[str, ...], list[Report]]:
    """Widths by layer, for every list of fan-ins."""
    structures: dict[tuple[str, ...], list[Report]] = {}
    for layer in report["layers"]:
        structures.setdefault(tuple(layer["fan_ins"]), []).append(layer)
    return structures


def budget_csv(report: Report) -> str:
    """One line a design, below :data:`CSV_COLUMNS`."""
    text = io.StringIO()
    writer = csv.DictWriter(
        text, CSV_COLUMNS, restval="", extrasaction="ignore", lineterminator="\n"
    )
    writer.writeheader()
    for design in report["designs"]:
        *inner, last = design["accumulator"]["stages"]
        row = {
            **design,
            **(design["observed"] or {}),
            "design": design["name"],
            "acc_bits": last["bits"],
            "overflow": last["overflow"],
            "tile": "+".join(str(stage["fan_in"]) for stage in inner),
            "tile_bits": "+".join(str(stage["bits"]) for stage in inner),
            "smallest_certified": design["name"] == report["smallest_certified"],
            "smallest_lossless": design["name"] == report["smallest_lossless"],
        }
        writer.writerow({key: "" if value is None else value for key, value in row.items()})
    return text.getvalue()
