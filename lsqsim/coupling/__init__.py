"""Where training and the accelerator meet; the only package that knows both."""

from lsqsim.coupling.evaluation import (
    IntegerEvaluation as IntegerEvaluation,
    calibrated_output_step as calibrated_output_step,
    evaluate_on_integers as evaluate_on_integers,
)
from lsqsim.coupling.fold import FoldedNetwork as FoldedNetwork, fold_model as fold_model
from lsqsim.coupling.hardware import HardwareSpec as HardwareSpec
from lsqsim.coupling.replay import HardwareReplay as HardwareReplay
