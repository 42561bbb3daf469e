"""The plan: calibrator observations, the calsets each tile may use, and the mosaics.

Computed from headers, the calibrator table and the options alone, so that the whole of a run is
known before any of it exists.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.calibrate.options import FROM_CALIBRATOR, ScaleOptions
from contimg.core.beam import PrimaryBeam
from contimg.core.calibrators import scale_origin
from contimg.core.catalog import flux_density
from contimg.core.coords import separation
from contimg.core.errors import ContimgError
from contimg.core.groups import Group
from contimg.core.paths import WILDCARDS
from contimg.core.strips import strip_deg
from contimg.mosaic.options import MosaicOptions
from contimg.plan.deep import find_deep
from contimg.plan.mosaics import find_mosaics
from contimg.plan.options import PlanOptions
from contimg.plan.transits import transits

# No beam reaches farther than this: spares the search for the transits of the rest of the sky.
_FAR_DEG = 20.0

Calsets = dict[str, dict[str, Any]]


def make_plan(
    groups: list[Group],
    calibrators: pd.DataFrame,
    beam: PrimaryBeam,
    options: PlanOptions,
    mosaic: MosaicOptions,
    scale: ScaleOptions = FROM_CALIBRATOR,
) -> dict[str, Any]:
    """Plan of a run: ``groups``, ``calsets``, ``tiles``, ``mosaics`` and deep ones, all by name.

    Does not depend on the order of the groups or of the calibrators. Raises
    :class:`ContimgError` for calibrators and named mosaics that do not exist.
    """
    groups = sorted(groups, key=lambda g: (g.start_mjd, g.group))
    names = [g.group for g in groups]
    if len(set(names)) != len(names):
        double = sorted({n for n in names if names.count(n) > 1})
        raise ContimgError(f"more than one group is named {', '.join(double)}")
    calsets = find_calsets(groups, chosen(calibrators, options, scale), beam, options)
    models, deep, model_of = find_deep(groups, options.deep_days, mosaic, options.staleness_hours)
    tiles = find_tiles(groups, calsets, options)
    for group, found in model_of.items():
        tiles[group] |= found
    return {
        "groups": {g.group: dict(vars(g)) for g in groups},
        "calsets": calsets,
        "tiles": tiles,
        "mosaics": find_mosaics(groups, calsets, options, mosaic),
        "deep_models": models,
        "deep_mosaics": deep,
    }


def chosen(
    calibrators: pd.DataFrame, options: PlanOptions, scale: ScaleOptions = FROM_CALIBRATOR
) -> pd.DataFrame:
    """The calibrators of whose calsets the flux scale is known, in order of name.

    Those that may set it and, where ``flux_scale.field_scale`` lets the field do so, others too.
    One that ``plan.use`` asks for and that is not among them is an error.
    """
    table = calibrators.sort_values("name", ignore_index=True)
    if options.use is not None:
        unknown = sorted(set(options.use) - set(table["name"]))
        if unknown:
            raise ContimgError(
                f"{options.calibrators}: no calibrator named {', '.join(unknown)} (plan.use)"
            )
        table = table[table["name"].isin(options.use)]
    answers = [scale_origin(row, scale.field_scale) for _, row in table.iterrows()]
    allowed = np.array([bool(origin) for origin, _ in answers], dtype=bool)
    if options.use is not None and not allowed.all():
        useless = "; ".join(
            f"{name} ({why})"
            for name, (origin, why) in zip(table["name"], answers, strict=True)
            if not origin
        )
        raise ContimgError(
            f"{options.calibrators}: cannot set the flux scale: {useless}; correct the table,"
            " tie the scale to the field (flux_scale.field_scale), or take it out of plan.use"
        )
    return table[allowed].reset_index(drop=True)


def find_calsets(
    groups: list[Group], calibrators: pd.DataFrame, beam: PrimaryBeam, options: PlanOptions
) -> Calsets:
    """Groups that contain a calibrator: its transit (drift) or in the beam (tracking).

    In order of time. ``mjd`` is the (apparent) transit or the middle of a tracked group, ``pb``
    the response at the centre of the band there.
    """
    if not groups or calibrators.empty:
        return {}
    seen = [*_transiting(groups, calibrators), *_tracked(groups, calibrators)]
    if not seen:
        return {}
    at, row, mjd, offset = (np.array(column) for column in zip(*seen, strict=True))
    freq = np.array([(groups[g].freq_min_hz + groups[g].freq_max_hz) / 2 for g in at])
    bands, number = np.unique(freq, return_inverse=True)
    pb = beam.power(offset, freq)
    flux = pb * flux_density(calibrators, bands)[row, number]
    good = (pb >= options.min_pb) & (flux >= options.min_flux_jy)
    names = calibrators["name"].tolist()
    calsets: Calsets = {}
    for k in sorted(np.flatnonzero(good), key=lambda k: (mjd[k], groups[at[k]].group, row[k])):
        group, calibrator = groups[at[k]].group, names[row[k]]
        if not re.fullmatch(WILDCARDS["calibrator"], calibrator):
            raise ContimgError(
                f"calibrator {calibrator!r} is observed in group {group}, but its name cannot be"
                " part of a path; rename it with letters, digits and . + - only"
            )
        calsets[f"{group}_{calibrator}"] = {
            "group": group,
            "calibrator": calibrator,
            # the same transit found in a longer window differs by microseconds
            "mjd": round(float(mjd[k]), 7),
            "pb": round(float(pb[k]), 4),
            "apparent_flux_jy": round(float(flux[k]), 4),
        }
    return calsets


def _transiting(groups: list[Group], calibrators: pd.DataFrame) -> Iterator[tuple]:
    """(group, calibrator, transit MJD, offset from the axis [rad]) of the drift scans."""
    drift = [k for k, g in enumerate(groups) if g.tracking != "sidereal"]
    place = {
        k: (groups[k].longitude_deg, groups[k].latitude_deg, groups[k].height_m) for k in drift
    }
    for here in sorted(set(place.values())):
        mine = np.array([k for k in drift if place[k] == here])
        start = np.array([groups[k].start_mjd for k in mine])
        order = np.argsort(start, kind="stable")
        mine, start = mine[order], start[order]
        end = np.array([groups[k].end_mjd for k in mine])
        dec = np.array([strip_deg(groups[k]) for k in mine])
        position = calibrators[["ra_deg", "dec_deg"]].to_numpy(dtype=float)
        apart = np.abs(position[:, 1][:, None] - np.unique(np.round(dec))[None, :])
        near = np.flatnonzero(apart.min(axis=1) <= _FAR_DEG)
        index, mjd, dec_app = transits(
            *np.radians(position[near]).T, start[0], end.max(), groups[mine[0]].location
        )
        longest = (end - start).max()
        first = np.searchsorted(start, mjd - longest, side="left")
        last = np.searchsorted(start, mjd, side="right")
        for k in np.flatnonzero(last > first):
            for g in range(first[k], last[k]):
                if start[g] <= mjd[k] < end[g]:
                    offset = abs(float(dec_app[k]) - np.radians(dec[g]))
                    yield int(mine[g]), int(near[index[k]]), float(mjd[k]), offset


def _tracked(groups: list[Group], calibrators: pd.DataFrame) -> Iterator[tuple]:
    """The same of fields that were tracked: every calibrator near the phase centre."""
    mine = [k for k, g in enumerate(groups) if g.tracking == "sidereal"]
    if not mine:
        return
    centre = np.radians([(groups[k].ra_deg, groups[k].dec_deg) for k in mine])
    position = np.radians(calibrators[["ra_deg", "dec_deg"]].to_numpy(dtype=float))
    offset = separation(position[:, :1], position[:, 1:], centre[None, :, 0], centre[None, :, 1])
    for row, g in zip(*np.nonzero(offset <= np.radians(_FAR_DEG)), strict=True):
        yield mine[g], int(row), groups[mine[g]].mid_mjd, float(offset[row, g])


def find_tiles(
    groups: list[Group], calsets: Calsets, options: PlanOptions
) -> dict[str, dict[str, Any]]:
    """For every group the calsets that may serve it, nearest in time first, or why there are none.

    A calset serves tiles of its declination strip (``dec_tolerance_deg``) and of its kind of
    tracking, ``staleness_hours`` before and after it.
    """
    by_name = {g.group: g for g in groups}
    names = list(calsets)
    sources = [by_name[calset["group"]] for calset in calsets.values()]
    mjd = np.array([calset["mjd"] for calset in calsets.values()])
    dec = np.array([strip_deg(group) for group in sources])
    drift = np.array([group.tracking == "drift" for group in sources], dtype=bool)
    flux = np.array([calset["apparent_flux_jy"] for calset in calsets.values()])
    alphabetic = np.argsort(np.argsort(np.array(names, dtype=str)))
    tiles = {}
    for group in groups:
        # calsets are in order of time, so that those within reach are neighbours
        reach = options.staleness_hours / 24 + 1e-9
        low, high = np.searchsorted(mjd, [group.mid_mjd - reach, group.mid_mjd + reach])
        near = np.arange(low, high)
        hours = np.round(np.abs(mjd[near] - group.mid_mjd) * 24, 6)
        same = np.abs(dec[near] - strip_deg(group)) <= options.dec_tolerance_deg
        same &= drift[near] == (group.tracking == "drift")
        fit = near[same & (hours <= options.staleness_hours)]
        order = np.lexsort((alphabetic[fit], -flux[fit], hours[fit - low]))
        offers = [names[k] for k in fit[order[: options.max_calsets]]]
        reason = "" if offers else _why_none(group, mjd, dec, drift, options)
        tiles[group.group] = {"calsets": offers, "reason": reason}
    return tiles


def _why_none(
    group: Group,
    mjd: NDArray[np.float64],
    dec: NDArray[np.float64],
    drift: NDArray[np.bool_],
    options: PlanOptions,
) -> str:
    """Why no calset may serve a tile."""
    if not mjd.size:
        return "no calibrator that may serve was observed"
    same = (np.abs(dec - strip_deg(group)) <= options.dec_tolerance_deg) & (
        drift == (group.tracking == "drift")
    )
    if not same.any():
        return (
            f"no calibrator that may serve was observed within {options.dec_tolerance_deg:g} deg"
            f" of declination {strip_deg(group):.2f} deg"
        )
    hours = np.abs(mjd[same] - group.mid_mjd).min() * 24
    return f"the nearest calset is {hours:.1f} h away, {options.staleness_hours:g} h are allowed"
