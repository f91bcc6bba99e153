"""Step sizes from data, for layers that come without: the paper's start, and the least error.

A trained layer brings its own step sizes; these stand in where a file leaves them out.
"""

import math
from dataclasses import replace

import numpy as np

from lsqsim.errors import DataError, SpecError
from lsqsim.formats import IntFormat
from lsqsim.layer import Layer
from lsqsim.specs import DatapathSpec, QuantizerSpec

GRID_OCTAVES = 8
"""The smallest candidate is 2**-8 of the largest."""
GRID_STEPS_PER_OCTAVE = 16
"""Neighboring candidates differ by 2**(1/16), 4.4 %."""
MAX_SAMPLES = 1 << 20
"""Values of one tensor that :func:`calibrate_operands` and :func:`calibrate_output` look at."""

_SMALLEST = float(np.finfo(np.float64).tiny)
_LARGEST = float(np.finfo(np.float64).max)
_FINEST = 2.0**-500
"""Least largest candidate, relative to max|v|: quotients stay finite."""
_UNUSED = 1.0


def initial_step_size(values: object, fmt: IntFormat) -> float:
    """Step size from which LSQ starts to learn: 2 <|v|> / sqrt(Q_P) (Esser et al., equation 6).

    Parameters
    ----------
    values : real array, any shape
        Weights, or the first batch of activations; finite.
    fmt : IntFormat
        Format of the codes; Q_P is its largest.

    Returns
    -------
    float
        Real units a code, finite and positive; 1.0 for values that are all zero, or none.

    Raises
    ------
    DataError
        NaN, infinite values, or no numbers.
    SpecError
        A format without a positive code: Q_P is 0.

    Examples
    --------
    A mean magnitude of 3, and 4 bits:

    >>> initial_step_size([-2.0, 4.0], IntFormat(4, signed=False)) == 2 * 3 / 15**0.5
    True
    """
    if fmt.max < 1:
        raise SpecError(f"the initial step size needs a positive code; {fmt.describe()} has none")
    relative, largest = _normalized(values)
    if not largest:
        return _UNUSED
    return _usable(2 * float(np.abs(relative).mean()) / math.sqrt(fmt.max), largest)


def error_minimizing_step_size(values: object, fmt: IntFormat, zero_point: int = 0) -> float:
    """Step size of least mean squared quantization error, out of a fixed geometric grid.

    The largest candidate is the smallest step with which no value clips (values
    of a sign that the format hasn't got clip with any); the others lie below it,
    16 an octave, over 8 octaves. Of equal errors the largest step wins. Rounding
    is to nearest, ties to even.

    Parameters
    ----------
    values : real array, any shape
        Finite.
    fmt : IntFormat
        Format of the codes.
    zero_point : int
        Code that means real 0, within ``fmt``.

    Returns
    -------
    float
        Real units a code, finite and positive; 1.0 for values that are all zero, or none.

    Raises
    ------
    DataError
        NaN, infinite values, or no numbers.
    SpecError
        A zero point outside the format.

    Examples
    --------
    Values that lie on a grid of 0.25 keep it:

    >>> error_minimizing_step_size([-1.0, 0.25, 0.5, 1.75], IntFormat(4))
    0.25
    """
    if not fmt.holds(zero_point):
        raise SpecError(f"zero_point must be a code of {fmt.describe()}, got {zero_point}")
    relative, largest = _normalized(values)
    if not largest:
        return _UNUSED
    low, high = float(fmt.min - zero_point), float(fmt.max - zero_point)
    flat = relative.reshape(-1)
    top = _smallest_without_clipping(flat, low, high)
    exponents = np.arange(GRID_OCTAVES * GRID_STEPS_PER_OCTAVE + 1) / GRID_STEPS_PER_OCTAVE
    candidates = top * 2.0**-exponents
    errors = [_squared_error(flat, step, low, high) for step in candidates.tolist()]
    return _usable(float(candidates[int(np.argmin(errors))]), largest)


