"""``contimg report``: the web log of a results directory, linked pages that need no server."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from contimg.core.command import Command, Files, existing
from contimg.core.paths import path
from contimg.report import runs
from contimg.report.options import ReportOptions
from contimg.report.status import read_plan, statuses, write


class ReportFiles(Files):
    """Inputs and outputs of the pages. Products are found by the paths of the status table."""

    results: str = Field("results", description="results directory")
    plan: Path | None = Field(
        None, description="the plan (that of the last run if unset, and its options)"
    )
    status: Path | None = Field(
        None, description="status table (contimg status); made anew if unset"
    )
    report: Path | None = Field(
        None, description="front page to write (report/index.html); all others go beside it"
    )


def run(files: ReportFiles, options: ReportOptions) -> None:
    """Write the pages that changed since the last time."""
    from contimg.report.weblog.build import build

    plan = read_plan(files.results, files.plan)
    if files.plan is None and options == ReportOptions():
        options = of_last_run(files.results)
    table = files.status
    if table is None:
        table = Path(path("status", files.results))
        write(statuses(plan, files.results), table)
    site = build(files.results, plan, existing(table, "status table"), options)
    page = files.report or Path(path("report", files.results))
    print(f"{page}: {site.written} files written, {site.kept} as they were")


def of_last_run(results: str) -> ReportOptions:
    """Options of the last run, its table of decisions as seen from where it was started."""
    last = runs.latest(results) or {}
    leaves = dict(last.get("config", {}).get("report", {}))
    if leaves.get("candidate_decisions"):
        leaves["candidate_decisions"] = Path(last["directory"]) / leaves["candidate_decisions"]
    return ReportOptions(**leaves)


COMMAND = Command(
    help="Write the linked pages about a run: days, tiles, mosaics, sources, candidates.",
    files=ReportFiles,
    options=(ReportOptions,),
    run=run,
)
