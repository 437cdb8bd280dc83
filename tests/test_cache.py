"""The disk cache of compiled kernels: never stale, and never the reason why a fit fails.

Most tests start processes that share a cache folder of their own and run one small kernel and its helpers, which go
through the cache as all others do. The last tests compile nothing. benchmarks/faults.py has fits.
"""

import itertools
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import skl_sae
from skl_sae import _cache, _kernels
from skl_sae._cache import VariantFiles

PACKAGE = Path(skl_sae.__file__).parent
LIMIT = 240  # seconds: a process that waits for ever fails the test

Z = np.random.default_rng(0).normal(size=(20, 3))
EXPECTED = 1 / (1 + np.exp(-(Z + 1)))

CHILD = """
import json, sys, warnings
from pathlib import Path
import numpy as np
Z, dtype, package, before = sys.argv[1:]
Z = np.array(json.loads(Z), dtype)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import skl_sae
    from skl_sae import _kernels
    assert Path(skl_sae.__file__).parent == Path(package), skl_sae.__file__
    exec(before)
    H = np.empty_like(Z)
    _kernels.biased(Z, np.ones(3, dtype), _kernels.ACTIVATIONS["sigmoid"].kind, H)
print(json.dumps({"H": H.tolist(), "warnings": [str(warning.message) for warning in caught]}))
"""

# The number of calls of os.replace, with which a file of the cache is put in its place.
COUNT = """
import atexit, os
calls, replace = [], os.replace
os.replace = lambda *paths: (calls.append(paths), replace(*paths))
atexit.register(lambda: Path({0!r}).write_text(str(len(calls))))
"""

KILL = """
import os
calls, replace = [], os.replace
os.replace = lambda *paths: (calls.append(paths), os._exit(9) if len(calls) == {0} else replace(*paths))
"""

# Processes 0 and 1 put their files in place at the same time, each of them first at every other file.
LOCKSTEP = """
import itertools, os, time
replace, steps, me, other = os.replace, itertools.count(), {0}, {1}

def wait(name):
    end = time.monotonic() + 10
    while not os.path.exists({2!r} + name) and time.monotonic() < end:
        time.sleep(0.005)

def in_turn(source, target):
    step = next(steps)
    Path({2!r} + f"ready{{me}}-{{step}}").touch()
    wait(f"ready{{other}}-{{step}}")
    if step % 2 == me:
        wait(f"done{{other}}-{{step}}")
    replace(source, target)
    Path({2!r} + f"done{{me}}-{{step}}").touch()

os.replace = in_turn
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A cache folder with what it takes."""
    cache = tmp_path_factory.mktemp("compiled")
    run(cache)
    return cache


@pytest.fixture
def package(tmp_path):
    """A copy of the package that may be changed; no compiled modules of Python's own come with it."""
    return shutil.copytree(PACKAGE, tmp_path / "copy" / "skl_sae", ignore=shutil.ignore_patterns("__pycache__"))


