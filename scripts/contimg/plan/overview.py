"""A plan in words and figures that a person can check."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from contimg.core.grouping.rejections import KINDS
from contimg.core.paths import path
from contimg.core.window import utc, utc_of
from contimg.plan.estimate import Estimate, estimate
from contimg.plan.tables import pointing_deg


def overview(plan: dict[str, Any], results: str, cores: int, lines: int) -> str:
    """All of it; lists longer than `lines` are cut, with the table that has the rest."""
    benchmarks = Path(path("benchmark", results, rule="x", job="x")).parent.parent
    return "\n".join(
        [
            *_counts(plan, results),
            *_strips(plan),
            *_calsets(plan, results, lines),
            *_tiles(plan, results, lines),
            *_mosaics(plan, results, lines),
            *_estimate(estimate(plan, benchmarks, cores), cores),
        ]
    )


def summary(plan: dict[str, Any], results: str) -> str:
    """What a plan holds and what became of the files."""
    return "\n".join(_counts(plan, results))


def _counts(plan: dict[str, Any], results: str) -> list[str]:
    orphans = sum(not tile["calsets"] for tile in plan["tiles"].values())
    lines = [
        f"groups      {len(plan['groups'])}",
        f"calsets     {len(plan['calsets'])}",
        f"mosaics     {len(plan['mosaics'])}",
        f"uncalibrated tiles (no calset in reach)  {orphans}",
    ]
    files = plan.get("files")
    if files:
        lines.append(
            f"files       {files['found']} = {files['in_groups']} in groups"
            f" + {files['not_selected']} not selected + {files['rejected']} rejected"
        )
    table = path("rejected", results, plan=plan["plan"])
    lines.append(f"rejected    {plan['rejected']} files  ({table})")
    for kind, number in plan.get("rejected_by_reason", {}).items():
        lines.append(f"  {number:7d}  {kind}: {KINDS.get(kind, '')}")
    return lines


def _strips(plan: dict[str, Any]) -> list[str]:
    """Pointings to 0.1 deg with their groups and times."""
    strips: dict[float, list[dict]] = {}
    for group in plan["groups"].values():
        strips.setdefault(round(pointing_deg(group), 1) + 0.0, []).append(group)
    lines = ["", "pointing [deg]  groups  subbands missing  first (UTC)          last (UTC)"]
    full = max((group["subbands"] for group in plan["groups"].values()), default=0)
    for dec, groups in sorted(strips.items()):
        missing = sum(full - group["subbands"] for group in groups)
        first = min(group["start_mjd"] for group in groups)
        last = max(group["end_mjd"] for group in groups)
        lines.append(f"{dec:14.1f}  {len(groups):6d}  {missing:16d}  {utc(first)}  {utc(last)}")
    return lines


def _calsets(plan: dict[str, Any], results: str, most: int) -> list[str]:
    lines = ["", "calset                            transit (UTC)         pb     apparent Jy"]
    times = utc_of(np.array([calset["mjd"] for calset in plan["calsets"].values()]))
    for (name, calset), time in zip(plan["calsets"].items(), times, strict=True):
        lines.append(f"{name:32s}  {time}  {calset['pb']:.3f}  {calset['apparent_flux_jy']:8.2f}")
    return _cut(lines, 2, most, path("calsets_table", results, plan=plan["plan"]))


def _tiles(plan: dict[str, Any], results: str, most: int) -> list[str]:
    lines = ["", "tile             ra [deg]   dec [deg]  calsets, nearest first"]
    for name, tile in plan["tiles"].items():
        group = plan["groups"][name]
        offers = ", ".join(tile["calsets"]) or f"NONE: {tile['reason']}"
        lines.append(f"{name}  {group['ra_deg']:9.4f}  {group['dec_deg']:9.4f}  {offers}")
    lines = _cut(lines, 2, most, path("tiles_table", results, plan=plan["plan"]))
    reasons = Counter(tile["reason"] for tile in plan["tiles"].values() if not tile["calsets"])
    if reasons:
        first = {t["reason"]: name for name, t in reversed(plan["tiles"].items())}
        why = ["", "tiles without a calset, and why"]
        why += [f"{n:6d}  {reason} ({first[reason]} ..)" for reason, n in reasons.most_common()]
        lines += _cut(why, 2, most, path("tiles_table", results, plan=plan["plan"]))
    return lines


def _mosaics(plan: dict[str, Any], results: str, most: int) -> list[str]:
    lines = ["", "mosaic                     tiles  first            last"]
    for name, mosaic in plan["mosaics"].items():
        tiles = mosaic["tiles"]
        lines.append(f"{name:26s} {len(tiles):5d}  {tiles[0]}  {tiles[-1]}")
    lines = _cut(lines, 2, most, path("mosaics_table", results, plan=plan["plan"]))
    used = {tile for mosaic in plan["mosaics"].values() for tile in mosaic["tiles"]}
    return [*lines, f"tiles in no mosaic: {len(plan['tiles']) - len(used)}"]


def _estimate(expected: Estimate, cores: int) -> list[str]:
    lines = ["", "jobs, if nothing is there yet         number   CPU hours"]
    for rule, number in expected.jobs.items():
        known = "  (as measured here)" if rule in expected.measured else ""
        lines.append(f"{rule:36s} {number:7d}  {expected.cpu_s[rule] / 3600:10.2f}{known}")
    total = sum(expected.cpu_s.values()) / 3600
    lines.append(f"{'all':36s} {sum(expected.jobs.values()):7d}  {total:10.2f}")
    hours, minutes = divmod(round(expected.wall_s / 60 + 0.5), 60)
    lines.append(f"about {hours} h {minutes} min on {cores} cores")
    lines.append(f"about {expected.disk_bytes / 1e9:.1f} GB of products (keep_ms: calibrated)")
    return lines


def _cut(lines: list[str], heading: int, most: int, table: str) -> list[str]:
    rest = len(lines) - heading - most
    if rest <= 0:
        return lines
    return [*lines[: heading + most], f"... and {rest} more, see {table}"]
