"""Tests for the package as a whole: its names, and what it says without Hypothesis."""

import importlib
import re
import sys

import numpy as np
import pytest
from hypothesis import strategies as st

from lsqsim import testing
from lsqsim.testing.choices import chosen
from lsqsim.testing.literals import literal


def test_without_hypothesis_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    message = 'needs Hypothesis: install it with pip install "lsqsim[testing]"'
    with pytest.raises(ImportError, match=re.escape(message)) as caught:
        importlib.reload(testing)
    assert caught.value.name == "hypothesis"


def test_every_public_name_exists():
    assert sorted(testing.__all__) == testing.__all__
    assert all(hasattr(testing, name) for name in testing.__all__)


@pytest.mark.parametrize(
    "value",
    [
        3,
        -1.5,
        float("-inf"),
        (1, 2),
        True,
        np.float32(0.1),
        np.array([1, -2], np.int8),
        np.array([[0.1, -0.0], [np.inf, 5e-324]]),
        np.array([0.1], np.float16),
        np.empty((0, 3), np.int64),
    ],
    ids=str,
)
def test_a_literal_builds_its_value_again(value):
    again = eval(literal(value), {"np": np})  # noqa: S307 - text of this test's own
    assert type(again) is type(value)
    assert np.array_equal(again, value)
    assert np.array_equal(np.signbit(again), np.signbit(value))
    if isinstance(value, np.ndarray | np.generic):
        assert again.dtype == value.dtype


def test_a_choice_is_a_value_or_a_strategy_or_anything():
    anything = st.integers()
    some = st.integers(1, 2)
    assert chosen(None, anything) is anything
    assert chosen(some, anything) is some
    assert repr(chosen(3, anything)) == "just(3)"
