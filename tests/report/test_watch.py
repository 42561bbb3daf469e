"""The live table: what is at work, how fast, and when it ends."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from contimg.cli import main
from contimg.core.paths import path
from contimg.report import runs
from contimg.report.status import Status
from contimg.report.watch import pace, table
from report.make_results import PLAN, Survey, put


def rows(results: str, done: int, pending: int) -> list[Status]:
    """Tiles at one stage, the first ones done by this run, five before it."""
    found = []
    for k in range(done + pending + 5):
        record = path("image_record", results, group=f"20251005T0000{k:02d}", tier="standard")
        state = "done" if k < done + 5 else "pending"
        if state == "done":
            put(record, "{}")
        if k < 5:
            os.utime(record, (1.0, 1.0))
        found.append(Status("group", f"20251005T0000{k:02d}", "image", state, "", "", record))
    return found


def note(seconds: float) -> dict:
    import datetime

    begun = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds)
    return {"started_utc": begun.isoformat(), "alive": True, "config": {"keep_ms": "calibrated"}}


def test_the_end_is_where_the_rate_leads(tmp_path):
    """Ten jobs of 20 s in 100 s: two at a time, so that thirty more take 300 s."""
    results = str(tmp_path)
    for k in range(3):
        put(
            path("benchmark", results, rule="image_tile", job=f"{k}"), f"s\tcpu_time\n{19 + k}\t1\n"
        )
    found = pace(rows(results, 10, 30), results, note(100))
    assert found.done == 10 and not found.at_least
    assert found.per_hour == pytest.approx(360, rel=0.02)
    assert found.left_s == pytest.approx(300, rel=0.02)


def test_what_was_never_measured_makes_the_end_a_limit(tmp_path):
    results = str(tmp_path)
    assert pace(rows(results, 2, 3), results, note(10)).left_s is None
    put(path("benchmark", results, rule="image_tile", job="a"), "s\n10\n")
    more = [Status("mosaic", "m", "mosaic", "pending", "", "", "none")]
    found = pace([*rows(results, 2, 3), *more], results, note(10))
    assert found.at_least
    text = "\n".join(table([*rows(results, 2, 3), *more], results, note(10)))
    assert "7 of 10" in text and "ends not before" in text


def test_watching_ends_with_the_run(tmp_path, capsys):
    results = str(tmp_path / "results")
    Survey(results, days=1, tiles=2, mosaics=1, sources=2).make()
    begun = time.monotonic()
    main(["status", "--watch", "--results", results])
    assert time.monotonic() - begun < 4
    out = capsys.readouterr().out
    assert "no run at work" in out and "\x1b" not in out
    run = runs.begin(results, path("plan", results, plan=PLAN), {"image": {"tier": "standard"}})
    text = "\n".join(table([], results, runs.latest(results)))
    assert "too early" in text
    run.end("done")
    assert Path(run.note).exists()
