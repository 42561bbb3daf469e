"""``contimg mosaic``: the tiles of one epoch to one image with its noise, time and coverage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from contimg.core.command import Command, Files, existing
from contimg.core.errors import DataQualityError
from contimg.core.fits import Beam, write_image
from contimg.core.records import Check, atomic, check, write_record
from contimg.mosaic.beams import common_beam, spread
from contimg.mosaic.beams import covariance as beam_covariance
from contimg.mosaic.combine import Mosaic, combine
from contimg.mosaic.grid import Grid, choose_grid
from contimg.mosaic.noise import noise_factor
from contimg.mosaic.options import MosaicOptions
from contimg.mosaic.plot import plot_mosaic
from contimg.mosaic.tiles import Tile, read_tiles


class MosaicFiles(Files):
    """Inputs (one file a tile, the four lists in the same order) and outputs."""

    images: list[Path] = Field(description="images not corrected for the primary beam")
    residuals: list[Path] = Field(description="residual images of the same tiles")
    pbs: list[Path] = Field(description="primary beam of the same tiles, averaged over the drift")
    image_records: list[Path] = Field(description="records of the same tiles")
    image: Path = Field(description="output: mosaic [Jy/beam]")
    residual: Path = Field(description="output: residual mosaic [Jy/beam]")
    weight: Path = Field(description="output: 1/noise^2 as expected from the tiles")
    rms: Path = Field(description="output: noise as measured [Jy/beam]")
    coverage: Path = Field(description="output: number of tiles at each pixel")
    mjd: Path = Field(
        description="output: mean time of each pixel [min after MJD-AVG of the header]"
    )
    tiles: Path = Field(description="output: table of tiles used and left out")
    record: Path = Field(description="output: record")
    plot: Path = Field(description="output: preview")


def run(files: MosaicFiles, options: MosaicOptions) -> None:
    """Make one mosaic; :class:`DataQualityError` when no tile can be used."""
    lists = (files.images, files.residuals, files.pbs, files.image_records)
    for path in (path for paths in lists for path in paths):
        existing(path, "input of the mosaic")
    tiles = read_tiles(*lists, options)
    used = [tile for tile in tiles if tile.used]
    if not used:
        reasons = "; ".join(f"{tile.name}: {tile.reason}" for tile in tiles)
        raise DataQualityError(f"no tile can be used: {reasons}")
    beam, must_convolve = common_beam([tile.beam for tile in used], options.beam_tolerance)
    grid = choose_grid(used, options.max_radius_deg)
    mosaic = combine(used, grid, beam, must_convolve, options)
    factor, typical = noise_factor(
        mosaic.residual, mosaic.noise, beam, grid.cell_deg, options.rms_box_beams
    )
    rms = mosaic.noise * factor
    facts = _facts(tiles, used, mosaic, grid, beam, must_convolve, rms, typical)
    checks = _checks(tiles, used, typical)
    _write_maps(files, mosaic, rms, grid, beam, facts)
    _write_tiles(files.tiles, tiles)
    plot_mosaic(
        files.plot,
        mosaic.image,
        grid.wcs,
        beam,
        facts["rms_median_jy_beam"] or float(np.nanmedian(mosaic.noise)),
        f"{files.record.stem}: {len(used)} of {len(tiles)} tiles",
    )
    write_record(
        files.record,
        product=files.record.stem,
        stage="mosaic",
        data=facts,
        checks=checks,
        options=[options],
        inputs=[
            path for tile in tiles for path in (tile.image, tile.residual, tile.pb, tile.record)
        ],
    )


def _facts(
    tiles: list[Tile],
    used: list[Tile],
    mosaic: Mosaic,
    grid: Grid,
    beam: Beam,
    must_convolve: bool,
    rms: np.ndarray,
    typical: float,
) -> dict[str, Any]:
    weight = np.array([tile.noise**-2 for tile in used])
    freq = np.array([tile.freq_hz for tile in used])
    covered = mosaic.coverage > 0
    finite = np.isfinite(rms)
    mjd = [tile.mjd for tile in used]
    return {
        "mjd": mosaic.mjd0,
        "mjd_first_tile": min(mjd),
        "mjd_last_tile": max(mjd),
        "integration_s": _number(np.sum([tile.integration_s for tile in used])),
        "freq_hz": _number(np.sum(weight * freq) / weight.sum()),
        "beam": {
            "bmaj_deg": beam.major_deg,
            "bmin_deg": beam.minor_deg,
            "bpa_deg": beam.pa_deg,
            "convolved": must_convolve,
            "spread": spread([beam_covariance(tile.beam) for tile in used]),
        },
        "centre": dict(zip(("ra_deg", "dec_deg"), map(float, grid.wcs.wcs.crval), strict=True)),
        "cell_deg": grid.cell_deg,
        "shape": list(grid.shape),
        "area_deg2": float(covered.sum()) * grid.cell_deg**2,
        "rms_median_jy_beam": float(np.median(rms[finite])) if finite.any() else None,
        "rms_min_jy_beam": float(rms[finite].min()) if finite.any() else None,
        "noise_factor_median": _number(typical),
        "peak_jy_beam": _number(np.nanmax(mosaic.image)),
        "tiles_used": [tile.name for tile in used],
        "tiles_left_out": [
            {"tile": tile.name, "reason": tile.reason} for tile in tiles if not tile.used
        ],
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _checks(tiles: list[Tile], used: list[Tile], typical: float) -> list[Check]:
    blank = sum(tile.blank_pixels for tile in used)
    inside = blank + sum(tile.usable_pixels for tile in used)
    freq = [tile.freq_hz for tile in used]
    checks = [
        check("noise_over_expected", typical, warn_above=2.0, fail_above=10.0),
        check("tiles_used_fraction", len(used) / len(tiles), warn_below=0.7),
        check("blank_fraction", blank / inside, warn_above=0.05, fail_above=0.5),
    ]
    if np.isfinite(freq).all():
        checks.append(check("frequency_spread", max(freq) / min(freq) - 1, warn_above=0.02))
    return checks


def _write_maps(
    files: MosaicFiles,
    mosaic: Mosaic,
    rms: np.ndarray,
    grid: Grid,
    beam: Beam,
    facts: dict[str, Any],
) -> None:
    common = {"beam": beam, "freq_hz": facts["freq_hz"], "mjd": mosaic.mjd0}
    outside = mosaic.coverage == 0
    coverage = np.where(outside, 0, mosaic.coverage).astype(np.float32)
    names = [f"tile {name}" for name in facts["tiles_used"]]
    for path, data, unit in (
        (files.image, mosaic.image, "Jy/beam"),
        (files.residual, mosaic.residual, "Jy/beam"),
        (files.weight, mosaic.noise**-2, "beam2/Jy2"),
        (files.rms, rms, "Jy/beam"),
        (files.coverage, coverage, ""),
        (files.mjd, mosaic.minutes, "min"),
    ):
        keywords = {"OBJECT": files.record.stem, "NTILES": len(names)}
        write_image(path, data, grid.wcs, unit=unit, keywords=keywords, history=names, **common)


def _write_tiles(path: Path, tiles: list[Tile]) -> None:
    table = pd.DataFrame(
        {
            "tile": [tile.name for tile in tiles],
            "used": [tile.used for tile in tiles],
            "reason": [tile.reason for tile in tiles],
            "rms_jy_beam": [tile.noise for tile in tiles],
            "weight": [tile.noise**-2 if tile.used else 0.0 for tile in tiles],
            "mjd": [tile.mjd for tile in tiles],
        }
    )
    with atomic(path) as partial:
        table.to_csv(partial, index=False)


COMMAND = Command(
    help="add the images of neighbouring tiles to one mosaic",
    files=MosaicFiles,
    options=(MosaicOptions,),
    run=run,
    outputs=(
        "image",
        "residual",
        "weight",
        "rms",
        "coverage",
        "mjd",
        "tiles",
        "record",
        "plot",
    ),
    record="record",
)
