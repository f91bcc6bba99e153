"""Tests for lsqsim.network.shapes and nodes: what fits, and each refusal."""

import numpy as np
import pytest

from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat
from lsqsim.network.encoding import Encoding
from lsqsim.network.nodes import (
    Add,
    AveragePool,
    Concat,
    Flatten,
    GlobalAveragePool,
    MaxPool,
    Requantize,
)
from lsqsim.network.shapes import output_encoding, output_shape
from lsqsim.specs import Activation, Conv2dSpec, Layout
from networks import S8, layer_node, rescaler

CODES = Encoding(format=S8, step_size=1.0)
STORED = {"output": CODES, "rescaler": rescaler(S8)}


def conv(**fields):
    return layer_node("conv", "x", CODES, CODES, np.ones((4, 3, 3, 2), int), **fields)


def linear(**fields):
    return layer_node("fc", "x", CODES, CODES, np.ones((4, 6), int), **fields)


class TestShapes:
    @pytest.mark.parametrize(
        ("node", "shapes", "expected"),
        [
            (conv(), [(3, 5, 2)], (1, 3, 4)),
            (conv(geometry={"padding": (1, 0, 2, 3), "stride": (2, 1)}), [(4, 4, 2)], (2, 7, 4)),
            (linear(), [(6,)], (4,)),
            (MaxPool(name="n", source="x", kernel=(3, 2), stride=(2, 2), padding=(1, 1, 0, 1)),
             [(5, 4, 7)], (3, 2, 7)),
            (AveragePool(name="n", source="x", kernel=(2, 3), stride=(2, 3), **STORED),
             [(5, 8, 1)], (2, 2, 1)),
            (GlobalAveragePool(name="n", source="x", **STORED), [(5, 8, 3)], (3,)),
            (Flatten(name="n", source="x"), [(2, 3, 4)], (24,)),
            (Flatten(name="n", source="x"), [(5,)], (5,)),
            (Add(name="n", source="x", other="y", output=CODES), [(2, 3, 4)] * 2, (2, 3, 4)),
            (Concat(name="n", source="x", others=("y", "z"), **STORED),
             [(2, 3, 4), (2, 3, 1), (2, 3, 2)], (2, 3, 7)),
            (Concat(name="n", source="x", others=(), **STORED), [(3,)], (3,)),
            (Requantize(name="n", source="x", **STORED), [(2, 3, 4)], (2, 3, 4)),
        ],
    )  # fmt: skip
    def test_of_one_sample(self, node, shapes, expected):
        assert output_shape(node, shapes) == expected

    @pytest.mark.parametrize(
        ("node", "shapes", "message"),
        [
            (conv(), [(6,)], r"conv takes an image \(h, w, c\), got \(6,\)"),
            (conv(), [(2, 5, 2)], r"conv: the kernel reaches over 3 positions of height, but"),
            (conv(), [(3, 5, 3)], r"conv: inputs \(1, 3, 5, 3\) and weights .* do not meet"),
            (linear(), [(7,)], r"fc takes a vector of 6 features, got \(7,\)$"),
            (linear(), [(1, 2, 3)], r"fc takes a vector of 6 features, got \(1, 2, 3\): flatten"),
            (MaxPool(name="n", source="x"), [(4,)], r"n takes an image \(h, w, c\), got \(4,\)"),
            (MaxPool(name="n", source="x", kernel=(3, 2)), [(2, 2, 1)],
             r"n: a window of 3 x 2 does not fit an image of 2 x 2 with padding \(0, 0, 0, 0\)"),
            (AveragePool(name="n", source="x", kernel=(2, 3), **STORED), [(2, 2, 1)],
             r"n: a window of 2 x 3 does not fit an image of 2 x 2"),
            (GlobalAveragePool(name="n", source="x", **STORED), [(4,)], r"n takes an image"),
            (Add(name="n", source="x", other="y", output=CODES), [(2,), (3,)],
             r"n adds codes of one shape, got \(2,\) and \(3,\)"),
            (Concat(name="n", source="x", others=("y",), **STORED), [(2, 3, 1), (2, 2, 1)],
             r"n joins channels of images of one size, got \(2, 3, 1\) and \(2, 2, 1\)"),
            (Flatten(name="n", source="x"), [(1 << 20, 1 << 20, 2)],
             r"n puts out \(\d+,\), more than"),
            (MaxPool(name="n", source="x", kernel=(1, 1 << 29), stride=(1, 1 << 29),
                     padding=(0, 0, 1 << 28, 0)), [(1, 1, 1)],
             r"n pads to \(1, 268435457, 1\), more than 268435456 codes a sample"),
            (conv(geometry={"padding": (0, 1 << 28, 0, 0), "stride": (1 << 28, 1)}), [(3, 3, 2)],
             r"conv pads to \(268435459, 3, 2\), more than"),
        ],
    )  # fmt: skip
    def test_refusals(self, node, shapes, message):
        with pytest.raises(SpecError, match=message):
            output_shape(node, shapes)

    def test_images_have_channels_last(self):
        nchw = conv(spec=Conv2dSpec(layout=Layout.NCHW))
        with pytest.raises(
            SpecError, match=r"conv: a network's images have channels last: set lay"
        ):
            output_shape(nchw, [(3, 5, 2)])


