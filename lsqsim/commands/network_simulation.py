"""The command ``simulate`` for a network file."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from lsqsim.commands.terminal import Tell
from lsqsim.compare import compare
from lsqsim.errors import DataError
from lsqsim.files import Writer, load_array, npy_writer, npz_writer, write_files
from lsqsim.network.comparison import compare_network
from lsqsim.network.network import Keep, Network, NetworkRun
from lsqsim.network.nodes import INPUT, LayerNode
from lsqsim.report import network_report, simulation_report
from lsqsim.widths import Widths, option_name


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSimulation:
    """Arguments of ``lsqsim simulate`` that a network takes."""

    inputs: Path
    node: str | None
    codes: bool
    trace: Path | None
    output: Path | None
    by_channel: bool


def refuse_widths(datapath: Path | None, widths: Widths) -> None:
    """DataError for a datapath beside a network, whose nodes have their own."""
    given = {field.name: getattr(widths, field.name) for field in fields(widths)}
    words = ["--datapath"] * (datapath is not None)
    words += [option_name(name, value) for name, value in given.items() if value is not None]
    if words:
        raise DataError(f"a network's nodes have their own datapaths: leave out {', '.join(words)}")


def simulate_network(network: Network, arguments: NetworkSimulation, tell: Tell) -> dict[str, Any]:
    """Run a network, whole or up to one node, write what is asked for; the report.

    Returns
    -------
    dict
        That of a layer for a node with weights, else that of a network.
    """
    chosen = None if arguments.node is None else network.node(arguments.node)
    if arguments.by_channel and not isinstance(chosen, LayerNode):
        raise DataError(
            "--by-channel counts overflows of one layer: name it by --node, one of "
            f"{', '.join(network.layers)}"
        )
    inputs = load_array(arguments.inputs)
    tell("running")
    run = network.run(
        network.as_input(inputs) if arguments.codes else inputs,
        keep=Keep.ALL,
        observe=not isinstance(chosen, LayerNode),
        progress=tell.rows,
    )
    tell("comparing")
    if isinstance(chosen, LayerNode):
        return _simulate_layer(chosen, run, arguments)
    compared = compare_network(network, run, None if arguments.codes else inputs)
    if chosen is not None:
        compared = [each for each in compared if each.name == chosen.name]
    report = network_report(network, compared, len(run.input.codes))
    traced = {INPUT: run.input.codes} | {
        name: result.output.codes for name, result in run.results.items()
    }
    name = network.output_name if chosen is None else chosen.name
    _write(arguments, traced, traced[name])
    return report


def _simulate_layer(
    node: LayerNode, run: NetworkRun, arguments: NetworkSimulation
) -> dict[str, Any]:
    """One layer on the codes that reach it."""
    result = node.unit.run(run.codes(node.source), trace=arguments.trace is not None)
    comparison = compare(node.unit, result)
    report = simulation_report(node.unit, result, comparison, by_channel=arguments.by_channel)
    registers = {} if result.trace is None else result.trace.registers
    _write(arguments, registers, result.output.codes)
    return report


def _write(arguments: NetworkSimulation, traced: dict[str, np.ndarray], output: np.ndarray) -> None:
    writers: dict[Path, Writer] = {}
    if arguments.trace is not None:
        writers[arguments.trace] = npz_writer(traced)
    if arguments.output is not None:
        writers[arguments.output] = npy_writer(output)
    write_files(writers)
