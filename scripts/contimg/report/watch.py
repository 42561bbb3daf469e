"""``contimg status --watch``: stages with counts, what runs now, the rate and the expected end."""

from __future__ import annotations

import datetime
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contimg.core.paths import path
from contimg.report import runs
from contimg.report.content import seconds_of
from contimg.report.stages import STAGES, STATES
from contimg.report.status import Status, read_plan, statuses

SAMPLE = 40  # benchmarks of a rule, the latest, that tell how long its jobs take
SHOWN = 8  # jobs at work that are named
CLEAR = "\x1b[H\x1b[2J"


@dataclass(frozen=True)
class Pace:
    """How fast a run goes: jobs done in it, jobs an hour, seconds to its end (None: not known)."""

    done: int
    per_hour: float | None
    left_s: float | None
    at_least: bool  # some stages have no finished job yet


def watch(results: str, plan: Path | None, tier: str | None, every_s: float) -> None:
    """Print the table again and again until no run and no job is at work; at least once."""
    live = sys.stdout.isatty()
    while True:
        rows = statuses(read_plan(results, plan), results, tier)
        note = runs.latest(results)
        print((CLEAR if live else "") + "\n".join(table(rows, results, note)), flush=True)
        if not runs.going_on(results) and not any(row.state == "running" for row in rows):
            return
        time.sleep(every_s)


def table(rows: Sequence[Status], results: str, note: dict[str, Any] | None) -> list[str]:
    """The lines of one moment."""
    now = datetime.datetime.now(datetime.UTC)
    lines = [f"{results}  {now:%Y-%m-%d %H:%M:%S} UTC", ""]
    width = max((len(row.stage) for row in rows), default=5)
    by_stage: dict[str, Counter[str]] = {}
    for row in rows:
        by_stage.setdefault(row.stage, Counter())[row.state] += 1
    for stage, count in by_stage.items():
        total = count.total()
        ended = sum(count[s] for s in ("done", "warned", "failed", "rejected"))
        bar = "#" * round(20 * ended / total)
        words = ", ".join(f"{count[s]} {s}" for s in reversed(STATES) if count[s])
        lines.append(f"{stage:{width}s} [{bar:20s}] {ended:6d} of {total:<6d} {words}")
    lines += ["", *_at_work(rows)]
    if note is not None and note["alive"]:
        lines += said(pace(rows, results, note), now)
    else:
        lines.append("no run at work")
    return lines


def _at_work(rows: Sequence[Status]) -> list[str]:
    running = [row for row in rows if row.state == "running"]
    lines = []
    for row in running[:SHOWN]:
        log = Path(row.log)
        since = time.time() - log.stat().st_ctime if log.exists() else 0.0
        lines.append(f"now: {row.stage} {row.item}, its log changed {since:.0f} s ago")
    more = len(running) - SHOWN
    return [*lines, f"     and {more} more"] if more > 0 else lines


def pace(rows: Sequence[Status], results: str, note: dict[str, Any]) -> Pace:
    """The rate of the run that `note` is of, and how long its other jobs take at that rate.

    What is left are the jobs of each stage times the median of those of it that were measured,
    over the number that ran at the same time on the average.
    """
    elapsed = runs.seconds(note)
    begun = datetime.datetime.fromisoformat(note["started_utc"]).timestamp()
    done = [row for row in rows if row.state in {"done", "warned", "failed"}]
    mine = Counter(row.stage for row in done if _changed(row.record) >= begun)
    left = Counter(row.stage for row in rows if row.state in {"pending", "running", "incomplete"})
    stages = [stage for stage in STAGES if stage.asked_for(note["config"])]
    took = {stage.name: typical_s(results, stage.rule) for stage in stages}
    worked = sum(n * (took.get(stage) or 0.0) for stage, n in mine.items())
    number = mine.total()
    if not number or not worked or not elapsed:
        return Pace(number, None, None, True)
    at_once = max(worked / elapsed, 1e-3)
    rest = sum(n * (took.get(stage) or 0.0) for stage, n in left.items())
    unknown = any(took.get(stage) is None for stage in left)
    return Pace(number, 3600 * number / elapsed, rest / at_once, unknown)


def typical_s(results: str, rule: str) -> float | None:
    """Median wall time of the latest jobs of a rule [s]; None when none has ended."""
    folder = Path(path("benchmark", results, rule=rule, job="x")).parent
    files = sorted(folder.rglob("*.tsv"))[-SAMPLE:]
    took = [row["s"] for file in files for row in seconds_of(file) if "s" in row]
    return statistics.median(took) if took else None


def _changed(record: str) -> float:
    try:
        return os.stat(record).st_mtime
    except OSError:
        return 0.0


def said(found: Pace, now: datetime.datetime) -> list[str]:
    """The pace in words."""
    if found.per_hour is None or found.left_s is None:
        return [f"{found.done} products made by this run; too early to say when it ends"]
    end = now + datetime.timedelta(seconds=found.left_s)
    word = "not before" if found.at_least else "about"
    return [
        f"{found.done} products made by this run, {found.per_hour:.0f} an hour;"
        f" ends {word} {end:%Y-%m-%d %H:%M} UTC (in {found.left_s / 60:.0f} min)"
    ]
