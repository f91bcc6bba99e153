"""Tests for lsqsim_kernels.needed_bits: widths at every edge, sums and registers by the oracle."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

import oracle
from exact_sums import exact_sums, width
from lsqsim.formats import Overflow
from lsqsim.kernel_codes import stage_table
from lsqsim.observed.sweep import ring
from lsqsim.specs import AccumulatorSpec, BiasPlacement, FanIn, StageSpec
from lsqsim_kernels import needed_bits
from strategies import accumulator_specs, overflows

WRAP, SATURATE, ALL = Overflow.WRAP, Overflow.SATURATE, FanIn.ALL
EDGES = sorted(
    {sign * (1 << b) + d for b in range(63) for sign in (-1, 1) for d in (-1, 0, 1)}
    | {(1 << 63) - 1, -(1 << 63)}
)


def array(values):
    return np.array(values, np.int64)


def fan_ins(stages):
    return np.ascontiguousarray(stage_table(stages)[:, 0])


def measure(x, w, addend, spec):
    preload = spec.bias is BiasPlacement.PRELOAD
    return needed_bits.measure(array(x), array(w), array(addend), preload, fan_ins(spec.stages))


@st.composite
def operands(draw):
    """x (m, k), w (n, k), addend (1, n) or (m, n), small enough to overflow small registers."""
    m, n, k = draw(st.integers(0, 3)), draw(st.integers(1, 3)), draw(st.integers(0, 9))
    rows = draw(st.sampled_from([1, m])) if m else 1
    code = st.integers(-9, 9)

    def matrix(height, length):
        row = st.lists(code, min_size=length, max_size=length)
        drawn = draw(st.lists(row, min_size=height, max_size=height))
        return array(drawn).reshape(height, length)

    return matrix(m, k), matrix(n, k), matrix(rows, n)


def outputs(x, w, addend):
    """(row, channel, input codes, weight codes, addend) of every output, in Python ints."""
    for m, row in enumerate(x.tolist()):
        for n, column in enumerate(w.tolist()):
            yield m, n, row, column, int(addend[m % len(addend), n])


class TestSignedBits:
    @pytest.mark.parametrize(
        ("low", "high", "bits"),
        [(0, 0, 1), (-1, 0, 1), (0, 1, 2), (-2, 1, 2), (-3, 1, 3), (-2, 2, 3), (-128, 127, 8),
         (-129, 0, 9), (0, 128, 9), (5, 4, 0), (needed_bits.NO_LOW, needed_bits.NO_HIGH, 0)],
    )  # fmt: skip
    def test_ranges(self, low, high, bits):
        assert needed_bits.signed_bits(low, high) == bits

    def test_every_edge(self):
        """On both sides of every power of two, of both signs, to the ends of int64."""
        expected = [width([value]) for value in EDGES]
        assert needed_bits.signed_bits_array(array(EDGES)).tolist() == expected


class TestWorkedExamples:
    def test_one_chain(self):
        """5, 5 + 4, 9 - 8: nine needs five bits, the total two."""
        spec = AccumulatorSpec(stages=(StageSpec(bits=4),))
        totals, peaks, low, high = measure([[5, 4, -8]], [[1, 1, 1]], [[0]], spec)
        assert (totals.tolist(), peaks.tolist()) == ([[1]], [[[5]]])
        assert (low.tolist(), high.tolist()) == ([[0]], [[9]])  # the preload of 0 is a sum

    def test_bias_added_last(self):
        spec = AccumulatorSpec(stages=(StageSpec(bits=4),), bias=BiasPlacement.POST_ADD)
        totals, peaks, low, high = measure([[5, 4]], [[1, 1]], [[-20]], spec)
        assert (totals.tolist(), peaks.tolist()) == ([[-11]], [[[5]]])
        assert (low.tolist(), high.tolist()) == ([[-11]], [[9]])

    def test_tiles(self):
        """Tiles (7 + 7), (-7 - 7), (1): sums 7, 14, -7, -14, 1; then 100, 114, 100, 101."""
        spec = AccumulatorSpec(stages=(StageSpec(bits=4, fan_in=2), StageSpec(bits=8)))
        totals, peaks, low, high = measure([[7, 7, -7, -7, 1]], [[1] * 5], [[100]], spec)
        assert (totals.tolist(), peaks.tolist()) == ([[101]], [[[5, 8]]])
        assert (low.tolist(), high.tolist()) == ([[-14, 100]], [[14, 114]])

    def test_no_products(self):
        """Only the addend enters, into the last stage."""
        spec = AccumulatorSpec(stages=(StageSpec(bits=4, fan_in=2), StageSpec(bits=8)))
        none = np.zeros((1, 0), np.int64)
        totals, peaks, low, high = measure(none, none, [[9]], spec)
        assert (totals.tolist(), peaks.tolist()) == ([[9]], [[[0, 5]]])
        assert low.tolist() == [[needed_bits.NO_LOW, 9]]
        assert high.tolist() == [[needed_bits.NO_HIGH, 9]]

    def test_the_widest_sums(self):
        """2**62 - 1 and -2**62 fit 63 bits, and no fewer."""
        spec = AccumulatorSpec(stages=(StageSpec(bits=63),), bias=BiasPlacement.POST_ADD)
        top = (1 << 62) - 1
        totals, peaks, low, high = measure([[top, -top]], [[1, 1]], [[-(1 << 62)]], spec)
        assert (totals.tolist(), peaks.tolist()) == ([[-(1 << 62)]], [[[63]]])
        assert (low.tolist(), high.tolist()) == ([[-(1 << 62)]], [[top]])


class TestAgainstOracle:
    @given(operands(), st.data())
    def test_sums(self, given_, data):
        x, w, addend = given_
        spec = data.draw(accumulator_specs(k=x.shape[1]).map(in_natural_order))
        totals, peaks, low, high = measure(x, w, addend, spec)
        formed = [[[] for _ in spec.stages] for _ in w]
        for m, n, row, column, extra in outputs(x, w, addend):
            sums = exact_sums(row, column, extra, spec)
            assert totals[m, n] == sums[-1][-1]
            assert peaks[m, n].tolist() == [width(level) for level in sums]
            for into, level in zip(formed[n], sums, strict=True):
                into.extend(level)
        for n, levels in enumerate(formed):
            assert low[n].tolist() == [min(sums, default=needed_bits.NO_LOW) for sums in levels]
            assert high[n].tolist() == [max(sums, default=needed_bits.NO_HIGH) for sums in levels]

    @given(operands(), st.data())
    def test_registers(self, given_, data):
        """Of several designs of the same fan-ins; wherever a ring allows, without reducing."""
        x, w, addend = given_
        spec = data.draw(accumulator_specs(k=x.shape[1]).map(in_natural_order))
        widths = st.builds(StageSpec, bits=st.integers(2, 9), overflow=overflows)
        designs = [
            [StageSpec(bits=s.bits, overflow=s.overflow, fan_in=like.fan_in)
             for s, like in zip(data.draw(st.tuples(*[widths] * len(spec.stages))), spec.stages,
                                strict=True)]
            for _ in range(data.draw(st.integers(1, 4)))
        ]  # fmt: skip
        totals, peaks, _, _ = measure(x, w, addend, spec)
        tables = array([stage_table(tuple(design)) for design in designs])
        preload = spec.bias is BiasPlacement.PRELOAD
        never = array([len(spec.stages)] * len(designs))
        rings = array([ring(tuple(design)) for design in designs])
        for allowed in (rings, never):
            registers = needed_bits.registers(x, w, addend, preload, totals, peaks, tables, allowed)
            for design, found in zip(designs, registers, strict=True):
                on_design = AccumulatorSpec(stages=tuple(design), bias=spec.bias)
                for m, n, row, column, extra in outputs(x, w, addend):
                    expected = oracle.reduce(row, column, extra, on_design)
                    assert found[m, n] == expected.register

    @pytest.mark.parametrize("rule", Overflow)
    @pytest.mark.parametrize("placement", BiasPlacement)
    @pytest.mark.parametrize("inner", [[], [StageSpec(bits=62, fan_in=2)]])
    @pytest.mark.parametrize("sign", [-1, 1])
    def test_registers_at_the_widest_sums(self, rule, placement, inner, sign):
        """Sums to the ends of 63 bits, in registers of 62."""
        stages = [replace(s, overflow=rule) for s in [*inner, StageSpec(bits=62)]]
        spec = AccumulatorSpec(stages=tuple(stages), bias=placement)
        half = (1 << 61) - 3
        x = [sign * value for value in (half, half, -half, -half, 5)]
        operands = array([x]), array([[1] * 5]), array([[sign]])
        totals, peaks, _, _ = measure(*operands, spec)
        assert peaks.max() == 63
        tables, rings = array([stage_table(spec.stages)]), array([len(stages)])
        preload = placement is BiasPlacement.PRELOAD
        found = needed_bits.registers(*operands, preload, totals, peaks, tables, rings)
        assert found.item() == oracle.reduce(x, [1] * 5, sign, spec).register


def in_natural_order(spec):
    """Kernels take operands in order of entry."""
    return AccumulatorSpec(stages=spec.stages, bias=spec.bias)


class TestWhatIsReducedAgain:
    """Registers under a peak that lies tell whether an output was reduced or not."""

    def register(self, stages, peaks, ring_level, total=1000):
        spec = AccumulatorSpec(stages=stages)
        x = array([[1] * 4])
        return int(
            needed_bits.registers(
                x, x, array([[0]]), True, array([[total]]), np.array([[peaks]], np.uint8),
                array([stage_table(spec.stages)]), array([ring_level]),
            )[0, 0, 0]
        )  # fmt: skip

    def test_not_where_every_sum_fits(self):
        stages = (StageSpec(bits=4, fan_in=2, overflow=SATURATE), StageSpec(bits=4))
        assert self.register(stages, [4, 4], 1) == 1000

    def test_again_where_an_inner_sum_does_not(self):
        stages = (StageSpec(bits=4, fan_in=2, overflow=SATURATE), StageSpec(bits=4))
        assert self.register(stages, [5, 4], 1) == 4

    def test_not_in_a_ring(self):
        """1000 modulo 16, as signed: -8."""
        stages = (StageSpec(bits=4, fan_in=2, overflow=SATURATE), StageSpec(bits=4))
        assert self.register(stages, [4, 5], 1) == -8

    def test_again_out_of_a_ring(self):
        stages = (StageSpec(bits=4, fan_in=2), StageSpec(bits=4, overflow=SATURATE))
        assert self.register(stages, [4, 5], 2) == 4


@pytest.mark.parametrize(
    ("stages", "level"),
    [
        ([(8, WRAP)], 0),
        ([(8, SATURATE)], 1),
        ([(8, WRAP), (8, WRAP)], 0),
        ([(9, WRAP), (8, WRAP)], 0),
        ([(7, WRAP), (8, WRAP)], 1),
        ([(8, SATURATE), (8, WRAP)], 1),
        ([(8, WRAP), (8, SATURATE)], 2),
        ([(9, WRAP), (7, WRAP), (8, WRAP)], 2),
        ([(7, WRAP), (9, WRAP), (8, WRAP)], 1),
        ([(9, WRAP), (8, SATURATE), (8, WRAP)], 2),
    ],
)
def test_ring(stages, level):
    spec = tuple(
        StageSpec(bits=bits, overflow=rule, fan_in=2 if i < len(stages) - 1 else ALL)
        for i, (bits, rule) in enumerate(stages)
    )
    assert ring(spec) == level
