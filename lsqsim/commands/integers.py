"""From training to an integer network, and whether it can be folded before training begins."""

from lsqsim.coupling.evaluation import output_step_of
from lsqsim.coupling.fold import fold_model
from lsqsim.coupling.hardware import HardwareSpec
from lsqsim.coupling.replay import HardwareReplay
from lsqsim.data_sets import DataSet
from lsqsim.learn.evaluation import one_thread
from lsqsim.learn.model import Mode, Model
from lsqsim.network.network import Network

_N_REHEARSAL = 100


def fold_trained(model: Model, data_set: DataSet, hardware: HardwareSpec) -> Network:
    """``model`` as an integer network, with :func:`output_step_of` its output."""
    step = output_step_of(model, data_set, hardware)
    return fold_model(model, hardware, output_step=step).network


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
