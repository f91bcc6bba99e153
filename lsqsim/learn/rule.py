"""How a step size is learned: the rule of LSQ with every switch that changes training."""

import math
from dataclasses import dataclass

from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat, SpecEnum
from lsqsim.specs.toml import Spec

MAX_LEARNED_BITS = 16
"""Wider codes would lose bits in float32 arithmetic."""


class Method(SpecEnum):
    """Which published quantizer is trained."""

    LSQ = "lsq"
    """Step size s (Esser et al., ICLR 2020)."""
    LSQ_PLUS = "lsq_plus"
    """Step size and offset (Bhalgat et al., CVPR Workshops 2020)."""
    PACT = "pact"
    """Clip value a of unsigned activations, s = a / Q_P (Choi et al., 2018)."""
    TQT = "tqt"
    """Threshold t in powers of two, s = 2**ceil(log2 t) / levels (Jain et al., MLSys 2020)."""


class EdgeMask(SpecEnum):
    """What counts as inside the range: where gradients pass to v, and round(u) - u to s."""

    INCLUSIVE = "inclusive"
    """The edges are outside: u <= -Q_N or u >= Q_P (the paper)."""
    STRICT = "strict"
    """Only beyond the edges is outside: u < -Q_N or u > Q_P (most PyTorch ports)."""
    AFTER_ROUNDING = "after_rounding"
    """round(u) < -Q_N or round(u) > Q_P (TQT, PyTorch's learnable fake quantization)."""


class FeatureCount(SpecEnum):
    """What N counts for activations."""

    SAMPLE = "sample"
    """Features of one sample (the paper's pseudocode)."""
    BATCH = "batch"
    """Features of the whole batch (most ports)."""


class LevelCount(SpecEnum):
    """What stands for the precision beside N."""

    Q_P = "q_p"
    """Largest code (the paper)."""
    LEVELS = "levels"
    """Number of codes, 2**bits (the claims)."""


class GradScale(SpecEnum):
    """g, which multiplies the gradient of the step size."""

    PAPER = "paper"
    """1 / sqrt(N * levels) (equation 30); with levels of 2**bits it is claim 13."""
    INVERSE_SQRT_FEATURES = "inverse_sqrt_features"
    """1 / sqrt(N) (claim 12)."""
    FEATURES = "features"
    """N (claim 11)."""
    INVERSE_SQRT_LEVELS = "inverse_sqrt_levels"
    """1 / sqrt(levels): the half of claim 13 that is not claim 12."""
    NONE = "none"
    """1."""


class StepStart(SpecEnum):
    """Where a step size starts."""

    PAPER = "paper"
    """2 * mean|v| / sqrt(Q_P) (equation 31)."""
    LEAST_SQUARES = "least_squares"
    """The step size of least mean squared error."""
    LARGEST = "largest"
    """max|v| / Q_P: nothing clips."""
    THREE_SIGMA = "three_sigma"
    """max(|mean - 3 sd|, |mean + 3 sd|) / 2**(bits - 1), of LSQ+ for weights."""


class Positivity(SpecEnum):
    """What keeps a step size positive; the paper says nothing."""

    REFUSE = "refuse"
    """Training stops with an error that names the quantizer."""
    HALVE = "halve"
    """One update takes a step size no lower than half of what it was."""
    LOGARITHM = "logarithm"
    """The logarithm of the step size is learned."""


class Granularity(SpecEnum):
    """How many step sizes a tensor has."""

    PER_TENSOR = "per_tensor"
    PER_CHANNEL = "per_channel"


class Learning(SpecEnum):
    """Whether the step size moves."""

    LEARNED = "learned"
    FIXED = "fixed"
    """It stays where it started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRule(Spec):
    """The rule of one quantizer.

    Attributes
    ----------
    method
        The published quantizer.
    edge_mask
        What counts as inside.
    feature_count
        N for activations; for weights N is always the layer's number of weights.
    level_count
        Q_P or 2**bits in ``grad_scale``.
    grad_scale, grad_factor
        g is ``grad_scale`` times ``grad_factor``, any positive constant.
    start
        Where the step size starts.
    positivity
        What keeps it positive (LSQ and LSQ+; thresholds of TQT are positive by themselves).
    granularity
        One step size for the tensor, or one a channel: N is then the channel's.
    learning
        Whether it moves at all.
    """

    method: Method = Method.LSQ
    edge_mask: EdgeMask = EdgeMask.INCLUSIVE
    feature_count: FeatureCount = FeatureCount.SAMPLE
    level_count: LevelCount = LevelCount.Q_P
    grad_scale: GradScale = GradScale.PAPER
    grad_factor: float = 1.0
    start: StepStart = StepStart.PAPER
    positivity: Positivity = Positivity.REFUSE
    granularity: Granularity = Granularity.PER_TENSOR
    learning: Learning = Learning.LEARNED

    def validate(self) -> None:
        if not (math.isfinite(self.grad_factor) and self.grad_factor > 0):
            raise SpecError(f"grad_factor must be finite and positive, got {self.grad_factor}")

    def step_grad_scale(self, fmt: IntFormat, n_features: int) -> float:
        """g for a quantizer of format ``fmt`` over ``n_features`` values (equation 30).

        Parameters
        ----------
        fmt : IntFormat
            Format of the codes.
        n_features : int
            N, 1 or more.
        """
        levels = fmt.max if self.level_count is LevelCount.Q_P else fmt.n_levels
        match self.grad_scale:
            case GradScale.PAPER:
                scale = 1 / math.sqrt(n_features * levels)
            case GradScale.INVERSE_SQRT_FEATURES:
                scale = 1 / math.sqrt(n_features)
            case GradScale.FEATURES:
                scale = float(n_features)
            case GradScale.INVERSE_SQRT_LEVELS:
                scale = 1 / math.sqrt(levels)
            case GradScale.NONE:
                scale = 1.0
        return scale * self.grad_factor


def check_learnable(fmt: IntFormat, rule: StepRule) -> None:
    """SpecError for a format that ``rule`` can't train."""
    if fmt.bits > MAX_LEARNED_BITS:
        raise SpecError(f"codes of at most {MAX_LEARNED_BITS} bits are learned, got {fmt}")
    if fmt.max < 1:
        raise SpecError(f"{fmt} has no positive code: Q_P must be 1 or more")
    if rule.method is Method.PACT and fmt.signed:
        raise SpecError(f"PACT quantizes unsigned activations, got {fmt}")
