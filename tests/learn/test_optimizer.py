"""Tests for lsqsim.learn.optimizer: PyTorch's update, and step sizes that stay positive."""

import re

import numpy as np
import pytest

from lsqsim.errors import DataError, LsqsimError
from lsqsim.formats import IntFormat
from lsqsim.learn.failure import TrainingError
from lsqsim.learn.optimizer import LEAST_GAMMA, Sgd
from lsqsim.learn.parameters import Kind, Parameter
from lsqsim.learn.quantizer import LearnedQuantizer
from lsqsim.learn.rule import Granularity, Method, Positivity, StepRule

TINY = np.finfo(np.float32).tiny


def parameter(kind, value, grad, name="layer.p"):
    made = Parameter(name, kind, np.array(value, np.float32))
    made.grad[:] = grad
    return made


def sgd(*parameters, quantizers=(), momentum=0.0, weight_decay=0.0):
    moved = [*parameters, *(q.step for q in quantizers)]
    named = {q.name: q for q in quantizers}
    return Sgd(moved, named, momentum=momentum, weight_decay=weight_decay)


def quantizer(value, grad, *, n_channels=1, **rule):
    if n_channels > 1:
        rule["granularity"] = Granularity.PER_CHANNEL
    made = LearnedQuantizer("act", IntFormat(4, signed=False), StepRule(**rule), n_channels)
    made.step.value[:] = value
    made.step.grad[:] = grad
    return made


class TestUpdates:
    def test_pytorch_form(self):
        """v = m * v + g with the rate outside: the first update has the whole gradient."""
        p = parameter(Kind.BIAS, [1.0], [0.5])
        optimizer = sgd(p, momentum=0.5)
        for expected in (1 - 0.1 * 0.5, 1 - 0.1 * 0.5 - 0.1 * 0.75):
            optimizer.update(0.1)
            assert p.value[0] == pytest.approx(expected, rel=1e-6)

    def test_the_rate_is_not_part_of_the_velocity(self):
        p = parameter(Kind.BIAS, [0.0], [1.0])
        optimizer = sgd(p, momentum=0.5)
        optimizer.update(1.0)
        p.grad[:] = 0
        optimizer.update(2.0)
        assert p.value[0] == -1 - 2 * 0.5

    @pytest.mark.parametrize("kind", Kind)
    def test_only_weights_decay(self, kind):
        p = parameter(kind, [4.0], [0.0])
        sgd(p, weight_decay=0.25).update(0.5)
        assert p.value[0] == (3.5 if kind is Kind.WEIGHT else 4.0)

    def test_arrays_of_several_axes_are_moved_in_place(self):
        p = parameter(Kind.WEIGHT, np.ones((2, 3, 4)), np.arange(24).reshape(2, 3, 4))
        held = p.value
        sgd(p).update(0.5)
        assert held is p.value
        assert held.tolist() == (1 - np.arange(24).reshape(2, 3, 4) / 2).tolist()


class TestGamma:
    def test_stays_positive_where_a_rescaler_is_to_hold_it(self):
        gamma = parameter(Kind.GAMMA, [1.0, 1.0, 2**-10], [5.0, 0.0, 0.0])
        sgd(gamma, quantizers=[quantizer(1.0, 0.0)]).update(1.0)
        assert gamma.value.tolist() == [2**-10, 1.0, 2**-10]
        assert LEAST_GAMMA == 2**-10

    def test_is_free_in_a_float_network(self):
        gamma = parameter(Kind.GAMMA, [1.0], [5.0])
        sgd(gamma).update(1.0)
        assert gamma.value[0] == -4.0

    def test_other_kinds_are_free(self):
        beta = parameter(Kind.BETA, [1.0], [5.0])
        sgd(beta, quantizers=[quantizer(1.0, 0.0)]).update(1.0)
        assert beta.value[0] == -4.0


