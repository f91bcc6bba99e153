"""Tests for lsqsim.layer_file: every key there and back, and each way to get one wrong."""

import math
from dataclasses import fields

import numpy as np
import pytest

from lsqsim.calibration import missing_step_sizes
from lsqsim.errors import DataError, LsqsimError, SpecError
from lsqsim.layer import Layer
from lsqsim.layer_file import CONVOLUTION_KEYS, LINEAR_KEYS, load_layer, save_layer
from lsqsim.specs import Activation, Conv2dSpec, Layout, LinearSpec

WEIGHT = np.array([[0.5, -1.0], [0.25, 2.0], [0.0, 1.0]])
KERNELS = np.ones((4, 2, 3, 1))


def load(tmp_path, **arrays):
    np.savez(tmp_path / "fc.npz", **arrays)
    return load_layer(tmp_path / "fc.npz")


def zero_points(layer):
    return layer.input_zero_point, layer.weight_zero_point, layer.output_zero_point


def same(left, right):
    for field in fields(Layer):
        a, b = getattr(left, field.name), getattr(right, field.name)
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b, strict=True)
        else:
            assert a == b or a is b or (math.isnan(a) and math.isnan(b)), field.name
    return True


class TestReading:
    def test_the_least_there_can_be(self, tmp_path):
        layer = load(tmp_path, weight=WEIGHT)
        assert layer.name == "fc"
        assert layer.spec == LinearSpec()
        assert (layer.weight == WEIGHT).all()
        assert layer.bias is layer.weight_codes is layer.bias_codes is None
        assert missing_step_sizes(layer) == ("input_step", "weight_step", "output_step")
        assert zero_points(layer) == (0, 0, 0)

    def test_everything_a_linear_layer_has(self, tmp_path):
        layer = load(
            tmp_path,
            weight_codes=np.array([[1, -2]], np.int8),
            bias_codes=np.array([7], np.int32),
            input_step=np.float32(0.5),
            weight_step=[0.25],
            output_step=2,
            input_zero_point=3,
            weight_zero_point=np.int8(-1),
            output_zero_point=[4],
            activation="relu6",
        )
        assert layer.weight_codes.tolist() == [[1, -2]]
        assert layer.bias_codes.tolist() == [7]
        assert (layer.input_step, layer.weight_step, layer.output_step) == (0.5, 0.25, 2.0)
        assert zero_points(layer) == (3, -1, 4)
        assert layer.spec == LinearSpec(activation=Activation.RELU6)

    def test_one_step_size_a_channel(self, tmp_path):
        layer = load(
            tmp_path, weight=WEIGHT, weight_step=[1, 2, 3], output_step=[0.5, 1, 2],
            weight_zero_point=[1, 0, -1],
        )  # fmt: skip
        assert np.asarray(layer.weight_step).tolist() == [1.0, 2.0, 3.0]
        assert np.asarray(layer.output_step).tolist() == [0.5, 1.0, 2.0]
        assert np.asarray(layer.weight_zero_point).tolist() == [1, 0, -1]

    def test_a_convolution(self, tmp_path):
        layer = load(
            tmp_path, weight=KERNELS, stride=[2, 1], padding=[1, 2, 3, 4], dilation=2, groups=2,
            layout="nhwc", activation="relu",
        )  # fmt: skip
        assert layer.spec == Conv2dSpec(
            stride=(2, 1), padding=(1, 2, 3, 4), dilation=(2, 2), groups=2, layout=Layout.NHWC,
            activation=Activation.RELU,
        )  # fmt: skip

    def test_a_convolution_by_default(self, tmp_path):
        assert load(tmp_path, weight_codes=KERNELS.astype(int)).spec == Conv2dSpec()
        assert load(tmp_path, weight=KERNELS, padding=[1]).spec == Conv2dSpec(padding=(1, 1, 1, 1))

    def test_no_products(self, tmp_path):
        assert load(tmp_path, weight=np.zeros((3, 0))).weight_shape == (3, 0)


class TestLaws:
    @pytest.mark.parametrize(
        "layer",
        [
            Layer(
                spec=LinearSpec(), weight=WEIGHT, input_step=math.nan, weight_step=math.nan,
                output_step=math.nan, name="a",
            ),
            Layer(
                spec=LinearSpec(activation=Activation.RELU), weight=WEIGHT, bias=np.arange(3.0),
                input_step=0.5, weight_step=np.array([1.0, 2.0, 3.0]), output_step=0.125,
                input_zero_point=-3, weight_zero_point=np.array([1, 0, -1]), name="b",
            ),
            Layer(
                spec=Conv2dSpec(stride=(2, 3), padding=(0, 1, 2, 3), layout=Layout.NHWC, groups=2),
                weight_codes=KERNELS.astype(np.int16), bias_codes=np.arange(4), input_step=0.5,
                weight_step=1e-300, output_step=np.array([1.0, 2.0, 3.0, 4.0]),
                output_zero_point=200, name="c",
            ),
        ],
        ids=lambda layer: layer.name,
    )  # fmt: skip
    def test_a_saved_layer_reads_back(self, tmp_path, layer):
        save_layer(tmp_path / f"{layer.name}.npz", layer)
        assert same(load_layer(tmp_path / f"{layer.name}.npz"), layer)

    def test_every_field_of_a_layer_has_a_key(self):
        """All but its name, which is the file's, and its spec, whose fields have their own."""
        linear = {field.name for field in fields(Layer)} - {"name", "spec"}
        linear |= {field.name for field in fields(LinearSpec)}
        assert set(LINEAR_KEYS) == linear
        assert set(CONVOLUTION_KEYS) == {field.name for field in fields(Conv2dSpec)} - linear


