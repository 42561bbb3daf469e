"""``contimg log``: the end of the logs of a product's jobs."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from pydantic import Field

from contimg.core.command import Command
from contimg.core.errors import ContimgError
from contimg.operate.named import NamedFiles, items_of, match, some
from contimg.report.status import Status, read_plan, statuses


class LogFiles(NamedFiles):
    """Whose logs, and how much of them."""

    stage: str | None = Field(None, description="only this stage (convert, solve, image, ...)")
    lines: int = Field(30, ge=1, description="lines from the end of each log")


def run(files: LogFiles) -> None:
    """Print the logs of what is not well; of a product that is, those of all its jobs."""
    plan = read_plan(files.results)
    rows = statuses(plan, files.results)
    known = [*items_of(plan), *(row.item for row in rows if row.kind == "job")]
    for name in match(some(files.wanted(), "product"), known):
        mine = [row for row in rows if row.item == name and files.stage in (None, row.stage)]
        bad = [row for row in mine if row.state in {"crashed", "failed", "running"}]
        there = [row for row in bad or mine if row.log and Path(row.log).exists()]
        if not there:
            raise ContimgError(f"{name}: no log; none of its jobs has begun")
        print("\n\n".join(_shown(row, files.lines) for row in there))


def _shown(row: Status, lines: int) -> str:
    with Path(row.log).open(errors="replace") as stream:
        end = [text.rstrip("\n") for text in deque(stream, lines)]
    return "\n".join([f"== {row.stage} {row.item}: {row.state}  {row.log}", *end])


COMMAND = Command(
    help="Print the end of the logs of a product's jobs: of those that failed, crashed or run.",
    files=LogFiles,
    options=(),
    run=run,
)
