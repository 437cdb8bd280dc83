"""The disk cache of compiled kernels, without new processes: files, folders, log, digest. Nothing is compiled."""

import importlib.util
import logging
import os
import py_compile
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_cache_processes import DAMAGES, PACKAGE

from skl_sae import _cache
from skl_sae._cache import VariantFiles
from skl_sae._kernels.sizes import block_rows

pytestmark = pytest.mark.plain


# -- the files themselves --------------------------------------------------------------------------

KEY = ("signature", "processor")


@pytest.fixture
def files(tmp_path):
    return VariantFiles(tmp_path, "kernels.block_rows", "89ab")


def refuse(*args):
    raise PermissionError("somebody reads it")


def test_what_is_saved_is_loaded_by_its_key_alone(files, tmp_path):
    assert files.load(KEY) is None
    assert files.save(KEY, [1, 2]) == files.path(KEY)
    assert files.load(KEY) == [1, 2]
    other = ("signature", "another processor")
    assert files.load(other) is None
    shutil.copy(files.path(KEY), files.path(other))
    assert files.load(other) is None


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_counts_as_none_until_it_is_saved_again(files, damage):
    files.save(KEY, list(range(1000)))
    path = files.path(KEY)
    path.write_bytes(damage(path.read_bytes()))
    assert files.load(KEY) is None
    files.save(KEY, 3)
    assert files.load(KEY) == 3


def test_saving_removes_the_variants_of_an_earlier_source(files, tmp_path):
    names = ["kernels.block_rows.0123.456.nbc", "kernels.other.0123.456.nbc"]
    for name in names:
        (tmp_path / name).touch()
    files.save(KEY, 3)
    assert set(tmp_path.iterdir()) == {files.path(KEY), tmp_path / names[1]}


def test_a_file_that_another_process_reads_may_stay(files, tmp_path, monkeypatch):
    """Windows does not replace such a file."""
    files.save(KEY, 3)
    monkeypatch.setattr(os, "replace", refuse)
    files.save(KEY, 4)
    assert files.load(KEY) == 3
    assert list(tmp_path.iterdir()) == [files.path(KEY)]


def test_a_folder_where_nothing_can_be_put_in_place(files, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError):
        files.save(KEY, 3)
    assert not list(tmp_path.iterdir())


# What the cache reads of a compiled variant.
VARIANT = SimpleNamespace(
    codegen=SimpleNamespace(magic_tuple=lambda: ("processor",)),
    lifted=(),
    library=SimpleNamespace(has_dynamic_globals=False),
    _reduce=lambda: "code",
)


@pytest.fixture
def kernel_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(_cache, "_problems", [])
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path))
    return _cache.KernelCache(block_rows)


def test_a_variant_is_kept_in_the_first_folder_that_can_be_written_to(kernel_cache, tmp_path):
    first, second = (VariantFiles(tmp_path / name, "sizes.block_rows", "89ab") for name in ["file", "folder"])
    (tmp_path / "file").touch()
    kernel_cache._places = [first, second]
    kernel_cache._impl = kernel_cache._impl_class(block_rows)
    kernel_cache.save_overload("signature", VARIANT)
    assert [path.parent.name for path in tmp_path.rglob("*.nbc")] == ["folder"]


def test_a_variant_that_cannot_be_saved_costs_one_warning(kernel_cache, monkeypatch):
    monkeypatch.setattr(VariantFiles, "save", refuse)
    with pytest.warns(UserWarning, match=r"cannot be kept on disk.*somebody reads it.*NUMBA_CACHE_DIR"):
        kernel_cache.save_overload("signature", VARIANT)
    kernel_cache.save_overload("signature", VARIANT)  # a second warning would be an error


def test_a_locator_that_numba_is_told_to_use(kernel_cache, tmp_path, monkeypatch):
    monkeypatch.setattr("numba.config.CACHE_LOCATOR_CLASSES", "UserProvidedCacheLocator")
    kernel_cache.save_overload("signature", VARIANT)
    assert list(tmp_path.rglob("*.nbc"))
    monkeypatch.setattr("numba.config.CACHE_DIR", "")  # without it the locator refuses
    with pytest.warns(UserWarning, match="no locator available"):
        _cache.KernelCache(block_rows).save_overload("signature", VARIANT)


@pytest.mark.parametrize(("said", "seen"), [("no compiled object yet", KeyboardInterrupt), ("other", RuntimeError)])
def test_an_interrupt_that_ctypes_swallowed_is_raised(kernel_cache, monkeypatch, said, seen):
    """In a callback of LLVM an interrupt is only printed, and numba misses the compiled code."""

    def save(*_):
        raise RuntimeError(said)

    monkeypatch.setattr(_cache.KernelCache, "_save_overload", save)
    with pytest.raises(seen):
        kernel_cache.save_overload(None, None)


