"""Tests for lsqsim.datapath: whole layers on paper, against the oracle, laws, refusals."""

import io
import json
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from rich.console import Console

import oracle
from layer_oracle import OracleLayer
from lsqsim import matmul_array, operand_rows
from lsqsim.budget.certificate import certify, layer_digest
from lsqsim.certificate_audit import check_certificate
from lsqsim.commands.loading import compile_integers
from lsqsim.datapath import CompiledLayer
from lsqsim.errors import DataError, SpecError, WidthError
from lsqsim.formats import IntFormat, Overflow, Rounding
from lsqsim.layer import Layer
from lsqsim.overflow import OverflowKind
from lsqsim.report import (
    description_report,
    factor_report,
    layer_report,
    print_description,
    unit_rows,
)
from lsqsim.specs import (
    AccumulatorSpec,
    Activation,
    BiasPlacement,
    Conv2dSpec,
    DatapathSpec,
    FanIn,
    FixedPoint,
    FloatScale,
    Granularity,
    Layout,
    LinearSpec,
    QuantizerSpec,
    RescalerSpec,
    StageSpec,
    ZeroPointHandling,
    entry_order,
    simple_datapath,
    tile_sizes,
)
from lsqsim.tensor import QTensor
from whole_layers import cases, conv_shapes, linear_shapes, without_noise

INT4, UINT4, INT8 = IntFormat(4), IntFormat(4, signed=False), IntFormat(8)
RELU6 = Activation.RELU6
SIMPLE = simple_datapath(
    weight_bits=4, activation_bits=4, acc_bits=16, input_signed=True, output_signed=True
)
PER_CHANNEL = simple_datapath(
    weight_bits=4, activation_bits=4, acc_bits=16, input_signed=True, output_signed=True,
    per_channel=True,
)  # fmt: skip


def paper_datapath(*stages, input_format=UINT4, output=INT4, **accumulator):
    return DatapathSpec(
        input=QuantizerSpec(format=input_format),
        weight=QuantizerSpec(format=INT4),
        bias=QuantizerSpec(format=INT8),
        accumulator=AccumulatorSpec(stages=stages or (StageSpec(bits=16),), **accumulator),
        rescaler=RescalerSpec(output=output, scaling=FixedPoint(rounding=Rounding.TIES_POS)),
    )


def fc(**fields):
    """A linear layer of two outputs and three inputs, all steps a half."""
    given = {
        "name": "fc", "spec": LinearSpec(), "input_step": 0.5, "weight_step": 0.5,
        "output_step": 0.5, "weight": np.array([[1.0, -0.5, 2.0], [0.5, 0.5, -1.5]]),
    } | fields  # fmt: skip
    if "weight_codes" in fields:
        given["weight"] = None
    return Layer(**given)


def run(layer, spec, values, **options):
    return CompiledLayer(layer, spec).run(values, **options)


def assert_same_bits(left, right):
    """Two runs agree in all that both of them report."""
    assert left.output.codes.tolist() == right.output.codes.tolist()
    assert left.accumulators.tolist() == right.accumulators.tolist()
    if left.overflow is not None and right.overflow is not None:
        for name in ("total", "kind", "first_stage", "first_k"):
            assert getattr(left.overflow, name).tolist() == getattr(right.overflow, name).tolist()
    if left.trace is not None and right.trace is not None:
        assert list(left.trace) == list(right.trace)
        for name in left.trace:
            assert left.trace[name].tolist() == right.trace[name].tolist(), name


