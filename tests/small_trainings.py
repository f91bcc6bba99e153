"""Small data, networks and trainings for tests; as a program, a training that others interrupt.

    python small_trainings.py CHECKPOINT [EPOCH STEP]

trains ``a_trainer()`` with a checkpoint after every epoch; given a step, it kills itself there, as
``kill -9`` does.
"""

import os
import signal
import sys
from pathlib import Path

import numpy as np

from lsqsim.data_sets import Augmentation, DataSet, Flip, Samples
from lsqsim.formats import IntFormat
from lsqsim.learn.checkpoint import Checkpoint
from lsqsim.learn.graph import (
    BatchNormNode,
    Conv2dNode,
    GlobalAveragePoolNode,
    GraphSpec,
    LinearNode,
    QuantizeNode,
    ReluNode,
    WeightQuantizer,
)
from lsqsim.learn.hooks import Hooks
from lsqsim.learn.model import Model
from lsqsim.learn.training import Trainer
from lsqsim.learn.training_spec import TrainingSpec

CODES, WEIGHTS = IntFormat(4, signed=False), WeightQuantizer(format=IntFormat(4))
SPEC = TrainingSpec(
    epochs=3, batch_size=16, learning_rate=0.05, seed=7,
    augmentation=Augmentation(crop_padding=1, flip=Flip.HORIZONTAL),
)  # fmt: skip

FLOAT = GraphSpec(
    input_shape=(6, 6, 1),
    nodes=(
        Conv2dNode(name="conv", source="input", channels=4, kernel=(3, 3)),
        BatchNormNode(name="norm", source="conv"),
        ReluNode(name="relu", source="norm"),
        GlobalAveragePoolNode(name="pool", source="relu"),
        LinearNode(name="fc", source="pool", features=2),
    ),
)
QUANTIZED = GraphSpec(
    input_shape=(6, 6, 1),
    nodes=(
        QuantizeNode(name="codes", source="input", format=CODES),
        Conv2dNode(name="conv", source="codes", channels=4, kernel=(3, 3), weights=WEIGHTS),
        BatchNormNode(name="norm", source="conv"),
        QuantizeNode(name="relu", source="norm", format=CODES),
        GlobalAveragePoolNode(name="pool", source="relu"),
        LinearNode(name="fc", source="pool", features=2, weights=WEIGHTS),
    ),
)


def a_data_set(n_train=70, n_test=20, seed=0):
    """Images with vertical or horizontal stripes, in noise."""
    rng = np.random.default_rng(seed)

    def samples(n):
        labels = rng.integers(0, 2, n)
        stripes = np.zeros((n, 6, 6, 1))
        stripes[labels == 0, ::2] = 160
        stripes[labels == 1, :, ::2] = 160
        values = stripes + rng.integers(0, 80, stripes.shape)
        return Samples(values=values.astype(np.uint8), labels=labels)

    return DataSet(
        name="stripes", train=samples(n_train), test=samples(n_test), n_classes=2, scale=128.0
    )


def a_trainer(graph=QUANTIZED, spec=SPEC, data_set=None, seed=3, **options):
    return Trainer(Model(graph, seed), data_set or a_data_set(), spec, **options)


def bits(trainer):
    """All arrays of a training, as bytes."""
    arrays = [*trainer.model.state().items(), *trainer.optimizer.state().items()]
    return [(name, array.tobytes()) for name, array in arrays]


def _main(path, epoch="0", step="0"):
    def kill(progress):
        if (progress.epoch, progress.step) == (int(epoch), int(step)):
            os.kill(os.getpid(), signal.SIGKILL)

    trainer = a_trainer(hooks=Hooks(progress=kill))
    checkpoint = Checkpoint(Path(path), trainer)
    checkpoint.resume()
    trainer.run(checkpoint.save)


if __name__ == "__main__":
    _main(*sys.argv[1:])
