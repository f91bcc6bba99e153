"""Tests for lsqsim.files: nothing pickled is read, nothing is half-written."""

import io
import json
import os
import pickle
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

from lsqsim.errors import DataError, SpecError
from lsqsim.files import (
    load_array,
    load_arrays,
    load_datapath,
    load_json,
    npy_writer,
    npz_writer,
    require_writable,
    save_arrays,
    text_writer,
    write_files,
)
from lsqsim.formats import Overflow
from lsqsim.specs import simple_datapath


def npy(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def archive(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as members_file:
        for name, content in members.items():
            members_file.writestr(name, content)
    return file.getvalue()


A_NPY, AN_NPZ = npy(np.arange(12.0).reshape(3, 4)), npz(a=np.arange(5), b=np.ones((2, 3)))
OBJECTS = npy(np.array([{}, None]), allow_pickle=True)


class TestArrays:
    @pytest.mark.parametrize("dtype", ["f2", "<f4", ">f8", "i1", ">i2", "u4", "i8", "u8"])
    def test_numbers_are_read(self, tmp_path, dtype):
        array = np.arange(6).astype(dtype).reshape(2, 3)
        np.save(tmp_path / "x.npy", array)
        loaded = load_array(tmp_path / "x.npy")
        assert loaded.dtype == array.dtype
        assert (loaded == array).all()

    @pytest.mark.parametrize("shape", [(), (0,), (0, 4), (2, 0)])
    def test_empty_ones_too(self, tmp_path, shape):
        np.save(tmp_path / "x.npy", np.zeros(shape))
        assert load_array(str(tmp_path / "x.npy")).shape == shape

    def test_an_archive_reads_back(self, tmp_path):
        arrays = {"a": np.arange(3), "b": np.ones((2, 0)), "c": np.array("text")}
        save_arrays(tmp_path / "x.npz", arrays)
        loaded = load_arrays(tmp_path / "x.npz")
        assert list(loaded) == ["a", "b", "c"]
        assert all((loaded[name] == arrays[name]).all() for name in arrays)

    def test_an_archive_of_nothing(self, tmp_path):
        save_arrays(tmp_path / "x.npz", {})
        assert load_arrays(tmp_path / "x.npz") == {}

    def test_the_same_arrays_are_the_same_bytes(self, tmp_path):
        for name in ("x.npz", "y.npz"):
            save_arrays(tmp_path / name, {"a": np.arange(3)})
        assert (tmp_path / "x.npz").read_bytes() == (tmp_path / "y.npz").read_bytes()

    @pytest.mark.parametrize(
        ("content", "text"),
        [
            (b"", "is empty; a NumPy file"),
            (b"hello", r"is no NumPy file \(.npy or .npz\): store arrays by np.save or np.savez"),
            (pickle.dumps([1]), "is a pickle, which could run code and is never read"),
            (OBJECTS, "is damaged, or holds pickled objects: Object arrays cannot be loaded"),
            (A_NPY[:-1], "is damaged"),
            (A_NPY[:40], "is damaged"),
            (A_NPY[:5], "is damaged"),
            (AN_NPZ, r"must be a .npy file with one array, got an archive \(.npz\)"),
            (npy(np.array(["a"])), "must hold integers or real numbers .* got dtype <U1"),
            (npy(np.array([True])), "got dtype bool"),
            (npy(np.array([1j])), "got dtype complex128"),
            (npy(np.ones(2, np.longdouble)), "of at most 64 bits, got dtype"),
            (npy(np.zeros(2, [("a", "i4")])), "got dtype"),
            (npy(np.zeros(2, "m8[s]")), "got dtype timedelta64"),
        ],
    )
    def test_refused_arrays(self, tmp_path, content, text):
        (tmp_path / "x.npy").write_bytes(content)
        with pytest.raises(DataError, match=text) as refusal:
            load_array(tmp_path / "x.npy")
        assert str(refusal.value).startswith(str(tmp_path / "x.npy"))

    @pytest.mark.parametrize(
        ("content", "text"),
        [
            (A_NPY, r"must be a .npz file with named arrays, got a single array \(.npy\)"),
            (AN_NPZ[:-30], "is damaged, or holds pickled objects"),
            (AN_NPZ[:100], "is damaged"),
            (archive({"a.npy": OBJECTS}), "pickled objects: Object arrays"),
            (archive({"a.npy": A_NPY[:60]}), "is damaged"),
            (
                archive({"a.txt": b"hello"}),
                "its member a.txt is something else",
            ),
            (b"PK\x03\x04 and no more", "is damaged"),
        ],
    )
    def test_refused_archives(self, tmp_path, content, text):
        (tmp_path / "x.npz").write_bytes(content)
        with pytest.raises(DataError, match=text) as refusal:
            load_arrays(tmp_path / "x.npz")
        assert str(refusal.value).startswith(str(tmp_path / "x.npz"))

    @pytest.mark.parametrize("load", [load_array, load_arrays, load_datapath])
    def test_what_cannot_be_opened(self, tmp_path, load):
        with pytest.raises(DataError, match="can't be read: No such file or directory"):
            load(tmp_path / "none")
        with pytest.raises(DataError, match="can't be read: Is a directory"):
            load(tmp_path)

    def test_more_data_than_memory(self, tmp_path):
        """A forged header is refused, whatever NumPy makes of it."""
        forged = bytearray(A_NPY)
        at = forged.index(b"(3, 4), }")
        forged[at : at + 24] = b"(7000000000000, 40), }".ljust(24)
        (tmp_path / "x.npy").write_bytes(forged)
        with pytest.raises(DataError, match="is damaged"):
            load_array(tmp_path / "x.npy")

    def test_memory_that_runs_out(self, tmp_path, monkeypatch):
        (tmp_path / "x.npy").write_bytes(A_NPY)

        def exhausted(*_, **__):
            raise MemoryError

        monkeypatch.setattr(np, "load", exhausted)
        with pytest.raises(DataError, match="it claims more data than memory holds"):
            load_array(tmp_path / "x.npy")

    @given(st.data())
    def test_damage_is_refused_or_harmless(self, tmp_path_factory, data):
        """Law: whatever bytes a file holds, the outcome is arrays or a DataError."""
        content = bytearray(data.draw(st.sampled_from([A_NPY, AN_NPZ])))
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(content) - 1))
            content[at] = data.draw(st.integers(0, 255))
        path = tmp_path_factory.getbasetemp() / "damaged"
        path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
        for load in (load_array, load_arrays):
            with suppress(DataError):
                load(path)


