"""The command ``certify``: bounds and certificate of one layer."""

import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lsqsim.budget.bounds import layer_bounds
from lsqsim.budget.certificate import Certificate, certify as prove
from lsqsim.budget.input_range import InputRange
from lsqsim.budget.witness import witness_input
from lsqsim.calibration import missing_step_sizes
from lsqsim.commands.loading import as_codes, check_paths, choose_datapath, compile_integers
from lsqsim.commands.terminal import Tell, json_text, make_console, print_json, progress
from lsqsim.datapath import CompiledLayer
from lsqsim.errors import DataError
from lsqsim.files import Writer, load_array, npy_writer, text_writer, write_files
from lsqsim.layer import Layer
from lsqsim.layer_file import load_layer
from lsqsim.report import certificate_report, print_certificate
from lsqsim.specs import Conv2dSpec, Layout
from lsqsim.widths import Widths


@dataclass(frozen=True, slots=True, kw_only=True)
class Certification:
    """Arguments of ``lsqsim certify``."""

    layer: Path
    datapath: Path | None
    widths: Widths
    input_range: InputRange | None
    calibrate: Path | None
    codes: bool
    output: Path | None
    witness: Path | None


def certify(arguments: Certification, *, as_json: bool) -> bool:
    """Prove what holds for a layer's registers, print it, and write what is asked for.

    Returns
    -------
    bool
        Whether no stage is unsafe.
    """
    inputs = (
        ("the layer", arguments.layer),
        ("the input", arguments.calibrate),
        ("the datapath", arguments.datapath),
    )
    check_paths(inputs, {"--output": arguments.output, "--witness": arguments.witness})
    with progress() as tell, np.errstate(all="ignore"):
        layer = load_layer(arguments.layer)
        certificate = _certify(arguments, layer, tell)
        report = certificate_report(
            certificate, layer_bounds(certificate.compiled, certificate.inputs)
        )
        write_files(_writers(arguments, certificate))
    if as_json:
        print_json(report)
    else:
        print_certificate(report, _reproduction(arguments, layer, certificate), make_console())
    return certificate.is_safe


def _certify(arguments: Certification, layer: Layer, tell: Tell) -> Certificate:
    data = None if arguments.calibrate is None else load_array(arguments.calibrate)
    spec = choose_datapath(arguments.datapath, arguments.widths, layer, data)
    tell("folding")
    compiled = compile_integers(layer, spec)
    inputs = arguments.input_range
    if data is not None:
        inputs = _observed(compiled, layer, data, are_codes=arguments.codes)
    tell("proving")
    return prove(compiled, inputs)


def _observed(
    compiled: CompiledLayer, layer: Layer, data: np.ndarray, *, are_codes: bool
) -> InputRange:
    """The least and largest code of every input channel in the data."""
    if not are_codes and np.isnan(layer.input_step):
        raise DataError(
            f"{layer.name}: input_step is missing, and real inputs become codes by it: add "
            f"input_step to the layer file, or give codes with --codes"
        )
    tensor = as_codes(compiled, data) if are_codes else compiled.input_codes(data)
    compiled.operand_rows(tensor)  # refuses inputs that do not meet the layer
    is_nchw = isinstance(layer.spec, Conv2dSpec) and layer.spec.layout is Layout.NCHW
    return InputRange.observed(tensor.codes, 1 if is_nchw else tensor.codes.ndim - 1)


def _writers(arguments: Certification, certificate: Certificate) -> dict[Path, Writer]:
    writers: dict[Path, Writer] = {}
    if arguments.output is not None:
        writers[arguments.output] = text_writer(json_text(certificate.to_dict()))
    if arguments.witness is not None:
        if not certificate.witnesses:
            raise DataError(
                f"{arguments.witness}: there is no input to write, no stage of "
                f"{certificate.compiled.layer.name} is unsafe: leave out --witness"
            )
        tensor, _ = witness_input(certificate.compiled, certificate.witnesses[0])
        writers[arguments.witness] = npy_writer(tensor.codes)
    return writers


def _reproduction(arguments: Certification, layer: Layer, certificate: Certificate) -> list[str]:
    """How the simulator shows the first witness, then shell commands; none if all is safe."""
    if not certificate.witnesses:
        return []
    witness = arguments.witness or Path("witness.npy")
    spec = certificate.compiled.spec
    if arguments.datapath is not None:
        options = ["--datapath", str(arguments.datapath)]
    else:
        options = arguments.widths.options(input_signed=spec.input.format.signed)
    simulate = ["lsqsim", "simulate", str(arguments.layer), str(witness), "--codes", *options]
    lines = [shlex.join(simulate)]
    if arguments.witness is None:
        chosen = ["lsqsim", "certify", str(arguments.layer), "--witness", str(witness), *options]
        lines.insert(0, shlex.join([*chosen, *_range_options(arguments)]))
    return [_heading(layer), *(f"  {line}" for line in lines)]


def _heading(layer: Layer) -> str:
    """Simulating codes takes all step sizes; only those of real weights are found from data."""
    is_real = layer.weight is not None
    lacking = [k for k in missing_step_sizes(layer) if not (is_real and k == "weight_step")]
    if lacking:
        are = "is" if len(lacking) == 1 else "are"
        return f"Reproduce it, once {' and '.join(lacking)} {are} in the layer file:"
    return "Reproduce it:"


def _range_options(arguments: Certification) -> list[str]:
    options: list[str] = []
    if arguments.input_range is not None:
        options = [f"--input-range={arguments.input_range.least}:{arguments.input_range.largest}"]
    if arguments.calibrate is not None:
        options = ["--calibrate", str(arguments.calibrate), *["--codes"] * arguments.codes]
    return options
