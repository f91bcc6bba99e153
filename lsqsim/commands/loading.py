"""Layers and datapaths that fit each other: what commands start from."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lsqsim.calibration import calibrate_operands, calibrate_output, missing_step_sizes
from lsqsim.channels import require_codes
from lsqsim.convolution import conv_shape
from lsqsim.datapath import CompiledLayer
from lsqsim.errors import DataError, LsqsimError
from lsqsim.files import load_datapath, require_writable
from lsqsim.layer import Layer
from lsqsim.quantizer import Quantizer
from lsqsim.reference import reference_output
from lsqsim.specs import Conv2dSpec, DatapathSpec
from lsqsim.tensor import QTensor
from lsqsim.widths import Widths

_STAND_IN_FACTOR = 0.5
"""Held by every rescaler that has not been narrowed on purpose."""


def choose_datapath(
    path: Path | None, widths: Widths, layer: Layer | None, inputs: np.ndarray | None
) -> DatapathSpec:
    """The datapath of a file, or of widths; DataError if the layer's parameters don't fit it."""
    spec = widths.datapath(layer, inputs) if path is None else load_datapath(path)
    if layer is not None:
        check_parameters(layer, spec)
    return spec


def check_parameters(layer: Layer, spec: DatapathSpec) -> None:
    """DataError where a layer has one parameter a channel, and the datapath takes one for all."""
    if spec.weight.channel_axis is not None:
        return
    for key in ("weight_step", "weight_zero_point"):
        if np.ndim(getattr(layer, key)):
            raise DataError(
                f"{layer.name}: {key} has one value a channel, this datapath takes one for "
                f"all: leave out --per-tensor; in a TOML file, set weight.channel_axis = 0 and "
                f'rescaler.granularity = "per_channel"'
            )


def calibrate(layer: Layer, spec: DatapathSpec, values: np.ndarray | None) -> Layer:
    """``layer`` with its missing step sizes found from real inputs, or from the weights."""
    layer = calibrate_operands(layer, spec, values)
    if "output_step" not in missing_step_sizes(layer):
        return layer
    if values is None:
        raise DataError(
            f"{layer.name}: output_step is missing, and is calibrated from real inputs only: "
            f"add output_step to the layer file, or give real inputs without --codes"
        )
    check_reference(layer, spec, values)
    return calibrate_output(layer, spec, reference_output(layer, values))


def check_reference(layer: Layer, spec: DatapathSpec, values: np.ndarray) -> None:
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


def compile_integers(layer: Layer, spec: DatapathSpec) -> CompiledLayer:
    """``layer`` on ``spec`` where only the integers up to the accumulator matter.

    They hang on the layer and the datapath alone, so that whoever has both
    gets the same. A step size that none of them depends on gets a stand-in;
    that of real weights is found from the weights.

    Raises
    ------
    DataError
        The integer bias depends on a step size that is missing; or the
        datapath's rescaler has no place for the stand-in.
    """
    missing = missing_step_sizes(layer)
    if missing and spec.rescaler.takes_bias:
        layer = replace(layer, bias=None)  # it joins behind the accumulator
    steps: dict[str, Any] = {}
    if "weight_step" in missing and layer.weight is None:
        steps["weight_step"] = _unless_bias_needs(layer, "weight_step")
    if "input_step" in missing:
        steps["input_step"] = _unless_bias_needs(layer, "input_step")
    layer = calibrate_operands(replace(layer, **steps), spec, None)
    if "output_step" not in missing:
        return CompiledLayer(layer, spec)
    step = layer.input_step * np.asarray(layer.weight_step) / _STAND_IN_FACTOR
    try:
        return CompiledLayer(replace(layer, output_step=step), spec)
    except LsqsimError as error:
        raise DataError(
            f"{error} (output_step is missing, and a factor of {_STAND_IN_FACTOR} was tried in "
            f"its place: add output_step to the layer file)"
        ) from None


def _unless_bias_needs(layer: Layer, key: str) -> float:
    if layer.bias is not None:
        raise DataError(
            f"{layer.name}: {key} is missing, and the integer bias depends on it: add {key} to "
            f"the layer file, or store bias_codes"
        )
    return 1.0


def as_codes(compiled: CompiledLayer, inputs: np.ndarray) -> QTensor:
    """Integers as input codes of a layer; DataError outside its input format."""
    fmt, unit = compiled.spec.input.format, compiled.input_quantizer
    return QTensor(
        codes=require_codes("input codes", inputs, fmt.min, fmt.max, str(fmt)),
        format=fmt,
        step_size=unit.step_size[0],
        zero_point=unit.zero_point[0],
    )


def check_paths(
    inputs: Iterable[tuple[str, Path | None]], outputs: Mapping[str, Path | None]
) -> None:
    """DataError for an output that can't be written, or that would replace another file in use."""
    used = {path.resolve(): name for name, path in inputs if path is not None}
    for option, path in outputs.items():
        if path is None:
            continue
        require_writable(path)
        if path.resolve() in used:
            raise DataError(f"{option} would overwrite {used[path.resolve()]}: {path}")
        used[path.resolve()] = f"what {option} writes"