def calibrate_operands(layer: Layer, spec: DatapathSpec, inputs: object | None) -> Layer:
    """``layer`` with the step sizes of its inputs and weights filled in where they are NaN.

    Parameters
    ----------
    layer : Layer
        A step size that is NaN is missing.
    spec : DatapathSpec
        Formats, and whether weights have one step size or one a channel.
    inputs : real array or None
        Real inputs; None when there are only codes.

    Raises
    ------
    DataError
        A step size is missing and only codes are there: they don't say how
        large they are.
    """
    if _is_missing(layer.input_step):
        if inputs is None:
            raise _only_codes(layer, "input_step", "inputs")
        sample = _sample(f"{layer.name}: inputs", inputs)
        step = error_minimizing_step_size(sample, spec.input.format, layer.input_zero_point)
        layer = replace(layer, input_step=step)
    if _is_missing(layer.weight_step):
        if layer.weight is None:
            raise _only_codes(layer, "weight_step", "weights")
        layer = replace(layer, weight_step=_weight_step(layer, layer.weight, spec.weight))
    return layer


def calibrate_output(layer: Layer, spec: DatapathSpec, outputs: object) -> Layer:
    """``layer`` with its output step size filled in from real ``outputs`` where it is NaN."""
    if not _is_missing(layer.output_step):
        return layer
    sample = _sample(f"{layer.name}: reference outputs", outputs)
    step = error_minimizing_step_size(sample, spec.rescaler.output, layer.output_zero_point)
    return replace(layer, output_step=step)


def missing_step_sizes(layer: Layer) -> tuple[str, ...]:
    """Names of the step sizes that are still to be calibrated."""
    names = ("input_step", "weight_step", "output_step")
    return tuple(name for name in names if _is_missing(getattr(layer, name)))


def _is_missing(step: object) -> bool:
    return isinstance(step, float) and math.isnan(step)


def _only_codes(layer: Layer, key: str, what: str) -> DataError:
    return DataError(
        f"{layer.name}: {key} is missing and the {what} are codes, which have no real size to "
        f"calibrate from: add {key} to the layer file"
    )


def _weight_step(layer: Layer, weight: np.ndarray, spec: QuantizerSpec) -> float | np.ndarray:
    zeros = np.broadcast_to(layer.weight_zero_point, (layer.n_outputs,)).tolist()
    sample = _sample(f"{layer.name}: weights", weight)
    if spec.channel_axis is None:
        return error_minimizing_step_size(sample, spec.format, zeros[0] if zeros else 0)
    rows = [
        error_minimizing_step_size(w, spec.format, z) for w, z in zip(weight, zeros, strict=True)
    ]
    return np.array(rows, np.float64)


def _sample(name: str, values: object) -> np.ndarray:
    """At most MAX_SAMPLES of ``values``, evenly spaced in C order; all of them are checked."""
    flat = _finite(name, values).reshape(-1)
    return flat[:: -(-flat.size // MAX_SAMPLES) or 1]


def _finite(name: str, values: object) -> np.ndarray:
    """``values`` as float64; DataError unless they are finite real numbers."""
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise DataError(f"{name} must be real numbers to find a step size, got dtype {array.dtype}")
    real = array.astype(np.float64)
    bad = ~np.isfinite(real)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise DataError(
            f"{name} must be finite to find a step size, got {real[first]} at index {first}: "
            f"mend the data, or state the step size"
        )
    return real


def _normalized(values: object) -> tuple[np.ndarray, float]:
    """``values`` over their largest magnitude, so that no square overflows; and the magnitude."""
    real = _finite("values", values)
    largest = float(np.abs(real).max(initial=0.0))
    return (real / largest if largest else real), largest


def _usable(relative: float, largest: float) -> float:
    """``relative * largest`` within the normal numbers of float64."""
    return min(max(relative * largest, _SMALLEST), _LARGEST)


def _smallest_without_clipping(flat: np.ndarray, low: float, high: float) -> float:
    """Over the signs that the codes low .. high have; 1 when no value has one of those."""
    top = 0.0
    if high > 0:
        top = max(top, float(flat.max()) / high)
    if low < 0:
        top = max(top, float(flat.min()) / low)
    return max(top, _FINEST) if top else 1.0


def _squared_error(flat: np.ndarray, step: float, low: float, high: float) -> float:
    codes = flat / step
    np.rint(codes, out=codes)
    np.clip(codes, low, high, out=codes)
    codes *= step
    codes -= flat
    return float(np.dot(codes, codes))
