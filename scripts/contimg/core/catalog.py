"""Tables of sources: the calibrators and the catalogue of the field.

Columns of a source table (CSV or Parquet): ``name``, ``ra_deg``, ``dec_deg`` (ICRS),
``flux_jy``, ``ref_freq_hz``, ``spectral_index`` and, optionally, ``log_poly``: the coefficients
a0 a1 ... (separated by blanks) of log10 S[Jy] = sum a_k log10(nu/GHz)^k, as published for the
flux standards (Perley & Butler 2017, ApJS 230, 7); where present it replaces the power law.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from contimg.core.errors import ContimgError

COLUMNS = ("name", "ra_deg", "dec_deg", "flux_jy", "ref_freq_hz", "spectral_index")


def read_sources(path: str | Path) -> pd.DataFrame:
    """Read and check a source table; raise :class:`ContimgError` saying what is wrong with it."""
    path = Path(path)
    if not path.exists():
        raise ContimgError(f"{path}: source table not found; set its path in the config")
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, comment="#")
    missing = [c for c in COLUMNS if c not in table.columns]
    if missing:
        raise ContimgError(f"{path}: lacks the columns {', '.join(missing)}; see docs/products.md")
    table["name"] = table["name"].astype(str)
    if table["name"].duplicated().any():
        names = ", ".join(sorted(set(table["name"][table["name"].duplicated()])))
        raise ContimgError(f"{path}: more than one source is named {names}; names must be unique")
    bad = ~np.isfinite(table[["ra_deg", "dec_deg"]].to_numpy(dtype=float)).all(axis=1)
    if bad.any():
        raise ContimgError(f"{path}: no position for {', '.join(table['name'][bad])}")
    if "log_poly" not in table.columns:
        table["log_poly"] = ""
    table["log_poly"] = table["log_poly"].fillna("").astype(str)
    return table


def flux_density(table: pd.DataFrame, freq_hz: ArrayLike) -> NDArray[np.float64]:
    """S(nu) [Jy] of every source (rows) at every frequency (columns).

    A source with neither a power law nor a polynomial gives NaN: callers must not use it.
    """
    freq = np.atleast_1d(np.asarray(freq_hz, dtype=float))
    flux, ref, alpha = (
        table[c].to_numpy(dtype=float)[:, None]
        for c in ("flux_jy", "ref_freq_hz", "spectral_index")
    )
    result = flux * (freq / ref) ** alpha
    for row, text in enumerate(table["log_poly"]):
        if text.strip():
            coefficients = [float(word) for word in text.split()]
            result[row] = 10 ** np.polynomial.polynomial.polyval(np.log10(freq / 1e9), coefficients)
    return result
