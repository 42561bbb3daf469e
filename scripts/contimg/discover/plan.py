"""The plan: calibrator observations, the calsets each tile may use, and the mosaics.

Computed from headers, the calibrator table and the options alone, so that the whole of a run is
known before any of it exists.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from contimg.core.beam import PrimaryBeam
from contimg.core.catalog import flux_density
from contimg.core.coords import apparent, j2000_name, mjd_time, separation, transits_between
from contimg.core.errors import ContimgError
from contimg.core.groups import Group
from contimg.discover.options import PlanOptions
from contimg.mosaic.options import MosaicOptions


def make_plan(
    groups: list[Group],
    calibrators: pd.DataFrame,
    beam: PrimaryBeam,
    options: PlanOptions,
    mosaic: MosaicOptions,
) -> dict[str, Any]:
    """Plan of a run: ``groups``, ``calsets``, ``tiles`` and ``mosaics``, all by name."""
    groups = sorted(groups, key=lambda g: (g.start_mjd, g.group))
    names = [g.group for g in groups]
    if len(set(names)) != len(names):
        double = sorted({n for n in names if names.count(n) > 1})
        raise ContimgError(
            f"more than one group is named {', '.join(double)}; select by declination"
        )
    calsets = find_calsets(groups, chosen(calibrators, options), beam, options)
    by_name = {g.group: g for g in groups}
    return {
        "groups": {g.group: dataclasses.asdict(g) for g in groups},
        "calsets": calsets,
        "tiles": {g.group: {"calsets": serving(g, calsets, by_name, options)} for g in groups},
        "mosaics": find_mosaics(groups, calsets, mosaic),
    }


def chosen(calibrators: pd.DataFrame, options: PlanOptions) -> pd.DataFrame:
    """The calibrators that may be used, all of known flux density."""
    table = calibrators
    if options.use is not None:
        unknown = sorted(set(options.use) - set(table["name"]))
        if unknown:
            raise ContimgError(
                f"{options.calibrators}: no calibrator named {', '.join(unknown)} (plan.use)"
            )
        table = table[table["name"].isin(options.use)]
    known = np.isfinite(flux_density(table, 1.4e9)[:, 0])
    return table[known]


def find_calsets(
    groups: list[Group], calibrators: pd.DataFrame, beam: PrimaryBeam, options: PlanOptions
) -> dict[str, dict[str, Any]]:
    """Groups that contain a calibrator: its transit (drift) or in the beam (tracking)."""
    calsets: dict[str, dict[str, Any]] = {}
    for group in groups:
        freq = (group.freq_min_hz + group.freq_max_hz) / 2
        for row in calibrators.itertuples(index=False):
            ra, dec = np.radians(row.ra_deg), np.radians(row.dec_deg)
            found = _in_group(group, ra, dec)
            if found is None:
                continue
            mjd, offset = found
            pb = float(beam.power(offset, freq))
            flux = float(flux_density(calibrators[calibrators["name"] == row.name], freq)[0, 0])
            if pb >= options.min_pb and pb * flux >= options.min_flux_jy:
                calsets[f"{group.group}_{row.name}"] = {
                    "group": group.group,
                    "calibrator": row.name,
                    "mjd": mjd,
                    "pb": round(pb, 4),
                    "apparent_flux_jy": round(pb * flux, 4),
                }
    return calsets


def _in_group(group: Group, ra: float, dec: float) -> tuple[float, float] | None:
    """(MJD, offset from the beam axis [rad]) of a position in a group, None when not seen."""
    if group.tracking == "sidereal":
        offset = separation(ra, dec, np.radians(group.ra_deg), np.radians(group.dec_deg))
        return group.mid_mjd, float(offset)
    if abs(np.degrees(dec) - group.dec_app_deg) > 10:  # far outside any beam: spare the search
        return None
    transits = transits_between(ra, dec, group.start_mjd, group.end_mjd, group.location)
    if not transits:
        return None
    _, dec_app = apparent(ra, dec, mjd_time(transits[0]), group.location)
    return transits[0], abs(float(dec_app) - np.radians(group.dec_app_deg))


def serving(
    tile: Group,
    calsets: dict[str, dict[str, Any]],
    groups: dict[str, Group],
    options: PlanOptions,
) -> list[str]:
    """Calsets that may serve a tile: same strip, not stale; nearest in time first."""
    offers = []
    for name, calset in calsets.items():
        source = groups[calset["group"]]
        hours = abs(calset["mjd"] - tile.mid_mjd) * 24
        same_strip = abs(_strip(source) - _strip(tile)) <= options.dec_tolerance_deg
        if source.tracking == tile.tracking and same_strip and hours <= options.staleness_hours:
            offers.append((round(hours, 6), -calset["apparent_flux_jy"], name))
    return [name for _, _, name in sorted(offers)[: options.max_calsets]]


def _strip(group: Group) -> float:
    return group.dec_app_deg if group.dec_app_deg is not None else group.dec_deg


def find_mosaics(
    groups: list[Group], calsets: dict[str, dict[str, Any]], options: MosaicOptions
) -> dict[str, dict[str, Any]]:
    """The mosaics, by the mode of the config."""
    makers = {"calibrator": _by_calibrator, "window": _by_window, "field": _by_field}
    mosaics = makers[options.mode](groups, calsets, options)
    return {name: {"tiles": tiles} for name, tiles in sorted(mosaics.items()) if tiles}


def _by_calibrator(groups, calsets, options: MosaicOptions) -> dict[str, list[str]]:
    half = options.span_minutes / 2 / 1440
    mosaics = {}
    by_name = {g.group: g for g in groups}
    for calset in calsets.values():
        day = mjd_time(calset["mjd"]).strftime("%Y%m%d")
        strip = _strip(by_name[calset["group"]])
        mosaics[f"{day}_{calset['calibrator']}"] = [
            g.group
            for g in groups
            if abs(g.mid_mjd - calset["mjd"]) <= half and abs(_strip(g) - strip) <= 0.1
        ]
    return mosaics


def _by_window(groups, calsets, options: MosaicOptions) -> dict[str, list[str]]:
    step = options.window_tiles - options.window_overlap
    mosaics = {}
    for run in _consecutive(groups):
        last = max(len(run) - options.window_overlap, 1)
        for first in range(0, last, step):
            tiles = run[first : first + options.window_tiles]
            mosaics[tiles[0].group] = [g.group for g in tiles]
    return mosaics


def _consecutive(groups: list[Group]) -> list[list[Group]]:
    """Runs of groups of one strip that follow each other without a gap of a group."""
    runs: list[list[Group]] = []
    for group in sorted(groups, key=lambda g: (round(_strip(g), 1), g.start_mjd)):
        previous = runs[-1][-1] if runs else None
        length = group.end_mjd - group.start_mjd
        if (
            previous is not None
            and abs(_strip(previous) - _strip(group)) <= 0.1
            and group.start_mjd - previous.end_mjd < length
        ):
            runs[-1].append(group)
        else:
            runs.append([group])
    return runs


def _by_field(groups, calsets, options: MosaicOptions) -> dict[str, list[str]]:
    mosaics: dict[str, list[str]] = {}
    for group in groups:
        day = mjd_time(group.mid_mjd).strftime("%Y%m%d")
        name = f"{day}_{j2000_name(group.ra_deg, group.dec_deg)}"
        mosaics.setdefault(name, []).append(group.group)
    return mosaics
