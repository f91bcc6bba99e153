"""Tables at edges that random layers seldom meet; most came of faults seeded on purpose."""

from dataclasses import replace

import numpy as np
import pytest

from lsqsim.budget.bounds import layer_bounds
from lsqsim.budget.certificate import certify
from lsqsim.budget.input_range import InputRange
from lsqsim.budget.operands import range_operands
from lsqsim.budget.ranges import Verdict, exact_ranges, stage_verdicts
from lsqsim.budget.witness import witness_input
from lsqsim.certificate_audit import check_certificate
from lsqsim.datapath import CompiledLayer
from lsqsim.errors import WidthError
from lsqsim.formats import IntFormat, Overflow
from lsqsim.layer import Layer
from lsqsim.specs import (
    AccumulatorSpec,
    BiasPlacement,
    Conv2dSpec,
    FanIn,
    Layout,
    LinearSpec,
    QuantizerSpec,
    StageSpec,
    simple_datapath,
)

WIDEST = 1 << 62


def compiled(w, stages, *, inputs="uint2", weights="int4", spec=None, **options):
    placement = options.pop("placement", BiasPlacement.PRELOAD)
    layer = Layer(
        spec=spec or LinearSpec(), weight_codes=np.array(w), input_step=1.0, weight_step=1.0,
        output_step=1.0, **options,
    )  # fmt: skip
    design = replace(
        simple_datapath(),
        input=QuantizerSpec(format=IntFormat.parse(inputs)),
        weight=QuantizerSpec(format=IntFormat.parse(weights)),
        accumulator=AccumulatorSpec(stages=stages, bias=placement),
    )
    return CompiledLayer(layer, design)


def stage(bits, fan_in=FanIn.ALL, overflow=Overflow.WRAP):
    return StageSpec(bits=bits, fan_in=fan_in, overflow=overflow)


class TestRanges:
    @pytest.mark.parametrize("value", [WIDEST - 1, 1 - WIDEST])
    def test_a_bias_alone_next_to_the_limit(self, value):
        operands = range_operands(
            AccumulatorSpec(stages=(stage(63),)), np.zeros((1, 0), np.int64),
            bias=np.array([value]), input_low=0, input_high=1,
        )  # fmt: skip
        found = exact_ranges(operands)
        ends = (found.prefix_low, found.prefix_high, found.result_low, found.result_high)
        assert [int(end[0, 0]) for end in ends] == [value] * 4

    @pytest.mark.parametrize("z_w", [1 << 30, -(1 << 30)])
    def test_a_coupling_counts_once_alone_and_once_with_its_weight(self, z_w):
        """The zero point's part reaches 2 * 2**30 * x: below 2**62, or refused."""

        def operands(largest):
            return range_operands(
                AccumulatorSpec(stages=(stage(63),)), np.zeros((1, 1), np.int64), input_low=0,
                input_high=largest, weight_zero_point=z_w,
            )  # fmt: skip

        operands((1 << 31) - 1)
        with pytest.raises(WidthError, match="could need 64 bits"):
            operands(1 << 31)


class TestForgiveness:
    """Weights 7, 7 and then -7, -7 on inputs 10 .. 15: tiles of +-210, a total of -70 .. 70."""

    @pytest.mark.parametrize(
        ("bits", "expected"),
        [
            ((8, 8, 8), [1, 1, 0]),
            ((9, 9, 8), [0, 0, 0]),
            ((8, 7, 8), [2, 2, 0]),
            ((8, 7, 7), [2, 2, 0]),
            ((8, 9, 8), [1, 1, 1]),
        ],
    )
    def test_by_the_narrowest_register_since(self, bits, expected):
        """-70 needs 8 bits; after 7 bits, 8 are right no more."""
        unit = compiled(
            [[7, 7, -7, -7]], (stage(bits[0], 2), stage(bits[1], 2), stage(bits[2])), inputs="uint4"
        )
        operands = range_operands(
            unit.spec.accumulator, unit.weight.codes, input_low=10, input_high=15
        )
        found = stage_verdicts(operands, exact_ranges(operands))[0]
        assert found.tolist() == expected
        certificate = certify(unit, InputRange(low=10, high=15))
        check_certificate(certificate.to_dict(), unit)
        assert certificate.is_safe == (found != Verdict.UNSAFE).all()


class TestBounds:
    def test_sixteen_smallest_weights_end_on_a_power_of_two(self):
        """-8 * 16 = -128: eight bits, in a stage alone and in a tile."""
        unit = compiled(np.full((1, 32), -8), (stage(20, 16), stage(20)), inputs="uint1")
        inner, outer = layer_bounds(unit)
        assert inner.largest()["data_type"] == 8
        assert outer.largest()["data_type"] == 9

    def test_a_zero_centered_tile_ends_on_a_power_of_two(self):
        """2 * 255 = 2**9 - 2."""
        unit = compiled([[1, 1]], (stage(20, 2), stage(20)), inputs="uint8")
        assert [bounds.largest()["zero_centered"] for bounds in layer_bounds(unit)] == [9, 9]


