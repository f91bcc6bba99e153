"""Tests for lsqsim.convolution: the matrices it forms, against plain index loops."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

import oracle
from lsqsim.convolution import conv_shape, from_rows, patches, weight_matrix
from lsqsim.errors import DataError
from lsqsim.specs import Conv2dSpec, Layout

NCHW, NHWC = Layout


def operand_pairs(x, w, spec, pad):
    """(output channel, pairs in K order) of each output, in C order, as the unit forms them."""
    shape = conv_shape(spec, x.shape, w.shape)
    inputs, weights = patches(x, spec, shape, pad), weight_matrix(w)
    assert inputs.shape == (spec.groups, shape.rows, shape.k)
    per_group = shape.out_channels // spec.groups
    pairs = np.empty((shape.rows, shape.out_channels, shape.k, 2), x.dtype)
    for j in range(shape.out_channels):
        pairs[:, j, :, 0] = inputs[j // per_group]
        pairs[:, j, :, 1] = weights[j]
    image = from_rows(pairs, spec, shape)
    channel = from_rows(
        np.broadcast_to(np.arange(shape.out_channels), (shape.rows, shape.out_channels)),
        spec, shape,
    )  # fmt: skip
    flat = image.reshape(-1, shape.k, 2).tolist()
    return [
        (j, [tuple(pair) for pair in k_pairs])
        for j, k_pairs in zip(channel.reshape(-1).tolist(), flat, strict=True)
    ]


def numbered(shape, start):
    """Distinct numbers, so that a wrong index can't hide."""
    return np.arange(start, start + int(np.prod(shape))).reshape(shape)


@st.composite
def convolutions(draw):
    """(spec, x, w) with shapes that meet; strides, dilations and paddings differ by axis."""
    small = st.integers(1, 3)
    groups, per_group, out_per_group = draw(small), draw(st.integers(1, 2)), draw(small)
    (kh, kw), (dh, dw) = draw(st.tuples(small, small)), draw(st.tuples(small, small))
    padding = draw(st.tuples(*[st.integers(0, 2)] * 4))
    least_h = max(1, dh * (kh - 1) + 1 - padding[0] - padding[1])
    least_w = max(1, dw * (kw - 1) + 1 - padding[2] - padding[3])
    h, w = least_h + draw(st.integers(0, 3)), least_w + draw(st.integers(0, 3))
    layout = draw(st.sampled_from(Layout))
    spec = Conv2dSpec(
        stride=draw(st.tuples(small, small)), padding=padding, dilation=(dh, dw), groups=groups,
        layout=layout,
    )  # fmt: skip
    n, c, o = draw(st.integers(0, 2)), groups * per_group, groups * out_per_group
    if layout is NCHW:
        return spec, (n, c, h, w), (o, per_group, kh, kw)
    return spec, (n, h, w, c), (o, kh, kw, per_group)


class TestWorkedExamples:
    @pytest.mark.parametrize(("layout", "x_shape", "w_shape"), [
        (NCHW, (2, 6, 9, 8), (4, 3, 3, 2)),
        (NHWC, (2, 9, 8, 6), (4, 3, 2, 3)),
    ])  # fmt: skip
    def test_sizes(self, layout, x_shape, w_shape):
        spec = Conv2dSpec(
            stride=(2, 3), padding=(1, 0, 2, 1), dilation=(2, 1), groups=2, layout=layout
        )
        shape = conv_shape(spec, x_shape, w_shape)
        # height: 10 padded, the kernel reaches over 5; width: 11 padded, it reaches over 2
        assert (shape.out_height, shape.out_width) == (3, 4)
        assert (shape.batch, shape.in_channels, shape.out_channels) == (2, 6, 4)
        assert (shape.k, shape.rows, shape.kernel) == (18, 24, (3, 2))

    def test_padding_holds_the_given_code(self):
        x, w = np.array([[[[5]]]]), np.ones((1, 1, 3, 3), np.int64)
        spec = Conv2dSpec(padding=(1, 1, 1, 1))
        shape = conv_shape(spec, x.shape, w.shape)
        assert patches(x, spec, shape, -9).tolist() == [[[-9] * 4 + [5] + [-9] * 4]]

    def test_output_channels_come_second_in_nchw_and_last_in_nhwc(self):
        rows = np.arange(6).reshape(2, 3)  # two positions, three channels
        nchw = conv_shape(Conv2dSpec(), (1, 1, 1, 2), (3, 1, 1, 1))
        assert from_rows(rows, Conv2dSpec(), nchw).tolist() == [[[[0, 3]], [[1, 4]], [[2, 5]]]]
        spec = Conv2dSpec(layout=NHWC)
        nhwc = conv_shape(spec, (1, 1, 2, 1), (3, 1, 1, 1))
        assert from_rows(rows, spec, nhwc).tolist() == [[[[0, 1, 2], [3, 4, 5]]]]


