"""Which tiles form which mosaic.

Every mosaic holds tiles of one declination strip (or of one tracked field). Names tell what a
mosaic is and do not change when other data arrive:

=============  =================================  ==============================================
mode           name                               tiles
=============  =================================  ==============================================
calibrator     ``20251005_0834+555``              around the transit, ``span_minutes`` in all
               ``20251005_0834+555_2``            the second transit of that UTC day
               ``20251005T152918_3C286``          around each tracked observation of a calibrator
window         name of its first tile             ``window_tiles`` that follow each other
day            ``20251005_d+55.58``               all of a UTC day and strip
               ``20251005_d+55.58_p1``            its parts, when one plane cannot hold it
field          ``20251005_J0834+5534``            all of a UTC day at one position
(any)          a name of ``plan.mosaics``         as listed there
=============  =================================  ==============================================
"""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.core.coords import SIDEREAL_DAY, clusters, j2000_name, unit_vectors
from contimg.core.errors import ContimgError
from contimg.core.groups import Group
from contimg.core.paths import WILDCARDS
from contimg.core.strips import strip_deg, strips
from contimg.mosaic.options import MosaicOptions
from contimg.plan.options import PlanOptions, split_list

_SAME_FIELD_RAD = np.radians(0.02)  # positions nearer than this are one field

Named = Iterator[tuple[str, list[str]]]


def find_mosaics(
    groups: list[Group],
    calsets: dict[str, dict[str, Any]],
    plan: PlanOptions,
    options: MosaicOptions,
) -> dict[str, dict[str, Any]]:
    """The mosaics of the mode and those of the user's lists, by name.

    Those of the mode with fewer than ``min_tiles`` tiles are not made.
    """
    groups = sorted(groups, key=lambda g: (g.start_mjd, g.group))
    makers = {
        "calibrator": _by_calibrator,
        "window": _by_window,
        "day": _by_day,
        "field": _by_field,
        "none": lambda *_: iter(()),
    }
    found: dict[str, list[str]] = {}
    for name, tiles in makers[options.mode](groups, calsets, options):
        if len(tiles) >= options.min_tiles:
            _add(found, name, tiles)
    for name, tiles in _by_list(groups, plan):
        _add(found, name, tiles)
    return {name: {"tiles": tiles} for name, tiles in sorted(found.items())}


def _add(found: dict[str, list[str]], name: str, tiles: list[str]) -> None:
    if name in found:
        raise ContimgError(f"two mosaics would be named {name}; rename that of plan.mosaics")
    if not re.fullmatch(WILDCARDS["mosaic"], name):
        raise ContimgError(f"{name!r} cannot name a mosaic: letters, digits and _ . + - only")
    found[name] = tiles


def _by_calibrator(groups: list[Group], calsets: dict, options: MosaicOptions) -> Named:
    half = options.span_minutes / 2 / 1440
    strip = strips(groups, options.strip_tolerance_deg)
    mids = np.array([g.mid_mjd for g in groups])
    number = {g.group: k for k, g in enumerate(groups)}
    found: dict[str, dict[int, list[str]]] = {}
    for calset in calsets.values():
        at = number[calset["group"]]
        of_strip = found.setdefault(_calibrator_name(groups[at], calset), {})
        if int(strip[at]) not in of_strip:  # groups that overlap a little may share a transit
            near = np.abs(mids - calset["mjd"]) <= half
            chosen = np.flatnonzero(near & (strip == strip[at]))
            of_strip[int(strip[at])] = [groups[k].group for k in chosen]
    for name, of_strip in found.items():
        for which, tiles in of_strip.items():
            several = f"_{strip_name(groups, strip, which)}" if len(of_strip) > 1 else ""
            yield name + several, tiles


def _calibrator_name(group: Group, calset: dict) -> str:
    if group.tracking == "sidereal":
        return f"{calset['group']}_{calset['calibrator']}"
    day = (datetime.date(1858, 11, 17) + datetime.timedelta(days=int(calset["mjd"]))).strftime(
        "%Y%m%d"
    )
    # a sidereal day is shorter: what transits this late has transited on this day before
    second = calset["mjd"] % 1 >= SIDEREAL_DAY
    return f"{day}_{calset['calibrator']}" + ("_2" if second else "")


def strip_name(groups: list[Group], strip: NDArray[np.int64], which: int) -> str:
    """A strip as ``d+55.58``, from the middle of the strip's declinations."""
    decs = sorted(strip_deg(g) for g, k in zip(groups, strip, strict=True) if k == which)
    return f"d{decs[(len(decs) - 1) // 2]:+.2f}"


def _by_window(groups: list[Group], calsets: dict, options: MosaicOptions) -> Named:
    for run in consecutive(groups, options.strip_tolerance_deg):
        for tiles in windows(len(run), options):
            chosen = [run[k].group for k in tiles]
            yield chosen[0], chosen


