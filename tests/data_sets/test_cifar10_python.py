"""Tests for lsqsim.data_sets.cifar10_python: batches as Python 2 and Python 3 pickle them."""

import os
import pickle
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, strategies as st

from data_sets.data_files import pixels_and_labels, python2_batch, python3_batch
from lsqsim.data_sets.cifar10_python import read_python_batch
from lsqsim.errors import DataError

PIXELS, LABELS = pixels_and_labels(3)
PYTHON2 = python2_batch(PIXELS, LABELS)
ARRAY = PYTHON2[PYTHON2.index(b"cnumpy.core") : PYTHON2.index(b"U\x09filenames")]


def read(folder, content):
    (folder / "data_batch_1").write_bytes(content)
    return read_python_batch(folder / "data_batch_1")


def batch(**entries):
    """A batch in protocol 2, changed by ``entries``; None leaves one out."""
    changed = {"data": PIXELS, "labels": LABELS.tolist()} | entries
    return pickle.dumps({k: v for k, v in changed.items() if v is not None}, protocol=2)


def changed(old, new):
    """The batch of Python 2, one part of it replaced."""
    assert PYTHON2.count(old) == 1
    return PYTHON2.replace(old, new)


class TestWorkedExamples:
    def test_python_2(self, tmp_path):
        pixels, labels = read(tmp_path, PYTHON2)
        assert pixels.dtype == np.uint8
        assert labels.dtype == np.int64
        assert (pixels == PIXELS).all()
        assert (labels == LABELS).all()

    def test_the_file_of_python_2_is_as_python_reads_it(self):
        """The hand-made file of these tests is a real pickle."""
        found = pickle.loads(PYTHON2, encoding="bytes")  # noqa: S301 - written by hand
        assert (found[b"data"] == PIXELS).all()
        assert found[b"labels"] == LABELS.tolist()

    @pytest.mark.parametrize("protocol", [2, 3, 4, 5])
    @pytest.mark.parametrize("text_keys", [False, True])
    @pytest.mark.parametrize("order", ["C", "F"])
    def test_python_3(self, tmp_path, protocol, text_keys, order):
        pixels = np.array(PIXELS, order=order)
        content = python3_batch(pixels, LABELS, protocol=protocol, text_keys=text_keys)
        found, labels = read(tmp_path, content)
        assert (found == PIXELS).all()
        assert (labels == LABELS).all()

    def test_read_only_arrays(self, tmp_path):
        """Protocol 5 stores them in another way."""
        pixels = PIXELS.copy()
        pixels.flags.writeable = False
        assert (read(tmp_path, python3_batch(pixels, LABELS, protocol=5))[0] == PIXELS).all()

    def test_numpy_1_and_2(self, tmp_path):
        content = changed(b"numpy.core.multiarray", b"numpy._core.multiarray")
        assert (read(tmp_path, content)[0] == PIXELS).all()

    @pytest.mark.parametrize("label", [0, 255])
    def test_labels_at_the_limits(self, tmp_path, label):
        assert read(tmp_path, batch(labels=[label]))[1].tolist() == [label]

    def test_no_images(self, tmp_path):
        pixels, labels = read(tmp_path, python3_batch(PIXELS[:0], []))
        assert (pixels.shape, labels.shape) == ((0, 3072), (0,))