class TestWorkedExamples:
    """Two whole layers a reader checks on paper."""

    LINEAR = Layer(
        spec=LinearSpec(activation=RELU6),
        weight=np.array([[1.0, 0.5, -0.25], [-0.75, 1.0, 1.5]]),
        bias=np.array([0.25, -1.0]),
        input_step=0.5, weight_step=0.25, output_step=1.0,
        input_zero_point=1, weight_zero_point=-1, output_zero_point=-3,
    )  # fmt: skip
    X = np.array([[1.0, -0.5, 2.0], [5.0, 0.0, 7.0], [7.0, 0.0, 0.0]])

    @pytest.mark.parametrize("bias", BiasPlacement)
    @pytest.mark.parametrize("zero_points", ZeroPointHandling)
    def test_linear_with_zero_points_and_relu6(self, bias, zero_points):
        result = run(self.LINEAR, paper_datapath(bias=bias, zero_points=zero_points), self.X)
        # x / 0.5 + 1, and w / 0.25 - 1
        assert result.input.codes.tolist() == [[3, 0, 5], [11, 1, 15], [15, 1, 1]]
        # bias / 0.125 = 2 and -8; first: 2*4 + (-1)*2 + 4*(-1) + 2 = 4, in units of 0.125
        assert result.accumulators.tolist() == [[4, 6], [28, 46], [58, -50]]
        # a half and three quarters are 1; 3.5 and 5.75 are 4 and 6; 7.25 clips at 6, -6.25 at 0
        assert result.output.codes.tolist() == [[-2, -2], [1, 3], [3, -3]]
        assert result.output.dequantize().tolist() == [[1, 1], [4, 6], [6, 0]]

    def test_registers_of_the_linear_layer(self):
        """Raw codes 3*3, 0*1, 5*(-2) after 5: correction 3*1*(-1) - 1*2 - (-1)*8 = 3, bias 2."""
        stages = StageSpec(bits=8, fan_in=2), StageSpec(bits=16)
        trace = run(self.LINEAR, paper_datapath(*stages), self.X[:1], trace=True).trace
        assert list(trace) == [
            "input_codes", "weight_codes", "bias_codes", "stage_0", "stage_1", "accumulator",
            "product", "output",
        ]  # fmt: skip
        assert trace["weight_codes"].tolist() == [[3, 1, -2], [-4, 3, 5]]
        assert trace["bias_codes"].tolist() == [2, -8]
        assert trace["stage_0"].tolist() == [[[9, -10], [-12, 25]]]
        assert trace["stage_1"].tolist() == [[[4], [6]]]
        assert trace["accumulator"].tolist() == [[4, 6]]
        assert trace["product"].tolist() == [[4 << 30, 6 << 30]]  # 1/8 is 2**30 / 2**33
        assert trace.tile_sizes == {"stage_0": 2, "stage_1": 3}

    CONV = Layer(
        spec=Conv2dSpec(padding=(1, 0, 1, 0), activation=RELU6),
        weight=np.array([[[[1.0, -1.0], [2.0, 0.0]]]]),
        bias=np.array([2.0]),
        input_step=1.0, weight_step=1.0, output_step=0.5,
        input_zero_point=2, weight_zero_point=1, output_zero_point=1,
    )  # fmt: skip
    IMAGE = np.array([[[[1.0, 2.0, 3.0], [0.0, -1.0, 2.0], [2.0, 1.0, 0.0]]]])

    @pytest.mark.parametrize("layout", Layout)
    @pytest.mark.parametrize("zero_points", ZeroPointHandling)
    def test_convolution_with_zero_points_and_relu6(self, layout, zero_points):
        """A row and a column of real 0 before; each output is a - b + 2c + 2 of its 2 x 2."""
        layer, image = self.CONV, self.IMAGE
        if layout is Layout.NHWC:
            spec = replace(layer.spec, layout=layout)
            layer = replace(layer, spec=spec, weight=layer.weight.transpose(0, 2, 3, 1))
            image = image.transpose(0, 2, 3, 1)
        spec = paper_datapath(output=UINT4, zero_points=zero_points)
        result = run(layer, spec, image)
        assert result.input.codes.reshape(3, 3).tolist() == [[3, 4, 5], [2, 1, 4], [4, 3, 2]]
        assert result.accumulators.reshape(3, 3).tolist() == [[2, 4, 6], [1, 1, -1], [2, 7, 1]]
        # twice as many half steps; -2 clips at 0 and 14 at 12; and 1 is the zero point
        codes = [[5, 9, 13], [3, 3, 1], [5, 13, 3]]
        assert result.output.codes.reshape(3, 3).tolist() == codes
        assert result.output.codes.shape == (
            (1, 1, 3, 3) if layout is Layout.NCHW else (1, 3, 3, 1)
        )

    def test_overflow_report(self):
        """5 bits hold -16 .. 15: 3*3 + 3*3 passes 15 and comes back, or does not."""
        layer = fc(
            weight_codes=np.array([[3, 3, -3], [3, 3, 3], [1, 1, 1]]), output_step=0.25,
            output_zero_point=1,
        )  # fmt: skip
        result = run(layer, paper_datapath(StageSpec(bits=5)), np.full((1, 3), 1.5))
        assert result.accumulators.tolist() == [[9, 27 - 32, 9]]
        report = result.overflow
        assert report.total.tolist() == [[9, 27, 9]]
        kinds = OverflowKind.TRANSIENT, OverflowKind.PERSISTENT, OverflowKind.NONE
        assert report.kind.tolist() == [list(kinds)]
        assert report.first_stage.tolist() == [[0, 0, -1]]
        assert report.first_k.tolist() == [[1, 1, -2]]

    def test_output_step_a_channel(self):
        """The same accumulator of 8 quarters, 2.0, is 4 halves and 2 ones."""
        layer = fc(weight_codes=np.full((2, 4), 1), output_step=np.array([0.5, 1.0]))
        spec = replace(PER_CHANNEL, weight=SIMPLE.weight)
        output = run(layer, spec, np.full((1, 4), 1.0)).output
        assert output.codes.tolist() == [[4, 2]]
        assert output.dequantize().tolist() == [[2.0, 2.0]]
        assert output.step_size.tolist() == [0.5, 1.0]

    def test_weight_step_a_channel(self):
        """Codes 2 and 4 of steps 1/2 and 1/4 are both 1.0; a bias of 1.0 is 4 and 8 codes."""
        layer = fc(weight=np.ones((2, 1)), weight_step=np.array([0.5, 0.25]), bias=np.ones(2))
        result = run(layer, PER_CHANNEL, np.array([[1.0]]), trace=True)
        assert result.trace["weight_codes"].tolist() == [[2], [4]]
        assert result.trace["bias_codes"].tolist() == [4, 8]
        assert result.accumulators.tolist() == [[8, 16]]
        assert result.output.dequantize().tolist() == [[2.0, 2.0]]

    @pytest.mark.parametrize(
        ("step", "top"),
        [
            (1.0, 6),
            (4.0, 2),  # 1.5, a tie, goes away from zero
            (6 / 0.49999999999999994, 0),  # adding one half in floating point would make it 1
            (13.0, 0),
            (12.0, 1),
            (0.75, 7),  # the format ends before 8
        ],
    )
    def test_top_of_relu6(self, step, top):
        layer = fc(spec=LinearSpec(activation=RELU6), output_step=step)
        assert CompiledLayer(layer, SIMPLE).rescaler.clamp == (0, top)

    def test_top_of_relu6_past_every_float(self):
        """6 / s_y overflows to infinity here, the exact quotient only clips."""
        spec = LinearSpec(activation=RELU6)
        layer = fc(spec=spec, input_step=1e-160, weight_step=1e-160, output_step=1e-310)
        assert CompiledLayer(layer, SIMPLE).rescaler.clamp == (0, 7)

    @pytest.mark.parametrize(
        ("activation", "zero_point", "clamp"),
        [
            (Activation.NONE, 3, (-8, 7)),
            (Activation.RELU, 3, (3, 7)),
            (Activation.RELU, -8, (-8, 7)),
            (RELU6, -2, (-2, 4)),
            (RELU6, 2, (2, 7)),
        ],
    )
    def test_clip_of_an_activation(self, activation, zero_point, clamp):
        spec = LinearSpec(activation=activation)
        layer = fc(spec=spec, output_step=1.0, output_zero_point=zero_point)
        assert CompiledLayer(layer, SIMPLE).rescaler.clamp == clamp

    def test_tile_sizes(self):
        """Products one result covers; never more than there are."""

        def sizes(fan_ins, k):
            return tile_sizes(tuple(StageSpec(bits=9, fan_in=f) for f in fan_ins), k)

        assert sizes([2, 3, FanIn.ALL], 20) == [2, 6, 20]
        assert sizes([2, 3, FanIn.ALL], 5) == [2, 5, 5]
        assert sizes([FanIn.ALL, 3, FanIn.ALL], 5) == [5, 5, 5]
        assert sizes([4, FanIn.ALL], 0) == [1, 1]


