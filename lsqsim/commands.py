"""What the commands do, once their arguments are parsed."""

import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from lsqsim.calibration import calibrate_operands, calibrate_output, missing_step_sizes
from lsqsim.channels import require_codes
from lsqsim.compare import compare
from lsqsim.convolution import conv_shape
from lsqsim.datapath import CompiledLayer
from lsqsim.demo import print_demo, run_demo, save_demo
from lsqsim.errors import DataError
from lsqsim.files import (
    load_array,
    load_datapath,
    npy_writer,
    npz_writer,
    require_writable,
    write_files,
)
from lsqsim.layer import Layer
from lsqsim.layer_file import load_layer
from lsqsim.quantizer import Quantizer
from lsqsim.reference import reference_output
from lsqsim.report import (
    description_report,
    print_description,
    print_simulation,
    simulation_report,
)
from lsqsim.specs import Conv2dSpec, DatapathSpec
from lsqsim.tensor import QTensor
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


def simulate(arguments: Simulation, *, as_json: bool) -> None:
    """Run a layer on an input, write what is asked for, and print the report."""
    inputs = {
        "the layer": arguments.layer,
        "the input": arguments.inputs,
        "the datapath": arguments.datapath,
    }
    _check_paths(inputs, {"--trace": arguments.trace, "--output": arguments.output})
    # Infinite inputs are legal, they clip; the float reference meets inf - inf then.
    with _progress() as tell, np.errstate(all="ignore"):
        report = _simulate(arguments, tell)
    if as_json:
        _print_json(report)
    else:
        print_simulation(report, _console())


def describe(datapath: Path | None, widths: Widths, layer: Path | None, *, as_json: bool) -> None:
    """Print a datapath in words, and what a layer becomes on it."""
    loaded = None if layer is None else load_layer(layer)
    spec = _datapath(datapath, widths, loaded, None)
    compiled = None
    if loaded is not None and not missing_step_sizes(loaded):
        compiled = CompiledLayer(loaded, spec)
    report = description_report(spec, loaded, compiled)
    if as_json:
        _print_json(report)
    else:
        print_description(report, _console())


def print_toml(datapath: Path | None, widths: Widths, layer: Path | None) -> None:
    """Print a datapath's TOML alone, so that it can be kept and edited."""
    loaded = None if layer is None else load_layer(layer)
    sys.stdout.write(_datapath(datapath, widths, loaded, None).to_toml())


def demonstrate(*, seed: int, save: Path | None, as_json: bool) -> None:
    """Run the demonstration, print it, and write its files where asked."""
    with _progress() as tell:
        result = run_demo(seed=seed, progress=tell.steps)
        if save is not None:
            save_demo(result, save)
    if as_json:
        _print_json(result.to_dict())
    else:
        print_demo(result, _console(), saved=save)


def _simulate(arguments: Simulation, tell: "_Tell") -> dict[str, Any]:
    layer = load_layer(arguments.layer)
    inputs = load_array(arguments.inputs)
    spec = _datapath(arguments.datapath, arguments.widths, layer, inputs)
    values = None if arguments.codes else inputs
    tell("calibrating")
    calibrated = missing_step_sizes(layer)
    layer = _calibrated(layer, spec, values)
    tell("folding")
    compiled = CompiledLayer(layer, spec)
    tell("running")
    result = compiled.run(
        _codes(compiled, inputs) if arguments.codes else inputs,
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


def _calibrated(layer: Layer, spec: DatapathSpec, values: np.ndarray | None) -> Layer:
    layer = calibrate_operands(layer, spec, values)
    if "output_step" not in missing_step_sizes(layer):
        return layer
    if values is None:
        raise DataError(
            f"{layer.name}: output_step is missing, and is calibrated from real inputs only: "
            f"add output_step to the layer file, or give real inputs without --codes"
        )
    _check_reference(layer, spec, values)
    return calibrate_output(layer, spec, reference_output(layer, values))


def _check_reference(layer: Layer, spec: DatapathSpec, values: np.ndarray) -> None:
    """Refuse what the float reference can't compute from, as the units do later."""
    if isinstance(layer.spec, Conv2dSpec):
        conv_shape(layer.spec, values.shape, layer.weight_shape)
    elif values.shape[-1:] != layer.weight_shape[1:]:
        raise DataError(
            f"{layer.name}: inputs {values.shape} and weights {layer.weight_shape} do not meet: "
            f"the inputs' last axis must be K = {layer.weight_shape[1]}"
        )
    # NaN among the inputs: the unit says best which.
    Quantizer(spec.input, step_size=layer.input_step, zero_point=layer.input_zero_point).quantize(
        values
    )
    for key in ("weight", "bias"):
        array = getattr(layer, key)
        if array is not None and not np.isfinite(array).all():
            raise DataError(
                f"{layer.name}: {key} must be finite to calibrate output_step: mend the data, or "
                f"add output_step to the layer file"
            )


def _codes(compiled: CompiledLayer, inputs: np.ndarray) -> QTensor:
    fmt, unit = compiled.spec.input.format, compiled.input_quantizer
    return QTensor(
        codes=require_codes("input codes", inputs, fmt.min, fmt.max, str(fmt)),
        format=fmt,
        step_size=unit.step_size[0],
        zero_point=unit.zero_point[0],
    )


def _datapath(
    path: Path | None, widths: Widths, layer: Layer | None, inputs: np.ndarray | None
) -> DatapathSpec:
    spec = widths.datapath(layer, inputs) if path is None else load_datapath(path)
    if layer is not None and spec.weight.channel_axis is None:
        for key in ("weight_step", "weight_zero_point"):
            if np.ndim(getattr(layer, key)):
                raise DataError(
                    f"{layer.name}: {key} has one value a channel, this datapath takes one for "
                    f"all: leave out --per-tensor; in a TOML file, set weight.channel_axis = 0 and "
                    f'rescaler.granularity = "per_channel"'
                )
    return spec


def _check_paths(inputs: Mapping[str, Path | None], outputs: Mapping[str, Path | None]) -> None:
    """DataError for an output that can't be written, or that would replace another file in use."""
    used = {path.resolve(): name for name, path in inputs.items() if path is not None}
    for option, path in outputs.items():
        if path is None:
            continue
        require_writable(path)
        if path.resolve() in used:
            raise DataError(f"{option} would overwrite {used[path.resolve()]}: {path}")
        used[path.resolve()] = f"what {option} writes"


def _print_json(report: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(report, indent=2, allow_nan=False) + "\n")


def _console() -> Console:
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files may hold what a terminal's encoding has no character for.
        sys.stdout.reconfigure(errors="backslashreplace")
    return Console(highlight=False, emoji=False, markup=False)


class _Tell:
    """Says what is being done, and how far it is."""

    def __init__(self, update: Callable[..., None]) -> None:
        self._update = update

    def __call__(self, what: str) -> None:
        self._update(description=what, total=None)

    def rows(self, done: int, total: int) -> None:
        """Take the progress of :meth:`CompiledLayer.run`."""
        self._update(completed=done, total=total)

    def steps(self, what: str, done: int, total: int) -> None:
        """Take the progress of :func:`~lsqsim.demo.run_demo`."""
        self._update(description=what, completed=done, total=total)


@contextmanager
def _progress() -> Iterator[_Tell]:
    """A line on a terminal's standard error, gone at the end; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield _Tell(lambda **_: None)
        return
    progress = Progress(
        SpinnerColumn("line"),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with progress:
        yield _Tell(partial(progress.update, progress.add_task("loading", total=None)))
