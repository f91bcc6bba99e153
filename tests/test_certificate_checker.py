"""Tests for lsqsim.certificate_checker: claims against all inputs, replays against the oracle."""

import numpy as np
from hypothesis import given, strategies as st

from lsqsim.certificate_checker import Reduction
from lsqsim.formats import Overflow
from lsqsim.specs import AccumulatorSpec, BiasPlacement, FanIn, StageSpec
from lsqsim.specs.toml import to_table
from lsqsim.walk import walk
from oracle.ranges import all_inputs, try_all

FAN_INS = st.sampled_from([1, 2, 3, FanIn.ALL])


@st.composite
def arrays(draw):
    """A small array of centered operands: weights (n, k), ends of the inputs, biases."""
    n, k = draw(st.integers(1, 3)), draw(st.integers(0, 5))
    bits, rules = st.integers(2, 8), st.sampled_from(Overflow)
    inner = draw(
        st.lists(st.builds(StageSpec, bits=bits, fan_in=FAN_INS, overflow=rules), max_size=2)
    )
    last = draw(st.builds(StageSpec, bits=bits, overflow=rules))
    spec = AccumulatorSpec(stages=(*inner, last), bias=draw(st.sampled_from(BiasPlacement)))
    codes = st.lists(st.integers(-4, 3), min_size=n * k, max_size=n * k)
    ends = [sorted(draw(st.tuples(st.integers(-2, 2), st.integers(-2, 2)))) for _ in range(k)]
    biases = draw(st.lists(st.integers(-9, 9), min_size=n, max_size=n))
    couplings = draw(st.just([0] * n) | st.lists(st.integers(-3, 3), min_size=n, max_size=n))
    weights = np.array(draw(codes), np.int64).reshape(n, k)
    return spec, weights, [(a, b) for a, b in ends], biases, couplings


def reduction(spec, weights, ends, biases, couplings):
    n, k = weights.shape
    inputs = np.array(ends, object).reshape(1, k, 2).transpose(2, 0, 1)
    return Reduction(
        to_table(spec),
        np.array(weights.tolist(), object).reshape(n, k),
        np.broadcast_to(inputs, (2, n, k)),
        np.array(biases, object),
        np.array(couplings, object)[:, None],
    )


class TestClaims:
    @given(arrays())
    def test_ends_and_verdicts_are_those_of_all_inputs(self, case):
        """With a coupling of -z_w, an input joins the addend: what folded zero points do."""
        spec, weights, ends, biases, couplings = case
        x, z_w = all_inputs(ends), [-coupling for coupling in couplings]
        wide = AccumulatorSpec(
            stages=tuple(StageSpec(bits=40, fan_in=stage.fan_in) for stage in spec.stages),
            bias=spec.bias,
        )
        exact = try_all(x, weights, np.array(biases), wide, 0, np.array(z_w))
        actual = try_all(x, weights, np.array(biases), spec, 0, np.array(z_w))
        unsafe = np.zeros(len(biases), bool)
        for level, (sums, results, verdicts) in enumerate(reduction(*case).claims()):
            assert sums.tolist() == [end.tolist() for end in exact.sums[level]]
            assert results.tolist() == [end.tolist() for end in exact.results[level]]
            assert not (actual.overflows[level] & (verdicts == 0)).any()
            # Behind an unsafe stage, a verdict may be too careful; before, an input shows it.
            assert (actual.overflows[level] | (verdicts != 2) | unsafe).all()
            unsafe |= verdicts == 2
        assert not (actual.is_wrong & ~unsafe).any()


class TestReplay:
    @given(arrays(), st.data())
    def test_the_first_value_lost_is_that_of_the_walk(self, case, data):
        spec, weights, ends, biases, couplings = case
        x = [data.draw(st.integers(low, high)) for low, high in ends]
        channel = data.draw(st.integers(0, len(biases) - 1))
        one = slice(channel, channel + 1)
        point = reduction(spec, weights[one], [(v, v) for v in x], biases[one], couplings[one])
        additions = list(
            walk(spec, x, weights[channel].tolist(), biases[channel],
                 weight_zero_point=-couplings[channel])
        )  # fmt: skip
        for stage, tile in {(addition.stage, addition.tile) for addition in additions}:
            mine = [a for a in additions if (a.stage, a.tile) == (stage, tile)]
            lost = [(a.k_index, a.before + a.operand) for a in mine if a.overflows]
            wraps = spec.stages[stage].overflow is Overflow.WRAP
            if wraps and mine[-1].after == sum(a.operand for a in mine):
                lost = []
            assert point.first_lost(stage, tile) == (lost[0] if lost else None)
