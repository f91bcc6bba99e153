"""A trained network on the integers: its accuracy there, and whether it says what training said."""

from dataclasses import dataclass

import numpy as np

from lsqsim.coupling.fold import FoldedNetwork, fold_model
from lsqsim.coupling.hardware import HardwareSpec
from lsqsim.data_sets import DataSet, Samples
from lsqsim.learn.evaluation import BATCH, evaluate, one_thread
from lsqsim.learn.model import Mode, Model

_MARGIN = 2.0
"""How far beyond the largest calibrated output the output's codes reach."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntegerEvaluation:
    """A network on samples, by the integer datapath and by the fake-quantized network.

    Attributes
    ----------
    folded
        The integer network.
    accuracy, fake_quantized_accuracy
        Shares of right predictions.
    agreement
        Share of samples for which both predict the same class.
    """

    folded: FoldedNetwork
    accuracy: float
    fake_quantized_accuracy: float
    agreement: float


def calibrated_output_step(model: Model, values: np.ndarray, hardware: HardwareSpec) -> float:
    """Step size of an output without quantizer: twice the largest output on ``values`` fits.

    Parameters
    ----------
    model : Model
        In evaluation.
    values : float32 array (n, ...)
        Real inputs.
    hardware : HardwareSpec
        Its ``logits`` is the output's format.
    """
    with one_thread():
        largest = max(
            float(np.abs(model.forward(values[i : i + BATCH], Mode.EVALUATION)).max())
            for i in range(0, len(values), BATCH)
        )
    return largest * _MARGIN / hardware.logits.max or 1.0


def evaluate_on_integers(
    model: Model,
    data_set: DataSet,
    samples: Samples,
    hardware: HardwareSpec,
    *,
    output_step: float | None = None,
) -> IntegerEvaluation:
    """Fold ``model`` for ``hardware``, and run ``samples`` on it.

    Without ``output_step``, it is calibrated on the first training samples.

    Raises
    ------
    SpecError
        What folding raises.
    """
    if output_step is None:
        output_step = calibrated_output_step(
            model, data_set.real(data_set.train.values[: 4 * BATCH]), hardware
        )
    folded = fold_model(model, hardware, output_step=output_step)
    classes = [
        folded.network.classes(folded.network.codes(data_set.real(samples.values[i : i + BATCH])))
        for i in range(0, len(samples.labels), BATCH)
    ]
    predictions = np.concatenate(classes)
    fake = evaluate(model, data_set, samples)
    return IntegerEvaluation(
        folded=folded,
        accuracy=float((predictions == samples.labels).mean()),
        fake_quantized_accuracy=fake.accuracy,
        agreement=float((predictions == fake.predictions).mean()),
    )
