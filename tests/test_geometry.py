"""Tests for lsqsim.geometry: each list of stages against its machine, simulated plainly here."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

import oracle
from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat, Overflow
from lsqsim.geometry import (
    adder_tree,
    interleaved_order,
    output_stationary,
    packed_lanes,
    weight_stationary,
)
from lsqsim.matmul_array import MatmulArray
from lsqsim.specs import AccumulatorSpec, FanIn, KOrder, StageSpec
from strategies import overflows

INT8, UINT8 = IntFormat(8), IntFormat(8, signed=False)
WRAP, SATURATE = Overflow.WRAP, Overflow.SATURATE


@st.composite
def matrices(draw, max_k=11, x_format=INT8, w_format=INT8):
    """x (m, k) and w (n, k) as nested lists; ends of the formats are common."""
    k, m, n = draw(st.integers(1, max_k)), draw(st.integers(1, 3)), draw(st.integers(1, 5))

    def matrix(rows, fmt):
        codes = st.integers(fmt.min, fmt.max) | st.sampled_from([fmt.min, fmt.max])
        row = st.lists(codes, min_size=k, max_size=k)
        return draw(st.lists(row, min_size=rows, max_size=rows))

    return matrix(m, x_format), matrix(n, w_format)


def simulated(stages, x, w, x_format=INT8, order=KOrder.NATURAL):
    """What lsqsim makes of the stages: the last registers, nested lists (m, n)."""
    spec = AccumulatorSpec(stages=stages, order=order)
    array = MatmulArray(spec, input_format=x_format, weight_format=INT8)
    return array.accumulate(np.array(x), np.array(w)).registers.tolist()


def products(x, w):
    return [[[a * b for a, b in zip(row, column, strict=True)] for column in w] for row in x]


def output_stationary_machine(x, w, bits, overflow):
    """A grid of PEs, each with one register; operands arrive skewed, a cycle later per hop."""
    m, n, k = len(x), len(w), len(x[0])
    registers = [[0] * n for _ in range(m)]
    for cycle in range(k + m + n):
        for i in range(m):
            for j in range(n):
                t = cycle - i - j  # x from the left, w from the top
                if 0 <= t < k:
                    exact = registers[i][j] + x[i][t] * w[j][t]
                    registers[i][j] = oracle.store(exact, bits, overflow)
    return registers


class WeightStationaryMachine:
    """A grid of ``rows`` x ``columns`` PEs that hold weights; sums move down, inputs to the right.

    Every PE registers its partial sum and passes its input on, a hop a cycle.
    Below each column an accumulator memory adds what leaves it.
    """

    def __init__(self, rows, columns, column, accumulator):
        self.rows, self.columns = rows, columns
        self.column, self.accumulator = column, accumulator  # (bits, overflow) each

    def multiply(self, x, w):
        """Every tile of weights in turn: K in passes of ``rows``, outputs ``columns`` at a time."""
        m, n, k = len(x), len(w), len(x[0])
        memory = [[0] * n for _ in range(m)]
        for first_output in range(0, n, self.columns):
            for first_k in range(0, k, self.rows):
                weights = [
                    [
                        w[first_output + c][first_k + r]
                        if first_output + c < n and first_k + r < k
                        else 0
                        for c in range(self.columns)
                    ]
                    for r in range(self.rows)
                ]
                inputs = [row[first_k : first_k + self.rows] for row in x]
                for i, c, total in self.stream(inputs, weights):
                    if first_output + c < n:
                        at = memory[i][first_output + c]
                        stored = oracle.store(at + total, *self.accumulator)
                        memory[i][first_output + c] = stored
        return memory

    def stream(self, inputs, weights):
        """Yield (row of x, column, sum) as sums leave the bottom, cycle by cycle."""
        x_held = [[0] * self.columns for _ in range(self.rows)]
        sums = [[0] * self.columns for _ in range(self.rows)]
        for cycle in range(len(inputs) + self.rows + self.columns):
            x_next = [[0] * self.columns for _ in range(self.rows)]
            sums_next = [[0] * self.columns for _ in range(self.rows)]
            for r in range(self.rows):
                for c in range(self.columns):
                    if c == 0:
                        i = cycle - r  # the skew at the left edge
                        fed = 0 <= i < len(inputs) and r < len(inputs[i])
                        x = inputs[i][r] if fed else 0
                    else:
                        x = x_held[r][c - 1]
                    above = sums[r - 1][c] if r else 0
                    x_next[r][c] = x
                    sums_next[r][c] = oracle.store(above + x * weights[r][c], *self.column)
            x_held, sums = x_next, sums_next
            for c in range(self.columns):
                i = cycle - (self.rows - 1) - c
                if 0 <= i < len(inputs):
                    yield i, c, sums[-1][c]


def adder_tree_machine(terms, leaves, widths, overflow, acc_bits, acc_overflow):
    """Two-input adders, level by level; ``leaves`` products a cycle, missing ones 0."""
    accumulator = 0
    for start in range(0, len(terms), leaves):
        level = terms[start : start + leaves]
        level += [0] * (leaves - len(level))
        for bits in widths:
            pairs = zip(level[::2], level[1::2], strict=True)
            level = [oracle.store(a + b, bits, overflow) for a, b in pairs]
        (root,) = level
        accumulator = oracle.store(accumulator + root, acc_bits, acc_overflow)
    return accumulator


def vpmaddubsw(a, b):
    """Intel's pseudocode: u8 times s8, neighbors added, saturated to 16 bits signed."""
    return [max(-32768, min(32767, a[i] * b[i] + a[i + 1] * b[i + 1])) for i in range(0, len(a), 2)]


