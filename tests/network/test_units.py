"""Tests for lsqsim.network.units: every kind of node on nested lists, windows and their edges."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

import network_oracle
import oracle
from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat, Overflow
from lsqsim.network.encoding import Encoding
from lsqsim.network.network import Keep
from lsqsim.network.nodes import Add, AveragePool, Concat, Flatten, GlobalAveragePool, MaxPool
from lsqsim.network.units import build_unit
from lsqsim.specs import AccumulatorSpec, StageSpec, ZeroPointHandling
from networks import every_kind, inputs, rescaler

S4 = IntFormat(4)
CODES = Encoding(format=S4, step_size=1.0, zero_point=2)
WIDE = AccumulatorSpec(stages=(StageSpec(bits=40),), zero_points=ZeroPointHandling.CENTER)


def run(node, codes, encoding=CODES):
    codes = np.array(codes)
    unit = build_unit(node, [encoding], [codes.shape[1:]])
    return unit.run([encoding.tensor(codes)], observe=True)


class TestMaxPool:
    def test_negative_codes_beat_the_padding(self):
        """A window at the corner holds one code and three of padding."""
        node = MaxPool(name="max", source="x", stride=(1, 1), padding=(1, 0, 1, 0))
        got = run(node, [[[[-8], [-7]], [[-6], [-8]]]]).output
        assert got.codes[0, :, :, 0].tolist() == [[-8, -7], [-6, -6]]
        assert (got.format, got.zero_point) == (S4, 2)

    def test_all_least_codes(self):
        node = MaxPool(name="max", source="x", stride=(1, 1), padding=(1, 1, 1, 1))
        assert (run(node, np.full((1, 2, 2, 1), -8)).output.codes == -8).all()

    @given(st.data())
    def test_windows(self, data):
        kernel = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
        stride = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
        sides = [st.integers(0, kernel[0] - 1)] * 2 + [st.integers(0, kernel[1] - 1)] * 2
        padding = data.draw(st.tuples(*sides))
        rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
        image = rng.integers(-8, 8, (1, 4, 5, 2))
        node = MaxPool(name="max", source="x", kernel=kernel, stride=stride, padding=padding)
        found = network_oracle.windows(image[0].tolist(), kernel, stride, padding)
        expected = [
            [[max(c for c in window if c is not None) for window in place] for place in row]
            for row in found
        ]
        assert run(node, image).output.codes[0].tolist() == expected


class TestMeans:
    @given(st.data())
    def test_windows(self, data):
        kernel = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
        stride = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
        output = Encoding(format=IntFormat(6), step_size=0.3, zero_point=-4)
        node = AveragePool(name="mean", source="x", kernel=kernel, stride=stride, output=output,
                           rescaler=rescaler(output.format))  # fmt: skip
        rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
        image = rng.integers(-8, 8, (1, 4, 5, 2))
        expected = [
            [[network_oracle.mean(node, CODES, window, node.accumulator) for window in place]
             for place in row]
            for row in network_oracle.windows(image[0].tolist(), kernel, stride)
        ]  # fmt: skip
        result = run(node, image)
        assert result.output.codes[0].tolist() == expected
        assert result.accumulators.shape == result.overflow.kind.shape == result.output.codes.shape

    def test_of_the_whole_image(self):
        """Channels (1, 2, 3, 6) - 2 and (0, 0, 0, -1) - 2: means 1 and -9/4."""
        node = GlobalAveragePool(name="mean", source="x", output=CODES, rescaler=rescaler(S4))
        result = run(node, [[[[1, 0], [2, 0]], [[3, 0], [6, -1]]]])
        assert result.accumulators.tolist() == [[4, -9]]
        assert result.output.codes.tolist() == [[3, 0]]

    def test_rows_of_the_image_enter_one_after_the_other(self):
        """7 + 7 saturates at 7 before -8 and -8 come; column by column, 7 - 8 + 7 - 8 = -2."""
        plain = Encoding(format=S4, step_size=1.0)
        four = AccumulatorSpec(stages=(StageSpec(bits=4, overflow=Overflow.SATURATE),))
        node = GlobalAveragePool(
            name="mean", source="x", output=plain, rescaler=rescaler(S4), accumulator=four
        )
        result = run(node, [[[[7], [7]], [[-8], [-8]]]], plain)
        assert result.accumulators.tolist() == [[-8]]


class TestMoving:
    def test_flatten_in_the_order_h_w_c(self):
        image = np.arange(8).reshape(1, 2, 2, 2) - 4
        got = run(Flatten(name="flat", source="x"), image).output.codes
        assert got.tolist() == [list(range(-4, 4))]

    def test_flatten_no_images(self):
        assert run(
            Flatten(name="f", source="x"), np.zeros((0, 2, 2, 1), int)
        ).output.codes.shape == (
            0,
            4,
        )

    def test_concat_requantizes_each_source(self):
        """Steps 1 and 1/2, zero points 2 and 0, into step 1 and zero point 0."""
        half = Encoding(format=IntFormat(8), step_size=0.5)
        output = Encoding(format=IntFormat(8), step_size=1.0)
        node = Concat(name="both", source="a", others=("b", "a"), output=output,
                      rescaler=rescaler(output.format), bias=1.0,
                      offsets=(0.0, 0.0, 3.0))  # fmt: skip
        unit = build_unit(node, [CODES, half, CODES], [(1,), (2,), (1,)])
        a, b = CODES.tensor(np.array([[5]])), half.tensor(np.array([[4, -6]]))
        assert unit.run([a, b, a], observe=False).output.codes.tolist() == [[4, 3, -2, 7]]


@pytest.fixture(scope="module")
def network():
    return every_kind()


@pytest.fixture(scope="module")
def results(network):
    return network.run(inputs(network, 3), keep=Keep.ALL, observe=True)


class TestEveryNodeOfANetwork:
    """A network with every kind of node, each checked code by code from the codes before it."""

    @pytest.mark.parametrize("name", ["narrow", "some"])
    def test_requantize(self, network, results, name):
        node = network.nodes[name]
        source = results.codes(node.source).codes
        encoding = network.encodings[node.source]
        table = {
            c: network_oracle.mean(node, encoding, [c], WIDE) for c in np.unique(source).tolist()
        }
        expected = np.vectorize(table.get)(source)
        assert (results.codes(name).codes == expected).all()

    def test_concat(self, network, results):
        node = network.nodes["both"]
        expected = [
            [
                network_oracle.mean(node, network.encodings[name], [code], WIDE, bias)
                for name, bias in zip(node.sources, node.biases, strict=True)
                for code in results.codes(name).codes[i].tolist()
            ]
            for i in range(3)
        ]
        assert results.codes("both").codes.tolist() == expected

    def test_add(self, network, results):
        node = network.nodes["add"]
        left, right = (results.codes(source).codes for source in node.sources)
        encodings = [network.encodings[source] for source in node.sources]
        expected = [
            network_oracle.add(node, *encodings, *pair)
            for pair in zip(left.ravel().tolist(), right.ravel().tolist(), strict=True)
        ]
        assert results.codes("add").codes.ravel().tolist() == expected

    @pytest.mark.parametrize("name", ["conv", "branch", "fc"])
    def test_layers(self, network, results, name):
        """Accumulators: pairs of codes by index loops, reduced by the oracle."""
        unit = network.nodes[name].unit
        x = results.codes(network.nodes[name].source).codes.tolist()
        w = unit.weight.codes.tolist()
        zero = unit.layer.input_zero_point
        pairs = (
            oracle.linear_operands(x, w)
            if name == "fc"
            else oracle.conv2d_operands(x, w, unit.layer.spec, zero)
        )
        bias = [0] * unit.layer.n_outputs if unit.bias is None else unit.bias.codes.tolist()
        expected = [
            oracle.reduce([a for a, _ in row], [b for _, b in row], bias[channel],
                          unit.spec.accumulator, zero).register
            for channel, row in pairs
        ]  # fmt: skip
        assert results.results[name].accumulators.ravel().tolist() == expected


class TestRefusals:
    def test_an_addition_names_its_node(self):
        node = Add(name="sum", source="a", other="b", output=CODES)
        tiny = Encoding(format=S4, step_size=1e-9)
        with pytest.raises(
            SpecError, match=r"sum: a source's step size is 1e-09 output steps: its "
        ):
            build_unit(node, [CODES, tiny], [(1,), (1,)])
