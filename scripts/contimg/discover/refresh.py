"""Bring the inventory and the plan up to date; only what changed is written."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from contimg.core.beam import InstrumentOptions, PrimaryBeam
from contimg.core.catalog import read_sources
from contimg.core.errors import ContimgError
from contimg.core.groups import Group, write_manifest
from contimg.core.paths import path
from contimg.core.records import atomic, write_text
from contimg.discover.options import DiscoverOptions, PlanOptions
from contimg.discover.plan import make_plan
from contimg.discover.scan import Rejected, find_files, form_groups, read_headers, select
from contimg.mosaic.options import MosaicOptions
from contimg.simulate.options import SimulateOptions


def refresh(
    results: str,
    instrument: InstrumentOptions,
    discover: DiscoverOptions,
    plan: PlanOptions,
    mosaic: MosaicOptions,
    simulate: SimulateOptions,
) -> dict[str, Any]:
    """Scan (or schedule, when the data are simulated), plan, write the inventory; the plan."""
    plan_path = Path(path("plan", results))
    if not discover.scan and plan_path.exists():
        return read_plan(results)
    if simulate.enabled:
        groups, rejected = _scheduled(instrument, discover, simulate), []
    else:
        groups, rejected = _scanned(results, instrument, discover)
    content = make_plan(
        groups, read_sources(plan.calibrators), PrimaryBeam(instrument), plan, mosaic
    )
    content["rejected"] = len(rejected)
    _write_if_changed(plan_path, json.dumps(content, indent=1) + "\n")
    _write_if_changed(Path(path("rejected", results)), _rejected_csv(rejected))
    table = pd.DataFrame([dataclasses.asdict(g) for g in groups])
    with atomic(path("groups", results)) as partial:
        table.to_parquet(partial, index=False)
    return content


def read_plan(results: str) -> dict[str, Any]:
    """The plan as last written."""
    plan_path = Path(path("plan", results))
    if not plan_path.exists():
        raise ContimgError(f"{plan_path}: no plan yet; run snakemake -n once, or contimg discover")
    return json.loads(plan_path.read_text())


def _scheduled(
    instrument: InstrumentOptions, discover: DiscoverOptions, simulate: SimulateOptions
) -> list[Group]:
    from contimg.simulate.schedule import schedule

    kept = select([(group, []) for group in schedule(simulate, instrument)], discover)
    return [group for group, _ in kept]


def _scanned(
    results: str, instrument: InstrumentOptions, discover: DiscoverOptions
) -> tuple[list[Group], list[Rejected]]:
    files = find_files(discover.raw_dir)
    if len(files) > 2000:
        print(f"discover: {len(files)} files; new ones are being read", file=sys.stderr)
    headers = read_headers(files, Path(path("files", results)))
    groups, rejected = form_groups(headers, instrument, discover)
    groups = select(groups, discover)
    for group, entries in groups:
        write_manifest(path("manifest", results, group=group.group), group, entries)
    return [group for group, _ in groups], rejected


def _rejected_csv(rejected: list[Rejected]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["path", "reason"])
    writer.writerows(sorted((r.path, r.reason) for r in rejected))
    return stream.getvalue()


def _write_if_changed(target: Path, text: str) -> None:
    if not target.exists() or target.read_text() != text:
        write_text(target, text)
