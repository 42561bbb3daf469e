"""The columns of a table as its file has them, and what is wrong with it, place by place."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from contimg.core.errors import ContimgError

_SHOWN = 5  # problems in one message


@dataclass(frozen=True)
class Column:
    """Values (numbers, or text with missing cells empty) and the unit that the file declares."""

    values: pd.Series
    unit: str = ""


@dataclass(frozen=True)
class Content:
    """A table file: columns by name, in order, all of one length."""

    path: Path
    columns: dict[str, Column]
    lines: NDArray[np.int64] | None = None  # of each row, in a text file

    @property
    def rows(self) -> int:
        """Number of rows."""
        return next((len(c.values) for c in self.columns.values()), 0)

    def place(self, row: int) -> str:
        """Where row number `row` (from 0) stands in the file."""
        return f"row {row + 1}" if self.lines is None else f"line {self.lines[row]}"


@dataclass
class Problems:
    """What is wrong with a table: collected, then raised as one message."""

    content: Content
    names: pd.Series | None = None  # of the rows, once they are known
    aliases: dict[str, str] = field(default_factory=dict)  # what the file calls a column
    found: list[str] = field(default_factory=list)

    def column(self, column: str, reason: str) -> None:
        """Something about a whole column."""
        self.found.append(f"column {self.aliases.get(column, column)}: {reason}")

    def rows(
        self, bad: ArrayLike, column: str, reason: str, values: pd.Series | None = None
    ) -> None:
        """Something about the cells of `column` in the rows where `bad` is true.

        `values`, if given, are shown before `reason`.
        """
        numbers = np.flatnonzero(np.asarray(bad, dtype=bool))
        column = self.aliases.get(column, column)
        for row in numbers[:_SHOWN]:
            name = "" if self.names is None else f" ({self.names.iloc[row]})"
            shown = "" if values is None else f"{_short(values.iloc[row])} "
            self.found.append(
                f"{self.content.place(int(row))}{name}, column {column}: {shown}{reason}"
            )
        self.found += [""] * (numbers.size - _SHOWN)  # counted, not shown

    def refuse(self) -> None:
        """Raise :class:`ContimgError` if there is any problem."""
        if self.found:
            refuse(self.content.path, self.found)


def refuse(path: str | Path, problems: list[str]) -> NoReturn:
    """Raise :class:`ContimgError` naming the file and the first few problems."""
    shown = [problem for problem in problems if problem][:_SHOWN]
    more = len(problems) - len(shown)
    text = "; ".join(shown) + (f"; and {more} more" if more > 0 else "")
    raise ContimgError(f"{path}: {text}")


def _short(value: object) -> str:
    text = f"{value:.10g}" if isinstance(value, (float, np.floating)) else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
