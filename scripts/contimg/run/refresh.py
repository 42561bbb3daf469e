"""Bring the inventory and the plan up to date; only what changed is written."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from contimg.calibrate.options import FROM_CALIBRATOR, ScaleOptions
from contimg.core.beam import InstrumentOptions, PrimaryBeam
from contimg.core.calibrators import read_calibrators
from contimg.core.errors import ContimgError
from contimg.core.grouping.rejections import Rejected, counts, rejected_csv
from contimg.core.grouping.scan import find_files, form_groups, read_headers
from contimg.core.groups import Group, write_manifest
from contimg.core.paths import path
from contimg.core.records import atomic, write_text
from contimg.discover.options import DiscoverOptions
from contimg.discover.select import GroupFiles, check_selection, select, worth_reading
from contimg.mosaic.options import MosaicOptions
from contimg.plan.estimate import simulated_bytes
from contimg.plan.options import PlanOptions
from contimg.plan.plan import make_plan
from contimg.plan.tables import TABLES
from contimg.simulate.options import SimulateOptions

OPTIONS = (
    InstrumentOptions,
    DiscoverOptions,
    PlanOptions,
    MosaicOptions,
    SimulateOptions,
    ScaleOptions,
)


def refresh(
    results: str,
    instrument: InstrumentOptions,
    discover: DiscoverOptions,
    plan: PlanOptions,
    mosaic: MosaicOptions,
    simulate: SimulateOptions,
    scale: ScaleOptions = FROM_CALIBRATOR,
) -> dict[str, Any]:
    """Scan (or schedule, when the data are simulated), plan, write the inventory; the plan."""
    plan_path = Path(path("plan", results))
    if not discover.scan and plan_path.exists():
        return read_plan(results)
    rejected: list[Rejected] = []
    if simulate.enabled:
        groups, files = _scheduled(instrument, discover, simulate), {}
    else:
        groups, files, rejected = _scanned(results, instrument, discover)
    content = make_plan(
        [group for group, _ in groups],
        read_calibrators(plan.calibrators),
        PrimaryBeam(instrument),
        plan,
        mosaic,
        scale,
    )
    for group, entries in groups:
        expected = simulated_bytes(simulate, group.subbands) if simulate.enabled else 0
        content["tiles"][group.group]["raw_bytes"] = sum(e["bytes"] for e in entries) or expected
    content["rejected"] = len(rejected)
    content["rejected_by_reason"] = counts(rejected)
    content["files"] = files
    _write_groups(results, groups, manifests=not simulate.enabled)
    _write_if_changed(Path(path("rejected", results)), rejected_csv(rejected))
    for name, table in TABLES.items():
        _write_if_changed(Path(path(name, results)), table(content))
    _write_if_changed(plan_path, plan_text(content))  # last: what it names is there
    return content


def read_plan(results: str) -> dict[str, Any]:
    """The plan as last written."""
    plan_path = Path(path("plan", results))
    try:
        return json.loads(plan_path.read_text())
    except FileNotFoundError:
        raise ContimgError(
            f"{plan_path}: no plan yet; make it with snakemake -n --configfile YOURS, or with"
            f" contimg discover --results {results} --raw-dir DIRECTORY"
        ) from None
    except json.JSONDecodeError as error:
        raise ContimgError(f"{plan_path}: not a readable plan ({error}); delete it") from None


def plan_text(plan: dict[str, Any]) -> str:
    """JSON with one line an item: quick to write, and changes show line by line."""
    parts = []
    for key, value in plan.items():
        if isinstance(value, dict) and value:
            lines = (f"  {json.dumps(name)}: {json.dumps(item)}" for name, item in value.items())
            parts.append(f" {json.dumps(key)}: {{\n" + ",\n".join(lines) + "\n }")
        else:
            parts.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _scheduled(
    instrument: InstrumentOptions, discover: DiscoverOptions, simulate: SimulateOptions
) -> list[GroupFiles]:
    from contimg.simulate.schedule import schedule

    found: list[GroupFiles] = [(group, []) for group in schedule(simulate, instrument)]
    kept = select(found, discover)
    _notice(check_selection(found, kept, [], discover))
    return kept


def _scanned(
    results: str, instrument: InstrumentOptions, discover: DiscoverOptions
) -> tuple[list[GroupFiles], dict[str, int], list[Rejected]]:
    """Selected groups, what became of the files, and those rejected."""
    problems: list[Rejected] = []
    listed = find_files(discover.raw_dir, problems)
    if not listed and not problems:
        raise ContimgError(f"{discover.raw_dir}: no *.hdf5 below it; set discover.raw_dir")
    files = worth_reading(listed, discover)
    headers = read_headers(
        files, Path(path("files", results)), listed=listed, processes=discover.processes
    )
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


def _write_groups(results: str, groups: list[GroupFiles], manifests: bool) -> None:
    """The manifests that changed or are not there, and the table of the groups.

    The table holds a digest of each manifest, so that those as they were need not be read.
    """
    target = Path(path("groups", results))
    before: dict[str, str] = {}
    if target.exists():
        known = pd.read_parquet(target)
        if "digest" in known:
            before = dict(zip(known["group"], known["digest"], strict=True))
    there = _manifests(results) if manifests else set()
    digests = []
    for group, entries in groups:
        text = repr((vars(group), entries))
        digest = hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
        digests.append(digest)
        if manifests:
            manifest = path("manifest", results, group=group.group)
            if before.get(group.group) != digest or manifest not in there:
                write_manifest(manifest, group, entries)
    now = dict(zip((group.group for group, _ in groups), digests, strict=True))
    if now != before or not target.exists():
        columns = [field.name for field in dataclasses.fields(Group)]
        table = pd.DataFrame([vars(group) for group, _ in groups], columns=columns)
        table["digest"] = digests
        with atomic(target) as partial:
            table.to_parquet(partial, index=False)


def _manifests(results: str) -> set[str]:
    """Paths of the manifests that exist."""
    top = Path(path("manifest", results, group="20000101T000000")).parent.parent
    if not top.is_dir():
        return set()
    with os.scandir(top) as days:
        folders = [day.path for day in days if day.is_dir()]
    return {f"{folder}/{name}" for folder in folders for name in os.listdir(folder)}


def _write_if_changed(target: Path, text: str) -> None:
    if not target.exists() or target.read_text() != text:
        write_text(target, text)
