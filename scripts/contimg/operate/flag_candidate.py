"""``contimg flag-candidate``: what a person thinks of a candidate, added to a table."""

from __future__ import annotations

import datetime
import getpass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from contimg.core.command import Command, Files
from contimg.core.errors import ContimgError
from contimg.core.options import POSITIONAL


class FlagFiles(Files):
    """Which candidate, and what is thought of it."""

    name: Annotated[list[str], POSITIONAL] = Field(
        [], description="name of the source, its rank among the candidates, or its position"
    )
    status: Literal["interesting", "confirmed", "rejected"] = Field(description="the decision")
    note: str = Field("", description="why")
    by: str | None = Field(None, description="who decides (the user of this machine if unset)")
    results: str = Field("results", description="results directory")
    candidate_decisions: Path | None = Field(
        None, description="table to add to (report.candidate_decisions of the run)"
    )


def run(files: FlagFiles) -> None:
    """Add a row; earlier ones stay."""
    from contimg.operate.decide import table_of
    from contimg.report.candidates import Decision, add
    from contimg.report.lookup import candidates, find

    if not files.name:
        raise ContimgError("name the candidate; contimg candidates lists them")
    table = table_of("report.candidate_decisions", files.candidate_decisions, files.results)
    words, known = " ".join(files.name), candidates(files.results)
    ranked = known[known["rank"].astype(str) == words]
    name = str(ranked["source"].iat[0]) if len(ranked) else find(known, words)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")[:19]
    by = files.by or getpass.getuser()
    add(table, Decision(name, files.status, " ".join(files.note.split()), by, now))
    print(f"{table}: {name}: {files.status}; commit the table")


COMMAND = Command(
    help="Say what you think of a candidate: interesting, confirmed or rejected, and why.",
    files=FlagFiles,
    options=(),
    run=run,
    by_hand=True,
)
