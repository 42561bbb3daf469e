"""Find the subband files, read each header once, and form groups from the data."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.time import Time

from contimg.core.beam import InstrumentOptions
from contimg.core.coords import icrs_on_meridian, mjd_time
from contimg.core.groups import Group, group_name
from contimg.core.records import atomic
from contimg.core.uvh5 import Header, HeaderError, read_header
from contimg.discover.options import DiscoverOptions

NAME = re.compile(r"(?P<time>\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})_sb(?P<subband>\d+)\.hdf5$")
KEY = ["path", "bytes", "mtime_ns"]


@dataclasses.dataclass(frozen=True)
class Rejected:
    """A file or group that is not used, and why."""

    path: str
    reason: str


def find_files(raw_dir: Path) -> list[tuple[str, int, int]]:
    """(path, bytes, mtime_ns) of every ``*.hdf5`` below `raw_dir`, in order of name."""
    if not raw_dir.is_dir():
        raise FileNotFoundError(f"{raw_dir}: no such directory; set discover.raw_dir")
    found = []
    for path in sorted(raw_dir.rglob("*.hdf5")):
        status = path.stat()
        found.append((str(path), status.st_size, status.st_mtime_ns))
    return found


def read_headers(files: list[tuple[str, int, int]], cache: Path) -> pd.DataFrame:
    """One row a file: its key, its header and, if it has none, the reason.

    Headers already in `cache` (same path, size and modification time) are not read again.
    """
    table = pd.DataFrame(files, columns=KEY)
    known = pd.read_parquet(cache) if cache.exists() else pd.DataFrame(columns=KEY)
    merged = table.merge(known, on=KEY, how="left", indicator=True)
    old = merged[merged["_merge"] == "both"].drop(columns="_merge")
    new = [
        _read_row(row) for row in merged[merged["_merge"] != "both"][KEY].itertuples(index=False)
    ]
    frames = [frame for frame in (old, pd.DataFrame(new)) if len(frame)]
    result = pd.concat(frames) if frames else pd.DataFrame(columns=[*KEY, "reason"])
    result = result.sort_values("path", ignore_index=True)
    if new or len(known) != len(result):
        with atomic(cache) as partial:
            result.to_parquet(partial, index=False)
    return result


def _read_row(key) -> dict:
    row = {"path": key.path, "bytes": key.bytes, "mtime_ns": key.mtime_ns, "reason": ""}
    match = NAME.search(key.path)
    if match is None:
        incomplete = "_incomplete" in key.path
        reason = "still being written" if incomplete else "name is not TIME_sbNN.hdf5"
        return row | {"reason": reason}
    try:
        header = read_header(key.path)
    except HeaderError as error:
        return row | {"reason": str(error)}
    name_mjd = Time(match["time"], format="isot", scale="utc").mjd
    return row | dataclasses.asdict(header) | {"name_mjd": name_mjd}


def form_groups(
    headers: pd.DataFrame, instrument: InstrumentOptions, options: DiscoverOptions
) -> tuple[list[tuple[Group, list[dict]]], list[Rejected]]:
    """Groups with their files (ascending in frequency) and everything that was left out.

    Files belong together when their data (not their names) start within ``tolerance_s``, at the
    same pointing. Of two files of one subband the longer one is taken, then the one written
    last, then the last by name.
    """
    rejected = [
        Rejected(row.path, row.reason) for row in headers[headers["reason"] != ""].itertuples()
    ]
    good = headers[headers["reason"] == ""]
    usable = []
    for row in good.itertuples(index=False):
        reason = _file_reason(row, instrument, options)
        if reason:
            rejected.append(Rejected(row.path, reason))
        else:
            usable.append(row)
    usable.sort(key=lambda r: (r.first_mjd, r.path))
    groups = []
    for cluster in _clusters(usable, options.tolerance_s / 86400):
        group = _form(cluster, instrument, options, rejected)
        if group is not None:
            groups.append(group)
    return groups, rejected


def _file_reason(row, instrument: InstrumentOptions, options: DiscoverOptions) -> str:
    if row.telescope != instrument.telescope:
        return f"telescope is {row.telescope}, not {instrument.telescope}"
    offset = abs(row.first_mjd - row.name_mjd) * 86400
    if offset > options.max_clock_offset_s:
        return f"time in the data differs from that in the name by {offset:.0f} s"
    if row.tracking == "drift" and not -90 <= row.dec_app_deg <= 90:
        return f"pointing declination {row.dec_app_deg} is impossible"
    if instrument.band_mhz and _slot(row, instrument) is None:
        return "frequencies do not fit the band and subbands of the instrument"
    return ""


def _slot(row, instrument: InstrumentOptions) -> int | None:
    """Position of a subband in the instrument's band (ascending), None when it does not fit."""
    assert instrument.band_mhz is not None
    low, high = (edge * 1e6 for edge in instrument.band_mhz)
    width = (high - low) / instrument.subbands
    channel = (row.freq_max_hz - row.freq_min_hz) / row.n_channels
    slot = round((row.freq_min_hz - low) / width)
    fits = (
        0 <= slot < instrument.subbands
        and abs(row.freq_min_hz - (low + slot * width)) < 0.25 * channel
        and abs(row.freq_max_hz - (low + (slot + 1) * width)) < 0.25 * channel
    )
    return slot if fits else None