class TestRefusals:
    @pytest.mark.parametrize(
        ("content", "error"),
        [
            (pickle.dumps([1], 2), "must hold a dictionary, got list"),
            (batch(data=None), "lacks the key 'data', which a batch of CIFAR-10 has"),
            (batch(labels=None, fine_labels=[1]), "lacks the key 'labels'"),
            (batch(labels=LABELS), "labels must be a list, got Call"),
            (batch(labels=(1, 2)), "labels must be a list, got tuple"),
            (batch(labels=[1, "2"]), "labels must be integers 0..255, got another"),
            (batch(labels=[True]), "labels must be integers 0..255, got another"),
            (batch(labels=[-1]), "labels must be integers 0..255, got another"),
            (batch(labels=[256]), "labels must be integers 0..255, got another"),
            (batch(labels=[2**2000]), "labels must be integers 0..255, got another"),
            (batch(data=[[1]]), "data must be a NumPy array"),
            (batch(data=np.dtype("u1")), "data must be a NumPy array"),
            (batch(data=PIXELS.astype("f4")), "data must be an array of uint8, got 'f4'"),
            (batch(data=PIXELS.astype("i8")), "data must be an array of uint8, got 'i8'"),
            (batch(data=PIXELS[0]), "data is damaged: 3072 bytes don't fill the array's shape"),
            (changed(b"U\x02u1K\x00K\x01\x87R", b"K\x00\x85R"), "data must be an array of uint8$"),
            (changed(b"cnumpy\ndtype\n", b"cnumpy\nndarray\n"), "data must be an array of uint8$"),
            (changed(b"K\x01M\x03\x00M\x00\x0c\x86", b"K\x01M\x02\x00M\x00\x0c\x86"), "9216 bytes"),
            (changed(b"M\x03\x00M\x00\x0c\x86", b"M\x00\x24\x85"), "9216 bytes don't fill"),
            (changed(b"M\x03\x00M\x00\x0c\x86", b"J\xfd\xff\xff\xffJ\0\xf4\xff\xff\x86"), "don't"),
            (changed(b"M\x03\x00M\x00\x0c\x86", b"\x88M\x00\x24\x86"), "9216 bytes don't fill"),
            (
                changed(b"M\x03\x00M\x00\x0c\x86", b"\x8a\xff" + b"\x7f" * 255 + b"K\x01\x86"),
                "9216 bytes don't fill",
            ),
            (changed(b"M\x03\x00M\x00\x0c\x86", b"N"), "9216 bytes don't fill the array's shape"),
            (changed(b"(K\x01M\x03", b"(NM\x03"), "data must be a NumPy array"),
            (changed(b"\x89T\x00", b"NT\x00"), "data must be a NumPy array"),
            (
                changed(ARRAY[-PIXELS.size - 7 :], b"Ntb"),
                "data is damaged: its content is NoneType",
            ),
            (
                changed(ARRAY[-PIXELS.size - 7 :], b"X\x03\x00\x00\x00\xe2\x82\xactb"),
                "data is damaged: its content is text",
            ),
        ],
    )
    def test_batches(self, tmp_path, content, error):
        with pytest.raises(DataError, match=error):
            read(tmp_path, content)

    def test_uint8_and_the_names_it_has(self, tmp_path):
        for name in (b"u1", b"|u1", b"uint8"):
            content = changed(b"U\x02u1", b"U" + bytes([len(name)]) + name)
            assert (read(tmp_path, content)[0] == PIXELS).all()

    def test_an_intruder(self, tmp_path):
        class Intruder:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "made"),)

        for protocol in (2, 3, 4, 5):
            content = python3_batch(PIXELS, LABELS, protocol=protocol, more=Intruder())
            with pytest.raises(DataError, match=r"asks for '\w+.mkdir', which is refused"):
                read(tmp_path, content)
        assert not (tmp_path / "made").exists()

    def test_files_that_are_too_large(self, tmp_path, monkeypatch):
        monkeypatch.setattr("lsqsim.data_sets.cifar10_python.MAX_FILE_BYTES", len(PYTHON2))
        assert len(read(tmp_path, PYTHON2)[0]) == 3
        with pytest.raises(DataError, match=f"is too large: more than {len(PYTHON2)} bytes"):
            read(tmp_path, PYTHON2 + b".")


class TestLaws:
    @given(st.data())
    def test_damage_is_refused_or_harmless(self, tmp_path_factory, data):
        """Law: of a cut or changed batch come arrays of the promised kind, or a DataError.

        Changes fall on the structure, not among the 9216 bytes of pixels.
        """
        content = data.draw(
            st.sampled_from(
                [PYTHON2, *(python3_batch(PIXELS, LABELS, protocol=p) for p in (2, 3, 4, 5))]
            )
        )
        middle = content.find(PIXELS.tobytes()[:16])
        places = [i for i in range(len(content)) if not middle <= i < middle + PIXELS.size]
        damaged = bytearray(content)
        for _ in range(data.draw(st.integers(0, 3))):
            damaged[data.draw(st.sampled_from(places))] ^= 1 << data.draw(st.integers(0, 7))
        kept = data.draw(st.sampled_from([len(content), *places]))
        with suppress(DataError):
            pixels, labels = read(tmp_path_factory.getbasetemp(), damaged[:kept])
            assert (pixels.dtype, pixels.ndim) == (np.uint8, 2)
            assert (labels.dtype, labels.ndim) == (np.int64, 1)
