"""Sources and light curves of a results directory, found by name or by position."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from contimg.core.coords import separation
from contimg.core.errors import ContimgError, DamagedError
from contimg.core.parquet import read_parquet
from contimg.core.paths import path
from contimg.core.places import position
from contimg.core.seals import verified
from contimg.help import did_you_mean

SAME_ARCSEC = 60.0  # a position this near a source means it


def sources(results: str) -> pd.DataFrame:
    """All sources with their statistics; :class:`ContimgError` when there are none yet."""
    return _table(Path(path("sources", results)), "sources", results)


def light_curves(results: str) -> pd.DataFrame:
    """All measurements, normalised."""
    return _table(Path(path("lightcurves", results)), "light curves", results)


def candidates(results: str) -> pd.DataFrame:
    """The candidates, the least probable to be a false alarm first."""
    table = Path(path("candidates", results))
    if not table.exists() or not table.stat().st_size:
        raise ContimgError(f"{table}: no candidates were looked for yet (contimg status)")
    return read_candidates(table)


def read_candidates(table: Path) -> pd.DataFrame:
    """The table of candidates; :class:`DamagedError` when it is not what was written."""
    try:
        rows = pd.read_csv(verified(table), comment="#", dtype={"source": str})
    except ValueError as error:
        raise DamagedError(table, f"cannot be read as CSV ({error})") from None
    if "source" not in rows.columns:
        raise DamagedError(table, "has no column source")
    return rows


def light_curve(results: str, name: str) -> pd.DataFrame:
    """The measurements of a source in order of time."""
    rows = light_curves(results)
    mine = rows[rows["source"] == name].sort_values("mjd", kind="stable", ignore_index=True)
    if not len(mine):
        raise ContimgError(f"{name}: no measurement of it{did_you_mean(name, set(rows['source']))}")
    return mine


def find(table: pd.DataFrame, words: str) -> str:
    """The source that `words` mean: its name, or a position within a minute of arc of it."""
    names = table["source"].astype(str)
    if (names == words).any():
        return words
    try:
        ra, dec = position(words)
    except ContimgError as error:
        hint = did_you_mean(words, names)
        raise ContimgError(f"no source {words!r}{hint}; as a position: {error}") from None
    distance = distances_deg(table, ra, dec) * 3600
    nearest = int(np.argmin(distance)) if len(table) else -1
    if nearest < 0 or distance[nearest] > SAME_ARCSEC:
        said = f"; the nearest, {names.iat[nearest]}, is {distance[nearest]:.0f} arcsec away"
        raise ContimgError(f"no source at {words}{said if nearest >= 0 else ''}")
    return str(names.iat[nearest])


def near(table: pd.DataFrame, words: str, radius_deg: float) -> pd.DataFrame:
    """Sources within a radius of a position or a source, nearest first: `distance_arcsec`."""
    named = table[table["source"].astype(str) == words]
    if len(named):
        ra, dec = float(named["ra_deg"].iat[0]), float(named["dec_deg"].iat[0])
    else:
        ra, dec = position(words)
    distance = distances_deg(table, ra, dec)
    found = table.assign(distance_arcsec=3600 * distance)[distance <= radius_deg]
    return found.sort_values("distance_arcsec", kind="stable", ignore_index=True)


def distances_deg(table: pd.DataFrame, ra_deg: float, dec_deg: float) -> np.ndarray:
    """Angles of all sources from a position [deg]."""
    ra, dec = (np.radians(table[n].to_numpy(dtype=float)) for n in ("ra_deg", "dec_deg"))
    return np.degrees(separation(ra, dec, np.radians(ra_deg), np.radians(dec_deg)))


def _table(file: Path, what: str, results: str) -> pd.DataFrame:
    try:
        table = read_parquet(file, what)
    except FileNotFoundError:
        raise ContimgError(
            f"{results}: no {what} yet ({file} is missing; contimg status)"
        ) from None
    if "source" not in table.columns:
        raise ContimgError(f"{file}: {what} could not be made (contimg errors)")
    return table
