"""The whole workflow on a known sky: truth, completeness, restart, single targets, report."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from contimg.core.paths import path
from contimg.core.plans import read_plan, read_rejected
from contimg.publish.lineage import lineage

EPOCHS = 5
ROOT = Path(__file__).parents[2]


def test_the_plan_is_complete_before_anything_exists(plan_before):
    for rule, jobs in (
        ("simulate_group", EPOCHS),
        ("convert_calibrator", EPOCHS),
        ("solve_calset", EPOCHS),
        ("inspect_calset", EPOCHS),
        ("drift_calsets", 1),
        ("calibrate_tile", EPOCHS),
        ("fit_tile", EPOCHS),
        ("image_tile", EPOCHS),
        ("mosaic_tiles", EPOCHS),
        ("validate_mosaic", EPOCHS),
        ("measure_photometry", EPOCHS),
        ("publish_mosaic", EPOCHS),
        ("find_variables", 1),
        ("report_run", 1),
    ):
        assert any(line.split() == [rule, str(jobs)] for line in plan_before.splitlines()), rule


WINDOW = 'discover={since: "2025-10-06", until: "2025-10-07T23:00"}'


@pytest.mark.parametrize(
    ("wanted", "changes", "mosaics"),
    [
        ("validated", ['plan={use: ["0834+555"]}', "mosaic={span_minutes: 50}"], EPOCHS),
        ("validated", [WINDOW, "mosaic={mode: window, window_tiles: 1, window_overlap: 0}"], 2),
        ("20251006_0834+555", ["mosaic={span_minutes: 5}"], 1),
    ],
    ids=["calibrator", "window", "name"],
)
def test_one_command_goes_from_raw_data_to_validated_mosaics(fresh, wanted, changes, mosaics):
    """The commands of docs/mosaics.md."""
    if wanted != "validated":
        wanted = path("mosaic_validation", str(fresh.results), mosaic=wanted)
    planned = fresh.snakemake("-n", wanted, "--config", *changes)
    counts = dict(line.split() for line in planned.splitlines() if len(line.split()) == 2)
    for rule in ("calibrate_tile", "image_tile", "mosaic_tiles", "validate_mosaic"):
        assert counts[rule] == str(mosaics), rule
    assert "publish_mosaic" not in counts


@pytest.mark.parametrize(
    ("target", "last", "never"),
    [
        ("converted", "convert_tile", "solve_calset"),
        ("calsets", "inspect_calset", "calibrate_tile"),
        ("calibrated", "calibrate_tile", "image_tile"),
    ],
)
def test_one_target_makes_all_of_a_stage_and_no_more(fresh, target, last, never):
    planned = fresh.snakemake("-n", target)
    counts = dict(line.split() for line in planned.splitlines() if len(line.split()) == 2)
    assert counts[last] == str(EPOCHS) and never not in counts


@pytest.mark.parametrize("change", ["keep_ms=all", 'flag={steps: ["tfcrop"]}'])
def test_tiles_over_their_measurement_sets(fresh, change):
    """Where these are kept, or a step of the flagging needs them."""
    planned = fresh.snakemake("-n", "calibrated", "--config", change)
    counts = dict(line.split() for line in planned.splitlines() if len(line.split()) == 2)
    assert counts["convert_tile"] == counts["apply_calset"] == str(EPOCHS)
    assert "calibrate_tile" not in counts


def test_images_of_residuals_take_the_sources_of_the_fit(fresh):
    planned = fresh.snakemake("-n", "-p", "tiles")
    counts = dict(line.split() for line in planned.splitlines() if len(line.split()) == 2)
    assert counts["fit_tile"] == counts["image_tile"] == str(EPOCHS)
    assert planned.count(".model.parquet --fit-record ") == EPOCHS
    for other in ("photometry_method=image", "image={backend: auto}"):
        assert "fit_tile" not in fresh.snakemake("-n", "tiles", "--config", other)


def test_the_sky_is_recovered(run):
    table = pd.read_csv(path("comparison", str(run.results))).set_index("quantity")
    for words in ("position offset", "measured over true flux"):
        lines = table[table.index.str.contains(words)]
        assert len(lines) == 2 and (lines["result"] == "PASS").all(), lines.to_string()
    constant = table[table.index.str.contains("constant sources among candidates")]
    assert (constant["result"] == "PASS").all()


def test_errors_are_of_the_right_size(run):
    table = pd.read_csv(path("comparison", str(run.results))).set_index("quantity")
    pulls = float(table[table.index.str.contains("standard deviation")]["recovered"].iloc[0])
    assert 0.5 < pulls < 1.5  # few sources and epochs


def test_all_data_were_imaged(run):
    records = sorted(run.results.glob("images/*/*/*.json"))
    assert len(records) == EPOCHS
    for record in records:
        content = json.loads(record.read_text())
        assert content["verdict"] != "fail", content["reason"]
        assert content["data"]["unflagged_fraction"] > 0.8
        assert content["data"]["integration_s"] > 0.9 * 8 * 38.65
        assert content["data"]["backend"] == "residual"
        assert abs(content["data"]["gridded_fraction"] - 1) < 1e-3


def test_every_group_is_accounted_for(run):
    status = pd.read_csv(path("status", str(run.results)))
    assert not status.isin(["pending"]).any(axis=None)
    assert read_rejected(str(run.results)) == []


def test_nothing_is_left_to_do(run):
    assert "Nothing to be done" in run.snakemake("--cores", "2")


def test_a_wrong_clock_makes_nothing_again_but_what_follows_a_product_of_the_future(run):
    """Raw files and records are known by what they hold; a large product of 2031 by its time."""
    tile = sorted(run.results.glob("images/*/*/*.standard.image.fits"))[0]
    record = sorted(run.results.glob("calibrated/*/*[0-9].json"))[0]
    raw = sorted((run.directory / "raw").rglob("*.hdf5"))
    stamps = {file: file.stat() for file in (*raw, record, tile)}
    try:
        for seconds in (0, 1_925_000_000):  # 1970, 2031
            for file in (*raw, record):
                os.utime(file, (seconds, seconds))
            assert "Nothing to be done" in run.snakemake("-n", "all")
        os.utime(tile, (seconds, seconds))
        planned = run.snakemake("-n", "all")
        counts = dict(line.split() for line in planned.splitlines() if len(line.split()) == 2)
        assert counts["mosaic_tiles"] == "1" and "image_tile" not in counts
    finally:
        for file, stamp in stamps.items():
            os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def test_no_partial_products_are_left(run):
    assert not [p for p in run.results.rglob("*.partial-*") if "raw" not in p.parts]


def planned_mosaics(run) -> dict:
    return read_plan(str(run.results))["mosaics"]


def test_one_product_is_rebuilt_alone_and_alike(run):
    results = str(run.results)
    mosaic = sorted(planned_mosaics(run))[0]
    target = path("photometry", results, mosaic=mosaic)
    before = digest(target)
    for name in ("photometry", "photometry_record"):
        (run.results / path(name, results, mosaic=mosaic)).unlink()
    output = run.snakemake("--cores", "2", target)
    assert output.count("rule measure_photometry:") == 1
    assert "rule image_tile:" not in output
    assert digest(target) == before


def test_only_what_is_missing_is_made_again(run):
    """Of a mosaic that is gone with one tile: the tile, the mosaic, its validation."""
    mosaic, content = sorted(planned_mosaics(run).items())[2]
    lost = [
        path("image_record", str(run.results), group=content["tiles"][0], tier="standard"),
        path("mosaic_record", str(run.results), mosaic=mosaic),
        path("mosaic_validation", str(run.results), mosaic=mosaic),
    ]
    for name in lost:
        Path(name).rename(f"{name}.hidden")
    planned = run.snakemake("-n", "validated")
    for name in lost:
        Path(f"{name}.hidden").rename(name)
    counts = dict(line.split() for line in planned.splitlines() if len(line.split()) == 2)
    made = {rule: int(count) for rule, count in counts.items() if "_" in rule and count.isdigit()}
    assert made == {"image_tile": 1, "mosaic_tiles": 1, "validate_mosaic": 1}


def digest(file: str) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def test_publications_are_what_their_manifest_says(run):
    manifests = sorted(run.results.glob("published/*/manifest.json"))
    assert len(manifests) == EPOCHS
    for manifest in manifests:
        content = json.loads(manifest.read_text())
        names = {entry["name"] for entry in content["files"]}
        assert {"mosaic.json", "mosaic_validate.json", "photometry.json"} < names
        maps = ("image", "residual", "weight", "rms", "coverage", "mjd", "time", "freq")
        assert {f"{manifest.parent.name}.{kind}.fits" for kind in maps} < names
        for entry in content["files"]:
            assert digest(manifest.parent / entry["name"]) == entry["sha256"]


def test_the_reports_are_made(run):
    page = (run.results / "report/index.html").read_text()
    assert "0834+555" in page
    target = run.directory / "report.html"
    run.snakemake("--report", str(target))
    text = target.read_text()
    for category in ("Mosaics", "Light curves", "ESE candidates", "Calibration"):
        assert category in text


def test_a_mosaic_is_held_back_and_released(run):
    """The next run withdraws it, alone; the record says who and why; then it is back."""
    results = str(run.results)
    mosaic = sorted(planned_mosaics(run))[0]
    target = path("published_record", results, mosaic=mosaic)
    manifest = Path(path("published", results, mosaic=mosaic))
    before = digest(str(manifest))
    assert run.contimg("hold", mosaic, "--reason", "a satellite", "--by", "ana").returncode == 0
    planned = run.snakemake("-n", "all")
    assert "publish_mosaic" in planned and "measure_photometry" not in planned
    run.snakemake("--cores", "1", target)
    assert not manifest.exists() or not manifest.stat().st_size
    record = json.loads(Path(target).read_text())
    assert record["verdict"] == "fail" and "a satellite (ana, 20" in record["reason"]
    assert run.contimg("release", mosaic).returncode == 0
    run.snakemake("--cores", "1", target)
    assert digest(str(manifest)) == before


def test_a_crashed_job_is_seen_told_and_made_again(run):
    """From the kill of the imager to the product, by what an operator types."""
    results = str(run.results)
    group = sorted(planned_groups(run))[-1]
    target = path("image_record", results, group=group, tier="standard")
    Path(target).unlink()
    assert group_states(run.contimg("status", "--json"))[group] == "pending"
    code, during = run.crash("image_tile", "--cores", "1", "--retries", "0", target)
    assert during.returncode == 3 and group_states(during)[group] == "running"
    assert code != 0
    after = run.contimg("status", "--json")
    assert after.returncode == 4 and group_states(after)[group] == "crashed"
    told = run.contimg("errors").stdout
    assert f"crashed image {group}, tried 1 time: killed" in told
    page = (run.results / "report/index.html").read_text()
    assert "crashed" in page and "killed" in page
    assert "the next run makes them" in run.contimg("retry", "--failed").stdout
    run.snakemake("--cores", "1", target)
    assert group_states(run.contimg("status", "--json"))[group] in {"done", "warned"}


def test_a_product_that_is_gone_is_told(run):
    group = sorted(planned_groups(run))[0]
    gone = Path(path("pb", str(run.results), group=group, tier="standard"))
    gone.rename(f"{gone}.hidden")
    status = run.contimg("status", "--json")
    Path(f"{gone}.hidden").rename(gone)
    assert status.returncode == 5 and group_states(status)[group] == "incomplete"


def test_a_run_that_makes_nothing_fails_and_says_why(run):
    """Another band than that of the data: every file is rejected."""
    elsewhere = run.directory / "nothing"
    changes = (
        "simulate={enabled: false}",
        "instrument={band_mhz: [311.25, 498.75]}",
        f"results={elsewhere}",
        "catalog=" + path("sky", str(run.results)),
    )
    for _ in range(2):  # the second time as well
        done = subprocess.run(
            run.command("--cores", "1", "--config", *changes),
            cwd=run.directory, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode != 0
        assert "NOTHING WAS MADE: 10 of 10 files are rejected" in done.stdout
        assert "frequencies do not fit" in done.stdout
    assert (elsewhere / "report/index.html").exists()


def planned_groups(run) -> dict:
    return read_plan(str(run.results))["groups"]


def group_states(status) -> dict:
    return json.loads(status.stdout)["groups"]


def audit(results: Path, raw: Path) -> list[str]:
    """The findings of the auditor, which shares no code with the workflow."""
    command = [sys.executable, str(ROOT / "tools/audit.py"), str(results), "--raw", str(raw)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == (1 if done.stdout else 0) and "Traceback" not in done.stderr
    return done.stdout.splitlines()


def test_the_auditor_finds_nothing(run):
    run.snakemake("--cores", "2")  # what other tests left to do
    assert audit(run.results, run.directory / "raw") == []
    said = run.contimg("verify", "--all")
    assert said.returncode == 0 and "0 damaged, 0 gone" in said.stdout, said.stdout


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_the_auditor_finds_what_is_wrong(run, tmp_path):
    """One fault after the other in a copy; each is found, and named."""
    results, raw = tmp_path / "results", tmp_path / "raw"
    shutil.copytree(run.results, results)
    (raw / "day").mkdir(parents=True)
    mosaic = sorted(p.name for p in (results / "mosaics").iterdir())[0]
    here = str(results)
    image, record = (Path(path(n, here, mosaic=mosaic)) for n in ("mosaic_rms", "mosaic_record"))
    published = Path(path("published", here, mosaic=mosaic)).parent
    tile = next(iter(planned_mosaics(run)[mosaic]["tiles"]))
    manifest = Path(path("manifest", here, group=tile))
    photometry = Path(path("photometry", here, mosaic=mosaic))
    faults = [
        ("damaged: ", image, flip),
        ("product is gone: ", photometry, Path.unlink),
        ("not as it was written: ", record, lambda f: change(f, '"verdict": "', '"verdict":  "')),
        ("not as it was written: ", manifest, lambda f: change(f, '"ra_deg": ', '"ra_deg": 1')),
        ("published file is not", published / image.name, flip),
        ("published and not in the manifest: ", published / "more.txt", Path.touch),
        ("without a record: ", image.with_name("more.fits"), Path.touch),
        ("temporary: ", image.with_name("a.partial-host-1.fits"), Path.touch),
        ("raw file of no group, and not rejected: ", raw / "day" / "x.hdf5", Path.touch),
        ("planned and not ended: ", Path(path("ms_record", here, group=tile)), Path.unlink),
    ]
    for what, file, spoil in faults:
        before = file.read_bytes() if file.exists() else None
        spoil(file)
        found = audit(results, raw)
        named = file.stem if what.startswith("planned") else str(file)
        if what.startswith("not as") and file == record:
            assert found == []  # the same record in other signs is the same record
            change(file, '"product": "', '"product": "x')
            found = audit(results, raw)
        assert [line for line in found if line.startswith(what) and named in line], (what, found)
        file.unlink(missing_ok=True) if before is None else file.write_bytes(before)
    assert audit(results, raw) == []


def test_results_that_were_moved_are_followed_where_they_are(run, tmp_path):
    results = tmp_path / "elsewhere"
    shutil.copytree(run.results, results)
    mosaic = sorted(planned_mosaics(run))[0]
    record = Path(path("published_record", str(results), mosaic=mosaic))
    there = json.loads(Path(path("published", str(results), mosaic=mosaic)).read_text())
    steps = lineage(
        [Path(path(n, str(results), mosaic=mosaic)) for n in ("mosaic_record", "photometry_record")]
    )
    assert not [step for step in steps if step.get("missing")] and len(steps) > 5
    assert {s["record"] for s in steps} <= {s["record"] for s in there["lineage"]}
    assert all(not Path(s["record"]).is_absolute() for s in there["lineage"]) and record.exists()
