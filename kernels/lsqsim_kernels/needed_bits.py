"""How many bits the sums of a reduction need, and what narrower registers make of them.

Operands are those of ``reduce``: int64 ``x`` (m, k) and ``w`` (n, k) in the order of entry,
``addend`` int64 (m, n) or (1, n). ``fan_ins`` is int64 (depth,), the first column of a table of
stages.

Exact when every product, every addend and every sum of some of an output's products, with or
without its addend, fits 63 bits: all that is formed here is such a sum.
"""

import numpy as np

from lsqsim_kernels._jit import inline, kernel
from lsqsim_kernels.reduce import FAN_IN, HIGH, LOW, WRAPS, add, complete, enter

NO_LOW = 9223372036854775807
NO_HIGH = -9223372036854775808
"""Extremes of no sums at all: the low one above the high one."""


@inline
def signed_bits(low, high):
    """Width of the least signed register that holds ``low`` and ``high``; 0 if low > high."""
    if low > high:
        return 0
    magnitude = (low if low >= 0 else ~low) | (high if high >= 0 else ~high)
    bits = 1
    for step in (32, 16, 8, 4, 2, 1):
        if magnitude >> step:
            magnitude >>= step
            bits += step
    return bits + magnitude


@inline
def note(total, level, low, high):
    """Let ``total`` count among the sums of stage ``level``."""
    low[level] = min(low[level], total)
    high[level] = max(high[level], total)


@inline
def enter_exact(operand, level, sums, counts, fan_ins, low, high):
    """Add ``operand`` to stage ``level`` without a limit, and hand completed groups on."""
    while True:
        total = sums[level] + operand
        note(total, level, low, high)
        counts[level] += 1
        if counts[level] < fan_ins[level]:
            sums[level] = total
            return
        sums[level] = 0
        counts[level] = 0
        operand = total
        level += 1


@inline
def complete_exact(level, sums, counts, fan_ins, low, high):
    """Hand on the incomplete group of stage ``level``, if there is one."""
    if counts[level] == 0:
        return
    operand = sums[level]
    sums[level] = 0
    counts[level] = 0
    enter_exact(operand, level + 1, sums, counts, fan_ins, low, high)


@kernel
def measure(x, w, addend, preload, fan_ins):
    """The sums that every output's additions form in registers without limit, before any store.

    Returns
    -------
    totals : int64 (m, n)
        Exact totals.
    peaks : uint8 (m, n, depth)
        Width of the least signed register that holds every sum of the stage; 0 without sums.
    low, high : int64 (n, depth)
        Least and greatest sum of every column and stage; NO_LOW and NO_HIGH without sums.
    """
    n_rows, n_terms = x.shape
    n_cols = w.shape[0]
    depth = fan_ins.size
    last = depth - 1
    sums = np.zeros(depth, np.int64)
    counts = np.zeros(depth, np.int64)
    low = np.empty(depth, np.int64)
    high = np.empty(depth, np.int64)
    totals = np.empty((n_rows, n_cols), np.int64)
    peaks = np.empty((n_rows, n_cols, depth), np.uint8)
    lowest = np.full((n_cols, depth), NO_LOW, np.int64)
    highest = np.full((n_cols, depth), NO_HIGH, np.int64)
    for m in range(n_rows):
        for n in range(n_cols):
            extra = addend[m % addend.shape[0], n]
            low[:] = NO_LOW
            high[:] = NO_HIGH
            counts[last] = 0
            sums[last] = 0
            if preload:
                sums[last] = extra
                note(extra, last, low, high)
            begin = 0
            while begin < n_terms:
                # One group of stage 0 in locals: nearly all additions are here.
                end = min(begin + fan_ins[0], n_terms)
                total = sums[0]
                least = low[0]
                greatest = high[0]
                for k in range(begin, end):
                    total += x[m, k] * w[n, k]
                    least = min(least, total)
                    greatest = max(greatest, total)
                low[0] = least
                high[0] = greatest
                if last == 0:
                    sums[0] = total
                else:
                    enter_exact(total, 1, sums, counts, fan_ins, low, high)
                begin = end
            for level in range(1, last):
                complete_exact(level, sums, counts, fan_ins, low, high)
            if not preload:
                sums[last] += extra
                note(sums[last], last, low, high)
            totals[m, n] = sums[last]
            for level in range(depth):
                peaks[m, n, level] = signed_bits(low[level], high[level])
                lowest[n, level] = min(lowest[n, level], low[level])
                highest[n, level] = max(highest[n, level], high[level])
    return totals, peaks, lowest, highest


