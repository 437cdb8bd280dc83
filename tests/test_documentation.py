"""Examples in docstrings and in the README run, and what they state is true."""

import doctest
import importlib
import inspect
import pkgutil
import re
import typing
from pathlib import Path

import pytest

import skl_sae
from skl_sae import _types
from skl_sae._kernels.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS
from skl_sae._kernels.penalties import PENALTIES
from skl_sae._solvers import SOLVERS

ROOT = Path(__file__).resolve().parents[1]
MODULES = ["skl_sae", *(module.name for module in pkgutil.walk_packages(skl_sae.__path__, "skl_sae."))]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    if name == "skl_sae.onnx":
        pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    if name.endswith((".dask", ".graph")):
        pytest.importorskip("dask.array", reason="dask is not installed")
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.testmod(importlib.import_module(name), optionflags=flags, verbose=False).failed == 0


ESTIMATORS = [skl_sae.SparseAutoencoderTransformer, skl_sae.SparseAutoencoderOutlierDetector]


@pytest.mark.parametrize("estimator", [*ESTIMATORS, skl_sae.TopKAutoencoderTransformer])
def test_estimators_have_an_example(estimator):
    assert any(test.examples for test in doctest.DocTestFinder().find(estimator))


def blocks_of(text):
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def test_pages_show_the_figures_of_the_benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    pages = importlib.import_module("pages")

    differing = [path.name for path in pages.stale()]
    assert not differing, "figures differ from benchmarks/results: run python benchmarks/pages.py"