def start(cache, *, package=PACKAGE, dtype="float64", before="", **environment):
    """A new process that runs the kernel; ``before`` is executed between the import and that."""
    paths = [str(package.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    settings = {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NUMBA_CACHE_DIR": str(cache),
    }
    return subprocess.run(
        [sys.executable, "-P", "-c", CHILD, json.dumps(Z.tolist()), dtype, str(package), before],
        env=os.environ | settings | environment, capture_output=True, text=True, timeout=LIMIT,
    )  # fmt: skip


def run(*args, **kwargs):
    """What a new process reports."""
    return report(start(*args, **kwargs))


def report(process):
    assert process.returncode == 0, f"exit code {process.returncode}\n{process.stderr}"
    outcome = json.loads(process.stdout.splitlines()[-1])
    # Or the test says nothing: with NUMBA_OPT=0, for instance, numba keeps no function that calls BLAS.
    assert not any("Cannot cache" in warning for warning in outcome["warnings"]), outcome["warnings"]
    return outcome


def replace_text(path, old, new):
    """Change a source file; size and time stamp stay, as with archives whose files all have the same date."""
    text, stamps = path.read_text(encoding="utf-8"), path.stat()
    assert text.count(old) == 1, f"{old!r} is no longer what this test can change in {path.name}"
    assert len(old) == len(new)
    path.write_text(text.replace(old, new), encoding="utf-8", newline="")
    os.utime(path, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))


def mirror(package):
    """Turn sigmoid(z) into sigmoid(-z) = 1 - sigmoid(z), in a helper of the kernel."""
    replace_text(package / "_kernels.py", "one / (one + _exp(-flat[i]))", "one / (one + _exp(+flat[i]))")


# -- never stale -----------------------------------------------------------------------------------


def test_a_change_and_its_reversal(package, tmp_path):
    source = (package / "_kernels.py").read_bytes()
    first = run(tmp_path, package=package)
    mirror(package)
    np.testing.assert_allclose(run(tmp_path, package=package)["H"], 1 - EXPECTED, rtol=1e-9)
    (package / "_kernels.py").write_bytes(source)
    assert run(tmp_path, package=package) == first


def test_a_process_that_is_killed_while_it_writes_leaves_nothing_stale(package, tmp_path):
    """Killed at its last file, with the other files new already."""
    cache, counter = tmp_path / "cache", tmp_path / "count"
    run(cache, package=package, before=COUNT.format(str(counter)))
    mirror(package)
    killed = start(cache, package=package, before=KILL.format(int(counter.read_text())))
    assert killed.returncode == 9, killed.stderr
    np.testing.assert_allclose(run(cache, package=package)["H"], 1 - EXPECTED, rtol=1e-9)


def test_an_interrupt_leaves_no_part_of_a_file(tmp_path, monkeypatch):
    def interrupt(*paths):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        VariantFiles(tmp_path, VariantFiles.save, "name").save(("signature",), b"code")
    assert not list(tmp_path.iterdir())


# -- nowhere to write ------------------------------------------------------------------------------


def test_a_cache_folder_that_cannot_be_made(package, tmp_path):
    """Numba then takes the next of its folders."""
    (tmp_path / "file").touch()
    outcome = run(tmp_path / "file" / "cache", package=package)
    np.testing.assert_allclose(outcome["H"], EXPECTED, rtol=1e-9)
    assert list(package.glob("__pycache__/*.nbc"))


@pytest.mark.skipif(os.name == "nt", reason="the folder of the user's programs cannot be moved on Windows")
def test_without_any_folder_it_works_and_says_so(package, tmp_path):
    (package / "__pycache__").touch()
    (tmp_path / "file").touch()
    nowhere = str(tmp_path / "file" / "folder")
    outcome = run(nowhere, package=package, HOME=nowhere, XDG_CACHE_HOME=nowhere)
    np.testing.assert_allclose(outcome["H"], EXPECTED, rtol=1e-9)
    assert sum("cannot be kept on disk" in warning for warning in outcome["warnings"]) == 1


def test_a_cache_folder_that_disappears_after_the_import(tmp_path):
    cache = tmp_path / "cache"
    replaced = f"import shutil; shutil.rmtree({str(cache)!r}); Path({str(cache)!r}).touch()"
    outcome = run(cache, before=replaced)
    np.testing.assert_allclose(outcome["H"], EXPECTED, rtol=1e-9)
    assert sum("cannot be kept on disk" in warning for warning in outcome["warnings"]) == 1


def test_a_full_disk(tmp_path):
    """No file can grow beyond so many bytes: an index can be written, code cannot."""
    pytest.importorskip("resource")  # of POSIX systems
    full = "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (2500, r.getrlimit(r.RLIMIT_FSIZE)[1]))"
    outcome = run(tmp_path, before=full)
    np.testing.assert_allclose(outcome["H"], EXPECTED, rtol=1e-9)
    assert sum("cannot be kept on disk" in warning for warning in outcome["warnings"]) == 1
    np.testing.assert_allclose(run(tmp_path)["H"], EXPECTED, rtol=1e-9)


# -- damaged files ---------------------------------------------------------------------------------


DAMAGES = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "noise": lambda content: np.random.default_rng(0).bytes(len(content)),
    "flipped": lambda content: bytes(byte ^ 0x55 if i % 997 < 4 else byte for i, byte in enumerate(content)),
}


def test_damaged_files_are_replaced(compiled, tmp_path):
    """Machine code with some wrong bytes would end the process, or compute something else."""
    files = [path.relative_to(compiled) for path in compiled.rglob("*.nb*")]
    cases = list(itertools.product(sorted({file.suffix for file in files}), ["half", "flipped"]))

    def with_damaged_files(case):
        suffix, kind = case
        cache = shutil.copytree(compiled, tmp_path / f"{kind}{suffix}")
        paths = [cache / file for file in files if file.suffix == suffix]
        damaged = {path: DAMAGES[kind](path.read_bytes()) for path in paths}
        for path, content in damaged.items():
            path.write_bytes(content)
        process = start(cache)
        if process.returncode:
            return f"exit code {process.returncode}: {process.stderr[-300:]}"
        if any(path.read_bytes() == content for path, content in damaged.items()):
            return "still damaged"
        return "right" if np.allclose(report(process)["H"], EXPECTED, rtol=1e-9) else "wrong"

    assert cases
    with ThreadPoolExecutor(2) as pool:
        outcomes = dict(zip(cases, pool.map(with_damaged_files, cases), strict=True))
    assert outcomes == dict.fromkeys(cases, "right")


