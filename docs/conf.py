"""Configuration of the documentation. Build it with ``sphinx-build -W --keep-going -b html docs docs/_build/html``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

import skl_sae

project = "skl_sae"
author = "The skl_sae developers"
project_copyright = author
version = release = skl_sae.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
    "example_pages",
    "docstrings",
]
exclude_patterns = ["_build", "_templates", "_extensions", "guide/word_units.md"]  # which inspection.md includes
templates_path = ["_templates"]
default_role = "py:obj"

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings give the types
numpydoc_show_class_members = False  # the template lists the methods
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

html_theme = "pydata_sphinx_theme"
html_title = f"skl_sae {release}"
html_theme_options = {
    "logo": {"text": "skl_sae"},
    "show_prev_next": False,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": [], "changelog": []}
html_show_sourcelink = False
