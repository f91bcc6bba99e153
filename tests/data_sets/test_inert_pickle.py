"""Tests for lsqsim.data_sets.inert_pickle: plain data comes back, and nothing is ever run."""

import collections
import os
import pickle
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, strategies as st

from lsqsim.data_sets.inert_pickle import Call, Name, read_pickle
from lsqsim.errors import DataError

PROTOCOLS = [2, 3, 4, 5]
SHARED = [1, 2]
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text() | st.binary(min_size=1),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(st.text() | st.binary(min_size=1), inner)
    ),
)

OPERATIONS = [
    *(b"(", b"]", b"}", b")", b"K\1", b"U\1a", b"X\6\0\0\0latin1", b"q\1", b"h\1", b"\x94"),
    *(b"a", b"e", b"s", b"u", b"t", b"\x85", b"\x86", b"R", b"b", b"\x93"),
    *(b"c_codecs\nencode\n", b"cnumpy\ndtype\n"),
]


class Intruder:
    """Unpickled, it would make a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


class TestWorkedExamples:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (b"\x80\x02N.", None),
            (b"\x80\x02\x88.", True),
            (b"K\x07.", 7),
            (b"M\x00\x01.", 256),
            (b"J\xff\xff\xff\xff.", -1),
            (b"\x8a\x01\x06.", 6),  # Python 2's 6L
            (b"\x8a\x00.", 0),
            (b"U\x03abc.", "abc"),
            (b"U\x02\x00\xff.", "\0\xff"),
            (b"T\x03\x00\x00\x00abc.", "abc"),
            (b"X\x02\x00\x00\x00\xc3\x9f.", "ß"),
            (b"C\x02\x00\xff.", b"\0\xff"),
            (b"\x96" + struct.pack("<Q", 2) + b"ab.", bytearray(b"ab")),
            (b").", ()),
            (b"].", []),
            (b"}.", {}),
            (b"(K\x01K\x02t.", (1, 2)),
            (b"(t.", ()),
            (b"K\x01K\x02K\x03\x87.", (1, 2, 3)),
            (b"]K\x01a(K\x02K\x03e.", [1, 2, 3]),
            (b"}U\x01aK\x01s(U\x01bK\x02U\x01aK\x03u.", {"a": 3, "b": 2}),
            (b"]q\x05K\x09ah\x05.", [9]),
            (b"K\x01r\x00\x01\x00\x00K\x02j\x00\x01\x00\x00\x86.", (2, 1)),
            (b"K\x01.what follows the end is not looked at, as pickle does", 1),
        ],
    )
    def test_by_hand(self, content, expected):
        found = read_pickle(content)
        assert found == expected
        assert type(found) is type(expected)
        assert found == pickle.loads(content, encoding="latin-1")  # noqa: S301 - written above

    @pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
    def test_calls_stay_calls(self, module):
        """Names of NumPy 1 and 2 are one name; the state is kept, not set on anything."""
        found = read_pickle(b"c" + module.encode() + b"\n_reconstruct\nK\x01\x85RK\x02b.")
        assert isinstance(found, Call)
        assert (found.function, found.arguments, found.state) == ("numpy._reconstruct", (1,), 2)

    def test_names_stay_names(self):
        for content in (b"cnumpy\nndarray\n.", b"\x8c\x05numpy\x8c\x07ndarray\x93."):
            found = read_pickle(content)
            assert isinstance(found, Name)
            assert found.name == "numpy.ndarray"

    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_shared_and_cyclic_objects(self, protocol):
        cyclic = [SHARED, SHARED]
        cyclic.append(cyclic)
        found = read_pickle(pickle.dumps(cyclic, protocol))
        assert found[0] == SHARED
        assert found[0] is found[1]
        assert found[2] is found

    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_any_depth(self, protocol):
        """Deeper than Python's recursion limit."""
        content = b"\x80" + bytes([protocol]) + b"]" * 100_000 + b"a" * 99_999 + b"."
        assert len(read_pickle(content)) == 1


class TestLaws:
    @given(PLAIN, st.sampled_from(PROTOCOLS))
    def test_plain_data_comes_back(self, value, protocol):
        """Law: of plain data, this reads what pickle writes."""
        assert read_pickle(pickle.dumps(value, protocol)) == value

    @given(st.binary())
    def test_any_bytes(self, content):
        """Law: the outcome is an object or a DataError."""
        with suppress(DataError):
            read_pickle(content)

    @given(st.lists(st.sampled_from(OPERATIONS)))
    def test_any_operations(self, operations):
        """Law: as above, for sequences that get further."""
        with suppress(DataError):
            read_pickle(b"".join(operations) + b".")


