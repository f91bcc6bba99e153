"""Tests for lsqsim.matmul_array: worked examples, the oracle, laws, refusals, golden vectors."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import oracle
from lsqsim import matmul_array
from lsqsim.errors import DataError, SpecError, WidthError
from lsqsim.formats import IntFormat, Overflow
from lsqsim.matmul_array import MatmulArray
from lsqsim.overflow import NO_K, NO_STAGE, OverflowCounts, OverflowKind
from lsqsim.specs import (
    AccumulatorSpec,
    BiasPlacement,
    FanIn,
    KOrder,
    StageSpec,
    ZeroPointHandling,
)
from strategies import accumulator_specs, overflows

INT2, INT4, INT8 = IntFormat(2), IntFormat(4), IntFormat(8)
ALL, WRAP, SATURATE = FanIn.ALL, Overflow.WRAP, Overflow.SATURATE
GOLDEN = json.loads((Path(__file__).parent / "golden" / "matmul_array.json").read_text())


def stage(fan_in, bits, overflow=WRAP):
    return StageSpec(fan_in=fan_in, bits=bits, overflow=overflow)


def run(spec, x, w, bias=None, formats=(INT8, INT8), zero_points=(0, 0)) -> Any:
    array = MatmulArray(spec, input_format=formats[0], weight_format=formats[1])
    z_x, z_w = zero_points
    return array.accumulate(
        x, w, bias, input_zero_point=z_x, weight_zero_point=z_w, observe=True, trace=True
    )


def summary(y):
    """Of one output: (register, total, kind, first stage, first k)."""
    kind = OverflowKind(int(y.overflow.kind[0, 0])).name.lower()
    first = int(y.overflow.first_stage[0, 0]), int(y.overflow.first_k[0, 0])
    return int(y.registers[0, 0]), int(y.overflow.total[0, 0]), kind, *first


def one(x, w, *stages, order=KOrder.NATURAL):
    return summary(run(AccumulatorSpec(stages=stages, order=order), [x], [w]))


def check(spec, x, w, bias, formats, zero_points):
    """Every register, total, overflow and stage result equals the oracle's."""
    y = run(spec, x, w, bias, formats, zero_points)
    z_x, z_w = zero_points
    channel_z_w = np.broadcast_to(z_w, len(w)).tolist()
    biases = [0] * len(w) if bias is None else np.asarray(bias).tolist()
    rows, channels = np.asarray(x).tolist(), np.asarray(w).tolist()
    expected = [
        oracle.reduce(row, channel, b, spec, z_x, z)
        for row in rows
        for channel, b, z in zip(channels, biases, channel_z_w, strict=True)
    ]
    assert y.registers.reshape(-1).tolist() == [e.register for e in expected]
    seen = y.overflow
    assert seen.total.reshape(-1).tolist() == [e.total for e in expected]
    kinds = [OverflowKind(k).name.lower() for k in seen.kind.reshape(-1).tolist()]
    assert kinds == [e.kind for e in expected]
    none = [(NO_STAGE, NO_K) if e.kind == "none" else (e.first_stage, e.first_k) for e in expected]
    first = zip(
        seen.first_stage.reshape(-1).tolist(), seen.first_k.reshape(-1).tolist(), strict=True
    )
    assert list(first) == none
    for index, results in enumerate(y.stages):
        flat = results.reshape(len(expected), -1) if expected else results.reshape(0, 1)
        assert flat.tolist() == [e.stage_results[index] for e in expected]
    plain = MatmulArray(spec, input_format=formats[0], weight_format=formats[1]).accumulate(
        x, w, bias, input_zero_point=z_x, weight_zero_point=z_w
    )
    assert (plain.registers == y.registers).all()
    assert plain.overflow is None
    assert plain.stages is None


