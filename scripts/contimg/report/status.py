"""``contimg status``: what became of every group, calset and mosaic of the plan, and why.

At every stage an item is exactly one of

- ``done``: its record exists and did not fail (the verdict may be a warning);
- ``failed``: its record says why there is no product, or cannot be read;
- ``pending``: no record yet;
- ``rejected``: a file that never became part of a group.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import Field

from contimg.core.command import Command, Files, existing
from contimg.core.paths import path
from contimg.core.records import read_record, write_text
from contimg.core.state import STATES, state_of

# kind of item, stage, pattern of the stage's record
STAGES = (
    ("group", "convert", "ms_record"),
    ("calset", "convert", "cal_ms_record"),
    ("calset", "solve", "solutions"),
    ("calset", "inspect", "calset_record"),
    ("calsets", "drift", "drift_record"),
    ("group", "apply", "calibrated_record"),
    ("group", "image", "image_record"),
    ("mosaic", "mosaic", "mosaic_record"),
    ("mosaic", "validate", "mosaic_validation"),
    ("mosaic", "photometry", "photometry_record"),
    ("run", "lightcurves", "lightcurves_record"),
    ("run", "variability", "variability_record"),
    ("mosaic", "publish", "published_record"),
)


class StatusFiles(Files):
    """What is looked at, and where the table goes."""

    results: str = Field("results", description="results directory")
    plan: Path | None = Field(None, description="the plan (that of the results if unset)")
    tier: str = Field("standard", description="quality tier of the images")
    status: Path | None = Field(None, description="table to write (CSV); only printed if unset")


@dataclass(frozen=True)
class Status:
    """State of one item at one stage."""

    kind: str
    item: str
    stage: str
    state: str
    verdict: str
    reason: str
    record: str


def run(files: StatusFiles) -> None:
    """Print what is not done and the counts; write the table."""
    plan = read_plan(files.plan or Path(path("plan", files.results)))
    rows = statuses(plan, files.results, files.tier)
    for row in rows:
        if row.state in {"failed", "rejected"}:
            print(f"{row.stage:12s} {row.item}  {row.state}: {row.reason}")
    print(closure(rows))
    if files.status is not None:
        stream = io.StringIO()
        writer = csv.DictWriter(stream, [f.name for f in fields(Status)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
        write_text(files.status, stream.getvalue())


def statuses(plan: dict[str, Any], results: str, tier: str) -> list[Status]:
    """One row for every item of the plan at every stage, and for every rejected file."""
    items = {kind: list(plan[f"{kind}s"]) for kind in ("group", "calset", "mosaic")}
    items["calsets"] = ["calsets"] if items["calset"] else []
    items["run"] = ["run"] if items["mosaic"] else []  # without mosaics there are no light curves
    rows = [
        Status("file", row["path"], "discover", "rejected", "", row["reason"], "")
        for row in read_rejected(Path(path("rejected", results)))
    ]
    for kind, stage, name in STAGES:
        for item in items[kind]:
            record = path(name, results, **{kind: item, "tier": tier})
            state = state_of(record)
            rows.append(Status(kind, item, stage, state.state, state.verdict, state.reason, record))
    return rows


def read_plan(plan: Path) -> dict[str, Any]:
    """The plan of a run."""
    return read_record(existing(plan, "plan (run snakemake -n first)"))


def read_rejected(table: Path) -> list[dict[str, str]]:
    """Files that discovery rejected: ``path`` and ``reason``."""
    if not table.exists():
        return []
    with table.open(newline="") as stream:
        return list(csv.DictReader(stream))


def closure(rows: list[Status]) -> str:
    """Counts of the states at each stage; the states of a stage add up to its items."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for row in rows:
        counts.setdefault((row.stage, row.kind), Counter())[row.state] += 1
    lines = [f"{'stage':12s} {'of':7s}" + "".join(f"{state:>9s}" for state in STATES) + "    total"]
    for (stage, kind), count in counts.items():
        numbers = "".join(f"{count[state]:9d}" for state in STATES)
        lines.append(f"{stage:12s} {kind:7s}{numbers}{count.total():9d}")
    return "\n".join(lines)


COMMAND = Command(
    help="Say what became of every group, calset and mosaic: done, pending, failed or rejected.",
    files=StatusFiles,
    options=(),
    run=run,
)
