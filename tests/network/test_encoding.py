"""Tests for lsqsim.network.encoding: what codes mean, and the input's quantizer."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from lsqsim.errors import DataError, SpecError
from lsqsim.formats import IntFormat
from lsqsim.network.encoding import Encoding, InputSpec, encoding_of
from lsqsim.network.reference import reference_input
from lsqsim.specs import QuantizerSpec, StepArithmetic
from lsqsim.tensor import QTensor

U4 = IntFormat(4, signed=False)


def source(**fields):
    given = {"shape": (2,), "quantizer": QuantizerSpec(format=U4), "step_size": 0.5}
    return InputSpec(**(given | fields))


class TestEncoding:
    def test_tensor_and_back(self):
        encoding = Encoding(format=U4, step_size=0.5, zero_point=3)
        tensor = encoding.tensor(np.array([3, 5]))
        assert tensor.dequantize().tolist() == [0.0, 1.0]
        assert encoding_of(tensor) == encoding
        assert encoding.centered == (-3, 12)
        assert str(encoding) == "uint4 of step size 0.5, zero point 3"

    @pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), float("inf")])
    def test_step_sizes(self, step):
        with pytest.raises(SpecError, match=r"step_size must be finite and positive, got"):
            Encoding(format=U4, step_size=step)

    def test_zero_points(self):
        Encoding(format=U4, step_size=1.0, zero_point=15)
        for zero in (-1, 16):
            with pytest.raises(SpecError, match=rf"must be a code of uint4 \[0, 15\], got {zero}"):
                Encoding(format=U4, step_size=1.0, zero_point=zero)

    def test_parameters_by_channel(self):
        tensor = QTensor(codes=np.zeros((1, 2), np.int64), format=U4, step_size=np.ones(2),
                         zero_point=np.array(0), channel_axis=1)  # fmt: skip
        with pytest.raises(DataError, match=r"have one step size, these have one a channel"):
            encoding_of(tensor)


class TestInput:
    def test_zero_point(self):
        tensor = source(zero_point=2).quantize([[-2.0, 0.0, 0.5, 9.0]])
        assert tensor.codes.tolist() == [[0, 2, 3, 15]]
        assert encoding_of(tensor) == source(zero_point=2).encoding

    def test_offset(self):
        """Codes 0 .. 15 mean -1.125 and up by halves: real 0 is nearest to code 2."""
        tensor = source(offset=-1.125, zero_point=2).quantize([[-1.125, 0.0, -0.9, 6.375, 7.0]])
        assert tensor.codes.tolist() == [[0, 2, 0, 15, 15]]
        assert tensor.zero_point == 2

    @pytest.mark.parametrize("arithmetic", StepArithmetic)
    def test_offset_is_subtracted_in_the_width_of_the_division(self, arithmetic):
        """float32 rounds 1 + 2**-24 + 0.5 to 1.5, a tie; float64 keeps it above the tie."""
        spec = source(step_size=1.0, offset=-0.5, zero_point=0,
                      quantizer=QuantizerSpec(format=U4, arithmetic=arithmetic))  # fmt: skip
        got = spec.quantize(np.array([2 + 2.0**-24])).codes.tolist()
        assert got == ([3] if arithmetic is StepArithmetic.DIVIDE_FLOAT64 else [2])

    @given(st.floats(-20, 20), st.floats(-3, 3), st.integers(0, 15))
    def test_the_reference_has_the_same_codes(self, x, offset, zero):
        spec = source(offset=offset, zero_point=zero)
        assert spec.quantize([x]).codes.tolist() == reference_input(spec, [x]).tolist()

    def test_round_trip(self):
        spec = source(offset=0.1, zero_point=1, shape=(2, 3, 4))
        assert InputSpec.from_toml(spec.to_toml()) == spec

    @pytest.mark.parametrize("shape", [(), (0,), (2, 3), (1, 2, 3, 4), (3, 0, 2)])
    def test_shapes(self, shape):
        with pytest.raises(SpecError, match=r"must be \(h, w, c\) or \(features,\), each 1 or mor"):
            source(shape=shape)

    def test_refusals(self):
        with pytest.raises(SpecError, match=r"the input has one step size: its quantizer must be"):
            source(quantizer=QuantizerSpec(format=U4, channel_axis=1))
        with pytest.raises(SpecError, match=r"the input's offset must be finite, got inf"):
            source(offset=float("inf"))
        with pytest.raises(SpecError, match=r"step_size must be finite and positive, got 0\.0"):
            source(step_size=0.0)
        single = QuantizerSpec(format=U4, arithmetic=StepArithmetic.DIVIDE_FLOAT32)
        with pytest.raises(SpecError, match=r"as must its float32 value, got 1e-60"):
            source(step_size=1e-60, quantizer=single)
        with pytest.raises(DataError, match=r"NaN has no code"):
            source(offset=0.5).quantize([np.nan])
