"""Arguments of ``lsqsim train``, and the specifications they become."""

from dataclasses import dataclass, replace
from pathlib import Path

from lsqsim.coupling.hardware import HardwareSpec
from lsqsim.data_sets import Augmentation, DataSet, Flip
from lsqsim.files import load_spec
from lsqsim.formats import Overflow
from lsqsim.learn.loss import DistillationSpec
from lsqsim.learn.placement import InputSign, QuantizationPolicy
from lsqsim.learn.rule import Granularity, Method, StepRule
from lsqsim.learn.schedule import weight_decay_of
from lsqsim.learn.training_spec import TrainingSpec
from lsqsim.specs import AccumulatorSpec, StageSpec

_FEW_BITS = 7
"""Up to so many bits the learning rate is the higher one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How long and how fast ``lsqsim train`` trains; None for what the precision asks for."""

    float_epochs: int
    epochs: int
    batch_size: int
    learning_rate: float | None
    float_learning_rate: float
    seed: int
    crop: int
    flip: bool
    distill: bool

    def float_spec(self) -> TrainingSpec:
        """Of the float network."""
        flip = Flip.HORIZONTAL if self.flip else Flip.NONE
        return TrainingSpec(
            epochs=self.float_epochs,
            batch_size=self.batch_size,
            learning_rate=self.float_learning_rate,
            weight_decay=weight_decay_of(None),
            seed=self.seed,
            augmentation=Augmentation(crop_padding=self.crop, flip=flip),
        )

    def quantized_spec(self, weight_bits: int, activation_bits: int) -> TrainingSpec:
        """Of the quantized network: rate and weight decay by precision."""
        is_coarse = min(weight_bits, activation_bits) <= _FEW_BITS
        return replace(
            self.float_spec(),
            epochs=self.epochs,
            learning_rate=self.learning_rate or (0.01 if is_coarse else 0.001),
            weight_decay=weight_decay_of(weight_bits),
            distillation=DistillationSpec() if self.distill else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """For which hardware ``lsqsim train`` folds, and when its integers count.

    With ``in_the_loop``, every forward pass of training runs on them; ``every`` so many epochs
    the test set does.
    """

    hardware: Path | None
    acc_bits: int
    overflow: Overflow
    every: int | None
    in_the_loop: bool

    def spec(self) -> HardwareSpec:
        """The hardware of the file, or an accumulator with the rest as ever."""
        if self.hardware is not None:
            return load_spec(HardwareSpec, self.hardware)
        stage = StageSpec(bits=self.acc_bits, overflow=self.overflow)
        return HardwareSpec(accumulator=AccumulatorSpec(stages=(stage,)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """Arguments of ``lsqsim train``."""

    data: str
    output: Path
    network: str | None
    float_from: Path | None
    weight_bits: int
    activation_bits: int
    rule: StepRule
    per_channel: bool
    recipe: Recipe
    accelerator: Accelerator
    restart: bool

    def policy(self, data_set: DataSet) -> QuantizationPolicy:
        """Widths and rules; weights have one of LSQ where a method is for activations only."""
        low = data_set.real(data_set.train.values.min(keepdims=True)).min()
        for_both = self.rule.method in (Method.LSQ, Method.TQT)
        granularity = Granularity.PER_CHANNEL if self.per_channel else Granularity.PER_TENSOR
        return QuantizationPolicy(
            weight_bits=self.weight_bits,
            activation_bits=self.activation_bits,
            input_sign=InputSign.SIGNED if low < 0 else InputSign.UNSIGNED,
            activation_rule=self.rule,
            weight_rule=replace(
                self.rule,
                method=self.rule.method if for_both else Method.LSQ,
                granularity=granularity,
            ),
        )
