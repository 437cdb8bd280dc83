"""Write formulas as MathML, which browsers draw without a network or scripts.

docutils, which Sphinx needs in any case, converts them. A formula that it cannot convert gives a
warning.
"""

import html
import re
from xml.etree import ElementTree

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

APPLY = "\N{FUNCTION APPLICATION}"  # invisible; docutils writes it after the name of a function


def _convert(formula, block):
    """Return MathML for a formula in LaTeX."""
    if re.search(r"\\[cdt]?frac\s*[^{\s]", formula):
        raise MathError("docutils misreads fractions without braces, such as \\frac12.")
    text = tex2mathml(formula.strip(), as_block=block)
    # XML knows no other entities than these.
    text = re.sub(r"&(?!lt;|gt;|amp;)\w+;", lambda entity: html.unescape(entity.group()), text)
    root = ElementTree.fromstring(text)
    for element in root.iter():
        if element.text in ("‖", "|"):  # norms: no taller than their content, and close to it
            element.attrib = {"stretchy": "false", "lspace": "0", "rspace": "0"} | element.attrib
    for parent in list(root.iter()):
        _space_functions(parent)
    # docutils sets the index of a symbol with an accent, as in "\hat x_i", below the symbol.
    for element in root.iter():
        parts = list(element)
        if element.tag.endswith("munderover") and parts[2].get("stretchy") == "false":
            symbol, index, accent = parts
            element.tag = element.tag.replace("munderover", "msub")
            element[:] = [ElementTree.Element(element.tag.replace("msub", "mover")), index]
            element[0][:] = [symbol, accent]
    ElementTree.register_namespace("", "http://www.w3.org/1998/Math/MathML")
    return ElementTree.tostring(root, encoding="unicode")


def _space_functions(parent):
    """Add the spaces of TeX before and after the name of a function, such as log."""
    prefix = parent.tag[: parent.tag.rindex("}") + 1]
    for i in reversed(range(1, len(parent))):
        before, after = parent[i - 1], parent[i]
        operators = [part.tag == f"{prefix}mo" and part.text != ")" for part in (before, after)]
        is_name = i + 1 < len(parent) and parent[i + 1].text == APPLY
        if (is_name and not operators[0]) or (before.text == APPLY and not operators[1]):
            parent.insert(i, ElementTree.Element(f"{prefix}mspace", width="0.17em"))


def _write(writer, node, block):
    try:
        formula = _convert(node.astext(), block)
    except MathError as error:
        logging.getLogger(__name__).warning("%s: %s", node.astext(), error, location=node)
        formula = f"<code>{writer.encode(node.astext())}</code>"
    tag = "div" if block else "span"
    writer.body.append(writer.starttag(node, tag, "", CLASS="math") + formula + f"</{tag}>")
    raise nodes.SkipNode


def setup(app):
    """Connect to Sphinx."""
    app.add_html_math_renderer(
        "mathml",
        inline_renderers=(lambda writer, node: _write(writer, node, block=False), None),
        block_renderers=(lambda writer, node: _write(writer, node, block=True), None),
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
