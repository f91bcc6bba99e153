"""Tests for lsqsim.certificate_audit: true certificates pass, and no mutant does."""

import ast
import contextlib
import copy
import hashlib
import inspect
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st

from lsqsim import certificate_audit, certificate_checker
from lsqsim.budget.certificate import certify
from lsqsim.budget.input_range import InputRange
from lsqsim.certificate_audit import check_certificate
from lsqsim.datapath import CompiledLayer
from lsqsim.errors import DataError
from lsqsim.formats import IntFormat, Overflow
from lsqsim.layer import Layer
from lsqsim.specs import (
    AccumulatorSpec,
    BiasPlacement,
    Conv2dSpec,
    FanIn,
    KOrder,
    Layout,
    LinearSpec,
    StageSpec,
    ZeroPointHandling,
    simple_datapath,
)
from oracle.layers import conv2d_operands
from oracle.ranges import all_inputs, least_width, try_all

WEIGHTS = IntFormat(3)


def sealed(table):
    """``table`` with the seal that its content has."""
    rest = {key: value for key, value in table.items() if key != "seal"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return rest | {"seal": hashlib.sha256(text.encode()).hexdigest()}


def certificate(compiled, inputs=None):
    """As it comes back from a file."""
    return json.loads(json.dumps(certify(compiled, inputs).to_dict()))


def linear(w, bits=4, overflow=Overflow.WRAP, fan_ins=(), **options):
    """A layer of these weight codes with a register of ``bits`` in every stage."""
    stages = tuple(
        StageSpec(bits=bits, fan_in=fan, overflow=overflow) for fan in (*fan_ins, FanIn.ALL)
    )
    spec = simple_datapath(weight_bits=4, activation_bits=2)
    layer = Layer(
        spec=LinearSpec(), weight_codes=np.array(w), input_step=1.0, weight_step=1.0,
        output_step=1.0, **options,
    )  # fmt: skip
    return CompiledLayer(layer, replace(spec, accumulator=AccumulatorSpec(stages=stages)))


@st.composite
def accumulators(draw, k):
    fan_ins = [*draw(st.lists(st.sampled_from([1, 2, 3, FanIn.ALL]), max_size=2)), FanIn.ALL]
    rule = draw(st.none() | st.sampled_from(Overflow))
    return AccumulatorSpec(
        stages=tuple(
            StageSpec(
                bits=draw(st.integers(2, 7)),
                fan_in=fan,
                overflow=rule or draw(st.sampled_from(Overflow)),
            )
            for fan in fan_ins
        ),
        bias=draw(st.sampled_from(BiasPlacement)),
        zero_points=draw(st.sampled_from(ZeroPointHandling)),
        order=draw(st.sampled_from(KOrder) | st.permutations(range(k)).map(tuple)),
    )


@st.composite
def geometries(draw):
    """(layer spec, shape of the weights): up to 4 products an output, and 0."""
    if draw(st.booleans()):
        return LinearSpec(), (draw(st.integers(1, 3)), draw(st.integers(0, 4)))
    kernel = draw(st.sampled_from([(1, 1), (1, 2), (2, 1), (1, 3)]))
    depth = draw(st.integers(1, 2)) if kernel != (1, 3) else 1
    spec = Conv2dSpec(
        groups=draw(st.integers(1, 2)), layout=draw(st.sampled_from(Layout)),
        padding=draw(st.sampled_from([(0, 0, 0, 0), (1, 0, 0, 2)])),
        stride=draw(st.sampled_from([(1, 1), (2, 1), (3, 2)])),
        dilation=draw(st.sampled_from([(1, 1), (1, 2), (2, 3)])),
    )  # fmt: skip
    n = spec.groups * draw(st.integers(1, 2))
    is_nchw = spec.layout is Layout.NCHW
    return spec, (n, depth, *kernel) if is_nchw else (n, *kernel, depth)


@st.composite
def layers(draw):
    """A compiled layer of 2-bit inputs and 3-bit weights."""
    spec, shape = draw(geometries())
    n, k = shape[0], int(np.prod(shape[1:]))
    datapath = simple_datapath(weight_bits=3, activation_bits=2, input_signed=draw(st.booleans()))
    inputs = datapath.input.format
    codes = st.lists(st.integers(-4, 3), min_size=n * k, max_size=n * k)
    biases = st.lists(st.integers(-12, 12), min_size=n, max_size=n).map(np.array)
    layer = Layer(
        spec=spec, weight_codes=np.array(draw(codes), np.int64).reshape(shape),
        input_step=1.0, weight_step=1.0, output_step=1.0, bias_codes=draw(st.none() | biases),
        input_zero_point=draw(st.just(0) | st.integers(inputs.min, inputs.max)),
        weight_zero_point=draw(st.just(0) | st.integers(-4, 3)),
    )  # fmt: skip
    return CompiledLayer(layer, replace(datapath, accumulator=draw(accumulators(k))))


@st.composite
def certified(draw):
    """A layer and its certificate: for all inputs, for one range, for one each channel."""
    compiled = draw(layers())
    spec, shape, fmt = compiled.layer.spec, compiled.layer.weight_shape, compiled.spec.input.format
    axis = 3 if isinstance(spec, Conv2dSpec) and spec.layout is Layout.NHWC else 1
    n = shape[axis] * (spec.groups if isinstance(spec, Conv2dSpec) else 1)
    code = st.integers(fmt.min, fmt.max)
    one = st.tuples(code, code).map(sorted)
    each = st.lists(one, min_size=n, max_size=n)
    ends = draw(st.none() | one | (each if n else one))
    if ends is None:
        return compiled, certificate(compiled)
    low, high = np.array(ends).T if isinstance(ends[0], list) else ends
    return compiled, certificate(compiled, InputRange(low=low, high=high))


def leaves(value, path=()):
    """Paths of all that can be mutated: leaves, and the lists and tables that hold them."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from leaves(value[key], (*path, key))


def other_values(value):
    """What may stand in a value's place instead."""
    odd = st.sampled_from([None, True, False, 0.5, "x", "", [], {}, [[]], {"x": 1}, 10**30, -1, 0])
    if type(value) is int:
        return st.sampled_from([value - 1, value + 1, -value, float(value), str(value)]) | odd
    if isinstance(value, str):
        names = ["unsafe", "wrap_safe", "saturate_safe", "wrap", "saturate", "natural", "reversed"]
        return st.sampled_from([*names, value + "0", value[1:], value.upper()]) | odd
    if isinstance(value, list):
        changed = [value[1:], value[:-1], value[::-1], [*value, 0], value + value, tuple(value)]
        return st.sampled_from(changed) | odd
    if isinstance(value, dict):
        keys = list(value)
        dropped = [{k: v for k, v in value.items() if k != key} for key in keys]
        return st.sampled_from([*dropped, value | {"more": 0}, value | {1: 2}]) | odd
    return odd


@st.composite
def mutants(draw, table):
    """``table`` with one thing changed, anywhere."""
    mutant = copy.deepcopy(table)
    path = draw(st.sampled_from([path for path in leaves(table) if path]))
    holder = mutant
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = draw(other_values(holder[path[-1]]))
    assume(not_equal(mutant, table))
    return mutant


def not_equal(a, b):
    """As JSON, in which true is not 1, nor 1.0."""
    try:
        return json.dumps(a, sort_keys=True) != json.dumps(b, sort_keys=True)
    except TypeError:
        return True


class TestWorkedExamples:
    def test_three_verdicts(self):
        """3 * 3 - 2 * 3 = 3: 4 bits lose nothing by wrapping."""
        for overflow, bits, verdict in (
            (Overflow.WRAP, 4, "unsafe"),
            (Overflow.WRAP, 5, "saturate_safe"),
            (Overflow.SATURATE, 4, "unsafe"),
        ):
            compiled = linear([[3, -2]], bits, overflow)
            table = certificate(compiled)
            assert table["stages"][0]["verdict"] == verdict
            check_certificate(table, compiled)

    def test_a_certificate_is_true_of_its_own_layer_only(self):
        one, other = linear([[3, -2]]), linear([[3, -1]])
        with pytest.raises(DataError, match="certificate is for another layer: digest is stated"):
            check_certificate(certificate(one), other)
        for options in ({"bias_codes": np.array([1])}, {"input_zero_point": 1}):
            with pytest.raises(DataError, match="certificate is for another layer"):
                check_certificate(certificate(one), linear([[3, -2]], **options))

    def test_a_certificate_is_true_of_its_own_registers_only(self):
        with pytest.raises(
            DataError, match=r"datapath.accumulator.stages\[0\].bits is stated as 4"
        ):
            check_certificate(certificate(linear([[3, -2]])), linear([[3, -2]], 5))

    def test_padding_brings_the_zero_point(self):
        layer = Layer(
            spec=Conv2dSpec(padding=(1, 0, 0, 0)), weight_codes=np.array([[[[3]]]]),
            input_step=1.0, weight_step=1.0, output_step=1.0,
        )  # fmt: skip
        compiled = CompiledLayer(layer, simple_datapath(activation_bits=2))
        table = certificate(compiled, InputRange(low=1, high=2))
        assert table["input_low"] == 0
        check_certificate(table, compiled)
        with pytest.raises(
            DataError, match=r"1..2 of channel 0 must lie in uint2 .* hold the zero"
        ):
            check_certificate(sealed(table | {"input_low": 1}), compiled)

    def test_64_channels_of_64_weights(self):
        w = np.random.default_rng(0).integers(-8, 8, (64, 64))
        compiled = linear(w, 8, fan_ins=(16,))
        check_certificate(certificate(compiled), compiled)


def imports_of(module):
    """Names of the modules of lsqsim that ``module`` imports."""
    names = set()
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.ImportFrom):
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name.startswith("lsqsim")}