@inline
def first_misfit(peaks, widths):
    """Innermost stage whose sums do not fit its register; depth where all fit."""
    for level in range(widths.size):
        if peaks[level] > widths[level]:
            return level
    return widths.size


@inline
def add_group(x, w, begin, end, register, stages):
    """Stage 0's register after the products ``begin`` .. ``end``, stored after every addition.

    Where it wraps, one store at the end comes to the same, several times as fast: outputs that
    are reduced again overflow often, and unpredictably.
    """
    if stages[0, WRAPS] != 0:
        for k in range(begin, end):
            register += x[k] * w[k]
        return add(register, stages, 0)
    low = stages[0, LOW]
    high = stages[0, HIGH]
    for k in range(begin, end):
        register = min(max(register + x[k] * w[k], low), high)
    return register


@inline
def reduce_again(x, w, extra, preload, stages, registers, counts):
    """Last register of one output, from its operands: int64 (k,) and (k,)."""
    last = stages.shape[0] - 1
    counts[last] = 0
    registers[last] = add(extra, stages, last) if preload else 0
    begin = 0
    while begin < x.size:
        end = min(begin + stages[0, FAN_IN], x.size)
        if last == 0:
            registers[0] = add_group(x, w, begin, end, registers[0], stages)
        else:
            group = add_group(x, w, begin, end, 0, stages)
            enter(group, 1, registers, counts, stages)
        begin = end
    for level in range(1, last):
        complete(level, registers, counts, stages)
    if preload:
        return registers[last]
    return add(registers[last] + extra, stages, last)


@kernel
def registers(x, w, addend, preload, totals, peaks, designs, rings):
    """Last register of every output of several designs, int64 (d, m, n).

    ``designs`` is int64 (d, depth, 5): tables of stages as in ``reduce``, of the fan-ins that
    ``measure`` gave ``totals`` and ``peaks`` for. ``rings`` is int64 (d,): the innermost stage
    from which on every stage wraps and none is narrower than the last; depth if there is none.

    An output is reduced again only where it must be. As long as every sum fits, every register
    holds its sum, and the last one the total. From the first stage on whose sums do not fit,
    registers that wrap keep the sum modulo 2**bits, hence modulo 2**(bits of the last), which is
    all that the last register keeps of the total.
    """
    n_designs, depth = designs.shape[:2]
    n_rows, n_cols = totals.shape
    last = depth - 1
    scratch = np.zeros(depth, np.int64)
    counts = np.zeros(depth, np.int64)
    widths = np.empty((n_designs, depth), np.uint8)
    result = np.empty((n_designs, n_rows, n_cols), np.int64)
    for d in range(n_designs):
        for level in range(depth):
            widths[d, level] = signed_bits(0, designs[d, level, HIGH])
    for m in range(n_rows):
        for n in range(n_cols):
            for d in range(n_designs):
                level = first_misfit(peaks[m, n], widths[d])
                if level == depth:
                    result[d, m, n] = totals[m, n]
                elif level >= rings[d]:
                    result[d, m, n] = add(totals[m, n], designs[d], last)
                else:
                    extra = addend[m % addend.shape[0], n]
                    result[d, m, n] = reduce_again(
                        x[m], w[n], extra, preload, designs[d], scratch, counts
                    )
    return result


@kernel
def signed_bits_array(values):
    """Width of the least signed register for each value, int64 (n,) to uint8; exact for all."""
    result = np.empty(values.size, np.uint8)
    for i in range(values.size):
        result[i] = signed_bits(values[i], values[i])
    return result
