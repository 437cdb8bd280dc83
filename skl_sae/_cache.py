"""The disk cache of compiled kernels: numba's, with files that can be neither stale nor damaged unnoticed.

numba keeps one index for all variants of a function, trusts the time stamp of the source file, and believes what it
reads: an edit that keeps time and size, two processes that write at once, or a damaged file can end in wrong machine
code. Here every variant is a file of its own. Its name holds a digest of the source and one of everything else that the
code depends on, and it begins with a digest of its content. If a file does not match, the variant is compiled again.

numba also needs the source files and a folder that it can write to. Here the cache works in applications without source
files and is read from folders that cannot be written to.
"""

import contextlib
import functools
import hashlib
import importlib.util
import logging
import os
import pickle
import pkgutil
import sys
import time
import uuid
import warnings
from pathlib import Path
from types import CodeType

import numba
from numba.core import caching
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

from ._log import logger


def _digest(content):
    return hashlib.sha256(content).digest()


# -- what the code was compiled from -------------------------------------------------------------------


@functools.cache
def _source_digest(package):
    """Digest a package with all its modules, and numba's version: compiled functions call each other."""
    spec = importlib.util.find_spec(package)
    modules = sorted(module.name for module in pkgutil.iter_modules(spec.submodule_search_locations, f"{package}."))
    # An importer that cannot list modules returns an empty list instead of an error.
    contents = [f"{name}\n{_content(name)}" for name in [package, *modules]] if modules else [_executable(package)]
    return _digest("\n".join([numba.__version__, *contents]).encode()).hex()[:16]


def _content(module):
    """Return the source of a module or, without source files, a description of its bytecode."""
    loader = importlib.util.find_spec(module).loader
    for method, describe in [("get_source", str), ("get_code", _describe)]:
        with contextlib.suppress(ImportError, OSError):
            content = getattr(loader, method, lambda _: None)(module)
            if content is not None:
                return describe(content)
    return _executable(module)


def _describe(code):
    """Describe a code object. Unlike marshal's bytes, the text does not depend on reference counts."""
    constants = [
        _describe(value) if isinstance(value, CodeType)
        else repr(sorted(map(repr, value)) if isinstance(value, frozenset) else value)
        for value in code.co_consts
    ]  # fmt: skip
    names = code.co_name, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    arguments = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
    return repr((code.co_code, code.co_exceptiontable, constants, names, arguments))


def _executable(module):
    """Identify the executable of a frozen application, where not even bytecode can be read."""
    if not getattr(sys, "frozen", False):  # then it is Python, which does not change with the package
        raise RuntimeError(f"neither the source nor the bytecode of {module} can be read")
    file = os.stat(sys.executable)
    return f"{sys.executable} {file.st_size} {file.st_mtime_ns}"


# -- where it is kept ----------------------------------------------------------------------------------


class _Locator(caching._CacheLocator):
    """The folders for one function, as with numba, except that none is touched before it is used."""

    def __init__(self, function, file):
        self._py_file, self._function = file, function  # numba reads the first
        own, user = numba.config.CACHE_DIR, AppDirs(appname="numba", appauthor=False).user_cache_dir
        if getattr(sys, "frozen", False) or not os.path.exists(file):
            # The path may be relative, or change at each start because the executable unpacks itself.
            beside, name = None, f"skl_sae_{self.get_source_stamp()}"
        else:
            beside, name = Path(file).absolute().with_name("__pycache__"), self.get_suitable_cache_subpath(file)
        self.folders = [
            *([Path(own, name).absolute()] if own else []),
            *([beside] if beside else []),
            # Without a home folder it is "~/.cache", relative to the current folder.
            *([Path(user, name)] if os.path.isabs(user) else []),
        ]

    @classmethod
    def from_function(cls, py_func, py_file):
        return cls(py_func, py_file)

    def get_cache_path(self):
        return str(self.folders[0]) if self.folders else None

    def get_source_stamp(self):
        return _source_digest(self._function.__module__.rpartition(".")[0])

    def get_disambiguator(self):
        return str(self._function.__code__.co_firstlineno)


