"""The quantizer unit against NumPy's divide, round, clip and convert."""

from collections.abc import Iterator

import numpy as np

from benchmarks.paired import Measurement, measure
from lsqsim import IntFormat, Quantizer, QuantizerSpec, StepArithmetic

N = 1 << 20
STEP = 0.1


def run(pairs: int) -> Iterator[Measurement]:
    """One line for each arithmetic, float32 input to 8-bit codes."""
    values = np.random.default_rng(0).normal(size=N).astype(np.float32)
    fmt = IntFormat(8)

    def with_numpy() -> np.ndarray:
        rounded = np.rint(values.astype(np.float64) / STEP)
        return np.clip(rounded, fmt.min, fmt.max).astype(np.int64)

    for arithmetic in StepArithmetic:
        unit = Quantizer(QuantizerSpec(format=fmt, arithmetic=arithmetic), step_size=STEP)
        yield measure(
            f"quantize, {arithmetic}",
            lambda unit=unit: unit.quantize(values),
            "NumPy float64",
            with_numpy,
            work=N,
            pairs=pairs,
        )