class TestAgainstOracle:
    """Every register of a whole layer, from real weights and inputs, bit for bit."""

    def check(self, case):
        expected = OracleLayer(case.layer, case.spec, case.values)
        compiled = CompiledLayer(case.layer, case.spec)
        result = compiled.run(case.values, trace=True)
        assert list(result.trace) == list(expected.registers)
        for name, values in expected.registers.items():
            assert result.trace[name].tolist() == values.tolist(), name
        report = result.overflow
        assert report.total.tolist() == expected.total.tolist()
        assert report.kind.tolist() == expected.kind.tolist()
        assert report.first_stage.tolist() == expected.first_stage.tolist()
        assert report.first_k.tolist() == expected.first_k.tolist()
        assert report.channel_axis == case.layer.output_channel_axis
        assert result.input.codes.tolist() == expected.registers["input_codes"].tolist()
        assert result.accumulators.tolist() == expected.registers["accumulator"].tolist()
        assert result.output.codes.tolist() == expected.registers["output"].tolist()
        self.check_fold_error(case, compiled, expected)

    @given(cases(linear_shapes()))
    def test_linear(self, case):
        self.check(case)

    @given(cases(conv_shapes()))
    def test_conv2d(self, case):
        self.check(case)

    def check_fold_error(self, case, compiled, expected):
        scaling, errors = case.spec.rescaler.scaling, []
        steps = zip(expected.parameters, expected.w_steps, expected.y_steps, strict=True)
        for p, s_w, s_y in steps:
            factor = oracle.factor_of(case.layer.input_step, s_w, s_y)
            # The factor of a float scale is formed in its own width: it is the scale.
            exact = p.scale if isinstance(scaling, FloatScale) else factor
            errors.append(float(oracle.fold_error(scaling, p, exact)))
        per_channel = case.spec.rescaler.granularity is Granularity.PER_CHANNEL
        assert compiled.fold_error.tolist() == (errors if per_channel else errors[:1])