class TestWorkedExamples:
    """Outputs to follow by hand; a 4-bit register holds -8 .. 7."""

    def test_wrap_forgives_what_saturation_does_not(self):
        # 7 + 5 - 6 passes 12 and ends at 6
        x, w = [7, 5, -6], [1, 1, 1]
        assert one(x, w, stage(ALL, 4)) == (6, 6, "transient", 0, 1)
        assert one(x, w, stage(ALL, 4, SATURATE)) == (1, 6, "transient", 0, 1)

    @pytest.mark.parametrize(
        ("total", "wrapped", "saturated"),
        [(7, 7, 7), (8, -8, 7), (-8, -8, -8), (-9, 7, -8), (16, 0, 7)],
    )
    def test_ends(self, total, wrapped, saturated):
        kind = "none" if wrapped == total else "persistent"
        first = (-1, -2) if kind == "none" else (0, 0)
        assert one([total], [1], stage(ALL, 4)) == (wrapped, total, kind, *first)
        assert one([total], [1], stage(ALL, 4, SATURATE)) == (saturated, total, kind, *first)

    def test_every_addition_stores(self):
        # saturating after every addition: 7, 7, -1; one store at the end would give 7
        assert one([7, 7, -8], [1, 1, 1], stage(ALL, 4, SATURATE))[0] == -1

    def test_groups(self):
        y = run(
            AccumulatorSpec(stages=(stage(2, 8), stage(2, 8), stage(ALL, 8))),
            [[1, 2, 3, 4, 5]], [[1] * 5], [10],
        )  # fmt: skip
        assert [results.tolist() for results in y.stages] == [[[[3, 7, 5]]], [[[10, 5]]], [[[25]]]]

    def test_inner_stage_first_at_one_instant(self):
        y = one([20, 20, 0], [1] * 3, stage(2, 6, SATURATE), stage(ALL, 5, SATURATE))
        assert y == (15, 40, "persistent", 0, 1)

    def test_earlier_outer_first_over_time(self):
        y = one([5, 5, 30, 30], [1] * 4, stage(2, 6), stage(ALL, 4))
        assert y[3:] == (1, 1)

    def test_short_groups_are_completed_after_the_last_product(self):
        assert one([3] * 3, [1] * 3, stage(2, 8), stage(2, 8), stage(ALL, 4)) == (
            -7, 9, "persistent", 2, 2,
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("order", "first_k"), [(KOrder.NATURAL, 2), (KOrder.REVERSED, 0), ((1, 2, 0), 0)]
    )
    def test_k_index_is_natural(self, order, first_k):
        assert one([3] * 3, [1] * 3, stage(ALL, 4), order=order)[4] == first_k

    @pytest.mark.parametrize(
        ("placement", "expected"),
        [
            (BiasPlacement.PRELOAD, (4, 6, "transient", 0, -1)),
            (BiasPlacement.POST_ADD, (6, 6, "none", -1, -2)),
        ],
    )
    def test_bias_placement(self, placement, expected):
        """9 does not fit: preloaded it saturates at once, added last it need not."""
        spec = AccumulatorSpec(stages=(stage(ALL, 4, SATURATE),), bias=placement)
        assert summary(run(spec, [[-1, 2]], [[1, -1]], [9])) == expected

    def test_post_added_bias_overflows_at_k(self):
        spec = AccumulatorSpec(stages=(stage(ALL, 4),), bias=BiasPlacement.POST_ADD)
        y = run(spec, [[3, 3]], [[1, 1]], [2])
        assert summary(y) == (-8, 8, "persistent", 0, 2)
        assert y.stages[0].tolist() == [[[6]]]  # the register before the bias

    @pytest.mark.parametrize("placement", BiasPlacement)
    @pytest.mark.parametrize("inner", [(), (stage(2, 8),)])
    def test_no_products(self, placement, inner):
        spec = AccumulatorSpec(stages=(*inner, stage(ALL, 4)), bias=placement)
        y = run(spec, np.empty((2, 0), int), np.empty((3, 0), int), [7, 8, -9])
        assert y.registers.tolist() == [[7, -8, 7]] * 2
        assert y.overflow.kind.tolist() == [[0, 2, 2]] * 2
        first_k = -1 if placement is BiasPlacement.PRELOAD else 0
        assert y.overflow.first_k.tolist() == [[NO_K, first_k, first_k]] * 2
        assert y.overflow.first_stage.tolist() == [[NO_STAGE, len(inner), len(inner)]] * 2
        assert y.stages[0].shape == ((2, 3, 0) if inner else (2, 3, 1))

    def test_gemmini_differs_from_one_chain(self):
        x, w = np.full((1, 32), 127), np.full((1, 32), 127)
        x[0, 16:] = -127
        gemmini = AccumulatorSpec(stages=(stage(16, 18), stage(ALL, 32)))
        # 16 * 127**2 = 258064 does not fit 18 bits [-131072, 131071]: wraps to -4080
        assert run(gemmini, x, w).stages[0].tolist() == [[[-4080, 4080]]]
        assert run(gemmini, x, w).registers.tolist() == [[0]]

    @pytest.mark.parametrize("handling", ZeroPointHandling)
    def test_zero_points(self, handling):
        spec = AccumulatorSpec(stages=(stage(ALL, 32),), zero_points=handling)
        y = run(spec, [[3, 5]], [[2, -1], [0, 4]], [1, 2], zero_points=(3, [-1, 4]))
        assert y.registers.tolist() == [[2 * 0 + 1, 2 * 0 + 2]]
        y = run(spec, [[4, 7]], [[2, -1], [0, 4]], zero_points=(3, [-2, 4]))
        assert y.registers.tolist() == [[1 * 4 + 4 * 1, 1 * -4 + 4 * 0]]

    def test_handling_of_zero_points_shows_in_narrow_registers(self):
        """Centered products are small; raw ones pass the register before the correction."""
        x, w = [[7, 7, 7]], [[1, 1, 1]]
        kinds = []
        for handling in ZeroPointHandling:
            spec = AccumulatorSpec(
                stages=(stage(ALL, 5, SATURATE),), zero_points=handling, bias=BiasPlacement.POST_ADD
            )
            y = run(spec, x, w, zero_points=(6, 0))
            kinds.append((int(y.registers[0, 0]), int(y.overflow.kind[0, 0])))
        assert kinds == [(-3, OverflowKind.TRANSIENT), (3, OverflowKind.NONE)]


