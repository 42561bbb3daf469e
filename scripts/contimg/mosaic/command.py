"""``contimg mosaic``: the tiles of one epoch to one image with its noise, time and coverage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from contimg.core.command import Command, Files, existing
from contimg.core.errors import DataQualityError
from contimg.core.records import write_record
from contimg.mosaic.beams import common_beam
from contimg.mosaic.combine import combine
from contimg.mosaic.consistency import compare
from contimg.mosaic.grid import choose_grid
from contimg.mosaic.noise import measure_factors, scale_by_factors
from contimg.mosaic.options import MosaicOptions
from contimg.mosaic.overrides import read_decisions
from contimg.mosaic.plot import plot_mosaic
from contimg.mosaic.products import MapWriter, checks, facts, unweighted, write_tiles
from contimg.mosaic.select import decide, judge, judge_consistency
from contimg.mosaic.tiles import Tile, read_tiles


class MosaicFiles(Files):
    """Inputs (one file a tile, the four lists in the same order) and outputs."""

    images: list[Path] = Field(description="images of the tiles")
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
    time: Path = Field(description="output: effective integration time of each pixel [s]")
    freq: Path = Field(description="output: effective frequency of each pixel [Hz]")
    tiles: Path = Field(description="output: table of tiles used and left out")
    record: Path = Field(description="output: record")
    plot: Path = Field(description="output: preview")
    threads: int = Field(1, ge=1, description="threads; their number does not change the result")


def run(files: MosaicFiles, options: MosaicOptions) -> None:
    """Make one mosaic; :class:`DataQualityError` when no tile can be used."""
    lists = (files.images, files.residuals, files.pbs, files.image_records)
    for path in (path for paths in lists for path in paths):
        existing(path, "input of the mosaic")
    name = files.record.stem
    tiles = read_tiles(*lists, options)
    used = choose_tiles(tiles, name, options, files.threads)
    beam, must_convolve = common_beam([tile.beam for tile in used], options.beam_tolerance)
    grid = choose_grid(used, options)
    mosaic = combine(used, grid, beam, must_convolve, options, files.threads)
    factors = measure_factors(
        mosaic.residual, mosaic.noise, beam, grid.cell_deg, options.rms_box_beams
    )
    writer = MapWriter(name, grid.wcs, beam, mosaic.mjd0, used, options.method)
    writer.write(files.weight, mosaic.noise**-2, "beam2/Jy2")
    expected = float(np.nanmedian(mosaic.noise[::4, ::4]))
    endless = unweighted(mosaic)
    scale_by_factors(mosaic.noise, factors)  # from here on the measured noise
    found = facts(tiles, mosaic, grid, beam, must_convolve, factors)
    plot_mosaic(
        files.plot,
        mosaic.image,
        grid.wcs,
        beam,
        found["rms_median_jy_beam"] or expected,
        f"{name}: {len(used)} of {len(tiles)} tiles",
    )
    writer.write(files.image, mosaic.image, "Jy/beam")
    writer.write(files.residual, mosaic.residual, "Jy/beam")
    writer.write(files.rms, mosaic.noise, "Jy/beam")
    writer.write(files.coverage, mosaic.coverage.astype(np.float32), "")
    writer.write(files.mjd, mosaic.minutes, "min")
    writer.write(files.time, mosaic.seconds, "s")
    writer.write(files.freq, mosaic.freq, "Hz")
    write_tiles(files.tiles, tiles)
    write_record(
        files.record,
        product=name,
        stage="mosaic",
        data=found,
        checks=checks(tiles, factors, endless),
        options=[options],
        inputs=[
            path
            for tile in tiles
            for path in (tile.image_path, tile.residual_path, tile.pb_path, tile.record)
        ],
    )


def choose_tiles(
    tiles: list[Tile], name: str, options: MosaicOptions, threads: int = 1
) -> list[Tile]:
    """Judge all tiles; those that are used, in canonical order."""
    decide(tiles, read_decisions(options.overrides, name))
    judge(tiles, options)
    compare([tile for tile in tiles if tile.used], options, threads)
    judge_consistency([tile for tile in tiles if tile.used], options)
    used = [tile for tile in tiles if tile.used]
    if not used:
        reasons = "; ".join(f"{tile.name}: {tile.reason}" for tile in tiles)
        raise DataQualityError(f"no tile can be used: {reasons}")
    return used


COMMAND = Command(
    help="Add the images of neighbouring tiles to one mosaic with its maps and tile list.",
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
        "time",
        "freq",
        "tiles",
        "record",
        "plot",
    ),
    record="record",
)
