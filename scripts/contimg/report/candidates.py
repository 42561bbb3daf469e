"""What people think of candidates: a table to which every decision is added."""

from __future__ import annotations

import csv
import fcntl
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from contimg.core.errors import ContimgError

if TYPE_CHECKING:
    import pandas as pd

STATUSES = ("interesting", "confirmed", "rejected")


@dataclass(frozen=True)
class Decision:
    """A row of the table: nothing in it is changed, a later row about a source counts."""

    source: str
    status: str
    note: str
    by: str
    decided_utc: str


COLUMNS = tuple(f.name for f in fields(Decision))


def read_decisions(table: Path | None) -> list[Decision]:
    """All decisions in their order; none where no table is named, or nothing decided yet."""
    if table is None or not table.exists():
        return []
    try:
        with table.open(newline="") as stream:
            reader = csv.DictReader(line for line in stream if not line.startswith("#"))
            missing = set(COLUMNS) - set(reader.fieldnames or COLUMNS)
            rows = [] if missing else list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ContimgError(f"{table}: not a readable table of decisions ({error})") from None
    if missing:
        raise ContimgError(f"{table}: lacks the columns {', '.join(sorted(missing))}")
    for row in rows:
        if row["status"] not in STATUSES:
            raise ContimgError(
                f"{table}: status {row['status']!r} is none of {', '.join(STATUSES)}"
            )
    return [Decision(**{name: row[name] or "" for name in COLUMNS}) for row in rows]


def latest(decisions: Sequence[Decision], source: str) -> Decision | None:
    """The decision on a source that counts: the last one."""
    return next((d for d in reversed(decisions) if d.source == source), None)


def add(table: Path, decision: Decision) -> None:
    """Add a decision at the end of the table, which begins with its header."""
    read_decisions(table)  # a table that cannot be read is not added to
    table.parent.mkdir(parents=True, exist_ok=True)
    row = io.StringIO()
    writer = csv.writer(row, lineterminator="\n")
    with table.open("a", newline="") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)  # two people at the same time add two rows
        if stream.tell() == 0:
            writer.writerow(COLUMNS)
        writer.writerow(getattr(decision, name) for name in COLUMNS)
        stream.write(row.getvalue())


def with_decisions(candidates: pd.DataFrame, table: Path | None) -> pd.DataFrame:
    """`candidates` with ``status`` (undecided where nobody has), ``note``, ``by``."""
    decided = read_decisions(table)
    found = [latest(decided, str(name)) for name in candidates["source"]]
    return candidates.assign(
        status=[d.status if d else "undecided" for d in found],
        note=[d.note if d else "" for d in found],
        by=[d.by if d else "" for d in found],
    )
