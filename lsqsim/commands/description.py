"""The command ``describe``."""

import sys
from pathlib import Path

from lsqsim.calibration import missing_step_sizes
from lsqsim.commands.loading import choose_datapath
from lsqsim.commands.network_simulation import refuse_widths
from lsqsim.commands.terminal import make_console, print_json
from lsqsim.datapath import CompiledLayer
from lsqsim.layer_file import load_layer
from lsqsim.network.network_file import load_if_network
from lsqsim.report import (
    description_report,
    network_report,
    print_description,
    print_network,
)
from lsqsim.widths import Widths


def describe(datapath: Path | None, widths: Widths, layer: Path | None, *, as_json: bool) -> None:
    """Print a datapath in words, and what a layer becomes on it; or a network."""
    network = None if layer is None else load_if_network(layer)
    if network is not None:
        refuse_widths(datapath, widths)
        described = network_report(network)
        if as_json:
            print_json(described)
        else:
            print_network(described, make_console())
        return
    loaded = None if layer is None else load_layer(layer)
    spec = choose_datapath(datapath, widths, loaded, None)
    compiled = None
    if loaded is not None and not missing_step_sizes(loaded):
        compiled = CompiledLayer(loaded, spec)
    report = description_report(spec, loaded, compiled)
    if as_json:
        print_json(report)
    else:
        print_description(report, make_console())


def print_toml(datapath: Path | None, widths: Widths, layer: Path | None) -> None:
    """Print a datapath's TOML alone, so that it can be kept and edited."""
    loaded = None if layer is None else load_layer(layer)
    sys.stdout.write(choose_datapath(datapath, widths, loaded, None).to_toml())
