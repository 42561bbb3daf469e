"""Light curves from anybody's table: one row a measurement.

Columns ``source, mjd, flux_jy, flux_err_jy``, and ``freq_hz`` where there are several parts of
the band. A ``flag`` that is not empty takes a row out, as ``upper_limit`` does where it is true;
one with a true ``qa_warning`` is kept, but doubted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.core.command import existing
from contimg.core.errors import ContimgError
from contimg.core.parquet import read_parquet

NEEDED = ["source", "mjd", "flux_jy", "flux_err_jy"]
FORMATS = {".csv": "csv", ".ecsv": "ascii.ecsv", ".parquet": "parquet", ".pq": "parquet"}
FORMATS |= {".vot": "votable", ".votable": "votable", ".xml": "votable"}
TRUE = {"true", "1", "1.0", "yes", "t"}
NO_NAME = "(no name)"
MOST_RATIO = 1e9  # of error and flux density, either way: beyond it squares are no numbers
MOST_MJD = 100_000.0  # the year 2132; a JD, seconds or nanoseconds are above it


@dataclass
class Measurements:
    """The usable rows by source and time, and why others are not."""

    rows: pd.DataFrame  # NEEDED and, perhaps, freq_hz and qa_warning; names are categories
    sources: list[str]  # all of the table, in order
    reasons: dict[str, str] = field(default_factory=dict)  # by source: rows left out, and why


def read_measurements(path: Path) -> Measurements:
    """Read a table of light curves; raises ContimgError where it cannot be one."""
    table = read_table(path)
    missing = [name for name in NEEDED if name not in table.columns]
    if missing:
        raise ContimgError(
            f"{path}: lacks the columns {', '.join(missing)}; it has "
            f"{', '.join(map(str, table.columns))}"
        )
    if table.empty:
        raise ContimgError(f"{path}: holds no measurement")
    return clean(table)


def read_table(path: Path) -> pd.DataFrame:
    """Any table, its format by its name."""
    kind = FORMATS.get(existing(path, "light curves").suffix.lower())
    if kind is None:
        raise ContimgError(f"{path}: not one of {', '.join(sorted(FORMATS))} by its name")
    try:
        if kind == "parquet":
            return read_parquet(path, "light curves", repeated=("source", "flag"))
        if kind == "csv":
            return pd.read_csv(path, comment="#", dtype={"source": str})
        from astropy.table import Table

        table = Table.read(path, format=kind)
        return table.to_pandas()
    except (ValueError, OSError, TypeError, IndexError) as error:
        raise ContimgError(f"{path}: cannot be read as a table ({error})") from error


def clean(table: pd.DataFrame) -> Measurements:
    """Usable rows; a source all of whose rows are bad is still in the list of sources.

    Names are numbers from here on: a survey has a hundred million rows.
    """
    sources, code = _coded(table["source"])
    numbers = NEEDED[1:] + (["freq_hz"] if "freq_hz" in table.columns else [])
    columns = {n: pd.to_numeric(table[n], errors="coerce").to_numpy(dtype=float) for n in numbers}
    if "qa_warning" in table.columns:
        columns["qa_warning"] = _true(table["qa_warning"])
    rows = pd.DataFrame({"code": code, **columns}, copy=False)
    nameless = sources.index(NO_NAME) if NO_NAME in sources else -1
    lost: list[tuple[str, NDArray]] = []  # reason, sources of the rows
    rows = _without(rows, _faults(rows, table, nameless), lost)
    rows = _in_order(rows)
    rows = _without(rows, _faults_in_order(rows), lost)
    rows.insert(0, "source", pd.Categorical.from_codes(rows.pop("code"), sources))
    return Measurements(rows, sources, _reasons(lost, sources))


def _without(rows: pd.DataFrame, faults: Iterable, lost: list) -> pd.DataFrame:
    """`rows` but those with a fault, the first of which counts; `lost` grows by them."""
    good = np.ones(len(rows), dtype=bool)
    code = rows["code"].to_numpy()
    for reason, bad in faults:
        if (bad & good).any():
            lost.append((reason, code[bad & good]))
            good &= ~bad
    return rows if good.all() else rows[good].reset_index(drop=True)


def _coded(names: pd.Series) -> tuple[list[str], NDArray[np.int32]]:
    """Names of all sources in order, and of every row the place of its own among them."""
    code, raw = pd.factorize(names)
    # the last is that of rows without one, which are numbered -1
    clean = [_text(name).strip() or NO_NAME for name in raw] + [NO_NAME]
    sources = sorted(set(clean if (code < 0).any() else clean[:-1]))
    place = {name: k for k, name in enumerate(sources)}
    return sources, np.array([place.get(name, -1) for name in clean], dtype=np.int32)[code]


def _in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows by source, time and frequency."""
    key = [n for n in ("code", "mjd", "freq_hz") if n in rows.columns]
    code, mjd = rows["code"].to_numpy(), rows["mjd"].to_numpy()
    same = code[1:] == code[:-1]
    if len(key) == 2 and (code[1:] >= code[:-1]).all() and (~same | (mjd[1:] >= mjd[:-1])).all():
        return rows
    return rows.sort_values(key, kind="stable", ignore_index=True)


