"""Write formulas as MathML, which browsers draw without a network or scripts.

docutils, which Sphinx needs in any case, converts them. A formula that it cannot convert gives a
warning.
"""

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging


def _write(writer, node, block):
    try:
        formula = tex2mathml(node.astext().strip(), as_block=block)
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
