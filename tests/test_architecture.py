"""The structure of the package is the one that CONTRIBUTING.md describes."""

import ast
import inspect
import itertools
import re
from pathlib import Path

import pytest

import skl_sae

PACKAGE = Path(skl_sae.__file__).parent
ROOT = Path(__file__).parents[1]
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
FILES = sorted(PACKAGE.rglob("*.py"))

pytestmark = pytest.mark.plain


def module_of(path):
    """The dotted name of a file, within the package."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def is_for_types(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def import_statements(node):
    """All imports, within functions as well, except those that only a type checker sees."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ImportFrom):
            yield child
        elif is_for_types(child):
            yield from (found for branch in child.orelse for found in import_statements(branch))
        else:
            yield from import_statements(child)


def imports_of(module):
    """The modules of the package that a module imports."""
    path = MODULES[module]
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    package = [part for part in package if part]
    found = set()
    for statement in import_statements(ast.parse(path.read_text())):
        if statement.level == 0:
            continue
        base = package[: len(package) - statement.level + 1] + (statement.module or "").split(".")
        base = ".".join(part for part in base if part)
        for alias in statement.names:
            name = f"{base}.{alias.name}" if base else alias.name
            found.add(name if name in MODULES else base)
    return found - {module}


def room_of(module):
    """The file or folder at the top of the package that holds a module."""
    return module.split(".")[0]


def stated_order():
    """For every room the rooms that it may import, from the lines "a ← b ← c" of CONTRIBUTING.md."""
    (block,) = re.findall(r"```text\n((?:.*←.*\n)+)```", CONTRIBUTING.read_text())
    below = {}
    for line in block.splitlines():
        steps = [[name.strip() for name in step.split(",")] for step in line.split("←")]
        for lower, upper in itertools.pairwise(steps):
            for name in upper:
                below.setdefault(name, set()).update(lower)
            for name in lower:
                below.setdefault(name, set())
    for _ in below:  # what is below something below is below
        below = {name: found.union(*(below[one] for one in found)) for name, found in below.items()}
    return below


def test_imports_run_the_way_that_is_stated():
    below = stated_order()
    rooms = {room_of(module) for module in MODULES} - {""}
    assert below.keys() == rooms
    assert not [name for name, found in below.items() if name in found], "the stated order has a cycle"
    wrong = [
        f"{module} imports {other}"
        for module in MODULES.keys() - {""}
        for other in imports_of(module)
        if room_of(other) != room_of(module) and room_of(other) not in below[room_of(module)]
    ]
    assert not wrong


def test_no_files_import_each_other_in_a_circle():
    """Not even within a function."""
    left = {module: imports_of(module) for module in MODULES}
    while left:
        free = {module for module, found in left.items() if not found & left.keys()}
        assert free, f"a cycle among {sorted(left)}"
        left = {module: found for module, found in left.items() if module not in free}


def test_files_are_short():
    files = [*FILES, *(path for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))]
    assert {path.name: n for path in files if (n := len(path.read_text().splitlines())) > 600} == {}


def functions():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                yield path, node


def test_kernels_take_few_arguments():
    counts = {node.name: len(node.args.args) for path, node in functions() if path.parent.name == "_kernels"}
    assert {name: count for name, count in counts.items() if count > 10} == {}


def test_few_places_ask_for_the_kind_of_rows():
    asked = re.compile(r"isinstance\([^)]*Rows\b|\bis_dask\(|\.is_local\b|\.contiguous\b")
    places = [line for path in FILES for line in path.read_text().splitlines() if asked.search(line)]
    assert len(places) <= 16


def test_the_base_class_has_few_methods():
    from skl_sae._base import BaseSparseAutoencoder

    assert len([name for name, value in vars(BaseSparseAutoencoder).items() if inspect.isfunction(value)]) <= 30
