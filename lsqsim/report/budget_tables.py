"""Designs side by side as tables that fit 80 columns."""

from collections.abc import Iterator, Sequence

from rich.console import Console

from lsqsim.report.budget import acc_bits_of, groups_of, structures_of
from lsqsim.report.budget_words import budget_sentences, group_name
from lsqsim.report.content import Report
from lsqsim.report.layout import ranges, table

BOUND_COLUMNS = {
    "data_type": "data\ntype",
    "l1": "l1",
    "zero_centered": "A2Q+",
    "wrap": "exact,\nwrap",
    "saturate": "exact,\nsat",
    "observed_wrap": "seen,\nwrap",
    "observed_saturate": "seen,\nsat",
}


def print_budget(report: Report, console: Console) -> None:
    """Print what :func:`~lsqsim.report.budget_report` returned."""
    for fan_ins, layers in structures_of(report).items():
        _print_widths(fan_ins, layers, console)
    _print_summary(report, console)
    if report["observation"] is not None:
        for designs in groups_of(report).values():
            _print_group(report, designs, console)
    for line in budget_sentences(report):
        console.print(line)


def _print_widths(fan_ins: Sequence[str], layers: Sequence[Report], console: Console) -> None:
    names = [name for name in BOUND_COLUMNS if layers[0][name] is not None]
    rows = [_width_row(layer["layer"], str(layer["k"]), layer, names) for layer in layers]
    if len(layers) > 1:
        widest = {name: max(layer[name] for layer in layers) for name in names}
        rows.append(_width_row("network", "", {**widest, "n": ""}, names))
    inner = "".join(f", every {fan_in} products summed before" for fan_in in fan_ins[:-1])
    console.print(
        table(
            f"Bits of the last register by layer{inner}",
            ("layer", "K", "N", *(BOUND_COLUMNS[name] for name in names)),
            rows,
            right=range(1, len(names) + 3),
        )
    )


def _width_row(layer: str, k: str, widths: Report, names: Sequence[str]) -> list[str]:
    return [layer, k, str(widths["n"]), *(str(widths[name]) for name in names)]


def _print_summary(report: Report, console: Console) -> None:
    has_data = report["observation"] is not None
    rows: list[list[str]] = []
    for designs in groups_of(report).values():
        first, certified = designs[0], [d for d in designs if d["is_certified"]]
        row = [group_name(designs), str(first["data_type_bits"]), str(first["certified_bits"])]
        if has_data:
            lossless = [d for d in designs if d["observed"]["n_changed"] == 0]
            row += [str(first["observed"]["observed_bits"]), _widths(certified), _widths(lossless)]
        else:
            row += [_widths(certified)]
        rows.append(row)
    columns = ["design", "data\ntype", "exact", "certified\nat P"]
    if has_data:
        columns = ["design", "data\ntype", "exact", "seen", "certified\nat P", "lossless\nat P"]
    title = f"Designs, P = {ranges(sorted({acc_bits_of(d) for d in report['designs']}))}"
    console.print(table(title, columns, rows, right=range(1, 4 if has_data else 3)))


def _widths(designs: Sequence[Report]) -> str:
    return ranges(sorted(acc_bits_of(design) for design in designs)) or "none"


def _print_group(report: Report, designs: Sequence[Report], console: Console) -> None:
    columns = [
        "",
        "P",
        "proven",
        "trans-\nient %",
        "persis-\ntent %",
        "changed\ncodes %",
        "classes\n%",
        "SQNR\ndB",
    ]
    if report["observation"]["exact_accuracy"] is not None:
        columns.append("accu-\nracy %")
    rows = list(_group_rows(report, designs))
    console.print(table(f"{group_name(designs)}", columns, rows, right=range(1, len(columns))))


def _group_rows(report: Report, designs: Sequence[Report]) -> Iterator[list[str]]:
    for design in designs:
        seen = design["observed"]
        mark = "C" * (design["name"] == report["smallest_certified"])
        mark += "L" * (design["name"] == report["smallest_lossless"])
        row = [
            mark,
            str(acc_bits_of(design)),
            "yes" if design["is_certified"] else "no",
            _share(seen["transient"], seen["outputs"]),
            _share(seen["persistent"], seen["outputs"]),
            _share(seen["n_changed"], seen["outputs"]),
            _share(seen["n_changed_predictions"], seen["n_predictions"]),
            "-" if seen["sqnr_db"] is None else f"{seen['sqnr_db']:.1f}",
        ]
        if report["observation"]["exact_accuracy"] is not None:
            row.append(f"{100 * seen['accuracy']:.1f}")
        yield row


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.3g}" if part else "-"
