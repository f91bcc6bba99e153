"""Tests for lsqsim.specs.toml: every specification to TOML and back, and what is refused."""

from dataclasses import dataclass

import pytest
from hypothesis import given

import lsqsim.formats as formats_module
import lsqsim.specs as specs_module
from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat, StochasticRounding
from lsqsim.learn.graph import GlobalAveragePoolNode
from lsqsim.specs import (
    AccumulatorSpec,
    Conv2dSpec,
    DatapathSpec,
    FixedPoint,
    LinearSpec,
    PowerOfTwo,
    QuantizerSpec,
    RescalerSpec,
    StageSpec,
    Thresholds,
)
from lsqsim.specs.toml import Spec, kind_name, to_table
from strategies import specs

NAMES = vars(formats_module) | vars(specs_module)


class TestWorkedExamples:
    def test_a_choice_carries_its_kind(self):
        spec = RescalerSpec.from_toml(
            'output = "uint4"\n[scaling]\nkind = "power_of_two"\nmax_shift = 9\n'
        )
        assert spec == RescalerSpec(
            output=IntFormat(4, signed=False), scaling=PowerOfTwo(max_shift=9)
        )

    def test_left_out_keys_have_their_defaults(self):
        assert QuantizerSpec.from_toml('format = "int8"') == QuantizerSpec(format=IntFormat(8))
        assert LinearSpec.from_toml("") == LinearSpec()

    def test_rounding_is_a_name_or_a_table(self):
        text = 'format = "int8"\n[rounding]\ngenerator = "splitmix64"\nseed = 7\nbits = 16\n'
        rounding = QuantizerSpec.from_toml(text).rounding
        assert isinstance(rounding, StochasticRounding)
        assert (str(rounding.generator), rounding.seed, rounding.bits) == ("splitmix64", 7, 16)

    def test_order_is_a_name_or_a_list(self):
        stage = '[[stages]]\nbits = 32\nfan_in = "all"\n'
        assert str(AccumulatorSpec.from_toml(f'order = "reversed"\n{stage}').order) == "reversed"
        assert AccumulatorSpec.from_toml(f"order = [2, 0, 1]\n{stage}").order == (2, 0, 1)
        assert AccumulatorSpec.from_toml(f"order = []\n{stage}").order == ()

    @pytest.mark.parametrize(
        ("cls", "name"),
        [
            (FixedPoint, "fixed_point"),
            (PowerOfTwo, "power_of_two"),
            (Thresholds, "thresholds"),
            (Conv2dSpec, "conv2d"),
            (GlobalAveragePoolNode, "global_average_pool"),
        ],
    )
    def test_kind_names(self, cls, name):
        assert kind_name(cls) == name


class TestLaws:
    @given(specs)
    def test_toml_reads_back_equal(self, spec):
        assert type(spec).from_toml(spec.to_toml()) == spec

    @given(specs)
    def test_str_is_toml(self, spec):
        assert str(spec) == spec.to_toml()

    @given(specs)
    def test_repr_is_code(self, spec):
        assert eval(repr(spec), dict(NAMES)) == spec  # noqa: S307  the text is our own

    @given(specs)
    def test_specs_are_values(self, spec):
        assert hash(type(spec).from_toml(spec.to_toml())) == hash(spec)

    @given(specs)
    def test_none_is_not_written(self, spec):
        assert "None" not in spec.to_toml()


DATAPATH = """\
input = {{ format = "uint8" }}
weight = {{ format = "int8" }}
accumulator = {accumulator}
rescaler = {{ output = "uint8" }}
"""


