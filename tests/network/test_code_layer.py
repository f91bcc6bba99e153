"""Tests for lsqsim.network.code_layer: means and requantizations, on paper and by the oracle."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st

import network_oracle
from layers import scalings
from lsqsim.compare import compare
from lsqsim.errors import LsqsimError, SpecError
from lsqsim.formats import IntFormat, Overflow, Rounding
from lsqsim.network.code_layer import mean_layer, requantizing_layer
from lsqsim.network.encoding import Encoding
from lsqsim.network.nodes import AveragePool, Requantize
from lsqsim.specs import (
    AccumulatorSpec,
    Activation,
    FixedPoint,
    PowerOfTwo,
    RescalerSpec,
    StageSpec,
    ZeroPointHandling,
)
from lsqsim.tensor import QTensor

S8, U2 = IntFormat(8), IntFormat(2, signed=False)
NEAREST = [Rounding.TIES_POS, Rounding.TIES_AWAY, Rounding.TIES_EVEN]


def encoding(fmt=S8, step=1.0, zero=0):
    return Encoding(format=fmt, step_size=step, zero_point=zero)


def node(kind=Requantize, output=None, scaling=None, **fields):
    output = output or encoding()
    rescaler = RescalerSpec(output=output.format, scaling=scaling or FixedPoint())
    return kind(name="node", source="x", output=output, rescaler=rescaler, **fields)


def run(unit, codes):
    """Output codes of rows of codes."""
    tensor = QTensor(
        codes=np.array(codes), format=unit.spec.input.format,
        step_size=np.array(unit.layer.input_step),
        zero_point=np.array(unit.layer.input_zero_point),
    )  # fmt: skip
    return unit.run(tensor)


def requantized(each, source, codes, bias=0.0):
    return run(requantizing_layer(each, source, bias), [[c] for c in codes]).output.codes[:, 0]


class TestRequantize:
    def test_eight_bits_to_two(self):
        """Steps 1/4 to 1, unsigned: negative codes are 0, 14 / 4 = 3.5 and more are 3."""
        got = requantized(
            node(output=encoding(U2)), encoding(step=0.25), [-128, -1, 1, 2, 6, 14, 127]
        )
        assert got.tolist() == [0, 0, 0, 1, 2, 3, 3]

    @pytest.mark.parametrize(
        ("rounding", "codes"),
        [
            (Rounding.TIES_POS, [1, 2, 0, -1]),
            (Rounding.TIES_AWAY, [1, 2, -1, -2]),
            (Rounding.TIES_EVEN, [0, 2, 0, -2]),
            (Rounding.TO_NEG, [0, 1, -1, -2]),
            (Rounding.TO_ZERO, [0, 1, 0, -1]),
        ],
    )
    def test_ties_of_both_signs(self, rounding, codes):
        for scaling in (FixedPoint(rounding=rounding), PowerOfTwo(rounding=rounding)):
            got = requantized(node(scaling=scaling), encoding(step=0.5), [1, 3, -1, -3])
            assert got.tolist() == codes

    def test_a_power_of_two_folds_exactly(self):
        unit = requantizing_layer(node(scaling=PowerOfTwo()), encoding(step=2.0**-7), 0.0)
        assert unit.fold_error.tolist() == [0.0]
        assert unit.rescaler.parameters.exact_scales() == [Fraction(1, 128)]

    def test_every_code_meets_its_register_exactly(self):
        """Zero point 127: codes less it reach -255, which 9 bits hold."""
        unit = requantizing_layer(node(), encoding(zero=127), 0.0)
        assert unit.spec.accumulator.format == IntFormat(9)
        assert run(unit, [[-128], [127]]).accumulators.tolist() == [[-255], [0]]

    def test_codes_of_one_bit(self):
        source = encoding(IntFormat(1, signed=False))
        assert requantized(node(), source, [0, 1]).tolist() == [0, 1]

    def test_bias_is_held_to_the_guard_bits(self):
        """5/16 is 5 units of 1/16: without guard bits it is lost."""
        quarter = encoding(step=0.0625)
        fine = node(output=quarter, guard_bits=4)
        assert requantized(fine, encoding(), [0, 1], bias=0.3125).tolist() == [5, 21]
        coarse = node(output=quarter)
        assert requantized(coarse, encoding(), [0, 1], bias=0.3125).tolist() == [0, 16]

    def test_the_register_holds_the_bias_too(self):
        unit = requantizing_layer(node(guard_bits=2), encoding(), -200.0)
        assert (unit.bias.codes.tolist(), unit.spec.accumulator.format) == ([-800], IntFormat(12))
        assert run(unit, [[-128]]).accumulators.tolist() == [[-1312]]

    def test_relu(self):
        relu = node(activation=Activation.RELU, output=encoding(zero=-5))
        assert requantized(relu, encoding(), [-9, 0, 9]).tolist() == [-5, -5, 4]


class TestMean:
    def test_of_four(self):
        unit = mean_layer(node(AveragePool), encoding(zero=1), 4)
        result = run(unit, [[1, 2, 3, 5], [1, 1, 1, 0]])
        assert result.accumulators.tolist() == [[7], [-1]]
        assert result.output.codes.tolist() == [[2], [0]]

    @pytest.mark.parametrize(("overflow", "register"), [("wrap", -126), ("saturate", 127)])
    def test_its_register(self, overflow, register):
        spec = AccumulatorSpec(stages=(StageSpec(bits=8, overflow=Overflow(overflow)),))
        unit = mean_layer(node(AveragePool, accumulator=spec), encoding(), 2)
        result = run(unit, [[127, 3]])
        assert result.accumulators.tolist() == [[register]]
        assert result.overflow.counts().persistent == 1


@st.composite
def cases(draw, kind):
    """A node and what its source puts out."""

    def encodings():
        fmt = IntFormat(draw(st.integers(1, 8)), signed=draw(st.booleans()))
        zero = draw(st.integers(fmt.min, fmt.max))
        return encoding(fmt, draw(st.floats(1 / 32, 4.0)), zero)

    activation = draw(st.sampled_from([Activation.NONE, Activation.RELU]))
    given_node = node(
        kind, encodings(), draw(scalings()), activation=activation,
        guard_bits=draw(st.sampled_from([0, 3])), bias=draw(st.just(0.0) | st.floats(-3.0, 3.0)),
    )  # fmt: skip
    return given_node, encodings()


def compiled(make, *arguments):
    try:
        return make(*arguments)
    except LsqsimError as error:
        assert str(error).startswith("node: ")  # noqa: PT017
        assume(False)


class TestAgainstOracle:
    @given(st.data())
    def test_requantize(self, data):
        each, source = data.draw(cases(Requantize))
        unit = compiled(requantizing_layer, each, source, each.bias)
        fmt = source.format
        codes = list(range(fmt.min, fmt.max + 1))
        wide = AccumulatorSpec(stages=(StageSpec(bits=unit.spec.accumulator.format.bits),),
                               zero_points=ZeroPointHandling.CENTER)  # fmt: skip
        result = run(unit, [[code] for code in codes])
        expected = [network_oracle.mean(each, source, [code], wide) for code in codes]
        assert result.output.codes[:, 0].tolist() == expected
        assert result.overflow.counts().overflowed == 0
        assert compare(unit, result).n_beyond_bound == 0

    @given(st.data())
    def test_mean(self, data):
        each, source = data.draw(cases(AveragePool))
        k = data.draw(st.integers(1, 9))
        unit = compiled(mean_layer, each, source, k)
        rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
        rows = rng.integers(source.format.min, source.format.max, (20, k), endpoint=True)
        expected = [
            network_oracle.mean(each, source, row, each.accumulator) for row in rows.tolist()
        ]
        result = run(unit, rows)
        assert result.output.codes[:, 0].tolist() == expected
        assert compare(unit, result).n_beyond_bound == 0


class TestRefusals:
    def test_a_factor_too_large_names_the_node(self):
        with pytest.raises(SpecError, match=r"node: factor 8 needs shift -3, legal are 0\.\.62"):
            requantizing_layer(node(scaling=PowerOfTwo()), encoding(step=8.0), 0.0)

    def test_nodes(self):
        with pytest.raises(
            SpecError, match=r"q: the rescaler puts out int8, the node uint2: give "
        ):
            Requantize(name="q", source="x", output=encoding(U2), rescaler=RescalerSpec(output=S8))
        with pytest.raises(SpecError, match=r"node: guard_bits must be in 0\.\.16, got 17"):
            node(guard_bits=17)
        with pytest.raises(SpecError, match=r"node: guard_bits must be in 0\.\.16, got -1"):
            node(guard_bits=-1)
        with pytest.raises(SpecError, match=r"node: kernel and stride must be 1 or more, got "
                           r"\(2, 0\) and \(2, 2\)"):  # fmt: skip
            node(AveragePool, kernel=(2, 0))
