"""Tests for lsqsim_kernels._jit: options, a cache that can't go stale, and its fallbacks."""

import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numba.core.caching import UserProvidedCacheLocator

from lsqsim_kernels import _jit
from lsqsim_kernels._jit import config

DAY = 86_400

PRIMITIVE = """
    from lsqsim_kernels._jit import inline

    @inline
    def step(value):
        return value + {increment}
"""
CALLER = """
    from lsqsim_kernels._jit import kernel
    from lsqsim_kernels.primitive import step

    @kernel
    def walk(value):
        return step(value)
"""
USER = """
    import numba

    @numba.njit(cache=True)
    def double(value):
        return 2 * value
"""
SCRIPT = """
    import os

    import numba
    from lsqsim_kernels.caller import walk
    from user import double

    value, doubled = walk(40), double(21)
    hits = sum(walk.stats.cache_hits.values()) if hasattr(walk, "stats") else None
    same = numba.config.CACHE_DIR == os.environ.get("NUMBA_CACHE_DIR", "")
    print(value, doubled, hits, same)
"""


def reciprocal(value):
    return 1.0 / value


def compiled(function) -> Any:
    """``function`` as a dispatcher, which the decorator's type does not tell."""
    return _jit.kernel(function)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))


def cached_functions(directory):
    """Names of the functions whose machine code lies in ``directory``."""
    return {path.name.split("-")[0] for path in Path(directory).rglob("*.nbi")}


