"""What the demonstration found: one record a layer, a design, and the whole."""

from dataclasses import asdict, dataclass

import numpy as np

from lsqsim.budget.bounds import layer_bounds
from lsqsim.compare import Comparison
from lsqsim.data_sets import DataSet
from lsqsim.datapath import CompiledLayer, LayerResult
from lsqsim.demo.designs import Design
from lsqsim.demo.network import LearnedNetwork
from lsqsim.demo.register_walk import RegisterWalk
from lsqsim.folding import FixedPointParameters
from lsqsim.formats import signed_bits
from lsqsim.network.network import Network
from lsqsim.overflow import OverflowCounts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerRun:
    """One layer of one design, on the codes of the layer before it.

    Attributes
    ----------
    compiled, result
        The folded layer, and its run on all test images, observed.
    comparison
        Against the float reference of this layer, on the same input codes.
    counts
        Outputs by kind of overflow.
    """

    compiled: CompiledLayer
    result: LayerResult
    comparison: Comparison
    counts: OverflowCounts

    @property
    def shape(self) -> tuple[int, int, int]:
        """Images M, inputs K, outputs N."""
        m, k = self.result.input.codes.shape
        return m, k, self.compiled.layer.n_outputs

    @property
    def scale(self) -> tuple[int, int]:
        """Multiplier and right shift."""
        parameters = self.compiled.rescaler.parameters
        assert isinstance(parameters, FixedPointParameters)
        return int(parameters.multiplier[0]), int(parameters.shift[0])

    @property
    def n_transient_lost(self) -> int:
        """Outputs with transient overflow whose accumulator does not hold the exact total."""
        return self.comparison.n_inexact - self.counts.persistent

    @property
    def bits_used(self) -> int:
        """Width of the least signed register that holds every exact total of this run."""
        assert self.result.overflow is not None
        total = self.result.overflow.total
        return max(signed_bits(int(total.min())), signed_bits(int(total.max())))

    @property
    def bits_safe(self) -> int:
        """Width of the least signed register that holds the totals of all possible inputs."""
        return int(layer_bounds(self.compiled)[-1].wrap.max())

    @property
    def worst_channel(self) -> tuple[int, float] | None:
        """Output channel with the most overflows, and its share of outputs; None without any."""
        assert self.result.overflow is not None
        shares = [c.overflowed / c.outputs for c in self.result.overflow.by_channel()]
        channel = int(np.argmax(shares))
        return (channel, shares[channel]) if shares[channel] else None

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        spec, counts, worst = self.compiled.spec, self.counts, self.worst_channel
        return {
            "name": self.compiled.layer.name,
            "shape_mkn": list(self.shape),
            "input_format": str(spec.input.format),
            "weight_format": str(spec.weight.format),
            "output_format": str(spec.rescaler.output),
            "multiplier": self.scale[0],
            "shift": self.scale[1],
            "fold_error": float(self.compiled.fold_error[0]),
            "bits_used": self.bits_used,
            "bits_safe": self.bits_safe,
            "outputs": counts.outputs,
            "transient": counts.transient,
            "transient_lost": self.n_transient_lost,
            "persistent": counts.persistent,
            "worst_channel": None if worst is None else {"channel": worst[0], "share": worst[1]},
            "comparison": self.comparison.to_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DesignRun:
    """The whole network on one design.

    Attributes
    ----------
    design
        Its widths.
    network
        The integer network, all in one.
    layers
        Its layers, first to last.
    fake_quantized_accuracy, integer_accuracy
        Share of test images classified right: by the network in training, which
        rounds where the codes are, and by the integer datapath.
    agreement
        Share of test images that both give the same class.
    """

    design: Design
    network: Network
    layers: tuple[LayerRun, ...]
    fake_quantized_accuracy: float
    integer_accuracy: float
    agreement: float

    @property
    def counts(self) -> OverflowCounts:
        """Outputs of all layers by kind of overflow."""
        return OverflowCounts.summed(run.counts for run in self.layers)

    @property
    def n_transient_lost(self) -> int:
        """Outputs with transient overflow whose accumulator does not hold the exact total."""
        return sum(run.n_transient_lost for run in self.layers)

    @property
    def worst_layer(self) -> LayerRun:
        """The layer with the largest difference to its reference."""
        return max(self.layers, key=lambda run: run.comparison.max_lsb)

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        table = asdict(self.design) | {"overflow": self.design.overflow.value}
        return {
            "name": self.design.name,
            **table,
            "fake_quantized_accuracy": self.fake_quantized_accuracy,
            "integer_accuracy": self.integer_accuracy,
            "agreement": self.agreement,
            **asdict(self.counts),
            "transient_lost": self.n_transient_lost,
            "verdict": self.worst_layer.comparison.verdict,
            "layers": [run.to_dict() for run in self.layers],
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DemoResult:
    """What the demonstration found.

    Attributes
    ----------
    seed
        Of the training.
    data_set
        The images and their classes.
    float_accuracy
        Share of test images that the float network classifies right.
    learned
        By width of the codes, what was learned from there.
    designs
        One run each.
    walk
        One output of the first layer, register by register.
    """

    seed: int
    data_set: DataSet
    float_accuracy: float
    learned: dict[int, LearnedNetwork]
    designs: tuple[DesignRun, ...]
    walk: RegisterWalk

    def widest(self, bits: int) -> DesignRun:
        """Of the designs on codes of ``bits`` bits, the first: that with the most room."""
        return next(run for run in self.designs if run.design.weight_bits == bits)

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return {
            "seed": self.seed,
            "n_train": len(self.data_set.train.labels),
            "n_test": len(self.data_set.test.labels),
            "float_accuracy": self.float_accuracy,
            "learned": [
                {
                    "bits": bits,
                    "calibrated_accuracy": found.calibrated_accuracy,
                    "accuracy": found.accuracy,
                    "calibrated_steps": found.calibrated_steps,
                    "learned_steps": found.learned_steps,
                }
                for bits, found in self.learned.items()
            ],
            "designs": [run.to_dict() for run in self.designs],
            "walk": self.walk.to_dict(),
        }