class TestLaws:
    @given(cases())
    def test_observing_and_tracing_change_no_bit(self, case):
        """Three kernels reduce: one plain, one that observes, one that keeps every stage."""
        compiled = CompiledLayer(case.layer, case.spec)
        full = compiled.run(case.values, observe=True, trace=True)
        observed = compiled.run(case.values)
        traced = compiled.run(case.values, observe=False, trace=True)
        plain = compiled.run(case.values, observe=False)
        assert (plain.overflow, plain.trace) == (None, None)
        assert (observed.trace, traced.overflow) == (None, None)
        for other in (observed, traced, plain):
            assert_same_bits(full, other)

    @given(cases(), st.integers(1, 60), st.integers(1, 20))
    def test_blocks_change_no_bit(self, case, products, operands):
        """Work is cut into blocks of rows or images; tiny ones give the same registers."""
        whole = run(case.layer, case.spec, case.values, trace=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(operand_rows, "_BLOCK_PRODUCTS", products)
            patch.setattr(operand_rows, "_BLOCK_OPERANDS", operands)
            patch.setattr(matmul_array, "_TRACE_BLOCK_ELEMENTS", operands)
            assert_same_bits(whole, run(case.layer, case.spec, case.values, trace=True))

    @given(cases())
    def test_input_codes_stand_for_their_values(self, case):
        """A run on the codes of another run's inputs is the same run."""
        first = run(case.layer, case.spec, case.values, trace=True)
        assert_same_bits(first, run(case.layer, case.spec, first.input, trace=True))

    @given(cases())
    def test_weight_and_bias_codes_stand_for_their_values(self, case):
        compiled = CompiledLayer(case.layer, case.spec)
        layer = replace(case.layer, weight=None, weight_codes=compiled.weight.codes)
        if compiled.bias is not None:
            layer = replace(layer, bias=None, bias_codes=compiled.bias.codes)
        trace = partial(run, case.layer, case.spec, trace=True)
        assert_same_bits(trace(case.values), run(layer, case.spec, case.values, trace=True))

    @given(cases(linear_shapes()), st.data())
    def test_rows_are_independent(self, case, data):
        """A sample alone (one axis) gives the bits it has in its batch."""
        spec = without_noise(case.spec)
        k = case.values.shape[-1]
        batch = case.values.reshape(int(np.prod(case.values.shape[:-1])), k)
        if len(batch):
            i = data.draw(st.integers(0, len(batch) - 1))
            alone = run(case.layer, spec, batch[i])
            assert alone.output.codes.ndim == 1
            assert (
                alone.output.codes.tolist() == run(case.layer, spec, batch).output.codes[i].tolist()
            )

    @given(cases(linear_shapes()))
    def test_leading_axes_are_rows(self, case):
        n = case.layer.n_outputs
        shaped = run(case.layer, case.spec, case.values, trace=True)
        rows = case.values.reshape(int(np.prod(case.values.shape[:-1])), case.values.shape[-1])
        flat = run(case.layer, case.spec, rows, trace=True)
        assert shaped.output.codes.shape == (*case.values.shape[:-1], n)
        assert shaped.output.codes.reshape(-1).tolist() == flat.output.codes.reshape(-1).tolist()
        tiles = flat.trace["stage_0"].shape[-1]
        assert shaped.trace["stage_0"].shape == (*case.values.shape[:-1], n, tiles)

    @given(cases(conv_shapes(layout=Layout.NCHW)))
    def test_nhwc_is_nchw_with_axes_moved(self, case):
        """The same products enter in the same order when the order is permuted accordingly."""
        nchw, spec = case.layer, without_noise(case.spec)
        _, c, kh, kw = nchw.weight_shape
        natural = np.arange(c * kh * kw).reshape(kh, kw, c)  # of NHWC
        where = natural.transpose(2, 0, 1).reshape(-1)  # NCHW's k to NHWC's
        order = tuple(int(where[k]) for k in entry_order(spec.accumulator.order, where.size))
        moved = {
            name: None if values is None else values.transpose(0, 2, 3, 1)
            for name, values in (("weight", nchw.weight), ("weight_codes", nchw.weight_codes))
        }
        nhwc = replace(nchw, spec=replace(nchw.spec, layout=Layout.NHWC), **moved)
        other_spec = replace(spec, accumulator=replace(spec.accumulator, order=order))
        left = run(nchw, spec, case.values, trace=True)
        right = run(nhwc, other_spec, case.values.transpose(0, 2, 3, 1), trace=True)
        assert right.output.codes.transpose(0, 3, 1, 2).tolist() == left.output.codes.tolist()
        for name in (n for n in left.trace if n not in ("weight_codes", "bias_codes")):
            values = np.moveaxis(right.trace[name], 3, 1)
            assert values.tolist() == left.trace[name].tolist(), name
        first_k = left.overflow.first_k
        inside = (first_k >= 0) & (first_k < where.size)
        expected = np.where(inside, where[np.where(inside, first_k, 0)], first_k)
        assert np.moveaxis(right.overflow.first_k, 3, 1).tolist() == expected.tolist()

    @given(cases(conv_shapes(depthwise=True)))
    def test_depthwise_is_a_convolution_for_each_channel(self, case):
        """With one input channel a group, groups are layers of their own."""
        layer, spec = case.layer, without_noise(case.spec)
        whole = run(layer, spec, case.values)
        groups, axis = layer.spec.groups, layer.output_channel_axis
        per_group = layer.n_outputs // groups
        for g in range(groups):
            mine = slice(g * per_group, (g + 1) * per_group)
            parts = {
                name: values[mine]
                for name in ("weight", "weight_codes", "bias", "bias_codes", "weight_step",
                             "weight_zero_point", "output_step")
                if np.ndim(values := getattr(layer, name)) and values is not None
            }  # fmt: skip
            alone = replace(layer, spec=replace(layer.spec, groups=1), **parts)
            part = run(alone, spec, np.take(case.values, [g], axis=axis))
            channels = np.arange(g * per_group, (g + 1) * per_group)
            expected = np.take(whole.output.codes, channels, axis=axis)
            assert part.output.codes.tolist() == expected.tolist()

    @given(cases())
    def test_walk_ends_in_the_register(self, case):
        """``walk_output`` takes the operands of the very output it is asked for."""
        compiled = CompiledLayer(case.layer, case.spec)
        result = compiled.run(case.values)
        for index in np.ndindex(*result.accumulators.shape):
            steps = compiled.walk_output(result.input, index)
            assert steps[-1].after == result.accumulators[index]
            first = next((step for step in steps if step.overflows), None)
            stage = -1 if first is None else first.stage
            assert stage == result.overflow.first_stage[index]

    @given(cases())
    def test_output_means_what_its_step_says(self, case):
        """Real outputs are codes less the zero point, times their channel's step size."""
        output = run(case.layer, case.spec, case.values).output
        axis = case.layer.output_channel_axis
        steps = np.broadcast_to(case.layer.output_step, (case.layer.n_outputs,))
        real = np.moveaxis(output.codes - case.layer.output_zero_point, axis, -1) * steps
        assert np.moveaxis(output.dequantize(), axis, -1).tolist() == real.tolist()
        assert output.format == case.spec.rescaler.output

    @given(cases())
    def test_a_run_leaves_nothing_behind(self, case):
        """Runs are pure: another in between changes no bit, nor do they change their operands."""
        compiled = CompiledLayer(case.layer, case.spec)
        before = case.values.copy()
        first = compiled.run(case.values, trace=True)
        run(fc(), SIMPLE, np.ones((2, 3)))
        assert_same_bits(first, compiled.run(case.values, trace=True))
        assert case.values.tolist() == before.tolist()

    def test_chained_layers(self):
        """Codes of one layer feed the next; the real values they stand for give the same."""
        first = fc(output_step=0.25, output_zero_point=-2)
        second = fc(
            name="fc2", weight=np.array([[1.0, -1.5], [0.5, 3.0]]), input_step=0.25,
            input_zero_point=-2,
        )  # fmt: skip
        x = np.arange(-6, 6).reshape(4, 3) / 4
        codes = run(first, SIMPLE, x).output
        by_codes = run(second, SIMPLE, codes)
        assert by_codes.input is codes
        assert_same_bits(by_codes, run(second, SIMPLE, codes.dequantize()))

    @pytest.mark.parametrize("spec", [LinearSpec(), Conv2dSpec(), Conv2dSpec(layout=Layout.NHWC)])
    @pytest.mark.parametrize("stages", [1, 2])
    def test_empty_batch(self, spec, stages):
        chain = (StageSpec(bits=8, fan_in=2), StageSpec(bits=16))[-stages:]
        is_linear = isinstance(spec, LinearSpec)
        weight = np.ones((2, 3)) if is_linear else np.ones((2, 3, 3, 3))
        layer = fc(spec=spec, weight=weight)
        x = np.zeros((0, 3) if is_linear else (0, 3, 3, 3))
        expected = {
            LinearSpec(): (0, 2), Conv2dSpec(): (0, 2, 1, 1),
            Conv2dSpec(layout=Layout.NHWC): (0, 1, 1, 2),
        }[spec]  # fmt: skip
        result = run(layer, paper_datapath(*chain, input_format=INT4), x, trace=True)
        assert result.output.codes.shape == result.accumulators.shape == expected
        assert result.overflow.total.shape == expected
        assert result.overflow.counts().outputs == 0
        assert result.trace["stage_0"].shape[:-1] == expected

    @pytest.mark.parametrize("bias", BiasPlacement)
    def test_no_products(self, bias):
        """K = 0: the accumulator is the bias, stored once."""
        layer = fc(weight=np.zeros((2, 0)), bias_codes=np.array([7, 100]))
        spec = paper_datapath(StageSpec(bits=6, overflow=Overflow.SATURATE), bias=bias)
        result = run(layer, spec, np.zeros((3, 0)))
        assert result.accumulators.tolist() == [[7, 31]] * 3
        assert result.overflow.kind.tolist() == [[0, 2]] * 3
        assert (
            result.overflow.first_k.tolist()
            == [[-2, -1 if bias is BiasPlacement.PRELOAD else 0]] * 3
        )

    @pytest.mark.parametrize(
        ("products", "operands", "calls"),
        [
            (1 << 26, 1 << 22, [(5, 5)]),
            (12, 1 << 22, [(2, 5), (4, 5), (5, 5)]),  # a row has 2 outputs of 3 products
            (1 << 26, 9, [(3, 5), (5, 5)]),  # and 3 operands
            (1, 1, [(i, 5) for i in range(1, 6)]),
        ],
    )
    def test_progress(self, monkeypatch, products, operands, calls):
        """Rows done never fall, and end at rows in all."""
        monkeypatch.setattr(operand_rows, "_BLOCK_PRODUCTS", products)
        monkeypatch.setattr(operand_rows, "_BLOCK_OPERANDS", operands)
        seen = []
        run(fc(), SIMPLE, np.zeros((5, 3)), progress=lambda *counts: seen.append(counts))
        assert seen == calls

    def test_progress_of_a_convolution(self, monkeypatch):
        """Whole images at a time: here 4 rows each, and 9 rows fit."""
        monkeypatch.setattr(operand_rows, "_BLOCK_OPERANDS", 9)
        layer, seen = fc(spec=Conv2dSpec(), weight=np.ones((2, 1, 1, 1))), []
        images = np.zeros((3, 1, 2, 2))
        run(layer, SIMPLE, images, progress=lambda *counts: seen.append(counts))
        assert seen == [(8, 12), (12, 12)]

    def test_progress_of_an_empty_batch(self):
        seen = []
        run(fc(), SIMPLE, np.zeros((0, 3)), progress=lambda *counts: seen.append(counts))
        assert seen == [(0, 0)]

    def test_one_factor_for_all_channels_of_a_per_channel_unit(self):
        """Where neither weights nor outputs have steps of their own, all factors are equal."""
        spec = replace(PER_CHANNEL, weight=SIMPLE.weight)
        x = np.arange(-6, 6).reshape(4, 3) / 4
        compiled = CompiledLayer(fc(), spec)
        assert len(compiled.fold_error) == 2
        assert_same_bits(compiled.run(x), run(fc(), SIMPLE, x))

    def test_reals_may_be_lists_or_integers(self):
        x = [[1, -2, 3]]
        expected = run(fc(), SIMPLE, np.array(x, np.float64))
        assert_same_bits(run(fc(), SIMPLE, x), expected)
        assert_same_bits(run(fc(), SIMPLE, np.array(x, np.float32)), expected)


class TestRefusals:
    """What can't be run is refused, and the message starts with the layer's name."""

    CODES = QTensor(
        codes=np.zeros((1, 3), np.int64), format=INT4, step_size=np.array(0.5),
        zero_point=np.array(0),
    )  # fmt: skip

    def test_codes_of_the_layer_before(self):
        run(fc(), SIMPLE, self.CODES)

    @pytest.mark.parametrize(
        "change",
        [
            {"step_size": np.array(0.5 + 2**-53)},
            {"zero_point": np.array(1)},
            {"format": IntFormat(4, narrow=True)},
            {"format": IntFormat(5)},
            {"channel_axis": 1, "step_size": np.full(3, 0.5)},
        ],
        ids=["step size", "zero point", "narrow", "bits", "channels"],
    )
    def test_codes_that_mean_something_else(self, change):
        message = r"^fc: input codes are .* this layer takes int4 of step size 0.5, zero point 0"
        with pytest.raises(DataError, match=message):
            run(fc(), SIMPLE, replace(self.CODES, **change))

    @pytest.mark.parametrize(
        ("codes", "message"),
        [
            ([[8, 0, 0]], r"^fc: inputs must be codes of int4 \[-8, 7\], got 8"),
            ([[0, -9, 0]], r"^fc: inputs must be codes of int4 \[-8, 7\], got -9"),
            ([[0.0, 0.0, 0.0]], r"^fc: inputs must be integer codes, got dtype float64"),
        ],
    )
    def test_codes_that_are_none(self, codes, message):
        run(fc(), SIMPLE, replace(self.CODES, codes=np.array([[7, -8, 0]])))
        with pytest.raises(DataError, match=message):
            run(fc(), SIMPLE, replace(self.CODES, codes=np.array(codes)))

    @pytest.mark.parametrize("name", ["weight_codes", "bias_codes"])
    def test_given_codes_fit_their_format(self, name):
        ones = np.ones((2, 3) if name == "weight_codes" else 2, np.int64)
        spec = replace(SIMPLE, bias=SIMPLE.weight)
        CompiledLayer(fc(**{name: ones * 7}), spec)
        CompiledLayer(fc(**{name: ones * -8}), spec)
        for bad in (8, -9):
            message = rf"^fc: {name} must be codes of int4 \[-8, 7\], got {bad}"
            with pytest.raises(DataError, match=message):
                CompiledLayer(fc(**{name: ones * bad}), spec)
        with pytest.raises(DataError, match=rf"^fc: {name} must be integer codes, got dtype float"):
            CompiledLayer(fc(**{name: ones * 1.0}), spec)

    @pytest.mark.parametrize(
        ("x", "message"),
        [
            (np.zeros((1, 2)), r"^fc: inputs \(1, 2\) and weights \(2, 3\) do not meet: .* K = 3"),
            (np.float64(0), r"^fc: inputs \(\) and weights \(2, 3\) do not meet"),
            (np.array([[0, np.nan, 0]]), r"^fc: NaN has no code: 1 of 3 .* index \(0, 1\)"),
            (np.zeros((1, 3), complex), r"^fc: values must be float16.*got dtype complex128"),
        ],
        ids=["K", "no axis", "NaN", "dtype"],
    )
    def test_inputs(self, x, message):
        with pytest.raises(DataError, match=message):
            run(fc(), SIMPLE, x)

    def test_inputs_of_a_convolution(self):
        layer = fc(spec=Conv2dSpec(), weight=np.ones((2, 1, 2, 2)))
        run(layer, SIMPLE, np.zeros((1, 1, 2, 2)))
        with pytest.raises(DataError, match=r"^fc: .* 2 input channels, but the weights take 1"):
            run(layer, SIMPLE, np.zeros((1, 2, 2, 2)))
        with pytest.raises(DataError, match=r"^fc: the kernel reaches over 2 positions of height"):
            run(layer, SIMPLE, np.zeros((1, 1, 1, 2)))

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"input_step": 0.0}, "step_size must be finite and positive, got 0.0"),
            ({"weight_step": np.inf}, "step_size must be finite and positive, got inf"),
            ({"output_step": 0.0}, r"the factor .* must be finite and positive, got inf"),
            ({"output_step": -1.0}, r"the factor .* must be finite and positive, got -0.25"),
            ({"output_step": 1e-11}, ".* is too large for multiplier uint31 and shifts 0..62"),
            ({"output_step": 1e20}, ".* is too small: its multiplier is 0"),
            ({"input_zero_point": 8}, r"zero_point must be a code of int4 \[-8, 7\], got 8"),
            ({"weight_zero_point": -9}, r"zero_point must be a code of int4 \[-8, 7\], got -9"),
            ({"output_zero_point": 8}, r"zero_point must be a code of int4 \[-8, 7\], got 8"),
        ],
    )
    def test_parameters(self, fields, message):
        with pytest.raises(SpecError, match=rf"^fc: {message}"):
            CompiledLayer(fc(**fields), SIMPLE)

    def test_bias_step_below_every_float(self):
        with pytest.raises(SpecError, match=r"^fc: step_size must be finite and positive, got 0.0"):
            CompiledLayer(fc(input_step=1e-200, weight_step=1e-200, bias=np.ones(2)), SIMPLE)

    def test_relu6_with_output_steps_a_channel(self):
        layer = fc(spec=LinearSpec(activation=RELU6), output_step=np.array([0.5, 1.0]))
        with pytest.raises(SpecError, match=r"^fc: relu6 needs one output step size, not one a"):
            CompiledLayer(layer, PER_CHANNEL)
        relu = replace(layer, spec=LinearSpec(activation=Activation.RELU))
        CompiledLayer(relu, PER_CHANNEL)

    def test_steps_a_channel_for_units_that_have_one(self):
        with pytest.raises(DataError, match=r"^fc: step_size must be one value, .* shape \(2,\)"):
            CompiledLayer(fc(weight_step=np.array([0.5, 1.0])), SIMPLE)
        with pytest.raises(SpecError, match=r"^fc: a per-tensor rescaler holds one factor, got 2"):
            CompiledLayer(fc(output_step=np.array([0.5, 1.0])), SIMPLE)

    def test_registers_too_wide_for_the_rescaler(self):
        scaling = FixedPoint(multiplier=IntFormat(31, signed=False))
        rescaler = RescalerSpec(output=INT4, scaling=scaling)
        for bits in (33, 34):
            accumulator = AccumulatorSpec(stages=(StageSpec(bits=bits),))
            spec = replace(SIMPLE, accumulator=accumulator, rescaler=rescaler)
            if bits == 33:  # 2**32 * (2**31 - 1) fits
                CompiledLayer(fc(), spec)
            else:
                with pytest.raises(WidthError, match=r"^fc: the rescaler's product could pass 63"):
                    CompiledLayer(fc(), spec)

    def test_products_too_wide_for_the_simulator(self):
        wide = QuantizerSpec(format=IntFormat(32))
        CompiledLayer(fc(), replace(SIMPLE, input=wide, weight=QuantizerSpec(format=IntFormat(31))))
        with pytest.raises(WidthError, match=r"^fc: a product of int32 and int32 codes could pass"):
            CompiledLayer(fc(), replace(SIMPLE, input=wide, weight=wide))

    def test_order_of_another_length(self):
        spec = replace(SIMPLE, accumulator=replace(SIMPLE.accumulator, order=(1, 0)))
        with pytest.raises(
            SpecError, match=r"^fc: the stated order permutes 2 products, but K is 3"
        ):
            run(fc(), spec, np.zeros((1, 3)))


