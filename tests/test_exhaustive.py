"""Every pair of codes of up to 4 x 4 bits through the whole pipeline, for every rounding and rule.

The oracle's answers are tabulated (every addition a narrow register can see,
every accumulator the rescaler can), and whole runs are compared with the tables
element by element.
"""

import os
from functools import cache
from itertools import product

import numpy as np
import pytest

import oracle
from lsqsim.datapath import CompiledLayer
from lsqsim.formats import IntFormat, Overflow, Rounding
from lsqsim.layer import Layer
from lsqsim.overflow import NO_K, OverflowKind
from lsqsim.specs import (
    AccumulatorSpec,
    DatapathSpec,
    FixedPoint,
    LinearSpec,
    QuantizerSpec,
    RescalerSpec,
    StageSpec,
)

FORMATS = [IntFormat(bits, signed=signed) for bits in range(1, 5) for signed in (True, False)]
STAGES = [StageSpec(bits=bits, overflow=overflow) for bits in (4, 6) for overflow in Overflow]
RESCALERS = [
    RescalerSpec(output=IntFormat(3), scaling=FixedPoint(rounding=rounding), overflow=overflow)
    for rounding in Rounding
    for overflow in Overflow
]
STEP = 0.75
"""s_x and, with s_w = s_y = 1, the factor: quarters, and a tie for every fourth accumulator."""
Z_Y = 1
PLAIN_PYTHON = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
LEAST_PRODUCT, GREATEST_PRODUCT = -8 * 15, 15 * 15
PRODUCTS = range(LEAST_PRODUCT, GREATEST_PRODUCT + 1)


def codes_of(fmt):
    return range(fmt.min, fmt.max + 1)


@cache
def product_table(x_format, w_format):
    """Entry [i, j]: the i-th input code times the j-th weight code."""
    return np.array([[x * w for w in codes_of(w_format)] for x in codes_of(x_format)])


@cache
def addition_table(stage):
    """Entry [register - least, product - least]: the register after the addition."""
    return np.array(
        [
            [oracle.store(register + term, stage.bits, stage.overflow) for term in PRODUCTS]
            for register in codes_of(stage.format)
        ]
    )


@cache
def rescaling_table(stage, rescaler):
    """Entry [accumulator - least]: the output code."""
    parameters = oracle.fold(rescaler.scaling, STEP)
    return np.array(
        [oracle.rescale(acc, rescaler, parameters, Z_Y).code for acc in codes_of(stage.format)]
    )


def add(stage, registers, terms):
    return addition_table(stage)[registers - stage.format.min, terms - LEAST_PRODUCT]


def reduced(stage, terms):
    """(register, exact total, K index of the first overflow) for a list of terms, as arrays."""
    registers = total = np.zeros_like(terms[0])
    first_k = np.full_like(terms[0], NO_K)
    for k, term in enumerate(terms):
        after = add(stage, registers, term)
        first_k = np.where((first_k == NO_K) & (after != registers + term), k, first_k)
        registers, total = after, total + term
    return registers, total, first_k


def layer_of(x_format, w_format, k):
    """(real inputs, layer): rows are all tuples of k input codes, outputs those of weights."""
    x = np.array(list(product(codes_of(x_format), repeat=k)), np.float64)
    w = np.array(list(product(codes_of(w_format), repeat=k)), np.float64)
    layer = Layer(
        spec=LinearSpec(), weight=w, input_step=STEP, weight_step=1.0, output_step=1.0,
        output_zero_point=Z_Y,
    )  # fmt: skip
    return x * STEP, layer


def datapath(x_format, w_format, stage, rescaler):
    return DatapathSpec(
        input=QuantizerSpec(format=x_format),
        weight=QuantizerSpec(format=w_format),
        accumulator=AccumulatorSpec(stages=(stage,)),
        rescaler=rescaler,
    )


def check(x_format, w_format, k, terms):
    """``terms`` hold each product of an output, (rows, outputs) each."""
    values, layer = layer_of(x_format, w_format, k)
    for stage in STAGES:
        registers, total, first_k = reduced(stage, terms)
        fits = (total >= stage.format.min) & (total <= stage.format.max)
        overflowed = np.where(fits, OverflowKind.TRANSIENT, OverflowKind.PERSISTENT)
        kind = np.where(first_k == NO_K, OverflowKind.NONE, overflowed)
        for rescaler in RESCALERS:
            spec = datapath(x_format, w_format, stage, rescaler)
            result = CompiledLayer(layer, spec).run(values)
            assert np.array_equal(result.accumulators, registers)
            codes = rescaling_table(stage, rescaler)[registers - stage.format.min]
            assert np.array_equal(result.output.codes, codes)
            assert np.array_equal(result.overflow.total, total)
            assert np.array_equal(result.overflow.first_k, first_k)
            assert np.array_equal(result.overflow.kind, kind)


def small_enough(pair):
    """As plain Python, 65536 outputs in 40 datapaths take minutes: 4 bits together will do."""
    return not PLAIN_PYTHON or pair[0].bits + pair[1].bits <= 4


PAIRS = list(product(FORMATS, FORMATS))


def pair_name(pair):
    return f"{pair[0]}-{pair[1]}"


@pytest.mark.parametrize("pair", PAIRS, ids=pair_name)
def test_every_product(pair):
    """K = 1: every input code with every weight code."""
    check(*pair, 1, [product_table(*pair)])


@pytest.mark.parametrize("pair", list(filter(small_enough, PAIRS)), ids=pair_name)
def test_every_sum_of_two_products(pair):
    """K = 2: every pair of input codes with every pair of weight codes."""
    table = product_table(*pair)
    n_x, n_w = table.shape
    shape = n_x, n_x, n_w, n_w  # x_0, x_1, w_0, w_1
    first = np.broadcast_to(table[:, None, :, None], shape).reshape(n_x**2, n_w**2)
    second = np.broadcast_to(table[None, :, None, :], shape).reshape(n_x**2, n_w**2)
    check(*pair, 2, [first, second])


def test_everything_happens():
    """The table is worth its name: both ends are passed, in both registers and in the output."""
    for stage in STAGES:
        _, total, first_k = reduced(stage, [np.array(PRODUCTS)])
        assert (total[first_k == 0] < 0).any()
        assert (total[first_k == 0] > 0).any()
        for rescaler in RESCALERS:
            codes = set(rescaling_table(stage, rescaler).tolist())
            assert codes == set(codes_of(rescaler.output))
        answers = {tuple(rescaling_table(stage, r).tolist()) for r in RESCALERS}
        assert len(answers) == len(RESCALERS)  # no two rules agree everywhere
