"""Tests for lsqsim.data_sets.augmentation: crops and flips, against one image at a time."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, strategies as st

from lsqsim.data_sets import Augmentation, Flip, augmented
from lsqsim.errors import SpecError

NOTHING, MIRROR = Augmentation(), Augmentation(flip=Flip.HORIZONTAL)


def images(n, h, w, c, dtype=np.uint8):
    """No two values alike, as far as the dtype allows; none is 0."""
    return (np.arange(n * h * w * c) % 250 + 1).astype(dtype).reshape(n, h, w, c)


def outcomes(image, padding, flips, fill):
    """Every image that crop and flip can make of one, as bytes."""
    h, w, c = image.shape
    padded = np.full((h + 2 * padding, w + 2 * padding, c), fill, image.dtype)
    padded[padding : padding + h, padding : padding + w] = image
    windows = [
        padded[top : top + h, left : left + w]
        for top, left in product(range(2 * padding + 1), repeat=2)
    ]
    return {
        window[:, ::step].tobytes() for window in windows for step in ([1, -1] if flips else [1])
    }


class TestWorkedExamples:
    def test_two_flips(self):
        values = np.array([[1, 2, 3], [4, 5, 6]], np.uint8).reshape(2, 1, 3, 1)
        found = augmented(values, MIRROR, np.random.default_rng(2), fill=0)
        assert found.reshape(2, 3).tolist() == [[3, 2, 1], [4, 5, 6]]

    def test_the_border_has_the_fill(self):
        """A pixel moved out of its image leaves only the border."""
        spec = Augmentation(crop_padding=1)
        found = augmented(images(100, 1, 1, 1), spec, np.random.default_rng(0), fill=255)
        moved = found.ravel() != images(100, 1, 1, 1).ravel()
        assert (found.ravel()[moved] == 255).all()
        assert 70 < moved.sum() < 100

    @pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 2, 2, 1), (0, 2, 2, 1)])
    def test_nothing_is_a_copy_and_draws_nothing(self, shape):
        values = np.zeros(shape, np.float32)
        rng = np.random.default_rng(0)
        found = augmented(values, NOTHING, rng, fill=0)
        assert found.shape == shape
        assert not np.shares_memory(found, values)
        assert rng.random() == np.random.default_rng(0).random()

    def test_specs_are_text_and_back(self):
        spec = Augmentation(crop_padding=4, flip=Flip.HORIZONTAL)
        assert spec.to_toml() == 'crop_padding = 4\nflip = "horizontal"\n'
        assert Augmentation.from_toml(spec.to_toml()) == spec
        assert Augmentation.from_toml("") == NOTHING


class TestLaws:
    @given(
        st.tuples(*[st.integers(1, 4)] * 4),
        st.integers(0, 3),
        st.sampled_from(Flip),
        st.sampled_from([np.uint8, np.float32]),
        st.integers(0, 2**32),
    )
    def test_each_image_is_one_of_its_outcomes(self, shape, padding, flip, dtype, seed):
        """Law: an image becomes a window of itself in its border, mirrored or not."""
        values = images(*shape, dtype)
        before = values.copy()
        spec = Augmentation(crop_padding=padding, flip=flip)
        found = augmented(values, spec, np.random.default_rng(seed), fill=128)
        assert found.shape == shape
        assert found.dtype == dtype
        assert found.flags.c_contiguous
        assert not np.shares_memory(found, values)
        assert (values == before).all()
        for image, result in zip(values, found, strict=True):
            assert result.tobytes() in outcomes(image, padding, flip is Flip.HORIZONTAL, 128)

    @pytest.mark.parametrize("flip", Flip)
    def test_every_outcome_occurs_equally_often(self, flip):
        """Of 25 windows, mirrored or not, each has its share of 20000 draws within 5 sigma."""
        spec = Augmentation(crop_padding=2, flip=flip)
        values = np.repeat(images(1, 3, 3, 2), 20_000, axis=0)
        found = augmented(values, spec, np.random.default_rng(0), fill=0)
        kinds, counts = np.unique(found.reshape(len(found), -1), axis=0, return_counts=True)
        expected = outcomes(values[0], 2, flip is Flip.HORIZONTAL, 0)
        assert {kind.tobytes() for kind in kinds} == expected
        share = len(values) / len(expected)
        assert np.abs(counts - share).max() < 5 * np.sqrt(share)

    def test_the_generator_decides(self):
        spec = Augmentation(crop_padding=2, flip=Flip.HORIZONTAL)
        values = images(20, 4, 5, 3)
        rng = np.random.default_rng(7)
        first, second = (augmented(values, spec, rng, fill=0) for _ in range(2))
        assert (first == augmented(values, spec, np.random.default_rng(7), fill=0)).all()
        assert (first != second).any()

    def test_any_memory_order(self):
        spec = Augmentation(crop_padding=1, flip=Flip.HORIZONTAL)
        values = images(6, 4, 5, 3)
        other = np.asfortranarray(values)
        a, b = (augmented(v, spec, np.random.default_rng(7), fill=0) for v in (values, other))
        assert (a == b).all()
        for spec in (NOTHING, MIRROR):
            assert augmented(other, spec, np.random.default_rng(7), fill=0).flags.c_contiguous

    @pytest.mark.parametrize("spec", [MIRROR, Augmentation(crop_padding=1)])
    def test_no_images_at_all(self, spec):
        empty = np.zeros((0, 2, 2, 1), np.uint8)
        assert augmented(empty, spec, np.random.default_rng(0), fill=0).shape == (0, 2, 2, 1)


class TestRefusals:
    @pytest.mark.parametrize("padding", [-1, 257])
    def test_paddings(self, padding):
        with pytest.raises(SpecError, match=f"crop_padding must be in 0..256, got {padding}"):
            Augmentation(crop_padding=padding)

    def test_paddings_at_the_limits(self):
        spec = Augmentation(crop_padding=256)
        assert augmented(images(1, 1, 1, 1), spec, np.random.default_rng(0), fill=0).size == 1

    @pytest.mark.parametrize("spec", [MIRROR, Augmentation(crop_padding=1)])
    @pytest.mark.parametrize("shape", [(4, 3), (4, 3, 3), (4,)])
    def test_features(self, spec, shape):
        error = r"only images of shape \(n, h, w, c\) can be augmented, got shape \(4,.*: leave"
        with pytest.raises(SpecError, match=error):
            augmented(np.zeros(shape), spec, np.random.default_rng(0), fill=0)

    @pytest.mark.parametrize("fill", [-1, 256])
    def test_fills(self, fill):
        spec = Augmentation(crop_padding=1)
        with pytest.raises(SpecError, match=f"fill must be a value that uint8 holds, got {fill}"):
            augmented(images(1, 2, 2, 1), spec, np.random.default_rng(0), fill=fill)

    @pytest.mark.parametrize("fill", [0, 255])
    def test_fills_at_the_limits(self, fill):
        spec = Augmentation(crop_padding=256)
        found = augmented(images(9, 1, 1, 1), spec, np.random.default_rng(0), fill=fill)
        assert (found == fill).any()
