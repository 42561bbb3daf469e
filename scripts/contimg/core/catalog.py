"""Tables of sources: the calibrators and the catalogue of the field.

Columns of a source table: ``name``, ``ra_deg``, ``dec_deg`` (ICRS), ``flux_jy``, ``ref_freq_hz``,
``spectral_index`` and, optionally,

* ``log_poly``: the coefficients a0 a1 ... (separated by blanks) of
  log10 S[Jy] = sum a_k log10(nu/GHz)^k; where present it replaces the power law;
* ``standard``: a flux density scale of :mod:`contimg.core.standards`, which gives ``log_poly``;
* ``fitted_spectrum``: of models that were fitted, not of tables that are read: blank, or GHz:factor
  of each part of the band (separated by blanks) that multiplies what the other columns say
  (:mod:`contimg.core.spectra`);
* ``major_arcsec``, ``minor_arcsec``, ``pa_deg``: the full widths at half maximum of a Gaussian
  and the position angle of its major axis, north through east; a point where empty.

CSV, Parquet, ECSV, VOTable and FITS tables are read alike, in any unit that they declare or that
the name of a column ends in (:mod:`contimg.core.tables`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from contimg.core.coords import unit_vectors
from contimg.core.spectra import between
from contimg.core.tables.sources import NAME, POWER_LAW, REQUIRED, read_checked

COLUMNS = (NAME.column, *(quantity.column for quantity in REQUIRED))
FITTED = "fitted_spectrum"
SIZES = ("major_arcsec", "minor_arcsec", "pa_deg")


def read_sources(path: str | Path) -> pd.DataFrame:
    """Read and check a source table; :class:`ContimgError` naming file, row, column and remedy.

    Rows without a flux density stay (see :func:`with_flux`).
    """
    return read_checked(path)[0]


def flux_density(table: pd.DataFrame, freq_hz: ArrayLike) -> NDArray[np.float64]:
    """S(nu) [Jy] of every source (rows) at every frequency (columns).

    A source with neither a power law nor a polynomial gives NaN: callers must not use it (see
    :func:`with_flux`).
    """
    freq = np.atleast_1d(np.asarray(freq_hz, dtype=float))
    flux, ref, alpha = (table[c].to_numpy(dtype=float)[:, None] for c in POWER_LAW)
    result = flux * (freq / ref) ** alpha
    for row, text in enumerate(table["log_poly"]):
        if text.strip():
            polynomial = [float(word) for word in text.split()]
            result[row] = 10 ** np.polynomial.polynomial.polyval(np.log10(freq / 1e9), polynomial)
    if FITTED in table:
        for row in np.flatnonzero(table[FITTED] != ""):
            nodes = [node.split(":") for node in table[FITTED].iloc[row].split()]
            ghz, factor = np.array(nodes, dtype=float).T
            result[row] *= between(ghz * 1e9, factor, freq)
    return result


def with_flux(table: pd.DataFrame, freq_hz: ArrayLike) -> tuple[pd.DataFrame, int]:
    """The sources of known flux density at all of `freq_hz`, and how many there are without."""
    known = np.isfinite(flux_density(table, freq_hz)).all(axis=1)
    return table[known], int((~known).sum())


def scaled(table: pd.DataFrame, factor: float) -> pd.DataFrame:
    """The sources of `table`, each `factor` times as bright at all frequencies."""
    polynomials = [
        " ".join([repr(float(a) + float(np.log10(factor))), *rest])
        for a, *rest in (text.split() or [""] for text in table["log_poly"])
        if a
    ]
    result = table.assign(flux_jy=table["flux_jy"] * factor)
    result.loc[table["log_poly"].str.strip() != "", "log_poly"] = polynomials
    return result


def at_level(table: pd.DataFrame, flux_jy: NDArray[np.float64], freq_hz: float) -> pd.DataFrame:
    """The sources of `table` with flux densities `flux_jy` at `freq_hz` and their own spectra."""
    factor = flux_jy / flux_density(table, freq_hz)[:, 0]
    rows = [scaled(table.iloc[[k]], float(f)) for k, f in enumerate(factor)]
    result = pd.concat(rows, ignore_index=True) if rows else table.copy()
    result.attrs = table.attrs
    return result


def nearest(places: pd.DataFrame, table: pd.DataFrame) -> tuple[NDArray, NDArray]:
    """Of each of `places` the distance [rad] to the nearest of `table`, and its number."""
    from scipy.spatial import cKDTree

    chord, number = cKDTree(directions(table)).query(directions(places))
    return 2 * np.arcsin(np.minimum(chord / 2, 1)), number


def directions(table: pd.DataFrame) -> NDArray[np.float64]:
    """Unit vectors (source, 3)."""
    return unit_vectors(*np.radians(table[["ra_deg", "dec_deg"]].to_numpy(dtype=float).T))


def extended(table: pd.DataFrame, more: pd.DataFrame, limit_arcsec: float) -> pd.DataFrame:
    """The sources of `table`, and those of `more` that are none of them, by name or by place."""
    rest = more[~more["name"].isin(table["name"])]
    if not table.empty and not rest.empty:
        rest = rest[np.degrees(nearest(rest, table)[0]) * 3600 >= limit_arcsec]
    return pd.concat([table, rest[rest.columns.intersection(table.columns)]], ignore_index=True)
