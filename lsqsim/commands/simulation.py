"""The command ``simulate``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lsqsim.calibration import missing_step_sizes
from lsqsim.commands.loading import as_codes, calibrate, check_paths, choose_datapath
from lsqsim.commands.network_simulation import (
    NetworkSimulation,
    refuse_widths,
    simulate_network,
)
from lsqsim.commands.terminal import Tell, make_console, print_json, progress
from lsqsim.compare import compare
from lsqsim.datapath import CompiledLayer
from lsqsim.errors import DataError
from lsqsim.files import load_array, npy_writer, npz_writer, write_files
from lsqsim.layer_file import load_layer
from lsqsim.network.network_file import load_if_network
from lsqsim.report import print_network, print_simulation, simulation_report
from lsqsim.widths import Widths


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """Arguments of ``lsqsim simulate``."""

    layer: Path
    inputs: Path
    datapath: Path | None
    widths: Widths
    codes: bool
    trace: Path | None
    output: Path | None
    by_channel: bool
    node: str | None = None


def simulate(arguments: Simulation, *, as_json: bool) -> None:
    """Run a layer or a network on an input, write what is asked for, and print the report."""
    inputs = (
        ("the layer", arguments.layer),
        ("the input", arguments.inputs),
        ("the datapath", arguments.datapath),
    )
    check_paths(inputs, {"--trace": arguments.trace, "--output": arguments.output})
    # Infinite inputs are legal, they clip; the float reference meets inf - inf then.
    with progress() as tell, np.errstate(all="ignore"):
        report = _simulate(arguments, tell)
    if as_json:
        print_json(report)
    elif "nodes" in report:
        print_network(report, make_console())
    else:
        print_simulation(report, make_console())


def _simulate(arguments: Simulation, tell: Tell) -> dict[str, Any]:
    network = load_if_network(arguments.layer)
    if network is not None:
        refuse_widths(arguments.datapath, arguments.widths)
        return simulate_network(
            network,
            NetworkSimulation(
                inputs=arguments.inputs,
                node=arguments.node,
                codes=arguments.codes,
                trace=arguments.trace,
                output=arguments.output,
                by_channel=arguments.by_channel,
            ),
            tell,
        )
    if arguments.node is not None:
        raise DataError(f"--node names a node of a network, but {arguments.layer} holds a layer")
    layer = load_layer(arguments.layer)
    inputs = load_array(arguments.inputs)
    spec = choose_datapath(arguments.datapath, arguments.widths, layer, inputs)
    values = None if arguments.codes else inputs
    tell("calibrating")
    calibrated = missing_step_sizes(layer)
    layer = calibrate(layer, spec, values)
    tell("folding")
    compiled = CompiledLayer(layer, spec)
    tell("running")
    result = compiled.run(
        as_codes(compiled, inputs) if arguments.codes else inputs,
        trace=arguments.trace is not None,
        progress=tell.rows,
    )
    tell("comparing")
    comparison = compare(compiled, result, values)
    writers = {}
    if arguments.trace is not None and result.trace is not None:
        writers[arguments.trace] = npz_writer(result.trace.registers)
    if arguments.output is not None:
        writers[arguments.output] = npy_writer(result.output.codes)
    report = simulation_report(
        compiled, result, comparison, calibrated=calibrated, by_channel=arguments.by_channel
    )
    write_files(writers)
    return report
