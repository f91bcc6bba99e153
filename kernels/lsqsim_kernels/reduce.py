"""The multiply array: K products of one output, reduced by a list of stages.

``stages`` is int64 (depth, 5): fan-in, low and high end of the register, its
mask 2**bits - 1, and whether it wraps. Operands are int64, ``x`` (m, k) and
``w`` (n, k), already in the order in which their products enter. ``addend`` is
int64 (m, n) or (1, n).

Exact when every product, every addend and every exact total fits 63 bits:
a register (at most 63 bits) plus an operand (at most 63 bits) then fits int64.
"""

import numpy as np

from lsqsim_kernels._jit import inline, kernel
from lsqsim_kernels.narrow import store

FAN_IN = 0
LOW = 1
HIGH = 2
MASK = 3
WRAPS = 4

NO_STAGE = -1
NO_K = -2
K_OF_PRELOAD = -1


@inline
def add(total, stages, level):
    """``total`` as the register of stage ``level`` holds it."""
    return store(
        total,
        stages[level, LOW],
        stages[level, HIGH],
        stages[level, MASK],
        stages[level, WRAPS] != 0,
    )


@inline
def enter(operand, level, registers, counts, stages):
    """Add ``operand`` to stage ``level`` and hand completed groups on.

    Returns the level of the first addition that overflowed, or NO_STAGE.
    """
    first = NO_STAGE
    while True:
        total = registers[level] + operand
        kept = add(total, stages, level)
        if first == NO_STAGE and kept != total:
            first = level
        counts[level] += 1
        if counts[level] < stages[level, FAN_IN]:
            registers[level] = kept
            return first
        registers[level] = 0
        counts[level] = 0
        operand = kept
        level += 1


@inline
def complete(level, registers, counts, stages):
    """Hand on the incomplete group of stage ``level``, if there is one; returns as ``enter``."""
    if counts[level] == 0:
        return NO_STAGE
    operand = registers[level]
    registers[level] = 0
    counts[level] = 0
    return enter(operand, level + 1, registers, counts, stages)


@kernel
def accumulate(x, w, addend, preload, stages):
    """Last register of every output, int64 (m, n)."""
    n_rows, n_terms = x.shape
    n_cols = w.shape[0]
    last = stages.shape[0] - 1
    registers = np.zeros(last + 1, np.int64)
    counts = np.zeros(last + 1, np.int64)
    result = np.empty((n_rows, n_cols), np.int64)
    for m in range(n_rows):
        for n in range(n_cols):
            extra = addend[m % addend.shape[0], n]
            counts[last] = 0
            registers[last] = add(extra, stages, last) if preload else 0
            for k in range(n_terms):
                enter(x[m, k] * w[n, k], 0, registers, counts, stages)
            for level in range(last):
                complete(level, registers, counts, stages)
            if preload:
                result[m, n] = registers[last]
            else:
                result[m, n] = add(registers[last] + extra, stages, last)
    return result


@kernel
def observe(x, w, addend, preload, stages):
    """Registers as ``accumulate``, with the exact total and the first overflow of every output.

    Returns int64 (m, n) each: register, exact total, stage of the first overflow (or NO_STAGE),
    and the position in K after which it came (K_OF_PRELOAD, n_terms for the post-added bias,
    or NO_K).
    """
    n_rows, n_terms = x.shape
    n_cols = w.shape[0]
    last = stages.shape[0] - 1
    registers = np.zeros(last + 1, np.int64)
    counts = np.zeros(last + 1, np.int64)
    result = np.empty((n_rows, n_cols), np.int64)
    exact = np.empty((n_rows, n_cols), np.int64)
    stage_of_first = np.full((n_rows, n_cols), NO_STAGE, np.int64)
    k_of_first = np.full((n_rows, n_cols), NO_K, np.int64)
    for m in range(n_rows):
        for n in range(n_cols):
            extra = addend[m % addend.shape[0], n]
            counts[last] = 0
            registers[last] = add(extra, stages, last) if preload else 0
            if preload and registers[last] != extra:
                stage_of_first[m, n] = last
                k_of_first[m, n] = K_OF_PRELOAD
            total = extra
            for k in range(n_terms):
                product = x[m, k] * w[n, k]
                total += product
                level = enter(product, 0, registers, counts, stages)
                if level != NO_STAGE and stage_of_first[m, n] == NO_STAGE:
                    stage_of_first[m, n] = level
                    k_of_first[m, n] = k
            for inner in range(last):
                level = complete(inner, registers, counts, stages)
                if level != NO_STAGE and stage_of_first[m, n] == NO_STAGE:
                    stage_of_first[m, n] = level
                    k_of_first[m, n] = n_terms - 1
            register = registers[last]
            if not preload:
                register = add(registers[last] + extra, stages, last)
                if register != registers[last] + extra and stage_of_first[m, n] == NO_STAGE:
                    stage_of_first[m, n] = last
                    k_of_first[m, n] = n_terms
            result[m, n] = register
            exact[m, n] = total
    return result, exact, stage_of_first, k_of_first


@kernel
def reduce_stage(operands, start, fan_in, low, high, mask, wraps):
    """Results of one stage alone: int64 (m, n, operands) to (m, n, groups).

    ``start`` int64 (m, n) is what the register of each group starts from. Serves the trace,
    which keeps every stage's results.
    """
    n_rows, n_cols, n_operands = operands.shape
    n_groups = (n_operands + fan_in - 1) // fan_in
    result = np.empty((n_rows, n_cols, n_groups), np.int64)
    for m in range(n_rows):
        for n in range(n_cols):
            for g in range(n_groups):
                register = start[m, n]
                for i in range(g * fan_in, min((g + 1) * fan_in, n_operands)):
                    register = store(register + operands[m, n, i], low, high, mask, wraps)
                result[m, n, g] = register
    return result