class Package:
    """A package of kernels with the real ``_jit.py``, and a user's module beside it."""

    def __init__(self, root):
        self.root = root
        self.cache = root / "cache"
        self.user_cache = root / "user-cache"
        kernels = root / "path" / "lsqsim_kernels"
        write(kernels / "__init__.py", "")
        write(kernels / "caller.py", CALLER)
        write(root / "path" / "user.py", USER)
        shutil.copy(_jit.__file__, kernels)
        self.set_increment(1)

    def set_increment(self, increment):
        path = self.root / "path" / "lsqsim_kernels" / "primitive.py"
        write(path, PRIMITIVE.format(increment=increment))

    def run(self, **variables):
        """(kernel's value, user function's value, cache hits, settings restored), as text."""
        own = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA_")}
        own |= {
            "PYTHONPATH": str(self.root / "path"),
            "LSQSIM_CACHE_DIR": str(self.cache),
            "NUMBA_CACHE_DIR": str(self.user_cache),
        }
        command = [sys.executable, "-W", "error", "-c", textwrap.dedent(SCRIPT)]
        result = subprocess.run(
            command, env=own | variables, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
        return result.stdout.split()


@pytest.fixture
def package(tmp_path):
    return Package(tmp_path)


@pytest.fixture
def compiling(monkeypatch):
    """The decorator compiles, also where the whole suite runs as plain Python."""
    monkeypatch.setattr(config, "DISABLE_JIT", 0)


class TestInAProcessOfItsOwn:
    def test_an_edited_primitive_reaches_its_callers(self, package):
        """The law the digest is for: numba alone would answer 41 the third time."""
        assert package.run() == ["41", "42", "0", "True"]
        assert package.run() == ["41", "42", "1", "True"]
        package.set_increment(2)
        assert package.run() == ["42", "42", "0", "True"]

    def test_kernels_and_user_functions_keep_their_own_caches(self, package):
        package.run()
        assert cached_functions(package.cache) == {"caller.walk", "primitive.step"}
        assert cached_functions(package.user_cache) == {"user.double"}
        assert cached_functions(package.root / "path") == set()

    def test_an_unwritable_place_costs_only_the_cache(self, package):
        package.cache.write_text("a file, where a directory should be")
        assert package.run() == ["41", "42", "0", "True"]
        assert cached_functions(package.root) == {"user.double"}

    def test_plain_python(self, package):
        assert package.run(NUMBA_DISABLE_JIT="1") == ["41", "42", "None", "True"]
        assert not package.cache.exists()


@pytest.mark.usefixtures("compiling")
class TestKernel:
    def test_cached_where_the_digest_says(self, monkeypatch, tmp_path):
        monkeypatch.setattr(_jit, "cache_directory", lambda: tmp_path)
        assert Path(compiled(reciprocal).stats.cache_path).parent == tmp_path

    def test_settings_are_restored(self, monkeypatch, tmp_path):
        monkeypatch.setattr(_jit, "cache_directory", lambda: tmp_path)
        before = config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES
        compiled(reciprocal)
        assert before == (config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES)

    def test_a_directory_numba_refuses_is_not_replaced_by_another(self, monkeypatch, tmp_path):
        """Numba would go on to ``__pycache__``, where stale code survives."""
        taken = UserProvidedCacheLocator.get_suitable_cache_subpath(__file__)
        (tmp_path / taken).write_text("")
        monkeypatch.setattr(_jit, "cache_directory", lambda: tmp_path)
        assert compiled(reciprocal).stats.cache_path is None

    def test_without_a_directory(self, monkeypatch):
        monkeypatch.setattr(_jit, "cache_directory", lambda: None)
        assert compiled(reciprocal).stats.cache_path is None

    def test_divides_as_numpy_does(self, monkeypatch):
        monkeypatch.setattr(_jit, "cache_directory", lambda: None)
        assert compiled(reciprocal)(np.float64(0)) == np.inf

    def test_options(self, monkeypatch):
        monkeypatch.setattr(_jit, "cache_directory", lambda: None)
        options = compiled(reciprocal).targetoptions
        assert options["nopython"]
        assert options["nogil"]
        assert not options["fastmath"]

    def test_disabled(self, monkeypatch):
        monkeypatch.setattr(config, "DISABLE_JIT", 1)
        assert compiled(reciprocal) is reciprocal


class TestDigest:
    @pytest.fixture
    def sources(self, tmp_path):
        write(tmp_path / "one" / "narrow.py", "A = 1\n")
        write(tmp_path / "one" / "deep" / "reduce.py", "B = 2\n")
        return tmp_path / "one"

    def test_same_sources_elsewhere(self, sources, tmp_path):
        shutil.copytree(sources, tmp_path / "two")
        assert _jit._digest(sources) == _jit._digest(tmp_path / "two")

    @pytest.mark.parametrize(
        "edit",
        [
            lambda sources: (sources / "narrow.py").write_text("A = 2\n"),
            lambda sources: (sources / "deep" / "reduce.py").write_text("B = 3\n"),
            lambda sources: (sources / "narrow.py").rename(sources / "wide.py"),
            lambda sources: (sources / "empty.py").touch(),
            lambda sources: (sources / "narrow.py").unlink(),
        ],
        ids=["edited", "edited below", "renamed", "added", "removed"],
    )
    def test_every_source_counts(self, sources, edit):
        before = _jit._digest(sources)
        edit(sources)
        assert _jit._digest(sources) != before

    def test_only_sources_count(self, sources):
        before = _jit._digest(sources)
        (sources / "notes.txt").write_text("no code")
        assert _jit._digest(sources) == before

    @pytest.mark.parametrize(
        ("owner", "name", "value"),
        [
            (numba, "__version__", "0.0"),
            (_jit.llvmlite, "__version__", "0.0"),
            (sys, "version", "3.99"),
            (_jit.binding, "get_host_cpu_name", lambda: "another"),
            (config, "BOUNDSCHECK", 1),
        ],
        ids=["numba", "llvmlite", "python", "processor", "option"],
    )
    def test_everything_else_that_decides_the_code(self, sources, monkeypatch, owner, name, value):
        before = _jit._digest(sources)
        monkeypatch.setattr(owner, name, value)
        assert _jit._digest(sources) != before


class TestCacheDirectory:
    @pytest.fixture(autouse=True)
    def _fresh(self, monkeypatch):
        """Forget the directory of this process, before and after."""
        monkeypatch.setattr(_jit, "cache_directory", _jit.cache_directory.__wrapped__)

    def test_as_told(self, monkeypatch, tmp_path):
        monkeypatch.setenv("LSQSIM_CACHE_DIR", str(tmp_path))
        directory = _jit.cache_directory()
        assert directory is not None
        assert directory.parent == tmp_path / "kernels"
        assert directory.is_dir()

    @pytest.mark.parametrize(
        ("platform", "variables", "expected"),
        [
            ("linux", {}, "home/.cache/lsqsim"),
            ("linux", {"XDG_CACHE_HOME": "xdg"}, "xdg/lsqsim"),
            ("darwin", {}, "home/Library/Caches/lsqsim"),
            ("win32", {}, "home/AppData/Local/lsqsim"),
            ("win32", {"LOCALAPPDATA": "local"}, "local/lsqsim"),
            ("linux", {"LSQSIM_CACHE_DIR": "told", "XDG_CACHE_HOME": "xdg"}, "told"),
        ],
    )
    def test_as_the_platform_has_it(self, monkeypatch, tmp_path, platform, variables, expected):
        for name in ("LSQSIM_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, str(tmp_path / value))
        monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
        monkeypatch.setattr(sys, "platform", platform)
        assert _jit._user_cache() == tmp_path / expected

    def test_a_user_without_a_home(self, monkeypatch):
        def no_home():
            raise RuntimeError("Could not determine home directory.")

        for name in ("LSQSIM_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(Path, "home", no_home)
        assert _jit.cache_directory() is None


class TestPrune:
    @pytest.fixture
    def root(self, tmp_path, monkeypatch):
        monkeypatch.setenv("LSQSIM_CACHE_DIR", str(tmp_path))
        return tmp_path / "kernels"

    def directory(self, root, name, *, days_unused):
        path = root / name
        write(path / "sub" / "walk.nbi", "")
        then = time.time() - days_unused * DAY
        os.utime(path, (then, then))
        return path

    def test_old_directories_go_and_young_ones_stay(self, root):
        old = self.directory(root, "0" * 32, days_unused=_jit.MAX_UNUSED_DAYS + 1)
        young = self.directory(root, "1" * 32, days_unused=_jit.MAX_UNUSED_DAYS - 1)
        _jit.cache_directory.__wrapped__()
        assert not old.exists()
        assert young.exists()

    def test_what_is_not_ours_stays(self, root):
        other = self.directory(root, "thesis", days_unused=1000)
        _jit.cache_directory.__wrapped__()
        assert other.exists()

    def test_use_keeps_a_directory_young(self, root):
        own = _jit.cache_directory.__wrapped__()
        self.directory(root, own.name, days_unused=1000)
        _jit.cache_directory.__wrapped__()
        assert (own / "sub" / "walk.nbi").exists()
