"""Do the figures on the pages agree with the results of the benchmarks?

    python benchmarks/pages.py             # write the figures of benchmarks/results/*.json into the pages
    python benchmarks/pages.py --check     # only compare; fails where a page differs

The pages are README.md and docs/**/*.md. Comments, which no reader sees, mark what comes from a file. A figure in
a sentence names the file, the table, the row and the columns, with their formats; for table and row the beginning is
enough:

    <!-- detector: tables, clean (confirm); skl_sae; {AUROC} and {AP} % -->79.9 and 53.0 %<!-- / -->

Several rows, joined by " + ", or "*" for all, have a lowest and a highest value in each column:

    <!-- surface: L-BFGS; *; {lowest ours / products:.1f} to {highest ours / products:.1f} -->0.9 to 2.4<!-- / -->

``{1/ratio:.2f}`` is the inverse of a number. A table names the file and its table. All lines but the first are
optional; columns may be templates with a heading:

    <!-- table surface: Adam, batches of 100
    head: features–units
    columns: rows | {ms:.1f} as ms | {ours / products:.2f} as time / that of the products
    rows: 10-5 as 10–5 | 784-256 as 784–256
    format: .3g
    bold: highest
    -->
    ...
    <!-- / -->

The format is for numbers without one of their own; "bold: highest" (or lowest) marks the best number of each row.
``<!-- results -->`` lists the files, with the commands that write them and the versions of the packages.

Docstrings have no comments, since help() would show them: ``_docstrings.py`` has their words, and the places of the
numbers. What is left are numbers that were typed by hand; ``_typed.py`` finds those that look like figures.
"""

import argparse
import functools
import json
import re
import sys
from pathlib import Path

from _docstrings import DOCSTRINGS
from _harness import PACKAGES

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"

OPENING, END = re.compile(r"<!-- (?:(?:table )?[a-z_0-9]+: |results -->)"), "<!-- / -->"
FIGURE = re.compile(r"<!-- (?P<file>[a-z_0-9]+): (?P<where>[^\n]+?) -->(?P<old>.*?)<!-- / -->", re.DOTALL)
TABLE = re.compile(
    r"^<!-- table (?P<file>[a-z_0-9]+): (?P<title>[^\n]+)\n(?P<options>(?:\w+: [^\n]*\n)*)-->\n(?P<old>.*?)^<!-- / -->",
    re.DOTALL | re.MULTILINE,
)
LISTING = re.compile(r"^<!-- results -->\n(?P<old>.*?)^<!-- / -->", re.DOTALL | re.MULTILINE)
NUMBER = r"[-+]?\d+(?:\.\d+)?(?:\s+to\s+\d+)?(?:\s+%)?"  # or a range
# A line that begins with a comment is HTML to its end, so that what follows on it is not Markdown.
MISPLACED = re.compile(r"^\s*(?:[-*>]\s+|\d+\.\s+)?<!-- [a-z_0-9]+: ", re.MULTILINE)


def pages():
    """Return the paths of all pages that may show figures."""
    docs = ROOT / "docs"
    found = (path for path in docs.rglob("*.md") if not {"generated", "_build"} & set(path.relative_to(docs).parts))
    return [ROOT / "README.md", *sorted(found)]


@functools.cache
def load(name):
    """Return the content of a file of results."""
    return json.loads((RESULTS / f"{name}.json").read_text("utf-8"))


def only(items, key, wanted, place):
    """Return the item whose name is the wanted one, or the only one whose name begins with it."""
    exact = [item for item in items if item[key] == wanted]
    found = exact or [item for item in items if item[key].startswith(wanted)]
    if len(found) != 1:
        names = ", ".join(repr(item[key]) for item in items)
        raise LookupError(f"{place}: {len(found)} of these match {wanted!r}: {names}")
    return found[0]


def table_of(file, title):
    """Return the rows of a table."""
    return only(load(file)["tables"], "title", title, f"{file}.json")["rows"]


def merged(rows):
    """Return a row with the lowest and the highest number of each column."""
    columns = {}
    for key in dict.fromkeys(key for row in rows for key in row):
        numbers = [row[key] for row in rows if isinstance(row.get(key), (int, float))]
        if numbers:
            columns |= {f"lowest {key}": min(numbers), f"highest {key}": max(numbers)}
    return columns


def filled(template, row, place, form=".3g"):
    """Return the template with the values of the columns it names; ``form`` is for numbers without a format."""

    def value(match):
        key, spec = match[1], ""
        if key not in row:
            key, _, spec = key.rpartition(":")
        inverse = key not in row and key.startswith("1/")
        key = key.removeprefix("1/") if inverse else key
        if key not in row:
            raise LookupError(f"{place}: no column {match[1]!r} among {', '.join(map(repr, row))}")
        found = 1 / row[key] if inverse else row[key]
        if found is None or isinstance(found, str):
            return found or ""
        spec = spec or (form if isinstance(found, float) else "")
        return re.sub(r"e([-+])0", r"e\1", f"{found:{spec}}").replace("%", " %")

    return re.sub(r"\{([^{}]+)\}", value, template)


def row_of(file, where):
    """Return the row that a figure is taken from, and its place."""
    title, wanted, _ = where.split("; ", 2)
    rows, place = table_of(file, title), f"{file}.json, {title}"
    if wanted == "*":
        row = merged(rows)
    elif " + " in wanted:
        row = merged([only(rows, "name", name, place) for name in wanted.split(" + ")])
    else:
        row = only(rows, "name", wanted, place)
    return row, f"{place}, {wanted}"


