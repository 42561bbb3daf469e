"""Tables in plain text: comma, tab or semicolon between the values, names in the first line.

Lines that begin with # are comment. VizieR's tab-separated form has a line of units and one of
dashes below the names. Every row must have as many values as there are names: one more or fewer
would shift columns.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from contimg.core.errors import ContimgError
from contimg.core.tables.content import Column, Content, refuse

_SEPARATORS = ("\t", ",", ";")
_MARKS = {
    b"\xef\xbb\xbf": "UTF-8 with a byte-order mark (BOM)",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


def read_text(path: Path) -> str:
    """The text of a file; :class:`ContimgError` unless it is plain UTF-8."""
    raw = path.read_bytes()
    for mark, kind in _MARKS.items():
        if raw.startswith(mark):
            raise ContimgError(
                f"{path}: line 1, first column: begins as {kind}, which becomes part of the first"
                " name; save it as plain UTF-8 (iconv, or sed -i '1s/^\\xEF\\xBB\\xBF//')"
            )
    if b"\0" in raw:
        raise ContimgError(f"{path}: holds NUL bytes: not a table in plain text")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line, start = before.count(b"\n") + 1, before.rfind(b"\n") + 1
        number = before[start:].count(b",") + 1
        raise ContimgError(
            f"{path}: line {line}, column {number}: the byte 0x{raw[error.start]:02x} is not UTF-8;"
            " save the file as UTF-8 (iconv -f latin1 -t utf-8)"
        ) from None


@dataclass(frozen=True)
class Header:
    """Names of the columns, their units ("" for none), and what is between the values."""

    names: list[str]
    units: list[str]
    separator: str


def parse(path: Path, lines: Iterable[str], header: Header | None = None) -> Content:
    """The table in `lines` of text; `path` is for messages.

    Without `header` the first line that is no comment has the names. Raises
    :class:`ContimgError` for names that are missing or there twice, and for rows that are too
    long or too short.
    """
    numbered = _Numbered(lines)
    rows, places = [], []
    if header is None:
        header = _first_line(path, numbered)
        rows, places = _rows(path, numbered, header.separator)
        header.units[:] = _units(rows, places) or header.units
    else:
        rows, places = _rows(path, numbered, header.separator)
    _check_lengths(path, header.names, rows, places)
    cells = list(zip(*rows, strict=True)) or [()] * len(header.names)
    columns = {
        name: Column(pd.Series(values, dtype=object), unit)
        for name, values, unit in zip(header.names, cells, header.units, strict=True)
        if name or any(value.strip() for value in values)
    }
    _check_names(path, [name for name in header.names if name or "" in columns])
    return Content(path, columns, np.array(places, dtype=np.int64))


def _first_line(path: Path, numbered: _Numbered) -> Header:
    first = next(numbered, None)
    if first is None:
        raise ContimgError(f"{path}: holds no table: not even a line of column names")
    separator = next((s for s in _SEPARATORS if s in first), ",")
    names = [name.strip() for name in next(csv.reader([first], delimiter=separator))]
    return Header(names, [""] * len(names), separator)


def _rows(path: Path, numbered: _Numbered, separator: str) -> tuple[list[list[str]], list[int]]:
    """Values of every row, and its line."""
    rows, places = [], []
    lines = (line.strip() for line in numbered) if separator == " " else numbered
    try:
        for row in csv.reader(lines, delimiter=separator, skipinitialspace=separator == " "):
            rows.append(row)
            places.append(numbered.number)
    except csv.Error as error:
        raise ContimgError(f"{path}: line {numbered.number}: {error}") from None
    return rows, places


class _Numbered(Iterator[str]):
    """Lines without comment and blank ones; `number` is that of the last one taken."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = enumerate(lines, start=1)
        self.number = 0

    def __next__(self) -> str:
        for number, line in self._lines:
            if line.strip() and not line.lstrip().startswith("#"):
                self.number = number
                return line
        raise StopIteration


def _units(rows: list[list[str]], places: list[int]) -> list[str] | None:
    """The units above a line of dashes; what stands above the rows is taken out of them."""
    for number, row in enumerate(rows[:2]):
        if len(row) > 1 and all(cell.strip() and set(cell.strip()) == {"-"} for cell in row):
            units = [cell.strip() for cell in rows[0]] if number == 1 else None
            del rows[: number + 1], places[: number + 1]
            return units
    return None


def _check_lengths(path: Path, names: list[str], rows: list[list[str]], places: list[int]) -> None:
    problems = []
    for row, line in zip(rows, places, strict=True):
        if len(row) == len(names):
            continue
        extra = row[len(names) :]
        if extra and not any(cell.strip() for cell in extra):
            remedy = "remove the separator at its end"
        else:
            remedy = "quote values that hold a separator, leave empty ones empty"
        last = names[min(len(row), len(names)) - 1]
        problems.append(
            f"line {line}, after column {last}: {len(row)} values for {len(names)} columns, which"
            f" would shift them; {remedy}"
        )
    if problems:
        refuse(path, problems)


def _check_names(path: Path, names: list[str]) -> None:
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise ContimgError(f"{path}: line of names: {', '.join(double)} is there twice; keep one")
    if "" in names:
        number = names.index("") + 1
        raise ContimgError(f"{path}: column {number} has values but no name; name or remove it")
