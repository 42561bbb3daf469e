"""Light curves from anybody's table: one row a measurement.

Columns ``source, mjd, flux_jy, flux_err_jy``, and ``freq_hz`` where there are several parts of
the band. A ``flag`` that is not empty takes a row out, as ``upper_limit`` does where it is true;
one with a true ``qa_warning`` is kept, but doubted. ``strip`` names what was measured alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.core.command import existing
from contimg.core.errors import ContimgError
from contimg.core.parquet import PART_ROWS, read_parts
from contimg.variability.growing import Growing, Names, by_value

NEEDED = ["source", "mjd", "flux_jy", "flux_err_jy"]
OPTIONAL = ["freq_hz", "qa_warning", "strip", "flag", "upper_limit"]
FORMATS = {".csv": "csv", ".ecsv": "ascii.ecsv", ".parquet": "parquet", ".pq": "parquet"}
FORMATS |= {".vot": "votable", ".votable": "votable", ".xml": "votable"}
TRUE = {"true", "1", "1.0", "yes", "t"}
NO_FLAG = {"", "nan", "None", "<NA>", "NaT", "unnormalised"}
NO_NAME = "(no name)"
MOST_RATIO = 1e9  # of error and flux density, either way: beyond it squares are no numbers
MOST_MJD = 100_000.0  # the year 2132; a JD, seconds or nanoseconds are above it


@dataclass
class Measurements:
    """The usable rows by source and time, and why others are not."""

    rows: pd.DataFrame  # NEEDED and, perhaps, freq_hz, qa_warning and strip; names are numbers
    sources: list[str]  # all of the table, in order
    reasons: dict[str, str] = field(default_factory=dict)  # by source: rows left out, and why


def read_measurements(path: Path) -> Measurements:
    """Read a table of light curves; raises ContimgError where it cannot be one."""
    gathered = _Gathered()
    for part in table_parts(path):
        missing = [name for name in NEEDED if name not in part.columns]
        if missing:
            raise ContimgError(
                f"{path}: lacks the columns {', '.join(missing)}; it has "
                f"{', '.join(map(str, part.columns))}"
            )
        gathered.add(part)
    if not gathered.names:
        raise ContimgError(f"{path}: holds no measurement")
    return gathered.measurements()


def table_parts(path: Path) -> Iterator[pd.DataFrame]:
    """Any table in parts, its format by its name."""
    kind = FORMATS.get(existing(path, "light curves").suffix.lower())
    if kind is None:
        raise ContimgError(f"{path}: not one of {', '.join(sorted(FORMATS))} by its name")
    try:
        if kind == "parquet":
            wanted = (*NEEDED, *OPTIONAL)
            yield from read_parts(path, "light curves", wanted, repeated=("source", "flag"))
        elif kind == "csv":
            words = {"comment": "#", "dtype": {"source": str}}
            yield from pd.read_csv(path, **words, chunksize=PART_ROWS)
        else:
            from astropy.table import Table

            yield Table.read(path, format=kind).to_pandas()
    except (ValueError, OSError, TypeError, IndexError) as error:
        raise ContimgError(f"{path}: cannot be read as a table ({error})") from error


class _Gathered:
    """The usable rows of parts of a table; a source all of whose rows are bad is still known."""

    def __init__(self) -> None:
        self.names, self.strips = Names(), Names()
        self.columns: dict[str, Growing] = {}
        self.lost: dict[str, list[NDArray]] = {}  # by reason, in order: numbers of sources

    def add(self, part: pd.DataFrame) -> None:
        """Take what is usable of some more rows."""
        rows = self._numbers(part)
        nameless = self.names.place.get(NO_NAME, -1)
        _without(rows, _faults(rows, part, nameless), self.lost)
        for name, values in rows.items():
            self.columns.setdefault(name, Growing(values.dtype)).extend(values)

    def _numbers(self, part: pd.DataFrame) -> dict[str, NDArray]:
        """What is kept of a part; names are numbers: a survey has a hundred million rows."""
        code = self.names.codes(part["source"], _name)
        rows = {"code": code}
        for name in NEEDED[1:] + (["freq_hz"] if "freq_hz" in part.columns else []):
            rows[name] = pd.to_numeric(part[name], errors="coerce").to_numpy(dtype=float)
        if "qa_warning" in part.columns:
            rows["qa_warning"] = _true(part["qa_warning"])
        if "strip" in part.columns:
            rows["strip"] = self.strips.codes(part["strip"])
        return rows

    def measurements(self) -> Measurements:
        """Of all rows, in order of source and time."""
        sources, place = self.names.in_order()
        rows = {name: self.columns.pop(name).values for name in list(self.columns)}
        rows["code"] = place[rows["code"]]
        lost = {reason: [place[code] for code in of] for reason, of in self.lost.items()}
        _put_in_order(rows)
        _without(rows, _faults_in_order(rows), lost)
        table = pd.DataFrame(rows, copy=False)
        table.insert(0, "source", pd.Categorical.from_codes(table.pop("code"), sources))
        return Measurements(table, sources, _reasons(lost, sources))


def _without(
    rows: dict[str, NDArray], faults: Iterable[tuple[str, NDArray]], lost: dict[str, list[NDArray]]
) -> None:
    """Take those with a fault, the first of which counts, out of `rows`; `lost` grows by them."""
    good = np.ones(len(rows["code"]), dtype=bool)
    for reason, bad in faults:
        lost.setdefault(reason, []).append(rows["code"][bad & good])
        good &= ~bad
    if not good.all():
        for name in rows:  # one after the other: they are large
            rows[name] = rows[name][good]


def _put_in_order(rows: dict[str, NDArray]) -> None:
    """Rows by source, time and frequency."""
    keys = [rows[name] for name in ("freq_hz", "mjd", "code") if name in rows]
    if not _are_in_order(keys[::-1]):
        order = np.lexsort(keys)
        for name in rows:
            rows[name] = rows[name][order]


def _are_in_order(keys: list[NDArray]) -> bool:
    """Whether rows are in order of the first of `keys`, where it is the same of the next."""
    same = np.ones(max(len(keys[0]) - 1, 0), dtype=bool)
    for key in keys:
        if (same & (key[1:] < key[:-1])).any():
            return False
        same &= key[1:] == key[:-1]
    return True


def _faults_in_order(rows: dict[str, NDArray]) -> Iterator[tuple[str, NDArray]]:
    """(reason, which rows) of usable rows in order."""
    again = np.zeros(len(rows["code"]), dtype=bool)
    again[1:] = True
    for name in ("code", "mjd", "freq_hz"):
        if name in rows:
            again[1:] &= rows[name][1:] == rows[name][:-1]
    yield "measured twice at the same time", again
    code, flux, error = (rows[n] for n in ("code", "flux_jy", "flux_err_jy"))
    beyond = np.zeros(len(code), dtype=bool)
    edges = np.append(np.flatnonzero(np.diff(code, prepend=-1)), len(code))
    for first, last in pairwise(edges):
        level, own = np.median(np.abs(flux[first:last])), error[first:last]
        if level > 0:
            beyond[first:last] = (own < level / MOST_RATIO) | (own / MOST_RATIO > level)
    yield f"error and median flux density differ by a factor above {MOST_RATIO:g}", beyond


def _reasons(lost: dict[str, list[NDArray]], sources: list[str]) -> dict[str, str]:
    """By source: how many rows were left out, and for what."""
    texts: dict[str, list[str]] = {}
    for reason, parts in lost.items():
        code = np.concatenate(parts)
        for place, rows in zip(*np.unique(code, return_counts=True), strict=True):
            texts.setdefault(sources[place], []).append(f"{rows} rows left out: {reason}")
    return {name: "; ".join(lines) for name, lines in texts.items()}


def _true(column: pd.Series) -> NDArray[np.bool_]:
    if column.dtype == bool:
        return column.to_numpy()
    return by_value(column, lambda value: _text(value).lower() in TRUE)


def _text(name: object) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _name(name: object) -> str:
    return (_text(name).strip() if name is not None else "") or NO_NAME


def _faults(
    rows: dict[str, NDArray], part: pd.DataFrame, nameless: int
) -> Iterator[tuple[str, NDArray]]:
    """(reason, which rows), the first of which counts."""
    if "flag" in part.columns:
        yield "flagged", by_value(part["flag"], lambda value: _text(value) not in NO_FLAG)
    if "upper_limit" in part.columns:
        yield "upper limit", _true(part["upper_limit"])
    code, mjd, flux, error = (rows[n] for n in ("code", *NEEDED[1:]))
    yield "no name of a source", code == nameless
    yield "no time", ~np.isfinite(mjd)
    yield "time not an MJD", np.abs(mjd) > MOST_MJD
    yield "no flux density", ~np.isfinite(flux)
    yield "no error", ~np.isfinite(error)
    yield "error not positive", error <= 0
    if "freq_hz" in rows:
        yield "no frequency", ~(rows["freq_hz"] > 0)
