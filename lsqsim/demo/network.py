"""The demonstration's network: trained on digits in floats, then its step sizes learned by LSQ."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from lsqsim.coupling import FoldedNetwork, HardwareSpec, calibrated_output_step, fold_model
from lsqsim.coupling.bias_grid import biases_on_grid
from lsqsim.data_sets import DataSet
from lsqsim.demo.designs import LOGITS, Design
from lsqsim.learn.architectures import perceptron
from lsqsim.learn.evaluation import evaluate
from lsqsim.learn.model import Mode, Model
from lsqsim.learn.placement import QuantizationPolicy, quantized
from lsqsim.learn.rule import Positivity, StepRule, StepStart
from lsqsim.learn.training import Trainer
from lsqsim.learn.training_spec import TrainingSpec

FLOAT_RECIPE = TrainingSpec(epochs=40, batch_size=32, learning_rate=0.05)
LSQ_RECIPE = TrainingSpec(epochs=25, batch_size=64, learning_rate=0.05)
"""The same for all widths; weights and step sizes learn at once."""

_RULE = StepRule(start=StepStart.LEAST_SQUARES, positivity=Positivity.HALVE)
_WIDE_BITS = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LearnedNetwork:
    """The float network on codes of one width, its step sizes learned.

    Attributes
    ----------
    bits
        Of all codes but the outputs.
    model
        The network as training left it, biases rounded to what an accumulator
        holds.
    output_step
        Real units a code of the last layer's outputs.
    calibrated_steps, learned_steps
        Step sizes by quantizer, first to last, before and after training: those
        of least squared error, and those of LSQ.
    calibrated_accuracy
        Share of test images right with the float network's weights and
        ``calibrated_steps``.
    accuracy
        The same with all that was learned.
    predictions
        Classes of the test images by ``model``, int64.
    """

    bits: int
    model: Model
    output_step: float
    calibrated_steps: dict[str, float]
    learned_steps: dict[str, float]
    calibrated_accuracy: float
    accuracy: float
    predictions: np.ndarray

    @property
    def accuracy_gain(self) -> float:
        """What learning added to the accuracy."""
        return self.accuracy - self.calibrated_accuracy

    def step_change(self, quantizer: str) -> float:
        """Learned over calibrated step size, less 1."""
        return self.learned_steps[quantizer] / self.calibrated_steps[quantizer] - 1

    def fold(self, design: Design) -> FoldedNetwork:
        """The integer network on ``design``, whose accumulator takes the biases."""
        return fold_model(self.model, design.hardware(), output_step=self.output_step)

    def unrounded_first_layer(self, pixels: np.ndarray) -> np.ndarray:
        """What the first layer puts out without any rounding, float64 (images, neurons)."""
        weight, bias = (
            self.model.array(f"layer1.{key}").astype(np.float64) for key in ("weight", "bias")
        )
        return np.maximum(pixels @ weight + bias, 0)


def train_float(
    data_set: DataSet, *, seed: int, after_epoch: Callable[[], None] | None = None
) -> Model:
    """Train the float network; the same seed gives the same network on the same machine."""
    model = Model(perceptron(data_set.sample_shape, data_set.n_classes), seed)
    Trainer(model, data_set, replace(FLOAT_RECIPE, seed=seed)).run(after_epoch)
    return model


def learn(
    float_model: Model,
    data_set: DataSet,
    bits: int,
    *,
    seed: int,
    after_epoch: Callable[[], None] | None = None,
) -> LearnedNetwork:
    """Go on from the float network with codes of ``bits`` bits; step sizes start calibrated.

    Parameters
    ----------
    float_model : Model
        What :func:`train_float` gave; it stays as it is.
    data_set : DataSet
        The digits.
    bits : int
        Of weights and activations, in the first and the last layer too: every
        layer runs on the same array.
    seed : int
        Of the order of the images.
    after_epoch : callable, optional
        Called at the end of each epoch.

    Raises
    ------
    SpecError
        A width that can't be learned.
    """
    policy = QuantizationPolicy(
        weight_bits=bits, activation_bits=bits, edge_bits=bits, stream_bits=bits,
        activation_rule=_RULE, weight_rule=_RULE,
    )  # fmt: skip
    model = Model(quantized(float_model.graph, policy), seed)
    model.load_state(model.state() | float_model.state())
    images = data_set.real(data_set.train.values)
    model.forward(images, Mode.TRAINING)  # where step sizes start
    calibrated = _step_sizes(model)
    before = evaluate(model, data_set, data_set.test)
    Trainer(model, data_set, replace(LSQ_RECIPE, seed=seed)).run(after_epoch)
    design = Design(weight_bits=bits, activation_bits=bits, acc_bits=_WIDE_BITS)
    output_step = _round_biases(model, images, design.hardware())
    after = evaluate(model, data_set, data_set.test)
    return LearnedNetwork(
        bits=bits,
        model=model,
        output_step=output_step,
        calibrated_steps=calibrated,
        learned_steps=_step_sizes(model),
        calibrated_accuracy=before.accuracy,
        accuracy=after.accuracy,
        predictions=after.predictions,
    )


def _round_biases(model: Model, images: np.ndarray, hardware: HardwareSpec) -> float:
    """Round biases to what an accumulator holds, for training and integers to have the same.

    Returns the step size of the outputs.
    """
    assert hardware.logits == LOGITS
    output_step = calibrated_output_step(model, images, hardware)
    folded = fold_model(model, hardware, output_step=output_step)
    model.load_state(model.state() | biases_on_grid(model, folded))
    return output_step


def _step_sizes(model: Model) -> dict[str, float]:
    return {name: float(q.step_size[0]) for name, q in model.quantizers.items()}