class TestDatapaths:
    def test_reads_what_a_spec_writes(self, tmp_path):
        spec = simple_datapath(acc_bits=17, overflow=Overflow.SATURATE)
        (tmp_path / "d.toml").write_text(spec.to_toml())
        assert load_datapath(tmp_path / "d.toml") == spec

    @pytest.mark.parametrize(
        ("content", "text"),
        [
            (b"", "missing key "),
            (b"[input", "malformed TOML: "),
            (b"rows = 4", "unknown key rows; legal keys are input, weight, accumulator"),
            (b"\xff\xfe", "malformed TOML: 'utf-8' codec can't decode"),
            (b"a = 1" + b"0" * 5000, "malformed TOML: Exceeds the limit"),
            (b"a = " + b"[" * 100_000, "malformed TOML: "),
            (
                simple_datapath().to_toml().replace("uint8", "uint99").encode(),
                "input.format: bits must be in 1..63, got 99",
            ),
        ],
    )
    def test_refusals(self, tmp_path, content, text):
        (tmp_path / "d.toml").write_bytes(content)
        with pytest.raises(SpecError, match=text) as refusal:
            load_datapath(tmp_path / "d.toml")
        assert str(refusal.value).startswith(str(tmp_path / "d.toml"))


def failing_writer(file):
    file.write(b"half")
    raise OSError(28, "No space left on device")


def interrupted_writer(file):
    file.write(b"half")
    raise KeyboardInterrupt


