"""The delays of a calset over the array and along it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.calset.draw import DPI, title_of, titled
from contimg.calset.gains import mean
from contimg.calset.panels import Subject, strip
from contimg.core.pictures import write_picture
from contimg.core.robust import median

_GAP = 0.2  # of the median distance from the middle: a wider gap ends the core


def east_north_m(positions_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Offsets (antenna, 2) [m] to the east and north of the array's middle, from ITRF."""
    from astropy.coordinates import EarthLocation

    middle = np.median(positions_m, axis=0)
    here = EarthLocation.from_geocentric(*middle, unit="m")
    lon, lat = here.lon.rad, here.lat.rad
    east = np.array([-np.sin(lon), np.cos(lon), 0])
    north = np.array([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
    return (positions_m - middle) @ np.stack([east, north], axis=1)


def core_of(distance_m: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Antennas before the first wide gap in the distances of the outer third."""
    order = np.sort(distance_m)
    start = 2 * order.size // 3
    wide = np.diff(order[start:]) > _GAP * np.median(order)
    last = order[start + np.argmax(wide)] if wide.any() else order[-1]
    return distance_m <= last


def draw_delays(subject: Subject, path: Path) -> None:
    """Maps of the delays (array, and its core), delays and residual delays by antenna."""
    seen, calset = subject.seen, subject.calset
    solved_for = np.isfinite(seen.delay_ns).any()
    delays = seen.delay_ns if solved_for else seen.residual.delay_ns
    label = "K: delay [ns]" if solved_for else "delay in the phases of B [ns]"
    place = east_north_m(calset.tables["B"].positions_m[seen.antennas])
    distance = np.hypot(*(place - np.median(place, axis=0)).T)
    core = core_of(distance)
    apart = not core.all()
    map_height = 6.6
    figure = titled(subject.antennas, map_height + 4.6, title_of(subject, "delays"))
    upper, lower = figure.subfigures(2, 1, height_ratios=[map_height, 4.6])
    maps = upper.subplots(1, 2 if apart else 1, squeeze=False)[0]
    both = mean(delays, 1)
    middle = float(median(both))
    spread = np.abs(both - middle)
    edge = float(np.nanquantile(spread, 0.97)) if np.isfinite(spread).any() else 1.0
    scale = {"vmin": middle - max(edge, 0.1), "vmax": middle + max(edge, 0.1)}
    for axes, chosen, labelled in (
        (maps[0], np.ones(core.size, bool), ~core if apart else ~np.zeros(core.size, bool)),
        *([(maps[1], core, core)] if apart else []),
    ):
        mesh = _map(axes, subject, place, both, chosen, labelled, scale)
    maps[0].set_title("whole array" if apart else "array", fontsize=10)
    if apart:
        maps[1].set_title("core", fontsize=10)
    upper.colorbar(mesh, ax=list(maps), label=f"{label}, mean of both correlations", extend="both")
    first, second = lower.subplots(2, 1)
    strip(first, subject.antennas, delays, label, names=False)
    strip(second, subject.antennas, seen.residual.delay_ns, "left in B [ns]")
    error = seen.residual.error_ns
    at = np.arange(len(subject.antennas.names))
    for corr in range(error.shape[1]):
        x = at + 0.15 * (2 * corr - 1)
        middle_ns = seen.residual.delay_ns[:, corr]
        bars = {"color": "0.7", "lw": 0.8, "zorder": 1}
        second.vlines(x, middle_ns - error[:, corr], middle_ns + error[:, corr], **bars)
    second.axhline(0, color="0.6", lw=0.7, zorder=0)
    write_picture(figure, path, DPI)


def _map(
    axes: Any,
    subject: Subject,
    place: NDArray,
    value: NDArray,
    chosen: NDArray,
    labelled: NDArray,
    scale: dict[str, float],
) -> Any:
    """Antennas of one map, coloured by `value`; those without solutions are crosses."""
    there = np.isfinite(value)
    dead = chosen & ~there
    axes.plot(*place[dead].T, "x", color="0.4", ms=5, mew=1)
    which = chosen & there
    size = float(np.clip(2500 / max(which.sum(), 1), 22, 70))
    mesh = axes.scatter(
        *place[which].T,
        c=value[which],
        cmap="coolwarm",
        s=size,
        edgecolors="0.3",
        linewidths=0.4,
        zorder=3,
        **scale,
    )
    refant = subject.antennas.names.index(subject.calset.data["refant"])
    if chosen[refant]:
        ring = {"facecolors": "none", "edgecolors": "black", "linewidths": 1.6, "zorder": 4}
        axes.scatter(*place[refant], s=2 * size, label="reference antenna", **ring)
        axes.legend(loc="best", fontsize=8, frameon=False)
    _label(axes, subject, place, chosen & labelled)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.08)
    axes.set_xlabel("east [m]", fontsize=9)
    axes.set_ylabel("north [m]", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(color="0.93", lw=0.6)
    axes.set_axisbelow(True)
    return mesh


def _label(axes: Any, subject: Subject, place: NDArray, which: NDArray) -> None:
    """Names beside the antennas, across the line on which their neighbours stand."""
    short = subject.antennas.short_names()
    rows = np.flatnonzero(which)
    size = 8.0 if rows.size < 40 else 5.5
    for turn, k in enumerate(rows):
        offsets = place[rows[rows != k]] - place[k]
        nearest = offsets[np.argmin(np.hypot(*offsets.T))] if len(offsets) else np.array([0, 1.0])
        upright = abs(nearest[0]) > 2 * abs(nearest[1])  # neighbours to the east and west
        side = 1 if turn % 2 else -1  # neighbours have their names on opposite sides
        axes.annotate(
            short[k],
            place[k],
            xytext=(0, 5 * side) if upright else (5 * side, 0),
            textcoords="offset points",
            ha="center" if upright else ("left" if side > 0 else "right"),
            va=("bottom" if side > 0 else "top") if upright else "center",
            rotation=90 if upright else 0,
            fontsize=size,
            color=subject.antennas.colour(k),
        )
