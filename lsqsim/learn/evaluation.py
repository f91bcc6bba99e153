"""A network on samples: loss, accuracy and the class it predicts for each."""

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from lsqsim.data_sets import DataSet, Samples
from lsqsim.learn.loss import softmax_cross_entropy
from lsqsim.learn.model import Mode, Model

BATCH = 250
"""Samples that are evaluated at once; a matrix product's last bits may hang on their number."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """What a network makes of samples.

    Attributes
    ----------
    loss
        Mean cross-entropy.
    accuracy
        Share of right predictions, 0 .. 1.
    predictions
        int64 (n,), the class of the largest output; of equals the first.
    """

    loss: float
    accuracy: float
    predictions: np.ndarray


def evaluate(model: Model, data_set: DataSet, samples: Samples) -> Evaluation:
    """Run ``model`` in evaluation on ``samples`` of ``data_set``, on one thread.

    Raises
    ------
    DataError
        Samples that do not fit the network.
    """
    n, loss = len(samples.labels), 0.0
    predictions = np.empty(n, np.int64)
    with one_thread():
        for start in range(0, n, BATCH):
            part = slice(start, start + BATCH)
            logits = model.forward(data_set.real(samples.values[part]), Mode.EVALUATION)
            labels = samples.labels[part]
            loss += softmax_cross_entropy(logits, labels)[0] * len(labels)
            predictions[part] = logits.argmax(axis=1)
    right = int(np.count_nonzero(predictions == samples.labels))
    return Evaluation(loss=loss / n, accuracy=right / n, predictions=predictions)


def one_thread() -> threadpool_limits:
    """BLAS on one thread: several would add in another order, and give other last bits."""
    return threadpool_limits(1, user_api="blas")