def vpaddd(a, b):
    """32-bit addition that wraps."""
    return (a + b + (1 << 31)) % (1 << 32) - (1 << 31)


class TestWorkedExamples:
    def test_stages(self):
        """The table of docs/datapath.md."""
        assert output_stationary(acc_bits=20, overflow=SATURATE) == (
            StageSpec(bits=20, overflow=SATURATE),
        )
        assert weight_stationary(
            rows=16, column_bits=18, acc_bits=24, column_overflow=SATURATE
        ) == (
            StageSpec(fan_in=16, bits=18, overflow=SATURATE),
            StageSpec(fan_in=FanIn.ALL, bits=24, overflow=WRAP),
        )
        assert weight_stationary(rows=1, column_bits=9, acc_bits=8, acc_overflow=SATURATE) == (
            StageSpec(fan_in=1, bits=9),
            StageSpec(bits=8, overflow=SATURATE),
        )
        assert adder_tree(leaves=8, bits=16, acc_bits=32, overflow=SATURATE) == (
            StageSpec(fan_in=2, bits=16, overflow=SATURATE),
            StageSpec(fan_in=2, bits=17, overflow=SATURATE),
            StageSpec(fan_in=2, bits=18, overflow=SATURATE),
            StageSpec(bits=32),
        )
        assert adder_tree(leaves=4, bits=16, acc_bits=20, growth=0, acc_overflow=SATURATE) == (
            StageSpec(fan_in=2, bits=16),
            StageSpec(fan_in=2, bits=16),
            StageSpec(bits=20, overflow=SATURATE),
        )
        assert packed_lanes(lanes=2, lane_bits=16, acc_bits=32) == (
            StageSpec(fan_in=2, bits=16, overflow=SATURATE),
            StageSpec(bits=32, overflow=WRAP),
        )
        assert packed_lanes(
            lanes=3, lane_bits=9, acc_bits=10, lane_overflow=WRAP, acc_overflow=SATURATE
        ) == (StageSpec(fan_in=3, bits=9), StageSpec(bits=10, overflow=SATURATE))

    def test_vpmaddubsw_saturates(self):
        """2 * 255 * 127 = 64770 passes 32767; a pair later it is added in 32 bits."""
        x, w = [[255, 255, 1, 1]], [[127, 127, -1, -1]]
        stages = packed_lanes(lanes=2, lane_bits=16, acc_bits=32)
        assert simulated(stages, x, w, UINT8) == [[32767 - 2]]

    @pytest.mark.parametrize(
        ("k", "lanes", "expected"),
        [
            (6, 2, (0, 2, 4, 1, 3, 5)),
            (6, 3, (0, 3, 1, 4, 2, 5)),
            (7, 3, (0, 3, 6, 1, 4, 2, 5)),
            (5, 1, (0, 1, 2, 3, 4)),
            (3, 3, (0, 1, 2)),
            (2, 5, (0, 1)),
            (1, 1, (0,)),
        ],
    )
    def test_interleaved_order(self, k, lanes, expected):
        assert interleaved_order(k, lanes) == expected


