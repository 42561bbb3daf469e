"""Products are what their records promised, or they are named; results may be moved."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.wcs import WCS

from contimg.cli import VERBS, load, main
from contimg.core.errors import DamagedError, DataQualityError
from contimg.core.fits import write_image
from contimg.core.options import flag_name
from contimg.core.paths import MADE_WITH, PATTERNS, path, place_of, record_of
from contimg.core.plans import plan_text, read_plan_file
from contimg.core.records import (
    followed,
    input_path,
    judged,
    read_record,
    require,
    rewrite_record,
    write_record,
    write_text,
)
from contimg.core.seals import EXEMPT, record_beside, seal, verified
from contimg.variability.command import COMMAND

KEY = {"group": "20251005T034512", "tier": "standard"}


def results(folder: Path) -> tuple[Path, Path, Path]:
    """A tile's image and its MS, which is of many files, with their sealed records."""
    ms = Path(path("ms", str(folder), **KEY))
    (ms / "ANTENNA").mkdir(parents=True)
    (ms / "table.f1_TSM0").write_bytes(bytes(range(256)) * 40)
    (ms / "ANTENNA" / "table.dat").write_bytes(b"antennas")
    (ms / "table.lock").write_bytes(b"who reads")
    image = Path(path("image", str(folder), **KEY))
    write_image(image, np.ones((30, 40)), WCS(naxis=2), unit="Jy/beam")
    ms_record, record = ms.with_suffix(".json"), record_of(image)
    assert record is not None
    write_record(ms_record, product="ms", stage="convert", data={})
    seal(ms_record, [ms])
    write_record(record, product="tile", stage="image", data={"x": 1}, inputs=[ms])
    seal(record, [image])
    return ms, image, record


def flip(file: Path, at: int = -9000, bit: int = 6) -> None:
    content = bytearray(file.read_bytes())
    content[at % len(content)] ^= 1 << bit
    file.write_bytes(content)


def test_every_product_of_a_pattern_knows_its_record() -> None:
    for record, names in MADE_WITH.items():
        for name in names:
            key = {"group": "20251005T034512", "calset": "20251005T034512_3C147", "mosaic": "m"}
            key |= {
                "deep": "deep_20251001_d+16.00",
                "tier": "standard",
                "table": "B",
                "view": "gains",
                "day": "2025-10-05",
            }
            product = path(name, "some/where", **key)
            assert place_of(product)[:2] == (name, "some/where"), PATTERNS[name]
            assert record_of(product) == Path(path(record, "some/where", **key))


def test_what_is_whole_is_read(tmp_path) -> None:
    ms, image, _ = results(tmp_path / "r")
    (ms / "table.lock").write_bytes(b"another reader")  # that is exempt
    (ms / ".snakemake_timestamp").touch()
    assert {"table.lock", ".snakemake_timestamp"} == EXEMPT
    assert verified(ms) == ms and verified(image) == image
    os.utime(image)
    assert verified(image) == image


@pytest.mark.parametrize("bit", range(8))
def test_one_bit_anywhere_is_seen(tmp_path, bit) -> None:
    ms, image, record = results(tmp_path / "r")
    rng = np.random.default_rng(bit)
    for file, product in (
        (ms / "table.f1_TSM0", ms),
        (ms / "ANTENNA" / "table.dat", ms),
        (image, image),
    ):
        before, at = file.read_bytes(), int(rng.integers(file.stat().st_size))
        flip(file, at, bit)
        with pytest.raises(DamagedError, match=r"verify --repair") as said:
            verified(product)
        assert str(product) in str(said.value)
        file.write_bytes(before)
    # of the record itself: unreadable, or not as it was written; what differs between runs apart
    text = record.read_bytes()
    for at in rng.integers(text.index(b'"run"'), size=40):
        flip(record, int(at), bit)
        with pytest.raises(DamagedError):
            read_record(record)
        record.write_bytes(text)


@pytest.mark.parametrize("how", ["cut", "zeros", "longer", "lost file", "more files", "a file"])
def test_other_damage_is_seen(tmp_path, how) -> None:
    ms, image, _ = results(tmp_path / "r")
    content = image.read_bytes()
    if how == "cut":
        image.write_bytes(content[:-2880])
    elif how == "zeros":
        image.write_bytes(content[:5000] + bytes(400) + content[5400:])
    elif how == "longer":
        image.write_bytes(content + b"x")
    elif how == "lost file":
        (ms / "ANTENNA" / "table.dat").unlink()
    elif how == "more files":
        (ms / "more").touch()
    else:
        shutil.rmtree(ms)
        ms.touch()
    with pytest.raises(DamagedError):
        verified(image), verified(ms)


def test_a_fits_file_without_a_record_has_the_sums_in_its_header(tmp_path) -> None:
    image = tmp_path / "a.fits"
    write_image(image, np.ones((30, 40)), WCS(naxis=2), unit="Jy/beam")
    assert verified(image) == image
    flip(image, -3000)
    with pytest.raises(DamagedError, match="Datasum verification failed"):
        verified(image)


