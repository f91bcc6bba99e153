"""Tests for lsqsim.data_sets.idx: headers, lengths and compression, each checked before use."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays

from data_sets.data_files import (
    IDX_NAMES,
    compressed,
    idx,
    idx_files,
    images_and_labels,
    write_all,
)
from lsqsim.data_sets import load_idx_data_set
from lsqsim.data_sets.idx import read_idx
from lsqsim.errors import DataError

LABELS = idx(np.array([3, 1, 4], np.uint8))


def dotted(files):
    return {name.replace("-idx", ".idx"): content for name, content in files.items()}


class TestWorkedExamples:
    def test_by_hand(self, tmp_path):
        (tmp_path / "x").write_bytes(bytes([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 7, 8, 9]))
        found = read_idx(tmp_path / "x", 2)
        assert found.dtype == np.uint8
        assert found.tolist() == [[7, 8, 9]]

    @pytest.mark.parametrize("naming", [dict, dotted, compressed, lambda f: compressed(dotted(f))])
    def test_official_names(self, tmp_path, naming):
        data_set = load_idx_data_set(write_all(tmp_path / "mnist", naming(idx_files())))
        images, labels = images_and_labels(4)
        assert (data_set.train.values == images[..., np.newaxis]).all()
        assert data_set.train.labels.tolist() == labels.tolist()
        assert data_set.train.labels.dtype == np.int64
        assert (data_set.test.values == images_and_labels(3, seed=1)[0][..., np.newaxis]).all()
        assert (data_set.name, data_set.n_classes) == ("mnist", 10)
        assert (data_set.offset, data_set.scale) == (0, 255)
        assert data_set.sample_shape == (3, 2, 1)

    def test_arrays_can_be_written_to(self, tmp_path):
        """Compiled kernels know read-only arrays as another type."""
        data_set = load_idx_data_set(str(write_all(tmp_path, idx_files())))
        assert data_set.train.values.flags.writeable
        assert data_set.train.labels.flags.writeable

    def test_compression_is_seen_in_the_content(self, tmp_path):
        (tmp_path / "plain.gz").write_bytes(LABELS)
        (tmp_path / "packed").write_bytes(gzip.compress(LABELS))
        for name in ("plain.gz", "packed"):
            assert read_idx(tmp_path / name, 1).tolist() == [3, 1, 4]

    def test_more_classes(self, tmp_path):
        files = idx_files() | {IDX_NAMES[1]: idx(np.array([0, 46, 1, 2], np.uint8))}
        folder = write_all(tmp_path, files)
        assert load_idx_data_set(folder, n_classes=47).n_classes == 47
        with pytest.raises(DataError, match=r"1 of 4 train labels are outside 0..9"):
            load_idx_data_set(folder)

    def test_longer_than_a_chunk(self, tmp_path, monkeypatch):
        monkeypatch.setattr("lsqsim.data_sets.idx.CHUNK_BYTES", 4)
        for n in (3, 4, 7, 8, 9):
            (tmp_path / "x").write_bytes(gzip.compress(idx(np.arange(n, dtype=np.uint8))))
            assert read_idx(tmp_path / "x", 1).tolist() == list(range(n))


class TestLaws:
    @given(arrays.arrays(np.uint8, st.tuples(*[st.integers(0, 4)] * 3)), st.booleans())
    def test_what_is_written_comes_back(self, tmp_path_factory, array, packed):
        """Law: any array of bytes, an empty one too, is read as it was written."""
        path = tmp_path_factory.getbasetemp() / "idx"
        path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
        found = read_idx(path, 3)
        assert found.shape == array.shape
        assert (found == array).all()


class TestRefusals:
    @pytest.mark.parametrize("pack", [bytes, gzip.compress])
    @pytest.mark.parametrize(
        ("content", "error"),
        [
            (b"\0\0\x08", "is no IDX file: it begins with the bytes 00 00 08"),
            (b"\x01" + LABELS[1:], "is no IDX file: it begins with the bytes 01 00 08 01"),
            (b"\0\x01" + LABELS[2:], "is no IDX file: it begins with the bytes 00 01 08 01"),
            (b"PK\x03\x04...", "is no IDX file: it begins with the bytes 50 4b 03 04"),
            (
                idx(np.zeros(3, ">f4"), code=0x0D),
                r"must hold unsigned bytes \(type code 0x08\), got type code 0x0D",
            ),
            (idx(np.zeros(3, np.int8), code=0x09), "got type code 0x09"),
            (idx(np.zeros(3, np.int8), code=0x00), "got type code 0x00"),
            (idx(np.zeros((3, 1), np.uint8)), "must have 1 dimensions, got 2"),
            (idx(np.uint8(1)), "must have 1 dimensions, got 0"),
            (LABELS[:4], "is damaged: it ends within its header"),
            (LABELS[:7], "is damaged: it ends within its header"),
            (LABELS[:8], "its header says 3 elements of 1 byte, 3 bytes, and 0 follow"),
            (LABELS[:-1], "its header says 3 elements of 1 byte, 3 bytes, and 2 follow"),
            (LABELS + b"\0", "its header says 3 elements of 1 byte, 3 bytes, and more follow"),
            (LABELS[:4] + b"\xff" * 4, "says 4294967295 elements .*, and 0 follow"),
        ],
    )
    def test_damaged_files(self, tmp_path, pack, content, error):
        (tmp_path / "x").write_bytes(pack(content))
        with pytest.raises(DataError, match=error) as refusal:
            read_idx(tmp_path / "x", 1)
        assert str(refusal.value).startswith(f"{tmp_path / 'x'}: ")

    def test_an_empty_file(self, tmp_path):
        (tmp_path / "x").touch()
        with pytest.raises(DataError, match=r"is no IDX file: it begins with the bytes \(none\)"):
            read_idx(tmp_path / "x", 1)

    def test_sizes_that_no_file_has(self, tmp_path):
        """Both sides of 2^32 elements; neither is allocated."""
        for shape, error in (
            ((65536, 65536, 1), "65536 x 65536 x 1 elements of 1 byte, 4294967296 bytes, and 0"),
            ((65536, 65536, 2), "is damaged: its header says 65536 x 65536 x 2 elements$"),
            ((2**32 - 1,) * 3, "4294967295 x 4294967295 x 4294967295 elements$"),
        ):
            (tmp_path / "x").write_bytes(b"\0\0\x08\x03" + struct.pack(">3I", *shape))
            with pytest.raises(DataError, match=error):
                read_idx(tmp_path / "x", 3)

    def test_a_bomb_is_not_unpacked(self, tmp_path, monkeypatch):
        """Of 64 MiB behind a header of 3 bytes, 4 bytes are read."""
        (tmp_path / "x").write_bytes(gzip.compress(LABELS[:8] + bytes(64 << 20), 1))
        sizes = []
        read = gzip.GzipFile.read

        def counted(file, size):
            sizes.append(size)
            return read(file, size)

        monkeypatch.setattr(gzip.GzipFile, "read", counted)
        with pytest.raises(DataError, match="3 bytes, and more follow"):
            read_idx(tmp_path / "x", 1)
        assert sizes == [4, 4, 4]

    @pytest.mark.parametrize(
        "content",
        [
            gzip.compress(LABELS)[:-1],
            gzip.compress(LABELS)[:12],
            gzip.compress(LABELS)[:2],
            gzip.compress(LABELS)[:-8] + bytes(8),
            gzip.compress(LABELS)[:10] + b"\xff" * 20,
            gzip.compress(LABELS) + b"garbage",
        ],
    )
    def test_damaged_compression(self, tmp_path, content):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(DataError, match="is damaged, and can't be decompressed: "):
            read_idx(tmp_path / "x", 1)

    @pytest.mark.parametrize("name", IDX_NAMES)
    def test_each_missing_file(self, tmp_path, name):
        files = idx_files()
        del files[name]
        dot = name.replace("-idx", ".idx")
        error = f"{tmp_path}: lacks {name}; {name}.gz, {dot}, {dot}.gz would do as well"
        with pytest.raises(DataError, match=error):
            load_idx_data_set(write_all(tmp_path, files))

    def test_counts_that_differ(self, tmp_path):
        files = idx_files() | {IDX_NAMES[3]: LABELS[:3] + idx(np.zeros(2, np.uint8))[3:]}
        with pytest.raises(DataError, match="the test set has 3 samples and 2 labels"):
            load_idx_data_set(write_all(tmp_path, files))

    def test_files_that_cannot_be_opened(self, tmp_path):
        with pytest.raises(DataError, match="none: can't be read: No such file or directory"):
            read_idx(tmp_path / "none", 1)
        with pytest.raises(DataError, match="can't be read: File name too long"):
            load_idx_data_set(tmp_path / ("x" * 300))
