"""The multiply array against NumPy's integer and float32 products."""

from collections.abc import Iterator

import numpy as np

from benchmarks.paired import Measurement, measure
from lsqsim import AccumulatorSpec, IntFormat, MatmulArray, Overflow, StageSpec

M, K, N = 128, 1024, 128
DESIGNS = {
    "32 bits, wrap": (StageSpec(bits=32),),
    "16 bits, saturate": (StageSpec(bits=16, overflow=Overflow.SATURATE),),
    "16 x 20 bits, then 32": (StageSpec(fan_in=16, bits=20), StageSpec(bits=32)),
}


def run(pairs: int) -> Iterator[Measurement]:
    """8-bit codes; every design plain and observed, against both peers."""
    rng = np.random.default_rng(0)
    fmt = IntFormat(8)
    x = rng.integers(fmt.min, fmt.max + 1, (M, K))
    w = rng.integers(fmt.min, fmt.max + 1, (N, K))
    x32, w32 = x.astype(np.float32), w.astype(np.float32)
    peers = {"NumPy int64 @": lambda: x @ w.T, "float32 BLAS": lambda: x32 @ w32.T}
    for name, stages in DESIGNS.items():
        unit = MatmulArray(AccumulatorSpec(stages=stages), input_format=fmt, weight_format=fmt)
        for observe in (False, True):
            for peer, call in peers.items():
                yield measure(
                    f"accumulate, {name}{', observed' if observe else ''}",
                    lambda unit=unit, observe=observe: unit.accumulate(x, w, observe=observe),
                    peer,
                    call,
                    work=M * K * N,
                    pairs=pairs,
                )