def exhaustive_specs():
    """Stages, bias and order that differ in a few bits; registers of 2 .. 5 bits."""
    stages = [
        (stage(ALL, 3, WRAP),),
        (stage(ALL, 3, SATURATE),),
        (stage(ALL, 4, SATURATE),),
        (stage(2, 3, SATURATE), stage(ALL, 4, WRAP)),
        (stage(2, 3, WRAP), stage(ALL, 3, SATURATE)),
        (stage(1, 2, SATURATE), stage(2, 3, SATURATE), stage(ALL, 5, WRAP)),
        (stage(ALL, 3, SATURATE), stage(ALL, 2, SATURATE)),
    ]
    orders = [KOrder.NATURAL, (1, 2, 0)]
    for number, (chain, placement) in enumerate(product(stages, BiasPlacement)):
        yield AccumulatorSpec(stages=chain, bias=placement, order=orders[number % 2])


class TestAgainstOracle:
    """Registers, totals, kinds, first overflows and stage results, bit for bit."""

    @pytest.mark.parametrize("spec", [*exhaustive_specs()], ids=range(14))
    def test_every_operand(self, spec):
        """All 4096 pairs of three 2-bit inputs and three 2-bit weights."""
        codes = list(product(range(-2, 2), repeat=3))
        bias = [n % 7 - 3 for n in range(len(codes))]
        check(spec, codes, codes, bias, (INT2, INT2), (0, 0))

    @pytest.mark.parametrize("handling", ZeroPointHandling)
    @pytest.mark.parametrize("zero_points", [(-2, 1), (1, -2), (-1, 0), (0, -1)])
    def test_every_operand_with_zero_points(self, handling, zero_points):
        codes = list(product(range(-2, 2), repeat=2))
        for placement in BiasPlacement:
            spec = AccumulatorSpec(
                stages=(stage(1, 3, SATURATE), stage(ALL, 4, SATURATE)),
                zero_points=handling, bias=placement,
            )  # fmt: skip
            check(spec, codes, codes, None, (INT2, INT2), zero_points)

    @settings(max_examples=300)
    @given(st.data(), st.booleans())
    def test_any_spec(self, data, wide):
        """Registers about as wide as the sums, so that overflows are common; or any width."""
        k = data.draw(st.integers(0, 11))
        formats = [data.draw(small_formats) for _ in range(2)]
        product_bits = formats[0].bits + formats[1].bits
        widths = (2, 63) if wide else (max(2, product_bits - 3), product_bits + 3)
        spec = data.draw(accumulator_specs(k=k, min_bits=widths[0], max_bits=widths[1]))
        m, n = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3))
        x = np.array(data.draw(matrices(formats[0], m, k)), np.int64).reshape(m, k)
        w = np.array(data.draw(matrices(formats[1], n, k)), np.int64).reshape(n, k)
        reach = 1 << product_bits + 1
        biases = st.integers(-reach, reach)
        bias = data.draw(st.none() | st.lists(biases, min_size=n, max_size=n))
        if bias is not None:
            bias = np.array(bias, np.int64)
        z_x = data.draw(st.just(0) | codes_of(formats[0]))
        z_w = data.draw(st.just(0) | st.lists(codes_of(formats[1]), min_size=n, max_size=n))
        z_w = np.array(z_w, np.int64) if isinstance(z_w, list) and n else 0
        check(spec, x, w, bias, formats, (z_x, z_w))

    @given(st.data(), overflows)
    def test_the_widest_registers(self, data, overflow):
        """Products and registers at the end of 63 bits, where int64 must not wrap by itself."""
        formats = (IntFormat(32), IntFormat(30))
        edges = st.sampled_from([formats[0].min, formats[0].max, -1, 0, 1])
        k = data.draw(st.integers(1, 2))
        x = data.draw(st.lists(st.lists(edges, min_size=k, max_size=k), min_size=1, max_size=3))
        edges = st.sampled_from([formats[1].min, formats[1].max, -1, 0, 1])
        w = data.draw(st.lists(st.lists(edges, min_size=k, max_size=k), min_size=1, max_size=3))
        bits = data.draw(st.sampled_from([61, 62, 63]))
        spec = AccumulatorSpec(
            stages=(stage(1, 61, overflow), stage(ALL, bits, overflow)),
            bias=data.draw(st.sampled_from(BiasPlacement)),
        )
        check(spec, x, w, [1 - (1 << 60)] * len(w), formats, (0, 0))