def _faults_in_order(rows: pd.DataFrame):
    """(reason, which rows) of usable rows in order."""
    again = np.zeros(len(rows), dtype=bool)
    again[1:] = True
    for name in ("code", "mjd", "freq_hz"):
        if name in rows.columns:
            values = rows[name].to_numpy()
            again[1:] &= values[1:] == values[:-1]
    yield "measured twice at the same time", again
    code, flux, error = (rows[n].to_numpy() for n in ("code", "flux_jy", "flux_err_jy"))
    beyond = np.zeros(len(rows), dtype=bool)
    edges = np.append(np.flatnonzero(np.diff(code, prepend=-1)), len(code))
    for first, last in pairwise(edges):
        level, own = np.median(np.abs(flux[first:last])), error[first:last]
        if level > 0:
            beyond[first:last] = (own < level / MOST_RATIO) | (own / MOST_RATIO > level)
    yield f"error and median flux density differ by a factor above {MOST_RATIO:g}", beyond


def _reasons(lost: list[tuple[str, NDArray]], sources: list[str]) -> dict[str, str]:
    """By source: how many rows were left out, and for what."""
    texts: dict[str, list[str]] = {}
    for reason, code in lost:
        for place, rows in zip(*np.unique(code, return_counts=True), strict=True):
            texts.setdefault(sources[place], []).append(f"{rows} rows left out: {reason}")
    return {name: "; ".join(lines) for name, lines in texts.items()}


def _true(column: pd.Series) -> NDArray[np.bool_]:
    return column.map(_text).str.lower().isin(TRUE).to_numpy()


def _text(name: object) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _faults(rows: pd.DataFrame, table: pd.DataFrame, nameless: int):
    """(reason, which rows), the first of which counts."""
    if "flag" in table.columns:
        text = table["flag"].map(_text)
        empty = text.isin(["", "nan", "None", "unnormalised"]) | text.isna()
        yield "flagged", ~empty.to_numpy()
    if "upper_limit" in table.columns:
        yield "upper limit", _true(table["upper_limit"])
    code, mjd, flux, error = (rows[n].to_numpy() for n in ("code", *NEEDED[1:]))
    yield "no name of a source", code == nameless
    yield "no time", ~np.isfinite(mjd)
    yield "time not an MJD", np.abs(mjd) > MOST_MJD
    yield "no flux density", ~np.isfinite(flux)
    yield "no error", ~np.isfinite(error)
    yield "error not positive", error <= 0
    if "freq_hz" in rows.columns:
        yield "no frequency", ~(rows["freq_hz"] > 0).to_numpy()
