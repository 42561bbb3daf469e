"""The run's tables of sources put together: statistics, rows, catalogue, neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from contimg.core.catalog import flux_density, read_sources
from contimg.core.errors import ContimgError, DamagedError
from contimg.core.parquet import read_parquet
from contimg.core.paths import path
from contimg.core.rowflags import usable
from contimg.report.lookup import read_candidates
from contimg.report.weblog.site import key_of

NEAR_ARCMIN = 10.0  # neighbours of a source
_PARTS = ("part_hz", "part_flux_jy", "part_err_jy")


@dataclass(frozen=True)
class Tables:
    """One row a source in `sources`, in order of right ascension; one a measurement in `rows`."""

    sources: pd.DataFrame
    rows: pd.DataFrame
    spans: dict[str, tuple[int, int]]  # of each source in rows
    candidates: pd.DataFrame
    said: list[str]  # what is missing, and why

    def of(self, name: str) -> pd.DataFrame:
        """The measurements of a source in order of time."""
        first, last = self.spans.get(name, (0, 0))
        return self.rows.iloc[first:last]

    @cached_property
    def columns(self) -> dict[str, list[Any]]:
        """The columns of `rows` as JSON has them: slices of lists are quick."""
        return {str(name): plain(self.rows[name].to_numpy()) for name in self.rows.columns}

    def measured(self, name: str) -> dict[str, list[Any]]:
        """The measurements of a source by columns, in order of time."""
        first, last = self.spans.get(name, (0, 0))
        return {column: values[first:last] for column, values in self.columns.items()}


def read_tables(
    results: str, mosaics: Iterable[str], catalogue: Path | None, freq_hz: float | None
) -> Tables:
    """Everything that is there; `catalogue` gives flux densities at `freq_hz` [Hz]."""
    said: list[str] = []
    rows = _table(Path(path("lightcurves", results)), "light curves", said)
    if len(rows):
        measured = _measured(results, mosaics, said)
        rows = rows.merge(measured, on=["source", "mosaic"], how="left") if len(measured) else rows
    for name in ("rms_jy_beam", *_PARTS):
        if name not in rows.columns:
            rows[name] = None
    if len(rows):
        rows["bad"] = ~usable(rows["flag"])
        rows = rows.sort_values(["source", "mjd"], kind="stable", ignore_index=True)
    sources = _sources(_table(Path(path("sources", results)), "sources", said), rows)
    sources = _with_catalogue(sources, catalogue, freq_hz, said)
    return Tables(sources, rows, _spans(rows), _candidates(results, said), said)


def _table(file: Path, what: str, said: list[str]) -> pd.DataFrame:
    """A Parquet table; without rows where it is not there, a placeholder, or damaged."""
    try:
        return read_parquet(file, what)
    except FileNotFoundError:
        return pd.DataFrame()
    except DamagedError as error:
        said.append(str(error))
        return pd.DataFrame()


def _measured(results: str, mosaics: Iterable[str], said: list[str]) -> pd.DataFrame:
    """Of all photometry what light curves do not repeat: local noise, parts of the band."""
    found = []
    for mosaic in mosaics:
        table = _table(Path(path("photometry", results, mosaic=mosaic)), "photometry", said)
        if len(table):
            wanted = [n for n in ("source", "rms_jy_beam", *_PARTS) if n in table.columns]
            found.append(table[wanted].assign(mosaic=mosaic))
    if not found:
        return pd.DataFrame()
    return pd.concat(found, ignore_index=True).drop_duplicates(["source", "mosaic"])


def _sources(sources: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """One row a source: statistics where they were made, position of those without."""
    if len(rows):
        positions = rows.groupby("source", sort=False).agg(
            ra_deg=("ra_deg", "first"),
            dec_deg=("dec_deg", "first"),
            rms_jy_beam=("rms_jy_beam", "median" if rows["rms_jy_beam"].notna().any() else "first"),
        )
        if len(sources):
            extra = positions.drop(columns=["ra_deg", "dec_deg"])
            sources = sources.merge(extra, left_on="source", right_index=True, how="left")
        else:
            sources = positions.reset_index()
    if not len(sources):
        return pd.DataFrame(columns=["source", "key"])
    sources = sources.sort_values(["ra_deg", "dec_deg", "source"], ignore_index=True)
    return sources.assign(key=[key_of(str(name)) for name in sources["source"]])


def _with_catalogue(
    sources: pd.DataFrame, catalogue: Path | None, freq_hz: float | None, said: list[str]
) -> pd.DataFrame:
    """`sources` with ``catalogue_jy`` at `freq_hz` and the rows of the catalogue's spectra."""
    columns = ["catalogue_jy", "flux_jy", "ref_freq_hz", "spectral_index", "major_arcsec"]
    if catalogue is None or freq_hz is None or not len(sources):
        return sources.assign(**dict.fromkeys(columns))
    try:
        table = read_sources(catalogue)
    except (ContimgError, OSError) as error:
        said.append(f"no catalogue values: {error}")
        return sources.assign(**dict.fromkeys(columns))
    table = table.assign(catalogue_jy=flux_density(table, freq_hz)[:, 0])
    there = [name for name in columns if name in table.columns]
    table = table.drop_duplicates("name").set_index("name")[there]
    return sources.merge(table, left_on="source", right_index=True, how="left").assign(
        **{name: None for name in columns if name not in there}
    )