def test_no_figure_is_typed_by_hand(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    typed = importlib.import_module("_typed")

    assert typed.typed() == [], "take it from benchmarks/results (see benchmarks/pages.py), or add it to GIVEN"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("It takes 3.5 s, or\n1.2\ntimes as long.", ["3.5 s", "1.2\ntimes"]),
        ("It held 5 of 6 times with `rho=0.5 %`.", ["5 of 6"]),
        ("<!-- surface: L-BFGS; 10-5; {ms} ms -->3 ms<!-- / --> with 10 units", []),
        ("| of 0.5 | target | measured |\n|---|---|---|\n| 0.5 | 3 % | 0.7, at most 4 % of 10 |", ["4 %", "0.7"]),
    ],
)
def test_figures_are_told_from_settings(text, numbers, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    typed = importlib.import_module("_typed")
    text = typed.without(text, [typed.FIGURE])
    assert [number for _, number in typed.figures(text, decimals=True)] == numbers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n<!-- surface: L-BFGS; 10-5; {ms} -->2<!-- / -->", "begins with the comment"),
        ("a <!-- surface: L-BFGS; 10-5; {ms} -->2", "1 comments of figures, but 0"),
        ("a <!-- surface: L-BFGS; 10-5; {hours} -->2<!-- / -->", "no column 'hours'"),
        ("a <!-- surface: L-BFGS; 9-5; {ms} -->2<!-- / -->", "0 of these match '9-5'"),
    ],
)
def test_a_figure_without_its_place_is_an_error(text, message, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    pages = importlib.import_module("pages")
    with pytest.raises((ValueError, LookupError), match=message):
        pages.renewed(text)


def test_numbers_in_docstrings_are_written_from_the_results(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    pages = importlib.import_module("pages")
    words = "sparsity: all sets; rho=0.02; setting {least < .05:.0f} % and {worst explained:+.1f}"
    assert pages.rewritten("a setting\n    1 % and +2, of 3", words) == "a setting\n    84 % and -5.0, of 3"
    with pytest.raises(LookupError, match="these words occur 0 times"):
        pages.rewritten("a setting of 1 %", words)


def test_every_benchmark_is_listed():
    text = (ROOT / "benchmarks" / "README.md").read_text("utf-8")
    assert [path.name for path in (ROOT / "benchmarks").glob("[a-z]*.py") if f"`{path.name}`" not in text] == []


NUMBER = r"-?\d+(?:\.\d+)?"


def agree(printed, stated):
    """Whether a line was printed as a comment states it, with decimals within one unit of the last stated digit."""
    if re.split(NUMBER, printed) != re.split(NUMBER, stated):
        return False
    for found, number in zip(re.findall(NUMBER, printed), re.findall(NUMBER, stated), strict=True):
        digits = len(number.partition(".")[2])
        if abs(float(found) - float(number)) > (1.0001 * 10**-digits if digits else 0):
            return False
    return True


@pytest.mark.parametrize(
    ("printed", "stated", "expected"),
    [
        ("0.9447 with 8 units", "0.94 with 8 units", True),
        ("0.9301 with 8 units", "0.94 with 8 units", True),
        ("0.929 with 8 units", "0.94 with 8 units", False),
        ("0.9447 with 7 units", "0.94 with 8 units", False),
        ("0.9447 with 8 rows", "0.94 with 8 units", False),
    ],
)
def test_agree(printed, stated, expected):
    assert agree(printed, stated) == expected


README = blocks_of((ROOT / "README.md").read_text("utf-8"))


@pytest.mark.parametrize("block", README, ids=range(len(README)))
def test_readme_runs_and_prints_what_it_states(block, capsys):
    exec(block, {})
    printed = capsys.readouterr().out.splitlines()
    stated = re.findall(r"^print\(.*?\)(?:  # (.*))?$", block, flags=re.MULTILINE)
    assert len(printed) == len(stated)
    for line, comment in zip(printed, stated, strict=True):
        assert not comment or agree(line, comment), f"prints {line!r}, where it states {comment!r}"


def test_readme_has_two_commands_and_the_version():
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(re.findall(r"^pip install ", text, flags=re.MULTILINE)) == 2  # which .ci/run takes
    assert f"Version {skl_sae.__version__} " in text
    assert f'version: "{skl_sae.__version__}"' in (ROOT / "CITATION.cff").read_text("utf-8")


def test_the_references_page_lists_every_source():
    page = (ROOT / "docs" / "references.md").read_text("utf-8")
    listed = " ".join(page.split())
    assert f"version = {{{skl_sae.__version__}}}" in page
    for path in (ROOT / "skl_sae").rglob("*.py"):
        entries = re.findall(r"^ *\.\. \[\d+\] (.*(?:\n +(?! |\.\. ).*)*)", path.read_text("utf-8"), flags=re.MULTILINE)
        for entry in entries:
            title = re.search(r'".*?"', " ".join(entry.split()))[0]
            assert title in listed, f"{path.name} names {title}"


PAGES = [page for page in sorted((ROOT / "docs").rglob("*.md")) if not {"_build", "generated"} & set(page.parts)]
SNIPPETS = {
    f"{page.relative_to(ROOT)}-{i}": block for page in PAGES for i, block in enumerate(blocks_of(page.read_text()))
}
NEEDED = {name: [name] for name in ("skl2onnx", "onnxruntime", "pandas")}
NEEDED["sklearn.callback"] = ["sklearn.callback", "rich"]


@pytest.mark.parametrize("name", SNIPPETS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # of a fit that only compiles
def test_snippets_of_the_documentation_run_alone(name, tmp_path, monkeypatch):
    """Snippets with prompts are doctests, which .ci/run runs page by page."""
    for word, packages in NEEDED.items():
        if word in SNIPPETS[name]:
            for package in packages:
                pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    exec(SNIPPETS[name], {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_snippets_do_not_scroll(page):
    for block in re.findall(r"^```(?:python|pycon|sh)\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL):
        assert max(map(len, block.splitlines())) <= 104  # 100 and a prompt


def test_every_example_is_in_the_gallery():
    index = (ROOT / "examples" / "index.rst").read_text()
    for script in (ROOT / "examples").glob("*.py"):
        assert f"../examples/{script.name}\n" in index  # its picture
        assert f"   {script.stem}\n" in index  # its place in the navigation


@pytest.mark.parametrize("estimator", [*ESTIMATORS, skl_sae.TopKAutoencoderTransformer])
def test_every_parameter_is_documented(estimator):
    text = inspect.getdoc(estimator)
    for name in estimator().get_params():
        assert re.search(rf"^{name} : ", text, flags=re.MULTILINE), name
        assert name in estimator._parameter_constraints


NAMES = {
    "activation": (_types.HiddenActivation, HIDDEN_ACTIVATIONS),
    "output_activation": (_types.OutputActivation, ACTIVATIONS),
    "penalty": (_types.PenaltyName, PENALTIES),
    "solver": (_types.SolverName, SOLVERS),
}


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("parameter", NAMES)
def test_annotations_and_docstrings_have_the_names_of_the_tables(parameter, estimator):
    annotation, table = NAMES[parameter]
    assert list(typing.get_args(annotation)) == list(table)
    assert typing.get_type_hints(estimator.__init__)[parameter] == annotation
    documented = re.search(rf"^{parameter} : {{(.*)}}", inspect.getdoc(estimator), flags=re.MULTILINE)
    assert documented[1] == ", ".join(f'"{name}"' for name in table)


def test_version_is_that_of_the_changelog():
    assert f"## {skl_sae.__version__}" in (ROOT / "CHANGELOG.md").read_text()
