"""Publishing: what goes out is whole, checksummed and allowed; what may not, does not."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from contimg.cli import main
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.records import Check, write_record
from contimg.publish.command import PublishFiles, run
from contimg.publish.options import PublishOptions

NAME = "20251005_0834+555"


def make(tmp_path: Path, verdict: str = "pass", empty: bool = False) -> PublishFiles:
    """A mosaic of two files behind which stand a tile's record and a manifest of raw files."""
    work = tmp_path / "results"
    raw = work / "inventory" / "20251005T080000.json"
    raw.parent.mkdir(parents=True, exist_ok=True)
    raw.write_text(json.dumps({"group": {}, "files": [{"path": "raw/a.hdf5", "bytes": 7}]}))
    tile = work / "images" / "tile.json"
    write_record(tile, product="tile", stage="image", data={"x": 1}, inputs=[raw])
    mosaic = work / "mosaics" / f"{NAME}.image.fits"
    mosaic.parent.mkdir(exist_ok=True)
    fits.PrimaryHDU(np.ones((20, 20))).writeto(mosaic, overwrite=True)
    link = work / "mosaics" / f"{NAME}.rms.fits"
    link.unlink(missing_ok=True)
    link.symlink_to(mosaic)
    record = work / "mosaics" / f"{NAME}.json"
    write_record(
        record,
        product=NAME,
        stage="mosaic",
        data={} if empty else {"tiles": 1},
        checks=[Check("noise", 3.0, "", "", verdict, "noise is high" * (verdict != "pass"))],
        inputs=[tile],
    )
    return PublishFiles(
        products=[mosaic, link],
        records=[record],
        manifest=work / "published" / NAME / "manifest.json",
        record=work / "published" / f"{NAME}.json",
    )


def test_publication_is_whole_and_leads_back_to_the_raw_files(tmp_path: Path) -> None:
    files = make(tmp_path)
    run(files, PublishOptions())
    manifest = json.loads(files.manifest.read_text())
    assert manifest["data_id"] == NAME
    assert manifest["verdict"] == "pass"
    there = {p.name for p in files.manifest.parent.iterdir()}
    assert there == {entry["name"] for entry in manifest["files"]} | {"manifest.json"}
    for entry in manifest["files"]:
        content = (files.manifest.parent / entry["name"]).read_bytes()
        assert len(content) == entry["bytes"]
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
    assert not any(p.is_symlink() for p in files.manifest.parent.iterdir())
    assert [step["stage"] for step in manifest["lineage"]] == ["mosaic", "image", "raw"]
    assert manifest["lineage"][-1]["inputs"] == [{"path": "raw/a.hdf5", "bytes": 7}]


def test_publishing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    files = make(tmp_path)
    contents = []
    for _ in range(2):
        run(make(tmp_path), PublishOptions())  # the record is written anew: other time stamps
        contents.append({p.name: p.read_bytes() for p in files.manifest.parent.iterdir()})
    assert contents[0] == contents[1]
    siblings = {p.name for p in files.manifest.parent.parent.iterdir()}
    assert siblings == {NAME, f"{NAME}.json"}, "nothing temporary is left"


def test_a_file_that_went_out_of_the_product_goes_out_of_the_publication(tmp_path: Path) -> None:
    files = make(tmp_path)
    run(files, PublishOptions())
    run(files.model_copy(update={"products": files.products[:1]}), PublishOptions())
    assert not (files.manifest.parent / files.products[1].name).exists()


@pytest.mark.parametrize(
    ("verdict", "allow", "published"),
    [("warn", "warn", True), ("warn", "pass", False), ("fail", "warn", False)],
)
def test_verdict_decides(tmp_path: Path, verdict: str, allow: str, published: bool) -> None:
    files, options = make(tmp_path, verdict), PublishOptions(allow=allow)
    if published:
        run(files, options)
        assert json.loads(files.record.read_text())["verdict"] == verdict
    else:
        with pytest.raises(DataQualityError, match="noise is high"):
            run(files, options)
        assert not files.manifest.exists()


def decisions(tmp_path: Path, text: str) -> PublishOptions:
    table = tmp_path / "overrides.csv"
    table.write_text("# decisions\nproduct,decision,reason\n" + text)
    return PublishOptions(overrides=table)


def test_a_person_can_hold_back_and_withdraw(tmp_path: Path) -> None:
    files = make(tmp_path)
    run(files, PublishOptions())
    with pytest.raises(DataQualityError, match="satellite"):
        run(files, decisions(tmp_path, f"{NAME},hold,satellite in the field\n"))
    assert not files.manifest.parent.exists()


def test_a_decision_is_signed_and_can_be_taken_back(tmp_path: Path) -> None:
    files = make(tmp_path, "fail")
    table = tmp_path / "overrides.csv"
    for decision, words in (("hold", "rain (ana, 2025-10-07)"), ("release", "noise is high")):
        table.write_text(
            f"product,decision,reason,by,decided_utc\n{NAME},{decision},rain,ana,2025-10-07\n"
        )
        with pytest.raises(DataQualityError, match=re.escape(words)):
            run(files, PublishOptions(overrides=table))
    files = make(tmp_path)
    run(files, PublishOptions(overrides=table))
    decided = json.loads(files.record.read_text())["data"]["decision"]
    assert decided["by"] == "ana" and decided["decision"] == "release"


def test_a_person_can_publish_in_spite_of_the_verdict(tmp_path: Path) -> None:
    files = make(tmp_path, "fail")
    run(files, decisions(tmp_path, f"{NAME},publish,noise is real: Sun\n"))
    manifest = json.loads(files.manifest.read_text())
    assert manifest["verdict"] == "warn"
    assert "Sun" in manifest["reason"]
    assert "noise is high" in manifest["reason"]


def test_nobody_can_publish_what_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(DataQualityError, match="no product"):
        run(make(tmp_path, "fail", empty=True), decisions(tmp_path, f"{NAME},publish,I want it\n"))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (f"{NAME},maybe,x\n", "none of publish, hold"),
        (f"{NAME},hold,\n", "needs a reason"),
        (f"{NAME},hold,x\n{NAME},publish,y\n", "more than one"),
    ],
)
def test_table_of_decisions_is_checked(tmp_path: Path, row: str, words: str) -> None:
    with pytest.raises(ContimgError, match=words):
        run(make(tmp_path), decisions(tmp_path, row))


def test_command_line_leaves_a_failed_record(tmp_path: Path) -> None:
    files = make(tmp_path, "fail")
    flags = ["--products", *map(str, files.products), "--records", *map(str, files.records)]
    flags += ["--manifest", str(files.manifest), "--record", str(files.record)]
    assert main(["publish-files", *flags]) == 0
    record = json.loads(files.record.read_text())
    assert record["verdict"] == "fail"
    assert "noise is high" in record["reason"]
    assert files.manifest.read_text() == ""
