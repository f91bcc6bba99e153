"""Tests for lsqsim.data_sets.loading: a name or a path is enough, and damage never escapes."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

from data_sets.data_files import (
    batch_files,
    binary_batch,
    compressed,
    idx_files,
    python2_batch,
    python3_batch,
    write_all,
)
from lsqsim.data_sets import DataSet, load_data_set
from lsqsim.errors import DataError

HELP = "give 'digits', the path of a data set, or set LSQSIM_DATA_DIR to the folder that holds it"
FILES = {
    "idx": idx_files(),
    "idx.gz": compressed(idx_files()),
    "cifar binary": batch_files(binary_batch, ".bin", n=1),
    "cifar of Python 2": batch_files(python2_batch, "", n=1),
    "cifar of Python 3": batch_files(python3_batch, "", n=1),
}


@pytest.fixture(autouse=True)
def _away(tmp_path, monkeypatch):
    """In an empty folder, and with no variable set."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("LSQSIM_DATA_DIR", raising=False)


def save_npz(path):
    arrays = {
        f"{part}_{name}": array
        for part in ("train", "test")
        for name, array in (("values", np.zeros((2, 3), np.uint8)), ("labels", np.arange(2)))
    }
    np.savez(path, **arrays)
    return path


def is_set_or_line(path):
    """Whether ``path`` gives a data set, or a DataError of one line that begins with the path."""
    try:
        return isinstance(load_data_set(path), DataSet)
    except DataError as error:
        return str(error).startswith(str(path)) and "\n" not in str(error)


class TestWhatIsFound:
    def test_digits(self):
        pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
        assert load_data_set("digits").sample_shape == (8, 8, 1)

    def test_a_path_named_digits(self, tmp_path):
        """As a path, it is one like any other."""
        write_all(tmp_path / "here" / "digits", FILES["idx"])
        assert load_data_set(Path("digits")).sample_shape == (3, 2, 1)
        assert load_data_set("./digits").sample_shape == (3, 2, 1)

    @pytest.mark.parametrize("kind", FILES)
    def test_each_layout(self, tmp_path, kind):
        data_set = load_data_set(write_all(tmp_path / "set", FILES[kind]))
        assert data_set.n_classes == 10
        assert data_set.name == ("set" if "idx" in kind else "cifar10")

    @pytest.mark.parametrize("subfolder", ["cifar-10-batches-bin", "cifar-10-batches-py"])
    def test_the_folder_above(self, tmp_path, subfolder):
        kind = {"n": "cifar binary", "y": "cifar of Python 2"}[subfolder[-1]]
        write_all(tmp_path / "set" / subfolder, FILES[kind])
        assert load_data_set(tmp_path / "set").name == "cifar10"

    def test_npz(self, tmp_path):
        assert load_data_set(save_npz(tmp_path / "mine.npz")).name == "mine"

    def test_below_the_data_folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv("LSQSIM_DATA_DIR", str(tmp_path / "data"))
        write_all(tmp_path / "data" / "images" / "mnist", FILES["idx"])
        save_npz(tmp_path / "data" / "mine.npz")
        assert load_data_set("images/mnist").name == "mnist"
        assert load_data_set(Path("mine.npz")).name == "mine"

    def test_what_is_here_goes_first(self, tmp_path, monkeypatch):
        monkeypatch.setenv("LSQSIM_DATA_DIR", str(tmp_path / "data"))
        write_all(tmp_path / "data" / "set", FILES["cifar binary"])
        write_all(tmp_path / "here" / "set", FILES["idx"])
        assert load_data_set("set").name == "set"

    def test_the_name_of_the_current_folder(self, tmp_path):
        write_all(tmp_path / "here", FILES["idx"])
        assert load_data_set(".").name == "here"