def test_a_record_in_the_place_of_another_is_seen(tmp_path) -> None:
    """Whole in itself, but of another day."""
    _, _, first = results(tmp_path / "r")
    other = dict(KEY, group="20251006T034512")
    second = Path(path("image_record", str(tmp_path / "r"), **other))
    second.parent.mkdir(parents=True)
    shutil.copy(first, second)
    with pytest.raises(DamagedError, match=r"is that of images/2025-10-05"):
        read_record(second)
    image = Path(path("image", str(tmp_path / "r"), **other))
    image.touch()
    elsewhere = tmp_path / "a.json"
    shutil.copy(first, elsewhere)
    with pytest.raises(DamagedError, match="that of other products"):
        verified(image, elsewhere)


def test_judging_again_keeps_what_was_promised(tmp_path) -> None:
    _, image, record = results(tmp_path / "r")
    content = judged(read_record(record), {}, ())
    rewrite_record(record, content | {"verdict": "warn", "reason": "limits"})
    assert read_record(record)["verdict"] == "warn"
    flip(image, 3000)
    with pytest.raises(DamagedError):
        verified(image)


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe",
        b'{"verdict": "faal", "reason": "", "product": "p"}',
        b'{"reason": "", "product": "p"}',
        b'["pass"]',
        b"[" * 100_000,
        b'{"verdict": 1}',
        b'{"verdict": "pass"}',
    ],
    ids=["bytes", "unknown verdict", "no verdict", "a list", "deep", "a number", "a verdict only"],
)
def test_a_record_that_is_none_fails_whoever_needs_it(tmp_path, text) -> None:
    record = tmp_path / "r.json"
    record.write_bytes(text)
    for read in (read_record, require):
        with pytest.raises(DataQualityError, match=r"r\.json: damaged"):
            read(record)


def test_moved_results_name_each_other_and_not_what_lies_at_the_old_place(tmp_path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    results(old)
    shutil.copytree(old, new)
    shutil.rmtree(old)
    results(old)  # another run lives there now
    record = Path(path("image_record", str(new), **KEY))
    (item,) = read_record(record)["inputs"]
    assert item["path"] == "ms/2025-10-05/20251005T034512.ms"
    assert input_path(item, record) == new / "ms/2025-10-05/20251005T034512.json"
    assert [named for named, _ in followed(read_record(record), record)] == [
        new / "ms/2025-10-05/20251005T034512.json"
    ]
    input_path(item, record).unlink()
    with pytest.raises(DataQualityError, match="which is gone"):
        list(followed(read_record(record), record))


def test_verify_finds_and_repairs(tmp_path, capsys) -> None:
    folder = tmp_path / "r"
    ms, image, record = results(folder)
    ask = ["verify", "--all", "--results", str(folder)]
    assert main(ask) == 0
    assert "2 records, 2 products" in (said := capsys.readouterr().out) and "0 damaged" in said
    flip(image)
    assert main(ask) == 1 and f"damaged: {image}: " in capsys.readouterr().out
    assert main(["verify", "20251005T*", "--results", str(folder)]) == 1
    assert main([*ask, "--repair"]) == 0
    assert not image.exists() and ms.exists() and record.exists()
    assert main(ask) == 1 and f"gone: {image}" in capsys.readouterr().out
    flip(record, 40)
    assert main([*ask, "--repair"]) == 0 and not record.exists()
    shutil.rmtree(ms)  # after its last use: nothing is wrong
    assert main(ask) == 0


def test_what_failed_because_of_damage_is_made_again_with_it(tmp_path, capsys) -> None:
    """A job that meets a damaged input fails, names it, and goes with it when it is repaired."""
    folder = tmp_path / "r"
    table = Path(path("lightcurves", str(folder)))
    table.parent.mkdir(parents=True)
    pd.DataFrame({"source": ["a"] * 400}).to_parquet(table)
    write_record(table.with_suffix(".json"), product="l", stage="lightcurves", data={})
    seal(table.with_suffix(".json"), [table])
    flip(table, 50)
    failed = Path(path("variability_record", str(folder)))
    inputs = {"lightcurves": table, "lightcurves_record": table.with_suffix(".json")}
    outputs = {
        name: failed.with_name(f"{name}.csv")
        for name, field in COMMAND.files.model_fields.items()
        if field.is_required() and name not in inputs
    }
    named = inputs | outputs | {"record": failed}
    flags = [word for name, file in named.items() for word in (flag_name(name), str(file))]
    assert main(["variability", *flags]) == 0
    content = read_record(failed)
    assert content["verdict"] == "fail" and content["data"]["damaged"] == [str(table)]
    assert f"{table}: damaged" in content["reason"]
    assert {"sources.csv", "candidates.csv"} <= set(content["seal"]["products"])
    assert main(["verify", "--all", "--repair", "--results", str(folder)]) == 0
    assert not table.exists() and not failed.exists()


def test_verify_looks_at_manifests_as_well(tmp_path, capsys) -> None:
    folder = tmp_path / "r"
    results(folder)
    manifest = Path(path("manifest", str(folder), group=KEY["group"]))
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"group": {}, "files": [], "digest": ""}))
    assert main(["verify", "--all", "--results", str(folder)]) == 1
    assert f"damaged: {manifest}" in capsys.readouterr().out
    assert main(["verify", KEY["group"], "--repair", "--results", str(folder)]) == 0
    assert not manifest.exists()