class TestBlocks:
    def test_channels_at_a_time_change_nothing(self, monkeypatch):
        w = np.arange(-8, 7).reshape(5, 3)
        compiled = linear(w, 6, fan_ins=(2,))
        table, told = certificate(compiled), []
        monkeypatch.setattr(certificate_audit, "_BLOCK_PRODUCTS", 6)
        check_certificate(table, compiled, progress=lambda *done: told.append(done))
        assert told == [(2, 5), (4, 5), (5, 5)]
        table["stages"][1]["result_high"][4] += 1
        with pytest.raises(DataError, match=r"stages\[1\].result_high\[4\] is stated as"):
            check_certificate(sealed(table), compiled)


class TestIndependence:
    def test_neither_imports_anything_of_the_prover(self):
        assert imports_of(certificate_checker) == set()
        assert imports_of(certificate_audit) == {
            "lsqsim.certificate_checker", "lsqsim.datapath", "lsqsim.errors", "lsqsim.specs.toml",
        }  # fmt: skip

    def test_the_checker_is_short_enough_to_audit(self):
        assert len(inspect.getsource(certificate_checker).splitlines()) < 100


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"kind": "x"}, "kind is stated as 'x', but is 'lsqsim overflow certificate'"),
            ({"version": 2}, "version is stated as 2, but is 1"),
            ({"version": True}, "version is stated as True, but is 1"),
            ({"input_low": True}, "input_low is stated as True"),
            ({"input_low": 2, "input_high": 1}, r"the input range 2\.\.1 of channel 0"),
            ({"input_high": 4}, r"0\.\.4 of channel 0 must lie in uint2 \[0, 3\]"),
            ({"input_low": -1}, r"-1\.\.3 of channel 0 must lie in uint2 \[0, 3\]"),
            ({"input_low": [0]}, r"input_low is stated as \[0\]"),
            ({"input_low": [0, 0]}, "input_high is stated as 3"),
            ({"input_high": "3"}, "input_high is stated as '3'"),
            ({"stages": []}, "stages is stated as"),
            ({"stages": "x"}, "stages is stated as 'x'"),
            ({"more": 1}, "certificate knows no key 'more'"),
            ({3: 1}, "certificate knows no key 3"),
            ({"input_low": float("nan")}, "certificate is no plain JSON"),
            ({"input_low": {3, 4}}, "certificate is no plain JSON"),
        ],
    )
    def test_of_the_head(self, change, message):
        compiled = linear([[3, -2]])
        table = certificate(compiled) | change
        with contextlib.suppress(TypeError, ValueError):
            table = sealed(table)
        with pytest.raises(DataError, match=message) as caught:
            check_certificate(table, compiled)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                {"verdict": "wrap_safe"},
                r"stages\[0\].verdict is stated as 'wrap_safe', but is 'unsafe'",
            ),
            ({"prefix_low": [-6, 1]}, r"stages\[0\].prefix_low\[1\] is stated as 1, but is 0"),
            ({"result_high": [9]}, r"stages\[0\].result_high is stated as \[9\], but is \[9, 3\]"),
            ({"wrap_bits": 4}, r"stages\[0\].wrap_bits is stated as 4, but is 5"),
            ({"saturate_bits": 5.0}, r"stages\[0\].saturate_bits is stated as 5.0, but is 5"),
            ({"headroom_bits": 0}, r"stages\[0\].headroom_bits is stated as 0, but is -1"),
            ({"unsafe_channels": []}, r"stages\[0\].unsafe_channels is stated as \[\]"),
            ({"wrap_safe_channels": [1]}, r"stages\[0\].wrap_safe_channels is stated as \[1\]"),
            ({"witness": None}, r"stages\[0\].witness is stated as None"),
        ],
    )
    def test_of_a_claim(self, change, message):
        compiled = linear([[3, -2], [1, 0]])
        table = certificate(compiled)
        table["stages"][0] |= change
        with pytest.raises(DataError, match="seal is stated as"):
            check_certificate(table, compiled)
        with pytest.raises(DataError, match=message):
            check_certificate(sealed(table), compiled)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"channel": 1}, "its channel is safe"),
            ({"channel": 2}, "no such channel, stage and tile"),
            ({"channel": -2}, "no such channel, stage and tile"),
            ({"stage": 1}, "no such channel, stage and tile"),
            ({"stage": -1}, "no such channel, stage and tile"),
            ({"tile": 1}, "no such tile"),
            ({"tile": -1}, "no such channel, stage and tile"),
            ({"codes": [4, 0]}, "its codes leave the input range"),
            ({"codes": [0, -1]}, "its codes leave the input range"),
            ({"codes": [3]}, r"witness.codes is stated as \[3\]"),
            ({"codes": [3, False]}, r"witness.codes\[1\] is stated as False"),
            ({"codes": [2, 0]}, "no value is lost in its register"),
            ({"k_index": 1}, r"the first \(K index, value\) to leave the register is \(0, 9\)"),
            ({"value": 8}, r"the first \(K index, value\) to leave the register is \(0, 9\)"),
            ({"codes": [3, 3]}, "no value is lost in its register"),
            ({"more": 1}, r"stages\[0\].witness knows no key 'more'"),
        ],
    )
    def test_of_a_witness(self, change, message):
        compiled = linear([[3, -2], [1, 0]])
        table = certificate(compiled)
        table["stages"][0]["witness"] |= change
        with pytest.raises(DataError, match=message):
            check_certificate(sealed(table), compiled)

    @pytest.mark.parametrize("table", [None, [], "x", 3, {}, {"seal": "x"}, [[[[]]]]])
    def test_of_no_table(self, table):
        with pytest.raises(DataError, match="certificate "):
            check_certificate(table, linear([[3, -2]]))

    def test_of_bottomless_nesting(self):
        compiled, deep = linear([[3, -2]]), []
        for _ in range(100_000):
            deep = [deep]
        with pytest.raises(DataError, match="certificate is no plain JSON"):
            check_certificate(certificate(compiled) | {"stages": deep}, compiled)
        with pytest.raises(DataError, match="seal is stated as"):
            check_certificate(certificate(compiled) | {"seal": deep}, compiled)


