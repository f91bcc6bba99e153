"""Losses of a classifier with their gradients by the logits; sums are float64."""

import math
from dataclasses import dataclass

import numpy as np

from lsqsim.errors import DataError, SpecError
from lsqsim.specs.toml import Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillationSpec(Spec):
    """A network learns from the outputs of another, beside the labels (Hinton et al., 2015).

    Attributes
    ----------
    temperature
        T, by which both networks' logits are divided; finite, above 0.
    weight
        Share of the teacher in the loss, 0 .. 1; the labels have the rest.
    """

    temperature: float = 4.0
    weight: float = 0.5

    def validate(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise SpecError(f"temperature must be finite and above 0, got {self.temperature}")
        if not 0 <= self.weight <= 1:
            raise SpecError(f"weight of a distillation must be in 0..1, got {self.weight}")


def softmax_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean of -log softmax(logits)[label] over the batch, and its gradient.

    Parameters
    ----------
    logits : float32 array
        (n, classes), n of 1 or more; infinities and NaN give a loss of NaN.
    labels : integer array
        (n,), each in 0 .. classes - 1.

    Returns
    -------
    tuple of float and float32 array
        The loss, 0 or more, and its gradient by ``logits``, (n, classes).

    Raises
    ------
    DataError
        Labels out of range, or not one for each row.

    Examples
    --------
    Two equal logits: log 2, and a push of one half each way.

    >>> loss, grad = softmax_cross_entropy(np.zeros((1, 2), np.float32), np.array([0]))
    >>> round(loss, 6), grad.tolist()
    (0.693147, [[-0.5, 0.5]])
    """
    _check_labels(logits, labels)
    log_p = _log_softmax(logits.astype(np.float64))
    rows = np.arange(len(labels))
    grad = np.exp(log_p)
    grad[rows, labels] -= 1.0
    return float(-log_p[rows, labels].mean()), (grad / len(labels)).astype(np.float32)


def distillation_loss(
    logits: np.ndarray, teacher_logits: np.ndarray, labels: np.ndarray, spec: DistillationSpec
) -> tuple[float, np.ndarray]:
    """weight * T**2 * KL(teacher || student) at temperature T + (1 - weight) * cross-entropy.

    T**2 keeps the gradient's size as T grows. The teacher gets no gradient.

    Parameters
    ----------
    logits, teacher_logits : float32 array
        (n, classes) of the network in training and of its teacher.
    labels : integer array
        (n,), each in 0 .. classes - 1.
    spec : DistillationSpec
        T and weight.

    Returns
    -------
    tuple of float and float32 array
        The loss, and its gradient by ``logits``.

    Raises
    ------
    DataError
        As :func:`softmax_cross_entropy`, or logits of two shapes.
    """
    if logits.shape != teacher_logits.shape:
        raise DataError(
            f"the teacher's logits must have the network's shape {logits.shape}, got "
            f"{teacher_logits.shape}: both need the same classes"
        )
    hard, hard_grad = softmax_cross_entropy(logits, labels)
    t, n = spec.temperature, len(labels)
    log_p = _log_softmax(logits.astype(np.float64) / t)
    log_q = _log_softmax(teacher_logits.astype(np.float64) / t)
    q = np.exp(log_q)
    with np.errstate(invalid="ignore"):
        # Where q underflows to 0, q * log q is 0, also for log q = -inf.
        soft = np.where(q > 0, q * (log_q - log_p), q * 0).sum() / n
        grad = spec.weight * t * (np.exp(log_p) - q) / n + (1 - spec.weight) * hard_grad
    loss = spec.weight * t * t * float(soft) + (1 - spec.weight) * hard
    return loss, grad.astype(np.float32)


def _log_softmax(z: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        shifted = z - z.max(axis=1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _check_labels(logits: np.ndarray, labels: np.ndarray) -> None:
    n, classes = logits.shape
    if labels.shape != (n,) or labels.dtype.kind not in "iu" or n == 0:
        raise DataError(
            f"there must be one integer label for each of {n} rows of logits, at least one, got "
            f"{labels.dtype} of shape {labels.shape}"
        )
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if outside.size:
        first = int(outside[0])
        raise DataError(
            f"{outside.size} of {n} labels are outside 0..{classes - 1}, the first is "
            f"{labels[first]} at index {first}: correct them, or give the network more classes"
        )
