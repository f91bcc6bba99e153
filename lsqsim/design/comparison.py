"""Accumulators side by side: what is proven of each, and what it does to given data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lsqsim.budget.bounds import StageBounds
from lsqsim.design.grid import design_name
from lsqsim.observed.observation import ChainObservation
from lsqsim.overflow import OverflowCounts
from lsqsim.specs import AccumulatorSpec
from lsqsim.specs.toml import to_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the data says of one accumulator in every layer.

    Attributes
    ----------
    bits
        Least width of the last register that the data needs: for wrapping, of
        all totals; for saturating, of all prefixes.
    overflow
        Outputs of all layers by kind of overflow.
    n_inexact
        Outputs whose last register is not the exact total.
    n_changed
        Output codes that are not the exact accumulator's.
    sqnr_db
        The worst layer's, against the float layer.
    n_changed_predictions, n_predictions
        Of the network with every layer on this accumulator, against exact ones.
    accuracy
        Share of right predictions; None without labels.
    """

    bits: int
    overflow: OverflowCounts
    n_inexact: int
    n_changed: int
    sqnr_db: float
    n_changed_predictions: int
    n_predictions: int
    accuracy: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; infinities as None."""
        return {
            "observed_bits": self.bits,
            "outputs": self.overflow.outputs,
            "transient": self.overflow.transient,
            "persistent": self.overflow.persistent,
            "overflow_share": self.overflow_share,
            "n_changed": self.n_changed,
            "sqnr_db": self.sqnr_db if math.isfinite(self.sqnr_db) else None,
            "n_changed_predictions": self.n_changed_predictions,
            "n_predictions": self.n_predictions,
            "accuracy": self.accuracy,
            "n_inexact": self.n_inexact,
        }

    @property
    def overflow_share(self) -> float:
        """Outputs with an overflow of either kind, of all."""
        return self.overflow.overflowed / self.overflow.outputs if self.overflow.outputs else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignBudget:
    """One accumulator.

    Attributes
    ----------
    accumulator
        The design.
    is_certified
        Whether it holds every exact total in every layer, whatever the inputs.
    certified_bits
        Least certified width of the last register, the stages before it given
        exact sums.
    data_type_bits
        The same by the data-type bound.
    observed
        What the data says; None without data.
    """

    accumulator: AccumulatorSpec
    is_certified: bool
    certified_bits: int
    data_type_bits: int
    observed: Observed | None

    @property
    def size(self) -> tuple[int, ...]:
        """What makes a design smaller: a narrower last register, then fewer bits before it."""
        *inner, last = (stage.bits for stage in self.accumulator.stages)
        return last, sum(inner), len(inner)

    @property
    def is_lossless(self) -> bool:
        """Whether no output code of any layer differs from the exact accumulator's."""
        return self.observed is not None and self.observed.n_changed == 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "name": design_name(self.accumulator),
            "accumulator": to_table(self.accumulator),
            "is_certified": self.is_certified,
            "certified_bits": self.certified_bits,
            "data_type_bits": self.data_type_bits,
            "observed": None if self.observed is None else self.observed.to_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerWidths:
    """Widths of a layer's last register, for one list of fan-ins.

    Attributes
    ----------
    layer
        Name.
    k, n
        Products of an output, and output channels.
    design
        One that has these fan-ins, of whatever widths.
    register
        Bounds of the last register, channel by channel.
    observed_wrap, observed_saturate
        What the data's totals, and its prefixes, need; None without data.
    """

    layer: str
    k: int
    n: int
    design: AccumulatorSpec
    register: StageBounds
    observed_wrap: int | None
    observed_saturate: int | None

    @property
    def bounds(self) -> dict[str, int]:
        """Each bound's width, by its name in :data:`~lsqsim.budget.bounds.BOUNDS`."""
        return self.register.largest()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "layer": self.layer,
            "k": self.k,
            "n": self.n,
            "fan_ins": [str(stage.fan_in) for stage in self.design.stages],
            **self.bounds,
            "observed_wrap": self.observed_wrap,
            "observed_saturate": self.observed_saturate,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetComparison:
    """Designs side by side.

    Attributes
    ----------
    layers
        Widths by layer, for every list of fan-ins among the designs.
    designs
        In the order given.
    observation
        All that was seen in the data; None without data.
    """

    layers: tuple[LayerWidths, ...]
    designs: tuple[DesignBudget, ...]
    observation: ChainObservation | None

    @property
    def smallest_certified(self) -> DesignBudget | None:
        """The certified design with the narrowest last register; None when none is certified."""
        return _smallest([design for design in self.designs if design.is_certified])

    @property
    def smallest_lossless(self) -> DesignBudget | None:
        """The smallest that loses nothing on the data; None without data, or when all lose."""
        return _smallest([design for design in self.designs if design.is_lossless])

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; infinities as None."""
        certified, lossless = self.smallest_certified, self.smallest_lossless
        return {
            "layers": [layer.to_dict() for layer in self.layers],
            "designs": [design.to_dict() for design in self.designs],
            "smallest_certified": certified and design_name(certified.accumulator),
            "smallest_lossless": lossless and design_name(lossless.accumulator),
            "observation": self.observation and self.observation.to_dict(),
        }


def _smallest(designs: Sequence[DesignBudget]) -> DesignBudget | None:
    return min(designs, key=lambda design: design.size, default=None)
