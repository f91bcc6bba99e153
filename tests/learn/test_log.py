"""Tests for lsqsim.learn.log and lsqsim.learn.record: what is written can be read."""

import csv
import io
import json
import math
from dataclasses import replace

import pytest

from lsqsim.errors import DataError
from lsqsim.learn.log import log_csv, log_lines, write_log
from lsqsim.learn.record import EpochRecord

RECORD = EpochRecord(
    epoch=1, learning_rate=0.1, loss=0.7, train_accuracy=0.5, test_loss=0.6, test_accuracy=0.75,
    seconds=1.5, step_sizes={"act": [0.25], "conv.weight": [0.5, 0.125]}, dead=[], measured={},
)  # fmt: skip
RECORDS = [
    RECORD,
    replace(RECORD, epoch=2, dead=["act", "b"], measured={"accuracy": 0.5}),
]


def test_csv():
    first, second = csv.DictReader(io.StringIO(log_csv(RECORDS)))
    assert list(first) == [
        "epoch", "learning_rate", "loss", "train_accuracy", "test_loss", "test_accuracy", "seconds",
        "dead", "step.act", "step.conv.weight[0]", "step.conv.weight[1]", "measured.accuracy",
    ]  # fmt: skip
    assert (first["measured.accuracy"], second["measured.accuracy"]) == ("", "0.5")
    assert (first["dead"], second["dead"]) == ("", "act b")
    assert second["step.conv.weight[1]"] == "0.125"
    assert (second["epoch"], first["test_accuracy"]) == ("2", "0.75")


def test_csv_of_nothing():
    assert log_csv([]).splitlines() == [
        "epoch,learning_rate,loss,train_accuracy,test_loss,test_accuracy,seconds"
    ]


def test_lines():
    lines = [json.loads(line) for line in log_lines(RECORDS).splitlines()]
    assert [EpochRecord.from_dict(line) for line in lines] == RECORDS


def test_files(tmp_path):
    for records in (RECORDS[:1], RECORDS):
        write_log(tmp_path, records)
        assert (tmp_path / "log.csv").read_text() == log_csv(records)
        assert (tmp_path / "log.jsonl").read_text() == log_lines(records)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"epoch": 1.0}, "holds finite numbers"),
        ({"epoch": True}, "holds finite numbers"),
        ({"loss": math.nan}, "a record of an epoch holds finite numbers, got"),
        ({"loss": "1"}, "holds finite numbers"),
        ({"measured": {"a": None}}, "holds finite numbers"),
        ({"measured": [1]}, r"measured of an epoch must be named numbers, got \[1\]"),
        ({"step_sizes": {"a": 1}}, "step_sizes of an epoch must be lists of numbers, got"),
        ({"step_sizes": {"a": [math.inf]}}, "holds finite numbers"),
        ({"step_sizes": {"a": [[1.0]]}}, "holds finite numbers"),
        ({"dead": "act"}, "dead quantizers of an epoch must be names, got 'act'"),
        ({"dead": [1]}, r"dead quantizers of an epoch must be names, got \[1\]"),
        ({"more": 1}, "a record of an epoch has dead, epoch, learning_rate, .*, got"),
    ],
)
def test_refuses_records(changes, error):
    with pytest.raises(DataError, match=error):
        EpochRecord.from_dict(RECORD.to_dict() | changes)


def test_refuses_other_things():
    with pytest.raises(DataError, match="a record of an epoch has dead"):
        EpochRecord.from_dict([1])
