"""The table of calibrators: its columns, its rules, who may set the flux scale and who may not.

Beyond those of a source table (:mod:`contimg.core.catalog`) it may have the columns

* ``role``: ``flux`` (scale, shape and phases), ``bandpass`` (shape and phases) or ``phase``;
* ``variable``: empty, or in what way the source varies;
* ``scale``: a person's decision whether the source may set the flux scale, ``yes`` or ``no``;
  empty leaves it to the role and to ``variable``;
* ``source``: where the numbers are from; ``remarks``.

A table without the column ``role`` is a plain source table: each of its sources of known flux
density is taken for a flux calibrator.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from contimg.core.catalog import flux_density, read_sources
from contimg.core.coords import separation
from contimg.core.errors import ContimgError

# when the flux scale is tied to the catalogued sources around a calibrator
FieldScale = Literal["never", "needed", "always"]
# how far a calset may be from a tile that it serves, unless the options say otherwise
STALENESS_HOURS = 24.0
DEC_TOLERANCE_DEG = 0.5
ROLES = ("flux", "bandpass", "phase")
TEXTS = ("role", "variable", "scale", "source", "remarks")
_SAME_RAD = np.radians(1 / 60)  # calibrators nearer to each other are one source entered twice
_SCALE_HZ = 1.4e9


def read_calibrators(path: str | Path) -> pd.DataFrame:
    """Read and check a table of calibrators, with all of :data:`TEXTS`, empty where not given.

    Raises :class:`ContimgError` naming the row and what is wrong with it.
    """
    table = read_sources(path)
    plain = "role" not in table.columns
    for column in TEXTS:
        if column not in table.columns:
            table[column] = ""
        table[column] = table[column].fillna("").astype(str).str.strip()
    if plain:
        table["role"] = "flux"
    problems = [p for _, row in table.iterrows() for p in _problems(row)] + _doubles(table)
    if problems:
        raise ContimgError(f"{path}: " + "; ".join(problems))
    return table


def _problems(row: pd.Series) -> list[str]:
    """What is wrong with one row."""
    found = []
    if not (0 <= row["ra_deg"] < 360):
        found.append(f"ra_deg {row['ra_deg']:g} is not in 0..360")
    if row["role"] not in ROLES:
        found.append(f"unknown role {row['role']!r}; roles are {', '.join(ROLES)}")
    if row["scale"] not in ("", "yes", "no"):
        found.append(f"scale is {row['scale']!r}; it is yes, no or empty")
    given = row[["flux_jy", "ref_freq_hz", "spectral_index"]].astype(float)
    if np.isinf(given).any():
        found.append("infinite flux density, frequency or spectral index")
    if given["flux_jy"] <= 0:
        found.append(f"flux density {given['flux_jy']:g} Jy is not positive")
    if given["ref_freq_hz"] <= 0:
        found.append(f"ref_freq_hz {given['ref_freq_hz']:g} is not positive")
    elif given["ref_freq_hz"] < 1e7:
        found.append(f"ref_freq_hz {given['ref_freq_hz']:g} is below 10 MHz; it is in Hz")
    if np.isfinite(given["flux_jy"]) and not row["log_poly"] and given.isna().any():
        found.append("has a flux density but not the frequency and spectral index that go with it")
    if row["scale"] == "yes" and not has_flux(row):
        found.append("scale = yes but no flux density")
    return [f"{row['name']}: {problem}" for problem in found]


def _doubles(table: pd.DataFrame) -> list[str]:
    """Pairs of rows that are one source."""
    ra, dec = (np.radians(table[c].to_numpy()) for c in ("ra_deg", "dec_deg"))
    distance = separation(ra[:, None], dec[:, None], ra, dec)
    first, second = np.nonzero(np.triu(distance < _SAME_RAD, 1))
    names = table["name"].to_numpy()
    return [
        f"{names[i]} and {names[j]} are {np.degrees(distance[i, j]) * 3600:.1f} arcsec apart: one"
        " source under two names?"
        for i, j in zip(first, second, strict=True)
    ]


def has_flux(row: pd.Series) -> bool:
    """Whether the flux density of a row is known."""
    return bool(np.isfinite(flux_density(row.to_frame().T, _SCALE_HZ)).all())


def _series(row: pd.Series | Any) -> pd.Series:
    return row if isinstance(row, pd.Series) else pd.Series(row._asdict())


def may_set_scale(row: pd.Series | Any) -> tuple[bool, str]:
    """Whether a row of :func:`read_calibrators` may set the flux scale by itself, and why.

    `row` is a Series or a named tuple (``itertuples``). A source of unknown flux density never
    may, whatever the table says, nor is there a default flux density. A variable source, or one
    whose role is not ``flux``, may only where ``scale`` says ``yes``.
    """
    row = _series(row)
    if not has_flux(row):
        return False, "no flux density"
    if row.get("scale", "") == "no":
        return False, "scale = no in the table"
    if row.get("scale", "") == "yes":
        return True, "scale = yes in the table"
    if row.get("variable", ""):
        return False, f"variable ({row['variable']}) and not scale = yes in the table"
    if row.get("role", "flux") != "flux":
        return False, f"its role is {row['role']}"
    return True, "flux calibrator"


def scale_origin(row: pd.Series | Any, field: FieldScale) -> tuple[str, str]:
    """What sets the flux scale of a calset on a row of :func:`read_calibrators`, and why.

    ``calibrator``; ``field``, the catalogued sources around it (with `field` ``always``, or where
    it is ``needed`` because the calibrator may not set the scale); or empty, when the calibrator
    must not be used. Of a source whose role is ``phase`` not even the bandpass is wanted, and
    without a flux density nothing is known of the shape of its spectrum.
    """
    allowed, why = may_set_scale(row)
    if allowed:
        return (
            ("field", "flux_scale.field_scale is always")
            if field == "always"
            else ("calibrator", why)
        )
    if field == "never" or not has_flux(_series(row)) or _series(row).get("role", "") == "phase":
        return "", why
    return "field", why
