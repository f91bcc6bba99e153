"""Tests for lsqsim.array_operands: what enters the array, in which order; and refusals.

Refusals are tested at the array itself, in test_matmul_array.py.
"""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from lsqsim import testing
from lsqsim.array_operands import ArrayPorts
from lsqsim.errors import WidthError
from lsqsim.formats import IntFormat
from lsqsim.matmul_array import MatmulArray
from lsqsim.specs import AccumulatorSpec, KOrder, StageSpec, ZeroPointHandling
from strategies import accumulator_specs

INT4 = IntFormat(4)


def ports(**fields):
    spec = AccumulatorSpec(stages=(StageSpec(bits=16),), **fields)
    return ArrayPorts(spec, input_format=INT4, weight_format=INT4)


class TestWorkedExamples:
    X, W, BIAS = ((1, 2, 3), (4, 5, 6)), ((1, -1, 2),), (10,)

    def take(self, z_x=0, z_w=0, **fields):
        return ports(**fields).take(self.X, self.W, self.BIAS, z_x, z_w)

    def test_plain(self):
        operands = self.take()
        assert (operands.x.tolist(), operands.w.tolist()) == ([*map(list, self.X)], [[1, -1, 2]])
        assert (operands.addend.tolist(), operands.order.tolist()) == ([[10]], [0, 1, 2])

    @pytest.mark.parametrize("order", [KOrder.REVERSED, (2, 0, 1)])
    def test_order_of_entry(self, order):
        operands = self.take(order=order)
        at = [2, 1, 0] if order is KOrder.REVERSED else [2, 0, 1]
        assert operands.order.tolist() == at
        assert operands.x.tolist() == [[row[k] for k in at] for row in self.X]
        assert operands.w.tolist() == [[self.W[0][k] for k in at]]

    def test_centered(self):
        operands = self.take(z_x=1, z_w=2, zero_points=ZeroPointHandling.CENTER)
        assert operands.x.tolist() == [[0, 1, 2], [3, 4, 5]]
        assert operands.w.tolist() == [[-1, -3, 0]]
        assert operands.addend.tolist() == [[10]]

    def test_folded(self):
        """K z_x z_w - z_x sum(w) - z_w sum(x): 6 - 2 - 12, and 6 - 2 - 30."""
        operands = self.take(z_x=1, z_w=2)
        assert operands.addend.tolist() == [[10 - 8], [10 - 26]]
        assert operands.w.tolist() == [[1, -1, 2]]

    def test_folded_input_zero_point_alone_is_one_for_all_rows(self):
        assert self.take(z_x=1).addend.tolist() == [[10 - 2]]


class TestLaws:
    @given(st.data())
    def test_taking_and_reducing_is_accumulating(self, data):
        spec = data.draw(accumulator_specs(k=5, max_bits=12))
        operands = data.draw(testing.matmul_operands(spec, input_format=INT4, weight_format=INT4))
        array = MatmulArray(spec, input_format=INT4, weight_format=INT4)
        taken = array.ports.take(
            operands["x"], operands["w"], operands["bias"],
            operands["input_zero_point"], operands["weight_zero_point"],
        )  # fmt: skip
        whole = array.accumulate(**operands, observe=True, trace=True)
        parts = array.reduce(taken, observe=True, trace=True)
        assert parts.registers.tolist() == whole.registers.tolist()
        assert parts.overflow.first_k.tolist() == whole.overflow.first_k.tolist()
        assert [s.tolist() for s in parts.stages] == [s.tolist() for s in whole.stages]
        total = taken.x @ taken.w.T + taken.addend
        assert (
            np.broadcast_to(total, parts.registers.shape).tolist() == parts.overflow.total.tolist()
        )


def test_products_too_wide():
    with pytest.raises(WidthError, match="a product of int33 and int32 codes could pass 63 bits"):
        ArrayPorts(ports().spec, input_format=IntFormat(33), weight_format=IntFormat(32))
