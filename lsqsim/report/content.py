"""What there is to say about a datapath, a layer and a run, as JSON-ready dictionaries."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from lsqsim.compare import Comparison
from lsqsim.datapath import CompiledLayer, LayerResult
from lsqsim.folding import (
    FixedPointParameters,
    FloatParameters,
    Parameters,
    PowerOfTwoParameters,
)
from lsqsim.layer import Layer
from lsqsim.overflow import OverflowCounts, OverflowKind, OverflowReport
from lsqsim.report.words import unit_rows
from lsqsim.specs import Conv2dSpec, DatapathSpec
from lsqsim.specs.toml import to_table

Report = dict[str, Any]


def simulation_report(
    compiled: CompiledLayer,
    result: LayerResult,
    comparison: Comparison,
    *,
    calibrated: Iterable[str] = (),
    by_channel: bool = False,
) -> Report:
    """All there is to say about one run.

    Parameters
    ----------
    compiled : CompiledLayer
        The layer.
    result : LayerResult
        Its run, observed.
    comparison : Comparison
        Its distance from the float reference.
    calibrated : iterable of str
        Names of the step sizes that were found from the data.
    by_channel : bool
        Also count the overflows of every output channel.

    Returns
    -------
    dict
        Dictionaries, lists, strings, integers, finite floats, booleans and
        None only: ``datapath``, ``layer``, ``factors``, ``overflow``,
        ``comparison``.
    """
    assert result.overflow is not None, "a Comparison is made of an observed run"
    layer = layer_report(compiled.layer, compiled, calibrated)
    outputs = result.output.codes
    layer["input_shape"] = list(result.input.codes.shape)
    layer["output_shape"] = list(outputs.shape)
    others = np.delete(outputs.shape, compiled.layer.output_channel_axis)
    layer["m"] = int(np.prod(others, dtype=np.int64))
    return {
        "datapath": datapath_report(compiled.spec),
        "layer": layer,
        "factors": factor_report(compiled),
        "overflow": overflow_report(result.overflow, by_channel=by_channel),
        "comparison": plain(comparison.to_dict()),
    }


def description_report(
    spec: DatapathSpec, layer: Layer | None = None, compiled: CompiledLayer | None = None
) -> Report:
    """A datapath, and a layer for it; compiled unless step sizes are missing."""
    report: Report = {"datapath": datapath_report(spec)}
    if layer is not None:
        report["layer"] = layer_report(layer, compiled)
    if compiled is not None:
        report["factors"] = factor_report(compiled)
    return report


def datapath_report(spec: DatapathSpec) -> Report:
    """The specification as its TOML has it, and in words."""
    return {"spec": to_table(spec), "units": unit_rows(spec)}


def layer_report(
    layer: Layer, compiled: CompiledLayer | None = None, calibrated: Iterable[str] = ()
) -> Report:
    """Shapes, step sizes and zero points; and, compiled, the range of its integer codes."""
    is_convolution = isinstance(layer.spec, Conv2dSpec)
    report = {
        "name": layer.name,
        "kind": "conv2d" if is_convolution else "linear",
        "spec": to_table(layer.spec),
        "k": int(np.prod(layer.weight_shape[1:], dtype=np.int64)),
        "n": layer.n_outputs,
        "weight_shape": list(layer.weight_shape),
        "input_step": layer.input_step,
        "weight_step": layer.weight_step,
        "output_step": layer.output_step,
        "calibrated": list(calibrated),
        "input_zero_point": layer.input_zero_point,
        "weight_zero_point": layer.weight_zero_point,
        "output_zero_point": layer.output_zero_point,
    }
    if compiled is not None:
        report["weight_codes"] = _range(compiled.weight.codes)
        report["bias_codes"] = None if compiled.bias is None else _range(compiled.bias.codes)
        report["n_clipped_bias"] = compiled.n_clipped_bias
    return plain(report)


def factor_report(compiled: CompiledLayer) -> Report:
    """What the rescaler holds for every channel (one entry when it is the same for all)."""
    factor = np.atleast_1d(compiled.factor)
    held = _parameters(compiled.rescaler.parameters)
    return plain({**held, "factor": factor, "fold_error": compiled.fold_error})


def overflow_report(report: OverflowReport, *, by_channel: bool = False) -> Report:
    """Counts, the first overflow in C order of the outputs, and the counts of every channel."""
    summary = _counts(report.counts()) | {"first": _first(report)}
    if by_channel:
        summary["by_channel"] = [_counts(counts) for counts in report.by_channel()]
    return summary


def _parameters(parameters: Parameters) -> Report:
    match parameters:
        case FixedPointParameters():
            held = {"multiplier": parameters.multiplier, "shift": parameters.shift}
            if parameters.addend is not None:
                held["addend"] = parameters.addend
            return {"kind": "fixed_point", **held}
        case FloatParameters():
            return {"kind": "float_scale", "scale": parameters.scale.astype(np.float64)}
        case PowerOfTwoParameters():
            return {"kind": "power_of_two", "shift": parameters.shift}
        case _:
            table = parameters.thresholds
            return {
                "kind": "thresholds",
                "n_thresholds": table.shape[1],
                "first_threshold": table[:, 0],
                "last_threshold": table[:, -1],
            }


def _counts(counts: OverflowCounts) -> Report:
    n = counts.outputs
    return {
        "outputs": n,
        "transient": counts.transient,
        "persistent": counts.persistent,
        "share": counts.overflowed / n if n else 0.0,
    }


def _first(report: OverflowReport) -> Report | None:
    overflowed = np.argwhere(report.kind != OverflowKind.NONE)
    if not overflowed.size:
        return None
    at = tuple(overflowed[0].tolist())
    return {
        "output": list(at),
        "kind": OverflowKind(int(report.kind[at])).name.lower(),
        "stage": int(report.first_stage[at]),
        "k": int(report.first_k[at]),
        "total": int(report.total[at]),
    }


def _range(codes: np.ndarray) -> list[int] | None:
    return [int(codes.min()), int(codes.max())] if codes.size else None


def plain(value: Any) -> Any:
    """A value in JSON's own types; NaN and infinities become None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value
