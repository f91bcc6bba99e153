"""Tests for lsqsim.report.network and network_tables: every kind of parameter, plain values."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from lsqsim.formats import IntFormat, Overflow
from lsqsim.network.comparison import compare_network
from lsqsim.network.encoding import Encoding, InputSpec
from lsqsim.network.network import Keep, Network
from lsqsim.network.nodes import Add, AddSpec, Requantize
from lsqsim.report import network_report, print_network
from lsqsim.specs import FloatScale, PowerOfTwo, QuantizerSpec, Thresholds
from networks import S8, every_kind, inputs, rescaler

INPUT = InputSpec(shape=(2,), quantizer=QuantizerSpec(format=S8), step_size=0.5)
ONE = Encoding(format=S8, step_size=1.0)


def text(report):
    out = io.StringIO()
    print_network(report, Console(file=out, width=80))
    return out.getvalue()


@pytest.mark.parametrize(
    ("scaling", "held"),
    [
        (PowerOfTwo(), {"shift": [1]}),
        (FloatScale(), {"scale": [0.5]}),
        (Thresholds(), {"scale": [0.5]}),
    ],
)
def test_what_other_rescalers_hold(scaling, held):
    node = Requantize(name="q", source="input", output=ONE, rescaler=rescaler(S8, scaling))
    report = network_report(Network(INPUT, [node]))
    assert report["nodes"][0]["fold"]["held"] == [held]
    assert "0.5" in text(report)


def test_a_bound_that_is_none():
    """An output that wraps: no bound holds, and the report says so in JSON and in words."""
    spec = AddSpec(overflow=Overflow.WRAP)
    narrow = Encoding(format=IntFormat(3), step_size=1.0)
    node = Add(name="add", source="input", other="input", output=narrow, adder=spec)
    report = network_report(Network(INPUT, [node]))
    assert report["nodes"][0]["fold"]["bound_lsb"] is None
    assert "none" in text(report)


def test_plain_values():
    network = every_kind()
    run = network.run(inputs(network, 2), keep=Keep.ALL, observe=True)
    compared = compare_network(network, run)
    report = network_report(network, compared, 2)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    shown = text(report)
    assert "conv" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    exact = [replace(each, sqnr_db=np.inf) for each in compared]
    assert network_report(network, exact, 2)["nodes"][0]["comparison"]["sqnr_db"] is None
    rows = [line.split() for line in text(network_report(network, exact, 2)).splitlines()]
    assert sum(row[-1:] == ["-"] for row in rows) == len(network.nodes)
