"""The disk cache of compiled kernels: never stale, and never the reason why a fit fails.

The tests start processes that share a cache folder of their own and run one small kernel, `add_bias_activate` of
products.py, and its helper in activations.py; all other kernels are cached in the same way. The processes import the
kernels alone: scikit-learn has no part in this and takes most of the time of an import. benchmarks/faults.py has fits.
"""

import compileall
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
from skl_sae._cache import VariantFiles

pytestmark = pytest.mark.slow

PACKAGE = Path(skl_sae.__file__).parent
LIMIT = 900  # seconds, long enough for a slow machine: a process that waits for ever fails the test

Z = np.random.default_rng(0).normal(size=(20, 3))
EXPECTED = 1 / (1 + np.exp(-(Z + 1)))

CHILD = """
import json, sys, types, warnings
from pathlib import Path
import numpy as np
Z, dtype, package, before = sys.argv[1:]
Z = np.array(json.loads(Z), dtype)
skl_sae = sys.modules["skl_sae"] = types.ModuleType("skl_sae")  # the package without its __init__
skl_sae.__path__ = [package]
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from skl_sae._kernels.activations import SIGMOID
    from skl_sae._kernels.products import add_bias_activate
    exec(before)
    H = np.empty_like(Z)
    add_bias_activate(Z, np.ones(3, dtype), SIGMOID, H)
print(json.dumps({"H": H.tolist(), "warnings": [str(warning.message) for warning in caught]}))
"""

# The number of calls of os.replace, with which a file of the cache is put in its place.
COUNT = """
import atexit, os
calls, replace = [], os.replace
os.replace = lambda *paths: (calls.append(paths), replace(*paths))
atexit.register(lambda: Path({0!r}).write_text(str(len(calls))))
"""

LOG = """
import logging
logging.getLogger("skl_sae").addHandler(logging.FileHandler({0!r}))
logging.getLogger("skl_sae").setLevel(logging.DEBUG)
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
    end = time.monotonic() + 60
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


# A file system that can only be read; even root cannot write to it.
READ_ONLY = """
import errno

def refuse(path, *args, **kwargs):
    raise OSError(errno.EROFS, "Read-only file system", str(path))

Path.write_bytes = Path.mkdir = refuse
"""


@pytest.fixture(scope="module")
def compiled_and_logged(tmp_path_factory):
    """A cache folder with everything that the kernel needs, and the lines that were logged when it was compiled."""
    cache, log = tmp_path_factory.mktemp("compiled"), tmp_path_factory.mktemp("log") / "log"
    run(cache, before=LOG.format(str(log)))
    return cache, log.read_text().splitlines()


@pytest.fixture
def compiled(compiled_and_logged):
    return compiled_and_logged[0]


@pytest.fixture
def package(tmp_path):
    """A copy of the package that may be changed, without Python's own compiled modules."""
    return shutil.copytree(PACKAGE, tmp_path / "copy" / "skl_sae", ignore=shutil.ignore_patterns("__pycache__"))


def start(cache, *, package=PACKAGE, dtype="float64", before="", **environment):
    """Run the kernel in a new process, which executes ``before`` between the import and the kernel."""
    settings = {"PYTHONDONTWRITEBYTECODE": "1", "NUMBA_CACHE_DIR": str(cache)}
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
    # Otherwise the test says nothing: with NUMBA_OPT=0, for instance, numba keeps no function that calls BLAS.
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
    """Turn sigmoid(z) into sigmoid(-z) = 1 - sigmoid(z), in the helper, which is in another file than the kernel."""
    helper = package / "_kernels" / "activations.py"
    replace_text(helper, "one / (one + _exp(-flat[i]))", "one / (one + _exp(+flat[i]))")


# -- never stale -----------------------------------------------------------------------------------


