"""Examples in docstrings and in the README run and say the truth."""

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import skl_sae

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


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_estimators_have_an_example(estimator):
    assert any(test.examples for test in doctest.DocTestFinder().find(estimator))


def blocks_of(text):
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def test_readme():
    blocks = blocks_of((ROOT / "README.md").read_text())
    assert blocks
    namespace = {}
    for block in blocks:
        exec(block, namespace)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_parameter_is_documented(estimator):
    text = inspect.getdoc(estimator)
    for name in estimator().get_params():
        assert re.search(rf"^{name} : ", text, flags=re.MULTILINE), name
        assert name in estimator._parameter_constraints


def test_version_is_that_of_the_changelog():
    assert f"## {skl_sae.__version__}" in (ROOT / "CHANGELOG.md").read_text()
