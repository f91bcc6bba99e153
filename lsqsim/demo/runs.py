"""Every design on every layer: the integer network beside its float and fake-quantized twins."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from lsqsim.chain import Chain
from lsqsim.compare import compare
from lsqsim.datapath import CompiledLayer
from lsqsim.demo.designs import DESIGNS, LOGITS, Design
from lsqsim.demo.network import Digits, load_digits, train
from lsqsim.demo.register_walk import RegisterWalk, register_walk
from lsqsim.demo.results import DemoResult, DesignRun, LayerRun
from lsqsim.errors import SpecError
from lsqsim.layer import Layer

Progress = Callable[[str, int, int], None]
"""Called with what is being done, and how many steps of how many are behind."""


def run_demo(
    *, seed: int = 0, designs: Sequence[Design] = DESIGNS, progress: Progress | None = None
) -> DemoResult:
    """Train the float network, and run it on every design.

    Parameters
    ----------
    seed : int
        Of the training, 0 .. 2**32 - 1; the images and their split stay the same.
    designs : sequence of Design
        At least one.
    progress : callable, optional
        Called before each step.

    Raises
    ------
    SpecError
        A seed out of range, no designs, or a layer that can't be folded for one.
    LsqsimError
        Without scikit-learn.
    """
    if not 0 <= seed < 1 << 32:
        raise SpecError(f"seed must be in 0..2**32-1, got {seed}")
    if not designs:
        raise SpecError("give at least one design, such as w4a4p16")
    tell = progress or (lambda *_: None)
    n_steps = len(designs) + 1
    tell("training the float network", 0, n_steps)
    digits = load_digits()
    network = train(digits, seed=seed)
    layers = cache(network.layers)
    runs: list[DesignRun] = []
    for i, design in enumerate(designs):
        tell(f"running {design.name}", i + 1, n_steps)
        runs.append(_run_design(design, layers(design.weight_bits, design.activation_bits), digits))
    tell("done", n_steps, n_steps)
    return DemoResult(
        seed=seed,
        digits=digits,
        float_accuracy=_share(network.classify(digits.test_pixels) == digits.test_classes),
        designs=tuple(runs),
        walk=_walk(runs, digits),
    )


def _run_design(design: Design, layers: Sequence[Layer], digits: Digits) -> DesignRun:
    chain = _compile(design, layers)
    runs = _run_layers(chain, digits.test_pixels)
    classes = chain.classes(runs[-1].result.output.codes)
    fake = chain.classes(chain.reference(digits.test_pixels)[-1].codes)
    return DesignRun(
        design=design,
        layers=tuple(runs),
        fake_quantized_accuracy=_share(fake == digits.test_classes),
        integer_accuracy=_share(classes == digits.test_classes),
        agreement=_share(fake == classes),
    )


def _compile(design: Design, layers: Sequence[Layer]) -> Chain:
    hidden, last = design.datapath(), design.datapath(output=LOGITS)
    specs = [hidden] * (len(layers) - 1) + [last]
    return Chain([CompiledLayer(layer, spec) for layer, spec in zip(layers, specs, strict=True)])


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


def _walk(runs: Sequence[DesignRun], digits: Digits) -> RegisterWalk:
    """Through a tiled array if there is one, and an output that overflows if there is one."""
    tiled = [run for run in runs if run.design.tile is not None]
    run = next((run for run in tiled if run.counts.overflowed), (tiled or list(runs))[0])
    return register_walk(
        run.design.name, run.layers[0].compiled, run.layers[0].result, digits.test_pixels
    )


def _share(hits: np.ndarray) -> float:
    return float(hits.mean())
