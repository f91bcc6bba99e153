"""A trained network on the integers: its accuracy there, and whether it says what training said."""

from dataclasses import dataclass

import numpy as np

from lsqsim.coupling.fold import FoldedNetwork, fold_model
from lsqsim.coupling.hardware import HardwareSpec
from lsqsim.data_sets import DataSet, Samples
from lsqsim.learn.evaluation import BATCH, evaluate, one_thread
from lsqsim.learn.model import Mode, Model
from lsqsim.network.network import Network, Progress
from lsqsim.overflow import OverflowCounts

_MARGIN = 2.0
"""How far beyond the largest calibrated output the output's codes reach."""
_N_CALIBRATION = 1000
"""Training samples whose outputs say what the output's step size is."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OnIntegers:
    """What the integer network makes of samples.

    Attributes
    ----------
    accuracy
        Share of right predictions, 0 .. 1.
    predictions
        int64 (n,).
    overflow
        Outputs of all layers by kind of overflow; none of any kind when not observed.
    """

    accuracy: float
    predictions: np.ndarray
    overflow: OverflowCounts


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


def output_step_of(model: Model, data_set: DataSet, hardware: HardwareSpec) -> float:
    """:func:`calibrated_output_step` on the first training samples."""
    values = data_set.real(data_set.train.values[:_N_CALIBRATION])
    return calibrated_output_step(model, values, hardware)


def run_on_integers(
    network: Network,
    data_set: DataSet,
    samples: Samples,
    progress: Progress | None = None,
    *,
    observe: bool = True,
) -> OnIntegers:
    """Run ``samples``, a bounded number at a time; ``progress`` gets (samples done, of all)."""
    n = len(samples.labels)
    predictions = np.empty(n, np.int64)
    counts: list[OverflowCounts] = []
    for start in range(0, n, BATCH):
        part = slice(start, start + BATCH)
        run = network.run(data_set.real(samples.values[part]), observe=observe)
        predictions[part] = network.classes(run.output.codes)
        counts += run.overflow.values()
        if progress is not None:
            progress(min(start + BATCH, n), n)
    right = int(np.count_nonzero(predictions == samples.labels))
    return OnIntegers(
        accuracy=right / n, predictions=predictions, overflow=OverflowCounts.summed(counts)
    )


def evaluate_on_integers(
    model: Model,
    data_set: DataSet,
    samples: Samples,
    hardware: HardwareSpec,
    *,
    output_step: float | None = None,
) -> IntegerEvaluation:
    """Fold ``model`` for ``hardware``, and run ``samples`` on it.

    Without ``output_step``, it is :func:`output_step_of`.

    Raises
    ------
    SpecError
        What folding raises.
    """
    if output_step is None:
        output_step = output_step_of(model, data_set, hardware)
    folded = fold_model(model, hardware, output_step=output_step)
    found = run_on_integers(folded.network, data_set, samples, observe=False)
    fake = evaluate(model, data_set, samples)
    return IntegerEvaluation(
        folded=folded,
        accuracy=found.accuracy,
        fake_quantized_accuracy=fake.accuracy,
        agreement=float((found.predictions == fake.predictions).mean()),
    )