def _clusters(rows: Iterable, tolerance_days: float) -> list[list]:
    """Split time-ordered rows where pointing differs or the start is later than the tolerance."""
    clusters: dict[tuple, list[list]] = {}
    for row in rows:
        if row.tracking == "drift":
            pointing: tuple = ("drift", round(row.dec_app_deg, 3))
        else:
            pointing = ("sidereal", round(row.ra_deg, 3), round(row.dec_deg, 3))
        runs = clusters.setdefault(pointing, [])
        if runs and row.first_mjd - runs[-1][0].first_mjd <= tolerance_days:
            runs[-1].append(row)
        else:
            runs.append([row])
    return sorted((run for runs in clusters.values() for run in runs), key=lambda r: r[0].first_mjd)


def _form(
    rows: list,
    instrument: InstrumentOptions,
    options: DiscoverOptions,
    rejected: list[Rejected],
) -> tuple[Group, list[dict]] | None:
    chosen: dict[int, object] = {}
    for row in sorted(rows, key=lambda r: (r.n_times, r.mtime_ns, r.path)):
        key = round(row.freq_min_hz / 1e4)
        if key in chosen:
            reason = f"duplicate of the subband in {row.path}"
            rejected.append(Rejected(chosen[key].path, reason))
        chosen[key] = row
    files = [chosen[key] for key in sorted(chosen)]
    first = files[0]
    name = group_name(first.first_mjd)
    needed = options.min_subbands or instrument.subbands
    if instrument.band_mhz is None:
        needed = instrument.subbands  # without the band the missing channels are not known
    reason = ""
    if len(files) < needed:
        reason = f"group {name}: {len(files)} of {instrument.subbands} subbands, {needed} needed"
    elif len(files) > instrument.subbands:
        reason = f"group {name}: {len(files)} subbands, {instrument.subbands} expected"
    elif len({(f.n_times, f.n_channels) for f in files}) > 1:
        reason = f"group {name}: subbands differ in their number of times or channels"
    if reason:
        rejected += [Rejected(f.path, reason) for f in files]
        return None
    band = instrument.band_mhz or (files[0].freq_min_hz / 1e6, files[-1].freq_max_hz / 1e6)
    group = _group(name, first, len(files), band)
    entries = [
        {
            "path": f.path,
            "bytes": int(f.bytes),
            "freq_min_hz": f.freq_min_hz,
            "freq_max_hz": f.freq_max_hz,
        }
        for f in files
    ]
    return group, entries


def _group(name: str, first, subbands: int, band_mhz: tuple[float, float]) -> Group:
    half = first.integration_s / 2 / 86400
    start, end = first.first_mjd - half, first.last_mjd + half
    values = {f.name: getattr(first, f.name) for f in dataclasses.fields(Header)}
    group = Group(
        group=name,
        telescope=values["telescope"],
        latitude_deg=values["latitude_deg"],
        longitude_deg=values["longitude_deg"],
        height_m=values["height_m"],
        start_mjd=start,
        end_mjd=end,
        integration_s=values["integration_s"],
        n_times=int(values["n_times"]),
        tracking=values["tracking"],
        dec_app_deg=values["dec_app_deg"] if values["tracking"] == "drift" else None,
        ra_deg=values["ra_deg"],
        dec_deg=values["dec_deg"],
        field=values["field"],
        freq_min_hz=band_mhz[0] * 1e6,
        freq_max_hz=band_mhz[1] * 1e6,
        subbands=subbands,
    )
    if group.tracking == "drift":
        ra, dec = icrs_on_meridian(
            np.radians(group.dec_app_deg), mjd_time(group.mid_mjd), group.location
        )
        centre = {"ra_deg": float(np.degrees(ra)) % 360, "dec_deg": float(np.degrees(dec))}
        group = dataclasses.replace(group, **centre)
    return group


def select(
    groups: list[tuple[Group, list[dict]]], options: DiscoverOptions
) -> list[tuple[Group, list[dict]]]:
    """Keep the days and groups asked for."""
    days = set(options.days or ())
    for day in days:
        datetime.date.fromisoformat(day)
    wanted = set(options.groups or ())
    return [
        (group, files)
        for group, files in groups
        if (not days or mjd_time(group.start_mjd).strftime("%Y-%m-%d") in days)
        and (not wanted or group.group in wanted)
    ]
