"""Make a page for every script in ``examples/``: its docstring, output, pictures and source.

The scripts in `RUNS` run while the pages are built; their output and pictures are kept until the script changes. A
script that fails gives a warning. The other scripts are shown without running them.
"""

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

from sphinx.util import logging

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "examples" / "generated"

# Arguments of the scripts, which run in the folder for their pictures.
RUNS = {
    "explain_anomalies": ["explain_anomalies.png"],
    "gallery_images": ["."],
    "gallery_tabular": ["."],
    "inspect_units": ["."],
    "search_rho_beta": ["search_rho_beta.png"],
    "topics_of_docstrings": [],
}


def _run(script, folder):
    """Output of the script; None if it failed."""
    output = folder / "output.txt"
    if not output.exists() or output.stat().st_mtime < script.stat().st_mtime:
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(script), *RUNS[script.stem]]
        environment = {**os.environ, "MPLBACKEND": "agg"}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode:
            logging.getLogger(__name__).warning("%s failed:\n%s", script, done.stderr)
            return None
        output.write_text(done.stdout)
    return output.read_text()


def _page(script):
    """Text of the page for a script, in MyST."""
    docstring = inspect.cleandoc(ast.get_docstring(ast.parse(script.read_text())))
    title = re.match(r".*?(\?|(?=[.:] )|(?= \()|(?=\.?$))", docstring, flags=re.MULTILINE).group()
    parts = [f"# {title}", f"`examples/{script.name}`"]
    for paragraph in docstring.split("\n\n"):
        literal = paragraph.startswith("    ")
        parts.append(f"```text\n{inspect.cleandoc(paragraph)}\n```" if literal else paragraph)
    if script.stem in RUNS:
        folder = FOLDER / script.stem
        output = _run(script, folder)
        if output:
            parts.append(f"Output:\n\n```text\n{output.rstrip()}\n```")
        parts += [f"![{path.stem}]({script.stem}/{path.name})" for path in sorted(folder.glob("*.png"))]
    parts.append(f"```{{literalinclude}} ../../../examples/{script.name}\n:language: python\n```")
    return "\n\n".join(parts) + "\n"


def write_pages(app):
    """Write the pages and remove those of scripts that no longer exist."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    scripts = {script.stem: script for script in sorted((ROOT / "examples").glob("*.py"))}
    for page in FOLDER.glob("*.md"):
        if page.stem not in scripts:
            page.unlink()
    for name, script in scripts.items():
        page, text = FOLDER / f"{name}.md", _page(script)
        if not page.exists() or page.read_text() != text:
            page.write_text(text)


def setup(app):
    """Connect to Sphinx."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
