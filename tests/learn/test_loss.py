"""Tests for lsqsim.learn.loss: values by hand, gradients by float64 differences, refusals."""

import math

import numpy as np
import pytest

from lsqsim.errors import DataError, SpecError
from lsqsim.learn.loss import DistillationSpec, distillation_loss, softmax_cross_entropy

RNG = np.random.default_rng(0)
LABELS = np.array([2, 0, 1, 2, 1])
LOGITS = RNG.normal(size=(5, 3)).astype(np.float32)
TEACHER = RNG.normal(size=(5, 3)).astype(np.float32) * 3


def exact_loss(logits, labels, teacher=None, t=1.0, weight=0.0):
    """The definition, row by row, in Python floats."""
    total = 0.0
    for i, label in enumerate(labels):
        p, q = softmax(logits[i], 1.0), softmax(logits[i], t)
        total -= (1 - weight) * math.log(p[label])
        if teacher is not None:
            r = softmax(teacher[i], t)
            total += (
                weight * t * t * math.fsum(a * math.log(a / b) for a, b in zip(r, q, strict=True))
            )
    return total / len(labels)


def softmax(row, t):
    e = [math.exp(float(z) / t) for z in row]
    return [x / math.fsum(e) for x in e]


def differences(loss, logits, h=1e-5):
    """Central differences of ``loss`` by every logit, float64."""
    grad = np.zeros(logits.shape)
    for index in np.ndindex(*logits.shape):
        up, down = logits.astype(np.float64), logits.astype(np.float64)
        up[index] += h
        down[index] -= h
        grad[index] = (loss(up) - loss(down)) / (2 * h)
    return grad


class TestCrossEntropy:
    def test_equal_logits_lose_the_logarithm_of_the_classes(self):
        loss, grad = softmax_cross_entropy(np.zeros((2, 4), np.float32), np.array([1, 3]))
        assert loss == pytest.approx(math.log(4), rel=1e-15)
        assert grad.tolist() == [[0.125, -0.375, 0.125, 0.125], [0.125, 0.125, 0.125, -0.375]]

    def test_is_the_definition_and_its_derivative(self):
        loss, grad = softmax_cross_entropy(LOGITS, LABELS)
        assert loss == pytest.approx(exact_loss(LOGITS, LABELS), rel=1e-12)
        expected = differences(lambda z: exact_loss(z, LABELS), LOGITS)
        np.testing.assert_allclose(grad, expected, rtol=1e-6, atol=1e-8)
        assert grad.dtype == np.float32

    def test_large_logits_neither_overflow_nor_lose_the_loss(self):
        logits = np.array([[3e38, -3e38], [1000.0, 0.0]], np.float32)
        loss, grad = softmax_cross_entropy(logits, np.array([0, 1]))
        assert loss == pytest.approx(500.0)
        assert grad.tolist() == [[0.0, 0.0], [0.5, -0.5]]

    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_what_is_not_finite_is_seen(self, bad):
        logits = LOGITS.copy()
        logits[1, 1] = bad
        assert math.isnan(softmax_cross_entropy(logits, LABELS)[0])

    @pytest.mark.parametrize(
        ("labels", "error"),
        [
            ([0, 1, 2, 3, 0], r"1 of 5 labels are outside 0\.\.2, the first is 3 at index 3: corr"),
            ([0, -1, 2, -2, 0], r"2 of 5 labels are outside 0\.\.2, the first is -1 at index 1"),
            ([0, 1, 2], r"one integer label for each of 5 rows .* got int64 of shape \(3,\)"),
            ([0.0] * 5, r"one integer label for each of 5 rows .* got float64 of shape \(5,\)"),
        ],
    )
    def test_refuses_labels(self, labels, error):
        with pytest.raises(DataError, match=error):
            softmax_cross_entropy(LOGITS, np.array(labels))

    def test_refuses_nothing(self):
        with pytest.raises(DataError, match="each of 0 rows of logits, at least one"):
            softmax_cross_entropy(np.zeros((0, 3), np.float32), np.zeros(0, np.int64))


class TestDistillation:
    @pytest.mark.parametrize(("t", "weight"), [(1.0, 1.0), (4.0, 0.5), (0.5, 0.25), (3.0, 0.0)])
    def test_is_the_definition_and_its_derivative(self, t, weight):
        spec = DistillationSpec(temperature=t, weight=weight)
        loss, grad = distillation_loss(LOGITS, TEACHER, LABELS, spec)
        assert loss == pytest.approx(exact_loss(LOGITS, LABELS, TEACHER, t, weight), rel=1e-9)
        expected = differences(lambda z: exact_loss(z, LABELS, TEACHER, t, weight), LOGITS)
        np.testing.assert_allclose(grad, expected, rtol=1e-5, atol=1e-7)
        assert grad.dtype == np.float32

    def test_a_student_like_its_teacher_has_nothing_to_learn(self):
        spec = DistillationSpec(weight=1.0)
        loss, grad = distillation_loss(TEACHER, TEACHER, LABELS, spec)
        assert loss == 0
        assert not grad.any()

    def test_a_teacher_that_is_sure(self):
        """exp(-2000) is 0: its share of the loss is 0 and not NaN."""
        teacher = np.array([[2000.0, 0.0]], np.float32)
        spec = DistillationSpec(temperature=1.0, weight=1.0)
        loss, _ = distillation_loss(np.zeros((1, 2), np.float32), teacher, np.array([0]), spec)
        assert loss == pytest.approx(math.log(2))

    def test_what_is_not_finite_is_seen(self):
        logits = np.full((1, 2), np.nan, np.float32)
        loss, _ = distillation_loss(
            logits, np.zeros_like(logits), np.array([0]), DistillationSpec()
        )
        assert math.isnan(loss)

    def test_refuses_another_shape(self):
        with pytest.raises(DataError, match=r"shape \(5, 3\), got \(5, 2\): both need the same"):
            distillation_loss(LOGITS, TEACHER[:, :2], LABELS, DistillationSpec())

    @pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
    def test_refuses_temperatures(self, temperature):
        with pytest.raises(SpecError, match=f"must be finite and above 0, got {temperature}"):
            DistillationSpec(temperature=temperature)

    @pytest.mark.parametrize("weight", [-0.01, 1.01, math.nan])
    def test_refuses_weights(self, weight):
        with pytest.raises(
            SpecError, match=rf"weight of a distillation must be in 0..1, got {weight}"
        ):
            DistillationSpec(weight=weight)

    def test_to_and_from_toml(self):
        spec = DistillationSpec(temperature=2.0, weight=0.75)
        assert DistillationSpec.from_toml(spec.to_toml()) == spec
