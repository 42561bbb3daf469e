"""``contimg report``: the web log of a results directory, linked pages that need no server."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from contimg.core.command import Command, Files, existing
from contimg.report.options import ReportOptions
from contimg.report.status import read_plan


class ReportFiles(Files):
    """Inputs and outputs of the pages. Products are found by the paths of the status table."""

    results: str = Field("results", description="results directory")
    plan: Path = Field(description="the plan")
    status: Path = Field(description="status table (contimg status)")
    report: Path = Field(description="front page to write; all others go beside and below it")


def run(files: ReportFiles, options: ReportOptions) -> None:
    """Write the pages that changed since the last time."""
    from contimg.report.weblog.build import build

    plan = read_plan(files.results, files.plan)
    site = build(files.results, plan, existing(files.status, "status table"), options)
    print(f"{files.report}: {site.written} files written, {site.kept} as they were")


COMMAND = Command(
    help="Write the linked pages about a run: days, tiles, mosaics, sources, candidates.",
    files=ReportFiles,
    options=(ReportOptions,),
    run=run,
)