def _spans(rows: pd.DataFrame) -> dict[str, tuple[int, int]]:
    if not len(rows):
        return {}
    names, first = np.unique(rows["source"].to_numpy(dtype=str), return_index=True)
    order = np.argsort(first)
    names, first = names[order], first[order]
    last = np.append(first[1:], len(rows))
    return {str(n): (int(a), int(b)) for n, a, b in zip(names, first, last, strict=True)}


def _candidates(results: str, said: list[str]) -> pd.DataFrame:
    file = Path(path("candidates", results))
    if not file.exists() or not file.stat().st_size:
        return pd.DataFrame(columns=["source"])
    try:
        return read_candidates(file)
    except DamagedError as error:
        said.append(str(error))
        return pd.DataFrame(columns=["source"])


def brightest(tables: Tables, most: int = 25) -> dict[str, list[tuple[str, str, float]]]:
    """Of every mosaic its brightest sources: name, key, flux density there [Jy]."""
    if not len(tables.rows):
        return {}
    key = dict(zip(tables.sources["source"].astype(str), tables.sources["key"], strict=True))
    rows = tables.rows[["mosaic", "source", "flux_jy"]].dropna(subset="flux_jy")
    rows = rows.sort_values(["mosaic", "flux_jy"], ascending=[True, False], kind="stable")
    return {
        str(mosaic): [
            (str(r.source), key[str(r.source)], float(r.flux_jy)) for r in mine.itertuples()
        ]
        for mosaic, mine in rows.groupby("mosaic").head(most).groupby("mosaic")
    }


def neighbours(sources: pd.DataFrame) -> list[list[tuple[int, float]]]:
    """For every source the others within `NEAR_ARCMIN`, nearest first, with distances [arcsec]."""
    from scipy.spatial import cKDTree

    ra, dec = np.radians(sources["ra_deg"]), np.radians(sources["dec_deg"])
    xyz = np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    chord = 2 * np.sin(np.radians(NEAR_ARCMIN / 60) / 2)
    found = cKDTree(xyz).query_ball_point(xyz, chord)
    result = []
    for k, near in enumerate(found):
        others = np.array([n for n in near if n != k], dtype=int)
        angle = 2 * np.arcsin(np.linalg.norm(xyz[others] - xyz[k], axis=1) / 2)
        order = np.argsort(angle)[:12]
        arcsec = np.degrees(angle) * 3600
        result.append([(int(others[n]), float(arcsec[n])) for n in order])
    return result


def plain(values: Any, digits: int = 9) -> list[Any]:
    """A column as JSON has it: numbers rounded to `digits` places, None for those not finite."""
    array = np.asarray(values)
    if array.dtype.kind == "f":
        finite = np.isfinite(array)
        return [
            v if ok else None
            for v, ok in zip(np.round(array, digits).tolist(), finite, strict=True)
        ]
    if array.dtype.kind == "O":  # texts, and arrays of the parts of the band
        return [None if v is None or (isinstance(v, float) and v != v) else v for v in array]
    return array.tolist()


def record(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Fields of a row as JSON has them."""
    found = {}
    for name in names:
        value = row.get(name)
        if hasattr(value, "item"):
            value = value.item()
        if isinstance(value, float):
            value = None if not np.isfinite(value) else float(f"{value:.11g}")
        found[name] = value
    return found