class TestLaws:
    @given(certified())
    def test_every_certificate_of_the_prover_is_confirmed(self, case):
        compiled, table = case
        check_certificate(table, compiled)
        assert_true_by_brute_force(table, compiled)

    @given(st.data())
    def test_a_mutant_is_rejected(self, data):
        compiled, table = data.draw(certified())
        assert rejection(data.draw(mutants(table)), compiled)

    @given(st.data())
    def test_a_mutant_with_a_seal_of_its_own_is_rejected_or_as_true(self, data):
        """Only another witness, or another input range, can leave all claims true."""
        compiled, table = data.draw(certified())
        mutant = data.draw(mutants(table))
        try:
            mutant = sealed(mutant)
        except TypeError:
            assume(False)  # keys that do not compare
        error = rejection(mutant, compiled)
        if error is not None:
            assert "\n" not in error
            return
        assert [claims(stage) for stage in mutant["stages"]] == [
            claims(stage) for stage in table["stages"]
        ]
        free = {"input_low", "input_high", "stages", "seal"}
        assert not any(not_equal(mutant[key], table[key]) for key in table.keys() - free)
        assert_true_by_brute_force(mutant, compiled)

    @given(certified(), certified())
    def test_certificates_of_two_layers_are_not_exchanged(self, one, other):
        (compiled, _), (_, table) = one, other
        assume(table != certificate(compiled) and one[1] != table)
        if rejection(table, compiled) is None:
            assert_true_by_brute_force(table, compiled)


