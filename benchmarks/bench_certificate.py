"""Certificates of a large layer against QONNX's accumulator range of the same weights.

QONNX finds two numbers for the layer: how far totals reach. A certificate has the range of every
register and prefix, a verdict for every channel and stage, and witnesses where there are any.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module

import numpy as np

from benchmarks.paired import Measurement, measure
from lsqsim import CompiledLayer, Layer, LinearSpec, StageSpec, simple_datapath
from lsqsim.budget.certificate import Certificate, certify

N, K = 4096, 4096
DESIGNS = {
    "28 bits": (StageSpec(bits=28),),
    "128 x 23, 28 bits": (StageSpec(fan_in=128, bits=23), StageSpec(bits=28)),
    "24 bits, unsafe": (StageSpec(bits=24),),
}
PEER = "QONNX range"


def run(pairs: int) -> Iterator[Measurement]:
    """8-bit codes, all channels; layers are compiled outside, as a certificate needs no data."""
    weights = np.random.default_rng(0).integers(-128, 128, (N, K))
    theirs = _with_qonnx(weights)
    for name, stages in DESIGNS.items():
        compiled = _compile(weights, stages)
        if theirs is not None:
            assert theirs() == _ends(certify(compiled)), "two proofs of one fact must agree"
        yield measure(
            f"certify {N}x{K}, {name}",
            lambda compiled=compiled: certify(compiled),
            PEER,
            theirs,
            work=N * K,
            pairs=pairs,
        )


def _compile(weights: np.ndarray, stages: tuple[StageSpec, ...]) -> CompiledLayer:
    spec = simple_datapath(weight_bits=8, activation_bits=8, acc_bits=28)
    layer = Layer(
        spec=LinearSpec(), weight_codes=weights, input_step=1.0, weight_step=1.0, output_step=1.0
    )
    return CompiledLayer(layer, replace(spec, accumulator=replace(spec.accumulator, stages=stages)))


def _ends(certificate: Certificate) -> tuple[int, int]:
    last = certificate.stages[-1]
    return int(last.result_low.min()), int(last.result_high.max())


def _with_qonnx(weights: np.ndarray) -> Callable[[], tuple[int, int]] | None:
    """QONNX on the weights as its graphs hold them, float32 (inputs, outputs); None without it."""
    try:  # a peer, not a dependency: hence no import that type checkers look for
        basic = import_module("qonnx.util.basic")
        uint8 = import_module("qonnx.core.datatype").DataType["UINT8"]
    except ImportError:
        return None
    matrix = np.ascontiguousarray(weights.T, np.float32)

    def ends() -> tuple[int, int]:
        low, high = basic.calculate_matvec_accumulator_range(matrix, uint8)
        return int(low), int(high)

    return ends
