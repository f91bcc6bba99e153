"""Tests for what assert_bit_exact says of answers: wrong bits, wrong kinds, exceptions."""

import numpy as np
import pytest

from lsqsim.formats import IntFormat, Overflow
from lsqsim.specs import (
    AccumulatorSpec,
    FloatScale,
    PowerOfTwo,
    RescalerSpec,
    StageSpec,
)
from lsqsim.testing import ArraySizes, BitMismatch, assert_bit_exact
from lsqsim.testing.calls import Call
from lsqsim.testing.mismatch import fault_of
from lsqsim.trace import Trace

INT4, INT8, INT16 = IntFormat(4), IntFormat(8), IntFormat(16)
SPEC = RescalerSpec(output=INT8, scaling=PowerOfTwo(min_shift=0, max_shift=0))
SIZES = ArraySizes(m=1, n=1, k=6)
LIMITS = {"acc_format": INT4, "zero_point": 0, "clamp": (-128, 127), "seed": 1}


def right(acc, **_):
    return acc


def found(candidate, spec=SPEC, **limits) -> BitMismatch:
    with pytest.raises(BitMismatch) as caught:
        assert_bit_exact(candidate, spec, **LIMITS | limits)
    return caught.value


class TestWorkedExample:
    """The message, whole: a candidate that takes 1 for 0."""

    def test_message_and_attributes(self):
        def dut(acc, **_):
            return np.where(acc == 1, 0, acc).astype(np.int8)

        mismatch = found(dut)
        assert str(mismatch).splitlines() == [
            "dut is not bit-exact to its RescalerSpec",
            "output[0]: expected 1, got 0",
            "dut(",
            "    acc=np.array([1], np.int64),",
            "    shift=0,",
            "    zero_point=0,",
            "    low=-128,",
            "    high=127,",
            ")",
            "expected output: np.array([1], np.int64)",
            "got output: np.array([0], np.int8)",
        ]
        assert mismatch.arguments["acc"].tolist() == [1]
        assert mismatch.expected.tolist() == [1]
        assert mismatch.got.tolist() == [0]
        assert mismatch.difference.register == "output"
        assert mismatch.difference.index == (0,)
        assert (mismatch.difference.left, mismatch.difference.right) == (1, 0)

    def test_the_call_can_be_pasted(self):
        def dut(acc, **_):
            return acc + (acc == 3)

        mismatch = found(dut)
        text = str(mismatch)
        call = text[text.index("dut(\n") : text.index(")\nexpected") + 1]
        again = eval(call, {"dut": dut, "np": np})  # noqa: S307 - a call of this test's own
        assert again.tolist() == mismatch.got.tolist()

    def test_nothing_of_hypothesis_is_left_in_it(self, capsys):
        mismatch = found(lambda acc, **_: acc + 1)
        assert mismatch.__notes__ == []
        assert capsys.readouterr().out == ""
        assert str(mismatch).startswith("<lambda> is not bit-exact")


