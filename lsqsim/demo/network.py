"""A float network trained on scikit-learn's bundled digits, and its quantized layers."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lsqsim.calibration import error_minimizing_step_size
from lsqsim.demo.designs import LOGITS
from lsqsim.errors import LsqsimError
from lsqsim.formats import IntFormat
from lsqsim.layer import Layer
from lsqsim.reference import reference_output
from lsqsim.specs import Activation, LinearSpec

HIDDEN = (64, 32)
N_TEST = 600
LARGEST_PIXEL = 16
_MAX_EPOCHS = 400


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Digits:
    """Handwritten digits, 8 x 8 pixels 0 .. 1 in steps of 1/16, and their classes 0 .. 9.

    float64 (images, 64) and int64 (images,), each for training and for testing.
    """

    train_pixels: np.ndarray
    train_classes: np.ndarray
    test_pixels: np.ndarray
    test_classes: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Network:
    """A trained float network: ReLU between layers, none behind the last.

    Attributes
    ----------
    weights, biases
        float64 (outputs, inputs) and (outputs,), one each a layer.
    calibration
        Real inputs of each layer on the training images, and the last layer's outputs.
    """

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    calibration: tuple[np.ndarray, ...]

    def layers(self, weight_bits: int, activation_bits: int) -> list[Layer]:
        """The layers, step sizes of least squared error; each output step is the next input step.

        The first input step comes from the pixels' range: the largest code is a
        pixel of 1.
        """
        activations = IntFormat(activation_bits, signed=False)
        steps = [1 / activations.max]
        steps += [error_minimizing_step_size(x, activations) for x in self.calibration[1:-1]]
        steps += [error_minimizing_step_size(self.calibration[-1], LOGITS)]
        return [
            Layer(
                name=f"layer{i + 1}",
                spec=LinearSpec(activation=_activation(i, len(self.weights))),
                weight=weight,
                bias=bias,
                input_step=steps[i],
                weight_step=error_minimizing_step_size(weight, IntFormat(weight_bits)),
                output_step=steps[i + 1],
            )
            for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True))
        ]

    def classify(self, pixels: np.ndarray) -> np.ndarray:
        """Classes by the float network, int64 (images,)."""
        return _forward(self.weights, self.biases, pixels)[-1].argmax(axis=1)


def load_digits() -> Digits:
    """The bundled digits, split once and for all; LsqsimError without scikit-learn."""
    try:
        from sklearn import datasets, model_selection  # noqa: PLC0415 - optional, and slow
    except ImportError:
        raise LsqsimError(
            "the demonstration needs scikit-learn for its digits and its float network: "
            "pip install 'lsqsim[demo]'"
        ) from None
    pixels, classes = datasets.load_digits(return_X_y=True)
    parts = model_selection.train_test_split(
        pixels / LARGEST_PIXEL, classes, test_size=N_TEST, random_state=0, stratify=classes
    )
    train_pixels, test_pixels, train_classes, test_classes = map(np.asarray, parts)
    return Digits(
        train_pixels=train_pixels,
        train_classes=train_classes,
        test_pixels=test_pixels,
        test_classes=test_classes,
    )


def train(digits: Digits, *, seed: int) -> Network:
    """Train the float network; the same seed gives the same network on the same machine.

    One thread: matrices this small gain nothing by more, and sums keep their order.
    """
    from sklearn.neural_network import MLPClassifier  # noqa: PLC0415 - optional, and slow
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - scikit-learn brings it

    model = MLPClassifier(HIDDEN, random_state=seed, max_iter=_MAX_EPOCHS)
    with threadpool_limits(limits=1), warnings.catch_warnings():
        # A network that could still gain from more epochs serves as well here.
        warnings.simplefilter("ignore")
        model.fit(digits.train_pixels, digits.train_classes)
    weights = tuple(np.ascontiguousarray(weight.T) for weight in model.coefs_)
    biases = tuple(np.array(bias) for bias in model.intercepts_)
    return Network(
        weights=weights,
        biases=biases,
        calibration=tuple(_forward(weights, biases, digits.train_pixels)),
    )


def _activation(index: int, n_layers: int) -> Activation:
    return Activation.RELU if index < n_layers - 1 else Activation.NONE


def _forward(
    weights: Sequence[np.ndarray], biases: Sequence[np.ndarray], pixels: np.ndarray
) -> list[np.ndarray]:
    """Real inputs of each layer, then the last outputs."""
    values = [pixels]
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        spec = LinearSpec(activation=_activation(i, len(weights)))
        unit = Layer(
            spec=spec, weight=weight, bias=bias, input_step=1.0, weight_step=1.0, output_step=1.0
        )
        values.append(reference_output(unit, values[-1]))
    return values