class TestAgainstOracle:
    """Every output is formed of the pairs, in the order, that the index loops give."""

    @given(convolutions(), st.integers(-5, 5))
    def test_pairs(self, convolution, z_x):
        spec, x_shape, w_shape = convolution
        x, w = numbered(x_shape, 1000), numbered(w_shape, 1)
        got = operand_pairs(x, w, spec, z_x)
        expected = oracle.conv2d_operands(x.tolist(), w.tolist(), spec, z_x) if x_shape[0] else []
        assert got == expected

    @given(convolutions())
    def test_sizes(self, convolution):
        spec, x_shape, w_shape = convolution
        shape = conv_shape(spec, x_shape, w_shape)
        h, w = x_shape[2:] if spec.layout is NCHW else x_shape[1:3]
        size = oracle.conv2d_output_size(spec, h, w, *shape.kernel)
        assert (shape.out_height, shape.out_width) == size


class TestLaws:
    @given(convolutions())
    def test_layouts_agree(self, convolution):
        """NHWC is NCHW with its axes, and its K, in another order."""
        spec, x_shape, w_shape = convolution
        if spec.layout is NHWC:
            return
        x, w = numbered(x_shape, 1000), numbered(w_shape, 1)
        other = Conv2dSpec(
            stride=spec.stride, padding=spec.padding, dilation=spec.dilation, groups=spec.groups,
            layout=NHWC,
        )  # fmt: skip
        pairs = operand_pairs(x, w, spec, 0)
        moved = operand_pairs(x.transpose(0, 2, 3, 1), w.transpose(0, 2, 3, 1), other, 0)
        assert sorted(map(sorted_pairs, pairs)) == sorted(map(sorted_pairs, moved))

    def test_one_by_one_is_a_matrix_product(self):
        x, w = numbered((2, 3, 4, 5), 0), numbered((6, 3, 1, 1), 0)
        spec = Conv2dSpec()
        shape = conv_shape(spec, x.shape, w.shape)
        product = patches(x, spec, shape, 0)[0] @ weight_matrix(w).T
        expected = np.einsum("nchw,oc->nohw", x, w[:, :, 0, 0])
        assert (from_rows(product, spec, shape) == expected).all()

    def test_dtype_stays(self):
        x = np.ones((1, 1, 2, 2), np.float32)
        shape = conv_shape(Conv2dSpec(), x.shape, (1, 1, 1, 1))
        assert patches(x, Conv2dSpec(), shape, 0.0).dtype == np.float32

    def test_no_output_channels(self):
        shape = conv_shape(Conv2dSpec(), (1, 2, 3, 3), (0, 2, 1, 1))
        assert weight_matrix(np.empty((0, 2, 1, 1))).shape == (0, shape.k)


def sorted_pairs(output):
    channel, pairs = output
    return channel, sorted(pairs)


class TestRefusals:
    @pytest.mark.parametrize(
        ("x", "w", "message"),
        [
            ((1, 1, 2), (1, 1, 1, 1), r"with 4 axes, got \(1, 1, 2\) and \(1, 1, 1, 1\)"),
            ((1, 1, 2, 2), (1, 1), r"with 4 axes, got \(1, 1, 2, 2\) and \(1, 1\)"),
            ((1, 3, 2, 2), (2, 2, 1, 1), "3 input channels, but the weights take 2 in each of 1"),
            ((1, 1, 2, 2), (1, 1, 3, 1), "reaches over 3 positions of height, but .* has 2"),
            ((1, 1, 2, 2), (1, 1, 1, 3), "reaches over 3 positions of width, but .* has 2"),
            ((1, 1, 2, 2), (1, 1, 0, 1), "the kernel's height must be 1 or more, got 0"),
            ((1, 1, 2, 2), (1, 1, 1, 0), "the kernel's width must be 1 or more, got 0"),
        ],
    )
    def test_shapes(self, x, w, message):
        with pytest.raises(DataError, match=message):
            conv_shape(Conv2dSpec(), x, w)

    @pytest.mark.parametrize(
        ("x", "w"), [((1, 3, 2, 2), (2, 1, 1, 1)), ((1, 2, 2, 2), (3, 1, 1, 1))]
    )
    def test_groups_divide_the_channels(self, x, w):
        with pytest.raises(DataError, match="groups must divide the channels: groups is 2"):
            conv_shape(Conv2dSpec(groups=2), x, w)

    def test_the_largest_kernel_that_fits(self):
        spec = Conv2dSpec(dilation=(2, 1), padding=(1, 1, 0, 0))
        shape = conv_shape(spec, (1, 1, 3, 2), (1, 1, 3, 2))
        assert (shape.out_height, shape.out_width) == (1, 1)
        with pytest.raises(DataError, match="reaches over 5 positions of height"):
            conv_shape(spec, (1, 1, 2, 2), (1, 1, 3, 2))