class TestWriting:
    def test_several_files(self, tmp_path):
        write_files(
            {
                tmp_path / "x.npy": npy_writer(np.arange(3)),
                tmp_path / "y.npz": npz_writer({"a": np.arange(4)}),
            }
        )
        assert load_array(tmp_path / "x.npy").tolist() == [0, 1, 2]
        assert load_arrays(tmp_path / "y.npz")["a"].tolist() == [0, 1, 2, 3]
        assert names(tmp_path) == ["x.npy", "y.npz"]

    def test_the_name_stays_as_given(self, tmp_path):
        save_arrays(tmp_path / "trace", {"a": np.arange(3)})
        assert names(tmp_path) == ["trace"]

    def test_an_older_file_is_replaced(self, tmp_path):
        (tmp_path / "x.npy").write_bytes(b"old")
        write_files({tmp_path / "x.npy": npy_writer(np.arange(3))})
        assert load_array(tmp_path / "x.npy").tolist() == [0, 1, 2]

    def test_a_link_keeps_pointing(self, tmp_path):
        (tmp_path / "link").symlink_to(tmp_path / "target")
        write_files({tmp_path / "link": npy_writer(np.arange(3))})
        assert (tmp_path / "link").is_symlink()
        assert load_array(tmp_path / "target").tolist() == [0, 1, 2]

    def test_permissions_are_those_of_any_new_file(self, tmp_path):
        (tmp_path / "plain").touch()
        write_files({tmp_path / "x.npy": npy_writer(np.arange(3))})
        assert (tmp_path / "x.npy").stat().st_mode == (tmp_path / "plain").stat().st_mode

    @pytest.mark.parametrize(
        ("writer", "error"), [(failing_writer, DataError), (interrupted_writer, KeyboardInterrupt)]
    )
    def test_all_or_nothing(self, tmp_path, writer, error):
        """The second of two files fails: the first is not there either, nor a part of any."""
        (tmp_path / "y").write_bytes(b"old")
        with pytest.raises(error) as refusal:
            write_files({tmp_path / "x": npy_writer(np.arange(3)), tmp_path / "y": writer})
        assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"y": b"old"}
        if error is DataError:
            assert (
                str(refusal.value) == f"{tmp_path / 'y'}: can't be written: No space left on device"
            )

    def test_objects_are_refused(self, tmp_path):
        with pytest.raises(DataError, match="a can't be stored without a pickle: dtype object"):
            save_arrays(tmp_path / "x.npz", {"a": np.array([None])})
        assert names(tmp_path) == []

    def test_unwritable_paths(self, tmp_path, monkeypatch):
        (tmp_path / "file").touch()
        for path, text in (
            (tmp_path / "none" / "x", f"can't be written: there is no folder {tmp_path / 'none'}"),
            (tmp_path / "file" / "x", "there is no folder"),
            (tmp_path, "it is there, and no regular file"),
            (Path("/dev/null"), "it is there, and no regular file"),
            (tmp_path / ("x" * 300), "File name too long"),
        ):
            with pytest.raises(DataError, match=text):
                write_files({path: npy_writer(np.arange(3))})
        monkeypatch.setattr(os, "access", lambda *_: False)
        with pytest.raises(DataError, match=r"the folder .* is read-only"):
            require_writable(tmp_path / "x")


class TestJson:
    def test_what_is_written_comes_back(self, tmp_path):
        table = {"a": [1, -(2**62), True, None, 0.5], "ß": {"b": "c"}}
        write_files({tmp_path / "t.json": text_writer(json.dumps(table, ensure_ascii=False))})
        assert load_json(tmp_path / "t.json") == table

    @pytest.mark.parametrize(
        ("content", "error"),
        [
            (b"", "malformed JSON: Expecting value"),
            (b"{", "malformed JSON: Expecting property name"),
            (b"{} {}", "malformed JSON: Extra data"),
            (b"\xff", "malformed JSON: 'utf-8'"),
            (b"[1]", "must hold a JSON object, got list"),
            (b"3", "must hold a JSON object, got int"),
            (b'{"a": NaN}', "malformed JSON: NaN is no number"),
            (b'{"a": [Infinity]}', "malformed JSON: Infinity is no number"),
            (b'{"a": -1e400}', "malformed JSON: -1e400 is no number"),
            (b'{"a": {"b": 1, "c": 2, "b": 3}}', "malformed JSON: the key 'b' stands twice"),
            (b'{"a": ' + b"1" * 5000 + b"}", "malformed JSON: Exceeds the limit"),
            (b'{"a":' * 100_000, "malformed JSON: "),
        ],
    )
    def test_refusals(self, tmp_path, content, error):
        (tmp_path / "t.json").write_bytes(content)
        with pytest.raises(DataError, match=f"t.json: {error}"):
            load_json(tmp_path / "t.json")

    def test_a_file_that_is_missing(self, tmp_path):
        with pytest.raises(DataError, match=r"t.json: can't be read: No such file"):
            load_json(tmp_path / "t.json")

    def test_a_file_that_is_too_large(self, tmp_path, monkeypatch):
        monkeypatch.setattr("lsqsim.files.MAX_JSON_BYTES", 1 << 20)
        (tmp_path / "t.json").write_bytes(b" " * (1 << 20) + b"{}")
        with pytest.raises(DataError, match=r"t.json: is too large: more than 1 MiB of JSON"):
            load_json(tmp_path / "t.json")
        (tmp_path / "t.json").write_bytes(b" " * ((1 << 20) - 2) + b"{}")
        assert load_json(tmp_path / "t.json") == {}