# -- many at once ----------------------------------------------------------------------------------


def test_four_processes_with_a_cold_cache(tmp_path):
    """Half of them in float32, since both dtypes are entries of the same functions."""
    dtypes = ["float64", "float32"] * 2
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda dtype: run(tmp_path, dtype=dtype), dtypes))
    np.testing.assert_allclose(outcomes[0]["H"], EXPECTED, rtol=1e-9)
    np.testing.assert_allclose(outcomes[1]["H"], EXPECTED, rtol=1e-3)
    assert outcomes[:2] == outcomes[2:]


def test_two_dtypes_at_the_same_moment(tmp_path):
    """The worst order: each process reads what is there before the other writes, and they overwrite in turns."""
    dtypes, turns = ["float64", "float32"], tmp_path / "turns"
    turns.mkdir()

    def at_once(me):
        before = LOCKSTEP.format(me, 1 - me, str(turns) + os.sep)
        return run(tmp_path / "cache", dtype=dtypes[me], before=before)

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(at_once, [0, 1]))
    assert [run(tmp_path / "cache", dtype=dtype) for dtype in dtypes] == outcomes


# -- the files themselves --------------------------------------------------------------------------

KEY = ("signature", "processor")


@pytest.fixture
def files(tmp_path):
    return _cache.VariantFiles(tmp_path, _kernels.block_rows, "kernels.block_rows")


def refuse(*args):
    raise PermissionError("somebody reads it")


@pytest.mark.plain
def test_what_is_saved_is_loaded_by_its_key_alone(files, tmp_path):
    assert files.load(KEY) is None
    files.save(KEY, [1, 2])
    assert files.load(KEY) == [1, 2]
    other = ("signature", "another processor")
    assert files.load(other) is None
    shutil.copy(files._path(KEY), files._path(other))
    assert files.load(other) is None


@pytest.mark.plain
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_counts_as_none_until_it_is_saved_again(files, damage):
    files.save(KEY, list(range(1000)))
    path = files._path(KEY)
    path.write_bytes(damage(path.read_bytes()))
    assert files.load(KEY) is None
    files.save(KEY, 3)
    assert files.load(KEY) == 3


@pytest.mark.plain
def test_saving_removes_the_variants_of_an_earlier_source(files, tmp_path):
    names = ["kernels.block_rows.0123.456.nbc", "kernels.other.0123.456.nbc"]
    for name in names:
        (tmp_path / name).touch()
    files.save(KEY, 3)
    assert set(tmp_path.iterdir()) == {files._path(KEY), tmp_path / names[1]}


@pytest.mark.plain
def test_a_file_that_another_process_reads_may_stay(files, tmp_path, monkeypatch):
    """Windows does not replace it."""
    files.save(KEY, 3)
    monkeypatch.setattr(os, "replace", refuse)
    files.save(KEY, 4)
    assert files.load(KEY) == 3
    assert list(tmp_path.iterdir()) == [files._path(KEY)]


@pytest.mark.plain
def test_a_folder_where_nothing_can_be_put_in_place(files, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError):
        files.save(KEY, 3)
    assert not list(tmp_path.iterdir())


@pytest.mark.plain
def test_a_variant_that_cannot_be_saved_costs_one_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(_cache, "_problems", [])
    monkeypatch.setattr(_cache.KernelCache, "_save_overload", refuse)
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path))
    cache = _cache.KernelCache(_kernels.block_rows)
    with pytest.warns(UserWarning, match=r"cannot be kept on disk.*somebody reads it"):
        cache.save_overload(None, None)
    cache.save_overload(None, None)  # a second warning would be an error


@pytest.mark.plain
@pytest.mark.parametrize(("said", "seen"), [("no compiled object yet", KeyboardInterrupt), ("other", RuntimeError)])
def test_an_interrupt_that_ctypes_swallowed_is_raised(tmp_path, monkeypatch, said, seen):
    """In a callback of LLVM an interrupt is only printed, and numba misses the compiled code."""

    def save(*_):
        raise RuntimeError(said)

    monkeypatch.setattr(_cache.KernelCache, "_save_overload", save)
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path))
    with pytest.raises(seen):
        _cache.KernelCache(_kernels.block_rows).save_overload(None, None)


@pytest.mark.plain
def test_a_module_without_source_has_no_digest():
    with pytest.raises(RuntimeError, match="source of sys cannot be read"):
        _cache._source_digest("sys")
