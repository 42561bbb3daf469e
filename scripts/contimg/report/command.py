"""``contimg report``: one page about a run, with its figures in the same folder."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path
from typing import Any

from pydantic import Field

from contimg import __version__
from contimg.core.command import Command, Files, existing
from contimg.core.paths import path
from contimg.core.plans import read_rejected
from contimg.core.records import atomic, write_text
from contimg.report import content
from contimg.report.options import ReportOptions
from contimg.report.stages import STAGES, STATES
from contimg.report.status import read_plan

PROBLEMS = ("crashed", "failed", "incomplete", "warned")  # in the list at the top of the page


class ReportFiles(Files):
    """Inputs and outputs of the page. Products are found by the paths of the status table."""

    results: str = Field("results", description="results directory")
    plan: Path = Field(description="the plan")
    status: Path = Field(description="status table (contimg status)")
    report: Path = Field(description="page to write; its figures go to figures/ beside it")


def run(files: ReportFiles, options: ReportOptions) -> None:
    """Gather, copy the figures, write the page."""
    items = content.read_items(existing(files.status, "status table"), files.results)
    plan = read_plan(files.results, files.plan)
    by_stage = {stage: [i for i in items if i.stage == stage] for stage in (s.name for s in STAGES)}
    # what failed must be seen, however many tiles there are
    tiles = sorted(by_stage["image"], key=lambda i: (i.state not in {"failed", "crashed"}, i.item))
    tiles = tiles[: options.max_tiles]
    pictured = [i for i in items if i.plot is not None and (i.stage != "image" or i in tiles)]
    with atomic(files.report.parent / "figures") as partial:
        partial.mkdir()
        for item in pictured:
            shutil.copyfile(str(item.plot), partial / item.figure)
    page = render(
        title=options.title,
        version=__version__,
        made=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S"),
        states=STATES[::-1],
        summary=content.summary(plan, items),
        counts=content.stage_counts(items),
        problems=[i for i in items if i.state in PROBLEMS],
        rejected=read_rejected(files.results, plan.get("plan")),
        stage=by_stage,
        looks={item.item: item for item in by_stage["inspect"]},
        tiles=tiles,
        tiles_left_out=len(by_stage["image"]) - len(tiles),
        epochs=content.read_table(Path(path("epochs", files.results))),
        candidates=content.read_table(Path(path("candidates", files.results))),
        comparisons=[
            table
            for name in ("comparison", "expected")
            if (table := content.read_table(Path(path(name, files.results)))) is not None
        ],
        software=content.software(items),
        timings=content.timings(files.results),
    )
    write_text(files.report, page)


def render(**values: Any) -> str:
    """Fill in the template, everything escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    environment.filters["milli"] = lambda value: _number(None if value is None else value * 1e3)
    environment.filters["utc"] = content.utc
    return environment.get_template("report.html.j2").render(**values)


def _number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}g}"


COMMAND = Command(
    help="Write the page about a run: status, calibration, images, light curves, candidates.",
    files=ReportFiles,
    options=(ReportOptions,),
    run=run,
)
