"""Operators' verbs on a small results tree: one tile done, one failed, one whose job crashed."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
import yaml

from contimg.cli import main
from contimg.core.paths import path
from contimg.core.records import write_record, write_text
from contimg.mosaic.overrides import read_decisions
from contimg.publish.overrides import read_overrides
from contimg.report import runs

PLAN = "0123456789"  # name of the plan

GROUPS = ["20251005T080000", "20251005T080509", "20251005T081018"]
CALSET = f"{GROUPS[0]}_0834+555"
MOSAIC = "20251005_0834+555"
TILE = ("image", "residual", "psf", "model", "pb", "pbcor")


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    root = str(tmp_path / "results")
    plan = {
        "groups": {g: {"start_mjd": 60953.0} for g in GROUPS},
        "calsets": {CALSET: {"group": GROUPS[0]}},
        "tiles": {g: {"calsets": [CALSET]} for g in GROUPS},
        "mosaics": {MOSAIC: {"tiles": GROUPS}},
        "files": {},
        "rejected": 0,
    }
    write_text(path("plan", root, plan=PLAN), json.dumps(plan))
    for group in GROUPS[:2]:
        made(root, "ms_record", group=group)
    made(root, "calibrated_record", group=GROUPS[0])
    made(root, "calibrated_record", "no calset passes", group=GROUPS[1])
    made(root, "image_record", group=GROUPS[0], tier="high_precision")
    made(root, "image_record", "upstream failed", group=GROUPS[1], tier="high_precision")
    for product in TILE:
        write_text(path(product, root, group=GROUPS[0], tier="high_precision"), "x")
    log = path("log", root, rule="calibrate_tile", job=f"2025-10-05/{GROUPS[2]}")
    write_text(log, "reading\nOSError: disk full\n")
    note = {"host": "node7", "pid": 7, "slurm_job": "", "tries": 2, "error": "OSError: disk full"}
    write_text(Path(log).with_suffix(".job"), json.dumps(note | {"ended_utc": "2025-10-06"}))
    return root


def made(root: str, name: str, reason: str = "", **key: str) -> None:
    verdict = "fail" if reason else "pass"
    write_record(
        path(name, root, **key), product="p", stage="s", data={}, reason=reason, verdict=verdict
    )


def begun(results: str, tmp_path: Path, end: str = "failed") -> None:
    """A run with tables of decisions and a tier of its own."""
    for name, head in (("m", "product,decision,reason"), ("t", "mosaic,tile,decision,reason")):
        (tmp_path / f"{name}.csv").write_text(f"# decisions\n{head}\n")
    config = {
        "results": results,
        "image": {"tier": "high_precision"},
        "publish": {"overrides": "m.csv"},
        "mosaic": {"overrides": str(tmp_path / "t.csv")},
        "instrument": {"subbands": 4},
    }
    run = runs.begin(results, path("plan", results, plan=PLAN), config)
    if end:
        run.end(end)


def status(results: str, capsys) -> tuple[int, dict]:
    capsys.readouterr()
    code = main(["status", "--results", results, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_every_group_is_exactly_one_thing(results, tmp_path, capsys):
    begun(results, tmp_path)
    code, content = status(results, capsys)
    assert content["groups"] == dict(zip(GROUPS, ["done", "failed", "crashed"], strict=True))
    assert (code, content["outcome"]) == (4, "crashed")


def test_what_became_of_the_last_run_is_said(results, tmp_path, capsys):
    words = ["status", "--results", results]
    main(words)
    assert "no run yet" in capsys.readouterr().out
    begun(results, tmp_path, end="")
    main(words)
    assert "at work\nrunning:" in capsys.readouterr().out
    (note,) = Path(path("run_note", results, run="x")).parent.iterdir()
    note.write_text(json.dumps(json.loads(note.read_text()) | {"began": "1"}))  # another process
    main(words)
    assert "cut off\ncrashed:" in capsys.readouterr().out


def test_the_tier_is_that_of_the_run_or_the_one_given(results, tmp_path, capsys):
    """Without a run the standard tier is meant, of which there is nothing."""
    _, content = status(results, capsys)
    assert content["groups"][GROUPS[0]] == "pending"
    begun(results, tmp_path)
    _, content = status(results, capsys)
    assert content["groups"][GROUPS[0]] == "done"


def test_exit_status_of_a_run_at_work(results, tmp_path, capsys):
    begun(results, tmp_path, end="")
    assert status(results, capsys)[0] == 3
    assert main(["retry", "--failed", "--results", results]) == 1
    assert "a run works on" in capsys.readouterr().err


@pytest.mark.parametrize(("gone", "state"), [("pb", "incomplete"), ("image_record", "pending")])
def test_what_is_gone_is_said(results, tmp_path, capsys, gone, state):
    begun(results, tmp_path)
    Path(path(gone, results, group=GROUPS[0], tier="high_precision")).unlink()
    assert status(results, capsys)[1]["groups"][GROUPS[0]] == state


def test_errors_are_the_causes_with_reason_and_log(results, tmp_path, capsys):
    begun(results, tmp_path)
    assert main(["errors", "--results", results]) == 0
    out = capsys.readouterr().out
    assert f"crashed convert {GROUPS[2]}, tried 2 times: OSError: disk full" in out
    assert f"failed  apply {GROUPS[1]}: no calset passes" in out
    assert "upstream failed" not in out
    assert out.index("crashed") < out.index("failed ")
    assert main(["errors", GROUPS[1], "--consequences", "--results", results]) == 0
    out = capsys.readouterr().out
    assert "upstream failed" in out and GROUPS[2] not in out


def test_log_shows_the_end_of_what_crashed(results, tmp_path, capsys):
    begun(results, tmp_path)
    assert main(["log", GROUPS[2], "--lines", "1", "--results", results]) == 0
    out = capsys.readouterr().out
    assert "OSError: disk full" in out and "reading" not in out
    assert main(["log", "20251005T09*", "--results", results]) == 1
    assert "no product 20251005T09*" in capsys.readouterr().err


def test_retry_takes_the_records_from_the_cause_on(results, tmp_path, capsys):
    begun(results, tmp_path)
    assert main(["retry", "--failed", "--results", results]) == 0
    assert "snakemake" in capsys.readouterr().out
    assert Path(path("ms_record", results, group=GROUPS[1])).exists()
    assert not Path(path("calibrated_record", results, group=GROUPS[1])).exists()
    image = path("image_record", results, group=GROUPS[1], tier="high_precision")
    assert not Path(image).exists()
    _, content = status(results, capsys)
    assert content["groups"] == dict(zip(GROUPS, ["done", "pending", "crashed"], strict=True))


def test_results_that_were_copied_start_no_run_on_the_original(results, tmp_path, capsys):
    begun(results, tmp_path)
    copy = shutil.copytree(results, tmp_path / "copy")
    assert main(["retry", "--failed", "--now", "--results", str(copy)]) == 1
    said = capsys.readouterr().err
    assert f"worked on {results}" in said and str(copy) in said
    assert main(["retry", "--failed", "--results", str(copy)]) == 0
    assert "cd " not in capsys.readouterr().out
    assert Path(path("calibrated_record", results, group=GROUPS[1])).exists()


def test_retry_of_what_is_done_needs_a_stage(results, tmp_path, capsys):
    begun(results, tmp_path)
    assert main(["retry", GROUPS[0], "--results", results]) == 1
    assert "--stage" in capsys.readouterr().err
    assert main(["retry", GROUPS[0], "--stage", "image", "--results", results]) == 0
    assert status(results, capsys)[1]["groups"][GROUPS[0]] == "pending"
    assert Path(path("calibrated_record", results, group=GROUPS[0])).exists()


def test_decisions_are_rows_with_who_when_and_why(results, tmp_path):
    begun(results, tmp_path)
    words = ["--results", results, "--reason", "a satellite, bright", "--by", "ana"]
    assert main(["hold", MOSAIC, GROUPS[0], *words]) == 0
    found = read_overrides(tmp_path / "m.csv")[MOSAIC]
    assert (found.decision, found.reason, found.by) == ("hold", "a satellite, bright", "ana")
    assert found.decided_utc.startswith("20") and "ana" in found.why
    (left_out,) = read_decisions(tmp_path / "t.csv", MOSAIC).items()
    assert left_out[0] == GROUPS[0] and left_out[1][0] == "leave_out" and "ana" in left_out[1][1]
    assert main(["publish", MOSAIC, "--results", results]) == 0
    assert read_overrides(tmp_path / "m.csv")[MOSAIC].decision == "publish"
    names = tmp_path / "names"
    names.write_text(f"{MOSAIC}\n{GROUPS[0]}\n")
    assert main(["release", "--names-from", str(names), "--results", results]) == 0
    assert read_overrides(tmp_path / "m.csv")[MOSAIC].decision == "release"
    assert read_decisions(tmp_path / "t.csv", MOSAIC) == {}
    lines = (tmp_path / "m.csv").read_text().splitlines()
    assert lines[0] == "# decisions" and len(list(csv.DictReader(lines[1:]))) == 1


def test_decisions_on_a_copy_are_not_those_on_the_original(results, tmp_path, capsys):
    begun(results, tmp_path)
    before = (tmp_path / "m.csv").read_text()
    copy = str(shutil.copytree(results, tmp_path / "copy"))
    assert main(["hold", MOSAIC, "--reason", "x", "--results", copy]) == 1
    assert f"worked on {results}" in capsys.readouterr().err
    assert (tmp_path / "m.csv").read_text() == before
    own = tmp_path / "own.csv"
    words = ["--reason", "x", "--results", copy, "--publish-overrides", str(own)]
    assert main(["hold", MOSAIC, *words]) == 0
    assert read_overrides(own)[MOSAIC].decision == "hold"


def test_a_damaged_note_of_the_last_run_is_named(results, tmp_path, capsys):
    begun(results, tmp_path)
    (note,) = Path(path("run_note", results, run="x")).parent.iterdir()
    note.write_text(note.read_text()[:100])
    main(["status", "--results", results])
    said = capsys.readouterr()
    assert f"{note}: not a readable note" in said.err and "no readable note of a run" in said.out


def test_other_rows_of_a_table_stay_as_they_are(results, tmp_path):
    begun(results, tmp_path)
    table = tmp_path / "m.csv"
    table.write_text('product,decision,reason\nother,hold,"rain, wind"\n# later\n')
    assert main(["hold", MOSAIC, "--reason", "x", "--results", results]) == 0
    assert table.read_text().splitlines()[1:3] == ['other,hold,"rain, wind"', "# later"]
    assert read_overrides(table)["other"].reason == "rain, wind"


def test_what_cannot_be_decided(results, tmp_path, capsys):
    assert main(["hold", MOSAIC, "--reason", "x", "--results", results]) == 1
    assert "publish.overrides is not set" in capsys.readouterr().err
    begun(results, tmp_path)
    for words, said in (
        (["hold", MOSAIC], "give the --reason"),
        (["hold", "20251005_0834+556", "--reason", "x"], f"did you mean {MOSAIC}"),
        (["publish", GROUPS[0]], "no product"),
        (["release"], "name the products"),
    ):
        assert main([*words, "--results", results]) == 1
        assert said in capsys.readouterr().err


def test_verbs_by_hand_take_the_options_of_the_run(results, tmp_path, capsys):
    """The config given with --configfile, or else that of the last run."""
    from contimg.cli import build_parser, load, read

    def subbands(*words: str) -> int:
        files, (instrument, _) = read(load(verb), build_parser(verb).parse_args(words))
        assert files.results == results
        return instrument.subbands

    verb = "calset validate"
    begun(results, tmp_path)
    own = tmp_path / "own.yaml"
    own.write_text(yaml.safe_dump({"results": results, "instrument": {"subbands": 6}}))
    assert subbands("--results", results) == 4
    assert subbands("--configfile", str(own)) == 6
    assert subbands("--configfile", str(own), "--subbands", "8") == 8
    table = tmp_path / "list.json"
    assert main(["inventory", "--results", results, "--json-table", str(table)]) == 0
    assert any(row["name"].endswith(".high_precision") for row in json.loads(table.read_text()))