def windows(length: int, options: MosaicOptions) -> list[range]:
    """Windows over a run of `length` tiles: each tile is in one at least, neighbours overlap.

    The last window ends with the run; if it would hold fewer than ``min_tiles`` tiles, they are
    added to the window before it. A run of fewer than ``min_tiles`` tiles has no window.
    """
    if length < options.min_tiles:
        return []
    step = options.window_tiles - options.window_overlap
    starts = list(range(0, max(length - options.window_overlap, 1), step))
    if len(starts) > 1 and length - starts[-1] < options.min_tiles:
        starts.pop()
    ends = [start + options.window_tiles for start in starts[:-1]] + [length]
    return [range(start, end) for start, end in zip(starts, ends, strict=True)]


def consecutive(groups: list[Group], tolerance_deg: float) -> list[list[Group]]:
    """Runs of groups of one strip that follow each other; a missing group ends a run.

    Groups follow each other when less than half a group of time lies between them.
    """
    strip = strips(groups, tolerance_deg)
    runs: list[list[Group]] = []
    previous: tuple[int, Group] | None = None
    for k in np.lexsort(([g.start_mjd for g in groups], strip)):
        group = groups[k]
        if previous is not None and previous[0] == strip[k] and _follows(previous[1], group):
            runs[-1].append(group)
        else:
            runs.append([group])
        previous = (strip[k], group)
    return runs


def _follows(previous: Group, group: Group) -> bool:
    length = previous.end_mjd - previous.start_mjd
    return group.start_mjd - previous.end_mjd < 0.5 * length


def _by_day(groups: list[Group], calsets: dict, options: MosaicOptions) -> Named:
    strip = strips(groups, options.strip_tolerance_deg)
    days: dict[tuple[str, int], list[Group]] = {}
    for group, number in zip(groups, strip.tolist(), strict=True):
        days.setdefault((group.group[:8], number), []).append(group)
    for (day, number), tiles in days.items():
        name = f"{day}_{strip_name(groups, strip, number)}"
        planes = parts(tiles, np.radians(options.max_radius_deg))
        for k, part in enumerate(planes, start=1):
            yield name if len(planes) == 1 else f"{name}_p{k}", [g.group for g in part]


def parts(tiles: list[Group], radius_rad: float) -> list[list[Group]]:
    """Equal parts in the order given, as few as lie within the radius of their centres."""
    for number in range(1, len(tiles) + 1):
        edges = np.round(np.linspace(0, len(tiles), number + 1)).astype(int)
        parts = [tiles[a:b] for a, b in itertools.pairwise(edges)]
        if all(_radius_rad(part) <= radius_rad for part in parts):
            return parts
    return [[tile] for tile in tiles]


def _vectors(groups: list[Group]) -> NDArray[np.float64]:
    ra, dec = np.radians([(g.ra_deg, g.dec_deg) for g in groups]).T
    return unit_vectors(ra, dec)


def _radius_rad(groups: list[Group]) -> float:
    """Largest distance of a tile from the direction of their mean."""
    vectors = _vectors(groups)
    mean = vectors.mean(axis=0)
    if np.linalg.norm(mean) < 1e-9:
        return np.pi
    cosines = vectors @ (mean / np.linalg.norm(mean))
    return float(np.arccos(np.clip(cosines, -1, 1)).max())


def _by_field(groups: list[Group], calsets: dict, options: MosaicOptions) -> Named:
    field = _fields(groups)
    names: dict[int, str] = {}
    for number in dict.fromkeys(field.tolist()):
        first = min(
            (g for g, f in zip(groups, field, strict=True) if f == number),
            key=lambda g: (g.ra_deg, g.dec_deg),
        )
        name = j2000_name(first.ra_deg, first.dec_deg)
        taken = sum(other == name or other.startswith(f"{name}_") for other in names.values())
        names[number] = f"{name}_{taken + 1}" if taken else name
    mosaics: dict[str, list[str]] = {}
    for group, number in zip(groups, field.tolist(), strict=True):
        mosaics.setdefault(f"{group.group[:8]}_{names[number]}", []).append(group.group)
    yield from mosaics.items()


def _fields(groups: list[Group]) -> NDArray[np.int64]:
    """Number of each group's field: positions linked within a small angle, across RA 0h."""
    ra, dec = (np.radians([getattr(g, name) for g in groups]) for name in ("ra_deg", "dec_deg"))
    return clusters(ra, dec, _SAME_FIELD_RAD)


def _by_list(groups: list[Group], plan: PlanOptions) -> Named:
    names = {g.group for g in groups}
    for text in plan.mosaics or ():
        name, tiles = split_list(text)
        unknown = [tile for tile in tiles if tile not in names]
        if unknown:
            raise ContimgError(
                f"plan.mosaics: {name} lists {', '.join(unknown)}, which"
                f" {'is' if len(unknown) == 1 else 'are'} not among the {len(names)} groups of"
                " the plan (rejected, or not selected?)"
            )
        yield name, tiles
