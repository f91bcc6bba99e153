"""An integer network and its run as tables of 80 columns."""

from typing import Any

from rich.console import Console

from lsqsim.report.layout import number, pairs, percent, table

Report = dict[str, Any]


def print_network(report: Report, console: Console) -> None:
    """Print what :func:`~lsqsim.report.network.network_report` returned."""
    given = report["input"]
    rows = [("input", f"{_shape(given)}, {_codes(given)}")]
    if "n_samples" in report:
        rows.append(("samples", str(report["n_samples"])))
    console.print(pairs("Network", rows))
    nodes = report["nodes"]
    rows = [
        (node["name"], node["kind"], ", ".join(node["sources"]), _shape(node), _codes(node))
        for node in nodes
    ]
    console.print(table("Nodes", ("node", "kind", "takes", "shape", "codes"), rows))
    folded = [_fold_row(node) for node in nodes if node["fold"] is not None]
    columns = ("node", "factor", "fold error", "bound LSB", "clipped biases")
    console.print(table("Folding (largest of all channels)", columns, folded, right=range(1, 5)))
    if nodes and "comparison" in nodes[0]:
        _print_comparison(nodes, console)


def _print_comparison(nodes: list[Report], console: Console) -> None:
    rows = [_comparison_row(node["name"], node["comparison"]) for node in nodes]
    columns = ("node", "differ", "max LSB", "beyond", "overflows", "strayed", "SQNR dB")
    title = "Against the float reference (strayed, SQNR: of the whole network)"
    console.print(table(title, columns, rows, right=range(1, 7)))


def _comparison_row(name: str, row: Report) -> tuple[str, ...]:
    n, counts, sqnr = row["n_outputs"], row["overflow"], row["sqnr_db"]
    overflows = "-" if counts is None else str(counts["transient"] + counts["persistent"])
    return (
        name,
        percent(row["n_differing"], n),
        str(row["max_lsb"]),
        str(row["n_beyond_bound"]),
        overflows,
        percent(row["n_strayed"], n),
        "-" if sqnr is None else f"{sqnr:.4g}",
    )


def _fold_row(node: Report) -> tuple[str, ...]:
    fold = node["fold"]
    worst = max(fold["fold_error"], key=abs)
    bound = fold["bound_lsb"]
    return (
        node["name"],
        number(float(max(fold["factor"]))),
        number(float(worst), digits=3),
        "none" if bound is None else number(float(bound), digits=4),
        str(fold["n_clipped_bias"]),
    )


def _shape(codes: Report) -> str:
    return f"({', '.join(map(str, codes['shape']))})"


def _codes(codes: Report) -> str:
    zero = f", zero point {codes['zero_point']}" if codes["zero_point"] else ""
    return f"{codes['format']} of {number(codes['step_size'], digits=4)}{zero}"
