"""Parts of the band of a run's sources, from its photometry, without the colours of the epochs.

The gain of an epoch may differ between the parts of the band. Of every reference the flux density
in a part, over that in all parts and over what it is at other epochs, tells by how much: medians
over the references are the colour of the epoch, and what they scatter beyond their errors is an
error of everybody's. References and those asked for are read, nobody else.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from contimg.core.errors import ContimgError
from contimg.core.parquet import read_parquet
from contimg.core.rowflags import usable
from contimg.variability.bands import Measured, Parts, split, with_level

NEEDED = ("mjd", "flux_jy", "flux_err_jy", "freq_hz")
COLUMNS = ["part_hz", "part_flux_jy", "part_err_jy"]
MIN_REFERENCES = 5  # of an epoch; the parts of one with fewer are left out
SIGMA = 1.4826  # standard deviation over the median absolute deviation


def parts_of(folder: Path, table: pd.DataFrame, wanted: set[str]) -> dict[str, Parts]:
    """By source, of those `wanted` that were measured in several parts of the band.

    `folder` holds the photometry of the mosaics in `table`, the light curves.
    """
    good = table[usable(table["flag"])]
    references = set(good.loc[good["is_reference"].astype(bool), "source"])
    if not wanted or len(references) < MIN_REFERENCES:
        return {}
    known = good.loc[good["source"].isin(wanted | references), ["source", "mosaic", "mjd", "gain"]]
    read = [_of_mosaic(folder, str(name), rows) for name, rows in known.groupby("mosaic")]
    rows = with_level(pd.concat(read, ignore_index=True))
    rows = without_colour(rows, references)
    found = {}
    for source, own in with_level(rows[rows["source"].isin(wanted)]).groupby("source"):
        if own["freq_hz"].nunique() > 1:
            columns = own.sort_values(["mjd", "freq_hz"])[list(NEEDED)].to_numpy(dtype=float)
            found[str(source)] = split(Measured(*columns.T))
    return found


def _of_mosaic(folder: Path, mosaic: str, known: pd.DataFrame) -> pd.DataFrame:
    """A row a source and part: ``source, mosaic, mjd, freq_hz, flux_jy, flux_err_jy``, over the
    gain."""
    path = folder / f"{mosaic}.parquet"
    if not path.is_file():
        raise ContimgError(f"{path}: is not there, but its measurements are in the light curves")
    table = read_parquet(path, "photometry table", path.with_suffix(".json"))
    if not set(COLUMNS) <= set(table.columns):
        table = table.iloc[:0].reindex(columns=["source", *COLUMNS])
    rows = known.merge(table[["source", *COLUMNS]], on="source").explode(COLUMNS)
    hz, flux, error = (rows[name].to_numpy(dtype=float) for name in COLUMNS)
    gain = rows["gain"].to_numpy(dtype=float)
    rows = rows[["source", "mosaic", "mjd"]].assign(
        freq_hz=hz, flux_jy=flux / gain, flux_err_jy=error / gain
    )
    return rows[np.isfinite(hz) & np.isfinite(flux) & (error > 0)]


def without_colour(rows: pd.DataFrame, references: set[str]) -> pd.DataFrame:
    """`rows` of parts without the colour of their epochs, its error added to theirs."""
    by_part = rows.groupby(["source", "freq_hz"])["flux_jy"].transform("median").to_numpy()
    relative = rows["flux_jy"].to_numpy() / by_part
    error = rows["flux_err_jy"].to_numpy() / by_part
    rows = rows.assign(relative=relative, weight=error**-2, signal=relative * error**-2)
    sums = rows.groupby(["source", "mosaic"])[["signal", "weight"]].transform("sum")
    rows["colour"] = relative - (sums["signal"] / sums["weight"]).to_numpy()
    epochs = _colours(rows[rows["source"].isin(references)])
    rows = rows.merge(epochs.reset_index(), on=["mosaic", "freq_hz"])
    level = rows["flux_jy"] / rows["relative"]
    rows["flux_jy"] = rows["flux_jy"] - level * rows["median"]
    rows["flux_err_jy"] = np.hypot(rows["flux_err_jy"], level * rows["spread"])
    return rows[["source", "mosaic", "mjd", "freq_hz", "flux_jy", "flux_err_jy"]]


def _colours(own: pd.DataFrame) -> pd.DataFrame:
    """By mosaic and part the ``median`` colour of references and the ``spread`` it adds."""
    key = ["mosaic", "freq_hz"]
    middle = own.groupby(key)["colour"].transform("median")
    own = own.assign(off=(own["colour"] - middle).abs(), variance=1 / own["weight"])
    found = own.groupby(key).agg(
        median=("colour", "median"),
        off=("off", "median"),
        variance=("variance", "median"),
        number=("colour", "size"),
    )
    scatter2 = (SIGMA * found["off"]) ** 2
    excess2 = np.maximum(scatter2 - found["variance"], 0.0)
    # the variance of a median is pi / 2 that of a mean
    found["spread"] = np.sqrt(excess2 + np.pi / 2 * scatter2 / found["number"])
    return found.loc[found["number"] >= MIN_REFERENCES, ["median", "spread"]]
