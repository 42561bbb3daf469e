"""``contimg unknown``: sources of all tiles that no catalogue has.

Each tile lists its detections above ten sigma that are not in the catalogue; those of all tiles and
days at one place are one source. How many tiles cover the place without it tells a transient, or an
artefact, from a source that the catalogue lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from contimg.check.options import AllTilesOptions
from contimg.check.tiles import Tile, read_tiles, records_of
from contimg.core.command import Command, Files
from contimg.core.coords import clusters, j2000_seconds
from contimg.core.outline import inside
from contimg.core.records import Check, atomic, check, not_made, write_record

COLUMNS = (
    *("name", "ra_deg", "dec_deg", "position_err_arcsec", "flux_jy", "flux_err_jy"),
    *("flux_min_jy", "flux_max_jy", "snr_max", "tiles_seen", "tiles_covered"),
    *("first_mjd", "last_mjd", "tiles"),
)
_PEAK = 0.6  # of the beam over the signal to noise: error of the place of a peak along one axis


class UnknownFiles(Files):
    """Inputs and outputs."""

    records: list[Path] = Field(
        min_length=1, description="records of images, or a directory below which all are"
    )
    tier: str = Field("standard", description="tier of the images")
    table: Path = Field(description="table of the sources to write (CSV)")
    record: Path = Field(description="JSON record to write")


def run(files: UnknownFiles, options: AllTilesOptions) -> None:
    """Match the unknown detections of all tiles."""
    records = records_of(files.records, files.tier)
    tiles, left_out = read_tiles(records)
    table = unknown_sources(tiles, options.match_beams)
    with atomic(files.table) as partial:
        table.to_csv(partial, index=False, float_format="%.7g")
    write_record(
        files.record,
        product=files.record.stem,
        stage="unknown",
        data={
            "tiles": len(tiles),
            "sources": len(table),
            "seen_wherever_covered": int((table["tiles_seen"] == table["tiles_covered"]).sum()),
            "left_out": left_out,
        },
        checks=_checks(tiles, table),
        options=[options],
        inputs=records,
    )
    print(f"{len(table)} sources that no catalogue has in {len(tiles)} tiles")


def _checks(tiles: Sequence[Tile], table: pd.DataFrame) -> list[Check]:
    metric = "sources above 10 sigma that no catalogue has"
    if not tiles:
        return [not_made(metric, "no tile was held against a catalogue")]
    return [check(metric, len(table))]


def unknown_sources(tiles: Sequence[Tile], beams: float) -> pd.DataFrame:
    """One row a source, brightest first; `COLUMNS`.

    Positions and flux densities are means with the weights of the detections, flux densities at the
    frequency of the images; `tiles_covered` are all whose region has the place.
    """
    seen = _detections(tiles)
    if seen.empty:
        return pd.DataFrame(columns=COLUMNS)
    place = np.radians(seen[["ra_deg", "dec_deg"]].to_numpy().T)
    radius = beams * float(seen["beam_arcsec"].max()) / 3600
    rows = [
        _source(part) for _, part in seen.groupby(clusters(*place, np.radians(radius)), sort=True)
    ]
    table = pd.DataFrame(rows)
    covered = np.zeros(len(table), np.int64)
    for tile in tiles:
        covered += inside(tile.data["s_region"], table["ra_deg"], table["dec_deg"])
    table["tiles_covered"] = np.maximum(covered, table["tiles_seen"])
    order = table.sort_values(["flux_jy", "ra_deg"], ascending=[False, True], kind="stable")
    return order[list(COLUMNS)].reset_index(drop=True)


def _detections(tiles: Sequence[Tile]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                **found,
                "tile": tile.name,
                "mjd": tile.mjd,
                "beam_arcsec": np.sqrt(tile.data["bmaj_arcsec"] * tile.data["bmin_arcsec"]),
            }
            for tile in tiles
            for found in tile.data["validation"]["unknown_above_10_sigma"]
        ]
    )


def _source(part: pd.DataFrame) -> dict[str, object]:
    """What the detections of one place say together."""
    flux, snr = part["flux_jy"].to_numpy(), part["snr"].to_numpy()
    weight = (snr / flux) ** 2
    ra0 = float(part["ra_deg"].iloc[0])
    away = (part["ra_deg"] - ra0 + 180) % 360 - 180
    precision = (snr / (_PEAK * part["beam_arcsec"].to_numpy())) ** 2
    ra = (ra0 + float(np.average(away, weights=precision))) % 360
    dec = float(np.average(part["dec_deg"], weights=precision))
    return {
        "name": j2000_seconds(ra, dec),
        "ra_deg": ra,
        "dec_deg": dec,
        "position_err_arcsec": float(1 / np.sqrt(precision.sum())),
        "flux_jy": float(np.average(flux, weights=weight)),
        "flux_err_jy": float(1 / np.sqrt(weight.sum())),
        "flux_min_jy": float(flux.min()),
        "flux_max_jy": float(flux.max()),
        "snr_max": float(snr.max()),
        "tiles_seen": part["tile"].nunique(),
        "first_mjd": float(part["mjd"].min()),
        "last_mjd": float(part["mjd"].max()),
        "tiles": " ".join(sorted(part["tile"].unique())),
    }


COMMAND = Command(
    help="List the sources of all tiles that no catalogue has, matched over tiles and days.",
    files=UnknownFiles,
    options=(AllTilesOptions,),
    run=run,
    outputs=("table", "record"),
    record="record",
)
