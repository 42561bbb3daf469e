"""``contimg mosaic validate``: is the finished mosaic what its tiles and weights promise?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from contimg.core.command import Command, Files
from contimg.core.records import Check, check, require, write_record, write_text
from contimg.mosaic.artefacts import Ring, covered, negative_fraction, rings
from contimg.mosaic.maps import Maps, outline, read_maps, read_tile_table
from contimg.mosaic.noise import Factors, measure_factors
from contimg.mosaic.options import ValidationOptions
from contimg.mosaic.page import page
from contimg.mosaic.picture import draw_validation
from contimg.mosaic.seams import Seam, measure_seams, worst_seam

_BOX_BEAMS = 16.0  # side of the regions in which noise and background are measured


class ValidationFiles(Files):
    """Inputs (the products of one mosaic) and outputs."""

    image: Path = Field(description="mosaic [Jy/beam]")
    residual: Path = Field(description="residual mosaic [Jy/beam]")
    weight: Path = Field(description="1/noise^2 as expected from the tiles")
    rms: Path = Field(description="noise as measured [Jy/beam]")
    coverage: Path = Field(description="number of tiles at each pixel")
    tiles: Path = Field(description="table of tiles used and left out")
    mosaic_record: Path = Field(description="record of the mosaic")
    mosaic_plot: Path = Field(description="preview of the mosaic, shown on the page")
    plot: Path = Field(description="output: weights, coverage, noise and seams")
    page: Path = Field(description="output: page")
    record: Path = Field(description="output: record with the verdict")


def run(files: ValidationFiles, options: ValidationOptions) -> None:
    """Judge one mosaic."""
    mosaic = require(files.mosaic_record)
    maps = read_maps(files.image, files.residual, files.weight, files.rms, files.coverage)
    tiles = read_tile_table(files.tiles)
    used = tiles[tiles["used"]]
    outlines = {row.tile: outline(row.s_region, maps.wcs) for row in used.itertuples()}
    factors = measure_factors(
        maps.residual, maps.noise, maps.beam, maps.cell_deg * maps.thin, _BOX_BEAMS
    )
    seams = measure_seams(maps, outlines, options.seam_beams)
    bright = rings(maps)
    checks = judge(maps, used, factors, seams, bright, options)
    data = _facts(maps, factors, seams, bright, used)
    draw_validation(files.plot, maps, outlines, factors, seams, mosaic["product"])
    write_text(
        files.page,
        page(mosaic, checks, tiles, [files.mosaic_plot, files.plot]),
    )
    write_record(
        files.record,
        product=mosaic["product"],
        stage="mosaic validate",
        data=data,
        checks=checks,
        options=[options],
        inputs=[
            files.image,
            files.residual,
            files.weight,
            files.rms,
            files.coverage,
            files.tiles,
            files.mosaic_record,
        ],
    )


def judge(
    maps: Maps,
    used: pd.DataFrame,
    factors: Factors,
    seams: list[Seam],
    bright: list[Ring],
    options: ValidationOptions,
) -> list[Check]:
    """All verdicts. Levels are in units of the expected noise, lengths in beams."""
    fraction, holes = covered(maps)
    measured = factors.measured[np.isfinite(factors.measured)]
    spread = float(np.quantile(measured, 0.95)) / factors.median if measured.size else np.nan
    background = factors.background[np.isfinite(factors.background)]
    bowl = max(0.0, -float(background.min())) if background.size else np.nan
    seam, ring = worst_seam(seams), max((abs(r.fraction) for r in bright), default=0.0)
    found = [
        check("covered fraction of the grid", fraction, fail_below=options.min_covered),
        check("uncovered fraction inside", holes, warn_above=options.max_holes),
        check(
            "noise of the noisiest regions over expectation, relative to the median region",
            spread,
            warn_above=options.max_noise_spread,
            fail_above=2 * options.max_noise_spread,
        ),
        check(
            "step across a tile's edge",
            seam,
            "noise",
            warn_above=options.max_seam_sigma,
            fail_above=4 * options.max_seam_sigma,
        ),
        check(
            "depth of the background's lowest region",
            bowl,
            "noise",
            warn_above=options.max_bowl_sigma,
            fail_above=4 * options.max_bowl_sigma,
        ),
        check(
            "fraction of pixels below -5 sigma",
            negative_fraction(maps),
            warn_above=options.max_negative,
            fail_above=options.fail_negative,
        ),
        check("ring around a bright source over its peak", ring, warn_above=options.max_ring),
    ]
    compared = used[used["compared_sources"] > 0]
    if len(compared):
        found += _consistency(maps, compared, options)
    return found


def _consistency(maps: Maps, used: pd.DataFrame, options: ValidationOptions) -> list[Check]:
    """Verdicts on how the tiles agree; differences within three errors are none."""
    beam = 3600 * np.sqrt(maps.beam.major_deg * maps.beam.minor_deg)
    offset = np.hypot(used["offset_east_arcsec"], used["offset_north_arcsec"])
    offset = np.where(offset > 3 * used["offset_err_arcsec"], offset, 0.0)
    flux = np.abs(used["flux_ratio"] - 1)
    flux = np.where(flux > 3 * used["flux_ratio_err"], flux, 0.0)
    return [
        check(
            "offset of a tile's sources from the other tiles",
            float(offset.max()) / beam,
            "beams",
            warn_above=options.max_offset_beams,
            fail_above=3 * options.max_offset_beams,
        ),
        check(
            "difference of a tile's flux scale from the other tiles",
            float(flux.max()),
            warn_above=options.max_flux_difference,
            fail_above=3 * options.max_flux_difference,
        ),
    ]


def _facts(
    maps: Maps, factors: Factors, seams: list[Seam], bright: list[Ring], used: pd.DataFrame
) -> dict[str, Any]:
    sky = [tuple(map(float, maps.wcs.pixel_to_world_values(r.x, r.y))) for r in bright]
    return {
        "tiles_compared": int((used["compared_sources"] > 0).sum()),
        "noise_over_expected_median": factors.median if np.isfinite(factors.median) else None,
        "regions": int(np.isfinite(factors.measured).sum()),
        "edges_measured": len(seams),
        "seams": [
            {"tile": s.tile, "step_noise": s.step, "error_noise": s.error}
            for s in seams
            if s.significant
        ],
        "bright_sources": [
            {
                "ra_deg": ra,
                "dec_deg": dec,
                "peak_jy_beam": r.peak,
                "ring_fraction": r.fraction,
                "ring_radius_beams": r.radius_beams if np.isfinite(r.radius_beams) else None,
            }
            for (ra, dec), r in zip(sky, bright, strict=True)
        ],
    }


COMMAND = Command(
    help="Judge a finished mosaic: noise, seams, artefacts, agreement of its tiles.",
    files=ValidationFiles,
    options=(ValidationOptions,),
    run=run,
    outputs=("plot", "page", "record"),
    record="record",
)
