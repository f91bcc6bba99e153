"""Every small layer: K up to 4, all 3-bit weights, all inputs, every list of up to three stages.

A sum of consecutive products is X[:, a:b] @ W[:, a:b].T, every input by every layer; its ends
over all inputs are found by trying them. Which sums a list of stages forms is read off
docs/datapath.md below, in the plainest way.
"""

from itertools import product

import numpy as np
import pytest

from lsqsim.budget.operands import range_operands
from lsqsim.budget.ranges import Verdict, exact_ranges, stage_verdicts
from lsqsim.specs import AccumulatorSpec, BiasPlacement, FanIn, StageSpec
from oracle.ranges import all_inputs

ALL = FanIn.ALL
FAN_INS = [(*inner, ALL) for depth in range(3) for inner in product([1, 2, 3, ALL], repeat=depth)]
RANGES = [(0, 7), (-4, 3), (0, 1), (1, 7), (-4, -1), (3, 5), (5, 5)]
"""With 0 and without, of one sign and of both, and of one code."""


def tried(k, low, high):
    """Ends of every sum of consecutive products over all inputs: {(a, b): (least, largest)}."""
    x = all_inputs([(low, high)] * k).astype(np.float32)
    w = all_inputs([(-4, 3)] * k).astype(np.float32)
    ends = {}
    for a in range(k):
        for b in range(a + 1, k + 1):
            sums = x[:, a:b] @ w[:, a:b].T  # small integers: exact in float32
            ends[a, b] = sums.min(axis=0).astype(np.int64), sums.max(axis=0).astype(np.int64)
    return w.astype(np.int64), ends


def sums_of(k, fan_ins):
    """For each stage, the (a, b) of every sum before it is stored, and of every result."""
    operands = [(t, t + 1) for t in range(k)]
    for fan_in in fan_ins:
        size = max(len(operands), 1) if fan_in is ALL else fan_in
        groups = [operands[i : i + size] for i in range(0, len(operands), size)]
        yield [(group[0][0], b) for group in groups for _, b in group]
        operands = [(group[0][0], group[-1][1]) for group in groups]


def expected(k, fan_ins, ends, bias, placement):
    """(least, largest) sum of every stage, (layers,) each."""
    found = [
        (np.min([ends[s][0] for s in sums], axis=0), np.max([ends[s][1] for s in sums], axis=0))
        for sums in sums_of(k, fan_ins)
    ]
    low, high = found.pop()
    if placement is BiasPlacement.PRELOAD:  # every sum holds the bias, and so does the start
        return [*found, (np.minimum(low, 0) + bias, np.maximum(high, 0) + bias)]
    least, largest = ends[0, k]
    return [*found, (np.minimum(low, least + bias), np.maximum(high, largest + bias))]


def width(low, high):
    """Least width of 2 bits or more, counted up; (layers,)."""
    bits = np.full(low.shape, 2)
    for _ in range(12):
        bits += (low < -(2 ** (bits - 1))) | (high >= 2 ** (bits - 1))
    return bits


@pytest.mark.parametrize("k", [1, 2, 3, 4])
@pytest.mark.parametrize("ends", RANGES, ids=str)
def test_every_range_is_reached_and_every_width_is_tight(k, ends):
    w, tried_ends = tried(k, *ends)
    bias = np.arange(len(w)) * 7 % 41 - 20
    for fan_ins, placement in product(FAN_INS, BiasPlacement):
        stages = tuple(StageSpec(bits=20, fan_in=fan_in) for fan_in in fan_ins)
        operands = range_operands(
            AccumulatorSpec(stages=stages, bias=placement), w, bias=bias, input_low=ends[0],
            input_high=ends[1],
        )  # fmt: skip
        ranges = exact_ranges(operands)
        wanted = expected(k, fan_ins, tried_ends, bias, placement)
        low, high = tried_ends[0, k][0] + bias, tried_ends[0, k][1] + bias
        np.testing.assert_array_equal(ranges.result_low[:, -1], low)
        np.testing.assert_array_equal(ranges.result_high[:, -1], high)
        for level, (least, largest) in enumerate(wanted):
            np.testing.assert_array_equal(ranges.prefix_low[:, level], least)
            np.testing.assert_array_equal(ranges.prefix_high[:, level], largest)
            needed = width(least, largest)
            np.testing.assert_array_equal(ranges.saturate_bits[:, level], needed)
            for bits in np.unique(np.concatenate([needed, needed - 1])):
                if bits < 2:
                    continue
                narrow = list(stages)
                narrow[level] = StageSpec(bits=int(bits), fan_in=fan_ins[level])
                found = stage_verdicts(operands.with_stages(tuple(narrow)), ranges)
                is_safe = found[:, level] == Verdict.SATURATE_SAFE
                np.testing.assert_array_equal(is_safe, bits >= needed)
        np.testing.assert_array_equal(ranges.wrap_bits[:, -1], width(low, high))
