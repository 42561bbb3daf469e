"""``contimg photometry``: flux densities of the catalogue's sources in one mosaic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from contimg.core import rowflags
from contimg.core.catalog import read_sources
from contimg.core.command import Command, Files, existing
from contimg.core.errors import ContimgError
from contimg.core.fits import Image, read_image
from contimg.core.outline import inside
from contimg.core.records import Check, check, inherited, require, write_record
from contimg.photometry.extent import measure_extents
from contimg.photometry.forced import forced_fit, group
from contimg.photometry.geometry import Sources, locate
from contimg.photometry.judge import judge
from contimg.photometry.noise import Correlation, measure_correlation
from contimg.photometry.options import PhotometryOptions
from contimg.photometry.position import free_fit
from contimg.photometry.stamps import Maps
from contimg.photometry.table import write_table

_FAINT_SNR = 20.0


class PhotometryFiles(Files):
    """Inputs and outputs."""

    mosaic: Path = Field(description="mosaic [Jy/beam]")
    residual: Path = Field(description="residual mosaic, for the correlation of the noise")
    rms: Path = Field(description="noise map [Jy/beam]")
    mjd: Path = Field(description="time of each pixel [min after MJD-AVG of the header]")
    mosaic_record: Path = Field(description="record of the mosaic")
    catalog: Path = Field(description="table of sources (CSV or Parquet)")
    table: Path = Field(description="output: flux densities (Parquet)")
    record: Path = Field(description="output: record")


def run(files: PhotometryFiles, options: PhotometryOptions) -> None:
    """Measure every source of the catalogue that lies on the mosaic."""
    inputs = [files.mosaic, files.residual, files.rms, files.mjd]
    record = require(files.mosaic_record)
    for path in inputs:
        existing(path, "map of the mosaic")
    mosaic, residual, rms, mjd = (read_image(path) for path in inputs)
    for other, path in ((residual, files.residual), (rms, files.rms), (mjd, files.mjd)):
        if other.data.shape != mosaic.data.shape:
            raise ContimgError(f"{path}: not on the grid of {files.mosaic}; rebuild the mosaic")
    if mosaic.beam is None:
        raise ContimgError(f"{files.mosaic}: no restoring beam (BMAJ); rebuild the mosaic")
    catalog = read_sources(files.catalog).sort_values("name", kind="stable", ignore_index=True)
    table, correlation = measure(
        mosaic, residual, rms, mjd, catalog, str(record["product"]), options
    )
    table["flag"] = with_tile_flags(table, record["data"].get("tile_flags", []))
    scales = record["data"].get("tile_scales", [])
    table["scale_factor"], table["scale_factor_err"] = tile_scales(table, scales)
    write_table(files.table, table)
    write_record(
        files.record,
        product=files.record.stem,
        stage="photometry",
        data=_facts(table, correlation, mosaic, record),
        checks=[*_checks(table, mosaic), *inherited([record])],
        options=[options],
        inputs=[*inputs, files.mosaic_record, files.catalog],
    )


def measure(
    mosaic: Image,
    residual: Image,
    rms: Image,
    mjd: Image,
    catalog: pd.DataFrame,
    name: str,
    options: PhotometryOptions,
) -> tuple[pd.DataFrame, Correlation]:
    """The table of flux densities, one row a source of `catalog` whose pixel has data."""
    beam, wcs = mosaic.beam, mosaic.wcs
    assert beam is not None
    ra, dec = (catalog[c].to_numpy(dtype=float) for c in ("ra_deg", "dec_deg"))
    index, sources = locate(wcs, beam, ra, dec, mosaic.data.shape)
    iy, ix = (np.rint(c).astype(np.int64) for c in (sources.y, sources.x))
    noise = rms.data[iy, ix].astype(float)
    with np.errstate(invalid="ignore"):
        covered = np.flatnonzero(np.isfinite(mosaic.data[iy, ix]) & (noise > 0))
    index, sources, noise = index[covered], sources.take(covered), noise[covered]
    iy, ix = iy[covered], ix[covered]
    beam_pixels = beam.major_deg / mosaic.cell_deg
    correlation = measure_correlation(
        residual.data,
        rms.data,
        beam,
        np.linalg.inv(wcs.pixel_scale_matrix),
        int(np.ceil(options.acf_beams * beam_pixels)),
        options.acf_min_beams,
    )
    maps = Maps(mosaic.data, rms.data, options.stamp_beams)
    representative, duplicate = _merge(sources, options.duplicate_beams * beam_pixels)
    kept, place = np.unique(representative, return_inverse=True)
    distinct = sources.take(kept)
    fit = forced_fit(distinct, maps, correlation, options.blend_beams * beam_pixels)
    snr = fit.flux / fit.error
    wanted = np.isfinite(snr) & (snr >= options.free_fit_snr)
    position = free_fit(distinct, fit.flux, wanted, maps, correlation, wcs)
    extent = measure_extents(distinct, fit.flux, fit.error, maps, correlation)
    judged = judge(distinct, fit.flux, fit.chi2, noise[kept], maps, correlation)
    flux = np.where(extent.extended, extent.flux, fit.flux)
    error = np.where(extent.extended, extent.error, fit.error * judged.widening)
    described = {word: at & ~extent.extended for word, at in judged.flags.items()}
    flags = {
        "blank_pixels": ~fit.complete[place],
        "duplicate": duplicate,
        "inseparable": ~np.isfinite(fit.flux[place]),
        "position_fit_failed": (wanted & ~position.converged & ~extent.extended)[place],
        **{word: at[place] for word, at in (described | {"edge": judged.flags["edge"]}).items()},
        "extended": extent.extended[place],
    }
    minutes = mjd.data[iy, ix].astype(float)
    columns = {
        "source": catalog["name"].to_numpy()[index],
        "ra_deg": ra[index],
        "dec_deg": dec[index],
        "mosaic": np.full(index.size, name, dtype=object),
        "mjd": _reference_mjd(mjd) + minutes / 1440.0,
        "flux_jy": flux[place],
        "flux_err_jy": error[place],
        "rms_jy_beam": noise,
        "snr": (flux / error)[place],
        "chi2_reduced": fit.chi2[place],
        "residual_max_sigma": judged.highest[place],
        "residual_min_sigma": judged.lowest[place],
        "size_major_arcsec": extent.major_arcsec[place],
        "size_minor_arcsec": extent.minor_arcsec[place],
        "fit_ra_deg": position.ra[place],
        "fit_dec_deg": position.dec[place],
        "fit_err_arcsec": position.error_arcsec[place],
        "fit_flux_jy": position.flux[place],
        "bmaj_deg": np.full(index.size, beam.major_deg),
        "bmin_deg": np.full(index.size, beam.minor_deg),
        "bpa_deg": np.full(index.size, beam.pa_deg),
        "n_blend": fit.n_blend[place],
        "flag": rowflags.text(flags, index.size),
    }
    return pd.DataFrame(columns), correlation


def with_tile_flags(table: pd.DataFrame, tiles: list[dict[str, Any]]) -> list[str]:
    """The column ``flag`` with the words of the tiles that cover each source.

    `tiles` of the record of the mosaic: ``flags`` and ``s_region`` (POLYGON ICRS) of each tile.
    """
    raised = [text.split(";") if text else [] for text in table["flag"]]
    for tile in tiles:
        for row in np.flatnonzero(inside(tile["s_region"], table["ra_deg"], table["dec_deg"])):
            raised[row] += [word for word in tile["flags"] if word not in raised[row]]
    return [";".join(words) for words in raised]


def tile_scales(
    table: pd.DataFrame, tiles: list[dict[str, Any]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(source,) mean of what the tiles that cover each source were divided by, and of the errors.

    `tiles` of the record of the mosaic: ``factor``, ``error`` and ``s_region``; without any, 1 and
    0. Errors of tiles are of one catalogue, and so do not average down.
    """
    total = np.zeros((3, len(table)))
    for tile in tiles:
        covered = inside(tile["s_region"], table["ra_deg"], table["dec_deg"])
        total += np.array([[1.0], [tile["factor"]], [tile["error"]]]) * covered
    number = np.maximum(total[0], 1)
    return np.where(total[0] > 0, total[1] / number, 1.0), total[2] / number