class TestClippedBias:
    """A bias its format can't hold is clipped, and counted."""

    @pytest.mark.parametrize(
        ("bias", "n_clipped"),
        [
            ([127.0, -128.0], 0),
            ([127.4, -128.4], 0),
            ([127.5, -128.5], 2),
            ([128.0, -129.0], 2),
            ([0.0, 300.0], 1),
        ],
    )
    def test_count(self, bias, n_clipped):
        spec = simple_datapath(input_signed=True, output_signed=True)
        spec = replace(spec, bias=replace(spec.bias, format=IntFormat(8)))
        layer = Layer(
            spec=LinearSpec(),
            weight=np.eye(2),
            bias=np.array(bias),
            input_step=1.0,
            weight_step=1.0,
            output_step=1.0,
        )
        assert CompiledLayer(layer, spec).n_clipped_bias == n_clipped
        assert CompiledLayer(replace(layer, bias=None), spec).n_clipped_bias == 0
        codes = replace(layer, bias=None, bias_codes=np.array([127, -128]))
        assert CompiledLayer(codes, spec).n_clipped_bias == 0


def adding(bits=8, **fields):
    """A datapath whose rescaler adds the bias; quarters are its units, as factors are 1."""
    scaling = FixedPoint(addend=IntFormat(bits), max_shift=2)
    rescaler = replace(PER_CHANNEL.rescaler, scaling=scaling)
    return replace(PER_CHANNEL, rescaler=rescaler, **fields)