# -- the log ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
def test_no_message_is_formatted_when_logging_is_off(kernel_cache, caplog, level):
    class Signature:
        texts = 0

        def __str__(self):
            self.texts += 1
            return "(signature)"

    signature = Signature()
    with caplog.at_level(level, logger="skl_sae"):
        kernel_cache._log("read %s in %.3g s; file: %s", signature, 0.0, "file")
    assert signature.texts == len(caplog.messages) == (level == logging.DEBUG)


# -- the digest of the source ----------------------------------------------------------------------


@pytest.fixture
def copied_kernels(tmp_path, monkeypatch):
    """The folder of the kernels as a package that may be changed; only its empty ``__init__`` is ever run."""
    monkeypatch.syspath_prepend(tmp_path)
    yield shutil.copytree(PACKAGE / "_kernels", tmp_path / "copied_kernels", ignore=lambda *_: ["__pycache__"])
    sys.modules.pop("copied_kernels", None)


def digest():
    importlib.invalidate_caches()
    return _cache._source_digest.__wrapped__("copied_kernels")


@pytest.mark.parametrize("bytecode", [False, True], ids=["source", "bytecode"])
def test_every_file_of_the_kernels_counts(copied_kernels, bytecode):
    def write(path, source):
        path.write_text(source, encoding="utf-8")
        if bytecode:
            py_compile.compile(path, path.with_suffix(".pyc"), doraise=True)
            path.unlink()

    sources = {path: path.read_text(encoding="utf-8") for path in copied_kernels.glob("*.py")}
    for path, source in sources.items():
        write(path, source)
    original, digests = digest(), set()
    for path, source in sources.items():
        write(path, source + "\nADDED = 1\n")
        digests.add(digest())
        write(path, source)
    assert digest() == original
    write(copied_kernels / "added.py", "")
    digests.add(digest())
    assert len(digests - {original}) == len(sources) + 1


def test_the_description_of_bytecode():
    def describe(text):
        return _cache._describe(compile(text, "file", "exec"))

    assert describe("def f(x): return x + 1.0") == describe("\n\ndef f(x): return x + 1.0")
    texts = ["x + 1.0", "x + 1", "x + 2.0", "x - 1.0", "y + 1.0", "x[::2]", "x[::3]", "x(a=1)", "x(b=1)"]
    assert len({describe(f"def f(x): return {text}") for text in texts}) == len(texts)
    code = compile("x in {0, 8}", "file", "eval")
    orders = [frozenset([0, 8]), frozenset([8, 0])]
    assert list(orders[0]) != list(orders[1])
    assert len({_cache._describe(code.replace(co_consts=(order,))) for order in orders}) == 1


class CodeAlone:
    """A loader as in some frozen applications."""

    def get_code(self, module):
        return compile("", module, "exec")


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("loader", [CodeAlone(), object()], ids=["code", "nothing"])
def test_modules_that_only_an_executable_holds(copied_kernels, tmp_path, monkeypatch, listed, loader):
    spec = SimpleNamespace(loader=loader, submodule_search_locations=[str(copied_kernels)] if listed else ["nowhere"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    executable = tmp_path / "application"
    executable.write_bytes(b"1")
    monkeypatch.setattr(sys, "executable", str(executable))
    by_code = listed and isinstance(loader, CodeAlone)
    if not by_code:
        with pytest.raises(RuntimeError, match="neither the source nor the bytecode of copied_kernels can be read"):
            digest()
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    before = digest()
    executable.write_bytes(b"12")
    assert (digest() == before) == by_code


def test_code_that_cannot_be_identified_is_not_kept(kernel_cache, monkeypatch, tmp_path):
    def fail(package):
        raise RuntimeError(f"{package} cannot be read")

    monkeypatch.setattr(_cache, "_source_digest", fail)
    unknown = _cache.KernelCache(block_rows)
    with pytest.warns(UserWarning, match=r"anew: skl_sae\._kernels cannot be read$"):
        unknown.save_overload("signature", VARIANT)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("home", ["~/.cache", os.path.abspath("/home")])
@pytest.mark.parametrize("own", ["", os.path.abspath("/own")])
@pytest.mark.parametrize("source", ["here", "frozen", "absent"])
def test_the_folders(tmp_path, monkeypatch, home, own, source):
    """Without a home folder the user's folder would be in the current one, where anybody may have put files."""
    monkeypatch.setattr(_cache, "AppDirs", lambda **_: SimpleNamespace(user_cache_dir=home))
    monkeypatch.setattr("numba.config.CACHE_DIR", own)
    monkeypatch.setattr(sys, "frozen", source == "frozen", raising=False)
    monkeypatch.chdir(tmp_path)
    if source != "absent":
        Path("sizes.py").touch()
    folders = _cache._Locator(block_rows, "sizes.py").folders
    own_folders = [Path(own)] if own else []
    beside = [tmp_path] if source == "here" else []
    homes = [Path(home)] if os.path.isabs(home) else []
    assert [folder.parent for folder in folders] == own_folders + beside + homes
