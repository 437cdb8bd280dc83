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


def _convert(formula, block):
    """Return MathML for a formula in LaTeX."""
    text = tex2mathml(formula.strip(), as_block=block)
    # XML knows no other entities than these.
    text = re.sub(r"&(?!lt;|gt;|amp;)\w+;", lambda entity: html.unescape(entity.group()), text)
    root = ElementTree.fromstring(text)
    for element in root.iter():
        if element.text in ("‖", "|"):  # norms: no taller than their content, and close to it
            element.attrib = {"stretchy": "false", "lspace": "0", "rspace": "0"} | element.attrib
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
