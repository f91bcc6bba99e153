"""Tests for lsqsim.layer: what a layer's data says of itself, and what is refused."""

import numpy as np
import pytest

from lsqsim.errors import DataError
from lsqsim.layer import Layer
from lsqsim.specs import Conv2dSpec, Layout, LinearSpec

STEPS = {"input_step": 0.5, "weight_step": 0.5, "output_step": 0.5}


def layer(**fields):
    given = {"name": "fc", "spec": LinearSpec(), "weight": np.zeros((2, 3))} | STEPS
    return Layer(**given | fields)


class TestWorkedExamples:
    def test_shape_of_reals_and_of_codes(self):
        codes = np.zeros((4, 5), np.int64)
        assert (layer().weight_shape, layer().n_outputs) == ((2, 3), 2)
        coded = layer(weight=None, weight_codes=codes)
        assert (coded.weight_shape, coded.n_outputs) == ((4, 5), 4)

    @pytest.mark.parametrize(
        ("spec", "axis"),
        [(LinearSpec(), -1), (Conv2dSpec(), 1), (Conv2dSpec(layout=Layout.NHWC), -1)],
        ids=["linear", "nchw", "nhwc"],
    )
    def test_output_channel_axis(self, spec, axis):
        weight = np.zeros((2, 3) if spec == LinearSpec() else (2, 3, 1, 1))
        assert layer(spec=spec, weight=weight).output_channel_axis == axis

    def test_defaults(self):
        it = Layer(spec=LinearSpec(), weight=np.zeros((1, 1)), **STEPS)
        assert (it.input_zero_point, it.weight_zero_point, it.output_zero_point) == (0, 0, 0)
        assert (it.bias, it.bias_codes, it.name) == (None, None, "layer")

    @pytest.mark.parametrize("name", ["weight_step", "output_step", "weight_zero_point"])
    def test_one_or_one_a_channel(self, name):
        for value in (1, np.int64(1), np.array(1), np.array([1, 1])):
            layer(**{name: value})

    def test_steps_may_be_missing(self):
        """NaN stands for a step size to be calibrated."""
        layer(input_step=float("nan"), weight_step=float("nan"), output_step=float("nan"))


class TestLaws:
    def test_frozen(self):
        with pytest.raises(AttributeError):
            layer().name = "other"  # pyright: ignore[reportAttributeAccessIssue]


class TestRefusals:
    @pytest.mark.parametrize("codes", [None, np.zeros((2, 3), np.int64)])
    def test_weights_exactly_once(self, codes):
        weight = None if codes is None else np.zeros((2, 3))
        message = r"fc: give either weight \(real\) or weight_codes \(integers\)"
        with pytest.raises(DataError, match=message):
            layer(weight=weight, weight_codes=codes)

    def test_bias_at_most_once(self):
        ones = np.ones(2, np.int64)
        layer(bias=ones / 2)
        layer(bias_codes=ones)
        with pytest.raises(DataError, match=r"fc: give bias \(real\) or bias_codes .*, not both"):
            layer(bias=ones / 2, bias_codes=ones)

    @pytest.mark.parametrize(
        ("spec", "shape", "text"),
        [
            (LinearSpec(), (2, 3, 1), "a Linear layer have 2 axes"),
            (LinearSpec(), (6,), "a Linear layer have 2 axes"),
            (Conv2dSpec(), (2, 3), "a Conv2d layer have 4 axes"),
        ],
    )
    def test_axes(self, spec, shape, text):
        with pytest.raises(DataError, match=rf"fc: weights of {text}, got shape \({shape[0]}"):
            layer(spec=spec, weight=np.zeros(shape))

    def test_no_outputs(self):
        layer(weight=np.zeros((2, 0)))
        message = r"fc: a layer has at least one output channel, got weights of shape \(0, 3\)"
        with pytest.raises(DataError, match=message):
            layer(weight=np.zeros((0, 3)))

    @pytest.mark.parametrize("name", ["bias", "bias_codes"])
    @pytest.mark.parametrize("shape", [(3,), (), (2, 1)])
    def test_bias_shape(self, name, shape):
        message = rf"fc: {name} must have shape \(2,\), one an output channel, got \("
        with pytest.raises(DataError, match=message):
            layer(**{name: np.zeros(shape, np.int64)})

    @pytest.mark.parametrize("name", ["weight_step", "output_step", "weight_zero_point"])
    @pytest.mark.parametrize("shape", [(1,), (3,), (2, 1), (1, 2)])
    def test_parameters_a_channel(self, name, shape):
        noun = "integer" if name == "weight_zero_point" else "real number"
        message = rf"fc: {name} must be one {noun}, or one for each of 2 channels, got int64 of sh"
        with pytest.raises(DataError, match=message):
            layer(**{name: np.ones(shape, np.int64)})

    @pytest.mark.parametrize("name", ["input_step", "input_zero_point", "output_zero_point"])
    def test_parameters_of_the_whole_layer(self, name):
        noun = "real number" if name == "input_step" else "integer"
        with pytest.raises(DataError, match=rf"fc: {name} must be one {noun}, got int64 of shape"):
            layer(**{name: np.ones(2, np.int64)})

    @pytest.mark.parametrize("name", ["input", "weight", "output"])
    def test_numbers_of_another_kind(self, name):
        with pytest.raises(DataError, match=rf"fc: {name}_zero_point must be .*, got float64 of"):
            layer(**{f"{name}_zero_point": 1.5})
        for value in ("0.5", True, None, 0.5j):
            with pytest.raises(DataError, match=rf"fc: {name}_step must be one real number"):
                layer(**{f"{name}_step": value})
