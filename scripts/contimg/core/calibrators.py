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
from typing import Any

import numpy as np
import pandas as pd

from contimg.core.catalog import flux_density
from contimg.core.coords import separation, unit_vectors
from contimg.core.shared import FieldScale
from contimg.core.tables.content import Problems
from contimg.core.tables.sources import POWER_LAW, read_checked

ROLES = ("flux", "bandpass", "phase")
TEXTS = ("role", "variable", "scale", "source", "remarks")
_SAME_RAD = np.radians(1 / 60)  # calibrators nearer to each other are one source entered twice
_SCALE_HZ = 1.4e9


def read_calibrators(path: str | Path) -> pd.DataFrame:
    """Read and check a table of calibrators, with all of :data:`TEXTS`, empty where not given.

    Raises :class:`ContimgError` naming the row and what is wrong with it.
    """
    table, problems = read_checked(path, TEXTS)
    plain = "role" not in table.columns
    for column in TEXTS:
        if column not in table.columns:
            table[column] = ""
        table[column] = table[column].fillna("").astype(str).str.strip()
    if plain:
        table["role"] = "flux"
    _check(table, problems)
    _check_doubles(table, problems)
    problems.refuse()
    return table


def _check(table: pd.DataFrame, problems: Problems) -> None:
    """What is wrong with single rows."""
    role, scale = table["role"], table["scale"]
    problems.rows(
        ~role.isin(ROLES), "role", f"is an unknown role; roles are {', '.join(ROLES)}", role
    )
    problems.rows(~scale.isin(["", "yes", "no"]), "scale", "is neither yes, no nor empty", scale)
    partial = table[list(POWER_LAW)].isna().any(axis=1) & (table["log_poly"] == "")
    problems.rows(
        table["flux_jy"].notna() & partial,
        "flux_jy",
        "has not the frequency and spectral index that go with it",
    )
    known = np.isfinite(flux_density(table, _SCALE_HZ)[:, 0])
    problems.rows((scale == "yes") & ~known, "scale", "is yes but there is no flux density")


def _check_doubles(table: pd.DataFrame, problems: Problems) -> None:
    """Pairs of rows that are one source."""
    from scipy.spatial import cKDTree

    ra, dec = (np.radians(table[c].to_numpy()) for c in ("ra_deg", "dec_deg"))
    for first, second in sorted(cKDTree(unit_vectors(ra, dec)).query_pairs(_SAME_RAD)):
        away = separation(ra[first], dec[first], ra[second], dec[second])
        problems.rows(
            table.index == second,
            "ra_deg",
            f"is {np.degrees(away) * 3600:.1f} arcsec from {table['name'].iloc[first]}: one source"
            " under two names?",
        )


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
