"""Tests for what is installed: the wheel and the source archive hold what they should, no more."""

import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"lsqsim": ROOT / "lsqsim", "lsqsim_kernels": ROOT / "kernels" / "lsqsim_kernels"}


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Directory with both: the wheel is built from the source archive, which hence is complete."""
    directory = tmp_path_factory.mktemp("dist")
    # Without isolation nothing is fetched: the build backend is one of the dev tools.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(directory)]
    result = subprocess.run([*command, ROOT], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return directory


@pytest.fixture(scope="module")
def wheel(archives):
    """The files of the wheel, name to content."""
    (path,) = archives.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def top_level(names):
    return {PurePosixPath(name).parts[0] for name in names}


def in_dist_info(wheel, name):
    """Content of a file of the metadata directory."""
    (path,) = (path for path in wheel if path.endswith(f".dist-info/{name}"))
    return wheel[path]


@pytest.mark.slow
class TestWheel:
    def test_holds_both_packages_and_no_other(self, wheel):
        """A top-level ``kernels`` would take the name of another package."""
        packages = {name for name in top_level(wheel) if not name.endswith(".dist-info")}
        assert packages == set(PACKAGES)

    @pytest.mark.parametrize("package", PACKAGES)
    def test_holds_exactly_the_sources(self, wheel, package):
        source = PACKAGES[package]
        files = {path for path in source.rglob("*") if path.is_file()}
        expected = {
            f"{package}/{path.relative_to(source).as_posix()}"
            for path in files
            if "__pycache__" not in path.parts
        }
        assert {name for name in wheel if name.startswith(f"{package}/")} == expected

    def test_metadata(self, wheel):
        metadata = message_from_bytes(in_dist_info(wheel, "METADATA"))
        assert metadata["Name"] == "lsqsim"
        assert metadata["License-Expression"] == "Apache-2.0"
        assert metadata["Requires-Python"] == ">=3.11"
        assert set(metadata.get_all("License-File", [])) == {"LICENSE", "NOTICE"}

    def test_installs_one_command(self, wheel):
        text = in_dist_info(wheel, "entry_points.txt").decode()
        assert text.split("\n")[:2] == ["[console_scripts]", "lsqsim = lsqsim.cli:main"]

    def test_kernels_import_alone(self, archives, tmp_path):
        (path,) = archives.glob("*.whl")
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if name.startswith("lsqsim_kernels/")]
            archive.extractall(tmp_path, members)  # noqa: S202 - built above
        code = (
            f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
            "import pkgutil, importlib, lsqsim_kernels\n"
            "for module in pkgutil.iter_modules(lsqsim_kernels.__path__, 'lsqsim_kernels.'):\n"
            "    importlib.import_module(module.name)\n"
            f"assert lsqsim_kernels.__file__.startswith({str(tmp_path)!r})\n"
            "assert 'lsqsim' not in sys.modules\n"
        )
        subprocess.run([sys.executable, "-I", "-c", code], check=True)


@pytest.mark.slow
class TestSourceArchive:
    def test_holds_nothing_stray(self, archives):
        (path,) = archives.glob("*.tar.gz")
        with tarfile.open(path) as archive:
            parts = [PurePosixPath(name).parts for name in archive.getnames()]
        names = {name[1] for name in parts if len(name) > 1}
        required = {"kernels", "lsqsim", "tests", "pyproject.toml", "LICENSE", "NOTICE", "PKG-INFO"}
        optional = {
            *(".ci", ".gitignore", "benchmarks", "docs", "examples", "tools"),
            *("CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "README.md"),
        }
        assert required <= names <= required | optional
        assert not any("__pycache__" in name for name in parts)
