"""Status and page of a small results tree that holds one of everything that can happen."""

from __future__ import annotations

import csv
import html
import json
import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from contimg.cli import main
from contimg.core.paths import path
from contimg.core.records import Check, write_record
from contimg.report import runs
from contimg.report.command import of_last_run
from contimg.report.stages import STAGES
from contimg.report.status import Status, statuses

PLAN = "0123456789"  # name of the plan

GROUPS = ["20251005T080000", "20251005T080509", "20251005T081018"]
CALSET = f"{GROUPS[0]}_0834+555"
MOSAIC = "20251005_0834+555"
REASON = "no calset passes: <all antennas flagged>"
# products of the stages that are done
MADE = {"image", "residual", "psf", "model", "pb", "pbcor"} | {
    product for stage in STAGES if stage.name == "mosaic" for product in stage.products
}


def group(name: str) -> dict:
    return {
        "group": name,
        "telescope": "OVRO_MMA",
        "start_mjd": 60953.0 + GROUPS.index(name) * 309 / 86400,
        "end_mjd": 60953.0 + (GROUPS.index(name) + 1) * 309 / 86400,
        "freq_min_hz": 1.311e9,
        "freq_max_hz": 1.498e9,
        "dec_deg": 55.5,
    }


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Tile 0 is done, tile 1 failed at `apply`, tile 2 was only converted."""
    monkeypatch.chdir(tmp_path)
    root = "results/toy"
    plan = {
        "groups": {g: group(g) for g in GROUPS},
        "calsets": {CALSET: {"group": GROUPS[0], "calibrator": "0834+555"}},
        "tiles": {g: {"calsets": [CALSET]} for g in GROUPS},
        "mosaics": {MOSAIC: {"tiles": GROUPS}},
        "rejected": 1,
    }
    put(path("plan", root, plan=PLAN), json.dumps(plan))
    put(path("rejected", root, plan=PLAN), "path,reason\nraw/bad.hdf5,not HDF5\n")
    for name in GROUPS:
        record(root, "ms_record", "convert", group=name)
    record(root, "cal_ms_record", "convert", calset=CALSET)
    record(root, "solutions", "solve", calset=CALSET)
    record(root, "calibrated_record", "apply", group=GROUPS[0])
    record(root, "calibrated_record", "apply", reason=REASON, verdict="fail", group=GROUPS[1])
    tile = {"rms_jy_beam": 1.5e-3, "noise_ratio": 1.2, "peak_jy_beam": 0.8, "calsets": [CALSET]}
    tile |= {"bmaj_arcsec": 40.0, "bmin_arcsec": 30.0}
    record(root, "image_record", "image", data=tile, group=GROUPS[0], tier="standard")
    record(
        root,
        "image_record",
        "image",
        reason="upstream failed",
        verdict="fail",
        group=GROUPS[1],
        tier="standard",
    )
    mosaic = {"mjd": 60953.01, "area_deg2": 9.5, "rms_median_jy_beam": 9e-4}
    mosaic |= {
        "tiles_used": GROUPS[:1],
        "tiles_left_out": [{"tile": GROUPS[1], "reason": "upstream failed"}],
    }
    record(root, "mosaic_record", "mosaic", data=mosaic, verdict="warn", mosaic=MOSAIC)
    record(root, "mosaic_validation", "mosaic validate", verdict="fail", mosaic=MOSAIC)
    for name, key in (
        ("solutions_plot", {"calset": CALSET}),
        ("image_plot", {"group": GROUPS[0], "tier": "standard"}),
        ("mosaic_plot", {"mosaic": MOSAIC}),
    ):
        plot = Path(path(name, root, **key))
        plot.parent.mkdir(parents=True, exist_ok=True)
        Figure(figsize=(1, 1)).savefig(plot)
    for stage in STAGES:
        for item in plan.get(f"{stage.kind}s", []):
            for product in stage.products:
                if product in MADE:
                    put(path(product, root, **{stage.kind: item, "tier": "standard"}), "x")
    put(path("candidates", root), "source,fap\nJ0834+5534,0.00012345678901\n")
    put(
        path("benchmark", root, rule="image", job=GROUPS[0]),
        "s\th:m:s\tmax_rss\tcpu_time\n12.5\t0:00:12\t800.25\t20.0\n",
    )
    put(path("benchmark", root, rule="image", job=GROUPS[1]), "s\tmax_rss\tcpu_time\n1.5\tNA\tNA\n")
    return root


def put(name: str, text: str) -> None:
    target = Path(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


def record(root: str, name: str, stage: str, reason: str = "", data=None, verdict=None, **key):
    words = "noise is high" if verdict else ""
    checks = [Check("noise", 1.2, "", "warn if > 3", verdict or "pass", words)]
    write_record(
        path(name, root, **key),
        product=next(iter(key.values())),
        stage=stage,
        data=data or {"n": 1},
        checks=[] if reason else checks,
        reason=reason,
        verdict=verdict,
    )


def table_of(results: str) -> list[Status]:
    return statuses(
        json.loads(Path(path("plan", results, plan=PLAN)).read_text()), results, "standard"
    )


def test_everything_has_exactly_one_state(results: str) -> None:
    rows = table_of(results)
    seen = {(row.kind, row.item, row.stage) for row in rows}
    assert len(seen) == len(rows)
    sizes = {"group": 3, "calset": 1, "calsets": 1, "mosaic": 1, "tiles": 1, "run": 1}
    assert len(rows) == 1 + sum(sizes[s.kind] for s in STAGES if s.asked_for({}))
    assert {row.state for row in rows} == {"done", "failed", "pending", "rejected", "warned"}
    state = {(row.item, row.stage): (row.state, row.reason) for row in rows}
    assert state[GROUPS[0], "image"] == ("done", "")
    assert state[GROUPS[1], "apply"] == ("failed", REASON)
    assert state[GROUPS[2], "apply"] == ("pending", "")
    assert state["raw/bad.hdf5", "discover"] == ("rejected", "not HDF5")
    assert state[MOSAIC, "mosaic"] == ("warned", "noise is high")
    assert state[MOSAIC, "validate"] == ("failed", "noise is high")


def test_a_torn_record_is_a_failure_with_a_name(results: str) -> None:
    torn = path("ms_record", results, group=GROUPS[2])
    Path(torn).write_text('{"product": ')
    (row,) = [r for r in table_of(results) if r.record == torn]
    assert row.state == "failed"
    assert torn in row.reason


def test_a_run_without_mosaics_waits_for_no_light_curves(results: str) -> None:
    plan = json.loads(Path(path("plan", results, plan=PLAN)).read_text()) | {"mosaics": {}}
    assert not {"run", "mosaic"} & {row.kind for row in statuses(plan, results, "standard")}


def test_models_of_the_field_and_their_mosaics_are_listed_with_what_they_go_on_from(
    results: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three windows the last one serves no tile."""
    plan = json.loads(Path(path("plan", results, plan=PLAN)).read_text())
    names = [f"deep_2025100{day}_d+55.58" for day in (1, 3, 5)]
    plan["deep_models"] = {
        name: {"mosaics": [f"{name}_p1"], "previous": previous}
        for name, previous in zip(names, ["", *names], strict=False)
    }
    plan["tiles"][GROUPS[2]]["deep_model"] = names[1]
    config = {"photometry_method": "visibilities", "plan": {"deep_days": 2}}
    monkeypatch.setattr(runs, "latest", lambda results: {"config": config})
    record(results, "mosaic_record", "mosaic", mosaic=f"{names[0]}_p1")
    states = {row.item: row.state for row in statuses(plan, results, "standard")}
    assert [states.get(name) for name in names] == ["pending", "pending", None]
    mosaics = [states.get(f"{name}_p1") for name in names]
    assert mosaics == ["incomplete", "pending", None]  # a record without maps beside it


