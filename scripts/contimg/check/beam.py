"""``contimg beam``: the dish diameter that the flux densities of all tiles prefer.

A beam that is not the one assumed makes flux densities wrong by what it is wrong, more towards its
edge. Each tile fits the trend of its flux ratios with the beam (:mod:`contimg.image.against`),
together with a level and a gradient. Tiles of one place on the sky share their sources, and with
them the errors of the catalogue: days make its mean better only by their own scatter. Places are
independent, and their robust mean is the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from contimg.check.options import AllTilesOptions
from contimg.check.tiles import Tile, read_tiles, records_of
from contimg.core.command import Command, Files
from contimg.core.coords import clusters
from contimg.core.records import Check, atomic, check, not_made, write_record
from contimg.core.robust import robust_mean, robust_rms

METRIC = "dish diameter that the fluxes of all tiles prefer, over that assumed"
COLUMNS = (
    *("ra_deg", "dec_deg", "tiles", "dish_diameter_m", "dish_diameter_err_m", "scatter_m"),
    *("first_mjd", "last_mjd"),
)
_ONE_PLACE_DEG = 0.3  # centres of tiles nearer than this are one place on the sky
_FEWEST = 3  # days that tell their scatter
_SURE = 5.0


class BeamFiles(Files):
    """Inputs and outputs."""

    records: list[Path] = Field(
        min_length=1, description="records of images, or a directory below which all are"
    )
    tier: str = Field("standard", description="tier of the images")
    table: Path = Field(description="table of the places on the sky to write (CSV)")
    record: Path = Field(description="JSON record to write")


@dataclass(frozen=True)
class Dish:
    """What the tiles prefer, and what they were made with [m]."""

    diameter_m: float
    error_m: float
    scatter_m: float  # of places beyond their errors
    assumed_m: float

    def judged(self, limit: float) -> Check:
        """A deviation counts where it is both sure and large."""
        sure = abs(self.diameter_m - self.assumed_m) > _SURE * self.error_m
        return check(
            METRIC,
            self.diameter_m / self.assumed_m,
            warn_below=1 - limit if sure else None,
            warn_above=1 + limit if sure else None,
        )


def run(files: BeamFiles, options: AllTilesOptions) -> None:
    """Combine the dish diameters of all tiles."""
    records = records_of(files.records, files.tier)
    tiles, left_out = read_tiles(records)
    table = places(tiles)
    dish = combined(tiles, table)
    with atomic(files.table) as partial:
        table.to_csv(partial, index=False, float_format="%.7g")
    measured = int(table["tiles"].sum())
    few = f"none of {len(tiles)} tiles has enough sources for the trend of fluxes with the beam"
    write_record(
        files.record,
        product=files.record.stem,
        stage="beam",
        data={
            "dish_diameter_m": None if dish is None else dish.diameter_m,
            "dish_diameter_err_m": None if dish is None else dish.error_m,
            "scatter_m": None if dish is None else dish.scatter_m,
            "assumed_m": None if dish is None else dish.assumed_m,
            "tiles": measured,
            "places": len(table),
            "tiles_without": len(tiles) - measured,
            "left_out": left_out,
        },
        checks=[not_made(METRIC, few) if dish is None else dish.judged(options.max_dish_error)],
        options=[options],
        inputs=records,
    )
    print(few if dish is None else f"dish {dish.diameter_m:.4f} +- {dish.error_m:.4f} m")


def places(tiles: Sequence[Tile]) -> pd.DataFrame:
    """One row a place on the sky, in order of right ascension: `COLUMNS`."""
    seen = pd.DataFrame([row for tile in tiles if (row := _of(tile)) is not None])
    if seen.empty:
        return pd.DataFrame(columns=COLUMNS)
    label = clusters(
        *np.radians(seen[["ra_deg", "dec_deg"]].to_numpy().T), np.radians(_ONE_PLACE_DEG)
    )
    rows = [_place(part) for _, part in seen.groupby(label, sort=True)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.sort_values(["ra_deg", "dec_deg"], kind="stable", ignore_index=True)


def combined(tiles: Sequence[Tile], table: pd.DataFrame) -> Dish | None:
    """The mean of the places; None where there is none."""
    if table.empty:
        return None
    value, error = (table[c].to_numpy(float) for c in ("dish_diameter_m", "dish_diameter_err_m"))
    mean, mean_error, scatter = robust_mean(value, error)
    return Dish(mean, mean_error, scatter, _assumed(tiles[-1]))


def _assumed(tile: Tile) -> float:
    return float(tile.parameters["instrument"]["dish_diameter_m"])


def _of(tile: Tile) -> dict[str, Any] | None:
    field = tile.data["validation"]["field"]
    if field["dish_diameter_m"] is None:
        return None
    centre = {key: tile.data[key] for key in ("ra_deg", "dec_deg", "mjd")}
    return centre | {key: field[key] for key in ("dish_diameter_m", "dish_diameter_err_m")}


def _place(part: pd.DataFrame) -> dict[str, Any]:
    """Days of one place: what their sources share stays, what scatters averages down."""
    value, error = part["dish_diameter_m"].to_numpy(), part["dish_diameter_err_m"].to_numpy()
    own = float(np.median(error))
    scatter = robust_rms(value) if len(part) >= _FEWEST else own
    shared = max(own**2 - scatter**2, 0.0)
    return {
        "ra_deg": float(part["ra_deg"].iloc[0]),
        "dec_deg": float(part["dec_deg"].median()),
        "tiles": len(part),
        "dish_diameter_m": float(np.average(value, weights=1 / error**2)),
        "dish_diameter_err_m": float(np.sqrt(shared + scatter**2 / len(part))),
        "scatter_m": scatter if len(part) >= _FEWEST else np.nan,
        "first_mjd": float(part["mjd"].min()),
        "last_mjd": float(part["mjd"].max()),
    }


COMMAND = Command(
    help="Measure the dish diameter that the flux densities of all tiles prefer.",
    files=BeamFiles,
    options=(AllTilesOptions,),
    run=run,
    outputs=("table", "record"),
    record="record",
)
