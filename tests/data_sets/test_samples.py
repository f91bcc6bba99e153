"""Tests for lsqsim.data_sets.samples: what a data set must hold, and its real numbers."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, strategies as st

from lsqsim.data_sets import DataSet, Samples
from lsqsim.errors import DataError


def samples(shape=(2, 3), labels=(0, 1), dtype=np.uint8, fill=0):
    return Samples(values=np.full(shape, fill, dtype), labels=np.array(labels, np.int64))


def data_set(train=None, test=None, **options):
    legal = {"name": "set", "n_classes": 2, "train": train or samples(), "test": test or samples()}
    return DataSet(**legal | options)


class TestWorkedExamples:
    @pytest.mark.parametrize("shape", [(2, 3), (2, 4, 5, 1), (2, 1, 1, 1)])
    @pytest.mark.parametrize("dtype", [np.uint8, np.float32])
    def test_shape_of_a_sample(self, shape, dtype):
        part = samples(shape, dtype=dtype)
        assert data_set(part, part).sample_shape == shape[1:]

    def test_bytes_around_128(self):
        found = data_set(offset=128.0, scale=128.0).real(np.array([[0, 128, 255]], np.uint8))
        assert found.dtype == np.float32
        assert found.tolist() == [[-1.0, 0.0, 127 / 128]]

    def test_by_default_values_are_the_real_numbers(self):
        values = np.array([0.1, -3.5], np.float32)
        found = data_set().real(values)
        assert (found == values).all()
        assert not np.shares_memory(found, values)

    def test_any_slice(self):
        values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4, 1)
        assert (data_set().real(values[::-1, 1:, ::2]) == values[::-1, 1:, ::2]).all()

    def test_another_order_is_copied_into_c_order(self):
        values = np.asfortranarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
        part = Samples(values=values, labels=np.arange(4)[::2])
        assert part.values.flags.c_contiguous
        assert part.labels.flags.c_contiguous
        assert (part.values == values).all()

    def test_c_order_is_kept_without_a_copy(self):
        values, labels = np.zeros((2, 3), np.uint8), np.zeros(2, np.int64)
        part = Samples(values=values, labels=labels)
        assert part.values is values
        assert part.labels is labels

    def test_values_near_the_end_of_float32(self):
        """Their sum would overflow; each alone is finite, hence legal."""
        part = samples(dtype=np.float32, fill=3e38)
        assert data_set(part, part).real(part.values).max() == np.float32(3e38)


class TestLaws:
    @given(st.integers(0, 255), st.sampled_from([0, 1, 127.5, 128]), st.sampled_from([1, 16, 255]))
    def test_the_exact_quotient_rounded_once(self, value, offset, scale):
        """Law: (value - offset) / scale, of bytes and a short offset, is rounded once."""
        found = data_set(offset=float(offset), scale=float(scale)).real(np.array([value], np.uint8))
        exact = (Fraction(value) - Fraction(offset)) / scale
        # twice float32's precision is enough for a double rounding to be the same
        assert found[0] == np.float32(float(exact))


class TestRefusals:
    @pytest.mark.parametrize("name", ["values", "labels"])
    def test_lists(self, name):
        arrays = {"values": np.zeros((1, 1)), "labels": np.zeros(1)}
        with pytest.raises(DataError, match=f"{name} must be a NumPy array, got list"):
            Samples(**arrays | {name: [0]})

    @pytest.mark.parametrize("part", ["train", "test"])
    @pytest.mark.parametrize(
        ("bad", "error"),
        [
            (samples(dtype=np.float64), "values must be uint8 or float32, got float64: convert"),
            (samples(dtype=np.int8), "values must be uint8 or float32, got int8"),
            (samples(dtype=">f4"), "values must be uint8 or float32, got >f4"),
            (
                samples((2, 3, 4)),
                r"values must have shape \(n, h, w, c\) or \(n, features\), got \(2, 3, 4\)",
            ),
            (samples((2,)), r"or \(n, features\), got \(2,\)"),
            (samples((2, 1, 1, 1, 1)), r"or \(n, features\), got \(2, 1, 1, 1, 1\)"),
            (samples((2, 0)), r"samples of shape \(0,\) hold no values"),
            (samples((2, 3, 0, 1)), r"samples of shape \(3, 0, 1\) hold no values"),
            (
                Samples(values=np.zeros((2, 3), np.uint8), labels=np.zeros(2, np.int32)),
                r"labels must be int64 of shape \(n,\), got int32 of shape \(2,\)",
            ),
            (samples(labels=[[0], [1]]), r"labels must be int64 .* of shape \(2, 1\)"),
            (
                samples(labels=[0, 1, 1]),
                "set has 2 samples and 3 labels: each sample needs one label",
            ),
            (samples(labels=[]), "set has 2 samples and 0 labels"),
            (
                samples((3, 1), labels=[0, 2, 7]),
                r"2 of 3 \w+ labels are outside 0..1, the first is 2 at index 1: correct them, or",
            ),
            (samples(labels=[0, -1]), r"1 of 2 \w+ labels are outside 0..1, the first is -1"),
        ],
    )
    def test_of_either_part(self, part, bad, error):
        with pytest.raises(DataError, match=error) as refusal:
            data_set(**{part: bad})
        assert part in str(refusal.value)

    @pytest.mark.parametrize("part", ["train", "test"])
    @pytest.mark.parametrize("shape", [(0, 3), (0, 3, 2, 1)])
    def test_empty_parts(self, part, shape):
        with pytest.raises(DataError, match=f"the {part} set is empty: it needs one sample"):
            data_set(**{part: samples(shape, labels=[])})

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("part", ["train", "test"])
    def test_values_that_are_no_numbers(self, part, bad):
        legal, damaged = samples(dtype=np.float32), samples(dtype=np.float32)
        damaged.values[1, 0:2] = bad
        parts = {"train": legal, "test": legal, part: damaged}
        error = f"2 of 6 {part} values are no finite float32 numbers, the first in sample 1: leave"
        with pytest.raises(DataError, match=error):
            data_set(**parts)

    def test_infinities_of_both_signs(self):
        damaged = samples(dtype=np.float32)
        damaged.values[0] = [np.inf, 0, -np.inf]
        with pytest.raises(DataError, match=r"2 of 6 train values .* the first in sample 0"):
            data_set(damaged, samples(dtype=np.float32))

    def test_parts_that_differ(self):
        with pytest.raises(DataError, match="train values are uint8 and test values float32"):
            data_set(test=samples(dtype=np.float32))
        error = r"train samples have shape \(3,\) and test samples \(3, 1, 1\): both must be alike"
        with pytest.raises(DataError, match=error):
            data_set(test=samples((2, 3, 1, 1)))

    @pytest.mark.parametrize("n_classes", [0, -1, 65537])
    def test_classes(self, n_classes):
        with pytest.raises(DataError, match=f"n_classes must be in 1..65536, got {n_classes}"):
            data_set(n_classes=n_classes)

    def test_classes_at_the_limits(self):
        part = samples(labels=[0, 0])
        assert data_set(part, part, n_classes=1).n_classes == 1
        part = samples(labels=[0, 65535])
        assert data_set(part, part, n_classes=65536).n_classes == 65536

    @pytest.mark.parametrize("offset", [np.nan, np.inf, -np.inf, 3.5e38])
    def test_offsets(self, offset):
        with pytest.raises(DataError, match="offset must be a finite float32 number, got"):
            data_set(offset=offset)

    @pytest.mark.parametrize("scale", [np.nan, np.inf, 0.0, -1.0, 1e-39, 3.5e38])
    def test_scales(self, scale):
        with pytest.raises(DataError, match="scale must be a positive normal float32 number, got"):
            data_set(scale=scale)

    @pytest.mark.parametrize("part", ["train", "test"])
    def test_real_numbers_beyond_float32(self, part):
        legal, large = (samples(dtype=np.float32, fill=fill) for fill in (1, 5))
        parts = {"train": legal, "test": legal, part: large}
        error = f"{part} values 5.0 .. 5.0 with offset 0.0 and scale 1.2e-38 exceed float32: choose"
        with pytest.raises(DataError, match=error):
            data_set(**parts, scale=1.2e-38)
        assert data_set(legal, legal, scale=1.2e-38).scale == 1.2e-38

    def test_the_far_end_of_the_offset(self):
        part = samples(dtype=np.float32, fill=-3e38)
        with pytest.raises(DataError, match="exceed float32: choose a larger scale"):
            data_set(part, part, offset=3e38)