class TestRefusals:
    @pytest.mark.parametrize("value", [None, ""])
    def test_no_data_folder(self, monkeypatch, value):
        if value is not None:
            monkeypatch.setenv("LSQSIM_DATA_DIR", value)
        error = f"cifar10: there is no such file or folder, and LSQSIM_DATA_DIR is not set: {HELP}"
        with pytest.raises(DataError, match=error):
            load_data_set("cifar10")

    def test_nothing_there_either(self, tmp_path, monkeypatch):
        monkeypatch.setenv("LSQSIM_DATA_DIR", str(tmp_path))
        error = f"cifar10: there is no such file or folder, and no {tmp_path / 'cifar10'}: {HELP}"
        with pytest.raises(DataError, match=error):
            load_data_set("cifar10")

    def test_absolute_paths(self, tmp_path, monkeypatch):
        monkeypatch.setenv("LSQSIM_DATA_DIR", str(tmp_path))
        with pytest.raises(DataError, match=f"{tmp_path / 'x'}: there is no such file or folder$"):
            load_data_set(tmp_path / "x")

    def test_other_files(self, tmp_path):
        (tmp_path / "mnist.tar.gz").touch()
        error = r"is a file, but not a .npz: give a .npz, or the folder that holds the files"
        with pytest.raises(DataError, match=rf"mnist.tar.gz: {error}"):
            load_data_set(tmp_path / "mnist.tar.gz")

    def test_other_folders(self, tmp_path, monkeypatch):
        monkeypatch.setenv("LSQSIM_DATA_DIR", str(tmp_path))
        (tmp_path / "set").mkdir()
        error = (
            r"set: holds no data set: a folder needs the files of MNIST or Fashion-MNIST "
            r"\(train-images-idx3-ubyte ...\), or those of CIFAR-10 "
            r"\(data_batch_1.bin ... or data_batch_1 ...\)"
        )
        with pytest.raises(DataError, match=f"{tmp_path}/{error}"):
            load_data_set("set")

    def test_two_data_sets_in_one_folder(self, tmp_path):
        write_all(tmp_path, FILES["idx"] | FILES["cifar binary"])
        with pytest.raises(DataError, match="holds more than one data set: a folder needs"):
            load_data_set(tmp_path)

    @pytest.mark.parametrize("kind", FILES)
    def test_one_file_of_a_layout(self, tmp_path, kind):
        """The others are asked for by name."""
        name, content = list(FILES[kind].items())[-1]
        with pytest.raises(DataError, match=r"lacks (train-images-idx3-ubyte|data_batch_1)"):
            load_data_set(write_all(tmp_path, {name: content}))

    def test_names_that_no_file_has(self):
        with pytest.raises(DataError, match="can't be read: File name too long"):
            load_data_set("x" * 300)
        with pytest.raises(DataError, match="there is no such file or folder"):
            load_data_set("a\0b")


class TestLaws:
    @given(st.sampled_from(sorted(FILES)), st.data())
    def test_damage_is_refused_or_harmless(self, tmp_path_factory, kind, data):
        """Law: whatever bytes the files hold, the outcome is a data set or one clear line."""
        name = data.draw(st.sampled_from(sorted(FILES[kind])))
        content = bytearray(FILES[kind][name])
        # near the start, where the structure is, or anywhere
        span = data.draw(st.sampled_from([min(40, len(content)), len(content)]))
        for _ in range(data.draw(st.integers(0, 3))):
            content[data.draw(st.integers(0, span - 1))] ^= 1 << data.draw(st.integers(0, 7))
        kept = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
        more = data.draw(st.binary(max_size=2))
        folder = tmp_path_factory.getbasetemp() / f"damaged {kind}"
        write_all(folder, FILES[kind] | {name: bytes(content[:kept]) + more})
        assert is_set_or_line(folder)

    @given(st.data())
    def test_damaged_archives(self, tmp_path_factory, data):
        """Law: the same for .npz."""
        path = save_npz(tmp_path_factory.getbasetemp() / "damaged.npz")
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(
                st.integers(0, 7)
            )
        path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
        assert is_set_or_line(path)


REAL = Path(os.environ.get("LSQSIM_DATA_DIR", "")) / "cifar10"


@pytest.mark.slow
@pytest.mark.skipif(
    not os.environ.get("LSQSIM_DATA_DIR") or not REAL.exists(),
    reason="needs CIFAR-10 itself, as the folder cifar10 below LSQSIM_DATA_DIR",
)
def test_cifar10_itself():
    """Golden: the mean of each channel of the training images, as papers quote it.

    Within half a thousandth: copies that were converted from compressed images differ by less.
    """
    data_set = load_data_set(REAL)
    assert data_set.train.values.shape == (50_000, 32, 32, 3)
    assert data_set.test.values.shape == (10_000, 32, 32, 3)
    assert np.bincount(data_set.train.labels).tolist() == [5000] * 10
    assert np.bincount(data_set.test.labels).tolist() == [1000] * 10
    means = data_set.train.values.mean(axis=(0, 1, 2)) / 255
    assert means.tolist() == pytest.approx([0.4914, 0.4822, 0.4465], abs=5e-4)
