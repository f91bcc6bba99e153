"""What was observed: a layer's data under one accumulator after another, and a network's."""

import math
from dataclasses import asdict, dataclass

import numpy as np

from lsqsim.errors import SpecError
from lsqsim.observed.profile import LayerProfile
from lsqsim.observed.sweep import fan_ins_of
from lsqsim.overflow import OverflowCounts
from lsqsim.specs import AccumulatorSpec
from lsqsim.specs.toml import to_table


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DesignObservation:
    """What one accumulator does to a layer's data.

    Attributes
    ----------
    accumulator
        The design.
    overflow, overflow_by_channel
        Outputs by kind of overflow.
    n_inexact
        Outputs whose last register is not the exact total.
    n_changed, changed_by_channel
        Outputs whose code is not the exact accumulator's; the latter int64 (channels,).
    changed_samples
        Whether any code of the sample changed, bool (axis 0 of the inputs,);
        one value where the inputs are a single vector.
    sqnr_db
        Signal to quantization noise of the output against the float layer:
        10 log10(sum y^2 / sum (y - y_int)^2). Infinite without any error.
    """

    accumulator: AccumulatorSpec
    overflow: OverflowCounts
    overflow_by_channel: tuple[OverflowCounts, ...]
    n_inexact: int
    n_changed: int
    changed_by_channel: np.ndarray
    changed_samples: np.ndarray
    sqnr_db: float

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON; infinities as None."""
        return {
            "accumulator": to_table(self.accumulator),
            "overflow": asdict(self.overflow),
            "overflow_by_channel": [asdict(counts) for counts in self.overflow_by_channel],
            "n_inexact": self.n_inexact,
            "n_changed": self.n_changed,
            "changed_by_channel": self.changed_by_channel.tolist(),
            "n_changed_samples": int(self.changed_samples.sum()),
            "sqnr_db": _finite(self.sqnr_db),
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerObservation:
    """What a layer's data needs, and what each design makes of it.

    Attributes
    ----------
    name
        The layer's.
    n_outputs
        Outputs in all.
    exact_bits
        Width of the exact accumulator that codes are judged against: the
        least that holds every total of the data. Any wider one gives the same
        codes, as no unit behind the accumulator looks at its width.
    exact_sqnr_db
        SQNR of the exact accumulator's output: what no design can be blamed for.
    profiles
        One for each list of fan-ins among the designs, as they come.
    designs
        In the order given.
    """

    name: str
    n_outputs: int
    exact_bits: int
    exact_sqnr_db: float
    profiles: tuple[LayerProfile, ...]
    designs: tuple[DesignObservation, ...]

    def profile_of(self, design: AccumulatorSpec) -> LayerProfile:
        """The profile for a design's fan-ins; SpecError if no design observed has them."""
        for profile in self.profiles:
            if profile.fan_ins == fan_ins_of(design):
                return profile
        raise SpecError(
            f"no design observed has the fan-ins {fan_ins_of(design)}: add one, of any widths"
        )

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON; infinities as None."""
        return {
            "name": self.name,
            "n_outputs": self.n_outputs,
            "exact_bits": self.exact_bits,
            "exact_sqnr_db": _finite(self.exact_sqnr_db),
            "profiles": [profile.to_dict() for profile in self.profiles],
            "designs": [design.to_dict() for design in self.designs],
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NetworkDesignObservation:
    """What one accumulator, in every layer, does to a network's predictions.

    Attributes
    ----------
    accumulator
        The design.
    n_changed
        Predictions that are not the exact network's.
    accuracy
        Share of right predictions, 0 .. 1; None without labels, or without predictions.
    """

    accumulator: AccumulatorSpec
    n_changed: int
    accuracy: float | None

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return {
            "accumulator": to_table(self.accumulator),
            "n_changed": self.n_changed,
            "accuracy": self.accuracy,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChainObservation:
    """What a network's data needs, and what each design makes of its predictions.

    Attributes
    ----------
    layers
        Every layer on the inputs that it gets in the exact network.
    n_predictions
        One a sample, or one a position where the last layer is a convolution.
    exact_accuracy
        Share of right predictions of the exact network; None without labels, or without
        predictions.
    designs
        In the order given.
    """

    layers: tuple[LayerObservation, ...]
    n_predictions: int
    exact_accuracy: float | None
    designs: tuple[NetworkDesignObservation, ...]

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON; infinities as None."""
        return {
            "layers": [layer.to_dict() for layer in self.layers],
            "n_predictions": self.n_predictions,
            "exact_accuracy": self.exact_accuracy,
            "designs": [design.to_dict() for design in self.designs],
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