class TestAnswers:
    @pytest.mark.parametrize(
        "answer",
        [
            np.array([3, -2]),
            np.array([3, -2], np.int8),
            [3, -2],
            (3, -2),
            {"output": np.array([3, -2])},
            {"output": [3, -2], "product": [3, -2]},
        ],
        ids=str,
    )
    def test_is_right(self, answer):
        assert fault_of(lambda **_: answer, CALL) is None

    def test_unsigned_is_right_where_codes_are_not_negative(self):
        call = Call(arguments={}, expected=Trace({"output": np.array([0, 255])}, {}), main="output")
        assert fault_of(lambda: np.array([0, 255], np.uint8), call) is None
        assert fault_of(lambda: np.array([0, 2**64 - 1], np.uint64), call) is not None

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            (np.array([3.0, -2.0]), "output must be integers, got dtype float64"),
            (np.array([True, False]), "output must be integers, got dtype bool"),
            (np.array([3, -2], object), "output must be integers, got dtype object"),
            (None, "output must be integers, got dtype object"),
            (np.array([3]), r"output must have shape (2,), got (1,)"),
            (np.array([[3, -2]]), r"output must have shape (2,), got (1, 2)"),
            ([[3], [1, -2]], "output must be an array, got [[3], [1, -2]]"),
            ({}, "it returned no registers"),
            (
                {"outptu": [3, -2]},
                "it returned a register 'outptu'; there are product, output",
            ),
            ({"product": [3, -2.5]}, "product must be integers, got dtype float64"),
            (np.array([3, 2]), "output[1]: expected -2, got 2"),
            ({"output": [3, -2], "product": [4, -2]}, "product[0]: expected 3, got 4"),
            ({"output": [0, 0], "product": [4, -2]}, "product[0]: expected 3, got 4"),
        ],
    )
    def test_is_wrong(self, answer, reason):
        fault = fault_of(lambda **_: answer, CALL)
        assert fault.reason == reason

    def test_a_float_register_must_be_a_float_and_equal(self):
        call = Call(arguments={}, expected=Trace({"product": np.array([0.1])}, {}), main="product")
        assert fault_of(lambda: np.array([0.1]), call) is None
        assert fault_of(lambda: np.array([np.nextafter(0.1, 1)]), call).difference is not None
        fault = fault_of(lambda: np.array([0]), call)
        assert fault.reason == "product must be floats, got dtype int64"

    def test_a_float_product_is_reported_by_its_register(self):
        def dut(acc, scale, low, high, **_):
            product = (acc.astype(np.float32) * scale).astype(np.float64)
            codes = np.clip(np.rint(product), low, high).astype(np.int64)
            return {"product": product * (1 + 2.0**-50), "output": codes}

        mismatch = found(dut, RescalerSpec(output=INT8, scaling=FloatScale()))
        assert mismatch.difference.register == "product"


CALL = Call(
    arguments={"acc": np.array([3, -2])},
    expected=Trace({"product": np.array([3, -2]), "output": np.array([3, -2])}, {}),
    main="output",
)


class TestExceptions:
    def test_is_reported_and_kept_as_the_cause(self):
        def dut(acc, **_):
            if (acc > 2).any():
                raise RuntimeError("bus error")
            return acc

        mismatch = found(dut)
        assert "it raised RuntimeError: bus error" in str(mismatch)
        assert isinstance(mismatch.__cause__, RuntimeError)
        assert mismatch.arguments["acc"].tolist() == [3]
        assert mismatch.got is None
        assert mismatch.difference is None

    def test_a_missing_keyword(self):
        def dut(acc, multiplier):
            return acc * multiplier

        assert "it raised TypeError: " in str(found(dut))

    def test_one_mismatch_where_there_are_several(self):
        def dut(acc, **_):
            if (acc == 2).any():
                raise RuntimeError
            return np.where(acc == 5, 6, acc)

        assert isinstance(found(dut), BitMismatch)


class TestArguments:
    def test_the_candidate_has_copies(self):
        def dut(acc, **_):
            acc[:] = acc + (acc == 1)
            return acc

        assert found(dut).arguments["acc"].tolist() == [1]

    def test_a_long_array_is_left_out(self):
        text = str(found(lambda acc, **_: acc + 1, size=30))
        assert "output[0]: expected" in text
        assert "expected output" not in text

    def test_only_the_short_one_of_two_is_shown(self):
        text = str(found(lambda **_: np.zeros(30, np.int64), size=2))
        assert "expected output: " in text
        assert "got output" not in text


class TestTile:
    def test_the_first_register_that_differs_says_which_products(self):
        stages = (StageSpec(bits=6, fan_in=2, overflow=Overflow.SATURATE), StageSpec(bits=16))
        spec = AccumulatorSpec(stages=stages)

        def dut(x, w, bias, **_):
            products = x[:, None, :] * w[None, :, :]
            tiles = products.reshape(len(x), len(w), 3, 2).sum(axis=3)
            return {"stage_0": tiles, "accumulator": tiles.sum(axis=2) + bias}

        with pytest.raises(BitMismatch, match=r"stage_0\[0, 0\] tile \d k \d\.\.\d: expected") as e:
            assert_bit_exact(
                dut, spec, input_format=INT4, weight_format=INT4, seed=1,
                sizes=SIZES, input_zero_point=0, weight_zero_point=0, bias=0,
            )  # fmt: skip
        difference = e.value.difference
        assert difference.k_range == (2 * difference.tile, 2 * difference.tile + 1)
        assert difference.left in {31, -32}
