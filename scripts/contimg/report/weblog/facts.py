"""What the pages need to know of every item, day by day, from the status table and the records.

The facts of a day are kept in ``report/data/days/{day}.json`` with a fingerprint of what they come
from (rows of the table, times and sizes of the records), so that a new day reads no other day's
records.
"""

from __future__ import annotations

import csv
import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contimg.core.errors import ContimgError
from contimg.core.objects import read_object
from contimg.core.paths import day_of
from contimg.core.records import read_record
from contimg.report.status import Status
from contimg.report.weblog.site import Site, digest

READABLE = frozenset({"done", "warned", "incomplete"})
UNDATED = "undated"
# stage -> name of a fact -> where the record's data have it
VALUES: dict[str, dict[str, tuple[str, ...]]] = {
    "image": {
        "mjd": ("mjd",),
        "rms_jy_beam": ("rms_jy_beam",),
        "noise_ratio": ("noise_ratio",),
        "peak_jy_beam": ("peak_jy_beam",),
        "bmaj_arcsec": ("bmaj_arcsec",),
        "bmin_arcsec": ("bmin_arcsec",),
        "bpa_deg": ("bpa_deg",),
        "imsize": ("imsize",),
        "cell_arcsec": ("cell_arcsec",),
        "dynamic_range": ("dynamic_range",),
        "integration_s": ("integration_s",),
        "unflagged_fraction": ("unflagged_fraction",),
        "calsets": ("calsets",),
        "matched": ("validation", "matched"),
        "flux_ratio": ("validation", "flux_ratio"),
        "flux_ratio_err": ("validation", "flux_ratio_err"),
        "offset_east_arcsec": ("validation", "offset_east_arcsec"),
        "offset_east_err_arcsec": ("validation", "offset_east_err_arcsec"),
        "offset_north_arcsec": ("validation", "offset_north_arcsec"),
        "offset_north_err_arcsec": ("validation", "offset_north_err_arcsec"),
    },
    "apply": {"calsets": ("calsets",)},
    "solve": {
        "mjd": ("mjd",),
        "calibrator": ("calibrator",),
        "refant": ("refant",),
        "antennas": ("antennas",),
        "antennas_solved": ("antennas_solved",),
        "antennas_lost": ("antennas_lost",),
        "flux_scale_from": ("flux_scale", "source"),
        "flux_scale_factor": ("flux_scale", "factor"),
        "flux_scale_error": ("flux_scale", "error"),
        "gain_amplitude_scatter": ("gain_amplitude_scatter",),
        "snr_bandpass": ("snr_median", "B"),
        "snr_gains": ("snr_median", "G"),
        "flagged_bandpass": ("flagged_fraction", "B"),
    },
    "mosaic": {
        "mjd": ("mjd",),
        "ra_deg": ("centre", "ra_deg"),
        "dec_deg": ("centre", "dec_deg"),
        "area_deg2": ("area_deg2",),
        "shape": ("shape",),
        "rms_median_jy_beam": ("rms_median_jy_beam",),
        "rms_min_jy_beam": ("rms_min_jy_beam",),
        "peak_jy_beam": ("peak_jy_beam",),
        "bmaj_deg": ("beam", "bmaj_deg"),
        "bmin_deg": ("beam", "bmin_deg"),
        "corners_deg": ("corners_deg",),
        "tiles_used": ("tiles_used",),
        "tiles_left_out": ("tiles_left_out",),
    },
    "photometry": {
        "n_sources": ("n_sources",),
        "n_detected": ("n_detected",),
        "freq_hz": ("freq_hz",),
    },
}


@dataclass(frozen=True)
class Fact(Status):
    """One item at one stage: its row of the status table and numbers from its record."""

    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Day:
    """All facts of a day."""

    name: str
    facts: list[Fact]
    software: dict[str, list[str]]  # versions that made the day's products
    fingerprint: str


def read_status(table: Path) -> list[dict[str, str]]:
    """Rows of the status table."""
    with table.open(newline="") as stream:
        return list(csv.DictReader(stream))


def by_day(rows: list[dict[str, str]], plan: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
    """Rows of groups, calsets and mosaics by day (a mosaic has that of its first tile)."""
    days: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        if row["kind"] in {"group", "calset", "mosaic"}:
            days[day_of_item(row["kind"], row["item"], plan)].append(row)
    return dict(sorted(days.items()))


def day_of_item(kind: str, item: str, plan: Mapping[str, Any]) -> str:
    """The day that an item belongs to."""
    if kind != "mosaic":
        return day_of(item)
    tiles = plan["mosaics"].get(item, {}).get("tiles", [])
    return day_of(min(tiles)) if tiles else UNDATED


def read_day(site: Site, name: str, rows: list[dict[str, str]], code: str) -> Day:
    """The facts of a day: those kept, when nothing changed since, or read from the records."""
    fingerprint = digest(code, [(row, _stamp(row["record"])) for row in rows])
    kept = f"data/days/{name}.json"
    content = read_object(site.home / kept)
    site.names.add(kept)
    if content.get("fingerprint") != fingerprint:
        content = {"fingerprint": fingerprint} | _read(rows)
        site.put(kept, json.dumps(content))
    facts = [Fact(**fact) for fact in content["facts"]]
    return Day(name, facts, content["software"], fingerprint)


def read_facts(rows: Sequence[Status]) -> list[Fact]:
    """The facts of rows of the status."""
    plain = [vars(row) for row in rows if row.kind in {"group", "calset", "mosaic"}]
    return [Fact(**fact) for fact in _read(plain)["facts"]]


def _read(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The facts and the versions of rows, from their records."""
    facts, versions = [], defaultdict(set)
    for row in rows:
        record = record_of(row)
        for name, version in record.get("software", {}).items():
            versions[name].add(version)
        data = record.get("data", {})
        wanted = VALUES.get(row["stage"], {})
        values = {name: _find(data, where) for name, where in wanted.items() if data}
        facts.append(dict(row) | {"tries": int(row["tries"]), "values": values})
    return {"facts": facts, "software": {name: sorted(v) for name, v in versions.items()}}


def record_of(row: Mapping[str, str]) -> dict[str, Any]:
    """The record of a row, empty where there is none to read."""
    if row["state"] not in {*READABLE, "failed"}:
        return {}
    try:
        return read_record(row["record"])
    except (ContimgError, UnicodeDecodeError):
        if row["state"] == "failed":  # unreadable: the status says so
            return {}
        raise


def _find(data: Any, where: tuple[str, ...]) -> Any:
    for key in where:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _stamp(record: str) -> tuple[int, int]:
    try:
        status = os.stat(record)
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size
