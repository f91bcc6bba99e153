"""A certificate as tables that fit 80 columns."""

from collections.abc import Sequence

from rich.console import Console

from lsqsim.report.certificate import certificate_notes, input_words, witness_lines
from lsqsim.report.content import Report
from lsqsim.report.layout import channels, table


def print_certificate(report: Report, reproduction: Sequence[str], console: Console) -> None:
    """Print what :func:`~lsqsim.report.certificate_report` returned.

    Parameters
    ----------
    report : dict
        The report.
    reproduction : sequence of str
        Lines on how the simulator shows the first witness, not to be folded.
    console : Console
        Where.
    """
    layer, certificate = report["layer"], report["certificate"]
    shape = f"K = {layer['k']}, {channels(layer['n'])}"
    title = f"Certificate of {layer['name']}: {shape}, input codes {input_words(certificate)}"
    columns = ("stage", "register", "verdict", "exact prefixes", "exact results")
    console.print(table(title, columns, _verdict_rows(report), right=(0, 3, 4)))
    console.print(
        table(
            "Bits that are enough for every channel, and channels that are unsafe",
            (
                "stage",
                "data\ntype",
                "l1",
                "A2Q+",
                "exact,\nwrap",
                "exact,\nsat",
                "has",
                "headroom",
                "unsafe",
            ),
            _width_rows(report),
            right=range(9),
        )
    )
    for line in (*certificate_notes(report), *witness_lines(report)):
        console.print(line)
    for line in reproduction:
        console.print(line, soft_wrap=True)


def _verdict_rows(report: Report) -> list[list[str]]:
    return [
        [
            str(level),
            f"{stage['bits']} bits, {stage['overflow']}",
            claims["verdict"].replace("_", "-"),
            _span(claims["prefix_low"], claims["prefix_high"]),
            _span(claims["result_low"], claims["result_high"]),
        ]
        for level, (stage, claims) in enumerate(
            zip(report["bounds"], report["certificate"]["stages"], strict=True)
        )
    ]


def _width_rows(report: Report) -> list[list[str]]:
    names = ("data_type", "l1", "zero_centered", "wrap", "saturate", "bits", "headroom_bits")
    rows: list[list[str]] = []
    for level, stage in enumerate(report["bounds"]):
        n_unsafe = len(report["certificate"]["stages"][level]["unsafe_channels"])
        unsafe = f"{n_unsafe} of {report['layer']['n']}" if n_unsafe else "-"
        rows.append([str(level), *(str(stage[name]) for name in names), unsafe])
    return rows


def _span(low: Sequence[int], high: Sequence[int]) -> str:
    return f"{min(low)}..{max(high)}"