class TestEncodings:
    def test_a_layer_puts_out_its_own(self):
        output = Encoding(format=IntFormat(4), step_size=0.5, zero_point=-2)
        node = layer_node("fc", "x", CODES, output, np.ones((1, 2), int))
        assert output_encoding(node, [CODES]) == output

    @pytest.mark.parametrize("step", [np.float64(2.0), np.array(2.0), np.float32(2.0), 2])
    def test_one_step_size_of_any_type(self, step):
        assert output_encoding(linear(output_step=step), [CODES]).step_size == 2.0

    @pytest.mark.parametrize(
        "other",
        [
            Encoding(format=IntFormat(7), step_size=1.0),
            Encoding(format=S8, step_size=1.5),
            Encoding(format=S8, step_size=1.0, zero_point=1),
        ],
    )
    def test_a_layer_takes_its_own(self, other):
        message = rf"fc takes {CODES}, but x puts out {other}: give both the same"
        with pytest.raises(SpecError, match=message):
            output_encoding(linear(), [other])

    def test_step_sizes_by_channel(self):
        with pytest.raises(SpecError, match=r"fc: a node's codes have one step size, got one for "
                           r"each of 4 channels: give output_step one value"):  # fmt: skip
            output_encoding(linear(output_step=np.ones(4)), [CODES])

    def test_moving_keeps_and_storing_states(self):
        other = Encoding(format=IntFormat(4), step_size=3.0)
        assert output_encoding(Flatten(name="n", source="x"), [other]) == other
        assert output_encoding(Requantize(name="n", source="x", **STORED), [other]) == CODES


class TestNodes:
    @pytest.mark.parametrize("padding", [(2, 0, 0, 0), (0, 2, 0, 0), (0, 0, 3, 0), (0, 0, 0, 3)])
    def test_padding_is_smaller_than_the_window(self, padding):
        MaxPool(name="n", source="x", kernel=(2, 3), padding=(1, 1, 2, 2))
        with pytest.raises(SpecError, match=r"n: padding must be 0 or more, and smaller than the "
                           r"window \(2, 3\), got"):  # fmt: skip
            MaxPool(name="n", source="x", kernel=(2, 3), padding=padding)

    def test_windows(self):
        with pytest.raises(
            SpecError, match=r"n: padding must be 0 or more, .* got \(0, 0, 0, -1\)"
        ):
            MaxPool(name="n", source="x", padding=(0, 0, 0, -1))
        with pytest.raises(SpecError, match=r"n: kernel and stride must be 1 or more, got \(2, 2\) "
                           r"and \(0, 1\)"):  # fmt: skip
            MaxPool(name="n", source="x", stride=(0, 1))

    def test_offsets_of_a_concatenation(self):
        with pytest.raises(SpecError, match=r"n: offsets are one for each of 2 sources, got 1"):
            Concat(name="n", source="x", others=("y",), offsets=(1.0,), **STORED)
        with pytest.raises(SpecError, match=r"n: offsets must be finite, got \(0\.0, inf\)"):
            Concat(name="n", source="x", others=("y",), offsets=(0.0, float("inf")), **STORED)

    def test_relu6(self):
        with pytest.raises(SpecError, match=r"n: activation must be none or relu, got relu6"):
            Requantize(name="n", source="x", activation=Activation.RELU6, **STORED)
