"""The one way to compile a kernel: its options, and a cache that can't go stale.

Numba's own cache looks at the file of the cached function only. A kernel whose
primitive changed in another file would keep running the old arithmetic, also
after an upgrade of the package. Here the cache directory is named by a digest
of all that decides the machine code, so that a change starts an empty one.
"""

import contextlib
import hashlib
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite
import numba
from llvmlite import binding
from numba.core import config as numba_config

Function = TypeVar("Function", bound=Callable[..., Any])
config: Any = numba_config  # its settings are assigned by name at run time

MAX_UNUSED_DAYS = 90
_SECONDS_A_DAY = 86_400
_DIGEST_LENGTH = 32


def kernel(function: Function) -> Function:
    """Compile ``function`` at its first call, or read its machine code from the cache.

    It holds no GIL, divides as NumPy does, and keeps IEEE 754 arithmetic as
    written. With ``NUMBA_DISABLE_JIT=1`` it stays the plain Python function.
    """
    directory = None if config.DISABLE_JIT else cache_directory()
    if directory is not None:
        # RuntimeError is numba's "no locator available": not writable, or no source file.
        with contextlib.suppress(RuntimeError), _numba_caches_in(directory):
            return _compile(function, cached=True)
    return _compile(function, cached=False)


inline = kernel
"""The same for a primitive that kernels call: LLVM inlines it, so it costs no call."""


def _compile(function: Function, *, cached: bool) -> Function:
    compiler = numba.njit(cache=cached, nogil=True, error_model="numpy", fastmath=False)
    return cast("Function", compiler(function))


@cache
def cache_directory() -> Path | None:
    """Directory of this process's compiled kernels; None where nothing can be written."""
    try:
        root = _user_cache() / "kernels"
        directory = root / _digest(Path(__file__).parent)
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
        os.utime(directory)  # the time of last use, for _prune
    except (OSError, RuntimeError):  # RuntimeError: the user has no home
        return None
    _prune(root, older_than=time.time() - MAX_UNUSED_DAYS * _SECONDS_A_DAY)
    return directory


def _user_cache() -> Path:
    """Where this platform keeps caches, unless ``LSQSIM_CACHE_DIR`` says otherwise."""
    if chosen := os.environ.get("LSQSIM_CACHE_DIR"):
        return Path(chosen).absolute()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "lsqsim"


def _digest(sources: Path) -> str:
    """Name of the cache directory: a hash of kernel sources, compilers, options and processor."""
    digest = hashlib.sha256(repr(_environment()).encode())
    for path in sorted(sources.rglob("*.py")):
        text = path.read_bytes()
        digest.update(f"{path.relative_to(sources).as_posix()}\0{len(text)}\0".encode())
        digest.update(text)
    return digest.hexdigest()[:_DIGEST_LENGTH]


def _environment() -> tuple[object, ...]:
    """All that decides the machine code, apart from the sources."""
    return (
        numba.__version__,
        llvmlite.__version__,
        sys.implementation.name,
        sys.version,
        platform.machine(),
        binding.get_host_cpu_name(),
        binding.get_host_cpu_features().flatten(),
        # Settings from NUMBA_... variables: numba's own cache key misses most of them.
        str(config.OPT),
        config.BOUNDSCHECK,
        config.DEBUGINFO_DEFAULT,
        config.LOOP_VECTORIZE,
        config.SLP_VECTORIZE,
        config.ENABLE_AVX,
        config.CPU_NAME,
        config.CPU_FEATURES,
    )


@contextlib.contextmanager
def _numba_caches_in(directory: Path) -> Iterator[None]:
    """Let numba cache what is decorated meanwhile in ``directory``, or refuse to cache it.

    A function keeps the directory it was decorated with, so that restoring
    the settings leaves every other user of numba alone.
    """
    saved = config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES
    config.CACHE_DIR = str(directory)
    # Without this one, numba would fall back to __pycache__, where stale code survives.
    config.CACHE_LOCATOR_CLASSES = "UserProvidedCacheLocator"
    try:
        yield
    finally:
        config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES = saved


def _prune(root: Path, *, older_than: float) -> None:
    """Remove cache directories last used before ``older_than``, in seconds since the epoch."""
    with contextlib.suppress(OSError):
        for directory in root.iterdir():
            # Only what has the form of a digest is ours to remove.
            is_ours = len(directory.name) == _DIGEST_LENGTH
            if is_ours and directory.stat().st_mtime < older_than:
                shutil.rmtree(directory, ignore_errors=True)
