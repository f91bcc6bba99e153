"""Tests for lsqsim.trace: where two records of registers first differ."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from lsqsim.datapath import CompiledLayer
from lsqsim.errors import DataError
from lsqsim.trace import Difference, Trace, first_difference
from whole_layers import cases


def trace(**changes):
    """Two outputs of K = 5: pairs of products, then all pairs; ``changes`` replace registers."""
    registers = {
        "input_codes": np.array([[1, 2, 3, 4, 5]]),
        "weight_codes": np.ones((2, 5), np.int64),
        "stage_0": np.array([[[3, 7, 5], [3, 7, 5]]]),
        "stage_1": np.array([[[15], [15]]]),
        "accumulator": np.array([[15, 15]]),
        "product": np.array([[7.5, 7.5]]),
        "output": np.array([[8, 8]]),
    }
    return Trace(registers | changes, {"stage_0": 2, "stage_1": 5})


class TestWorkedExamples:
    def test_equal(self):
        assert first_difference(trace(), trace()) is None

    @pytest.mark.parametrize(
        ("name", "values", "expected", "text"),
        [
            ("output", [[8, 9]], ((0, 1), None, None, 8, 9), "output[0, 1]: 8 against 9"),
            (
                "product",
                [[7.5, 0.1]],
                ((0, 1), None, None, 7.5, 0.1),
                "product[0, 1]: 7.5 against 0.1",
            ),
            (
                "stage_1",
                [[[15], [-1]]],
                ((0, 1), 0, (0, 4), 15, -1),
                "stage_1[0, 1] tile 0 k 0..4: 15 against -1",
            ),
            (
                "stage_0",
                [[[3, 7, 5], [3, 6, 4]]],
                ((0, 1), 1, (2, 3), 7, 6),
                "stage_0[0, 1] tile 1 k 2..3: 7 against 6",
            ),
            (
                "stage_0",  # the last tile has one product, not two
                [[[3, 7, 4], [3, 7, 5]]],
                ((0, 0), 2, (4, 4), 5, 4),
                "stage_0[0, 0] tile 2 k 4: 5 against 4",
            ),
        ],
    )
    def test_one_register(self, name, values, expected, text):
        found = first_difference(trace(), trace(**{name: np.array(values)}))
        index, tile, k_range, left, right = expected
        assert found == Difference(
            register=name, index=index, tile=tile, k_range=k_range, left=left, right=right
        )
        assert str(found) == text

    def test_earliest_register_wins(self):
        other = trace(output=np.array([[0, 0]]), stage_1=np.array([[[15], [14]]]))
        assert first_difference(trace(), other).register == "stage_1"
        other.registers["input_codes"] = np.zeros((1, 5), np.int64)
        assert first_difference(trace(), other).register == "input_codes"

    def test_first_element_in_c_order_wins(self):
        found = first_difference(trace(), trace(weight_codes=np.array([[1] * 5, [0] * 5])))
        assert (found.register, found.index) == ("weight_codes", (1, 0))

    def test_registers_that_one_side_lacks_are_ignored(self):
        device = Trace({"output": np.array([[8, 9]]), "pipeline": np.array([1])}, {})
        assert first_difference(trace(), device).register == "output"
        assert first_difference(device, trace()).register == "output"
        del device.registers["output"]
        assert first_difference(trace(), device) is None
        assert first_difference(device, trace()) is None

    def test_order_is_that_of_the_left(self):
        """A device may list its registers as it likes."""
        device = Trace(dict(reversed(trace().registers.items())), {})
        device.registers.update(output=np.array([[0, 0]]), accumulator=np.array([[0, 0]]))
        assert first_difference(trace(), device).register == "accumulator"
        assert first_difference(device, trace()).register == "output"

    def test_access_by_name(self):
        assert trace()["output"].tolist() == [[8, 8]]
        assert list(trace())[:2] == ["input_codes", "weight_codes"]

    def test_values_are_plain_numbers(self):
        found = first_difference(trace(), trace(output=np.array([[8, 9]])))
        assert (type(found.left), type(found.right)) == (int, int)

    def test_one_addition(self):
        text = str(
            Difference(register="stage_1", index=(3,), tile=2, k_range=(7, 7), left=15, right=16)
        )
        assert text == "stage_1[3] tile 2 k 7: 15 against 16"


class TestLaws:
    @given(cases(), st.data())
    def test_one_changed_bit_is_found(self, case, data):
        """Whichever register changes, first_difference names it, the element and both values."""
        left = CompiledLayer(case.layer, case.spec).run(case.values, trace=True).trace
        assert first_difference(left, left) is None
        filled = [name for name in left if left[name].size]
        if not filled:
            return
        name = data.draw(st.sampled_from(filled))
        at = data.draw(st.integers(0, left[name].size - 1))
        changed = left[name].copy()
        changed.reshape(-1)[at] += 1
        found = first_difference(left, replace(left, registers=left.registers | {name: changed}))
        index = tuple(int(i) for i in np.unravel_index(at, changed.shape))
        assert found.register == name
        assert found.index == (index[:-1] if found.tile is not None else index)
        assert found.right == found.left + 1 == changed[index]
        k = case.layer.weight_codes if case.layer.weight is None else case.layer.weight
        if found.k_range is not None and k[0].size:
            first, last = found.k_range
            assert 0 <= first <= last < k[0].size


class TestRefusals:
    def test_shapes(self):
        other = trace(accumulator=np.array([15, 15]))
        message = r"register accumulator has shapes \(1, 2\) and \(2,\)"
        with pytest.raises(DataError, match=message):
            first_difference(trace(), other)

    def test_a_difference_before_comes_first(self):
        other = trace(accumulator=np.array([15, 15]), stage_1=np.array([[[15], [0]]]))
        assert first_difference(trace(), other).register == "stage_1"
