"""Light curves from anybody's table: one row a measurement.

Columns ``source, mjd, flux_jy, flux_err_jy``, and ``freq_hz`` where there are several parts of
the band. A ``flag`` that is not empty takes a row out, as ``upper_limit`` does where it is true.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

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

    rows: pd.DataFrame  # NEEDED and, perhaps, freq_hz
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
            return read_parquet(path, "light curves")
        if kind == "csv":
            return pd.read_csv(path, comment="#", dtype={"source": str})
        from astropy.table import Table

        table = Table.read(path, format=kind)
        return table.to_pandas()
    except (ValueError, OSError, TypeError, IndexError) as error:
        raise ContimgError(f"{path}: cannot be read as a table ({error})") from error


def clean(table: pd.DataFrame) -> Measurements:
    """Usable rows; a source all of whose rows are bad is still in the list of sources."""
    table = table.copy()
    table["source"] = table["source"].map(_text).where(table["source"].notna(), "").str.strip()
    table.loc[table["source"] == "", "source"] = NO_NAME
    for name in NEEDED[1:] + (["freq_hz"] if "freq_hz" in table.columns else []):
        table[name] = pd.to_numeric(table[name], errors="coerce").astype(float)
    sources = sorted(table["source"].unique())
    why = pd.Series("", index=table.index)
    for reason, bad in _faults(table):
        why[bad & (why == "")] = reason
    columns = [*NEEDED, *(["freq_hz"] if "freq_hz" in table.columns else [])]
    rows = table.loc[why == "", columns].sort_values(
        ["source", "mjd", *columns[4:]], kind="stable", ignore_index=True
    )
    lost = why[why != ""].groupby([table["source"], why]).size()
    reasons: dict[str, str] = {}
    for (source, reason), number in lost.items():
        text = f"{number} rows left out: {reason}"
        reasons[source] = "; ".join(filter(None, [reasons.get(source), text]))
    return Measurements(rows, sources, reasons)


def _text(name: object) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _faults(table: pd.DataFrame):
    """(reason, which rows), the first of which counts."""
    if "flag" in table.columns:
        text = table["flag"].map(_text)
        yield "flagged", ~text.isin(["", "nan", "None", "unnormalised"])
    if "upper_limit" in table.columns:
        yield "upper limit", table["upper_limit"].map(_text).str.lower().isin(TRUE)
    yield "no name of a source", table["source"] == NO_NAME
    yield "no time", ~np.isfinite(table["mjd"])
    yield "time not an MJD", table["mjd"].abs() > MOST_MJD
    yield "no flux density", ~np.isfinite(table["flux_jy"])
    yield "no error", ~np.isfinite(table["flux_err_jy"])
    yield "error not positive", table["flux_err_jy"] <= 0
    median = table["flux_jy"].abs().groupby(table["source"]).transform("median")
    ratio = (table["flux_err_jy"] / median).where(median > 0, 1.0)
    beyond = (ratio < 1 / MOST_RATIO) | (ratio > MOST_RATIO)
    yield f"error and median flux density differ by a factor above {MOST_RATIO:g}", beyond
    key = ["source", "mjd"]
    if "freq_hz" in table.columns:
        yield "no frequency", ~(table["freq_hz"] > 0)
        key.append("freq_hz")
    yield "measured twice at the same time", table.duplicated(key, keep="first")
