"""``contimg photometry point``: flux densities at positions of any image with a restoring beam."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from astropy.io import fits
from numpy.typing import NDArray
from pydantic import Field

from contimg.core.command import Command, Files, existing
from contimg.core.errors import ContimgError
from contimg.core.fits import Image, in_jansky, read_image
from contimg.core.noisemap import measure_boxes, multiply_by
from contimg.core.places import position
from contimg.core.records import atomic
from contimg.photometry import aegean
from contimg.photometry.command import measure
from contimg.photometry.options import PhotometryOptions

_BOX_BEAMS = 20  # side of the boxes in which the noise is measured
GOOD_FOR = {
    "forced": "points at known positions, blends too; errors with the noise correlation",
    "peak": "a first look: the highest pixel within a beam is too high where there is only noise",
    "priorized": "comparison: the fit of Aegean, position free, so that faint sources are too high",
}


class PointFiles(Files):
    """Inputs and output."""

    image: Path = Field(description="FITS image with a restoring beam [Jy/beam]")
    position: list[str] = Field(
        min_length=1, description="ICRS positions, each in quotes: 'ra_deg dec_deg' or sexagesimal"
    )
    method: list[Literal["forced", "peak", "priorized"]] = Field(
        ["forced", "peak"], description="methods; priorized needs AegeanTools"
    )
    table: Path | None = Field(None, description="table to write (CSV); only printed if unset")


def run(files: PointFiles, options: PhotometryOptions) -> None:
    """Measure by each method, print and, if wanted, write."""
    image = in_jansky(read_image(existing(files.image, "image")), files.image)
    if image.beam is None:
        raise ContimgError(f"{files.image}: no restoring beam (BMAJ, BMIN, BPA) in its header")
    table = at_positions(image, positions(files.position), options, files.method)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.6g}"))
    for method in files.method:
        print(f"{method}: {GOOD_FOR[method]}")
    if files.table is not None:
        with atomic(files.table) as partial:
            table.to_csv(partial, index=False)


def positions(words: list[str]) -> NDArray[np.float64]:
    """(position, 2) [deg]; :class:`ContimgError` names the one that is none."""
    return np.array([position(word) for word in words])


def at_positions(
    image: Image,
    places: NDArray[np.float64],
    options: PhotometryOptions,
    methods: Sequence[str] = ("forced", "peak"),
) -> pd.DataFrame:
    """One row a position (n, 2) [deg] and method; NaN and a flag where the image has no data."""
    assert image.beam is not None
    rms = np.ones(image.data.shape, np.float32)
    box = max(8, round(_BOX_BEAMS * image.beam.major_deg / image.cell_deg))
    scatter, _ = measure_boxes(image.data, box)
    multiply_by(scatter, box, rms)
    peak, error = _peaks(image, rms, places)
    by = {
        "forced": lambda: _forced(image, rms, places, options),
        "peak": lambda: (peak, error, np.full(len(places), "")),
        "priorized": lambda: _priorized(image, rms, places, peak),
    }
    tables = []
    for method in methods:
        flux, error, flag = by[method]()
        table = pd.DataFrame({"ra_deg": places[:, 0], "dec_deg": places[:, 1], "method": method})
        flag = np.where(np.isnan(flux) & (flag == ""), "outside", flag)
        tables.append(table.assign(flux_jy_beam=flux, flux_err_jy_beam=error, flag=flag))
    return pd.concat(tables).sort_index(kind="stable").reset_index(drop=True)


def _forced(
    image: Image, rms: NDArray[np.float32], places: NDArray[np.float64], options: PhotometryOptions
) -> tuple[NDArray, NDArray, NDArray]:
    """Flux densities, errors and flags of fits of the beam."""
    names = [f"{k:06d}" for k in range(len(places))]
    catalog = pd.DataFrame({"name": names, "ra_deg": places[:, 0], "dec_deg": places[:, 1]})
    times = replace(
        image,
        data=np.zeros_like(rms),
        header=fits.Header({"MJD-AVG": float(image.header.get("MJD-AVG", 0.0))}),
    )
    rows, _ = measure(image, image, replace(image, data=rms), times, catalog, "", options)
    rows = rows.set_index("source").reindex(names)
    flag = rows["flag"].fillna("outside").to_numpy(str)
    return rows["flux_jy"].to_numpy(float), rows["flux_err_jy"].to_numpy(float), flag


def _priorized(
    image: Image, rms: NDArray[np.float32], places: NDArray[np.float64], start: NDArray[np.float64]
) -> tuple[NDArray, NDArray, NDArray]:
    """The same of Aegean's fits, begun at `start`."""
    found = aegean.priorized(image, rms, places, start)
    flag = np.where(found["flux"].isna() & np.isfinite(start), "not_measured", "")
    return found["flux"].to_numpy(), found["error"].to_numpy(), flag


def _peaks(
    image: Image, rms: NDArray[np.float32], places: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Highest pixel within a beam (major axis) of each position, and the noise there."""
    assert image.beam is not None
    pixel = np.nan_to_num(image.wcs.all_world2pix(places, 0), nan=-1e9)  # behind the sphere
    x, y = np.rint(pixel).astype(int).T
    reach = max(1, round(image.beam.major_deg / image.cell_deg))
    peak, error = np.full((2, len(places)), np.nan)
    for k in range(len(places)):
        if not (0 <= y[k] < rms.shape[0] and 0 <= x[k] < rms.shape[1]):
            continue
        box = np.s_[
            max(0, y[k] - reach) : y[k] + reach + 1, max(0, x[k] - reach) : x[k] + reach + 1
        ]
        if np.isfinite(image.data[box]).any():
            peak[k], error[k] = np.nanmax(image.data[box]), rms[y[k], x[k]]
    return peak, error


COMMAND = Command(
    help="measure flux densities at positions of any image: fits of the beam (forced: points and"
    " blends) and highest pixels (peak: a first look)",
    files=PointFiles,
    options=(PhotometryOptions,),
    run=run,
)
