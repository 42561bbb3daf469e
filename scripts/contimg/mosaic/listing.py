"""``contimg mosaic list``: the mosaics of a results directory, by time and by position.

Nothing is kept beside the records: the index is made from them when it is asked for (about half a
millisecond a mosaic).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from astropy.time import Time
from pydantic import Field

from contimg.core.command import Command, Files
from contimg.core.coords import separation
from contimg.core.errors import ContimgError
from contimg.core.paths import parse, path, pattern
from contimg.core.places import position
from contimg.core.records import atomic, read_record

COLUMNS = (
    "mosaic",
    "mjd",
    "ra_deg",
    "dec_deg",
    "radius_deg",
    "tiles",
    "rms_median_jy_beam",
    "verdict",
    "validation",
    "reason",
    "image",
)


class MosaicListFiles(Files):
    """What is listed."""

    results: str = Field("results", description="results directory")
    since: str | None = Field(None, description="earliest mean time, ISO UTC or MJD")
    until: str | None = Field(None, description="latest mean time, ISO UTC or MJD")
    around: list[str] | None = Field(
        None, description="position: 128.73 55.57 (ICRS, degrees) or 8h34m54s +55d34m"
    )
    radius_deg: float = Field(
        0.0, ge=0, description="with --around: mosaics that reach within this of it [deg]"
    )
    table: Path | None = Field(None, description="write the list here too (CSV)")


def run(files: MosaicListFiles) -> None:
    """Print the mosaics asked for, in order of time."""
    found = query(index(files.results), files)
    if files.table is not None:
        with atomic(files.table) as partial:
            found.to_csv(partial, index=False)
    shown = found.drop(columns=["radius_deg", "image"])
    print(shown.to_string(index=False) if len(found) else "no mosaics")


def index(results: str) -> pd.DataFrame:
    """One row a mosaic that has a record, in order of time; a failed one has no position."""
    rows = []
    for record in sorted(Path(results).glob("mosaics/*/*.json")):
        try:
            key = parse("mosaic_record", str(record), results)
        except ValueError:
            continue  # another record in the same folder
        content = read_record(record)
        data = content["data"]
        validation = Path(path("mosaic_validation", results, **key))
        centre = data.get("centre", {})
        rows.append(
            {
                "mosaic": key["mosaic"],
                "mjd": data.get("mjd"),
                "ra_deg": centre.get("ra_deg"),
                "dec_deg": centre.get("dec_deg"),
                "radius_deg": _radius(data),
                "tiles": len(data.get("tiles_used", [])),
                "rms_median_jy_beam": data.get("rms_median_jy_beam"),
                "verdict": content["verdict"],
                "validation": read_record(validation)["verdict"] if validation.exists() else "",
                "reason": content["reason"],
                "image": path("mosaic", results, **key),
            }
        )
    if not rows and not Path(results).is_dir():
        raise ContimgError(f"{results}: no such directory ({pattern('mosaic_record', results)})")
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.sort_values(["mjd", "mosaic"], ignore_index=True)


def query(table: pd.DataFrame, files: MosaicListFiles) -> pd.DataFrame:
    """The rows within the times and near the position asked for."""
    keep = np.ones(len(table), bool)
    mjd = table["mjd"].to_numpy(dtype=float)
    if files.since is not None:
        keep &= mjd >= to_mjd(files.since)
    if files.until is not None:
        keep &= mjd <= to_mjd(files.until)
    if files.around is not None:
        at = np.radians(position(" ".join(files.around)))
        there = np.radians(table[["ra_deg", "dec_deg"]].to_numpy(dtype=float))
        distance = np.degrees(separation(there[:, 0], there[:, 1], at[0], at[1]))
        keep &= distance <= files.radius_deg + table["radius_deg"].to_numpy(dtype=float)
    return table[keep]


def to_mjd(when: str) -> float:
    """MJD of an ISO time (UTC) or of a number."""
    try:
        return float(when)
    except ValueError:
        pass
    try:
        return float(Time(when, scale="utc").mjd)
    except ValueError:
        raise ContimgError(f"{when!r} is neither an ISO time nor an MJD") from None


def _radius(data: dict) -> float | None:
    """Distance [deg] from the centre to the farthest corner."""
    if not data.get("corners_deg") or "centre" not in data:
        return None
    corners = np.radians(np.array(data["corners_deg"]))
    centre = np.radians([data["centre"]["ra_deg"], data["centre"]["dec_deg"]])
    return float(np.degrees(separation(corners[:, 0], corners[:, 1], *centre).max()))


COMMAND = Command(
    help="List the mosaics of a results directory by time and position.",
    files=MosaicListFiles,
    options=(),
    run=run,
    by_hand=True,
)
