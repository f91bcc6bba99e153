"""Tests for lsqsim_kernels.ranges: against interval sums in Python integers, near 2**62."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from lsqsim_kernels import ranges
from lsqsim_kernels.ranges import CLAMPED, EXACT, LOST

ALL = 1 << 62


def in_python(row, low, high, addend, preload, registers):
    """Ranges of one channel, stage by stage: lists of groups, no clock, no shared state."""
    (constant, coupling), (stages, modes) = addend, registers
    k, last = len(row), len(stages) - 1
    ends = [scaled(w, a, b) for w, a, b in zip(row, low, high, strict=True)]
    alone = [scaled(coupling, a, b) for a, b in zip(low, high, strict=True)]
    both = [scaled(w + coupling, a, b) for w, a, b in zip(row, low, high, strict=True)]
    is_joint = all(mode == EXACT for mode in modes[:last])
    operands, spans, table = ends, [(t, t + 1) for t in range(k)], []
    for level, (fan_in, stage_low, stage_high) in enumerate(stages):
        size = max(min(fan_in, len(operands)), 1)
        cuts = range(0, len(operands), size)
        groups = [operands[i : i + size] for i in cuts]
        if level == last:
            if is_joint:
                moves = [
                    tuple(sum(both[t][e] - alone[t][e] for t in range(*span)) for e in (0, 1))
                    for span in spans
                ]
                start = tuple(constant + sum(a[e] for a in alone) for e in (0, 1))
                final = tuple(constant + sum(b[e] for b in both) for e in (0, 1))
                plain = tuple(sum(e_[e] for e_ in ends) for e in (0, 1))
                joined = [start, *moves]
                last_move = (final[0] - plain[0], final[1] - plain[1])
            else:
                start = tuple(constant + sum(a[e] for a in alone) for e in (0, 1))
                joined, last_move = [start, *operands], start
            groups = [joined if preload else [*operands, last_move]]
        else:
            spans = [(spans[i][0], spans[min(i + size, len(spans)) - 1][1]) for i in cuts]
        sums, results, handed = [], [], []
        for group in groups:
            register = (0, 0)
            for operand in group:
                register = (register[0] + operand[0], register[1] + operand[1])
                sums.append(register)
                if modes[level] == CLAMPED:
                    register = tuple(min(max(e, stage_low), stage_high) for e in register)
            results.append(register)
            handed.append((stage_low, stage_high) if modes[level] == LOST else register)
        operands = handed
        table.append([*hull(sums), *hull(results)])
    return table


def scaled(factor, low, high):
    return tuple(sorted((factor * low, factor * high)))


def hull(pairs):
    return min((p[0] for p in pairs), default=0), max((p[1] for p in pairs), default=0)


def propagate(case, modes):
    """The kernel, on plain lists; ``stages`` (fan_in, low, high), ends (groups, k)."""
    *ports, preload, stages = case
    table = [(*stage, 0, 0) for stage in stages]
    array = [np.array(a, np.int64) for a in (*ports, table)]
    array[:3] = [a.reshape(len(a), -1) for a in array[:3]]
    *taken, kernel_stages = array
    return ranges.propagate(*taken, preload, kernel_stages, np.array(modes, np.uint8)).tolist()


@st.composite
def operands(draw, magnitude):
    """Arguments and modes; the last stage hands nothing on. Magnitudes add up to less."""
    k = draw(st.integers(0, 20))
    groups, per_group = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    n = groups * per_group
    reach = magnitude // (10 * max(k, 1))
    codes = st.integers(-3, 3)
    inputs = st.integers(-reach, reach) | st.sampled_from([-reach, reach])
    pairs = [[sorted(draw(st.tuples(inputs, inputs))) for _ in range(k)] for _ in range(groups)]
    rows = draw(st.lists(st.lists(codes, min_size=k, max_size=k), min_size=n, max_size=n))
    is_coupled = draw(st.booleans())
    depth = draw(st.integers(1, 4))
    fan_ins = [draw(st.integers(1, 6) | st.just(ALL)) for _ in range(depth - 1)] + [ALL]
    halves = [1 << draw(st.integers(1, max(magnitude.bit_length() - 8, 2))) for _ in range(depth)]
    case = (
        rows,
        [[p[0] for p in row] for row in pairs],
        [[p[1] for p in row] for row in pairs],
        draw(st.lists(st.integers(-magnitude // 10, magnitude // 10), min_size=n, max_size=n)),
        draw(st.lists(codes, min_size=n, max_size=n)) if is_coupled else [0] * n,
        draw(st.booleans()),
        [(fan, -half, half - 1) for fan, half in zip(fan_ins, halves, strict=True)],
    )
    modes = st.sampled_from([EXACT, CLAMPED, LOST])
    return case, [[draw(modes) for _ in range(depth - 1)] + [EXACT] for _ in range(n)]


def check(case, modes):
    rows, low, high, constant, coupling, preload, stages = case
    per_group = len(rows) // len(low)
    assert propagate(case, modes) == [
        in_python(
            row,
            low[c // per_group],
            high[c // per_group],
            (constant[c], coupling[c]),
            preload,
            (stages, modes[c]),
        )
        for c, row in enumerate(rows)
    ]


class TestWorkedExamples:
    def test_a_clamped_tile_and_a_lost_one(self):
        """Tiles of 2 of 0..3 in registers of -8..7: 9 + 3 clamps to 7, or may be anything."""
        case = ([[3, 1, 1]], [[0] * 3], [[3] * 3], [0], [0], True, [(2, -8, 7), (ALL, -64, 63)])
        for mode, expected in (
            (EXACT, [[0, 12, 0, 12], [0, 15, 0, 15]]),
            (CLAMPED, [[0, 10, 0, 7], [0, 10, 0, 10]]),
            (LOST, [[0, 12, 0, 12], [-16, 14, -16, 14]]),
        ):
            assert propagate(case, [[mode, EXACT]]) == [expected]

    def test_nothing_enters(self):
        """A stage that adds nothing has (0, 0); the last one has its constant."""
        stages = [(2, -8, 7), (ALL, -64, 63)]
        for preload in (True, False):
            found = propagate(([[]], [[]], [[]], [5], [3], preload, stages), [[EXACT, EXACT]])
            assert found == [[[0, 0, 0, 0], [5, 5, 5, 5]]]

    @pytest.mark.parametrize("sign", [1, -1])
    def test_the_largest_sum(self, sign):
        """Magnitudes that add up to 2**62 - 1, on either side."""
        stages = [(ALL, -(1 << 62), (1 << 62) - 1)]
        half = 1 << 61
        ends = sorted((0, sign * (half - 1)))
        row, rest = [[1]], sign * half
        found = propagate((row, [ends[:1]], [ends[1:]], [rest], [0], True, stages), [[EXACT]])
        total = sign * ((1 << 62) - 1)
        assert found == [[[min(total, rest), max(total, rest)] * 2]]


class TestAgainstPython:
    @given(operands(1 << 10))
    def test_small(self, case):
        check(*case)

    @given(operands((1 << 62) - 1))
    def test_near_the_limit(self, case):
        check(*case)