def rejection(table, compiled):
    """Why a certificate is rejected; None when it is true."""
    try:
        check_certificate(table, compiled)
    except DataError as error:
        return str(error)
    return None


def claims(stage):
    """All but the witness."""
    return {key: value for key, value in stage.items() if key != "witness"}


def input_ends(table, compiled):
    """Ends of every product's input, for each output channel, by the oracle's index loops."""
    layer, n = compiled.layer, compiled.layer.n_outputs
    w = layer.weight_codes
    low, high = table["input_low"], table["input_high"]
    if not isinstance(low, list):
        return [[(low, high)] * int(np.prod(w.shape[1:]))] * n
    if isinstance(layer.spec, LinearSpec):
        return [list(zip(low, high, strict=True))] * n
    plain = replace(layer.spec, padding=(0, 0, 0, 0))
    is_nchw = plain.layout is Layout.NCHW
    (kh, kw), (dh, dw) = w.shape[2:] if is_nchw else w.shape[1:3], plain.dilation
    size = dh * (kh - 1) + 1, dw * (kw - 1) + 1
    index = np.arange(len(low)).reshape(-1, 1, 1) * np.ones(size, int)
    image = index[None] if is_nchw else index.transpose(1, 2, 0)[None]
    outputs = conv2d_operands(image.tolist(), w.tolist(), plain, 0)
    return [[(low[c], high[c]) for c, _ in pairs] for _, pairs in outputs]