small_formats = st.builds(IntFormat, bits=st.integers(2, 9), signed=st.booleans())


def codes_of(fmt):
    return st.integers(fmt.min, fmt.max) | st.sampled_from([fmt.min, fmt.max])


def matrices(fmt, rows, columns):
    row = st.lists(codes_of(fmt), min_size=columns, max_size=columns)
    return st.lists(row, min_size=rows, max_size=rows)


def random_operands(seed, m=5, n=4, k=23):
    rng = np.random.default_rng(seed)
    return rng.integers(-128, 128, (m, k)), rng.integers(-128, 128, (n, k))


class TestLaws:
    @given(st.integers(0, 999), st.integers(2, 40), st.sampled_from(BiasPlacement))
    def test_wrapping_forgets_order_and_tiling(self, seed, bits, placement):
        x, w = random_operands(seed)
        bias = np.arange(4) * 1000
        chain = AccumulatorSpec(stages=(stage(ALL, bits),), bias=placement)
        tree = AccumulatorSpec(
            stages=(stage(2, bits), stage(3, bits), stage(ALL, bits)), order=KOrder.REVERSED
        )
        y = run(chain, x, w, bias)
        assert (y.registers == run(tree, x, w, bias).registers).all()
        wrapped = [oracle.store(t, bits, WRAP) for t in (x @ w.T + bias).reshape(-1).tolist()]
        assert y.registers.reshape(-1).tolist() == wrapped

    @given(st.integers(0, 999))
    def test_wide_enough_is_exact(self, seed):
        x, w = random_operands(seed)
        for overflow in Overflow:
            spec = AccumulatorSpec(stages=(stage(4, 18, overflow), stage(ALL, 20, overflow)))
            y = run(spec, x, w)
            assert (y.registers == x @ w.T).all()
            assert (y.overflow.kind == OverflowKind.NONE).all()

    @given(st.integers(0, 999), st.sampled_from(Overflow))
    def test_no_overflow_means_the_register_holds_the_total(self, seed, overflow):
        x, w = random_operands(seed)
        y = run(AccumulatorSpec(stages=(stage(3, 15, overflow), stage(ALL, 17, overflow))), x, w)
        none = y.overflow.kind == OverflowKind.NONE
        assert (y.registers[none] == y.overflow.total[none]).all()
        assert (none == (y.overflow.first_stage == NO_STAGE)).all()
        assert (none == (y.overflow.first_k == NO_K)).all()

    @given(st.integers(0, 999), st.sampled_from(Overflow))
    def test_reversed_is_its_permutation(self, seed, overflow):
        x, w = random_operands(seed)
        spec = AccumulatorSpec(stages=(stage(4, 16, overflow), stage(ALL, 17, overflow)))
        turned = replace(spec, order=KOrder.REVERSED)
        stated = replace(spec, order=tuple(range(22, -1, -1)))
        y = run(turned, x, w)
        assert (y.registers == run(stated, x, w).registers).all()
        flipped = run(spec, x[:, ::-1], w[:, ::-1])
        assert (y.registers == flipped.registers).all()
        overflowed = y.overflow.kind > 0
        assert (
            y.overflow.first_k == np.where(overflowed, 22 - flipped.overflow.first_k, NO_K)
        ).all()

    def test_rows_and_channels_are_independent(self):
        x, w = random_operands(1)
        spec = AccumulatorSpec(stages=(stage(3, 14, SATURATE), stage(ALL, 16, SATURATE)))
        whole = run(spec, x, w, zero_points=(3, [1, -2, 0, 5])).registers
        for i, j in product(range(5), range(4)):
            alone = run(spec, x[i : i + 1], w[j : j + 1], zero_points=(3, [1, -2, 0, 5][j]))
            assert alone.registers[0, 0] == whole[i, j]

    def test_the_trace_is_the_same_in_blocks(self, monkeypatch):
        """A trace keeps products of a few rows at a time."""
        x, w = random_operands(2)
        for placement in BiasPlacement:
            spec = AccumulatorSpec(stages=(stage(3, 14), stage(ALL, 16)), bias=placement)
            expected = run(spec, x, w, [1, 2, 3, 4], zero_points=(3, [1, -2, 0, 5])).stages
            monkeypatch.setattr(matmul_array, "_TRACE_BLOCK_ELEMENTS", 2 * 4 * 23)
            blocks = run(spec, x, w, [1, 2, 3, 4], zero_points=(3, [1, -2, 0, 5])).stages
            monkeypatch.undo()
            for a, b in zip(blocks, expected, strict=True):
                assert (a == b).all()

    @pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int64, ">i4"])
    def test_any_integer_dtype_and_layout(self, dtype):
        x, w = random_operands(3)
        spec = AccumulatorSpec(stages=(stage(3, 14), stage(ALL, 16)))
        expected = run(spec, x, w).registers
        assert (run(spec, x.astype(dtype), w.astype(dtype)).registers == expected).all()
        assert (run(spec, np.asfortranarray(x), w[::-1].copy()[::-1]).registers == expected).all()
        assert (run(spec, x.tolist(), w.tolist()).registers == expected).all()

    def test_operands_are_left_alone(self):
        x, w = random_operands(4)
        bias = np.arange(4)
        copies = x.copy(), w.copy(), bias.copy()
        run(AccumulatorSpec(stages=(stage(ALL, 16),)), x, w, bias, zero_points=(3, 2))
        assert all((a == b).all() for a, b in zip((x, w, bias), copies, strict=True))

    @pytest.mark.parametrize(("m", "n"), [(0, 3), (3, 0), (0, 0)])
    def test_empty(self, m, n):
        spec = AccumulatorSpec(stages=(stage(2, 14), stage(ALL, 16)))
        y = run(spec, np.zeros((m, 4), int), np.zeros((n, 4), int))
        assert y.registers.shape == y.overflow.total.shape == (m, n)
        assert [results.shape for results in y.stages] == [(m, n, 2), (m, n, 1)]
        assert y.overflow.counts() == OverflowCounts(0, 0, 0)

    def test_counts(self):
        y = run(
            AccumulatorSpec(stages=(stage(ALL, 4),)),
            [[7, 5, -6], [7, 5, 0]],
            [[1, 1, 1], [0, 0, 1]],
        )
        assert y.overflow.kind.tolist() == [[1, 0], [2, 0]]
        assert y.overflow.counts() == OverflowCounts(4, 1, 1)
        assert y.overflow.counts().overflowed == 2
        assert y.overflow.by_channel() == [OverflowCounts(2, 1, 1), OverflowCounts(2, 0, 0)]


