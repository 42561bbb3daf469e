"""Small tables of things with names: antennas, expected flux densities."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from contimg.core.tables.content import Problems
from contimg.core.tables.formats import read_content
from contimg.core.tables.units import Quantity, convert, find


def read_named(
    path: str | Path, name: str, quantities: Sequence[Quantity], may_be_empty: Collection[str] = ()
) -> tuple[pd.DataFrame, Problems]:
    """A table of `name` (text, not empty) and `quantities` in their units, all of them finite.

    Cells of the columns that `may_be_empty` are NaN then.
    And its list of problems, for further checks of the caller, who has to raise them. Raises
    :class:`ContimgError` for columns that are missing.
    """
    content = read_content(path)
    problems = Problems(content)
    source = find(content, Quantity(name), problems)
    columns = {each.column: convert(content, each, problems) for each in quantities}
    missing = [] if source is not None else [name]
    missing += [column for column, values in columns.items() if values is None]
    if source is None or missing:
        units = ", ".join(dict.fromkeys(each.unit for each in quantities if each.unit))
        there = ", ".join(content.columns)
        problems.found.insert(
            0, f"lacks the columns {', '.join(missing)} ({units}); it has {there}"
        )
        problems.refuse()
    names = content.columns[str(source)].values.astype(str).str.strip()
    problems.names = names
    problems.rows(names == "", name, "is empty; every row needs one")
    table = pd.DataFrame({name: names} | columns)
    for column in columns:
        bad = ~np.isfinite(table[column])
        if column in may_be_empty:
            bad &= ~table[column].isna()
        problems.rows(bad, column, "is not a finite number", table[column])
    return table, problems