class TestPositivity:
    @pytest.mark.parametrize(
        ("value", "grad", "error"),
        [
            (
                0.5,
                1.0,
                (
                    "act: an update would take the step size from 0.5 to -0.5: lower the learning "
                    'rate, or set positivity = "halve" or "logarithm"'
                ),
            ),
            (0.5, 0.5, "the step size from 0.5 to 0: lower"),
        ],
    )
    def test_refuses(self, value, grad, error):
        q = quantizer(value, grad)
        with pytest.raises(TrainingError, match=re.escape(error)):
            sgd(quantizers=[q]).update(1.0)

    @pytest.mark.parametrize("to", [float(TINY), 0.25, float(np.finfo(np.float32).max)])
    def test_what_float32_holds_is_legal(self, to):
        q = quantizer(to, 0.0)
        sgd(quantizers=[q]).update(1.0)
        assert q.step.value[0] == np.float32(to)

    def test_just_below_is_not(self):
        q = quantizer(TINY / 2, 0.0)
        with pytest.raises(TrainingError, match=r"would take the step size from 5\.87747e-39 to"):
            sgd(quantizers=[q]).update(1.0)

    def test_nothing_is_moved_when_refused(self):
        """Neither what stands before the bad step size, nor velocities."""
        weight, good, bad = parameter(Kind.WEIGHT, [1.0], [1.0]), quantizer(1, 0.5), quantizer(1, 5)
        bad.name, bad.step.name = "bad", "bad.step"
        optimizer = sgd(weight, quantizers=[good, bad], momentum=0.5)
        with pytest.raises(TrainingError, match="bad: an update"):
            optimizer.update(1.0)
        assert [p[0] for p in (weight.value, good.step.value, bad.step.value)] == [1, 1, 1]
        assert not any(v.any() for v in optimizer.state().values())

    def test_step_sizes_have_momentum_too(self):
        q = quantizer(4.0, 1.0)
        optimizer = sgd(quantizers=[q], momentum=0.5)
        for expected in (3.0, 1.5):
            optimizer.update(1.0)
            assert q.step.value[0] == expected
        error = "the step size from 1.5 to -0.25"
        with pytest.raises(TrainingError, match=re.escape(error)):
            optimizer.update(1.0)

    def test_names_the_channel(self):
        q = quantizer([1.0, 1.0, 1.0], [0.0, 2.0, 3.0], n_channels=3)
        with pytest.raises(TrainingError, match="the step size of channel 1 from 1 to -1:"):
            sgd(quantizers=[q]).update(1.0)

    def test_halving_goes_no_further(self):
        q = quantizer([1.0, 1.0, 1.0], [9.0, 0.25, -1.0], n_channels=3, positivity=Positivity.HALVE)
        sgd(quantizers=[q]).update(1.0)
        assert q.step.value.tolist() == [0.5, 0.75, 2.0]

    def test_halving_at_the_end_of_float32(self):
        q = quantizer(TINY, 1.0, positivity=Positivity.HALVE)
        with pytest.raises(TrainingError, match=r"to 5\.87747e-39: lower the learning rate$"):
            sgd(quantizers=[q]).update(1.0)

    def test_a_logarithm_may_be_negative(self):
        q = quantizer(0.5, 3.0, positivity=Positivity.LOGARITHM)
        sgd(quantizers=[q]).update(1.0)
        assert q.step.value[0] == -2.5
        assert q.step_size[0] > 0

    def test_a_threshold_may_be_negative(self):
        q = quantizer(0.5, 3.0, method=Method.TQT)
        sgd(quantizers=[q]).update(1.0)
        assert q.step.value[0] == -2.5

    @pytest.mark.parametrize("sign", [-1, 1])
    @pytest.mark.parametrize(
        ("rule", "limit", "words"),
        [
            ({"positivity": Positivity.LOGARITHM}, 88, "logarithm of the step size"),
            ({"method": Method.TQT}, 126, "binary logarithm of the threshold"),
        ],
    )
    def test_logarithms_stay_within_float32(self, rule, limit, words, sign):
        q = quantizer(sign * limit, 0.0, **rule)
        sgd(quantizers=[q]).update(1.0)
        assert np.isfinite(q.step_size).all()
        assert (q.step_size > 0).all()
        q.step.grad[:] = -sign
        with pytest.raises(TrainingError, match=f"the {words} from .* to .*: lower the .* rate$"):
            sgd(quantizers=[q]).update(1.0)

    @pytest.mark.parametrize("positivity", [Positivity.REFUSE, Positivity.LOGARITHM])
    def test_clip_values_of_pact(self, positivity):
        """PACT learns no logarithm: its clip value is refused whatever the rule says."""
        q = quantizer(0.5, 1.0, method=Method.PACT, positivity=positivity)
        with pytest.raises(
            TrainingError, match=r"the clip value from 0\.5 to -0\.5: lower the learn"
        ):
            sgd(quantizers=[q]).update(1.0)

    def test_clip_values_are_halved(self):
        q = quantizer(0.5, 1.0, method=Method.PACT, positivity=Positivity.HALVE)
        sgd(quantizers=[q]).update(1.0)
        assert q.step.value[0] == 0.25

    def test_a_step_size_without_a_value_is_refused(self):
        q = quantizer(np.nan, 0.0)
        with pytest.raises(TrainingError, match="the step size from nan to nan"):
            sgd(quantizers=[q]).update(1.0)

    def test_quantizers_of_others_are_left_alone(self):
        q = quantizer(0.5, 1.0)
        Sgd([], {"act": q}, momentum=0.0, weight_decay=0.0).update(1.0)
        assert q.step.value[0] == 0.5


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_gradients_must_be_finite(bad):
    first = parameter(Kind.WEIGHT, [1.0], [1.0])
    second = parameter(Kind.WEIGHT, [1.0, 1.0], [0.0, bad], name="conv.weight")
    with pytest.raises(TrainingError, match=r"the gradient of conv\.weight is not finite: lower"):
        sgd(first, second).update(1.0)
    assert first.value[0] == 1.0
    assert issubclass(TrainingError, LsqsimError)


class TestState:
    def test_goes_on_where_it_was(self):
        one, other = (parameter(Kind.WEIGHT, [1.0], [0.5]) for _ in range(2))
        first, second = sgd(one, momentum=0.9), sgd(other, momentum=0.9)
        first.update(0.1)
        other.value[:] = one.value
        second.load_state(first.state())
        for optimizer in (first, second):
            optimizer.update(0.1)
        assert one.value.tobytes() == other.value.tobytes()

    def test_is_a_copy(self):
        optimizer = sgd(parameter(Kind.WEIGHT, [1.0], [0.5]), momentum=0.9)
        optimizer.state()["layer.p"][:] = 7
        assert optimizer.state()["layer.p"][0] == 0

    @pytest.mark.parametrize(
        ("state", "error"),
        [
            ({}, "momenta do not fit the network's parameters: layer.p"),
            ({"layer.p": np.zeros(1, np.float32), "b": np.zeros(1)}, "parameters: b$"),
            (
                {"layer.p": np.zeros(2, np.float32)},
                r"layer\.p must be float32 of shape \(1,\), got float32 of shape \(2,\)",
            ),
            ({"layer.p": np.zeros(1)}, r"got float64 of shape \(1,\)"),
        ],
    )
    def test_refuses_what_does_not_fit(self, state, error):
        optimizer = sgd(parameter(Kind.WEIGHT, [1.0], [0.5]))
        with pytest.raises(DataError, match=error):
            optimizer.load_state(state)