def _merge(sources: Sources, distance: float) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The first of the sources at (nearly) one place, for each source; and who shares a place."""
    if not len(sources):
        return np.empty(0, np.int64), np.empty(0, bool)
    _, first, label, count = np.unique(
        group(sources, distance), return_index=True, return_inverse=True, return_counts=True
    )
    return first[label], count[label] > 1


def _reference_mjd(mjd: Image) -> float:
    if "MJD-AVG" not in mjd.header:
        raise ContimgError("the time map has no MJD-AVG in its header; rebuild the mosaic")
    return float(mjd.header["MJD-AVG"])


def _facts(
    table: pd.DataFrame, correlation: Correlation, mosaic: Image, record: dict[str, Any]
) -> dict[str, Any]:
    good = table[rowflags.usable(table["flag"])]
    east, north = _offsets_arcsec(good)
    fitted = np.isfinite(east)
    centre = correlation.lag
    data = record["data"]
    return {
        "mjd": data.get("mjd"),
        "freq_hz": data.get("freq_hz"),
        "pointing_dec_deg": data.get("pointing_dec_deg"),
        "tiles": data.get("tiles_used", []),
        "n_sources": len(table),
        "n_flagged": len(table) - len(good),
        "n_blended": int((table["n_blend"] > 1).sum()),
        "n_detected": int((table["snr"] >= 5).sum()),
        "median_snr": _median(table["snr"].to_numpy()),
        "median_flux_err_jy": _median(table["flux_err_jy"].to_numpy()),
        "median_chi2_reduced": _median(good["chi2_reduced"].to_numpy()),
        "median_offset_east_arcsec": _median(east),
        "median_offset_north_arcsec": _median(north),
        "n_positions": int(fitted.sum()),
        "median_fit_over_forced": _median((good["fit_flux_jy"] / good["flux_jy"]).to_numpy()),
        "noise_correlation": {
            "measured": correlation.measured,
            "beam_areas": correlation.beams,
            "along_x": correlation.values[centre, centre:].round(4),
            "along_y": correlation.values[centre:, centre].round(4),
            "cell_arcsec": mosaic.cell_deg * 3600,
        },
    }


def _offsets_arcsec(table: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fitted minus catalogue position, to the east and to the north."""
    d_ra = (table["fit_ra_deg"] - table["ra_deg"] + 180.0) % 360.0 - 180.0
    east = d_ra * np.cos(np.radians(table["dec_deg"])) * 3600
    return east.to_numpy(), ((table["fit_dec_deg"] - table["dec_deg"]) * 3600).to_numpy()


