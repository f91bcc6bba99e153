"""A trained network on the integers: folded, and run on the test set with every overflow seen."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lsqsim.coupling.evaluation import calibrated_output_step
from lsqsim.coupling.fold import fold_model
from lsqsim.coupling.hardware import HardwareSpec
from lsqsim.coupling.replay import HardwareReplay
from lsqsim.data_sets import DataSet, Samples
from lsqsim.learn.evaluation import one_thread
from lsqsim.learn.model import Mode, Model
from lsqsim.network.network import Network
from lsqsim.overflow import OverflowCounts

_BATCH = 500
_N_CALIBRATION = 1000
"""Training samples whose outputs say what the output's step size is."""
_N_REHEARSAL = 100

Progress = Callable[[int, int], None]


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
        Outputs of all layers by kind of overflow.
    """

    accuracy: float
    predictions: np.ndarray
    overflow: OverflowCounts


def fold_trained(model: Model, data_set: DataSet, hardware: HardwareSpec) -> Network:
    """``model`` as an integer network, with :func:`output_step_of` its output."""
    step = output_step_of(model, data_set, hardware)
    return fold_model(model, hardware, output_step=step).network


def output_step_of(model: Model, data_set: DataSet, hardware: HardwareSpec) -> float:
    """Real units a code of the output, found on training samples."""
    values = data_set.real(data_set.train.values[:_N_CALIBRATION])
    return calibrated_output_step(model, values, hardware)


def rehearse(model: Model, data_set: DataSet, hardware: HardwareSpec, *, in_the_loop: bool) -> None:
    """Fold a copy of ``model`` before a long training; what can't be folded is refused here.

    With ``in_the_loop``, the copy also runs on the hardware once.
    """
    copy = Model(model.graph, seed=0)
    copy.load_state(model.state())
    with one_thread():
        values = data_set.real(data_set.train.values[:_N_REHEARSAL])
        copy.forward(values, Mode.TRAINING)
    fold_trained(copy, data_set, hardware)
    if in_the_loop:
        copy.freeze_batch_norm()
        HardwareReplay(hardware, output_step_of(copy, data_set, hardware))(copy, values)


def run_on_integers(
    network: Network, data_set: DataSet, samples: Samples, progress: Progress | None = None
) -> OnIntegers:
    """Run ``samples``, a bounded number at a time; ``progress`` gets (samples done, of all)."""
    n = len(samples.labels)
    predictions = np.empty(n, np.int64)
    counts = np.zeros(3, np.int64)
    for start in range(0, n, _BATCH):
        part = slice(start, start + _BATCH)
        run = network.run(data_set.real(samples.values[part]), observe=True)
        predictions[part] = network.classes(run.output.codes)
        for found in run.overflow.values():
            counts += (found.outputs, found.transient, found.persistent)
        if progress is not None:
            progress(min(start + _BATCH, n), n)
    right = int(np.count_nonzero(predictions == samples.labels))
    return OnIntegers(
        accuracy=right / n,
        predictions=predictions,
        overflow=OverflowCounts(*map(int, counts)),
    )
