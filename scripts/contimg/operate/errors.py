"""``contimg errors``: everything that failed or crashed, why, and where its log is."""

from __future__ import annotations

import json
from dataclasses import asdict

from pydantic import Field

from contimg.core.command import Command
from contimg.operate.named import NamedFiles, items_of, match, roots
from contimg.report.status import Status, read_plan, statuses

BAD = ("crashed", "failed")


class ErrorFiles(NamedFiles):
    """Where to look and how much to say."""

    consequences: bool = Field(False, description="also the later stages of what failed before")
    json_: bool = Field(False, description="print the rows as JSON")


def run(files: ErrorFiles) -> None:
    """Print the rows, crashed ones first."""
    plan = read_plan(files.results)
    rows = errors(statuses(plan, files.results), files.consequences)
    names = files.wanted()
    if names:
        wanted = match(names, [*items_of(plan), *(row.item for row in rows)])
        rows = [row for row in rows if row.item in wanted]
    if files.json_:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        print("\n".join(map(line, rows)) or "nothing failed, nothing crashed")


def errors(rows: list[Status], consequences: bool = False) -> list[Status]:
    """Rows that crashed, then those whose data failed; of an item only the first stage."""
    bad = [r for r in rows if r.state in BAD] if consequences else roots(rows, BAD)
    return sorted(bad, key=lambda row: BAD.index(row.state))


def line(row: Status) -> str:
    """A failure for a person to read."""
    tried = f", tried {row.tries} time{'s' * (row.tries != 1)}" if row.state == "crashed" else ""
    return f"{row.state:8s}{row.stage} {row.item}{tried}: {row.reason}\n        {row.log}"


COMMAND = Command(
    help="List everything that failed (data) or crashed (job), with the reason and the log.",
    files=ErrorFiles,
    options=(),
    run=run,
)
