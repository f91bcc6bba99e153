"""The command ``train``: a float network, its step sizes learned, and the integers they make."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lsqsim.commands.integers import fold_trained, rehearse
from lsqsim.commands.phases import (
    FLOAT_FOLDER,
    load_float,
    prepare_folder,
    run_phase,
    teller,
    warn,
)
from lsqsim.commands.terminal import Tell, make_console, print_json, progress
from lsqsim.commands.training_arguments import Training
from lsqsim.coupling.evaluation import (
    OnIntegers,
    evaluate_on_integers,
    output_step_of,
    run_on_integers,
)
from lsqsim.coupling.replay import HardwareReplay
from lsqsim.data_sets import load_data_set
from lsqsim.errors import LsqsimError
from lsqsim.files import bytes_writer, load_spec, write_files
from lsqsim.learn.architectures import architecture
from lsqsim.learn.evaluation import evaluate
from lsqsim.learn.graph import GraphSpec
from lsqsim.learn.hooks import Hooks
from lsqsim.learn.model import Model
from lsqsim.learn.placement import quantized
from lsqsim.learn.training import Trainer
from lsqsim.network.network import Network
from lsqsim.network.network_file import save_network
from lsqsim.report.training import print_training, training_report
from lsqsim.report.training_figure import INTEGER_ACCURACY, draw_training

ORDINARY_FOLDER, NETWORK_NAME, FIGURE_NAME = "ordinary", "network.npz", "training.svg"

_SMALL_IMAGE = 16
"""Images below this height or width get a perceptron unless told otherwise."""


def train(arguments: Training, *, as_json: bool) -> None:
    """Train, fold, run on the integers, write all of it, and print the report."""
    with progress() as tell, np.errstate(all="ignore"):
        report = _Session(arguments, tell).run()
    if as_json:
        print_json(report)
    else:
        print_training(report, make_console())


class _Session:
    """One call of the command."""

    def __init__(self, arguments: Training, tell: Tell) -> None:
        self.arguments, self.tell = arguments, tell
        tell("loading")
        self.data_set = load_data_set(arguments.data)
        self.hardware = arguments.accelerator.spec()
        self.folder = arguments.output
        self.without_loop: OnIntegers | None = None
        self.float_model = self._start_model()
        policy = arguments.policy(self.data_set)
        graph = quantized(self.float_model.graph, policy)
        self.model = Model(graph, arguments.recipe.seed)
        bits = arguments.weight_bits, arguments.activation_bits
        self.float_spec = arguments.recipe.float_spec()
        self.spec = arguments.recipe.quantized_spec(*bits)

    def run(self) -> dict[str, Any]:
        self._check()
        if self.arguments.float_from is None:
            self._train_float()
        self._load_float_state()
        if self.arguments.accelerator.in_the_loop:
            self._train_ordinary()
            trainer = self._train_in_the_loop()
        else:
            trainer = self._train(Hooks(**self._common_hooks("quantized")), self.folder)
        self.tell("drawing")
        self._draw(trainer)
        network = fold_trained(self.model, self.data_set, self.hardware)
        save_network(self.folder / NETWORK_NAME, network)
        return self._report(trainer, self._run_on_integers(network))

    def _start_model(self) -> Model:
        """The float network: trained already, or with weights drawn."""
        arguments = self.arguments
        if arguments.float_from is not None:
            return load_float(arguments.float_from)
        return Model(self._float_graph(), arguments.recipe.seed)

    def _float_graph(self) -> GraphSpec:
        name, shape = self.arguments.network, self.data_set.sample_shape
        if name is not None and name.endswith(".toml"):
            return load_spec(GraphSpec, Path(name))
        if name is None:
            is_image = len(shape) == 3 and min(shape[:2]) >= _SMALL_IMAGE
            name = "residual" if is_image else "perceptron"
        return architecture(name, shape, self.data_set.n_classes)

    def _check(self) -> None:
        """What a long training would end in, found before it."""
        Trainer(self.float_model, self.data_set, self.float_spec)
        self._load_float_state()
        is_in_loop = self.arguments.accelerator.in_the_loop
        rehearse(self.model, self.data_set, self.hardware, in_the_loop=is_in_loop)
        restart = self.arguments.restart
        prepare_folder(self.folder, (NETWORK_NAME, FIGURE_NAME), restart=restart)
        if self.arguments.float_from is None:
            prepare_folder(self.folder / FLOAT_FOLDER, (), restart=restart)
        if is_in_loop:
            prepare_folder(self.folder / ORDINARY_FOLDER, (), restart=restart)

    def _load_float_state(self) -> None:
        self.model.load_state(self.model.state() | self.float_model.state())

    def _train_float(self) -> None:
        hooks = Hooks(progress=teller(self.tell, "float"), warn=warn)
        trainer = Trainer(self.float_model, self.data_set, self.float_spec, hooks=hooks)
        run_phase(trainer, self.folder / FLOAT_FOLDER)

    def _train_ordinary(self) -> None:
        """Learn without the hardware, and see what it then makes of the network."""
        hooks = Hooks(progress=teller(self.tell, "quantized"), warn=warn)
        self._train(hooks, self.folder / ORDINARY_FOLDER)
        network = fold_trained(self.model, self.data_set, self.hardware)
        self.without_loop = self._run_on_integers(network)

    def _train_in_the_loop(self) -> Trainer:
        """Go on with forward passes on the hardware, which folds normalizations as they stand."""
        self.model.freeze_batch_norm()
        replay = HardwareReplay(
            self.hardware, output_step_of(self.model, self.data_set, self.hardware)
        )
        hooks = Hooks(replay=replay, **self._common_hooks("on the integers"))
        more = {"hardware in the loop": self.hardware.to_toml()}
        return self._train(hooks, self.folder, more)

    def _train(self, hooks: Hooks, folder: Path, more: Mapping[str, str] | None = None) -> Trainer:
        teacher = self.float_model if self.spec.distillation is not None else None
        trainer = Trainer(self.model, self.data_set, self.spec, teacher=teacher, hooks=hooks)
        run_phase(trainer, folder, more)
        return trainer

    def _common_hooks(self, phase: str) -> dict[str, Any]:
        every = self.arguments.accelerator.every
        return {
            "evaluate": None if every is None else self._measure,
            "evaluate_every": every or 1,
            "progress": teller(self.tell, phase),
            "warn": warn,
        }

    def _measure(self, model: Model) -> Mapping[str, float]:
        found = evaluate_on_integers(model, self.data_set, self.data_set.test, self.hardware)
        return {INTEGER_ACCURACY: found.accuracy, "agreement": found.agreement}

    def _draw(self, trainer: Trainer) -> None:
        """The figure; without matplotlib one line says so, and training has ended well."""
        arguments = self.arguments
        title = (
            f"{self.data_set.name}: {arguments.weight_bits}-bit weights, "
            f"{arguments.activation_bits}-bit activations"
        )
        records = [record.to_dict() for record in trainer.records]
        try:
            picture = draw_training(records, title, ".svg")
        except LsqsimError as error:
            warn(f"there is no {FIGURE_NAME}: {error}")
            return
        write_files({self.folder / FIGURE_NAME: bytes_writer(picture)})

    def _run_on_integers(self, network: Network) -> OnIntegers:
        steps = partial(self.tell.steps, "testing on the integers")
        return run_on_integers(network, self.data_set, self.data_set.test, steps)

    def _report(self, trainer: Trainer, found: OnIntegers) -> dict[str, Any]:
        self.tell("comparing")
        test = self.data_set.test
        float_accuracy = evaluate(self.float_model, self.data_set, test).accuracy
        trained = evaluate(self.model, self.data_set, test)
        n_agreeing = int(np.count_nonzero(trained.predictions == found.predictions))
        names = sorted(path.name for path in self.folder.iterdir() if path.is_file())
        return training_report(
            data={
                "name": self.data_set.name,
                "n_train": len(self.data_set.train.labels),
                "n_test": len(self.data_set.test.labels),
                "n_classes": self.data_set.n_classes,
            },
            bits={
                "weights": self.arguments.weight_bits,
                "activations": self.arguments.activation_bits,
                "first_and_last": self.arguments.policy(self.data_set).edge_bits,
            },
            records=[record.to_dict() for record in trainer.records],
            integers={
                "accuracy": found.accuracy,
                "accuracy_without_loop": self.without_loop and self.without_loop.accuracy,
                "n_agreeing": n_agreeing,
                "accumulator_bits": self.hardware.accumulator.format.bits,
                "transient": found.overflow.transient,
                "persistent": found.overflow.persistent,
                "outputs": found.overflow.outputs,
            },
            float_accuracy=float_accuracy,
            files=[str(self.folder / name) for name in names if not name.startswith(".")],
        )
