"""Observed budgets: what every width of a layer's accumulator does to given data, and its cost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from lsqsim.datapath import CompiledLayer, Progress
from lsqsim.errors import DataError, SpecError, WidthError
from lsqsim.observed.observation import DesignObservation, LayerObservation
from lsqsim.observed.profile import LayerProfile
from lsqsim.observed.sweep import Sums, Sweeper, fan_ins_of, registers_of_totals, ring, signed_bits
from lsqsim.reference import reference_output
from lsqsim.specs import MIN_REGISTER_BITS, AccumulatorSpec, StageSpec
from lsqsim.sqnr import sqnr_db
from lsqsim.tensor import QTensor

_BATCH_REGISTERS = 1 << 24
"""Registers held at a time: those of one design at least, of more where outputs are few."""


def observe_layer(
    compiled: CompiledLayer,
    inputs: object,
    designs: Sequence[AccumulatorSpec],
    *,
    values: object = None,
    progress: Progress | None = None,
) -> LayerObservation:
    """Run data through a layer, and see what each design of its accumulator makes of it.

    The data passes once for each list of fan-ins, whatever the number of
    widths and rules. It passes again, a bounded number of designs at a time,
    for designs whose registers the exact sums do not determine; there, only
    outputs with such sums are reduced again. Stages that wrap and are no
    narrower than the last never need that.

    Parameters
    ----------
    compiled : CompiledLayer
        The layer.
    inputs : float array or QTensor
        What ``compiled.run`` takes.
    designs : sequence of AccumulatorSpec
        At least one; they differ from the layer's own in their stages only.
    values : float array, shape of the inputs, optional
        Real inputs for SQNR. Without them the dequantized input codes are
        taken as the real inputs.
    progress : callable, optional
        Called with (rows done, rows in all); each list of fan-ins and each
        design counts all rows.

    Raises
    ------
    SpecError
        No designs, or one that differs in more than its stages.
    DataError
        Inputs that do not meet the layer, or ``values`` of another shape.
    WidthError
        Registers too wide for the layer's rescaler: a design's, or the exact
        accumulator's, which is as wide as the data's totals need.
    """
    return observe_with_output(compiled, inputs, designs, values=values, progress=progress)[0]


def observe_with_output(
    compiled: CompiledLayer,
    inputs: object,
    designs: Sequence[AccumulatorSpec],
    *,
    values: object = None,
    progress: Progress | None = None,
) -> tuple[LayerObservation, QTensor]:
    """As :func:`observe_layer`, with the exact accumulator's output."""
    units = [_on_design(compiled, design) for design in _checked(designs)]
    sweeper = Sweeper(compiled, inputs)
    wanted = reference_output(compiled.layer, _real_inputs(compiled, sweeper.codes, values))
    structures = list(dict.fromkeys(map(fan_ins_of, designs)))
    rows = _Rows(progress, sweeper.rows.n_rows * (len(structures) + len(designs)))
    profiles: list[LayerProfile] = []
    found: dict[int, DesignObservation] = {}
    exact = None
    for fan_ins in structures:
        sums = sweeper.measure(fan_ins, rows.advance)
        exact = exact or _Exact.of(compiled, sums, wanted)
        judge = _Judge(sweeper, sums, LayerProfile.of(fan_ins, sums), exact)
        alike = {i: unit for i, unit in enumerate(units) if fan_ins_of(designs[i]) == fan_ins}
        found |= judge.observe(alike, rows)
        profiles.append(judge.profile)
    assert exact is not None
    observation = LayerObservation(
        name=compiled.layer.name,
        n_outputs=exact.totals.size,
        exact_bits=exact.bits,
        exact_sqnr_db=sqnr_db(wanted, exact.output.dequantize()),
        profiles=tuple(profiles),
        designs=tuple(found[i] for i in range(len(designs))),
    )
    return observation, exact.output


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Exact:
    """The layer with an accumulator that never overflows: what designs are judged against.

    As wide as the data's totals need, and not 63 bits: rescalers refuse accumulators for which
    their own products could be too wide. No unit behind the accumulator looks at its width, so
    that a register's code is the same in a wider one.
    """

    bits: int
    totals: np.ndarray
    output: QTensor
    wanted: np.ndarray

    @classmethod
    def of(cls, compiled: CompiledLayer, sums: Sums, wanted: np.ndarray) -> "_Exact":
        bits = max(MIN_REGISTER_BITS, int(signed_bits(sums.totals).max(initial=0)))
        stages = (StageSpec(bits=bits),)
        try:
            unit = compiled.with_accumulator(replace(compiled.spec.accumulator, stages=stages))
        except WidthError as error:
            raise WidthError(
                f"{error}; the exact totals of this data, against which designs are judged, "
                f"need {bits} bits"
            ) from None
        totals = sums.rows.as_output(sums.totals)
        return cls(bits=bits, totals=totals, output=unit.rescale(totals), wanted=wanted)


