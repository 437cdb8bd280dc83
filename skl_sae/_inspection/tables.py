"""Tables of results as text, and as HTML for notebooks."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MOST_TEXT = 60  # characters of a cell in a table of text


def cell(value: Any) -> str:
    """Return a number with three digits, or text."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _shortened(text: str) -> str:
    text = " ".join(text.split())  # a name that is a text may have several lines
    return text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 1] + "…"


def as_text(title: str, columns: Mapping[str, Sequence[Any]], left_out: int = 0) -> str:
    """Return a table below its title."""
    texts = {name: [_shortened(cell(value)) for value in values] for name, values in columns.items()}
    widths = {name: max([len(name), *map(len, values)]) for name, values in texts.items()}
    aligned = {
        name: str.rjust if all(isinstance(value, int | float) for value in columns[name]) else str.ljust
        for name in columns
    }
    lines = [title, "  ".join(aligned[name](name, width) for name, width in widths.items()).rstrip()]
    for values in zip(*texts.values(), strict=True):
        lines.append(
            "  ".join(
                aligned[name](value, width) for (name, width), value in zip(widths.items(), values, strict=True)
            ).rstrip()
        )
    return "\n".join([*lines, *_note(left_out)])


def as_html(title: str, columns: Mapping[str, Sequence[Any]], left_out: int = 0) -> str:
    """Return the same as HTML."""

    def row(tag: str, values: Iterable[Any]) -> str:
        cells = "".join(f"<{tag}>{html.escape(cell(value))}</{tag}>" for value in values)
        return f"<tr>{cells}</tr>"

    body = "".join(row("td", values) for values in zip(*columns.values(), strict=True))
    note = "".join(f"<p>{html.escape(line)}</p>" for line in _note(left_out))
    return (
        f'<div class="skl-sae-table"><p>{html.escape(title)}</p><table><thead>{row("th", columns)}</thead>'
        f"<tbody>{body}</tbody></table>{note}</div>"
    )


def _note(left_out: int) -> list[str]:
    return [f"… and {left_out} more; to_frame() has all of them"] if left_out > 0 else []
