"""Ranges of every register over all inputs, by trying every input: no bound, no shortcut.

A value is an array (channels, inputs): every channel and every input at once, in int64, for
numbers so small that nothing can wrap. Written group by group, as oracle.reduction is.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from lsqsim.formats import Overflow
from lsqsim.specs import AccumulatorSpec, BiasPlacement, FanIn, StageSpec
from oracle.reduction import k_order, products_and_addend


@dataclass(frozen=True)
class Tried:
    """What the registers did; the lists have an entry a stage.

    ``sums`` and ``results`` hold (least, largest), (channels,) each, before and after a sum is
    stored; ``values`` the results themselves; ``overflows`` whether some input left a register.
    ``is_wrong``: whether some input's last register differs from the exact total.
    """

    sums: list[tuple[np.ndarray, np.ndarray]]
    results: list[tuple[np.ndarray, np.ndarray]]
    values: list[list[np.ndarray]]
    overflows: list[np.ndarray]
    is_wrong: np.ndarray


def all_inputs(ends: list[tuple[int, int]]) -> np.ndarray:
    """Every input vector, (count, k)."""
    grid = list(product(*(range(low, high + 1) for low, high in ends)))
    return np.array(grid, np.int64).reshape(len(grid), len(ends))


def try_all(x: np.ndarray, w, bias, spec: AccumulatorSpec, z_x: int = 0, z_w=0) -> Tried:
    """Registers of ``spec`` for inputs (count, k), weights (n, k), bias and z_w one or (n,)."""
    w = np.asarray(w, np.int64)
    n, k = w.shape
    bias, z_w = (np.broadcast_to(np.asarray(a), (n,))[:, None] for a in (bias, z_w))
    nothing = np.zeros((n, len(x)), np.int64)
    inputs, weights = [x[None, :, i] for i in range(k)], [w[:, i, None] for i in range(k)]
    total = nothing + bias
    for a, b in zip(inputs, weights, strict=True):
        total = total + (a - z_x) * (b - z_w)
    products, addend = products_and_addend(inputs, weights, bias, spec, z_x, z_w)
    operands, addend = [products[i] for i in k_order(spec, k)], nothing + addend
    sums, results, values, overflows = [], [], [], []
    for index, stage in enumerate(spec.stages):
        groups = _cut(operands, stage)
        if index == len(spec.stages) - 1:
            preloads = spec.bias is BiasPlacement.PRELOAD
            groups = [[addend, *operands] if preloads else [*operands, addend]]
        operands, seen = [], []
        for group in groups:
            register = nothing
            for operand in group:
                seen.append(register + operand)
                register = _store(seen[-1], stage)
            operands.append(register)
        low, high = _span(seen or [nothing])
        half = 1 << stage.bits - 1
        sums.append((low, high))
        results.append(_span(operands or [nothing]))
        values.append(operands)
        overflows.append((low < -half) | (high >= half))
    return Tried(sums, results, values, overflows, np.any(operands[0] != total, axis=1))


def least_width(low: int, high: int) -> int:
    """Least two's-complement width, of 2 or more, that holds both; counted up."""
    bits = 2
    while not -(2 ** (bits - 1)) <= low <= high < 2 ** (bits - 1):
        bits += 1
    return bits


def _cut(operands: list[np.ndarray], stage: StageSpec) -> list[list[np.ndarray]]:
    size = max(len(operands), 1) if isinstance(stage.fan_in, FanIn) else stage.fan_in
    return [operands[i : i + size] for i in range(0, len(operands), size)]


def _store(values: np.ndarray, stage: StageSpec) -> np.ndarray:
    half = 1 << stage.bits - 1
    if stage.overflow is Overflow.SATURATE:
        return np.minimum(np.maximum(values, -half), half - 1)
    return (values + half) % (2 * half) - half


def _span(arrays: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest of each channel, over inputs and registers."""
    joined = np.concatenate(arrays, axis=1)
    return joined.min(axis=1), joined.max(axis=1)
