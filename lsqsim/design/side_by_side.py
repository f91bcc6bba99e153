"""Compares accumulators: each in every layer of a network, proven first, then on data."""

from collections.abc import Callable, Iterator, Sequence

from lsqsim.budget.bounds import StageBounds, operand_bounds
from lsqsim.budget.input_range import InputRange
from lsqsim.budget.layer_operands import layer_operands
from lsqsim.budget.ranges import StageRanges, Verdict, exact_ranges, stage_verdicts
from lsqsim.chain import Chain
from lsqsim.design.comparison import BudgetComparison, DesignBudget, LayerWidths, Observed
from lsqsim.design.grid import chain_inputs
from lsqsim.formats import Overflow
from lsqsim.observed.networks import observe_chain
from lsqsim.observed.observation import ChainObservation
from lsqsim.observed.sweep import FanIns, fan_ins_of
from lsqsim.overflow import OverflowCounts
from lsqsim.specs import AccumulatorSpec

Steps = Callable[[str, int, int], None]
"""Called with (what is being done, steps done, steps in all)."""


def compare_designs(
    chain: Chain,
    designs: Sequence[AccumulatorSpec],
    *,
    inputs: Sequence[InputRange] | None = None,
    data: object = None,
    labels: object = None,
    steps: Steps | None = None,
) -> BudgetComparison:
    """What is proven of each design, and what it does to data.

    Parameters
    ----------
    chain : Chain
        The layers; every one gets the design.
    designs : sequence of AccumulatorSpec
        They differ from the layers' own accumulators in their stages only.
    inputs : sequence of InputRange, optional
        Input codes to prove it for, one a layer; all that a layer can see unless given.
    data : float array or QTensor, optional
        What the first layer takes, samples along axis 0.
    labels : integer array, optional
        Right classes of the data.
    steps : callable, optional
        Told what is being done.

    Raises
    ------
    SpecError, DataError, WidthError
        As :func:`~lsqsim.budget.certificate.certify` and
        :func:`~lsqsim.observed.networks.observe_chain`.
    """
    steps = steps or (lambda *_: None)
    inputs = chain_inputs(chain) if inputs is None else inputs
    prover = _Prover(chain, inputs)
    certified: list[bool] = []
    for done, design in enumerate(designs):
        steps("proving", done, len(designs))
        certified.append(prover.is_certified(design))
    observation = None
    if data is not None:
        observation = observe_chain(
            chain, data, designs, labels=labels, progress=lambda *done: steps("running", *done)
        )
    return BudgetComparison(
        layers=tuple(_layer_widths(prover, designs, observation)),
        designs=tuple(
            DesignBudget(
                accumulator=design,
                is_certified=certified[i],
                certified_bits=prover.widest(design, "wrap" if _wraps(design) else "saturate"),
                data_type_bits=prover.widest(design, "data_type"),
                observed=None if observation is None else _observed(observation, i),
            )
            for i, design in enumerate(designs)
        ),
        observation=observation,
    )


class _Prover:
    """Bounds and verdicts of a chain; what depends on fan-ins only is found once for each."""

    def __init__(self, chain: Chain, inputs: Sequence[InputRange]) -> None:
        self.chain = chain
        self.operands = [
            layer_operands(unit, legal) for unit, legal in zip(chain.layers, inputs, strict=True)
        ]
        self._exact: dict[FanIns, list[StageRanges]] = {}
        self._bounds: dict[FanIns, list[StageBounds]] = {}

    def is_certified(self, design: AccumulatorSpec) -> bool:
        """Whether no layer has an unsafe stage."""
        return not any(
            (stage_verdicts(operands.with_stages(design.stages), exact) == Verdict.UNSAFE).any()
            for operands, exact in zip(self.operands, self._ranges(design), strict=True)
        )

    def widest(self, design: AccumulatorSpec, bound: str) -> int:
        """One bound of the last register, the largest of all layers."""
        return max(int(getattr(bounds, bound).max()) for bounds in self.bounds(design))

    def bounds(self, design: AccumulatorSpec) -> list[StageBounds]:
        """Of the last register; one entry a layer."""
        key = fan_ins_of(design)
        if key not in self._bounds:
            layers = zip(self.chain.layers, self.operands, self._ranges(design), strict=True)
            self._bounds[key] = [
                operand_bounds(unit, operands.with_stages(design.stages), exact)[-1]
                for unit, operands, exact in layers
            ]
        return self._bounds[key]

    def _ranges(self, design: AccumulatorSpec) -> list[StageRanges]:
        key = fan_ins_of(design)
        if key not in self._exact:
            self._exact[key] = [
                exact_ranges(operands.with_stages(design.stages)) for operands in self.operands
            ]
        return self._exact[key]


def _layer_widths(
    prover: _Prover, designs: Sequence[AccumulatorSpec], observation: ChainObservation | None
) -> Iterator[LayerWidths]:
    """Of every layer, for every list of fan-ins."""
    for design in {fan_ins_of(design): design for design in designs}.values():
        for i, (unit, bounds) in enumerate(
            zip(prover.chain.layers, prover.bounds(design), strict=True)
        ):
            wrap, saturate = (None, None) if observation is None else _bits(observation, i, design)
            yield LayerWidths(
                layer=unit.layer.name,
                k=prover.operands[i].k,
                n=unit.layer.n_outputs,
                design=design,
                register=bounds,
                observed_wrap=wrap,
                observed_saturate=saturate,
            )


def _bits(observation: ChainObservation, layer: int, design: AccumulatorSpec) -> tuple[int, int]:
    """What a layer's totals, and the prefixes of its last register, need."""
    profile = observation.layers[layer].profile_of(design)
    return profile.observed_total_bits, profile.observed_bits[-1]


def _observed(observation: ChainObservation, i: int) -> Observed:
    """The i-th design's."""
    seen = [layer.designs[i] for layer in observation.layers]
    design, network = seen[0].accumulator, observation.designs[i]
    bits = [_bits(observation, layer, design) for layer in range(len(seen))]
    return Observed(
        bits=max(wrap if _wraps(design) else saturate for wrap, saturate in bits),
        overflow=OverflowCounts.summed(one.overflow for one in seen),
        n_inexact=sum(one.n_inexact for one in seen),
        n_changed=sum(one.n_changed for one in seen),
        sqnr_db=min(one.sqnr_db for one in seen),
        n_changed_predictions=network.n_changed,
        n_predictions=observation.n_predictions,
        accuracy=network.accuracy,
    )


def _wraps(design: AccumulatorSpec) -> bool:
    return design.stages[-1].overflow is Overflow.WRAP