def biased(bias, **fields):
    """A layer of two outputs whose factors are 1: weights are the codes 1 and -2."""
    return fc(
        weight=np.array([[1.0], [-2.0]]), input_step=1.0, weight_step=1.0, output_step=1.0,
        bias=np.array(bias), **fields,
    )  # fmt: skip


def addends(compiled) -> Any:
    return compiled.rescaler.parameters.addend


class TestBiasAtTheRescaler:
    def test_registers(self):
        """3 + 0.25 is 3; -6 - 0.75 is -7: the accumulator has no bias."""
        result = run(biased([0.25, -0.75]), adding(), np.array([[3.0]]), trace=True)
        assert "bias_codes" not in result.trace
        assert result.accumulators.tolist() == [[3, -6]]
        assert result.trace["product"].tolist() == [[13, -27]]
        assert result.output.codes.tolist() == [[3, -7]]

    @pytest.mark.parametrize(
        ("bias", "n_clipped", "addend"),
        [
            ([127 / 4, -32.0], 0, [127, -128]),
            ([127.4 / 4, -128.5 / 4], 0, [127, -128]),
            ([127.5 / 4, -128.6 / 4], 2, [127, -128]),
            ([32.0, 0.0], 1, [127, 0]),
        ],
    )
    def test_clipped(self, bias, n_clipped, addend):
        compiled = CompiledLayer(biased(bias), adding())
        assert compiled.n_clipped_bias == n_clipped
        assert addends(compiled).tolist() == addend

    def test_without_bias(self):
        compiled = CompiledLayer(replace(biased([0, 0]), bias=None), adding())
        assert compiled.rescaler_bias is addends(compiled) is None
        assert compiled.n_clipped_bias == 0

    def test_bias_codes(self):
        layer = replace(biased([0, 0]), bias=None, bias_codes=np.array([1, 2]))
        message = r"^fc: bias_codes are in units of the accumulator, but the rescaler adds"
        with pytest.raises(SpecError, match=message):
            CompiledLayer(layer, adding())

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_not_finite(self, bad):
        message = r"^fc: the bias must be finite in output codes, got (nan|inf|-inf) \(channel 1\)"
        with pytest.raises(DataError, match=message):
            CompiledLayer(biased([0.0, bad]), adding())

    def test_not_finite_in_output_codes(self):
        layer = biased([0.0, 1e300])
        layer = replace(layer, input_step=1e-20, output_step=1e-20)
        with pytest.raises(DataError, match=r"must be finite in output codes, got inf"):
            CompiledLayer(layer, adding())

    def test_another_accumulator(self):
        compiled = CompiledLayer(biased([0.25, -0.75]), adding())
        other = compiled.with_accumulator(AccumulatorSpec(stages=(StageSpec(bits=9),)))
        assert other.run(np.array([[3.0]])).output.codes.tolist() == [[3, -7]]

    def test_certificate_does_not_hang_on_it(self):
        """It speaks of accumulators, which have no bias; but its datapath states the addend."""
        with_bias, without = (
            CompiledLayer(layer, adding())
            for layer in (biased([0.25, 9.0]), replace(biased([0, 0]), bias=None))
        )
        assert layer_digest(with_bias) == layer_digest(without)
        certificate = json.loads(json.dumps(certify(with_bias).to_dict()))
        check_certificate(certificate, without)
        assert certificate["datapath"]["rescaler"]["scaling"]["addend"] == "int8"
        plain = CompiledLayer(biased([1.0, 2.0]), PER_CHANNEL)
        assert layer_digest(plain) != layer_digest(without)

    def test_walk_ends_at_the_accumulator(self):
        compiled = CompiledLayer(biased([0.25, -0.75]), adding())
        assert compiled.walk_codes([3], 1)[-1].after == -6

    def test_report(self):
        compiled = CompiledLayer(biased([0.25, -0.75]), adding())
        assert factor_report(compiled)["addend"] == [1, -3]
        assert layer_report(compiled.layer, compiled)["bias_codes"] is None
        rows = {row["unit"]: row for row in unit_rows(compiled.spec)}
        assert "bias codes" not in rows
        assert rows["addend"]["format"] == "int8 [-128, 127]"
        assert rows["rescaler"]["rule"].startswith("(acc * m + addend) / 2**shift, rounded")
        assert "bias" not in rows["stage 0"]["rule"]
        console = Console(width=100, record=True, file=io.StringIO())
        print_description(description_report(compiled.spec, compiled.layer, compiled), console)
        assert "addend" in console.export_text()

    def test_integers_need_no_step_for_it(self):
        """Where only accumulators matter, missing step sizes do, too."""
        layer = replace(
            biased([0.25, -0.75]), weight=None, weight_codes=np.array([[1], [-2]]),
            input_step=float("nan"), weight_step=float("nan"), output_step=float("nan"),
        )  # fmt: skip
        assert compile_integers(layer, adding()).bias is None
        with pytest.raises(DataError, match="the integer bias depends on it"):
            compile_integers(layer, PER_CHANNEL)
