"""``contimg retry``: let the next run make products again, or make them now.

What crashed has no record and is made again by any run. What failed, or lost a product, has one:
it goes, with those of the later stages of the same item, and the next run makes them.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from pydantic import Field

from contimg.core.command import Command
from contimg.core.errors import ContimgError
from contimg.operate.named import NamedFiles, items_of, match, roots, some
from contimg.report import runs
from contimg.report.stages import STAGES
from contimg.report.status import Status, read_plan, statuses

AGAIN = ("crashed", "failed", "incomplete")


class RetryFiles(NamedFiles):
    """What is made again."""

    failed: bool = Field(False, description="all that failed, crashed or lost a product")
    stage: str | None = Field(
        None, description="from this stage on, whatever its state (convert, solve, image, ...)"
    )
    now: bool = Field(False, description="start the last run's command again")


def run(files: RetryFiles) -> int:
    """Remove the records and say, or start, what makes the products again."""
    if runs.going_on(files.results):
        raise ContimgError(f"a run works on {files.results}; stop it or wait for its end")
    last = runs.latest(files.results)
    moved = "" if last is None else runs.elsewhere(last, files.results)
    if moved and files.now:
        raise ContimgError(moved)
    plan = read_plan(files.results)
    rows = statuses(plan, files.results)
    if files.failed:
        chosen = roots(rows, AGAIN)
    else:
        names = match(some(files.wanted(), "products, or give --failed"), items_of(plan))
        chosen = [_first(rows, name, files.stage) for name in names]
    for row in chosen:
        for record in records_after(rows, row):
            Path(record).unlink(missing_ok=True)
        print(f"{row.item}: to be made again from {row.stage} on (was {row.state})")
    if not chosen:
        print("nothing failed, nothing crashed")
        return 0
    if moved:
        print(f"the next run makes them; {moved}")
        return 0
    return _start(last, files.now)


def _first(rows: list[Status], item: str, stage: str | None) -> Status:
    """The row from which an item is made again."""
    mine = [row for row in rows if row.item == item]
    if stage is not None:
        found = [row for row in mine if row.stage == stage]
        if not found:
            stages = ", ".join(row.stage for row in mine)
            raise ContimgError(f"{item} has no stage {stage}; it has {stages}")
        return found[0]
    bad = roots(mine, AGAIN)
    if not bad:
        raise ContimgError(
            f"{item}: nothing of it failed or crashed; to make it again all the same, say from"
            " which --stage on"
        )
    return bad[0]


def records_after(rows: list[Status], first: Status) -> list[str]:
    """Records of `first` and of the later stages of the same item."""
    order = [stage.name for stage in STAGES]
    if first.stage not in order:  # a job without a record, before all stages
        return []
    mine = [r for r in rows if (r.kind, r.item) == (first.kind, first.item) and r.record]
    return [r.record for r in mine if order.index(r.stage) >= order.index(first.stage)]


def _start(last: dict[str, Any] | None, now: bool) -> int:
    """Say how the last run was started, or start it."""
    if last is None:
        print("start the run again (snakemake --configfile ...)")
        return 0
    command = [sys.executable, "-m", "snakemake", *last["command"][1:]]
    if now:
        return subprocess.run(command, cwd=last["directory"], check=False).returncode
    words = shlex.join(["snakemake", *last["command"][1:]])
    print(f"the next run makes them: cd {shlex.quote(last['directory'])} && {words}")
    return 0


COMMAND = Command(
    help="Let the next run make again what failed, crashed or is incomplete (--now: run it).",
    files=RetryFiles,
    options=(),
    run=run,
)
