"""``contimg photometry adaptive``: spectra with as many points as a source is bright enough for.

Adjacent parts of the band are joined, from the lowest frequency up, until a source of the flux
density of the whole band would be seen in them. The flux densities of the parts themselves decide
nothing: bins that are accepted because they are bright are biased to what noise has added.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from contimg.core.command import Command, Files
from contimg.core.errors import ContimgError
from contimg.core.parquet import read_parquet
from contimg.core.records import atomic

COLUMNS = ("source", "mjd", "freq_hz", "freq_low_hz", "freq_high_hz", "parts")
COLUMNS += ("flux_jy", "flux_err_jy", "snr", "flag")


class AdaptiveFiles(Files):
    """Input and output."""

    fluxes: Path = Field(
        description="flux densities with parts of the band: photometry/MOSAIC.parquet (fits to"
        " visibilities)"
    )
    source: list[str] = Field([], description="sources to list (all if unset)")
    min_snr: float = Field(5.0, gt=0, description="signal to noise that a bin must have expected")
    table: Path | None = Field(None, description="table to write (CSV); only printed if unset")


def run(files: AdaptiveFiles) -> None:
    """Join the parts, print and, if wanted, write."""
    rows = read_parquet(files.fluxes, "table of flux densities", None)
    if "part_hz" not in rows:
        raise ContimgError(
            f"{files.fluxes}: no flux densities in parts of the band (column part_hz); fits to the"
            " visibilities have them (photometry_method: visibilities)"
        )
    unknown = sorted(set(files.source) - set(rows["source"]))
    if unknown:
        raise ContimgError(f"{files.fluxes}: no source {', '.join(unknown)}")
    if files.source:
        rows = rows[rows["source"].isin(files.source)]
    table = spectra(rows, files.min_snr)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.6g}"))
    if files.table is not None:
        with atomic(files.table) as partial:
            table.to_csv(partial, index=False)


def spectra(rows: pd.DataFrame, min_snr: float) -> pd.DataFrame:
    """A row (``COLUMNS``) a bin of each of `rows`; frequencies are middles of parts [Hz]."""
    found = []
    for row in rows.itertuples(index=False):
        freq, flux, error = (
            np.asarray(v, float) for v in (row.part_hz, row.part_flux_jy, row.part_err_jy)
        )
        measured = np.isfinite(flux) & (error > 0)
        freq, flux, error = freq[measured], flux[measured], error[measured]
        for part in bins(error, row.flux_jy, min_snr):
            weight = error[part] ** -2
            value = np.average(flux[part], weights=weight)
            spread = weight.sum() ** -0.5
            middle = np.average(freq[part], weights=weight)
            limits = (middle, freq[part].min(), freq[part].max(), len(freq[part]))
            found.append((row.source, row.mjd, *limits, value, spread, value / spread, row.flag))
    return pd.DataFrame(found, columns=list(COLUMNS))


def bins(error: NDArray[np.float64], flux_jy: float, min_snr: float) -> list[slice]:
    """Runs of adjacent parts, of `error` [Jy] each, in which `flux_jy` has `min_snr`.

    What is left over at the upper end joins the last run; the whole band is one where a source of
    `flux_jy` is too faint for two.
    """
    found, start = [], 0
    for end in range(1, error.size + 1):
        if flux_jy * np.sqrt((error[start:end] ** -2).sum()) >= min_snr:
            found.append(slice(start, end))
            start = end
    if start < error.size:
        start = found.pop().start if found else 0
        found.append(slice(start, error.size))
    return found


COMMAND = Command(
    help="spectra of fitted sources: parts of the band joined until a source of its flux density"
    " would be seen in them",
    files=AdaptiveFiles,
    options=(),
    run=run,
)
