"""The disk cache of compiled kernels: numba's, with files that can be neither stale nor damaged unnoticed.

numba keeps one index for all variants of a function, trusts the time stamp of the source file, and believes what it
reads: an edit that keeps time and size, two processes that write at once, or a damaged file can end in wrong machine
code. Here every variant is a file of its own. Its name holds a digest of the source and one of everything else that the
code depends on, and it begins with a digest of its content. What does not fit is compiled anew and replaced.
"""

import contextlib
import functools
import hashlib
import importlib.util
import os
import pickle
import pkgutil
import uuid
import warnings
from pathlib import Path

import numba
from numba.core.caching import FunctionCache
from numba.core.serialize import dumps


def _digest(content):
    return hashlib.sha256(content).digest()


@functools.cache
def _source_digest(package):
    """Digest the source of every module of a package, and numba's version: compiled functions call each other."""
    folder = importlib.util.find_spec(package).submodule_search_locations
    modules = sorted(module.name for module in pkgutil.iter_modules(folder, f"{package}."))
    sources = [f"{module}\n{_source(module)}" for module in modules]
    return _digest("\n".join([numba.__version__, *sources]).encode()).hex()[:16]


def _source(module):
    loader = importlib.util.find_spec(module).loader
    source = loader.get_source(module) if hasattr(loader, "get_source") else None
    if source is None:  # in an application that was frozen into one file, say
        raise RuntimeError(f"the source of {module} cannot be read")
    return source


_problems: list[object] = []


def warn_without_cache(reason):
    """Say once that compiled code is not kept."""
    if not _problems:
        warnings.warn(f"Compiled code cannot be kept on disk, so every process compiles anew: {reason}", stacklevel=2)
    _problems.append(reason)


class VariantFiles:
    """Where the variants of one function are kept, one file each. It stands in for numba's index and data files."""

    def __init__(self, folder, function, base):
        self._folder, self._base = Path(folder), base
        self._source = _source_digest(function.__module__.rpartition(".")[0])

    def _path(self, key):
        signature, *rest = key  # types have no stable pickle, but their text is complete
        name = _digest(repr((str(signature), rest)).encode()).hex()[:24]
        return self._folder / f"{self._base}.{self._source}.{name}.nbc"

    def load(self, key):
        """What was saved under ``key``, None if there is nothing or if it is damaged."""
        try:
            content = self._path(key).read_bytes()
        except OSError:
            return None
        digest, content = content[:32], content[32:]
        if digest != _digest(content):
            return None
        saved_key, data = pickle.loads(content)
        return data if saved_key == key else None

    def save(self, key, data):
        """Keep ``data`` under ``key``; files appear complete or not at all."""
        content = dumps((key, data))
        path = self._path(key)
        part = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            part.write_bytes(_digest(content) + content)
            os.replace(part, path)
        except BaseException as error:  # an interrupt, too, leaves no part behind
            with contextlib.suppress(OSError):
                part.unlink()
            if not (isinstance(error, PermissionError) and path.exists()):  # Windows: another process reads it
                raise
        with contextlib.suppress(OSError):
            for other in self._folder.glob(f"{self._base}.*.nbc"):
                if self._source not in other.name:  # of an earlier version of the source
                    other.unlink()


class KernelCache(FunctionCache):
    """The cache of one function. Raises RuntimeError where numba finds no folder that it may write to."""

    def __init__(self, function):
        super().__init__(function)
        self._cache_file = VariantFiles(self._cache_path, function, self._impl.filename_base)

    def save_overload(self, sig, data):
        """Save a variant. A disk that is full or gone costs a warning, not the fit."""
        try:
            self._save_overload(sig, data)
        except OSError as error:
            warn_without_cache(error)
        except RuntimeError as error:
            if "no compiled object" not in str(error):
                raise
            # LLVM's message that it is ready came together with an interrupt, which ctypes swallowed.
            raise KeyboardInterrupt from error