def test_verify_looks_at_plans_and_notes_of_runs(tmp_path, capsys) -> None:
    folder = tmp_path / "r"
    results(folder)
    plan = Path(path("plan", str(folder), plan="0123456789"))
    write_text(plan, plan_text({"plan": "0123456789", "tiles": {"a": {"ra_deg": 10.5}}}))
    assert read_plan_file(plan)["tiles"] == {"a": {"ra_deg": 10.5}}
    assert main(["verify", "--all", "--results", str(folder)]) == 0
    plan.write_text(plan.read_text().replace("10.5", "11.5"))
    note = Path(path("run_note", str(folder), run="20251005T000000-1"))
    write_text(note, '{"host": "a", "pi')
    assert main(["verify", "--all", "--results", str(folder)]) == 1
    said = capsys.readouterr().out
    assert f"damaged: {plan}: not as it was written" in said and f"damaged: {note}" in said
    assert main(["verify", "--all", "--repair", "--results", str(folder)]) == 0
    assert not plan.exists() and not note.exists()


# lists of which a job goes on without what is damaged (tested where the job is), or raw files
ONE_BY_ONE = {
    "apply": {"solutions", "inspections"},
    "beam": {"records"},
    "calibrate tile": {"solutions", "inspections", "files"},
    "calset drift": {"solutions"},
    "check-fluxes": {"photometry", "photometry_records"},
    "compare-truth": {"photometry"},
    "convert": {"files"},
    "field-model": {"images", "rms", "mosaic_records"},
    "lightcurves": {"photometry", "photometry_records"},
    "mosaic": {"images", "residuals", "pbs", "image_records"},
    "photometry combine": {"tables", "records", "images"},
    "publish-files": {"products", "records"},
    "unknown": {"records"},
}


def test_every_list_that_a_job_reads_is_held_against_its_records() -> None:
    """Single inputs are by themselves (``Command.inputs``)."""
    found = {}
    for verb, command in ((verb, load(verb)) for verb in VERBS):
        fields = command.files.model_fields.items()
        lists = {name for name, field in fields if "list[pathlib.Path]" in str(field.annotation)}
        if command.record and (rest := lists - {*command.needed, *command.outputs}):
            found[verb] = rest
    assert found == ONE_BY_ONE


def test_a_table_of_a_list_is_held_against_its_record(tmp_path) -> None:
    """Of the models of deep fields: one digit, and another source is in the next one."""
    table = Path(path("deep_model", str(tmp_path), deep="deep_20251001_d+16.00"))
    table.parent.mkdir(parents=True)
    table.write_text("name,ra_deg\nA,10.5\n")
    record = record_of(table)
    assert record is not None
    write_record(record, product="deep", stage="field_model", data={})
    seal(record, [table])
    table.write_text("name,ra_deg\nA,11.5\n")
    words = ["--ms", "a.ms", "--ms-record", "a.json", "--calibrator", "A", "--calibrators", "c.csv"]
    failed = tmp_path / "cal" / "2025-10-05" / "20251005T034512_A" / "solutions.json"
    outputs = [w for n in "kbg" for w in (f"--{n}", str(failed.with_name(f"x.{n.upper()}")))]
    outputs += ["--plot", str(failed.with_name("s.png")), "--record", str(failed)]
    assert main(["solve", *words, "--deep", str(table), *outputs]) == 0
    assert f"{table}: damaged" in read_record(failed)["reason"]


# of the workflow itself, tables that can be made anew in seconds, and simulated truth
WITHOUT = {"files", "judged", "run_lock", "plan", "groups", "rejected", "manifest", "run_note"}
WITHOUT |= {"calsets_table", "tiles_table", "mosaics_table", "sky", "truth", "status", "report"}
WITHOUT |= {"log", "job_note", "benchmark"}


def test_no_product_is_without_a_record() -> None:
    """A new pattern belongs to the job that writes it (``MADE_WITH``): else nobody verifies it."""
    known = {*MADE_WITH, *(name for names in MADE_WITH.values() for name in names)}
    assert set(PATTERNS) - known == WITHOUT


def test_of_two_records_of_a_set_the_last_that_promises_it_speaks(tmp_path):
    """A tile of one pass has a record of its conversion; its MS may be made by itself later."""
    ms, _, _ = results(tmp_path)
    converted, alone = ms.with_suffix(".json"), Path(path("whole_record", str(tmp_path), **KEY))
    write_record(converted, product="ms", stage="convert", data={})
    seal(converted, [])
    write_record(alone, product="ms", stage="convert", data={})
    seal(alone, [ms])
    assert record_beside(ms) == alone and verified(ms) == ms
    (ms / "ANTENNA" / "table.dat").write_bytes(b"others")
    with pytest.raises(DamagedError):
        verified(ms)
    seal(converted, [ms])  # made again with its record
    os.utime(alone, ns=(0, 0))
    assert record_beside(ms) == converted and verified(ms) == ms