class _Rows:
    """Counts rows for a progress report."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def advance(self, n_rows: int, n_designs: int = 1) -> None:
        self._done += n_rows * n_designs
        if self._progress is not None:
            self._progress(self._done, self._total)


@dataclass(frozen=True, slots=True, eq=False)
class _Judge:
    """Observes designs of one list of fan-ins, whose sums are measured."""

    sweeper: Sweeper
    sums: Sums
    profile: LayerProfile
    exact: _Exact

    def observe(self, units: dict[int, CompiledLayer], rows: _Rows) -> dict[int, DesignObservation]:
        """Every unit's observation, by its key."""
        found: dict[int, DesignObservation] = {}
        for key, unit in units.items():
            if not self._must_reduce(unit.spec.accumulator):
                registers = registers_of_totals(self.sums.totals, unit.spec.accumulator)
                found[key] = self._judge(unit, registers)
                rows.advance(self.sweeper.rows.n_rows)
        for batch in self._batches([key for key in units if key not in found]):
            designs = [units[key].spec.accumulator for key in batch]
            advance = partial(rows.advance, n_designs=len(batch))
            swept = self.sweeper.registers(self.sums, designs, advance)
            for key, registers in zip(batch, swept, strict=True):
                found[key] = self._judge(units[key], registers)
        return found

    def _must_reduce(self, design: AccumulatorSpec) -> bool:
        """Whether some output's sums do not fit a stage outside the ring."""
        level = ring(design.stages)
        bits = np.array([stage.bits for stage in design.stages[:level]], np.int64)
        return bool((self.profile.peak_bits[:, :level] > bits).any())

    def _batches(self, keys: list[int]) -> Iterator[list[int]]:
        size = max(1, _BATCH_REGISTERS // max(1, self.sums.totals.size))
        for start in range(0, len(keys), size):
            yield keys[start : start + size]

    def _judge(self, unit: CompiledLayer, registers: np.ndarray) -> DesignObservation:
        """One design, by its last registers (rows, channels); the whole output at once.

        At once, as the noise of stochastic rounding goes by an output's place in all of them.
        """
        bits = [stage.bits for stage in unit.spec.accumulator.stages]
        accumulators = self.sums.rows.as_output(registers)
        output = unit.rescale(accumulators)
        changed = output.codes != self.exact.output.codes
        by_channel = np.moveaxis(changed, unit.layer.output_channel_axis, 0)
        samples = changed if changed.ndim > 1 else changed[None]
        return DesignObservation(
            accumulator=unit.spec.accumulator,
            overflow=self.profile.counts(bits),
            overflow_by_channel=tuple(self.profile.by_channel(bits)),
            n_inexact=int((accumulators != self.exact.totals).sum()),
            n_changed=int(changed.sum()),
            changed_by_channel=by_channel.sum(axis=tuple(range(1, by_channel.ndim))),
            changed_samples=samples.any(axis=tuple(range(1, samples.ndim))),
            sqnr_db=sqnr_db(self.exact.wanted, output.dequantize()),
        )


def _checked(designs: Sequence[AccumulatorSpec]) -> Sequence[AccumulatorSpec]:
    if not designs:
        raise SpecError("give at least one design of the accumulator to observe")
    return designs


def _on_design(compiled: CompiledLayer, design: AccumulatorSpec) -> CompiledLayer:
    own = compiled.spec.accumulator
    for name in ("bias", "zero_points", "order"):
        given, expected = getattr(design, name), getattr(own, name)
        if given != expected:
            raise SpecError(
                f"{compiled.layer.name}: designs differ from the layer's accumulator in their "
                f"stages only, but {name} is {given} in a design and {expected} in the layer"
            )
    return compiled.with_accumulator(design)


def _real_inputs(compiled: CompiledLayer, codes: QTensor, values: object) -> np.ndarray:
    if values is None:
        return codes.dequantize()
    array = np.asarray(values, np.float64)
    if array.shape != codes.codes.shape:
        raise DataError(
            f"{compiled.layer.name}: values must be the real inputs, of shape "
            f"{codes.codes.shape}, got {array.shape}"
        )
    return array