def make_pages(results: str) -> dict[str, str]:
    """The text of every page, by its name below the report."""
    status, page = path("status", results), path("report", results)
    common = ["--results", results, "--plan", path("plan", results, plan=PLAN), "--status", status]
    assert main(["status", *common]) == 0
    assert main(["report", *common, "--title", "A & B", "--report", page]) == 0
    home = Path(page).parent
    return {f.relative_to(home).as_posix(): f.read_text() for f in home.rglob("*.html")}


def test_status_prints_reasons_and_counts(results: str, capsys: pytest.CaptureFixture[str]) -> None:
    make_pages(results)
    printed = capsys.readouterr().out
    assert f"{GROUPS[1]}  failed: {REASON}" in printed
    assert re.search(r"image +group +0 +1 +0 +1 +0 +1 +0 +0 +3\n", printed)
    with Path(path("status", results)).open(newline="") as stream:
        states = {row["state"] for row in csv.DictReader(stream)}
    assert states == {"done", "failed", "pending", "rejected", "warned"}


def test_pages_show_results_and_failures(results: str) -> None:
    pages = make_pages(results)
    front = pages["index.html"]
    assert "<title>A &amp; B</title>" in front
    assert html.escape(REASON) in front
    assert not any("<all antennas" in page for page in pages.values())
    assert "raw/bad.hdf5" in pages["reasons.html"]
    assert "1311.0 to 1498.0 MHz" in front
    assert "<td>0.0015</td>" in pages[f"tiles/2025-10-05/{GROUPS[0]}.html"]
    assert html.escape(REASON) in pages[f"tiles/2025-10-05/{GROUPS[1]}.html"]
    row = r"<td>image</td><td class=\"n\">2</td><td class=\"n\">14.0</td>"
    assert re.search(row, pages["run.html"])
    assert "numpy" in pages["run.html"]