def test_a_change_and_its_reversal(package, tmp_path):
    helper = package / "_kernels" / "activations.py"
    source = helper.read_bytes()
    first = run(tmp_path, package=package)
    mirror(package)
    np.testing.assert_allclose(run(tmp_path, package=package)["H"], 1 - EXPECTED, rtol=1e-9)
    helper.write_bytes(source)
    assert run(tmp_path, package=package) == first


def test_a_change_between_the_import_and_the_first_call(package, tmp_path):
    """The process still runs the old code, and must not keep it under the digest of the new source."""
    helper = package / "_kernels" / "activations.py"
    old = helper.read_bytes()
    mirror(package)
    new = helper.read_bytes()
    helper.write_bytes(old)
    outcome = run(tmp_path, package=package, before=f"Path({str(helper)!r}).write_bytes({new!r})")
    np.testing.assert_allclose(outcome["H"], EXPECTED, rtol=1e-9)
    np.testing.assert_allclose(run(tmp_path, package=package)["H"], 1 - EXPECTED, rtol=1e-9)


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
        VariantFiles(tmp_path, "name", "source").save(("signature",), b"code")
    assert not list(tmp_path.iterdir())


# -- without source files --------------------------------------------------------------------------


def without_source(package):
    """Leave only the bytecode of the modules, as programs that freeze applications do."""
    assert compileall.compile_dir(package, quiet=1, legacy=True)
    for path in package.rglob("*.py"):
        path.unlink()


def test_bytecode_alone_is_cached_and_never_stale(package, tmp_path):
    mirrored = shutil.copytree(package, tmp_path / "mirrored" / "skl_sae")
    mirror(mirrored)
    for folder in [package, mirrored]:
        without_source(folder)
    cache, counter = tmp_path / "cache", tmp_path / "count"
    first = run(cache, package=package)
    np.testing.assert_allclose(first["H"], EXPECTED, rtol=1e-9)
    assert run(cache, package=package, before=COUNT.format(str(counter))) == first
    assert counter.read_text() == "0"  # nothing was compiled and kept
    np.testing.assert_allclose(run(cache, package=mirrored)["H"], 1 - EXPECTED, rtol=1e-9)
    assert first["warnings"] == []


def test_a_frozen_application_finds_its_cache_from_any_folder(compiled, tmp_path):
    """An executable may unpack itself into a new folder at each start."""
    frozen, counter = "sys.frozen = True\n", tmp_path / "count"
    cache = shutil.copytree(compiled, tmp_path / "cache")
    first = run(cache, before=frozen)
    copy = shutil.copytree(PACKAGE, tmp_path / "unpacked" / "skl_sae", ignore=shutil.ignore_patterns("__pycache__"))
    assert run(cache, package=copy, before=frozen + COUNT.format(str(counter))) == first
    assert counter.read_text() == "0"
    np.testing.assert_allclose(first["H"], EXPECTED, rtol=1e-9)
    assert list(cache.glob("skl_sae_*/*.nbc"))


# -- nowhere to write ------------------------------------------------------------------------------