def figure(file, where):
    """Return the text of a figure in a sentence."""
    row, place = row_of(file, where)
    return filled(where.split("; ", 2)[2], row, place)


def names(text):
    """Split "a | b as B" into pairs of what is meant and what is shown."""
    return [(what, shown or what) for what, _, shown in (part.strip().partition(" as ") for part in text.split(" | "))]


def table(match):
    """Return a table in Markdown."""
    options = dict(line.split(": ", 1) for line in match["options"].splitlines())
    unknown = options.keys() - {"head", "columns", "format", "rows", "bold"}
    if unknown:
        raise LookupError(f"{match['title']}: unknown options {unknown}")
    rows, place = table_of(match["file"], match["title"]), f"{match['file']}.json, {match['title']}"
    keys = dict.fromkeys(key for row in rows for key in row if key != "name")
    columns = names(options["columns"]) if "columns" in options else [(key, key) for key in keys]
    columns = [(what if "{" in what else f"{{{what}}}", shown) for what, shown in columns]
    if "rows" in options:
        chosen = [(only(rows, "name", name, place), shown) for name, shown in names(options["rows"])]
    else:
        chosen = [(row, row["name"]) for row in rows]
    lines = [[options.get("head", "").strip(), *(shown for _, shown in columns)], ["---"] * (1 + len(columns))]
    for row, shown in chosen:
        values, form = dict.fromkeys(keys) | row, options.get("format", ".3g")
        cells = [filled(template, values, place, form) for template, _ in columns]
        lines.append([shown, *(best(cells, options["bold"]) if "bold" in options else cells)])
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |").replace(" --- ", "---") for line in lines)


def best(cells, which):
    """Return the cells with the highest or lowest numbers in bold; a cell may hold several, as in "93.8 / 73.9"."""
    choose = {"highest": max, "lowest": min}[which]
    parts = [cell.split(" / ") for cell in cells]
    for i in range(max(map(len, parts))):
        numbers = [float(re.match(r"[-+.\d]+", part[i])[0]) for part in parts if len(part) > i and part[i]]
        for part in parts:
            if len(part) > i and part[i] and float(re.match(r"[-+.\d]+", part[i])[0]) == choose(numbers):
                part[i] = f"**{part[i]}**"
    return [" / ".join(part).replace("** / **", " / ") for part in parts]


def listing(match):
    """Return a table of all files with their commands, and the versions of their runs."""
    text, versions = "| file | command |\n|---|---|\n", {}
    for path in sorted(RESULTS.glob("*.json")):
        result = load(path.stem)
        note = f" ({result['note']})" if "note" in result else ""
        text += f"| {path.name} | `{result['command']}`{note} |\n"
        machine = result["environment"]
        packages = [f"{key} {machine[key]}" for key in ("python", *PACKAGES) if key in machine]
        versions.setdefault(f"{', '.join(packages)}; {machine['instructions']}", []).append(path.stem)
    return text + "\n" + "".join(f"- {found}: {', '.join(files)}\n" for found, files in versions.items())


def replaced(match, new):
    """Return what was matched with new text between the comments."""
    start, end = match.span("old")
    return match.string[match.start() : start] + new + match.string[end : match.end()]


def renewed(text):
    """Return the text of a page with the figures of the files."""
    if misplaced := MISPLACED.search(text):
        raise ValueError(f"a line begins with the comment of a figure: {text[misplaced.start() :][:80].strip()}")
    if len(OPENING.findall(text)) != text.count(END):
        raise ValueError(f"{len(OPENING.findall(text))} comments of figures, but {text.count(END)} times {END}")
    kinds = (FIGURE, lambda match: figure(match["file"], match["where"])), (TABLE, table), (LISTING, listing)
    for pattern, write in kinds:
        text = pattern.sub(lambda match, write=write: replaced(match, write(match)), text)
    return text


def stale():
    """Return the pages and modules that differ from the files, with the text that they should have."""
    found = {}
    for path in [*pages(), *(ROOT / name for name in DOCSTRINGS)]:
        old = path.read_text("utf-8")
        try:
            if path.suffix == ".md":
                new = renewed(old)
            else:
                new = functools.reduce(rewritten, DOCSTRINGS[str(path.relative_to(ROOT))], old)
        except (LookupError, ValueError) as error:
            error.add_note(f"on {path.relative_to(ROOT)}")
            raise
        if new != old:
            found[path] = new
    return found


def words_of(figure):
    """Return a pattern for the words of a docstring, with a group for each number, and the templates of the numbers."""
    words = re.split(r"(\{[^{}]+\})", figure.split("; ", 2)[2])
    literal = [r"\s+".join(map(re.escape, re.split(r"\s+", text))) for text in words[::2]]
    return re.compile(f"({NUMBER})".join(literal)), words[1::2]


def rewritten(text, figure):
    """Return the text of a module with the numbers that belong in these words."""
    row, place = row_of(*figure.split(": ", 1))
    pattern, numbers = words_of(figure)
    found = list(pattern.finditer(text))
    if len(found) != 1:
        raise LookupError(f"these words occur {len(found)} times, not once: {figure}")
    for i, template in reversed(list(enumerate(numbers, 1))):
        start, end = found[0].span(i)
        text = text[:start] + filled(template, row, place) + text[end:]
    return text


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--check", action="store_true", help="compare only")
    check = options.parse_args().check
    found = stale()
    for path, text in found.items():
        print(f"{'differs' if check else 'renewed'}: {path.relative_to(ROOT)}")
        if not check:
            path.write_text(text, "utf-8")
    sys.exit(bool(check and found))


if __name__ == "__main__":
    main()
