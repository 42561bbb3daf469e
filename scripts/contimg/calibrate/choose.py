"""Which calset serves a tile: a function of the records, and the file that says why.

A calset may serve a tile when neither it nor its inspection failed, its preset is fit for the tier
of the images, it is of the tile's declination strip, not stale, and of the same antennas. Of those
that may, the nearest in time is taken, or, with ``linear``, the nearest before and the nearest
after the tile.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isnan
from pathlib import Path
from typing import Any, Literal

from contimg.calibrate.interpolate import differ
from contimg.calibrate.presets import refusal
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.groups import Group, read_manifest
from contimg.core.ms import open_table
from contimg.core.records import followed, read_record, write_text
from contimg.core.seals import verified

Mode = Literal["nearest", "linear"]


@dataclass(frozen=True)
class Limits:
    """What a calset must keep to."""

    tier: str  # of the images that will be made of the tile
    staleness_hours: float
    dec_tolerance_deg: float


@dataclass(frozen=True)
class Candidate:
    """A calset that was looked at."""

    calset: str
    record: str
    hours: float | None  # from the tile to the calset; negative: the calset is earlier
    mjd: float | None
    dec_offset_deg: float | None  # calset minus tile; None: not on record
    preset: str
    verdict: str
    refused: str  # why it may not serve; empty if it may

    @property
    def path(self) -> Path:
        """Its record."""
        return Path(self.record)

    def tables(self) -> dict[str, Path]:
        """Its tables by name, in the order of their application; absolute."""
        folder = self.path.parent.resolve()
        return {n: folder / t for n, t in read_record(self.path)["data"]["tables"].items()}


@dataclass(frozen=True)
class Choice:
    """The calsets that are applied, and what was thought of every candidate."""

    wanted: Mode
    mode: Mode  # what is done
    tile_mjd: float  # its middle; NaN when there is no tile
    used: list[Candidate]  # none, one, or the one before and the one after the tile
    weights: list[float]  # of each of them, by time
    candidates: list[Candidate]  # nearest in time first, those without a time last
    reason: str  # why these

    @property
    def calsets(self) -> list[str]:
        """Names of the calsets that are applied, in order of time."""
        return [candidate.calset for candidate in self.used]

    @classmethod
    def none(cls, wanted: Mode, reason: str) -> Choice:
        """No choice, because there is no tile."""
        return cls(wanted, wanted, float("nan"), [], [], [], reason)

    def write(self, path: Path, limits: Limits) -> None:
        """Write the decision."""
        content = {
            "calsets": self.calsets,
            "wanted": self.wanted,
            "mode": self.mode,
            "tile_mjd": None if isnan(self.tile_mjd) else self.tile_mjd,
            "used": [
                {"calset": c.calset, "record": c.record, "weight": weight}
                for c, weight in zip(self.used, self.weights, strict=True)
            ],
            "reason": self.reason,
            "limits": asdict(limits),
            "candidates": [asdict(candidate) for candidate in self.candidates],
        }
        write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def choose(
    records: Sequence[Path],
    tile_record: Path,
    antennas: list[str],
    limits: Limits,
    mode: Mode = "nearest",
    inspections: Sequence[Path] = (),
) -> Choice:
    """Choose among the calsets of `records` for a tile of this record and these antennas."""
    tile = read_record(tile_record)
    mjd = (tile["data"]["start_mjd"] + tile["data"]["end_mjd"]) / 2
    dec = _declination(tile, tile_record)
    return choose_for(records, mjd, dec, antennas, limits, mode, inspections)


def choose_for(
    records: Sequence[Path],
    mjd: float,
    dec: float | None,
    antennas: list[str],
    limits: Limits,
    mode: Mode = "nearest",
    inspections: Sequence[Path] = (),
) -> Choice:
    """Choose for a tile at `mjd`, its middle, whose dishes point at `dec` [deg].

    `inspections`: records of their inspections, in the same folders. When none may serve, the
    choice has no calsets, and the reason against each one; a calset that is damaged may not.
    """
    inspected = {path.parent: path for path in inspections}
    looked = [
        _look(path, mjd, dec, antennas, limits, inspected.get(path.parent)) for path in records
    ]
    # stable: the plan's order, by flux density, decides between equals
    order = sorted(looked, key=lambda c: float("inf") if c.hours is None else abs(c.hours))
    fit = [candidate for candidate in order if not candidate.refused]
    if not fit:
        why = "; ".join(f"{c.calset}: {c.refused}" for c in order)
        none = "none within plan.staleness_hours and plan.dec_tolerance_deg of this tile"
        return Choice(mode, mode, mjd, [], [], order, f"no calset may serve: {why or none}")
    if mode == "nearest":
        reason = "nearest in time of those that may serve"
        return Choice(mode, mode, mjd, fit[:1], [1.0], order, reason)
    before = next((c for c in fit if c.hours is not None and c.hours <= 0), None)
    after = next((c for c in fit if c.hours is not None and c.hours > 0), None)
    if before is None or after is None:
        side = "before" if before is None else "after"
        reason = f"the nearest alone: no calset {side} the tile may serve"
    elif why := differ(before.tables(), after.tables()):
        reason = f"the nearest alone: {before.calset} and {after.calset} do not fit: {why}"
    else:
        assert before.hours is not None and after.hours is not None
        weight = round(abs(before.hours) / (after.hours - before.hours), 6)
        reason = "nearest before and nearest after the tile of those that may serve"
        return Choice(mode, mode, mjd, [before, after], [1 - weight, weight], order, reason)
    return Choice(mode, "nearest", mjd, fit[:1], [1.0], order, reason)


def _look(
    path: Path,
    mjd: float,
    dec: float | None,
    antennas: list[str],
    limits: Limits,
    inspection: Path | None,
) -> Candidate:
    name = path.parent.name
    try:
        data, there, failed = _said(path, inspection)
    except DataQualityError as error:  # damaged, or not to be followed
        data, there, failed = {}, None, str(error)
    if failed:
        return Candidate(
            calset=name,
            record=str(path),
            hours=_hours(data, mjd),
            mjd=data.get("mjd"),
            dec_offset_deg=None,
            preset=str(data.get("tier", "")),
            verdict="fail",
            refused=failed,
        )
    record = read_record(path)
    offset = None if dec is None or there is None else there - dec
    hours = _hours(data, mjd)
    if hours is None:
        raise ContimgError(f"{path}: has no time; delete it and solve again")
    return Candidate(
        calset=name,
        record=str(path),
        hours=hours,
        mjd=data["mjd"],
        dec_offset_deg=None if offset is None else round(offset, 6),
        preset=str(data.get("tier", "")),
        verdict=record["verdict"],
        refused=_refusal(path, record, hours, offset, antennas, limits),
    )


def _said(path: Path, inspection: Path | None) -> tuple[dict[str, Any], float | None, str]:
    """(data of a calset's record, its pointing declination, why it failed); it is whole."""
    record = read_record(path)
    if record["verdict"] == "fail":
        return record["data"], None, f"failed, {record['reason']}"
    if inspection is not None and (seen := read_record(inspection))["verdict"] == "fail":
        return record["data"], None, f"failed its inspection, {seen['reason']}"
    for table in record["data"]["tables"].values():
        verified(path.parent / table, path)
    return record["data"], _declination(record, path), ""


def _hours(data: Mapping[str, Any], mjd: float) -> float | None:
    return round((data["mjd"] - mjd) * 24, 6) if "mjd" in data else None


def _refusal(
    path: Path,
    record: Mapping[str, Any],
    hours: float,
    offset: float | None,
    antennas: list[str],
    limits: Limits,
) -> str:
    """Why a calset that did not fail may not serve; empty if it may."""
    if why := refusal(record, limits.tier):
        return why
    if abs(hours) > limits.staleness_hours:
        return f"{abs(hours):.1f} h away, {limits.staleness_hours:g} h are allowed"
    if offset is not None and abs(offset) > limits.dec_tolerance_deg:
        return (
            f"observed {abs(offset):.2f} deg away in declination,"
            f" {limits.dec_tolerance_deg:g} deg are allowed"
        )
    for table in record["data"]["tables"].values():
        with open_table(path.parent / table / "ANTENNA") as names:
            if list(names.getcol("NAME")) != antennas:  # CASA matches them by number
                return "is of other antennas than the tile"
    return ""


def _declination(record: Mapping[str, Any], path: Path) -> float | None:
    """Pointing declination [deg] of the data behind the record at `path`; None if on no record.

    Apparent for a drift scan: the strip. It is in the manifest of the conversion's record, which
    for a calset is the record beside its Measurement Set. :class:`DataQualityError` when one of
    these is gone from the results.
    """
    for named, content in followed(record, path):
        if content.get("stage") == "convert":
            return _declination(content, named)
        if isinstance(content.get("group"), dict):
            return strip_deg(read_manifest(named)[0])
    return None


def strip_deg(group: Group) -> float:
    """Declination of the dishes [deg]: apparent for a drift scan."""
    return group.dec_deg if group.dec_app_deg is None else group.dec_app_deg
