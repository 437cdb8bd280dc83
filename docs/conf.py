"""Configuration: build with ``sphinx-build -W --keep-going -b html docs docs/_build/html``."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))
os.environ["MPLBACKEND"] = "agg"

import skl_sae

project = "skl_sae"
author = "The skl_sae developers"
project_copyright = author
version = release = skl_sae.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "docstrings",
    "mathml",
]
exclude_patterns = [
    "_build",
    "_templates",
    "_extensions",
    "guide/word_units.md",
]  # which inspection.md includes
templates_path = ["_templates"]
default_role = "py:obj"

autosummary_generate = True
autodoc_preserve_defaults = True  # np.float32 instead of its repr
autodoc_typehints = "none"  # the docstrings give the types
numpydoc_show_class_members = False  # the template lists the methods
toc_object_entries_show_parents = "hide"
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

# Without prompts and output, so that an example can be pasted and run.
copybutton_exclude = ".linenos, .gp, .go"

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "examples/generated",
    # These take a minute or need other packages: their pages show the code alone.
    "filename_pattern": r"/(?!quickstart|deploy_onnx|search_optuna)\w+\.py$",
    "copyfile_regex": r"index\.rst",  # sorts the examples by use
    "backreferences_dir": "api/generated/backreferences",
    "doc_module": ("skl_sae",),
    "reference_url": {"skl_sae": None},
    "capture_repr": (),
    "default_thumb_file": str(Path(__file__).parent / "_static" / "script.svg"),
    "write_computation_times": False,
    "min_reported_time": 3600,  # times vary
    "show_signature": False,
    "remove_config_comments": True,
}

html_theme = "pydata_sphinx_theme"
html_title = f"skl_sae {release}"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "logo": {
        "text": f"skl_sae {release}",
        "image_light": "_static/logo.svg",
        "image_dark": "_static/logo.svg",
    },
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": {
        "**": ["page-toc"],
        # Wide tables need the room.
        "benchmarks/adbench": [],
        "benchmarks/detection": [],
        "coming_from/saelens": [],
    },
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
}
html_sidebars = {
    page: []
    for page in ("index", "install", "tutorial", "faq", "glossary", "references", "changelog")
}
html_show_sourcelink = False