class TestRefusals:
    """An error names the key by its dotted path, the value, and what is legal."""

    @pytest.mark.parametrize("text", ["format =", "format = int8", '= "int8"', "a = 1\na = 2", "["])
    def test_malformed(self, text):
        with pytest.raises(SpecError, match="malformed TOML: "):
            QuantizerSpec.from_toml(text)

    def test_unknown_key(self):
        message = "unknown key step; legal keys are format, rounding, arithmetic, channel_axis"
        with pytest.raises(SpecError, match=message):
            QuantizerSpec.from_toml('format = "int8"\nstep = 1.0')

    def test_unknown_key_inside(self):
        text = DATAPATH.format(accumulator="{ stages = [{ bits = 32, width = 3 }] }")
        message = (
            r"unknown key accumulator\.stages\[0\]\.width; legal keys are bits, fan_in, overflow"
        )
        with pytest.raises(SpecError, match=message):
            DatapathSpec.from_toml(text)

    def test_kind_is_no_key_where_there_is_no_choice(self):
        text = DATAPATH.format(accumulator='{ kind = "accumulator", stages = [{ bits = 32 }] }')
        with pytest.raises(SpecError, match=r"unknown key accumulator\.kind"):
            DatapathSpec.from_toml(text)

    @pytest.mark.parametrize(
        ("cls", "text", "key"),
        [
            (QuantizerSpec, "", "format"),
            (StageSpec, 'fan_in = "all"', "bits"),
            (AccumulatorSpec, "", "stages"),
            (RescalerSpec, "", "output"),
            (DatapathSpec, 'input = { rounding = "ties_even" }', "weight"),
        ],
    )
    def test_missing_key(self, cls, text, key):
        with pytest.raises(SpecError, match=f"missing key {key}"):
            cls.from_toml(text)

    def test_missing_key_inside(self):
        text = DATAPATH.format(accumulator='{ stages = [{ fan_in = "all" }] }')
        with pytest.raises(SpecError, match=r"missing key accumulator\.stages\[0\]\.bits"):
            DatapathSpec.from_toml(text)

    def test_value_inside_is_out_of_range(self):
        text = DATAPATH.format(accumulator="{ stages = [{ bits = 99 }] }")
        message = r"^accumulator\.stages\[0\]: register bits must be in 2\.\.63, got 99$"
        with pytest.raises(SpecError, match=message):
            DatapathSpec.from_toml(text)

    @pytest.mark.parametrize(
        ("cls", "text", "message"),
        [
            (StageSpec, 'bits = "8"', "bits must be an integer, got '8'"),
            (StageSpec, "bits = 8.0", r"bits must be an integer, got 8\.0"),
            (StageSpec, "bits = true", "bits must be an integer, got True"),
            (
                StageSpec,
                'bits = 8\nfan_in = "some"',
                "fan_in must be an integer or 'all', got 'some'",
            ),
            (StageSpec, "bits = 8\nfan_in = 1.5", r"fan_in must be an integer or 'all', got 1\.5"),
            (
                StageSpec,
                'bits = 8\noverflow = "clip"',
                "overflow must be 'wrap' or 'saturate', got 'clip'",
            ),
            (QuantizerSpec, "format = 8", "format must be a format such as 'int8', got 8"),
            (QuantizerSpec, 'format = "float8"', "format: a format is written int8.*got 'float8'"),
            (QuantizerSpec, 'format = "int64"', r"format: bits must be in 1\.\.63, got 64"),
            (
                QuantizerSpec,
                'format = "int8"\nrounding = "half"',
                "rounding must be 'to_neg' or .* or 'ties_even' or a table, got 'half'",
            ),
            (
                QuantizerSpec,
                'format = "int8"\nrounding = { seed = 0 }',
                "rounding: seed must be in",
            ),
            (
                QuantizerSpec,
                'format = "int8"\nrounding = { seed = 1.5 }',
                r"rounding\.seed must be an integer, got 1\.5",
            ),
            (AccumulatorSpec, "stages = 3", "stages must be a list, got 3"),
            (AccumulatorSpec, "stages = [3]", r"stages\[0\] must be a table, got 3"),
            (
                AccumulatorSpec,
                "stages = [{ bits = 32 }]\norder = 3",
                "order must be 'natural' or 'reversed' or a list, got 3",
            ),
            (
                AccumulatorSpec,
                "stages = [{ bits = 32 }]\norder = [0, 1.5]",
                r"order\[1\] must be an integer, got 1\.5",
            ),
            (
                RescalerSpec,
                'output = "int8"\nscaling = "fixed_point"',
                "^scaling must be a table, got 'fixed_point'$",
            ),
            (
                RescalerSpec,
                'output = "int8"\nscaling = {}',
                r"scaling\.kind must be one of fixed_point, float_scale, .*thresholds, got None",
            ),
            (
                RescalerSpec,
                'output = "int8"\nscaling = { kind = "lut" }',
                "scaling.kind must be .*got 'lut'",
            ),
            (
                RescalerSpec,
                'output = "int8"\nscaling = { kind = ["lut"] }',
                r"scaling.kind must be .*got \['lut'\]",
            ),
            (
                RescalerSpec,
                'output = "int8"\nscaling = { kind = "thresholds", min_shift = 1 }',
                r"unknown key scaling\.min_shift; legal keys are rounding",
            ),
            (
                RescalerSpec,
                'output = "int8"\nscaling = { kind = "fixed_point", first_shift = 31 }',
                r"scaling\.first_shift must be a table, got 31",
            ),
            (Conv2dSpec, "stride = [1]", "stride must have 2 items, got 1"),
            (Conv2dSpec, "stride = 1", "stride must be a list, got 1"),
            (Conv2dSpec, "padding = [0, 0, 0]", "padding must have 4 items, got 3"),
            (Conv2dSpec, "dilation = [1, true]", r"dilation\[1\] must be an integer, got True"),
        ],
    )
    def test_wrong_values(self, cls, text, message):
        with pytest.raises(SpecError, match=message):
            cls.from_toml(text)

    def test_table_expected(self):
        with pytest.raises(SpecError, match="input must be a table, got 3"):
            DatapathSpec.from_toml("input = 3\nweight = 3\naccumulator = 3\nrescaler = 3")


