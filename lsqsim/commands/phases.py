"""One phase of training in a folder: resumed where it was, saved and logged after every epoch."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from lsqsim.commands.terminal import Tell
from lsqsim.errors import DataError
from lsqsim.files import require_writable
from lsqsim.learn.checkpoint import Checkpoint, load_training
from lsqsim.learn.hooks import StepProgress
from lsqsim.learn.log import CSV_NAME, LINES_NAME, write_log
from lsqsim.learn.model import Model
from lsqsim.learn.training import Trainer

CHECKPOINT_NAME = "checkpoint.npz"
FLOAT_FOLDER = "float"

_PARTS = ".lsqsim-*.part"
"""Names of files that :func:`~lsqsim.files.write_files` has not moved into place yet."""


def prepare_folder(folder: Path, names: tuple[str, ...], *, restart: bool) -> None:
    """Make ``folder`` where it is missing; DataError if one of the files can't be written there.

    What a killed process left half-written is removed; with ``restart``, the checkpoint as well.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: can't be made: {error.strerror or error}") from None
    for name in (CHECKPOINT_NAME, CSV_NAME, LINES_NAME, *names):
        require_writable(folder / name)
    for part in folder.glob(_PARTS):
        part.unlink(missing_ok=True)
    if restart:
        (folder / CHECKPOINT_NAME).unlink(missing_ok=True)


def load_float(folder: Path) -> Model:
    """The float network that an earlier ``lsqsim train`` left in ``folder``.

    Raises
    ------
    DataError
        There is none, it has quantizers, or its training has not ended.
    """
    path = folder / FLOAT_FOLDER / CHECKPOINT_NAME
    if not path.exists():
        raise DataError(
            f"{folder}: holds no float network: give the --output of an earlier lsqsim train that "
            f"trained one"
        )
    saved = load_training(path)
    if saved.model.quantizers:
        raise DataError(f"{path}: is of a network that is quantized already: give a float one")
    if not saved.is_complete:
        raise DataError(
            f"{path}: its training ended after {len(saved.records)} of {saved.spec.epochs} epochs: "
            f"run that lsqsim train again, it goes on from there"
        )
    return saved.model


def run_phase(trainer: Trainer, folder: Path, more: Mapping[str, str] | None = None) -> None:
    """Train what is left of a phase. A phase that is complete is read, and nothing trained.

    Raises
    ------
    DataError
        A checkpoint in ``folder`` that is damaged or of another training.
    TrainingError
        Training that can't go on; what was saved is kept.
    """
    checkpoint = Checkpoint(folder / CHECKPOINT_NAME, trainer, more)
    if checkpoint.resume():
        write_log(folder, trainer.records)

    def after_epoch() -> None:
        checkpoint.save()
        write_log(folder, trainer.records)

    trainer.run(after_epoch)


def teller(tell: Tell, phase: str) -> Callable[[StepProgress], None]:
    """What tells the terminal how far ``phase`` is."""

    def progress(done: StepProgress) -> None:
        minutes, seconds = divmod(round(done.seconds_left), 60)
        text = (
            f"{phase}: epoch {done.epoch}/{done.epochs}, loss {done.loss:.3f}, "
            f"{100 * done.accuracy:.1f} % right, {minutes}:{seconds:02} left"
        )
        tell.steps(text, done.step, done.steps)

    return progress


def warn(message: str) -> None:
    """One line on standard error."""
    sys.stderr.write(f"lsqsim: warning: {message}\n")