def _median(values: NDArray[np.float64]) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else None


def _checks(table: pd.DataFrame, mosaic: Image) -> list[Check]:
    checks = [check("sources", len(table), warn_below=1)]
    if not len(table):
        return checks
    good = table[rowflags.usable(table["flag"])]
    checks.append(check("flagged_fraction", 1 - len(good) / len(table), warn_above=0.5))
    # of faint sources: a bright one tells of the beam's shape rather than of the noise
    chi2 = _median(good.loc[good["snr"] < _FAINT_SNR, "chi2_reduced"].to_numpy())
    if chi2 is not None:
        checks.append(check("median_chi2_reduced_faint", chi2, warn_above=2.0, warn_below=0.5))
    east, north = _offsets_arcsec(good)
    offset = (_median(east), _median(north))
    assert mosaic.beam is not None
    if offset[0] is not None and offset[1] is not None and np.isfinite(east).sum() >= 3:
        in_beams = float(np.hypot(*offset)) / 3600 / mosaic.beam.minor_deg
        checks.append(
            check("position_offset", in_beams, "beam widths", warn_above=0.1, fail_above=0.5)
        )
    return checks


COMMAND = Command(
    help="measure flux densities at the positions of a catalogue on a mosaic (method image: good"
    " for any image, and extended emission that was cleaned)",
    files=PhotometryFiles,
    options=(PhotometryOptions,),
    run=run,
    outputs=("table", "record"),
    record="record",
)
