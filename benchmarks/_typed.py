"""Figures that were typed by hand: numbers that look measured, on pages and in docstrings, but come from no file.

    python benchmarks/_typed.py

A number with a unit looks measured: a percentage, a time, an amount of memory, "times", "points", "3 of 5". In the
tables of README, docs/benchmarks and docs/internals so does any number with decimals that is not in the first column.
Exempt are code, formulas and links, columns of targets, commands and published figures, and what `GIVEN` lists.
"""

import ast
import re

from _docstrings import DOCSTRINGS
from pages import FIGURE, LISTING, ROOT, TABLE, pages, words_of

WITH_UNIT = re.compile(
    r"(?<![\w.])[\d.,]*\d"
    r"(?:\s?%|\s(?:percent|seconds?|minutes?|hours?|ms|s|µs|[kMG]B|times|points?|(?:out\s)?of\s\d+)\b)"
)
WITH_DECIMALS = re.compile(r"(?<![\w.])\d*\.\d+")
NOT_MEASURED = ("target", "wanted", "published", "command", "tested", "default")
EXEMPT = re.compile(r">>>[^\n]*|```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|\]\([^)]*\)", re.DOTALL)
# Written as a whole by a benchmark.
WRITTEN = {"docs/guide/word_units.md"}
# Parameters and definitions, properties of the data, targets in sentences, sizes that follow from shapes or that others
# have; at the end what is still to be measured.
GIVEN = """
(Nemenyi, 5 %)
fifth, 200 times
instead of 75 %
on 90 %
99 % of random
noise of .3
MNIST, 16 of 200
2 % of the rows
in float32, 1 GB, fitted
allocate 250 MB
97.6 % was not reached
rho 0.1
95 % of the lines
20 of 1000 were drawn
with k = 8 of 30000
"11 of 13" means
and moments, 6.4 MB
caches of 2 MB
up to 20 times
scaled, 1.5 times X
up to 3.25 times X
leave about 30 MB
8 of 256 units
`"auto"`, 5 %
more than 90 % of the rows
the 75 % of the rows
flags 5 % of new rows
discovery rate of 5 %
2.7 s t
of every feature to 2 %
2 and 5 times powers
need scikit-learn 1.9
may allocate 400 MB
less than 70 % of the variance
"""
PHRASES = [r"(?<!\w)" + r"\s+".join(map(re.escape, words.split())) for words in GIVEN.strip().splitlines()]


def blank(match):
    """Return what was matched, with a dot in place of every character except line breaks."""
    return re.sub(r"[^\n]", "·", match[0])


def without(text, patterns):
    """Return the text without what matches a pattern; matches may overlap."""
    left = list(text)
    for pattern in (*patterns, EXEMPT, *PHRASES):
        for match in re.finditer(pattern, text):
            left[match.start() : match.end()] = blank(match)
    return "".join(left)


def figures(text, decimals=False):
    """Yield (line, number) for what looks measured in prose and in the cells of tables."""
    prose = re.sub(r"^\|.*", blank, text, flags=re.MULTILINE)
    for found in WITH_UNIT.finditer(prose):
        yield text.count("\n", 0, found.start()) + 1, found[0]
    heads = None
    for i, line in enumerate(text.splitlines(), 1):
        if not line.startswith("|"):
            heads = None
            continue
        cells = line.strip("|").split("|")
        heads = heads or cells
        for k, (head, cell) in enumerate(zip(heads, cells, strict=False)):
            if not any(word in head for word in NOT_MEASURED):
                measured = WITH_DECIMALS.finditer(cell) if decimals and k else ()
                yield from ((i, found[0]) for found in (*WITH_UNIT.finditer(cell), *measured))


def docstrings(path):
    """Yield (first line, docstring) of a module and what it defines."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            yield node.body[0].lineno, node.body[0].value.value


def typed():
    """Return "file:line: number" for every figure that was typed by hand, and phrases of `GIVEN` that are nowhere."""
    found, texts = [], []
    for path in pages():
        if (name := str(path.relative_to(ROOT))) in WRITTEN:
            continue
        texts.append(path.read_text("utf-8"))
        strict = name.startswith(("README", "docs/benchmarks/", "docs/internals/"))
        text = without(texts[-1], (FIGURE, TABLE, LISTING))
        found += [f"{name}:{line}: {number}" for line, number in figures(text, strict)]
    for path in sorted((ROOT / "skl_sae").rglob("*.py")):
        name = str(path.relative_to(ROOT))
        words = [words_of(figure)[0] for figure in DOCSTRINGS.get(name, [])]
        for first, docstring in docstrings(path):
            texts.append(docstring)
            found += [f"{name}:{first + line - 1}: {number}" for line, number in figures(without(docstring, words))]
    unused = [phrase for phrase in PHRASES if not any(re.search(phrase, text) for text in texts)]
    return found + [f"_typed.py: in GIVEN, but on no page and in no docstring: {phrase}" for phrase in unused]


if __name__ == "__main__":
    print("\n".join(typed()))