class TestNothingRuns:
    @pytest.mark.parametrize("protocol", PROTOCOLS)
    @pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {b"data": x}, lambda x: [1, (x,)]])
    def test_an_intruder(self, tmp_path, protocol, wrap):
        content = pickle.dumps(wrap(Intruder(str(tmp_path / "made"))), protocol)
        with pytest.raises(DataError, match=r"asks for '\w+.mkdir', which is refused: only plain"):
            read_pickle(content)
        assert not (tmp_path / "made").exists()
        pickle.loads(content)  # noqa: S301 - to show that it would have
        assert (tmp_path / "made").exists()

    @pytest.mark.parametrize(
        "name",
        [
            "os.system",
            "builtins.eval",
            "__builtin__.eval",
            "numpy.core.multiarray.fromfile",
            "numpy.load",
            "_codecs.decode",
            "numpy.dtype.type",
            "numpy.ndarray.__class__",
        ],
    )
    def test_other_names(self, name):
        module, attribute = (part.encode() for part in name.rsplit(".", 1))
        by_line = b"c" + module + b"\n" + attribute + b"\n."
        by_stack = b"".join(b"\x8c" + bytes([len(p)]) + p for p in (module, attribute)) + b"\x93."
        for content in (by_line, by_stack):
            with pytest.raises(DataError, match=f"asks for '{name}', which is refused"):
                read_pickle(content)

    def test_long_and_strange_names(self):
        with pytest.raises(DataError) as refusal:
            read_pickle(b"c" + b"\r\x1b" * 500 + b"\nx\n.")
        assert len(str(refusal.value)) < 200
        assert str(refusal.value).isprintable()

    @pytest.mark.parametrize("value", [collections.OrderedDict(), {1}, 1.5, 2**3000, np.int64(1)])
    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_what_is_no_plain_data(self, value, protocol):
        with pytest.raises(DataError, match=r"is no operation on plain data|which is refused"):
            read_pickle(pickle.dumps(value, protocol))


class TestRefusals:
    @pytest.mark.parametrize(
        ("content", "error"),
        [
            (b"", "is a damaged pickle: it ends before its stop mark"),
            (b"K\x01", "is a damaged pickle: it ends before its stop mark"),
            (b"\x80\x02S'a'\n.", "the byte 0x53 at 2 is no operation on plain data"),
            (b"K\x01\xff.", "is no pickle of plain data: the byte 0xff at 2 is no operation"),
            (b"K\x01(Q.", "the byte 0x51 at 3"),
            (b"\x80\x01.", "is a pickle of protocol 1; legal are 2..5"),
            (b"\x80\x06.", "is a pickle of protocol 6; legal are 2..5"),
            (b".", "it takes a value from an empty stack"),
            (b"K\x01\x86.", "it takes a value from an empty stack"),
            (b"K\x01(\x85.", "it takes a value from an empty stack"),
            (b"q\x01.", "it takes a value from an empty stack"),
            (b"K\x01t.", "is a damaged pickle: it lacks a mark"),
            (b"K\x01K\x02a.", "is a damaged pickle: it lacks a list to change"),
            (b"(K\x01e.", "it lacks a list to change"),
            (b"]K\x01K\x02s.", "it lacks a dict to change"),
            (b"K\x01K\x02b.", "it lacks a call to change"),
            (b"}(K\x01u.", "is a damaged pickle: it has a key without a value"),
            (b"}K\x01K\x02s.", "must have text as keys, got int"),
            (b"}]K\x02s.", "must have text as keys, got list"),
            (b"h\x07.", "is a damaged pickle: it recalls 7, which it never stored"),
            (b"K\x01K\x02\x93.", "is a damaged pickle: a name must be text"),
            (b"K\x01)R.", "is a damaged pickle: it calls what is no function"),
            (b"cnumpy\ndtype\nK\x01R.", "it calls what is no function"),
            (b"cnumpy\ndtype", "is a damaged pickle: it ends within a name"),
            (b"c\xff\n\xff\n.", "is a damaged pickle: 'utf-8' codec can't decode"),
            (b"c_codecs\nencode\n)R.", "is a damaged pickle: it encodes what is no Latin-1 text"),
            (b"c_codecs\nencode\nU\x01aU\x05utf-8\x86R.", "it encodes what is no Latin-1 text"),
            (b"c_codecs\nencode\nK\x01U\x06latin1\x86R.", "it encodes what is no Latin-1 text"),
            (
                b"c_codecs\nencode\nX\x03\x00\x00\x00\xe2\x82\xacU\x06latin1\x86R.",
                "is a damaged pickle: 'latin-1' codec can't encode",
            ),
            (b"U\x05ab.", "is a damaged pickle: expected 5 bytes in a string1, but only 3 remain"),
            (b"T\xff\xff\xff\xffab.", "is a damaged pickle: string4 byte count < 0"),
            (b"\x8e" + b"\xff" * 8 + b".", "is a damaged pickle: bytes8 byte count > sys.maxsize"),
            (b"\x8e" + b"\xff" * 7 + b"\x7f.", "is a damaged pickle: expected .* remain"),
            (b"X\x01\x00\x00\x00\xff.", "is a damaged pickle: 'utf-8' codec can't decode"),
            (b"M\x01", "is a damaged pickle: not enough data in stream to read uint2"),
        ],
    )
    def test_damage(self, content, error):
        with pytest.raises(DataError, match=error):
            read_pickle(content)

    def test_text_encoded_over_and_over(self):
        """A recalled text would else fill memory that the file's length doesn't bound."""
        text = b"X" + struct.pack("<I", 1000) + b"a" * 1000 + b"q\x00"
        encode = b"c_codecs\nencode\nh\x00U\x06latin1\x86R"
        assert len(read_pickle(text + encode + b".")) == 1000
        with pytest.raises(DataError, match="it encodes more text than it holds"):
            read_pickle(text + encode * 2 + b".")

    def test_operations_at_the_limit(self, monkeypatch):
        monkeypatch.setattr("lsqsim.data_sets.inert_pickle.MAX_OPERATIONS", 10)
        assert read_pickle(b"N" * 9 + b".") is None
        with pytest.raises(DataError, match="is a pickle of more than 10 operations"):
            read_pickle(b"N" * 10 + b".")
