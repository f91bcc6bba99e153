"""Training: epochs over a data set, each decided by the seed, its number and the state alone."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from lsqsim.data_sets import DataSet, augmented
from lsqsim.errors import DataError, SpecError
from lsqsim.learn.evaluation import evaluate, one_thread
from lsqsim.learn.failure import TrainingError
from lsqsim.learn.hooks import Hooks, StepProgress
from lsqsim.learn.loss import distillation_loss, softmax_cross_entropy
from lsqsim.learn.model import Mode, Model
from lsqsim.learn.optimizer import Sgd
from lsqsim.learn.record import EpochRecord
from lsqsim.learn.schedule import learning_rate_at
from lsqsim.learn.training_spec import TrainingSpec

_NO_HOOKS = Hooks()


class Trainer:
    """A network, what it learns from, and how far it is.

    The same network, data and specification give the same bits, whatever the number of threads:
    epoch e draws its order and augmentation from ``default_rng([seed, e])``.

    Parameters
    ----------
    model : Model
        Trained in place.
    data_set : DataSet
        What it learns, and is tested on.
    spec : TrainingSpec
        How.
    teacher : Model, optional
        The network to distill; needed where ``spec.distillation`` is given, and only there.
    hooks : Hooks
        What others do meanwhile.

    Attributes
    ----------
    records : list of EpochRecord
        One for each epoch done.
    optimizer : Sgd
        It holds the momenta.

    Raises
    ------
    DataError
        A training set smaller than a batch, or samples or classes that do not fit the network.
    SpecError
        A distillation without teacher, or the reverse.
    """

    def __init__(
        self,
        model: Model,
        data_set: DataSet,
        spec: TrainingSpec,
        *,
        teacher: Model | None = None,
        hooks: Hooks = _NO_HOOKS,
    ) -> None:
        _check_fit(model, data_set, spec)
        if (teacher is None) != (spec.distillation is None):
            raise SpecError("distillation needs a teacher, and a teacher a distillation: give both")
        self.model, self.data_set, self.spec = model, data_set, spec
        self.teacher, self.hooks = teacher, hooks
        self.records: list[EpochRecord] = []
        self.optimizer = Sgd(
            model.parameters,
            model.quantizers,
            momentum=spec.momentum,
            weight_decay=spec.weight_decay,
        )
        self._steps_an_epoch = len(data_set.train.labels) // spec.batch_size
        self._began, self._steps_before = math.nan, 0

    @property
    def is_complete(self) -> bool:
        """Whether all epochs are done."""
        return len(self.records) >= self.spec.epochs

    def run(self, after_epoch: Callable[[], None] | None = None) -> None:
        """Train the epochs that are left; ``after_epoch`` is called at the end of each."""
        self._began = time.perf_counter()
        self._steps_before = len(self.records) * self._steps_an_epoch
        while not self.is_complete:
            self.run_epoch()
            if after_epoch is not None:
                after_epoch()

    def run_epoch(self) -> EpochRecord:
        """Train the next epoch, and test the network.

        Raises
        ------
        TrainingError
            A loss, a parameter or a gradient that is not finite, or a step size that would not
            stay positive. The network is then of no use; :attr:`records` lacks the epoch.
        """
        began = time.perf_counter()
        epoch = len(self.records) + 1
        # What is not finite is looked for here, and named.
        with one_thread(), np.errstate(over="ignore", invalid="ignore"):
            totals, dead = self._train_epoch(epoch)
            tested = evaluate(self.model, self.data_set, self.data_set.test)
        # Statistics that are infinite may still give a finite loss.
        is_sound = all(np.isfinite(array).all() for array in self.model.state().values())
        loss = tested.loss if is_sound else math.nan
        self._require_finite(loss, f"the test loss after epoch {epoch}")
        record = EpochRecord(
            epoch=epoch,
            learning_rate=self._rate((epoch - 1) * self._steps_an_epoch),
            loss=totals.mean_loss,
            train_accuracy=totals.accuracy,
            test_loss=tested.loss,
            test_accuracy=tested.accuracy,
            seconds=time.perf_counter() - began,
            step_sizes={n: q.step_size.tolist() for n, q in self.model.quantizers.items()},
            dead=dead,
            measured=self._measured(epoch),
        )
        self.records.append(record)
        return record

    def _train_epoch(self, epoch: int) -> tuple["_Totals", list[str]]:
        totals, dead = _Totals(), []
        for i, (values, labels) in enumerate(self._batches(epoch)):
            self._train_batch(values, labels, totals, epoch)
            if i in (0, self._steps_an_epoch - 1):
                dead += self._find_dead(dead)
            self._tell(epoch, i + 1, totals)
        return totals, dead

    def _batches(self, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Real values and labels of every batch, in this epoch's order."""
        train, spec = self.data_set.train, self.spec
        rng = np.random.default_rng([spec.seed, epoch])
        order = rng.permutation(len(train.labels))
        for start in range(0, self._steps_an_epoch * spec.batch_size, spec.batch_size):
            chosen = order[start : start + spec.batch_size]
            fill = round(self.data_set.offset)
            values = augmented(train.values[chosen], spec.augmentation, rng, fill=fill)
            yield self.data_set.real(values), train.labels[chosen]

    def _train_batch(
        self, values: np.ndarray, labels: np.ndarray, totals: "_Totals", epoch: int
    ) -> None:
        model = self.model
        model.zero_grad()
        replay = self.hooks.replay and self.hooks.replay(model, values)
        logits = model.forward(values, Mode.TRAINING, replay)
        loss, grad = self._loss(values, logits, labels)
        self._require_finite(loss, f"the loss of step {totals.batches + 1} of epoch {epoch}")
        totals.add(loss, float((logits.argmax(axis=1) == labels).mean()))
        model.backward(grad)
        step = (epoch - 1) * self._steps_an_epoch + totals.batches - 1
        self.optimizer.update(self._rate(step))

    def _loss(
        self, values: np.ndarray, logits: np.ndarray, labels: np.ndarray
    ) -> tuple[float, np.ndarray]:
        if self.teacher is None or self.spec.distillation is None:
            return softmax_cross_entropy(logits, labels)
        taught = self.teacher.forward(values, Mode.EVALUATION)
        return distillation_loss(logits, taught, labels, self.spec.distillation)

    def _require_finite(self, loss: float, what: str) -> None:
        if math.isfinite(loss):
            return
        done = len(self.records)
        kept = f"what was saved after epoch {done} is kept" if done else "nothing was saved yet"
        culprit = self.model.first_nonfinite() or "the teacher's output"
        raise TrainingError(
            f"{what} is {loss}: {culprit} is the first that is not finite: lower the learning "
            f"rate, {self.spec.learning_rate} ({kept})"
        )

    def _find_dead(self, known: list[str]) -> list[str]:
        """Quantizers that clip all they were given last; each is warned of once."""
        found = [n for n, q in self.model.quantizers.items() if q.clipped() == 1.0]
        found = [name for name in found if name not in known]
        told = {name for record in self.records for name in record.dead}
        for name in found:
            if name not in told:
                self.hooks.warn(
                    f"{name} clips all values: nothing can be learned through it; its step size "
                    f"is {self.model.quantizers[name].step_size.max():.3g}"
                )
        return found

    def _measured(self, epoch: int) -> dict[str, float]:
        hooks = self.hooks
        is_due = epoch % hooks.evaluate_every == 0 or epoch == self.spec.epochs
        if hooks.evaluate is None or not is_due:
            return {}
        return {name: float(value) for name, value in hooks.evaluate(self.model).items()}

    def _rate(self, step: int) -> float:
        n_steps = self.spec.epochs * self._steps_an_epoch
        return learning_rate_at(self.spec.schedule, self.spec.learning_rate, step, n_steps)

    def _tell(self, epoch: int, batches: int, totals: "_Totals") -> None:
        if self.hooks.progress is None:
            return
        step = (epoch - 1) * self._steps_an_epoch + batches
        steps = self.spec.epochs * self._steps_an_epoch
        spent = time.perf_counter() - self._began
        self.hooks.progress(
            StepProgress(
                epoch=epoch,
                epochs=self.spec.epochs,
                step=step,
                steps=steps,
                loss=totals.mean_loss,
                accuracy=totals.accuracy,
                seconds_left=spent / max(step - self._steps_before, 1) * (steps - step),
            )
        )


@dataclass(slots=True)
class _Totals:
    """Sums over the batches of an epoch."""

    batches: int = 0
    loss: float = 0.0
    share: float = 0.0

    def add(self, loss: float, share: float) -> None:
        self.batches += 1
        self.loss += loss
        self.share += share

    @property
    def mean_loss(self) -> float:
        return self.loss / self.batches

    @property
    def accuracy(self) -> float:
        return self.share / self.batches


def _check_fit(model: Model, data_set: DataSet, spec: TrainingSpec) -> None:
    n = len(data_set.train.labels)
    if n < spec.batch_size:
        raise DataError(
            f"the training set has {n} samples, a batch {spec.batch_size}: give a batch size of "
            f"{n} or less"
        )
    graph = model.graph
    if graph.input_shape != data_set.sample_shape:
        raise DataError(
            f"samples of {data_set.name} have shape {data_set.sample_shape}, the network takes "
            f"{graph.input_shape}: give a network for these data"
        )
    outputs = graph.shapes()[graph.nodes[-1].name]
    if outputs != (data_set.n_classes,):
        raise DataError(
            f"{data_set.name} has {data_set.n_classes} classes, the network puts out {outputs}: "
            f"give a network with one output a class"
        )
