"""Tests for lsqsim.data_sets.npz: four arrays, three optional scalars, nothing else."""

import numpy as np
import pytest

from lsqsim.data_sets import load_npz_data_set
from lsqsim.errors import DataError

LEGAL = {
    "train_values": np.arange(6, dtype=np.uint8).reshape(3, 2),
    "train_labels": np.array([0, 1, 2]),
    "test_values": np.zeros((2, 2), np.uint8),
    "test_labels": np.array([0, 1]),
}
FLOATS = {"train_values": np.zeros((3, 2)), "test_values": np.zeros((2, 2))}


def saved(folder, **arrays):
    """A file of the legal arrays, changed by ``arrays``; None leaves one out."""
    changed = {name: array for name, array in (LEGAL | arrays).items() if array is not None}
    np.savez(folder / "mine.npz", **changed)
    return folder / "mine.npz"


class TestWorkedExamples:
    def test_the_four_arrays(self, tmp_path):
        data_set = load_npz_data_set(str(saved(tmp_path)))
        assert (data_set.train.values == LEGAL["train_values"]).all()
        assert data_set.train.labels.tolist() == [0, 1, 2]
        assert data_set.test.labels.tolist() == [0, 1]
        assert (data_set.name, data_set.n_classes) == ("mine", 3)
        assert (data_set.offset, data_set.scale) == (0, 1)

    def test_scalars(self, tmp_path):
        path = saved(tmp_path, offset=np.uint8(3), scale=np.float16(0.5), n_classes=np.array(7))
        data_set = load_npz_data_set(path)
        assert (data_set.offset, data_set.scale, data_set.n_classes) == (3, 0.5, 7)
        assert type(data_set.n_classes) is int

    @pytest.mark.parametrize("dtype", ["f2", "<f4", ">f4", "f8", np.longdouble])
    def test_floats_become_float32(self, tmp_path, dtype):
        values = np.array([[0.1, -2], [3, 4], [5, 6]]).astype(dtype)
        path = saved(tmp_path, **FLOATS | {"train_values": values})
        found = load_npz_data_set(path).train.values
        assert found.dtype == np.float32
        assert (found == values.astype(np.float32)).all()

    @pytest.mark.parametrize("dtype", ["u1", "i1", ">i2", "u4", "i8", "u8"])
    def test_labels_of_any_integer_type(self, tmp_path, dtype):
        path = saved(tmp_path, train_labels=np.array([0, 1, 2], dtype))
        assert load_npz_data_set(path).train.labels.dtype == np.int64

    def test_the_largest_label_of_either_part_counts(self, tmp_path):
        assert load_npz_data_set(saved(tmp_path, test_labels=np.array([8, 0]))).n_classes == 9

    def test_images(self, tmp_path):
        images = {
            "train_values": np.zeros((3, 4, 5, 1), np.uint8),
            "test_values": np.zeros((2, 4, 5, 1), np.uint8),
        }
        assert load_npz_data_set(saved(tmp_path, **images)).sample_shape == (4, 5, 1)


class TestRefusals:
    @pytest.mark.parametrize(
        ("arrays", "error"),
        [
            (
                {"train_labels": None, "test_values": None},
                "lacks the arrays train_labels, test_values; it holds train_values, test_labels",
            ),
            (
                {"label": np.zeros(1)},
                "unknown array label; legal are .*, test_labels, offset, scale, n_classes$",
            ),
            (
                {"train_values": np.zeros((3, 2), np.int64)},
                "train_values must be uint8 or floats, got int64: convert them by .astype",
            ),
            ({"test_values": np.zeros((2, 2), bool)}, "test_values must be uint8 or floats, got b"),
            ({"test_values": np.zeros((2, 2), "U1")}, "test_values must be .* got <U1"),
            ({"test_labels": np.zeros(2)}, "test_labels must be integers, got float64"),
            ({"train_labels": np.zeros(3, bool)}, "train_labels must be integers, got bool"),
            ({"train_labels": np.array([0, -1, 2])}, "train_labels must be in 0..65535, got -1..2"),
            ({"train_labels": np.array([0, 1, 65536])}, "must be in 0..65535, got 0..65536"),
            (
                {"train_labels": np.array([0, 1, 2**64 - 1], "u8")},
                "must be in 0..65535, got 0..18446744073709551615",
            ),
            ({"train_labels": np.array([], int)}, "the train set has 3 samples and 0 labels"),
            ({"n_classes": np.array(2)}, "1 of 3 train labels are outside 0..1, the first is 2"),
            (
                {"n_classes": np.array(2.0)},
                r"n_classes must be a single integer, got float64 of shape \(\)",
            ),
            ({"n_classes": np.array([3])}, r"a single integer, got int64 of shape \(1,\)"),
            ({"n_classes": np.uint64(2**64 - 1)}, "n_classes must be in 1..65536, got 184467"),
            ({"scale": np.array("1")}, r"scale must be a single number, got <U1 of shape \(\)"),
            ({"offset": np.zeros(2)}, r"offset must be a single number, got float64 of shape \(2"),
            ({"scale": np.array(0)}, "scale must be a positive normal float32 number, got 0.0"),
            (FLOATS | {"train_values": np.full((3, 2), 1e39)}, "6 of 6 train values are no finite"),
            (FLOATS | {"test_values": np.full((2, 2), np.nan)}, "4 of 4 test values are no finite"),
            ({"test_values": np.zeros((2, 3), np.uint8)}, r"shape \(2,\) and test samples \(3,\)"),
        ],
    )
    def test_arrays(self, tmp_path, arrays, error):
        with pytest.raises(DataError, match=error) as refusal:
            load_npz_data_set(saved(tmp_path, **arrays))
        assert str(refusal.value).startswith(f"{tmp_path / 'mine.npz'}: ")

    def test_pickles(self, tmp_path):
        np.savez(tmp_path / "x.npz", **LEGAL | {"train_values": np.array([{}])})
        with pytest.raises(DataError, match="holds pickled objects"):
            load_npz_data_set(tmp_path / "x.npz")

    def test_largest_legal_label(self, tmp_path):
        path = saved(tmp_path, train_labels=np.array([0, 1, 65535]))
        assert load_npz_data_set(path).n_classes == 65536
