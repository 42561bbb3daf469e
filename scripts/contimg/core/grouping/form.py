"""Groups are formed from what the headers say: times, pointing and frequencies.

1. Files whose data start within ``tolerance_s`` of the next one are of one observation.
2. Of these, files that point alike (``pointing_tolerance_deg``) belong together.
3. The times of most of their subbands are the group's (then the longer, then the earlier ones);
   files that differ by more than ``time_agreement`` of an integration are rejected, because
   their phase centres would be elsewhere.
4. Of two files of one subband the one written last is taken, then the last by name.
5. Too few subbands: all files are rejected, with the number.
6. Two groups that begin in the same second would have one name: the one that the declination
   selection asks for is taken, then that with more subbands, then the northern one.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.core.errors import ContimgError
from contimg.core.grouping.build import build_groups
from contimg.core.grouping.files import check_files, subband_numbers
from contimg.core.grouping.options import GroupingOptions
from contimg.core.grouping.rejections import Rejected
from contimg.core.groups import Group
from contimg.core.instrument import InstrumentOptions
from contimg.core.strips import linked, strip_deg

Index = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Columns:
    """The usable files as arrays, in order of the start of their data."""

    path: Any
    first: Any  # MJD
    last: Any
    n_times: Any
    n_channels: Any
    kind: Any  # drift, sidereal, or unprojected drift
    lon: Any  # ICRS right ascension [deg], 0 for drift scans
    lat: Any  # ICRS or apparent declination [deg]
    subband: Any
    mtime_ns: Any
    integration_s: Any

    @classmethod
    def of(cls, table: pd.DataFrame, subband: Index) -> Columns:
        """From a table of headers and the numbers of their subbands."""
        drift = (table["tracking"] == "drift").to_numpy()
        unprojected = table["unprojected"].to_numpy(dtype=bool) & drift
        return cls(
            path=table["path"].to_numpy(dtype=object),
            first=table["first_mjd"].to_numpy(dtype=float),
            last=table["last_mjd"].to_numpy(dtype=float),
            n_times=table["n_times"].to_numpy(dtype=float),
            n_channels=table["n_channels"].to_numpy(dtype=float),
            kind=np.where(drift, np.where(unprojected, 2, 1), 0),
            lon=np.where(drift, 0.0, table["ra_deg"].to_numpy(dtype=float)),
            lat=np.where(drift, table["dec_app_deg"], table["dec_deg"]).astype(float),
            subband=subband,
            mtime_ns=table["mtime_ns"].to_numpy(dtype=np.int64),
            integration_s=table["integration_s"].to_numpy(dtype=float),
        )


@dataclasses.dataclass(frozen=True)
class Limits:
    """What the options say, in the units of the columns."""

    apart_days: float  # starts farther apart are of another observation
    agreement: float  # [integrations]
    pointing_deg: float
    needed: int
    subbands: int


def form_groups(
    headers: pd.DataFrame, instrument: InstrumentOptions, options: GroupingOptions
) -> tuple[list[tuple[Group, list[dict]]], list[Rejected]]:
    """Groups in time with their files (ascending in frequency), and every file left out.

    `headers` is a table of :func:`contimg.core.grouping.scan.read_headers`, in any order. The
    result depends on the set of files alone, and that of a group on its own files alone.
    """
    if options.min_subbands is not None and options.min_subbands > instrument.subbands:
        raise ContimgError(
            f"discover.min_subbands is {options.min_subbands}, but a complete group has"
            f" {instrument.subbands} (instrument.subbands)"
        )
    if headers.empty:
        return [], []
    table, rejected = check_files(headers, instrument, options)
    if table.empty:
        return [], rejected
    table = table.sort_values(["first_mjd", "path"], ignore_index=True)
    columns = Columns.of(table, subband_numbers(table, instrument))
    needed = options.min_subbands or instrument.subbands
    if instrument.band_mhz is None:
        needed = instrument.subbands  # without the band the missing channels are not known
    limits = Limits(
        options.tolerance_s / 86400,
        options.time_agreement,
        options.pointing_tolerance_deg,
        needed,
        instrument.subbands,
    )
    members: list[Index] = []
    for rows, clean in _observations(columns, limits):
        if clean:
            members.append(rows)
        else:
            members += _untangle(rows, columns, limits, rejected)
    pairs = build_groups(table, members, instrument, rejected)
    return _one_of_each_name(pairs, options, rejected), rejected


def _observations(c: Columns, limits: Limits) -> list[tuple[Index, bool]]:
    """Files that start together, ascending in subband, and whether they are one good group."""
    starts = np.concatenate([[0], np.flatnonzero(np.diff(c.first) > limits.apart_days) + 1])
    counts = np.diff(np.append(starts, len(c.first)))
    number = np.repeat(np.arange(len(starts)), counts)
    order = np.lexsort((c.subband, number))

    def spread(values: NDArray) -> NDArray:
        return np.maximum.reduceat(values, starts) - np.minimum.reduceat(values, starts)

    agreement = limits.agreement * np.minimum.reduceat(c.integration_s, starts) / 86400
    again = (np.diff(c.subband[order]) == 0) & (np.diff(number[order]) == 0)
    clean = (counts >= limits.needed) & (counts <= limits.subbands)
    clean &= (spread(c.first) <= agreement) & (spread(c.last) <= agreement)
    for values, tolerance in (
        (c.n_times, 0),
        (c.n_channels, 0),
        (c.kind, 0),
        (c.lon, limits.pointing_deg),
        (c.lat, limits.pointing_deg),
    ):
        clean &= spread(values) <= tolerance
    clean[number[order][1:][again]] = False
    return list(zip(np.split(order, starts[1:]), clean.tolist(), strict=True))


def _untangle(rows: Index, c: Columns, limits: Limits, rejected: list[Rejected]) -> list[Index]:
    """The groups in files that start together but do not all agree; the rest is rejected."""
    accepted: list[Index] = []
    short: list[tuple[Index, str]] = []
    for alike in _pointings(rows, c, limits):
        rest = alike
        while rest.size:
            best = _largest_agreement(rest, c, limits)
            start = float(np.median(c.first[best]))
            near = rest[np.abs(c.first[rest] - start) <= limits.apart_days]
            name = f"group {_when(start)}"
            _reject_unlike(np.setdiff1d(near, best), best, name, c, rejected)
            chosen = _last_of_each_subband(best, c, rejected)
            if limits.needed <= len(chosen) <= limits.subbands:
                accepted.append(chosen)
            elif len(chosen) > limits.subbands:
                reason = f"{name}: {len(chosen)} subbands, {limits.subbands} expected"
                rejected += [Rejected(c.path[i], reason, "frequency") for i in chosen]
            else:
                short.append((chosen, name))
            rest = np.setdiff1d(rest, np.union1d(near, best))
    for files, name in short:
        rejected += _too_few(files, name, accepted, c, limits)
    return accepted


def _pointings(rows: Index, c: Columns, limits: Limits) -> list[Index]:
    """Split by tracking and position."""
    parts = []
    for kind in np.unique(c.kind[rows]):
        same = rows[c.kind[rows] == kind]
        lat = linked(c.lat[same], limits.pointing_deg)
        for number in np.unique(lat):
            strip = same[lat == number]
            # on a circle that begins where the files are not
            turned = (c.lon[strip] - c.lon[strip[0]] + 180) % 360
            lon = linked(
                turned, limits.pointing_deg / max(np.cos(np.radians(c.lat[strip[0]])), 1e-3)
            )
            parts += [strip[lon == k] for k in np.unique(lon)]
    return parts


def _largest_agreement(rows: Index, c: Columns, limits: Limits) -> Index:
    """The files with most subbands that agree in their times; then the longest, the earliest."""
    best, best_score = rows[:1], (0, 0.0, 0.0, 0.0)
    shapes = {(c.n_times[i], c.n_channels[i]) for i in rows}
    for shape in sorted(shapes, reverse=True):
        same = rows[(c.n_times[rows] == shape[0]) & (c.n_channels[rows] == shape[1])]
        window = limits.agreement * c.integration_s[same].min() / 86400
        for start in np.unique(c.first[same]):
            within = same[(c.first[same] >= start) & (c.first[same] <= start + window)]
            for end in np.unique(c.last[within]):
                agree = within[(c.last[within] >= end) & (c.last[within] <= end + window)]
                subbands = len(set(c.subband[agree]))
                score = (subbands, shape[0], shape[1], -float(start))
                if score > best_score:
                    best, best_score = agree, score
    return best


def _reject_unlike(
    rows: Index, group: Index, name: str, c: Columns, rejected: list[Rejected]
) -> None:
    one = group[0]
    for i in rows:
        if c.n_channels[i] != c.n_channels[one]:
            reason, kind = (
                f"{c.n_channels[i]:.0f} channels, not {c.n_channels[one]:.0f}",
                "frequency",
            )
        elif c.n_times[i] != c.n_times[one]:
            reason, kind = f"{c.n_times[i]:.0f} times, not {c.n_times[one]:.0f}", "times differ"
        else:
            offsets = [(t[i] - np.median(t[group])) * 86400 for t in (c.first, c.last)]
            reason = f"its times are off by {max(offsets, key=abs):+.3f} s"
            kind = "times differ"
        rejected.append(Rejected(c.path[i], f"{name}: {reason}", kind))


def _last_of_each_subband(rows: Index, c: Columns, rejected: list[Rejected]) -> Index:
    chosen: dict[int, int] = {}
    for i in sorted(rows, key=lambda i: (c.mtime_ns[i], c.path[i])):
        number = int(c.subband[i])
        if number in chosen:
            before = c.path[chosen[number]]
            rejected.append(
                Rejected(before, f"duplicate of the subband in {c.path[i]}", "duplicate")
            )
        chosen[number] = i
    return np.array([chosen[number] for number in sorted(chosen)], dtype=np.int64)


def _too_few(
    files: Index, name: str, accepted: list[Index], c: Columns, limits: Limits
) -> list[Rejected]:
    """A few files beside a good group that points elsewhere are strays, not a group."""
    reason = f"{name}: {len(files)} of {limits.subbands} subbands, {limits.needed} needed"
    kind = "subbands"
    for group in accepted:
        if abs(np.median(c.first[group]) - np.median(c.first[files])) <= limits.apart_days:
            here, there = (f"{_pointing(c, i)}" for i in (files[0], group[0]))
            reason = f"points at {here}, group {_when(np.median(c.first[group]))} at {there}"
            kind = "declination"
    return [Rejected(c.path[i], reason, kind) for i in files]


def _pointing(c: Columns, i: int) -> str:
    if c.kind[i]:
        return f"declination {c.lat[i]:.4f} deg"
    return f"({c.lon[i]:.4f}, {c.lat[i]:.4f}) deg"


def _when(mjd: float) -> str:
    from contimg.core.groups import group_name

    return group_name(float(mjd))


def _one_of_each_name(
    pairs: list[tuple[Group, list[dict]]], options: GroupingOptions, rejected: list[Rejected]
) -> list[tuple[Group, list[dict]]]:
    """Groups in time, no two of one name."""

    def rank(pair: tuple[Group, list[dict]]) -> tuple:
        group, _ = pair
        dec = strip_deg(group)
        wanted = options.declinations_deg is not None and any(
            abs(dec - value) <= options.declination_margin_deg for value in options.declinations_deg
        )
        return (group.group, not wanted, -group.subbands, -dec, -group.ra_deg)

    taken: dict[str, tuple[Group, list[dict]]] = {}
    for group, files in sorted(pairs, key=rank):
        if group.group not in taken:
            taken[group.group] = (group, files)
            continue
        other = taken[group.group][0]
        reason = (
            f"begins in the same second as group {group.group} at {strip_deg(other):.3f} deg, but"
            f" points at {strip_deg(group):.3f} deg; select one with discover.declinations_deg"
        )
        rejected += [Rejected(file["path"], reason, "same name") for file in files]
    return sorted(taken.values(), key=lambda pair: (pair[0].start_mjd, pair[0].group))
