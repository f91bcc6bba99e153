"""The verdict: how far the integers lie from the float reference, and where they first part."""

import math
from dataclasses import asdict, dataclass

import numpy as np

from lsqsim.datapath import CompiledLayer, LayerResult
from lsqsim.error_bound import ErrorBound, error_bound
from lsqsim.errors import DataError
from lsqsim.reference import (
    Reference,
    ideal_input_codes,
    reference_from_codes,
    reference_output,
)
from lsqsim.sqnr import sqnr_db
from lsqsim.tensor import QTensor
from lsqsim.trace import Difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Integer output against the float reference.

    Attributes
    ----------
    n_outputs
        Number of outputs.
    n_differing
        Outputs whose code is not the reference's ideal code.
    max_lsb
        Largest difference of codes.
    sqnr_db
        Signal to quantization noise against the real (unquantized) output:
        10 log10(sum y^2 / sum (y - y_int)^2). Infinite without any error.
    bound_lsb
        Analytic bound on |code - real output / s_y|, the largest of all
        channels; infinite where none holds.
    n_beyond_bound
        Outputs farther away than their channel's bound although their
        accumulator holds the exact total: 0, or a defect.
    n_inexact
        Outputs whose accumulator does not hold its exact total, so that the
        bound does not speak of them.
    first_difference
        Where integers and reference first part; None when they agree. ``left`` is
        the integer datapath's value, ``right`` the reference's.
    """

    n_outputs: int
    n_differing: int
    max_lsb: int
    sqnr_db: float
    bound_lsb: float
    n_beyond_bound: int
    n_inexact: int
    first_difference: Difference | None

    @property
    def verdict(self) -> str:
        """``exact``, or ``within n LSB``."""
        return "exact" if self.n_differing == 0 else f"within {self.max_lsb} LSB"

    def to_dict(self) -> dict[str, object]:
        """All fields and the verdict as plain values; infinities as None, for JSON."""
        table = asdict(self) | {"verdict": self.verdict}
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in table.items()
        }


def compare(compiled: CompiledLayer, result: LayerResult, values: object = None) -> Comparison:
    """Compare a run with the float reference.

    The reference computes in float64 from the codes that entered the array,
    with the real bias, so that what differs is the integer arithmetic; SQNR
    is against the real weights and inputs.

    Parameters
    ----------
    compiled : CompiledLayer
        The layer.
    result : LayerResult
        Its run, observed.
    values : float array, optional
        The real inputs of the run. Without them the dequantized input codes
        are taken as the real inputs.

    Raises
    ------
    DataError
        When the run was not observed: totals are needed.
    """
    report = result.overflow
    if report is None:
        raise DataError("to compare, run the layer with observe=True: exact totals are needed")
    layer, spec = compiled.layer, compiled.spec
    reference = reference_from_codes(layer, spec, result.input, compiled.weight)
    real_inputs = result.input.dequantize() if values is None else values
    difference = np.abs(result.output.codes - reference.codes)
    exact = result.accumulators == report.total
    bound = error_bound(compiled)
    return Comparison(
        n_outputs=difference.size,
        n_differing=int((difference > 0).sum()),
        max_lsb=int(difference.max(initial=0)),
        sqnr_db=sqnr_db(reference_output(layer, real_inputs), result.output.dequantize()),
        bound_lsb=float(bound.total.max(initial=0.0)),
        n_beyond_bound=int(
            (exact & (distance(compiled, result, reference) > _spread(compiled, bound))).sum()
        ),
        n_inexact=int((~exact).sum()),
        first_difference=_first_difference(compiled, result, reference, values),
    )


def distance(compiled: CompiledLayer, result: LayerResult, reference: Reference) -> np.ndarray:
    """|code - zero point - real output / s_y|, float64, shape of the output (LSB)."""
    step = _along_outputs(compiled, np.asarray(compiled.layer.output_step, np.float64))
    return np.abs(result.output.codes - compiled.layer.output_zero_point - reference.output / step)


def _spread(compiled: CompiledLayer, bound: ErrorBound) -> np.ndarray:
    return _along_outputs(compiled, bound.total)


def _along_outputs(compiled: CompiledLayer, parameter: np.ndarray) -> np.ndarray:
    """One value, or one a channel, to broadcast over the output."""
    if parameter.ndim == 0 or compiled.layer.output_channel_axis == -1:
        return parameter
    return parameter.reshape(1, -1, 1, 1)


def _first_difference(
    compiled: CompiledLayer, result: LayerResult, reference: Reference, values: object
) -> Difference | None:
    """The earliest register with a difference: input codes, a stage, or the output."""
    if values is not None:
        ideal = ideal_input_codes(compiled.layer, compiled.spec, values)
        found = _element("input_codes", result.input.codes, ideal)
        if found is not None:
            return found
    report = result.overflow
    assert report is not None
    inexact = np.argwhere(result.accumulators != report.total)
    if inexact.size:
        return _overflow(compiled, result.input, tuple(int(i) for i in inexact[0]))
    return _element("output", result.output.codes, reference.codes)


def _overflow(compiled: CompiledLayer, inputs: QTensor, index: tuple[int, ...]) -> Difference:
    """The first addition of this output that lost its value, with the exact sum beside it."""
    step = next(step for step in compiled.walk_output(inputs, index) if step.overflows)
    return Difference(
        register=f"stage_{step.stage}", index=index, tile=step.tile,
        k_range=(step.k_index, step.k_index),
        left=step.after, right=step.before + step.operand,
    )  # fmt: skip


def _element(register: str, left: np.ndarray, right: np.ndarray) -> Difference | None:
    different = np.argwhere(left != right)
    if not different.size:
        return None
    at = tuple(int(i) for i in different[0])
    return Difference(
        register=register, index=at, tile=None, k_range=None,
        left=left[at].item(), right=right[at].item(),
    )  # fmt: skip