def no_folder(package, tmp_path):
    """Return an environment in which no cache folder can be made, not even by root."""
    (package / "_kernels" / "__pycache__").touch()
    (tmp_path / "file").touch()
    return dict.fromkeys(["HOME", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME"], str(tmp_path / "file" / "folder"))


def test_a_cache_folder_that_cannot_be_made(package, tmp_path):
    """The next folder is used."""
    (tmp_path / "file").touch()
    outcome = run(tmp_path / "file" / "cache", package=package)
    np.testing.assert_allclose(outcome["H"], EXPECTED, rtol=1e-9)
    assert outcome["warnings"] == []
    assert list(package.glob("_kernels/__pycache__/*.nbc"))


def test_a_cache_folder_that_can_only_be_read_is_read(compiled):
    outcome = run(compiled, before=READ_ONLY)
    np.testing.assert_allclose(outcome["H"], EXPECTED, rtol=1e-9)
    assert outcome["warnings"] == []
    (warning,) = run(compiled, before=READ_ONLY, dtype="float32")["warnings"]
    assert "cannot be kept on disk" in warning
    assert "Read-only file system" in warning


# Modules of packages that are not installed are left out.
IMPORT_ALL_AND_CALL = """
import pkgutil, sys, warnings
import numpy as np
import skl_sae
for module in pkgutil.walk_packages(skl_sae.__path__, "skl_sae."):
    try:
        __import__(module.name)
    except ModuleNotFoundError as error:
        assert not error.name.startswith("skl_sae"), error
from skl_sae._kernels.activations import SIGMOID
from skl_sae._kernels.products import add_bias_activate
for dtype in ("float32", "float64"):
    Z = np.zeros((2, 3), dtype)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        add_bias_activate(Z, Z[0], SIGMOID, Z)
    print(*[warning.message for warning in caught], sep="\\n")
"""


@pytest.mark.skipif(os.name == "nt", reason="the folder of the user's programs cannot be moved on Windows")
def test_without_any_folder_an_import_is_silent_and_the_first_call_warns(package, tmp_path):
    environment = no_folder(package, tmp_path) | {"PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", IMPORT_ALL_AND_CALL],
        env=os.environ | environment, capture_output=True, text=True, timeout=LIMIT,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    warning, nothing = process.stdout.splitlines()
    assert "cannot be kept on disk" in warning
    assert "Set the environment variable NUMBA_CACHE_DIR" in warning
    assert str(tmp_path / "file") in warning
    assert nothing == ""


WARNING_AS_ERROR = """
warnings.simplefilter("error")
Z32 = Z.astype("float32")
try:
    add_bias_activate(Z32, Z32[0], SIGMOID, Z32)
    sys.exit("no warning")
except UserWarning:
    pass
"""


@pytest.mark.skipif(os.name == "nt", reason="the folder of the user's programs cannot be moved on Windows")
def test_a_warning_that_is_an_error_stops_one_call_only(package, tmp_path):
    outcome = run(tmp_path, package=package, before=WARNING_AS_ERROR, **no_folder(package, tmp_path))
    np.testing.assert_allclose(outcome["H"], EXPECTED, rtol=1e-9)


def test_a_cache_folder_that_disappears_after_the_import(package, tmp_path):
    """The next folder is used."""
    cache = tmp_path / "cache"
    cache.mkdir()
    replaced = f"import shutil; shutil.rmtree({str(cache)!r}); Path({str(cache)!r}).touch()"
    outcome = run(cache, package=package, before=replaced)
    np.testing.assert_allclose(outcome["H"], EXPECTED, rtol=1e-9)
    assert outcome["warnings"] == []
    assert list(package.glob("_kernels/__pycache__/*.nbc"))


def test_a_full_disk(tmp_path):
    """No file can grow beyond 2500 bytes, in any folder; the code needs more."""
    pytest.importorskip("resource")  # of POSIX systems
    full = "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (2500, r.getrlimit(r.RLIMIT_FSIZE)[1]))"
    outcome = run(tmp_path, before=full, HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path))
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


# -- the log ---------------------------------------------------------------------------------------


def test_the_log_names_what_was_compiled_and_what_was_read(compiled_and_logged, tmp_path):
    cache, lines = compiled_and_logged
    assert lines[0].startswith("compiled products._all_finite(")
    assert lines[1].startswith("compiled activations.activate(int64, ")
    assert lines[2].startswith("compiled products.add_bias_activate(")
    kept = [line.rpartition(" s; file: ")[2] for line in lines]
    assert sorted(kept) == sorted(str(path) for path in cache.rglob("*.nbc"))
    log = tmp_path / "log"
    run(cache, before=LOG.format(str(log)))
    (line,) = log.read_text().splitlines()
    assert line.startswith("read products.add_bias_activate(")
    assert line.endswith(f" s; file: {kept[2]}")
