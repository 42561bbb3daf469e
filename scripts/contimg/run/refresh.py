"""Bring the inventory and the plan up to date; only what changed is written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from contimg.calibrate.options import FROM_CALIBRATOR, ScaleOptions
from contimg.core.beam import PrimaryBeam
from contimg.core.calibrators import read_calibrators
from contimg.core.errors import ContimgError
from contimg.core.grouping.form import form_groups
from contimg.core.grouping.rejections import Rejected, counts, rejected_csv
from contimg.core.grouping.scan import find_files, read_headers
from contimg.core.instrument import InstrumentOptions
from contimg.core.paths import path
from contimg.core.plans import everything_planned, keys, plan_key, plan_text, read_plan, readable
from contimg.core.records import write_text
from contimg.discover.inventory import manifest_digest, write_groups
from contimg.discover.options import DiscoverOptions
from contimg.discover.select import GroupFiles, check_selection, select, worth_reading
from contimg.mosaic.options import MosaicOptions
from contimg.plan.estimate import simulated_bytes
from contimg.plan.keep import keep_calsets
from contimg.plan.options import PlanOptions
from contimg.plan.plan import make_plan
from contimg.plan.tables import TABLES
from contimg.simulate.options import SimulateOptions


def refresh(
    results: str,
    instrument: InstrumentOptions,
    discover: DiscoverOptions,
    plan: PlanOptions,
    mosaic: MosaicOptions,
    simulate: SimulateOptions,
    scale: ScaleOptions = FROM_CALIBRATOR,
    *,
    write: bool = True,
) -> dict[str, Any]:
    """Scan (or schedule, when the data are simulated) and plan; the plan.

    Its ``plan`` is the name below which it is kept. Without `write` nothing is written, not even
    the headers that were read.
    """
    key = plan_key((instrument, discover, plan, mosaic, simulate, scale))
    if not discover.scan and key in keys(results):
        return read_plan(results, key)
    rejected: list[Rejected] = []
    if simulate.enabled:
        groups, files = _scheduled(instrument, discover, simulate), {}
    else:
        groups, files, rejected = _scanned(results, instrument, discover, write)
    content: dict[str, Any] = {"plan": key} | make_plan(
        [group for group, _ in groups],
        read_calibrators(plan.calibrators),
        PrimaryBeam(instrument),
        plan,
        mosaic,
        scale,
    )
    for group, entries in groups:
        tile = content["tiles"][group.group]
        expected = simulated_bytes(simulate, group.subbands) if simulate.enabled else 0
        tile["raw_bytes"] = sum(entry["bytes"] for entry in entries) or expected
        tile["content"] = "" if simulate.enabled else manifest_digest(group, entries)
    there = readable(results)
    others = everything_planned(results, there[0]) if there else None
    keep_calsets(content, results, plan.recalibrate, others)
    content["rejected"] = len(rejected)
    content["rejected_by_reason"] = counts(rejected)
    content["files"] = files
    if write:
        _write(results, content, groups, rejected, manifests=not simulate.enabled)
    return content


def _write(
    results: str,
    content: dict[str, Any],
    groups: list[GroupFiles],
    rejected: list[Rejected],
    manifests: bool,
) -> None:
    key = content["plan"]
    write_groups(results, key, groups, manifests)
    _write_if_changed(Path(path("rejected", results, plan=key)), rejected_csv(rejected))
    for name, table in TABLES.items():
        _write_if_changed(Path(path(name, results, plan=key)), table(content))
    target = Path(path("plan", results, plan=key))
    _write_if_changed(target, plan_text(content))  # last: what it names is there


def _scheduled(
    instrument: InstrumentOptions, discover: DiscoverOptions, simulate: SimulateOptions
) -> list[GroupFiles]:
    from contimg.simulate.schedule import schedule

    found: list[GroupFiles] = [(group, []) for group in schedule(simulate, instrument)]
    kept = select(found, discover)
    _notice(check_selection(found, kept, [], discover))
    return kept


def _scanned(
    results: str, instrument: InstrumentOptions, discover: DiscoverOptions, write: bool
) -> tuple[list[GroupFiles], dict[str, int], list[Rejected]]:
    """Selected groups, what became of the files, and those rejected."""
    problems: list[Rejected] = []
    listed = find_files(discover.raw_dir, problems)
    if not listed and not problems:
        raise ContimgError(f"{discover.raw_dir}: no *.hdf5 below it; set discover.raw_dir")
    files = worth_reading(listed, discover)
    cache = Path(path("files", results))
    headers = read_headers(files, cache, listed=listed, processes=discover.processes, write=write)
    found, rejected = form_groups(headers, instrument, discover)
    rejected += problems
    kept = select(found, discover)
    _notice(check_selection(found, kept, rejected, discover))
    used = sum(len(entries) for _, entries in kept)
    number = {
        "found": len(listed) + len(problems),
        "in_groups": used,
        "not_selected": len(listed) + len(problems) - used - len(rejected),
        "rejected": len(rejected),
    }
    return kept, number, rejected


def _notice(lines: list[str]) -> None:
    for line in lines:
        print(f"discover: {line}", file=sys.stderr)


def _write_if_changed(target: Path, text: str) -> None:
    if not target.exists() or target.read_bytes() != text.encode():
        write_text(target, text)
