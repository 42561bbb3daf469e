"""What is said, and done, when a run begins and when it ends."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contimg.core.grouping.rejections import KINDS
from contimg.core.paths import path
from contimg.report import command, runs, status
from contimg.report.options import ReportOptions
from contimg.report.stages import STATES
from contimg.report.status import Status, overall


def finish(run: runs.Run, results: str, tier: str, success: bool, options: ReportOptions) -> str:
    """End the note of a run and print how it went; why nothing was made, empty if something was.

    The report of a run whose jobs crashed is written here: no job of it can come to that.
    """
    note = runs.read_note(run.note) or {}
    plan = status.read_plan(results, Path(note["plan"]))
    rows = status.statuses(plan, results, tier, begin_s=0.0)
    reason = why_nothing(plan, rows)
    outcome = "nothing made" if reason else ("done" if success else "failed")
    note = run.end(outcome)
    if not success:
        write_report(results, note["plan"], tier, options)
    print("\n".join(summary(plan, rows, results, note, reason)), flush=True)
    return reason


def write_report(results: str, plan: str, tier: str, options: ReportOptions) -> None:
    """Status table and page from what is there."""
    table, page = Path(path("status", results)), Path(path("report", results))
    status.write(status.statuses(status.read_plan(results, Path(plan)), results, tier, 0.0), table)
    files = command.ReportFiles(results=results, plan=Path(plan), status=table, report=page)
    command.run(files, options)


def made_nothing(results: str) -> bool:
    """Whether the last run in `results` ended with all groups failed, by its status table."""
    table = Path(path("status", results))
    if not table.exists():
        return False
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    states: dict[str, set[str]] = {}
    for row in rows:
        if row.get("kind") == "group":
            states.setdefault(row["item"], set()).add(row["state"])
    return bool(states) and all(mine & {"failed", "crashed"} for mine in states.values())


def why_nothing(plan: Mapping[str, Any], rows: list[Status]) -> str:
    """The true reason of a run that made nothing at all; empty if it made something, or will."""
    if not plan["groups"]:
        rejected = plan.get("rejected_by_reason", {})
        if not rejected:
            return "no group was found: see discover.raw_dir and the selection"
        kind = max(rejected, key=rejected.__getitem__)
        looked_at = plan["rejected"] + plan["files"].get("in_groups", 0)
        first = next((row.reason for row in rows if row.state == "rejected"), "")
        return (
            f"{plan['rejected']} of {looked_at} files are rejected, {rejected[kind]} of them:"
            f" {KINDS.get(kind, kind)}; the first: {first}"
        )
    states = overall(rows)
    if set(states.values()) - {"failed", "crashed"}:
        return ""
    reasons = Counter(_root(rows, item).reason for item in states)
    reason, number = reasons.most_common(1)[0]
    return f"no tile came to an image; {number} of {len(states)}: {reason}"


def _root(rows: list[Status], item: str) -> Status:
    """The first stage of an item that failed or crashed."""
    mine = (r for r in rows if r.kind == "group" and r.item == item)
    return next(r for r in mine if r.state in {"failed", "crashed"})


def summary(
    plan: Mapping[str, Any],
    rows: list[Status],
    results: str,
    note: Mapping[str, Any],
    reason: str,
) -> list[str]:
    """A dozen lines about a run that ended."""
    lines = [f"NOTHING WAS MADE: {reason}"] if reason else []
    files = plan["files"]
    if files:
        lines.append(
            f"files       {files['found']} found, {files['in_groups']} used,"
            f" {files['not_selected']} not selected, {files['rejected']} rejected"
        )
    by_reason = plan.get("rejected_by_reason", {})
    lines += [f"            {n} rejected: {KINDS.get(kind, kind)}" for kind, n in by_reason.items()]
    for name, kind in (("groups", "group"), ("calsets", "calset"), ("mosaics", "mosaic")):
        states = Counter(overall(rows, kind).values())
        said = ", ".join(f"{states[s]} {s}" for s in reversed(STATES) if states[s])
        lines.append(f"{name:12s}{states.total()}{': ' if said else ''}{said}")
    published = [r.state in {"done", "warned"} for r in rows if r.stage == "publish"]
    lines.append(f"published   {sum(published)} of {len(published)} mosaics")
    lines.append(f"candidates  {_candidates(results)}")
    lines += _crashes(rows, results)
    lines.append(f"time        {_duration(runs.seconds(note))}")
    page = Path(path("report", results))
    lines.append(f"report      {page if page.exists() else 'not made (not asked for)'}")
    return lines


def _crashes(rows: list[Status], results: str, most: int = 3) -> list[str]:
    crashed = [row for row in rows if row.state == "crashed"]
    lines = [f"crashed     {row.stage} {row.item}: {row.reason}" for row in crashed[:most]]
    if len(crashed) > most:
        lines.append(f"            and {len(crashed) - most} more")
    if crashed:
        lines.append(f"            contimg errors --results {results}")
    return lines


def _candidates(results: str) -> str:
    """Number of ESE candidates, of runs that came so far."""
    table = Path(path("candidates", results))
    if not table.exists():
        return "not looked for"
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(line for line in stream if not line.startswith("#")))
    return str(len(rows))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
