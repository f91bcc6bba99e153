"""Tests for lsqsim.data_sets.digits: the same images and the same split, always."""

import sys

import numpy as np
import pytest

from lsqsim.data_sets import load_digits_data_set
from lsqsim.errors import LsqsimError


@pytest.fixture(scope="module")
def digits():
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    return load_digits_data_set()


class TestDigits:
    def test_sizes(self, digits):
        assert digits.train.values.shape == (1197, 8, 8, 1)
        assert digits.test.values.shape == (600, 8, 8, 1)
        assert digits.train.values.dtype == np.uint8
        assert (digits.name, digits.n_classes) == ("digits", 10)

    def test_pixels_are_real_numbers_up_to_one(self, digits):
        assert (digits.offset, digits.scale) == (0, 16)
        assert digits.train.values.max() == 16
        assert digits.real(digits.train.values).max() == 1

    def test_classes_are_as_frequent_in_both_parts(self, digits):
        assert np.bincount(digits.test.labels).tolist() == [59, 61, 59, 61, 61, 61, 60, 60, 58, 60]

    def test_the_split_stays(self, digits):
        """Golden: as scikit-learn 1.9 and the first release of the demonstration had it."""
        assert digits.test.labels[:10].tolist() == [5, 4, 7, 9, 2, 8, 5, 9, 7, 4]
        assert digits.train.labels[:10].tolist() == [6, 6, 1, 1, 0, 2, 9, 0, 4, 0]
        assert digits.train.values[0, 4, :, 0].tolist() == [0, 2, 15, 2, 14, 13, 4, 0]

    def test_images_keep_their_classes(self, digits):
        datasets = pytest.importorskip("sklearn.datasets")
        pixels, classes = datasets.load_digits(return_X_y=True)
        class_of = {
            row.astype(np.uint8).tobytes(): label
            for row, label in zip(pixels, classes, strict=True)
        }
        for part in (digits.train, digits.test):
            found = [class_of[image.tobytes()] for image in part.values]
            assert found == part.labels.tolist()

    def test_without_scikit_learn(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "sklearn", None)
        error = r"the digits need scikit-learn, which brings them: pip install 'lsqsim\[demo\]'"
        with pytest.raises(LsqsimError, match=error):
            load_digits_data_set()
