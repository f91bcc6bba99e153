"""Tests for lsqsim.chain: layers in a row on paper, laws, refusals."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from lsqsim.chain import Chain
from lsqsim.datapath import CompiledLayer
from lsqsim.errors import DataError, SpecError
from lsqsim.formats import IntFormat, Overflow, Rounding
from lsqsim.layer import Layer
from lsqsim.reference import ideal_input_codes
from lsqsim.specs import (
    Activation,
    Conv2dSpec,
    Granularity,
    Layout,
    LinearSpec,
    StageSpec,
    simple_datapath,
)

SPEC = simple_datapath(weight_bits=4, activation_bits=6, acc_bits=16, input_signed=True,
                       output_signed=True)  # fmt: skip


def layer(name, weight, **fields):
    given = {
        "name": name, "spec": LinearSpec(), "weight": np.array(weight, float),
        "input_step": 1.0, "weight_step": 1.0, "output_step": 1.0,
    } | fields  # fmt: skip
    return Layer(**given)


def chain(*layers, spec=SPEC):
    return Chain([CompiledLayer(each, spec) for each in layers])


def two_layers():
    """y = relu(x0 - x1, x0 + x1), z = y0 - 2 y1 + 1; zero points and steps on the way."""
    return chain(
        layer("first", [[1, -1], [1, 1]], spec=LinearSpec(activation=Activation.RELU),
              output_step=0.5, output_zero_point=-3),
        layer("second", [[1, -2]], bias=np.array([1.0]), input_step=0.5, input_zero_point=-3),
    )  # fmt: skip


class TestWorkedExamples:
    def test_two_layers(self):
        """(3, 2): y = (1, 5), codes 2 - 3 and 10 - 3; z = 1 - 10 + 1."""
        first, second = two_layers().run([[3.0, 2.0], [1.0, 2.0]])
        assert first.output.codes.tolist() == [[-1, 7], [-3, 3]]
        assert second.input is first.output
        assert second.output.codes.tolist() == [[-8], [-5]]

    def test_reference(self):
        first, second = two_layers().reference([[3.0, 2.0], [1.0, 2.0]])
        assert first.codes.tolist() == [[-1, 7], [-3, 3]]
        assert second.output.tolist() == [[-8.0], [-5.0]]
        assert second.codes.tolist() == [[-8], [-5]]

    def test_reference_on_codes(self):
        net = two_layers()
        codes = net.layers[0].input_codes([[3.0, 2.0]])
        assert net.reference(codes)[-1].codes.tolist() == [[-8]]

    def test_the_reference_does_not_overflow(self):
        """4 + 4 wraps to -8 in four bits, and is 8 in the reference."""
        narrow = simple_datapath(weight_bits=4, activation_bits=6, acc_bits=4, input_signed=True,
                                 output_signed=True)  # fmt: skip
        net = chain(layer("one", [[1, 1]]), spec=narrow)
        assert net.run([[4.0, 4.0]])[0].output.codes.tolist() == [[-8]]
        assert net.reference([[4.0, 4.0]])[0].codes.tolist() == [[8]]

    def test_observing(self):
        net = two_layers()
        assert all(result.overflow is not None for result in net.run([[3.0, 2.0]]))
        plain = net.run([[3.0, 2.0]], observe=False)
        assert all(result.overflow is None for result in plain)

    def test_classes(self):
        """The first of equals."""
        net = chain(layer("one", [[1], [2], [2]]))
        results = net.run([[1.0], [-1.0], [0.0]])
        assert net.classes(results[-1].output.codes).tolist() == [1, 0, 0]

    @pytest.mark.parametrize("layout", Layout)
    def test_classes_of_a_convolution(self, layout):
        """One a position; the channels 1 and -1 times the pixel."""
        kernel = np.array([1.0, -1.0]).reshape(2, 1, 1, 1)
        net = chain(layer("conv", kernel, spec=Conv2dSpec(layout=layout)))
        image = np.array([[1.0, -2.0], [3.0, -4.0]])
        x = image.reshape((1, 1, 2, 2) if layout is Layout.NCHW else (1, 2, 2, 1))
        assert net.classes(net.run(x)[-1].output.codes).tolist() == [[[0, 1], [0, 1]]]

    def test_another_accumulator(self):
        net = two_layers()
        design = replace(SPEC.accumulator, stages=(StageSpec(bits=3, overflow=Overflow.SATURATE),))
        other = net.with_accumulator(design)
        assert [unit.spec.accumulator for unit in other.layers] == [design] * 2
        assert [unit.spec.accumulator for unit in net.layers] == [SPEC.accumulator] * 2
        # relu(1, 3) of 5 cut to 3: codes 2 - 3, 6 - 3; 1 + 2, to 3, then -2 * 6 of both, to -4
        first, second = other.run([[3.0, 2.0]])
        assert first.accumulators.tolist() == [[1, 3]]
        assert second.accumulators.tolist() == [[-4]]


class TestLaws:
    @given(st.integers(0, 2**32 - 1))
    def test_one_after_the_other(self, seed):
        """A chain's runs are its layers' runs; real values between them change nothing."""
        rng = np.random.default_rng(seed)
        layers = [layer(f"{i}", rng.integers(-8, 8, (4, 4)), output_step=4.0 ** (i + 1),
                        input_step=4.0**i) for i in range(3)]  # fmt: skip
        net = chain(*layers)
        values = rng.integers(-32, 32, (5, 4)).astype(float)
        for unit, result in zip(net.layers, net.run(values), strict=True):
            alone = unit.run(values)
            assert alone.output.codes.tolist() == result.output.codes.tolist()
            values = result.output.dequantize()

    def test_the_reference_rounds_its_inputs(self):
        """To even, as the quantizer says, and clips."""
        spec = replace(SPEC, input=replace(SPEC.input, rounding=Rounding.TIES_EVEN))
        net = chain(layer("one", [[1]]), spec=spec)
        values = np.array([[2.5], [3.5], [99.0]])
        assert net.reference(values)[0].codes.tolist() == [[2], [4], [31]]
        assert ideal_input_codes(net.layers[0].layer, spec, values).tolist() == [[2], [4], [31]]


class TestRefusals:
    def test_no_layers(self):
        with pytest.raises(SpecError, match="a chain needs at least one layer"):
            Chain([])

    @pytest.mark.parametrize(
        ("fields", "output"),
        [
            ({"output_step": 0.5}, "step size 0.5, zero point 0"),
            ({"output_zero_point": 1}, "step size 1.0, zero point 1"),
        ],
    )
    def test_steps_and_zero_points(self, fields, output):
        taken = "b takes int6 of step size 1.0, zero point 0: give both the same"
        with pytest.raises(SpecError, match=f"^a puts out int6 of {output}, but {taken}$"):
            chain(layer("a", [[1]], **fields), layer("b", [[1]]))
        same = {name.replace("output", "input"): value for name, value in fields.items()}
        assert len(chain(layer("a", [[1]], **fields), layer("b", [[1]], **same)).layers) == 2

    def test_formats(self):
        first, second = (
            CompiledLayer(layer(name, [[1]]), spec)
            for name, spec in (
                ("a", replace(SPEC, rescaler=replace(SPEC.rescaler, output=IntFormat(5)))),
                ("b", SPEC),
            )
        )
        with pytest.raises(SpecError, match=r"^a puts out int5 of .*, but b takes int6"):
            Chain([first, second])
        assert Chain([second, first]).layers == (second, first)

    def test_an_output_step_a_channel(self):
        per_channel = replace(
            SPEC, rescaler=replace(SPEC.rescaler, granularity=Granularity.PER_CHANNEL)
        )
        first = layer("a", [[1], [1]], output_step=np.array([1.0, 1.0]))
        with pytest.raises(SpecError, match=r"a puts out int6 of step size \[1\. 1\.\]"):
            chain(first, layer("b", [[1, 1]]), spec=per_channel)

    def test_shapes_that_do_not_meet(self):
        net = chain(layer("a", [[1], [1]]), layer("b", [[1, 1, 1]]))
        with pytest.raises(DataError, match=r"^b: inputs \(1, 2\) and weights \(1, 3\)"):
            net.run([[1.0]])
