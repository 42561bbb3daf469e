"""How a run ends: what is said, and what is said first when nothing was made."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from contimg.core.paths import path
from contimg.core.records import write_record, write_text
from contimg.report import runs
from contimg.report.ending import finish, made_nothing
from contimg.report.options import ReportOptions
from contimg.report.stages import STAGES

PLAN = "0123456789"  # name of the plan

GROUPS = ["20251005T080000", "20251005T080509"]


def group(name: str) -> dict:
    times = {"start_mjd": 60953.0, "end_mjd": 60953.1, "freq_min_hz": 1.3e9, "freq_max_hz": 1.5e9}
    return times | {"group": name, "telescope": "OVRO_MMA", "dec_deg": 55.5}


@pytest.fixture
def results(tmp_path: Path) -> str:
    return str(tmp_path / "results")


def plan(results: str, names: list[str], rejected: dict[str, int] | None = None) -> runs.Run:
    number = sum((rejected or {}).values())
    files = {"found": number + 16 * len(names), "in_groups": 16 * len(names)}
    content = {
        "groups": {g: group(g) for g in names},
        "calsets": {},
        "tiles": {g: {} for g in names},
        "mosaics": {},
        "files": files | {"not_selected": 0, "rejected": number},
        "rejected": number,
        "rejected_by_reason": rejected or {},
    }
    write_text(path("plan", results, plan=PLAN), json.dumps(content))
    return runs.begin(results, path("plan", results, plan=PLAN), {"keep_ms": "none"})


def tile(results: str, name: str, reason: str = "") -> None:
    for record in ("ms_record", "calibrated_record", "image_record"):
        fails = reason if record != "ms_record" else ""
        write_record(
            path(record, results, group=name, tier="standard"),
            product=name,
            stage="s",
            data={},
            reason=fails,
            verdict="fail" if fails else "pass",
        )
    for stage in STAGES:
        for product in stage.products if stage.name == "image" and not reason else ():
            write_text(path(product, results, group=name, tier="standard"), "x")


def ending(run: runs.Run, results: str, capsys, success: bool = True) -> tuple[str, list[str]]:
    reason = finish(run, results, "standard", success, ReportOptions())
    return reason, capsys.readouterr().out.splitlines()


def test_all_files_rejected(results, capsys):
    run = plan(results, [], {"frequency": 12, "truncated": 4})
    write_text(
        path("rejected", results, plan=PLAN), "path,reason\na,1.3e9 MHz is outside the band\n"
    )
    reason, lines = ending(run, results, capsys)
    assert lines[0] == f"NOTHING WAS MADE: {reason}"
    assert "16 of 16 files are rejected, 12 of them: frequencies do not fit" in reason
    assert "1.3e9 MHz" in reason
    assert lines[1].split() == [
        "files",
        "16",
        "found,",
        "0",
        "used,",
        "0",
        "not",
        "selected,",
        "16",
        "rejected",
    ]
    assert any("4 rejected: HDF5 file cut short" in line for line in lines)
    assert runs.latest(results)["outcome"] == "nothing made"


def test_no_calibrator(results, capsys):
    run = plan(results, GROUPS)
    for name in GROUPS:
        tile(results, name, "no calibrator transit within 12 h")
    reason, lines = ending(run, results, capsys)
    assert "2 of 2: no calibrator transit within 12 h" in reason
    assert "groups      2: 2 failed" in lines


def test_that_nothing_was_made_is_known_to_the_next_run(results):
    table = Path(path("status", results))
    assert not made_nothing(results)
    head = "kind,item,stage,state\n"
    rows = ["group,a,convert,done", "group,a,apply,failed", "group,b,convert,failed"]
    write_text(table, head + "\n".join(rows) + "\n")
    assert made_nothing(results)
    write_text(table, head + "\n".join([*rows, "group,c,convert,done"]) + "\n")
    assert not made_nothing(results)


def test_a_run_that_made_something(results, capsys):
    run = plan(results, GROUPS)
    tile(results, GROUPS[0])
    tile(results, GROUPS[1], "no calset")
    reason, lines = ending(run, results, capsys)
    assert reason == ""
    assert "groups      2: 1 done, 1 failed" in lines
    assert runs.latest(results)["outcome"] == "done" and runs.going_on(results) == 0


def test_a_run_for_a_part_of_the_products_made_that(results, capsys):
    run = plan(results, GROUPS)
    made = path("ms_record", results, group=GROUPS[0])
    write_record(made, product="x", stage="convert", data={})
    assert ending(run, results, capsys)[0] == ""


def test_crashes_are_in_the_summary_and_the_report(results, capsys):
    run = plan(results, GROUPS)
    tile(results, GROUPS[0])
    log = path("log", results, rule="calibrate_tile", job=f"2025-10-05/{GROUPS[1]}")
    write_text(log, "HDF5 error: no locks\n")
    reason, lines = ending(run, results, capsys, success=False)
    assert reason == ""
    assert f"crashed     convert {GROUPS[1]}: HDF5 error: no locks" in lines
    front = Path(path("report", results))
    assert "HDF5 error: no locks" in front.read_text()
    tile_page = front.parent / f"tiles/2025-10-05/{GROUPS[1]}.html"
    assert "HDF5 error: no locks" in tile_page.read_text()
    assert "tried 1 times" in tile_page.read_text()


@pytest.mark.parametrize(
    ("config", "asked"),
    [
        ({}, set()),
        ({"photometry_method": "image", "check": {"expected": None}}, set()),
        ({"photometry_method": "visibilities"}, {"fit"}),
        ({"simulate": {"enabled": True}, "check": {"expected": "e.csv"}}, {"truth", "fluxes"}),
    ],
)
def test_stages_that_only_some_configs_have(config, asked):
    assert {s.name for s in STAGES if s.when and s.asked_for(config)} == asked


def test_a_note_that_a_killed_run_left_half_goes_with_the_next_run(results):
    """Its name comes never again; that of a run on another machine may be being written."""
    folder = Path(path("run_note", results, run="x")).parent
    folder.mkdir(parents=True)
    host = runs.sign()["host"]
    ended = subprocess.Popen(["true"])
    ended.wait()
    mine = folder / f"20251005T080000-7.partial-{host}-{ended.pid}.json"
    other = folder / f"20251005T080000-8.partial-elsewhere-{ended.pid}.json"
    for note in (mine, other):
        note.write_text("{")
    assert runs.damaged(results) == []
    run = plan(results, GROUPS)
    try:
        assert sorted(folder.iterdir()) == sorted([other, run.note])
    finally:
        run.end("done")