CHAIN = AccumulatorSpec(stages=(stage(ALL, 32),))
CENTERED = replace(CHAIN, zero_points=ZeroPointHandling.CENTER)


class TestRefusals:
    @pytest.mark.parametrize(("x", "w"), [(31, 32), (32, 31), (62, 1)])
    def test_widest_products(self, x, w):
        MatmulArray(CHAIN, input_format=IntFormat(x), weight_format=IntFormat(w))

    @pytest.mark.parametrize(("x", "w"), [(32, 32), (33, 31), (63, 1), (63, 2), (63, 63)])
    def test_products(self, x, w):
        message = rf"a product of int{x} and int{w} codes could pass 63 bits \(\d+\); use narrower"
        with pytest.raises(WidthError, match=message):
            MatmulArray(CHAIN, input_format=IntFormat(x), weight_format=IntFormat(w))

    def test_centered_products(self):
        """(2**31 - 1) * (2**31 + 1) is 2**62 - 1, the last that fits; one more passes it."""
        formats = (IntFormat(31), IntFormat(32))
        z_x = formats[0].max
        run(CENTERED, [[z_x]], [[1]], formats=formats, zero_points=(z_x, 1))
        with pytest.raises(WidthError, match="a product of int31 and int32 codes could pass 63"):
            run(CENTERED, [[z_x]], [[2]], formats=formats, zero_points=(z_x, 2))

    def test_totals(self):
        """2**61 - 2**31 a product: two fit 63 bits, a third does not."""
        formats = (IntFormat(31), IntFormat(32))
        low = formats[1].min
        run(CHAIN, [[0]], [[low]], [(1 << 61) - 1], formats=formats)
        with pytest.raises(
            WidthError, match=r"could need 64 bits for K = 1; the simulator holds 63"
        ):
            run(CHAIN, [[0]], [[low]], [1 << 61], formats=formats)
        run(CHAIN, [[0, 0]], [[1 - (1 << 31), 1]], formats=formats)
        with pytest.raises(WidthError, match="an exact total could need 64 bits for K = 2"):
            run(CHAIN, [[0, 0]], [[low, low]], formats=formats)

    def test_the_weights_at_hand_decide(self):
        formats = (IntFormat(31), IntFormat(32))
        x = [[formats[0].max] * 64]
        assert run(CHAIN, x, [[1] * 64], formats=formats).registers.shape == (1, 1)

    @pytest.mark.parametrize("bias", [1 - (1 << 62), (1 << 62) - 1])
    def test_widest_bias(self, bias):
        spec = AccumulatorSpec(stages=(stage(ALL, 63),))
        assert run(spec, [[0]], [[0]], [bias]).registers.tolist() == [[bias]]

    def test_the_bound_is_on_the_magnitude_of_the_total(self):
        with pytest.raises(WidthError, match="an exact total could need 64 bits for K = 1"):
            run(CHAIN, [[0]], [[0]], [-(1 << 62)])

    @pytest.mark.parametrize("bias", [-(1 << 62) - 1, 1 << 62])
    def test_bias(self, bias):
        with pytest.raises(DataError, match=rf"bias must be codes of int63 .*, got {bias}"):
            run(CHAIN, [[0]], [[0]], [bias])

    def test_addend(self):
        spec = AccumulatorSpec(stages=(stage(ALL, 63),))
        limit = (1 << 62) - 1
        legal = limit - 1 - 128  # the correction is 1, and the input may be -128
        y = run(spec, [[127]], [[1]], [legal], zero_points=(-1, 0))
        assert y.registers.tolist() == [[legal + 1 + 127]]
        with pytest.raises(WidthError, match="an exact total could need 64 bits"):
            run(spec, [[0]], [[1]], [legal + 1], zero_points=(-1, 0))
        with pytest.raises(WidthError, match="bias and zero-point correction pass 63 bits"):
            run(spec, [[0]], [[1]], [limit], zero_points=(-1, 0))

    def test_correction(self):
        with pytest.raises(
            WidthError, match="the zero-point correction could pass 63 bits for K = 9"
        ):
            run(CHAIN, [[0] * 9], [[0] * 9], formats=(IntFormat(31), IntFormat(31)),
                zero_points=(-(1 << 30), -(1 << 30)))  # fmt: skip

    @pytest.mark.parametrize(
        ("fmt", "code"), [("int8", 128), ("int8", -129), ("uint4", -1), ("uint4", 16)]
    )
    def test_codes(self, fmt, code):
        f = IntFormat.parse(fmt)
        run(CHAIN, [[f.min, f.max]], [[f.min, f.max]], formats=(f, f))
        with pytest.raises(DataError, match=rf"inputs must be codes of {fmt} .*, got {code}"):
            run(CHAIN, [[code]], [[0]], formats=(f, f))
        with pytest.raises(DataError, match=rf"weights must be codes of {fmt} .*, got {code}"):
            run(CHAIN, [[0]], [[code]], formats=(f, f))

    @pytest.mark.parametrize("dtype", [float, bool, complex, object])
    def test_dtype(self, dtype):
        with pytest.raises(DataError, match="inputs must be integer codes, got dtype"):
            run(CHAIN, np.zeros((1, 1), dtype), [[0]])
        with pytest.raises(DataError, match="weights must be integer codes, got dtype"):
            run(CHAIN, [[0]], np.zeros((1, 1), dtype))
        with pytest.raises(DataError, match="bias must be integer codes, got dtype"):
            run(CHAIN, [[0]], [[0]], np.zeros(1, dtype))

    @pytest.mark.parametrize(
        ("x", "w", "message"),
        [
            ((3,), (2, 3), r"inputs must be a matrix .*, got \(3,\)"),
            ((1, 3), (2, 3, 1), r"weights must be a matrix .*, got \(2, 3, 1\)"),
            ((1, 3), (2, 4), "do not meet: K is 3 in the inputs and 4 in the weights"),
        ],
    )
    def test_shapes(self, x, w, message):
        with pytest.raises(DataError, match=message):
            run(CHAIN, np.zeros(x, int), np.zeros(w, int))

    @pytest.mark.parametrize("shape", [(1,), (3,), (2, 1), ()])
    def test_bias_shape(self, shape):
        run(CHAIN, [[0]], [[0], [0]], np.zeros(2, int))
        with pytest.raises(DataError, match=r"bias must have shape \(2,\), one an output channel"):
            run(CHAIN, [[0]], [[0], [0]], np.zeros(shape, int))

    def test_order_of_another_length(self):
        spec = replace(CHAIN, order=(1, 0))
        run(spec, [[0, 0]], [[0, 0]])
        with pytest.raises(SpecError, match="the stated order permutes 2 products, but K is 3"):
            run(spec, [[0] * 3], [[0] * 3])

    def test_zero_points(self):
        run(CHAIN, [[0]], [[0]], zero_points=(-128, 127))
        with pytest.raises(SpecError, match=r"input_zero_point must be a code of int8 .*, got 128"):
            run(CHAIN, [[0]], [[0]], zero_points=(128, 0))
        with pytest.raises(SpecError, match=r"weight_zero_point must be a code of .*, got -129"):
            run(CHAIN, [[0]], [[0]], zero_points=(0, -129))
        with pytest.raises(DataError, match="input_zero_point must be an integer"):
            run(CHAIN, [[0]], [[0]], zero_points=(0.5, 0))
        with pytest.raises(DataError, match="weight_zero_point must be one value, or one for each"):
            run(CHAIN, [[0]], [[0], [0]], zero_points=(0, [0, 0, 0]))


class TestGolden:
    """Vectors shared with the RTL testbench; regenerate only on a change of docs/datapath.md."""

    @pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
    def test_vectors(self, case):
        y = run(
            AccumulatorSpec.from_toml(case["spec"]), case["x"], case["w"], case["bias"],
            formats=(IntFormat(8, signed=False), INT8),
            zero_points=(case["input_zero_point"], case["weight_zero_point"]),
        )  # fmt: skip
        assert y.registers.reshape(-1).tolist() == case["registers"]
        assert y.overflow.total.reshape(-1).tolist() == case["total"]
        kinds = [OverflowKind(k).name.lower() for k in y.overflow.kind.reshape(-1).tolist()]
        assert kinds == case["kind"]
        numbers = (
            [NO_STAGE if s is None else s for s in case["first_stage"]],
            [NO_K if k is None else k for k in case["first_k"]],
        )
        assert y.overflow.first_stage.reshape(-1).tolist() == numbers[0]
        assert y.overflow.first_k.reshape(-1).tolist() == numbers[1]
        for index, results in enumerate(y.stages):
            expected = [output[index] for output in case["stages"]]
            assert results.reshape(len(expected), -1).tolist() == expected