class TestAgainstMachines:
    """The stages give the registers of the machine they stand for, bit for bit."""

    @given(matrices(), st.integers(12, 18), overflows)
    def test_output_stationary(self, operands, bits, overflow):
        x, w = operands
        machine = output_stationary_machine(x, w, bits, overflow)
        assert simulated(output_stationary(acc_bits=bits, overflow=overflow), x, w) == machine

    @given(
        matrices(), st.integers(1, 5), st.integers(1, 6),
        st.tuples(st.integers(12, 18), overflows), st.tuples(st.integers(12, 18), overflows),
    )  # fmt: skip
    def test_weight_stationary(self, operands, rows, columns, column, accumulator):
        """Any number of columns, narrower or wider than the outputs: none changes a bit."""
        x, w = operands
        stages = weight_stationary(
            rows=rows, column_bits=column[0], column_overflow=column[1],
            acc_bits=accumulator[0], acc_overflow=accumulator[1],
        )  # fmt: skip
        expected = simulated(stages, x, w)
        for n_columns in {1, columns, len(w)}:
            machine = WeightStationaryMachine(rows, n_columns, column, accumulator)
            assert machine.multiply(x, w) == expected

    @given(
        matrices(), st.sampled_from([2, 4, 8]), st.integers(0, 2), overflows,
        st.tuples(st.integers(12, 20), overflows),
    )  # fmt: skip
    def test_adder_tree(self, operands, leaves, growth, overflow, accumulator):
        """Products fit the first level (16 bits), so that an adder stores once, not twice."""
        x, w = operands
        acc_bits, acc_overflow = accumulator
        stages = adder_tree(
            leaves=leaves, bits=16, growth=growth, overflow=overflow,
            acc_bits=acc_bits, acc_overflow=acc_overflow,
        )  # fmt: skip
        widths = [16 + level * growth for level in range(leaves.bit_length() - 1)]
        expected = [
            [adder_tree_machine(terms, leaves, widths, overflow, acc_bits, acc_overflow)
             for terms in row]
            for row in products(x, w)
        ]  # fmt: skip
        assert simulated(stages, x, w) == expected

    @given(matrices(x_format=UINT8))
    def test_packed_lanes_are_vpmaddubsw(self, operands):
        x, w = operands
        stages = packed_lanes(lanes=2, lane_bits=16, acc_bits=32)
        expected = []
        for row in x:
            expected.append([])
            for column in w:
                odd = [0] * (len(row) % 2)
                accumulator = 0
                for pair in vpmaddubsw(row + odd, column + odd):
                    accumulator = vpaddd(accumulator, pair)
                expected[-1].append(accumulator)
        assert simulated(stages, x, w, UINT8) == expected

    @given(matrices(max_k=4), st.integers(1, 3), st.integers(14, 18), overflows)
    def test_interleaved_lanes(self, operands, lanes, bits, overflow):
        """Where lanes divide K: each lane's register sums every lanes-th product."""
        x, w = ([row * lanes for row in matrix] for matrix in operands)
        k = len(x[0])
        stages = packed_lanes(
            lanes=k // lanes, lane_bits=bits, lane_overflow=overflow, acc_bits=20,
            acc_overflow=overflow,
        )  # fmt: skip
        expected = []
        for row in products(x, w):
            expected.append([])
            for terms in row:
                registers = [0] * lanes
                for t, term in enumerate(terms):
                    at = registers[t % lanes]
                    registers[t % lanes] = oracle.store(at + term, bits, overflow)
                accumulator = 0
                for register in registers:
                    accumulator = oracle.store(accumulator + register, 20, overflow)
                expected[-1].append(accumulator)
        assert simulated(stages, x, w, order=interleaved_order(k, lanes)) == expected


class TestLaws:
    @given(st.integers(1, 40), st.integers(1, 12))
    def test_interleaved_order_is_a_permutation(self, k, lanes):
        """Each index once; within a lane, steps of ``lanes``; lanes in order."""
        order = interleaved_order(k, lanes)
        assert sorted(order) == list(range(k))
        assert list(order) == sorted(order, key=lambda index: (index % lanes, index))

    @given(matrices(), st.integers(0, 3))
    def test_a_growing_tree_never_overflows(self, operands, spare):
        """17 bits hold two products, each level adds a bit, and the accumulator is wide: exact."""
        x, w = operands
        stages = adder_tree(leaves=4, bits=17 + spare, acc_bits=30, growth=1, overflow=SATURATE)
        assert simulated(stages, x, w) == [[sum(terms) for terms in row] for row in products(x, w)]


class TestRefusals:
    @pytest.mark.parametrize("leaves", [0, 1, 3, 6, -2])
    def test_leaves(self, leaves):
        message = f"leaves must be a power of two, 2 or more, got {leaves}"
        with pytest.raises(SpecError, match=message):
            adder_tree(leaves=leaves, bits=8, acc_bits=16)

    def test_growth(self):
        with pytest.raises(SpecError, match="growth must be 0 or more, got -1"):
            adder_tree(leaves=2, bits=8, acc_bits=16, growth=-1)

    def test_a_tree_too_wide(self):
        adder_tree(leaves=4, bits=62, acc_bits=63)
        with pytest.raises(SpecError, match=r"register bits must be in 2\.\.63, got 64"):
            adder_tree(leaves=4, bits=63, acc_bits=63)

    @pytest.mark.parametrize(
        "build",
        [
            lambda: weight_stationary(rows=0, column_bits=8, acc_bits=8),
            lambda: packed_lanes(lanes=0, lane_bits=8, acc_bits=8),
        ],
    )
    def test_no_operands(self, build):
        with pytest.raises(SpecError, match="fan_in must be 1 or more, or 'all', got 0"):
            build()

    @pytest.mark.parametrize(("k", "lanes"), [(0, 1), (1, 0), (-1, 2)])
    def test_interleaved_order(self, k, lanes):
        message = f"k and lanes must be 1 or more, got {k} and {lanes}"
        with pytest.raises(SpecError, match=message):
            interleaved_order(k, lanes)
