"""Tests for lsqsim.data_sets.cifar10: six files of either version, wherever they lie."""

import numpy as np
import pytest

from data_sets.data_files import (
    BATCH_NAMES,
    batch_files,
    binary_batch,
    pixels_and_labels,
    python2_batch,
    python3_batch,
    write_all,
)
from lsqsim.data_sets import load_cifar10_data_set
from lsqsim.data_sets.cifar10_binary import read_binary_batch
from lsqsim.errors import DataError

BINARY, PYTHON = batch_files(binary_batch, ".bin"), batch_files(python2_batch, "")
VERSIONS = [("cifar-10-batches-bin", BINARY), ("cifar-10-batches-py", PYTHON)]


class TestWorkedExamples:
    def test_a_record_by_hand(self, tmp_path):
        """Label 7; all red 1, all green 2, all blue 3 but for the last pixel of the first row."""
        planes = [bytes([value]) * 1024 for value in (1, 2, 3)]
        blue = planes[2][:31] + b"\x09" + planes[2][32:]
        record = b"\x07" + planes[0] + planes[1] + blue
        files = {f"{name}.bin": record for name in BATCH_NAMES}
        data_set = load_cifar10_data_set(write_all(tmp_path, files))
        assert data_set.train.labels.tolist() == [7] * 5
        assert data_set.test.labels.tolist() == [7]
        image = data_set.test.values[0]
        assert image[0, 30].tolist() == [1, 2, 3]
        assert image[0, 31].tolist() == [1, 2, 9]
        assert image[31, 31].tolist() == [1, 2, 3]

    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize("inside", [False, True])
    def test_both_versions_in_both_places(self, tmp_path, version, inside):
        subfolder, files = version
        write_all(tmp_path / subfolder if inside else tmp_path, files)
        data_set = load_cifar10_data_set(str(tmp_path))
        batches = [pixels_and_labels(2, seed=i) for i in range(6)]
        train = np.concatenate([pixels for pixels, _ in batches[:5]])
        labels = np.concatenate([labels for _, labels in batches[:5]])
        assert data_set.train.values.shape == (10, 32, 32, 3)
        planes = data_set.train.values.transpose(0, 3, 1, 2).reshape(10, 3072)
        assert (planes == train).all()
        assert (data_set.train.labels == labels).all()
        assert (data_set.test.labels == batches[5][1]).all()
        assert (data_set.name, data_set.n_classes) == ("cifar10", 10)
        assert (data_set.offset, data_set.scale) == (128, 128)
        assert data_set.sample_shape == (32, 32, 3)

    @pytest.mark.parametrize("version", VERSIONS)
    def test_arrays_can_be_written_to(self, tmp_path, version):
        """Compiled kernels know read-only arrays as another type."""
        data_set = load_cifar10_data_set(write_all(tmp_path, version[1]))
        for part in (data_set.train, data_set.test):
            assert part.values.flags.c_contiguous
            assert part.values.flags.writeable
            assert part.labels.flags.writeable

    def test_the_binary_version_goes_first(self, tmp_path):
        """Both are the same images, and the binary one is the plainer file."""
        write_all(tmp_path / "cifar-10-batches-bin", BINARY)
        write_all(tmp_path / "cifar-10-batches-py", {"data_batch_1": b"no pickle"})
        assert len(load_cifar10_data_set(tmp_path).train.labels) == 10


class TestRefusals:
    @pytest.mark.parametrize("name", BATCH_NAMES)
    @pytest.mark.parametrize("version", VERSIONS)
    def test_each_missing_file(self, tmp_path, version, name):
        files = {
            file: content for file, content in version[1].items() if file.split(".")[0] != name
        }
        (missing,) = set(version[1]) - set(files)
        with pytest.raises(DataError, match=rf"{version[0]}: lacks {missing}$"):
            load_cifar10_data_set(write_all(tmp_path / version[0], files))

    def test_no_batches(self, tmp_path):
        error = (
            "holds no CIFAR-10: no batches, and no folder cifar-10-batches-bin or "
            "cifar-10-batches-py with them"
        )
        with pytest.raises(DataError, match=f"{tmp_path}: {error}"):
            load_cifar10_data_set(tmp_path)

    def test_a_name_that_is_too_long(self, tmp_path):
        with pytest.raises(DataError, match="can't be read: File name too long"):
            load_cifar10_data_set(tmp_path / ("x" * 300))

    @pytest.mark.parametrize("length", [1, 3072, 3074, 6145])
    def test_records_that_are_cut(self, tmp_path, length):
        files = BINARY | {"data_batch_4.bin": bytes(length)}
        error = rf"data_batch_4.bin: is damaged: its {length} bytes are no multiple of 3073"
        with pytest.raises(DataError, match=error):
            load_cifar10_data_set(write_all(tmp_path, files))

    @pytest.mark.parametrize(
        ("write", "suffix"), [(binary_batch, ".bin"), (python2_batch, ""), (python3_batch, "")]
    )
    def test_labels(self, tmp_path, write, suffix):
        pixels, _ = pixels_and_labels(4)
        files = batch_files(write, suffix) | {f"test_batch{suffix}": write(pixels, [9, 10, 0, 255])}
        error = (
            rf"test_batch{suffix}: 2 of 4 labels are outside 0..9, the first is 10 at index 1: "
            "the file is damaged"
        )
        with pytest.raises(DataError, match=error):
            load_cifar10_data_set(write_all(tmp_path, files))

    def test_arrays_that_do_not_fit_the_labels(self, tmp_path):
        pixels, labels = pixels_and_labels(4)
        for bad, shape in ((pixels[:3], r"\(3, 3072\)"), (pixels[:, :1024], r"\(4, 1024\)")):
            content = python3_batch(np.ascontiguousarray(bad), labels)
            files = PYTHON | {"data_batch_2": content}
            error = (
                f"data_batch_2: must hold 3072 pixels for each label, got .* {shape} and 4 labels"
            )
            with pytest.raises(DataError, match=error):
                load_cifar10_data_set(write_all(tmp_path, files))

    def test_files_without_images(self, tmp_path):
        with pytest.raises(DataError, match="the test set is empty"):
            load_cifar10_data_set(write_all(tmp_path, BINARY | {"test_batch.bin": b""}))

    def test_files_that_are_too_large(self, tmp_path, monkeypatch):
        monkeypatch.setattr("lsqsim.data_sets.cifar10_binary.MAX_FILE_BYTES", 6146)
        (tmp_path / "x").write_bytes(bytes(6146))
        assert len(read_binary_batch(tmp_path / "x")[0]) == 2
        (tmp_path / "x").write_bytes(bytes(6147))
        with pytest.raises(DataError, match="is too large: more than 6146 bytes"):
            read_binary_batch(tmp_path / "x")
