"""``contimg candidates``: candidates for extreme scattering events, and decisions on them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from contimg.core.command import Command
from contimg.operate.output import TableFiles, give_out

SHOWN = [
    *("rank", "source", "list", "priority", "false_alarm_probability", "depth", "t0_mjd"),
    *("width_days", "baseline_jy", "status", "note", "by"),
]
Status = Literal["interesting", "confirmed", "rejected", "undecided"]


class CandidatesFiles(TableFiles):
    """Which candidates."""

    limit: int | None = Field(None, ge=1, description="only the most significant")
    status: Status | None = Field(None, description="only those with this decision")
    candidate_decisions: Path | None = Field(
        None, description="table of decisions (report.candidate_decisions of the run)"
    )


def run(files: CandidatesFiles) -> None:
    """Print the candidates, the least probable to be a false alarm first."""
    from contimg.operate.decide import table_of
    from contimg.report.candidates import with_decisions
    from contimg.report.lookup import candidates

    decisions = files.candidate_decisions
    if decisions is not None:
        decisions = table_of("report.candidate_decisions", decisions, files.results)
    table = with_decisions(candidates(files.results), decisions)
    if files.status is not None:
        table = table[table["status"] == files.status]
    if files.limit is not None:
        table = table.head(files.limit)
    give_out(files, table, "candidates", "Candidates for extreme scattering events", SHOWN)


COMMAND = Command(
    help="List candidates for extreme scattering events with the decisions on them.",
    files=CandidatesFiles,
    options=(),
    run=run,
    by_hand=True,
)