class TestWrongTypesInCode:
    """Construction from Python checks types as the reader of TOML does."""

    @pytest.mark.parametrize(
        ("build", "message"),
        [
            (lambda: StageSpec(bits="8"), "StageSpec.bits must be an integer, got '8'"),
            (lambda: StageSpec(bits=True), "StageSpec.bits must be an integer, got True"),
            (
                lambda: StageSpec(bits=8, fan_in="all"),
                "StageSpec.fan_in must be an integer or FanIn, got 'all'",
            ),
            (
                lambda: StageSpec(bits=8, overflow="wrap"),
                "StageSpec.overflow must be Overflow, got 'wrap'",
            ),
            (
                lambda: QuantizerSpec(format="int8"),
                "QuantizerSpec.format must be IntFormat, got 'int8'",
            ),
            (
                lambda: QuantizerSpec(format=IntFormat(8), channel_axis=0.0),
                r"QuantizerSpec.channel_axis must be an integer or None, got 0\.0",
            ),
            (
                lambda: AccumulatorSpec(stages=StageSpec(bits=8)),
                "AccumulatorSpec.stages must be a tuple of StageSpec, got StageSpec",
            ),
            (
                lambda: AccumulatorSpec(stages=[StageSpec(bits=8)]),
                r"AccumulatorSpec.stages must be a tuple of StageSpec, got \[",
            ),
            (
                lambda: AccumulatorSpec(stages=(8,)),
                r"AccumulatorSpec.stages must be a tuple of StageSpec, got \(8,\)",
            ),
            (
                lambda: AccumulatorSpec(stages=(StageSpec(bits=8),), order=[0]),
                r"AccumulatorSpec.order must be KOrder or a tuple of an integer, got \[0\]",
            ),
            (
                lambda: Conv2dSpec(stride=(1, 1, 1)),
                "Conv2dSpec.stride must be a tuple of an integer and an integer",
            ),
            (
                lambda: RescalerSpec(output=IntFormat(8), scaling=None),
                "scaling must be FixedPoint or FloatScale or PowerOfTwo or Thresholds, got None",
            ),
        ],
    )
    def test_refused(self, build, message):
        with pytest.raises(SpecError, match=message):
            build()

    def test_fields_have_names(self):
        with pytest.raises(TypeError, match="positional"):
            StageSpec(8)

    def test_frozen(self):
        with pytest.raises(AttributeError):
            StageSpec(bits=8).bits = 9  # pyright: ignore[reportAttributeAccessIssue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample(Spec):
    """Fields of the kinds that no specification of the datapath has."""

    word: str
    ratio: float = 0.5
    choices: tuple[FixedPoint | PowerOfTwo, ...] = ()
    same: tuple[LinearSpec, ...] = ()


class TestOtherFields:
    """Real numbers, strings, and tuples of several specifications."""

    def test_reads_back_equal(self):
        sample = Sample(
            word='a "b"',
            ratio=1e-5,
            choices=(PowerOfTwo(max_shift=9), FixedPoint(), PowerOfTwo()),
            same=(LinearSpec(),),
        )
        assert Sample.from_toml(sample.to_toml()) == sample

    def test_only_choices_carry_their_kind(self):
        table = to_table(Sample(word="w", choices=(FixedPoint(),), same=(LinearSpec(),)))
        assert table["choices"][0]["kind"] == "fixed_point"
        assert "kind" not in table["same"][0]

    def test_an_integer_is_a_real_number(self):
        sample = Sample.from_toml('word = "w"\nratio = 2')
        assert (sample.ratio, type(sample.ratio)) == (2.0, float)
        assert Sample(word="w", ratio=2) == sample
        assert Sample.from_toml(Sample(word="w", ratio=2).to_toml()) == sample

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('word = "w"\nratio = "2"', "ratio must be a real number, got '2'"),
            ('word = "w"\nratio = true', "ratio must be a real number, got True"),
            ("word = 3", "word must be a string, got 3"),
            ('word = "w"\nchoices = [3]', r"choices\[0\] must be a table, got 3"),
            ('word = "w"\nchoices = [{}]', r"choices\[0\].kind must be one of fixed_point, power"),
            (
                'word = "w"\nchoices = [{ kind = "power_of_two", bits = 3 }]',
                r"unknown key choices\[0\].bits",
            ),
        ],
    )
    def test_wrong_values(self, text, message):
        with pytest.raises(SpecError, match=message):
            Sample.from_toml(text)

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"word": 3}, "Sample.word must be a string, got 3"),
            ({"word": "w", "ratio": "2"}, "Sample.ratio must be a real number, got '2'"),
            ({"word": "w", "ratio": True}, "Sample.ratio must be a real number, got True"),
            (
                {"word": "w", "choices": (LinearSpec(),)},
                "Sample.choices must be a tuple of FixedPoint or PowerOfTwo, got ",
            ),
        ],
    )
    def test_wrong_types_in_code(self, fields, message):
        with pytest.raises(SpecError, match=message):
            Sample(**fields)
