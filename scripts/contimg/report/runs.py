"""The runs on a results directory: each writes a note when it starts and completes it at its end.

The note holds the whole configuration, so that what a person types later need not repeat it, and
says whether the run goes on, how it ended and how long it took.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contimg.core.atomic import sweep
from contimg.core.jobs import alive, heartbeat, read_note, sign, signed
from contimg.core.paths import path
from contimg.core.records import write_text

# what every note of a run says, besides who signed it
_WRITTEN = {"started_utc": str, "directory": str, "plan": str, "config": dict}


@dataclass(frozen=True)
class Run:
    """A run in this process: its note, and what keeps the note's time stamp fresh."""

    note: Path
    beat: subprocess.Popen[bytes]

    def end(self, outcome: str) -> dict[str, Any]:
        """Complete the note: `outcome` is ``done``, ``nothing made`` or ``failed``."""
        self.beat.communicate()
        content = read_note(self.note) or {}
        content |= {"ended_utc": _utc(), "outcome": outcome}
        write_text(self.note, json.dumps(content, indent=1) + "\n")
        return content


def begin(results: str, plan: str, config: Mapping[str, Any]) -> Run:
    """Write the note of a run that starts in this process.

    `plan` is the path of its plan, `config` its configuration as plain values.
    """
    content = sign() | {
        "directory": os.getcwd(),
        "command": sys.argv,
        "plan": plan,
        "config": dict(config),
    }
    name = f"{content['started_utc'][:19].replace('-', '').replace(':', '')}-{os.getpid()}"
    note = Path(path("run_note", results, run=name))
    sweep(note.parent)
    write_text(note, json.dumps(content, indent=1) + "\n")
    return Run(note, heartbeat(note))


def seconds(note: Mapping[str, Any]) -> float:
    """How long a run took, or has been going on [s]."""
    last = note.get("ended_utc", _utc())
    begun = datetime.datetime.fromisoformat(note["started_utc"])
    return (datetime.datetime.fromisoformat(last) - begun).total_seconds()


def latest(results: str) -> dict[str, Any] | None:
    """The note of the run that started last, None if no run has; ``alive`` tells if it goes on.

    Notes that are damaged are passed over, and named.
    """
    for note in reversed(_notes(results)):
        content = read_note(note)
        if content is None or not _whole(content):
            print(f"runs: {note}: not a readable note of a run; delete it", file=sys.stderr)
            continue
        return content | {"alive": alive(content, note)}
    return None


def damaged(results: str) -> list[Path]:
    """Notes of runs that cannot be read."""
    return [note for note in _notes(results) if not _whole(read_note(note) or {})]


def going_on(results: str) -> int:
    """How many runs work on the results now."""
    notes = ((read_note(note) or {}, note) for note in _notes(results))
    return sum(_whole(content) and alive(content, note) for content, note in notes)


def _whole(note: dict[str, Any]) -> bool:
    """Whether a note says what every note of a run does."""
    return signed(note) and all(isinstance(note.get(k), kind) for k, kind in _WRITTEN.items())


def elsewhere(note: Mapping[str, Any], results: str) -> str:
    """Why the run of `note` is not to be repeated on `results`; empty where it worked on them.

    Of results that were moved or copied the note names the place where they were made.
    """
    place = Path(note["directory"], note["config"]["results"])
    if place.resolve() == Path(results).resolve():
        return ""
    return (
        f"the last run worked on {place}, and these results were moved or copied to {results}: "
        f"start a run on them by hand first (snakemake, with results: {Path(results).absolute()})"
    )


def _notes(results: str) -> list[Path]:
    found = Path(path("run_note", results, run="x")).parent.glob("*.json")
    return sorted(note for note in found if ".partial-" not in note.name)  # being written


def _utc() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