class TestRefusals:
    @pytest.mark.parametrize(
        ("arrays", "text"),
        [
            ({"wieght": WEIGHT}, "unknown key 'wieght'; legal keys are weight, weight_codes, bias"),
            ({"bias": [1.0]}, r"neither weight \(real\) nor weight_codes \(integers\) is there"),
            ({"weight": WEIGHT, "weight_codes": [[1]]}, "give either weight"),
            ({"bias_codes": [1, 2, 3], "bias": WEIGHT[:, 0]}, r"give bias \(real\) or bias_codes"),
            ({"bias": [1.0]}, r"bias must have shape \(3,\), one an output channel, got \(1,\)"),
            ({"weight": np.ones(3)}, r"weights of a Linear layer have 2 axes, got shape \(3,\)"),
            ({"weight": np.ones((1, 2, 3))}, "have 2 axes"),
            ({"weight": np.ones((0, 3))}, "at least one output channel"),
            ({"weight": [[1, 2]]}, "got dtype int64; codes .* are stored as weight_codes"),
            ({"weight": [["a"]]}, "weight must hold real numbers"),
            ({"weight": np.ones((1, 2), np.longdouble)}, "weight must hold real numbers"),
            ({"bias": [1, 2, 3]}, "bias must hold real .* are stored as bias_codes"),
            ({"weight_codes": WEIGHT}, "weight_codes must hold integers, got dtype float64"),
            ({"weight_codes": WEIGHT > 0}, "weight_codes must hold integers, got dtype bool"),
            ({"bias_codes": WEIGHT[:, 0]}, "bias_codes must hold integers, got dtype float64"),
            ({"input_step": "a"}, "input_step must hold real numbers, got dtype <U1"),
            ({"input_step": 0.0}, "input_step must be finite and positive, got 0.0"),
            ({"input_step": -1}, "input_step must be finite and positive, got -1.0"),
            ({"input_step": math.nan}, "input_step must be finite and positive, got nan"),
            ({"weight_step": [1.0, math.inf, 1.0]}, "weight_step must be finite .* got inf"),
            ({"output_step": [1.0, 1.0, 0.0]}, "output_step must be finite and positive, got 0.0"),
            ({"input_step": [1.0, 1.0, 1.0]}, r"input_step must be one number, got shape \(3,\)"),
            ({"weight_step": [1.0, 1.0]}, r"weight_step must be one number or have shape \(3,\)"),
            ({"weight_step": [[1.0]]}, r"one an output channel, got shape \(1, 1\)"),
            ({"output_step": []}, r"output_step must be one number or have shape \(3,\)"),
            ({"input_zero_point": 1.0}, "input_zero_point must hold integers, got dtype float64"),
            ({"input_zero_point": [1, 2]}, r"input_zero_point must be one integer, .* \(2,\)"),
            ({"output_zero_point": [[1]]}, r"output_zero_point must be one integer, .* \(1, 1\)"),
            ({"weight_zero_point": [1, 2]}, r"weight_zero_point must be one .* shape \(3,\)"),
            ({"weight_zero_point": "1"}, "weight_zero_point must hold integers"),
            ({"activation": "elu"}, "activation must be one of none, relu, relu6, got 'elu'"),
            ({"activation": ["relu"]}, r"activation must be one of .* got \['relu'\]"),
            ({"activation": 1}, "activation must hold a string, got dtype int64"),
            ({"stride": 2}, r"stride is for convolutions, .* have shape \(3, 2\)"),
            ({"weight": KERNELS, "stride": 0}, r"stride must be 1 or more, got \(0, 0\)"),
            ({"weight": KERNELS, "stride": [1, 2, 3]}, r"stride must be one integer or 2.* \(3,\)"),
            ({"weight": KERNELS, "stride": 1.5}, "stride must hold integers, got dtype float64"),
            ({"weight": KERNELS, "padding": -1}, "padding must be 0 or more"),
            ({"weight": KERNELS, "padding": [1, 1]}, r"padding must be one integer or 4.* \(2,\)"),
            ({"weight": KERNELS, "padding": 65536}, "padding must be at most 65535, got 65536"),
            ({"weight": KERNELS, "groups": np.array([], int)}, r"groups must be one .* \(0,\)"),
            ({"weight": KERNELS, "layout": "nwhc"}, "layout must be one of nchw, nhwc, got 'nwhc'"),
        ],
    )  # fmt: skip
    def test_contents(self, tmp_path, arrays, text):
        if not {"weight", "weight_codes", "wieght"} & set(arrays) and "neither" not in text:
            arrays = arrays | {"weight": WEIGHT}
        with pytest.raises(LsqsimError, match=text) as refusal:
            load(tmp_path, **arrays)
        assert str(refusal.value).startswith(str(tmp_path / "fc.npz"))
        geometry = text.startswith(("stride must be 1", "padding must be 0"))
        assert isinstance(refusal.value, SpecError if geometry else DataError)

    def test_at_the_limits(self, tmp_path):
        layer = load(tmp_path, weight=KERNELS, padding=65535)
        assert layer.spec == Conv2dSpec(padding=(65535,) * 4)
        assert load(tmp_path, weight=WEIGHT, input_step=5e-324).input_step == 5e-324

    @pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04"])
    def test_files_that_hold_no_layer(self, tmp_path, content):
        (tmp_path / "fc.npz").write_bytes(content)
        with pytest.raises(DataError, match=str(tmp_path / "fc.npz")):
            load_layer(tmp_path / "fc.npz")