def assert_true_by_brute_force(table, compiled):
    """Every claim, by all inputs."""
    layer, spec = compiled.layer, compiled.spec.accumulator
    wide = replace(spec, stages=tuple(replace(stage, bits=40) for stage in spec.stages))
    bias = [0] * layer.n_outputs if compiled.bias is None else compiled.bias.codes.tolist()
    for c, ends in enumerate(input_ends(table, compiled)):
        w = [layer.weight_codes[c].reshape(-1)]
        rest = layer.input_zero_point, int(layer.weight_zero_point)
        x = all_inputs(ends)
        exact, tried = try_all(x, w, bias[c], wide, *rest), try_all(x, w, bias[c], spec, *rest)
        is_safe = True
        for level, stage in enumerate(table["stages"]):
            assert (stage["prefix_low"][c], stage["prefix_high"][c]) == exact.sums[level]
            assert (stage["result_low"][c], stage["result_high"][c]) == exact.results[level]
            safe_by_wrapping = c in stage["wrap_safe_channels"]
            unsafe = c in stage["unsafe_channels"]
            assert unsafe or safe_by_wrapping or not tried.overflows[level]
            is_safe = is_safe and not unsafe
        assert not (is_safe and tried.is_wrong)
    for stage, spec_ in zip(table["stages"], spec.stages, strict=True):
        bits = {}
        for name in ("prefix", "result"):
            pairs = zip(stage[f"{name}_low"], stage[f"{name}_high"], strict=True)
            bits[name] = max(least_width(*pair) for pair in pairs)
        assert (stage["saturate_bits"], stage["wrap_bits"]) == (bits["prefix"], bits["result"])
        own = bits["result" if spec_.overflow is Overflow.WRAP else "prefix"]
        assert stage["headroom_bits"] == spec_.bits - own
        assert (stage["witness"] is None) == (not stage["unsafe_channels"])
        if stage["witness"] is not None:
            assert_overflows(stage["witness"], compiled, spec_)


def assert_overflows(witness, compiled, spec):
    """The simulator's own walk meets the overflow, first in its register, and loses the value."""
    steps = [
        step
        for step in compiled.walk_codes(witness["codes"], witness["channel"])
        if (step.stage, step.tile) == (witness["stage"], witness["tile"])
    ]
    first = next(step for step in steps if step.overflows)
    assert (first.k_index, first.before + first.operand) == (witness["k_index"], witness["value"])
    spec = compiled.spec.accumulator.stages[witness["stage"]]
    lost = steps[-1].after != sum(step.operand for step in steps)
    assert lost or spec.overflow is Overflow.SATURATE
