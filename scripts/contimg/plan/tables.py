"""The plan as tables for people and for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from contimg.core.plans import calsets_of
from contimg.core.window import utc_of

CALSET_COLUMNS = (
    *("calset", "group", "calibrator", "mjd", "utc", "pb", "apparent_flux_jy"),
    *("pointing_dec_deg", "tiles_offered"),
)
TILE_COLUMNS = (
    *("tile", "start_utc", "mid_mjd", "ra_deg", "dec_deg", "pointing_dec_deg", "subbands"),
    *("raw_gb", "calsets", "nearest_hours", "reason", "mosaics"),
)
MOSAIC_COLUMNS = (
    *("mosaic", "n_tiles", "first_tile", "last_tile", "start_utc", "length_minutes"),
    *("pointing_dec_deg", "uncalibrated_tiles", "tiles"),
)


def calsets_csv(plan: dict[str, Any]) -> str:
    """One row a calset, in order of time."""
    offered: dict[str, int] = dict.fromkeys(calsets_of(plan), 0)
    for tile in plan["tiles"].values():
        for name in tile["calsets"]:
            offered[name] += 1
    utc = utc_of(np.array([calset["mjd"] for calset in plan["calsets"].values()]))
    rows = (
        [
            *(name, calset["group"], calset["calibrator"], f"{calset['mjd']:.7f}", time),
            *(calset["pb"], calset["apparent_flux_jy"]),
            *(f"{pointing_deg(plan['groups'][calset['group']]):.4f}", offered[name]),
        ]
        for (name, calset), time in zip(plan["calsets"].items(), utc, strict=True)
    )
    return _csv(CALSET_COLUMNS, rows)


def tiles_csv(plan: dict[str, Any]) -> str:
    """One row a tile: where and when, which calsets may serve it, the mosaics it is in."""
    member: dict[str, list[str]] = {}
    for mosaic, content in plan["mosaics"].items():
        for tile in content["tiles"]:
            member.setdefault(tile, []).append(mosaic)
    utc = utc_of(np.array([group["start_mjd"] for group in plan["groups"].values()]))
    rows, known = [], calsets_of(plan)
    for (name, group), start in zip(plan["groups"].items(), utc, strict=True):
        tile = plan["tiles"][name]
        mid = (group["start_mjd"] + group["end_mjd"]) / 2
        hours = ""
        if tile["calsets"]:
            hours = f"{abs(known[tile['calsets'][0]]['mjd'] - mid) * 24:.3f}"
        rows.append(
            [
                *(name, start, f"{mid:.7f}", f"{group['ra_deg']:.6f}", f"{group['dec_deg']:.6f}"),
                *(f"{pointing_deg(group):.4f}", group["subbands"]),
                *(f"{tile.get('raw_bytes', 0) / 1e9:.3f}", " ".join(tile["calsets"]), hours),
                *(tile["reason"], " ".join(member.get(name, ()))),
            ]
        )
    return _csv(TILE_COLUMNS, rows)


def mosaics_csv(plan: dict[str, Any]) -> str:
    """One row a mosaic and its tiles."""
    first = [plan["groups"][m["tiles"][0]]["start_mjd"] for m in plan["mosaics"].values()]
    rows = []
    for (name, mosaic), start, utc in zip(
        plan["mosaics"].items(), first, utc_of(np.array(first)), strict=True
    ):
        tiles = mosaic["tiles"]
        groups = [plan["groups"][tile] for tile in tiles]
        minutes = (max(group["end_mjd"] for group in groups) - start) * 1440
        bare = sum(not plan["tiles"][tile]["calsets"] for tile in tiles)
        rows.append(
            [
                *(name, len(tiles), tiles[0], tiles[-1], utc, f"{minutes:.1f}"),
                *(f"{np.median([pointing_deg(group) for group in groups]):.4f}", bare),
                " ".join(tiles),
            ]
        )
    return _csv(MOSAIC_COLUMNS, rows)


def pointing_deg(group: dict[str, Any]) -> float:
    """Pointing declination of a group of the plan [deg]: apparent for drift scans, else ICRS."""
    return group["dec_app_deg"] if group["dec_app_deg"] is not None else group["dec_deg"]


def _csv(columns: tuple[str, ...], rows: Iterable[list]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return stream.getvalue()


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "calsets_table": calsets_csv,
    "tiles_table": tiles_csv,
    "mosaics_table": mosaics_csv,
}
