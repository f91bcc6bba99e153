"""The rescaler's scalings against one NumPy float64 multiply, round and clip."""

from collections.abc import Iterator

import numpy as np

from benchmarks.paired import Measurement, measure
from lsqsim import (
    FirstShift,
    FixedPoint,
    FloatScale,
    IntFormat,
    PowerOfTwo,
    Rescaler,
    RescalerSpec,
    Rounding,
    Thresholds,
)

N = 1 << 20
FACTOR = 0.00073
SCALINGS = {
    "fixed point": FixedPoint(),
    "fixed point, double": FixedPoint(first_shift=FirstShift(), rounding=Rounding.TIES_AWAY),
    "float32": FloatScale(),
    "power of two": PowerOfTwo(),
    "thresholds": Thresholds(),
}


def run(pairs: int) -> Iterator[Measurement]:
    """24-bit accumulators to 8-bit codes."""
    acc = np.random.default_rng(0).integers(-(1 << 17), 1 << 17, N)
    fmt = IntFormat(8)

    def with_numpy() -> np.ndarray:
        return np.clip(np.rint(acc * FACTOR), fmt.min, fmt.max).astype(np.int64)

    for name, scaling in SCALINGS.items():
        spec = RescalerSpec(output=fmt, scaling=scaling)
        unit = Rescaler.from_factor(spec, FACTOR, acc_format=IntFormat(24))
        yield measure(
            f"rescale, {name}",
            lambda unit=unit: unit.rescale(acc),
            "NumPy float64",
            with_numpy,
            work=N,
            pairs=pairs,
        )
