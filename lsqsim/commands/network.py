"""Layer files as a network whose layers meet."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from lsqsim.calibration import missing_step_sizes
from lsqsim.chain import Chain
from lsqsim.commands.loading import calibrate, check_reference, choose_datapath, compile_integers
from lsqsim.datapath import CompiledLayer
from lsqsim.errors import DataError
from lsqsim.layer import Layer
from lsqsim.layer_file import load_layer
from lsqsim.reference import reference_output
from lsqsim.specs import DatapathSpec
from lsqsim.widths import Widths


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFiles:
    """Layers in a row, and their datapaths: one for all, one each, or none where widths serve."""

    layers: tuple[Path, ...]
    datapaths: tuple[Path, ...]
    widths: Widths

    def __post_init__(self) -> None:
        if len(self.datapaths) not in (0, 1, len(self.layers)):
            raise DataError(
                f"give --datapath once for all layers or once for each of {len(self.layers)}, "
                f"got {len(self.datapaths)}"
            )


def load_chain(files: NetworkFiles, data: np.ndarray | None, *, are_codes: bool) -> Chain:
    """The layers of ``files``, compiled; step sizes that are missing are found from ``data``.

    A step size that one layer lacks and its neighbor has is the neighbor's. Without data,
    those that no register's range depends on are not needed.
    """
    layers = _joined([load_layer(path) for path in files.layers])
    specs = _datapaths(files, layers, data)
    if data is None:
        return Chain(_without_data(layers, specs))
    values = None if are_codes else data
    units: list[CompiledLayer] = []
    for i, spec in enumerate(specs):
        layer = layers[i] = calibrate(layers[i], spec, values)
        units.append(CompiledLayer(layer, spec))
        layers = _joined(layers)
        if values is not None and any(map(missing_step_sizes, layers[i + 1 :])):
            check_reference(layer, spec, values)
            values = reference_output(layer, values)
    return Chain(units)


def _joined(layers: Sequence[Layer]) -> list[Layer]:
    """Each step size between two layers, known to one, given to both."""
    found = list(layers)
    for i, (former, latter) in enumerate(pairwise(layers)):
        if "input_step" in missing_step_sizes(latter) and np.ndim(former.output_step) == 0:
            found[i + 1] = replace(latter, input_step=float(former.output_step))
        if "output_step" in missing_step_sizes(former):
            found[i] = replace(found[i], output_step=latter.input_step)
    return found


def _datapaths(
    files: NetworkFiles, layers: Sequence[Layer], data: np.ndarray | None
) -> list[DatapathSpec]:
    paths = files.datapaths * (1 if len(files.datapaths) == len(layers) else len(layers))
    specs: list[DatapathSpec] = []
    for i, layer in enumerate(layers):
        widths = files.widths.within_network(
            former=specs[-1].rescaler.output if specs else None, is_last=i == len(layers) - 1
        )
        specs.append(choose_datapath(paths[i] if paths else None, widths, layer, data))
        data = None
    return specs


def _without_data(layers: Sequence[Layer], specs: Sequence[DatapathSpec]) -> list[CompiledLayer]:
    for layer in layers[:-1]:
        if "output_step" in missing_step_sizes(layer):
            raise DataError(
                f"{layer.name}: output_step is missing, and the next layer takes it: add "
                f"output_step to the layer file, or give real inputs with --data"
            )
    return [compile_integers(*pair) for pair in zip(layers, specs, strict=True)]