def test_the_run_lists_what_no_catalogue_has(results: str) -> None:
    put(path("unknown", results), "name,flux_jy,tiles_seen\nJ152154+045831,0.0841407,6\n")
    put(path("beam", results), "ra_deg,tiles\n")
    page = make_pages(results)["run.html"]
    assert "Sources above 10 sigma that no catalogue has" in page
    assert re.search(r"J152154\+045831.*0\.0841407.*6", page, re.S)


def test_items_link_to_each_other_and_to_their_files(results: str) -> None:
    """Also to the page of a calset that failed its checks."""
    own = path("calset_page", results, calset=CALSET)
    put(own, "<p>a page</p>")
    record(results, "calset_record", "calset inspect", verdict="fail", calset=CALSET)
    pages = make_pages(results)
    tile = pages[f"tiles/2025-10-05/{GROUPS[0]}.html"].replace("%2B", "+")
    assert f'href="../../calsets/2025-10-05/{CALSET}.html"' in tile
    assert f'href="../../mosaics/2025-10-05/{MOSAIC}.html"' in tile
    mosaic = pages[f"mosaics/2025-10-05/{MOSAIC}.html"].replace("%2B", "+")
    calset = pages[f"calsets/2025-10-05/{CALSET}.html"].replace("%2B", "+")
    for page in (mosaic, calset):
        assert f'href="../../tiles/2025-10-05/{GROUPS[0]}.html"' in page
    assert f"../../../{Path(own).relative_to(results)}" in calset
    record_of = path("image_record", results, group=GROUPS[0], tier="standard")
    assert f"../../../{Path(record_of).relative_to(results)}" in tile


def test_page_of_a_run_that_has_not_begun(results: str) -> None:
    for old in Path(results).rglob("*.json"):
        if old.name != "plan.json":
            old.unlink()
    assert 'class="pending"' in make_pages(results)["index.html"]


def test_page_of_failed_products(results: str) -> None:
    """Placeholders (empty tables) stand where products failed."""
    for name in ("candidates", "epochs"):
        put(path(name, results), "")
    record(
        results, "variability_record", "variability", reason="no epochs", verdict="fail", run="run"
    )
    assert "no epochs" in make_pages(results)["index.html"]


def test_pages_by_hand_need_only_the_results(results: str, tmp_path: Path) -> None:
    """The options, the table of decisions among them, are those of the last run."""
    put("decisions.csv", "source,status,note,by,decided_utc\n")
    config = {"report": {"title": "A title", "candidate_decisions": "decisions.csv"}}
    runs.begin(results, path("plan", results, plan=PLAN), config).end("done")
    assert of_last_run(results).candidate_decisions == tmp_path / "decisions.csv"
    assert main(["report", "--results", results]) == 0
    front = Path(path("report", results)).read_text()
    assert "<title>A title</title>" in front and html.escape(REASON) in front
