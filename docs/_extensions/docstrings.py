"""Handle what numpydoc does not in docstrings: links to scikit-learn, and some escaping.

The addresses of scikit-learn's API pages follow from the names of the objects, so no network is
needed. Docstrings of inherited methods also refer to labels and terms in its user guide: these
become links to the guide and the glossary.
"""

import re

from docutils import nodes
from sphinx.util.nodes import get_node_source

SITE = "https://scikit-learn.org/stable"
PAGES = {"ref": "user_guide", "term": "glossary"}


def link_to_sklearn(app, env, node, content):
    """Resolve references to scikit-learn."""
    target = node.get("reftarget", "")
    if node.get("refdomain") == "py" and re.fullmatch(r"sklearn(\.\w+){2,}", target):
        address = f"{SITE}/modules/generated/{target}.html"
    elif (
        re.search(r"sklearn/\w+.*docstring of", get_node_source(node) or "")
        and node.get("reftype") in PAGES
    ):
        address = f"{SITE}/{PAGES[node['reftype']]}.html"
        if content.astext().startswith("sphx_glr_"):  # an example without a title
            content = nodes.inline("", "scikit-learn's example")
    else:
        return None
    return nodes.reference("", "", content, internal=False, refuri=address)


def quote(app, what, name, obj, options, lines):
    """Escape text that reStructuredText would misread.

    A name that ends in "_" in a type, as in "of shape (n_iter_,)", is not a link, and an initial at
    the beginning of a one-line reference, as in "A. Ng", is not a list item.
    """
    for i, line in enumerate(lines):
        if re.match(r"\w+ : ", line):
            lines[i] = re.sub(r"(?<![`\w])(\w+_)(?=[,)])", r"`\1`", line)
        lines[i] = re.sub(r"^(\.\. \[\d+\] [A-Z])\. ", r"\1\\. ", lines[i])


def setup(app):
    """Connect to Sphinx."""
    app.connect("missing-reference", link_to_sklearn)
    app.connect("autodoc-process-docstring", quote, priority=100)  # before numpydoc
    return {"parallel_read_safe": True, "parallel_write_safe": True}
