"""Observed budgets of a sequential network: what every design does to its predictions."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lsqsim.chain import Chain
from lsqsim.datapath import Progress
from lsqsim.errors import DataError
from lsqsim.formats import StochasticRounding
from lsqsim.observed.layers import observe_with_output
from lsqsim.observed.observation import ChainObservation, LayerObservation, NetworkDesignObservation
from lsqsim.specs import AccumulatorSpec, Thresholds
from lsqsim.tensor import QTensor


def observe_chain(
    chain: Chain,
    inputs: object,
    designs: Sequence[AccumulatorSpec],
    *,
    labels: object = None,
    progress: Progress | None = None,
) -> ChainObservation:
    """Run data through a network, and see what each design, in every layer, makes of it.

    Every layer is observed on the inputs that it gets in the exact network,
    where no accumulator overflows, so that a layer is not blamed for the ones
    before it; its SQNR is against the float layer on those inputs. Predictions
    are those of the network with every layer on the design.

    Parameters
    ----------
    chain : Chain
        The network; one layer is a chain too.
    inputs : float array or QTensor
        What the first layer takes, samples along axis 0.
    designs : sequence of AccumulatorSpec
        At least one; they differ from every layer's own in their stages only.
    labels : integer array, shape of the predictions, optional
        Right classes, for accuracies.
    progress : callable, optional
        Called with (steps done, steps in all): each layer is one, and each design.

    Raises
    ------
    SpecError, DataError, WidthError
        As :func:`lsqsim.observed.layers.observe_layer`; also a single vector instead
        of samples, and labels of another shape or dtype.
    """
    codes = chain.layers[0].input_codes(inputs)
    if codes.codes.ndim < 2:
        raise DataError(
            f"inputs must have samples along axis 0, got shape {codes.codes.shape}: "
            f"give one sample as a batch of one"
        )
    n_steps = len(chain.layers) + len(designs)
    tell = progress or (lambda *_: None)
    layers: list[LayerObservation] = []
    values = codes
    for unit in chain.layers:
        observation, values = observe_with_output(unit, values, designs)
        layers.append(observation)
        tell(len(layers), n_steps)
    exact = chain.classes(values.codes)
    truth = _labels(labels, exact)
    found: list[NetworkDesignObservation] = []
    for i, design in enumerate(designs):
        changed = np.any([layer.designs[i].changed_samples for layer in layers], axis=0)
        classes = _classes(chain.with_accumulator(design), codes, exact, changed)
        n_changed = int((classes != exact).sum())
        found.append(
            NetworkDesignObservation(
                accumulator=design, n_changed=n_changed, accuracy=_accuracy(classes, truth)
            )
        )
        tell(len(layers) + len(found), n_steps)
    return ChainObservation(
        layers=tuple(layers),
        n_predictions=exact.size,
        exact_accuracy=_accuracy(exact, truth),
        designs=tuple(found),
    )


def _classes(chain: Chain, codes: QTensor, exact: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """Predictions of ``chain``, a design's; ``exact`` where no code of any layer ``changed``.

    A sample none of whose codes the design changes, layer by layer on the exact network's
    inputs, gets the exact network's predictions: its first layer gets the same inputs and so
    puts out the same codes, hence so does the second, and so on. Only the others are run again.
    Where codes are rounded by noise, a sample's codes depend on its place among all, which
    then run together.
    """
    if not changed.any():
        return exact
    again = np.full_like(changed, fill_value=True) if _is_noisy(chain) else changed
    some = replace(codes, codes=codes.codes[again])
    classes = exact.copy()
    classes[again] = chain.classes(chain.run(some, observe=False)[-1].output.codes)
    return classes


def _is_noisy(chain: Chain) -> bool:
    scalings = [unit.spec.rescaler.scaling for unit in chain.layers]
    return any(
        not isinstance(scaling, Thresholds) and isinstance(scaling.rounding, StochasticRounding)
        for scaling in scalings
    )


def _labels(labels: object, classes: np.ndarray) -> np.ndarray | None:
    if labels is None:
        return None
    array = np.asarray(labels)
    if array.dtype.kind not in "iu" or array.shape != classes.shape:
        raise DataError(
            f"labels must be integers, one a prediction: shape {classes.shape}, got "
            f"{array.dtype} of shape {array.shape}"
        )
    return array


def _accuracy(classes: np.ndarray, truth: np.ndarray | None) -> float | None:
    if truth is None or not truth.size:
        return None
    return float((classes == truth).mean())
