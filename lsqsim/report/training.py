"""What there is to say about a training, as plain data and as tables."""

from collections.abc import Sequence

from rich.console import Console

from lsqsim.report.content import Report
from lsqsim.report.layout import number, pairs, percent, table


def training_report(
    *,
    data: Report,
    bits: Report,
    records: Sequence[Report],
    integers: Report,
    float_accuracy: float,
    files: Sequence[str],
) -> Report:
    """All there is to say about one training.

    Parameters
    ----------
    data : dict
        ``name``, ``n_train``, ``n_test``, ``n_classes``.
    bits : dict
        Of ``weights``, ``activations``, and of the ``first_and_last`` layer.
    records : sequence of dict
        Of every epoch of the quantized training, at least one.
    integers : dict
        ``accuracy``, ``accuracy_without_loop`` (before training on the integers, or None where
        there was none), ``n_agreeing`` (test samples of which both networks predict the same
        class), ``accumulator_bits``, ``transient``, ``persistent`` (layers' outputs that
        overflow) of ``outputs``.
    float_accuracy : float
        Of the float network on the test set, 0 .. 1.
    files : sequence of str
        What was written.
    """
    last = records[-1]
    return {
        "data": dict(data),
        "bits": dict(bits),
        "epochs": len(records),
        "seconds": sum(record["seconds"] for record in records),
        "float": {"test_accuracy": float_accuracy},
        "quantized": {name: last[name] for name in ("loss", "test_loss", "test_accuracy")},
        "integers": dict(integers),
        "step_sizes": {
            name: {"first": first, "last": last["step_sizes"][name]}
            for name, first in records[0]["step_sizes"].items()
        },
        "dead": last["dead"],
        "files": list(files),
    }


def print_training(report: Report, console: Console) -> None:
    """Print what :func:`training_report` returned."""
    console.print(pairs("Training", _settings(report)))
    console.print(table("Test set", ("network", "right"), _accuracies(report), right=[1]))
    console.print(pairs("On the integers", _integers(report)))
    rows = [
        (name, _steps(steps["first"]), _steps(steps["last"]))
        for name, steps in report["step_sizes"].items()
    ]
    columns = ("quantizer", "after epoch 1", f"after epoch {report['epochs']}")
    console.print(table("Step sizes", columns, rows, right=[1, 2]))
    console.print(pairs("Files", [("", path) for path in report["files"]]))


def _settings(report: Report) -> list[tuple[str, str]]:
    data, bits = report["data"], report["bits"]
    samples = f"{data['n_train']} samples to train on, {data['n_test']} to test"
    inner = f"weights {bits['weights']}, activations {bits['activations']}"
    rows = [
        ("data", f"{data['name']}: {samples}, {data['n_classes']} classes"),
        ("bits", f"{inner}, first and last layer {bits['first_and_last']}"),
        ("quantized", f"{report['epochs']} epochs, {report['seconds']:.1f} s"),
    ]
    if report["dead"]:
        rows.append(("dead", f"{', '.join(report['dead'])}: all values clip"))
    return rows


def _accuracies(report: Report) -> list[tuple[str, str]]:
    integers = report["integers"]
    rows = [
        ("float", report["float"]["test_accuracy"]),
        ("quantized, as trained", report["quantized"]["test_accuracy"]),
        ("on the integers, before training on them", integers["accuracy_without_loop"]),
        ("on the integers", integers["accuracy"]),
    ]
    return [(name, f"{100 * share:.2f} %") for name, share in rows if share is not None]


def _integers(report: Report) -> list[tuple[str, str]]:
    found, n = report["integers"], report["data"]["n_test"]
    overflow = "none"
    if found["transient"] or found["persistent"]:
        overflow = (
            f"{percent(found['transient'], found['outputs'])} transient, "
            f"{percent(found['persistent'], found['outputs'])} persistent"
        )
    return [
        ("accumulator", f"{found['accumulator_bits']} bits"),
        ("overflows", overflow),
        ("same prediction as trained", f"{found['n_agreeing']} of {n} samples"),
    ]


def _steps(steps: Sequence[float]) -> str:
    """One, or the ends of several."""
    low, high = (number(float(end), digits=4) for end in (min(steps), max(steps)))
    return low if len(steps) == 1 else f"{low} .. {high}"
