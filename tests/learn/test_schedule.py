"""Tests for lsqsim.learn.schedule: the cosine at points that paper gives, and the table."""

import itertools
import math

import pytest

from lsqsim.learn.schedule import Schedule, learning_rate_at, weight_decay_of


def test_cosine_starts_at_the_start_and_ends_near_zero():
    rates = [learning_rate_at(Schedule.COSINE, 0.01, step, 100) for step in range(100)]
    assert rates[0] == 0.01
    assert rates[50] == pytest.approx(0.005, rel=1e-12)
    assert rates[-1] == pytest.approx(0.01 * (1 + math.cos(0.99 * math.pi)) / 2, rel=1e-12)
    assert all(a > b > 0 for a, b in itertools.pairwise(rates))


def test_constant_stays():
    assert {learning_rate_at(Schedule.CONSTANT, 0.3, step, 7) for step in range(7)} == {0.3}


@pytest.mark.parametrize(
    ("bits", "decay"),
    [(None, 1e-4), (8, 1e-4), (5, 1e-4), (4, 1e-4), (3, 0.5e-4), (2, 0.25e-4), (1, 0.25e-4)],
)
def test_weight_decay_of_a_precision(bits, decay):
    assert weight_decay_of(bits) == decay
