"""Parts of pages that hold everything in one file: tables, verdicts, pictures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from contimg.core.records import Check

_STYLE = """
body { font: 14px/1.5 sans-serif; margin: 2em auto; max-width: 72em; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } td, th { padding: .2em .8em; text-align: left }
tr { border-bottom: 1px solid #ddd } img { max-width: 100% }
.pass { color: #060 } .warn { color: #a60 } .fail { color: #a00 }
"""


def document(title: str, parts: Sequence[str]) -> str:
    """A whole page; `title` is text, `parts` are HTML."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; the cells are HTML already, the head is text."""
    first = "".join(f"<th>{escape(text)}</th>" for text in head)
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rows)
    return f"<table><tr>{first}</tr>{body}</table>"


def checks_table(title: str, checks: Sequence[Check]) -> str:
    """Checks with their values, limits and verdicts."""
    rows = [
        (escape(c.metric), number(c.value), escape(c.unit), escape(c.limit), verdict(c.verdict))
        for c in checks
    ]
    return table((title, "value", "unit", "limit", "verdict"), rows)


def picture(path: Path) -> str:
    """A PNG inside the page."""
    content = base64.b64encode(path.read_bytes()).decode()
    return f'<p><img alt="{escape(path.stem)}" src="data:image/png;base64,{content}"></p>'


def verdict(word: str) -> str:
    """A verdict in its colour."""
    return f'<span class="{word}">{word}</span>'


def number(value: float | None) -> str:
    """Four digits, or a dash."""
    return "-" if value is None else f"{value:.4g}"


def cell(value: object) -> str:
    """Text or number as the content of a cell."""
    if isinstance(value, float):
        return "-" if value != value else f"{value:.4g}"
    return escape(str(value))