class VariantFiles:
    """The variants of one function in one folder, a file each. It replaces numba's index and data files."""

    def __init__(self, folder, base, source):
        self._folder, self._base, self._source = Path(folder), base, source

    def path(self, key):
        """Return the file of a variant."""
        signature, *rest = key  # types have no stable pickle, but their text is complete
        name = _digest(repr((str(signature), rest)).encode()).hex()[:24]
        return self._folder / f"{self._base}.{self._source}.{name}.nbc"

    def load(self, key):
        """Return what was saved under ``key``, None if there is nothing or if it is damaged."""
        try:
            content = self.path(key).read_bytes()
        except OSError:
            return None
        digest, content = content[:32], content[32:]
        if digest != _digest(content):
            return None
        saved_key, data = pickle.loads(content)
        return data if saved_key == key else None

    def save(self, key, data):
        """Keep ``data`` under ``key`` and return its file; files appear complete or not at all."""
        content = dumps((key, data))
        path = self.path(key)
        part = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.tmp")
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(_digest(content) + content)
            os.replace(part, path)
        except BaseException as error:  # an interrupt must not leave a part behind either
            with contextlib.suppress(OSError):
                part.unlink()
            if not (isinstance(error, PermissionError) and path.exists()):  # Windows: another process reads it
                raise
        with contextlib.suppress(OSError):
            for other in self._folder.glob(f"{self._base}.*.nbc"):
                if self._source not in other.name:  # of an earlier version of the source
                    other.unlink()
        return path


# -- the cache -----------------------------------------------------------------------------------------

_REMEDY = "Set the environment variable NUMBA_CACHE_DIR to a writable folder."
_problems: list[str] = []


def _warn_without_cache(reason):
    """Warn that compiled code is not kept, once per process."""
    _problems.append(reason)  # first: the warning may be an error
    if len(_problems) == 1:
        message = f"Compiled code cannot be kept on disk, so every process compiles anew: {reason}"
        warnings.warn(message, stacklevel=2)


def _exists_or_is_made(folder):
    with contextlib.suppress(OSError):
        Path(folder).mkdir(parents=True, exist_ok=True)
    return os.path.isdir(folder)  # it may be read-only


class _Impl(caching.CompileResultCacheImpl):
    _locator_classes = [_Locator]


class KernelCache(caching.FunctionCache):
    """The cache of one function. Importing the package creates it, so that must neither warn nor touch a folder."""

    _impl_class = _Impl

    def __init__(self, function):
        self._name, self._py_func, self._cache_path = repr(function), function, None
        self._started, self._unusable = {}, None
        try:
            # Not at the first call: by then the source may be newer than the function.
            self._source = _source_digest(function.__module__.rpartition(".")[0])
        except (RuntimeError, OSError) as error:
            self._source, self._unusable = None, str(error)
        self.enable()

    @property
    def cache_path(self):
        """The first folder, None before the first use; numba reports it."""
        return self._cache_path

    @functools.cached_property
    def _places(self):
        """Where files are looked for, in this order, and kept: in the first folder that can be written to."""
        if self._source is None:
            return []
        try:
            self._impl = self._impl_class(self._py_func)
        except RuntimeError as error:  # from a locator that NUMBA_CACHE_LOCATOR_CLASSES names
            self._unusable = f"{error}. {_REMEDY}"
            return []
        self._cache_path = self._impl.locator.get_cache_path()
        folders = getattr(self._impl.locator, "folders", [self._cache_path])
        if numba.config.CACHE_DIR and _exists_or_is_made(folders[0]):
            folders = folders[:1]  # what the user names is the only one, as with numba
        return [VariantFiles(folder, self._impl.filename_base, self._source) for folder in folders]

    def load_overload(self, sig, target_context):
        """Return a variant that is kept in any of the folders, or None."""
        target_context.refresh()
        started = time.perf_counter()
        key = self._index_key(sig, target_context.codegen())
        for files in self._places:
            data = files.load(key)
            if data is not None:
                variant = self._impl.rebuild(target_context, data)
                self._log("read %s in %.3g s; file: %s", sig, started, files.path(key))
                return variant
        self._started[sig] = started
        return None

    def save_overload(self, sig, data):
        """Keep a variant. A disk that is full or gone costs a warning, not the fit."""
        try:
            path = self._save_overload(sig, data)
        except RuntimeError as error:
            if "no compiled object" not in str(error):
                raise
            # LLVM's message that it is ready came together with an interrupt, which ctypes swallowed.
            raise KeyboardInterrupt from error
        self._log("compiled %s in %.3g s; file: %s", sig, self._started.pop(sig, float("nan")), path or "none")

    def _save_overload(self, sig, data):
        failures = []
        if self._places:
            if not self._impl.check_cachable(data):  # numba warns
                return None
            key, content = self._index_key(sig, data.codegen), self._impl.reduce(data)
            for files in self._places:
                try:
                    return files.save(key, content)
                except OSError as error:
                    failures.append(str(error))
        _warn_without_cache(self._unusable or f"{'; '.join(failures) or 'no folder is known'}. {_REMEDY}")
        return None

    def _log(self, message, sig, started, path):
        """Log what became of a variant. The time includes that of the functions it calls."""
        if logger.isEnabledFor(logging.DEBUG):  # the text of a type can be long
            function = f"{self._py_func.__module__.rpartition('.')[2]}.{self._py_func.__qualname__}"
            logger.debug(message, f"{function}{sig}", time.perf_counter() - started, path)
