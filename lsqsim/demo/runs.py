"""Every design on every layer: the integer network beside the network that was trained."""

from collections.abc import Callable, Sequence

import numpy as np

from lsqsim.chain import Chain
from lsqsim.compare import compare
from lsqsim.data_sets import DataSet, load_digits_data_set
from lsqsim.demo.designs import DESIGNS, Design
from lsqsim.demo.network import FLOAT_RECIPE, LSQ_RECIPE, LearnedNetwork, learn, train_float
from lsqsim.demo.register_walk import RegisterWalk, register_walk
from lsqsim.demo.results import DemoResult, DesignRun, LayerRun
from lsqsim.errors import SpecError
from lsqsim.learn.evaluation import evaluate

Progress = Callable[[str, int, int], None]
"""Called with what is being done, and how many steps of how many are behind."""


def run_demo(
    *, seed: int = 0, designs: Sequence[Design] = DESIGNS, progress: Progress | None = None
) -> DemoResult:
    """Train the network, learn its step sizes for every width, and run it on every design.

    Parameters
    ----------
    seed : int
        Of the training, 0 .. 2**32 - 1; the images and their split stay the same.
    designs : sequence of Design
        At least one; each with weights and activations of one width.
    progress : callable, optional
        Called before each step: an epoch, or a design.

    Raises
    ------
    SpecError
        A seed out of range, no designs, one of two widths, or a layer that
        can't be folded for one.
    LsqsimError
        Without scikit-learn, which brings the digits.
    """
    _check(seed, designs)
    widths = list(dict.fromkeys(design.weight_bits for design in designs))
    n_steps = FLOAT_RECIPE.epochs + len(widths) * LSQ_RECIPE.epochs + len(designs)
    steps = _Steps(progress or (lambda *_: None), n_steps)
    data_set = load_digits_data_set()
    float_model = train_float(
        data_set, seed=seed, after_epoch=steps.begin("training the float network")
    )
    learned = {
        bits: learn(
            float_model, data_set, bits, seed=seed,
            after_epoch=steps.begin(f"learning {bits}-bit step sizes"),
        )
        for bits in widths
    }  # fmt: skip
    pixels = flat_pixels(data_set)
    runs: list[DesignRun] = []
    for design in designs:
        done = steps.begin(f"running {design.name}")
        runs.append(_run_design(design, learned[design.weight_bits], data_set))
        done()
    steps.begin("done")
    return DemoResult(
        seed=seed,
        data_set=data_set,
        float_accuracy=evaluate(float_model, data_set, data_set.test).accuracy,
        learned=learned,
        designs=tuple(runs),
        walk=_walk(runs, learned, pixels),
    )


def flat_pixels(data_set: DataSet) -> np.ndarray:
    """Real test pixels as the first layer takes them, float32 (images, 64)."""
    return data_set.real(data_set.test.values).reshape(len(data_set.test.labels), -1)


class _Steps:
    """How far the demonstration is."""

    def __init__(self, tell: Progress, n_steps: int) -> None:
        self._tell, self._n_steps, self._done = tell, n_steps, 0

    def begin(self, what: str) -> Callable[[], None]:
        """Say what is being done from now on; what is returned is to be called after each step."""

        def after() -> None:
            self._done += 1
            self._tell(what, self._done, self._n_steps)

        self._tell(what, self._done, self._n_steps)
        return after


def _check(seed: int, designs: Sequence[Design]) -> None:
    if not 0 <= seed < 1 << 32:
        raise SpecError(f"seed must be in 0..2**32-1, got {seed}")
    if not designs:
        raise SpecError("give at least one design, such as w4a4p16")
    for design in designs:
        if design.weight_bits != design.activation_bits:
            raise SpecError(
                f"the demonstration learns weights and activations of one width, "
                f"got {design.name}: give a design such as w4a4p16"
            )


def _run_design(design: Design, learned: LearnedNetwork, data_set: DataSet) -> DesignRun:
    network = learned.fold(design).network
    chain = Chain([node.unit for node in network.layers.values()])
    runs = _run_layers(chain, flat_pixels(data_set))
    classes = chain.classes(runs[-1].result.output.codes)
    return DesignRun(
        design=design,
        network=network,
        layers=tuple(runs),
        fake_quantized_accuracy=learned.accuracy,
        integer_accuracy=_share(classes == data_set.test.labels),
        agreement=_share(classes == learned.predictions),
    )


def _run_layers(chain: Chain, pixels: np.ndarray) -> list[LayerRun]:
    """Each layer on the codes that the one before it put out."""
    runs: list[LayerRun] = []
    for unit, result in zip(chain.layers, chain.run(pixels), strict=True):
        assert result.overflow is not None
        runs.append(
            LayerRun(
                compiled=unit,
                result=result,
                comparison=compare(unit, result),
                counts=result.overflow.counts(),
            )
        )
    return runs


def _walk(
    runs: Sequence[DesignRun], learned: dict[int, LearnedNetwork], pixels: np.ndarray
) -> RegisterWalk:
    """Through a tiled array if there is one, and an output that overflows if there is one."""
    tiled = [run for run in runs if run.design.tile is not None]
    run = next((run for run in tiled if run.counts.overflowed), (tiled or list(runs))[0])
    first = run.layers[0]
    real = learned[run.design.weight_bits].unrounded_first_layer(pixels)
    return register_walk(run.design.name, first.compiled, first.result, pixels, real)


def _share(hits: np.ndarray) -> float:
    return float(hits.mean())
