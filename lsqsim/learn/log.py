"""What training did, epoch by epoch, as CSV and as JSON lines."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from lsqsim.files import text_writer, write_files
from lsqsim.learn.record import EpochRecord

CSV_NAME, LINES_NAME = "log.csv", "log.jsonl"

_NUMBERS = (
    *("epoch", "learning_rate", "loss", "train_accuracy"),
    *("test_loss", "test_accuracy", "seconds"),
)


def write_log(folder: Path, records: Sequence[EpochRecord]) -> None:
    """Write ``log.csv`` and ``log.jsonl`` anew: all of them or nothing."""
    write_files(
        {
            folder / CSV_NAME: text_writer(log_csv(records)),
            folder / LINES_NAME: text_writer(log_lines(records)),
        }
    )


def log_lines(records: Sequence[EpochRecord]) -> str:
    """One JSON object a line and epoch."""
    return "".join(json.dumps(record.to_dict(), allow_nan=False) + "\n" for record in records)


def log_csv(records: Sequence[EpochRecord]) -> str:
    """One line an epoch: the numbers, what hooks measured, and one column a step size."""
    rows = [dict(_cells(record)) for record in records]
    columns = dict.fromkeys(_NUMBERS) | {name: None for row in rows for name in row}
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _cells(record: EpochRecord) -> Iterator[tuple[str, object]]:
    for name in _NUMBERS:
        yield name, getattr(record, name)
    yield "dead", " ".join(record.dead)
    for name, value in record.measured.items():
        yield f"measured.{name}", value
    for name, steps in record.step_sizes.items():
        for i, step in enumerate(steps):
            yield f"step.{name}" + (f"[{i}]" if len(steps) > 1 else ""), step
