"""Tables of sources: the calibrators and the catalogue of the field.

Columns of a source table: ``name``, ``ra_deg``, ``dec_deg`` (ICRS), ``flux_jy``, ``ref_freq_hz``,
``spectral_index`` and, optionally,

* ``log_poly``: the coefficients a0 a1 ... (separated by blanks) of
  log10 S[Jy] = sum a_k log10(nu/GHz)^k; where present it replaces the power law;
* ``standard``: a flux density scale of :mod:`contimg.core.standards`, which gives ``log_poly``;
* ``major_arcsec``, ``minor_arcsec``, ``pa_deg``: the full widths at half maximum of a Gaussian
  and the position angle of its major axis, north through east; a point where empty.

CSV, Parquet, ECSV, VOTable and FITS tables are read alike.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from contimg.core.errors import ContimgError
from contimg.core.standards import STANDARDS, coefficients

COLUMNS = ("name", "ra_deg", "dec_deg", "flux_jy", "ref_freq_hz", "spectral_index")
SIZES = ("major_arcsec", "minor_arcsec", "pa_deg")
_POWER_LAW = ("flux_jy", "ref_freq_hz", "spectral_index")
_FORMATS = {
    ".ecsv": "ascii.ecsv",
    ".vot": "votable",
    ".votable": "votable",
    ".xml": "votable",
    ".fits": "fits",
    ".fit": "fits",
}
_STANDARD_HZ = 1.405e9  # where the power law of a source of a standard touches its polynomial


def read_sources(path: str | Path) -> pd.DataFrame:
    """Read and check a source table; raise :class:`ContimgError` saying what is wrong with it.

    Rows without a flux density stay (see :func:`with_flux`).
    """
    path = Path(path)
    if not path.exists():
        raise ContimgError(f"{path}: source table not found; set its path in the config")
    table = _read(path)
    missing = [c for c in COLUMNS if c not in table.columns]
    if missing:
        raise ContimgError(f"{path}: lacks the columns {', '.join(missing)}; see docs/products.md")
    table["name"] = table["name"].astype(str).str.strip()
    if table["name"].duplicated().any():
        names = ", ".join(sorted(set(table["name"][table["name"].duplicated()])))
        raise ContimgError(f"{path}: more than one source is named {names}; names must be unique")
    for column in (*COLUMNS[1:], *SIZES):
        if column in table.columns:
            table[column] = _numbers(path, table, column)
    position = table[["ra_deg", "dec_deg"]].to_numpy()
    bad = ~np.isfinite(position).all(axis=1)
    if bad.any():
        raise ContimgError(f"{path}: no position for {_some(table['name'][bad])}")
    bad = (np.abs(position) > (360, 90)).any(axis=1)
    if bad.any():
        raise ContimgError(f"{path}: not a position in degrees: {_some(table['name'][bad])}")
    for column in ("log_poly", "standard"):
        if column not in table.columns:
            table[column] = ""
        table[column] = table[column].fillna("").astype(str).str.strip()
    _resolve_standards(path, table)
    for name, text in zip(table["name"], table["log_poly"], strict=True):
        try:
            [float(word) for word in text.split()]
        except ValueError:
            raise ContimgError(f"{path}: log_poly of {name} is not numbers: {text!r}") from None
    return table


def _read(path: Path) -> pd.DataFrame:
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            return pd.read_parquet(path)
        if suffix in _FORMATS:
            from astropy.table import Table

            content = Table.read(path, format=_FORMATS[suffix])
            content.convert_bytestring_to_unicode()
            return content[[c for c in content.colnames if content[c].ndim == 1]].to_pandas()
        return pd.read_csv(path, comment="#", dtype={"name": str})
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ContimgError(f"{path}: not a readable {suffix or 'CSV'} table ({reason})") from None


def _numbers(path: Path, table: pd.DataFrame, column: str) -> pd.Series:
    """A column as floating-point numbers, empty cells NaN."""
    numbers = pd.to_numeric(table[column], errors="coerce").astype(float)
    odd = numbers.isna() & table[column].notna()
    if odd.any():
        row = table[odd].iloc[0]
        raise ContimgError(f"{path}: {column} of {row['name']} is not a number: {row[column]!r}")
    return numbers


def _some(names: pd.Series) -> str:
    """Up to five names."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _resolve_standards(path: Path, table: pd.DataFrame) -> None:
    """Fill ``log_poly`` and, where empty, the power law of rows that name a standard."""
    for row in table.index[table["standard"] != ""]:
        name, standard = table.at[row, "name"], table.at[row, "standard"]
        if standard not in STANDARDS:
            raise ContimgError(
                f"{path}: {name}: unknown standard {standard!r}; known: {', '.join(STANDARDS)}"
            )
        polynomial = coefficients(standard, name)
        if polynomial is None:
            raise ContimgError(
                f"{path}: {name} is no source of {standard}; it has"
                f" {', '.join(STANDARDS[standard])}"
            )
        text = " ".join(str(a) for a in polynomial)
        if table.at[row, "log_poly"] not in ("", text):
            raise ContimgError(f"{path}: {name} has both a standard and a log_poly; keep one")
        table.at[row, "log_poly"] = text
        if not np.isfinite(table.loc[row, list(_POWER_LAW)].to_numpy(dtype=float)).all():
            x = np.log10(_STANDARD_HZ / 1e9)
            slope = np.polynomial.polynomial.polyder(polynomial)
            table.at[row, "flux_jy"] = 10 ** np.polynomial.polynomial.polyval(x, polynomial)
            table.at[row, "ref_freq_hz"] = _STANDARD_HZ
            table.at[row, "spectral_index"] = np.polynomial.polynomial.polyval(x, slope)


def flux_density(table: pd.DataFrame, freq_hz: ArrayLike) -> NDArray[np.float64]:
    """S(nu) [Jy] of every source (rows) at every frequency (columns).

    A source with neither a power law nor a polynomial gives NaN: callers must not use it (see
    :func:`with_flux`).
    """
    freq = np.atleast_1d(np.asarray(freq_hz, dtype=float))
    flux, ref, alpha = (table[c].to_numpy(dtype=float)[:, None] for c in _POWER_LAW)
    result = flux * (freq / ref) ** alpha
    for row, text in enumerate(table["log_poly"]):
        if text.strip():
            polynomial = [float(word) for word in text.split()]
            result[row] = 10 ** np.polynomial.polynomial.polyval(np.log10(freq / 1e9), polynomial)
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