class TestWitnesses:
    def test_the_lower_end_of_weights_of_minus_one(self):
        unit = compiled([[-1, -1, -1]], (stage(3, overflow=Overflow.SATURATE),))
        (found,) = certify(unit).stages
        assert (found.witness.codes, found.witness.value) == ((3, 3, 3), -6)

    @pytest.mark.parametrize(("w", "z_w"), [([0, 1, -2], -1), ([-2, 2, 0], 1), ([-2, 2, -2], -1)])
    def test_a_prefix_that_only_a_mixed_input_reaches(self, w, z_w):
        """The start is -z_w * sum(x): an input counts before its product enters, and otherwise."""
        unit = compiled(
            [w], (stage(3, overflow=Overflow.SATURATE),), inputs="uint1", weight_zero_point=z_w
        )
        certificate = certify(unit)
        (found,) = certificate.stages
        assert found.witness.stage == 0
        inputs, index = witness_input(unit, found.witness)
        assert any(step.overflows for step in unit.walk_output(inputs, index))
        check_certificate(certificate.to_dict(), unit)

    def test_other_groups_of_a_depthwise_convolution_see_the_zero_point(self):
        spec = Conv2dSpec(groups=3)
        unit = compiled(
            np.array([1, 7, 1]).reshape(3, 1, 1, 1), (stage(4),), spec=spec, input_zero_point=2
        )
        (witness,) = certify(unit).witnesses
        inputs, _ = witness_input(unit, witness)
        assert witness.channel == 1
        assert inputs.codes.reshape(-1).tolist() == [2, *witness.codes, 2]

    def test_one_that_loses_its_value_in_an_inner_stage(self):
        """Whatever makes the tile overflow leaves the outer sum where it fits."""
        unit = compiled([[3, 0]], (stage(3, 1), stage(2)), inputs="uint1")
        certificate = certify(unit)
        inner, outer = certificate.stages
        assert (inner.verdict, outer.verdict) == (Verdict.SATURATE_SAFE, Verdict.UNSAFE)
        lost = compiled([[4, 0]], (stage(3, 1), stage(2)), inputs="uint1")
        inner, outer = certify(lost).stages
        assert (inner.witness.stage, outer.witness.stage) == (0, 1)
        check_certificate(certify(lost).to_dict(), lost)

    def test_a_tile_that_comes_back_is_none(self):
        """Tile 0 reaches 9 and comes back to -3 .. 3; tile 1 ends at 12 or more."""
        unit = compiled([[3, -3, 3, 3]], (stage(4, 2), stage(8)))
        certificate = certify(unit, InputRange(low=2, high=3))
        assert certificate.stages[0].witness.tile == 1
        check_certificate(certificate.to_dict(), unit)


class TestCertificates:
    def test_what_is_lost_may_be_negative(self):
        """Five results of a wrapping 3-bit register: -20 .. 15, though no weight is negative."""
        unit = compiled([[7] * 5], (stage(3, 1), stage(5)), inputs="uint1")
        certificate = certify(unit)
        assert [found.verdict for found in certificate.stages] == [Verdict.UNSAFE] * 2
        check_certificate(certificate.to_dict(), unit)

    @pytest.mark.parametrize(("layout", "found"), [(Layout.NCHW, [5]), (Layout.NHWC, [7])])
    def test_ranges_of_channels_under_a_kernel(self, layout, found):
        """K runs over (c, 2, 1) or (2, 1, c): weights 1, 2, 0, 1 on channels of 1 and of 2."""
        shape = (1, 2, 2, 1) if layout is Layout.NCHW else (1, 2, 1, 2)
        unit = compiled(
            np.array([1, 2, 0, 1]).reshape(shape), (stage(10),), spec=Conv2dSpec(layout=layout)
        )
        inputs = InputRange(low=np.array([1, 2]), high=np.array([1, 2]))
        certificate = certify(unit, inputs)
        assert certificate.stages[0].result_high.tolist() == found
        check_certificate(certificate.to_dict(), unit)

    def test_what_a_stage_is_safe_for(self):
        options = {"bias_codes": np.array([6]), "placement": BiasPlacement.POST_ADD}
        wrap_only = compiled([[-1, -2]], (stage(4),), **options)
        (found,) = certify(wrap_only).stages
        assert (found.is_wrap_safe, found.is_saturate_safe) == (True, False)
        assert (found.wrap_bits, found.saturate_bits, found.headroom_bits) == (4, 5, 0)
        check_certificate(certify(wrap_only).to_dict(), wrap_only)
        (wide,) = certify(compiled([[-1, -2]], (stage(5),), **options)).stages
        assert (wide.is_wrap_safe, wide.is_saturate_safe) == (True, True)
        (narrow,) = certify(compiled([[-1, -2]], (stage(3),), **options)).stages
        assert (narrow.is_wrap_safe, narrow.is_saturate_safe) == (False, False)

    @pytest.mark.parametrize(
        "weights", ["int8", "uint7", "uint8", "int9", "int16", "uint16", "int17", "int32", "uint32"]
    )
    def test_the_digest_of_codes_of_every_size(self, weights):
        fmt = IntFormat.parse(weights)
        unit = compiled([[fmt.min, fmt.max]], (stage(32),), inputs="uint1", weights=weights)
        check_certificate(certify(unit).to_dict(), unit)

    def test_ranges_of_channels_in_groups(self):
        unit = compiled(
            np.array([[1, 2], [3, 1]]).reshape(2, 2, 1, 1), (stage(10),), spec=Conv2dSpec(groups=2)
        )
        inputs = InputRange(low=np.array([0, 1, 2, 3]), high=np.array([0, 1, 2, 3]))
        certificate = certify(unit, inputs)
        (found,) = certificate.stages
        assert found.result_low.tolist() == found.result_high.tolist() == [2, 9]
        check_certificate(certificate.to_dict(), unit)
