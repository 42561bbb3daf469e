"""Limits that change: products that are there are judged again, and not made again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from contimg.config import Config
from contimg.core.options import LimitValue
from contimg.core.paths import path
from contimg.core.records import check, judged, write_record
from contimg.run.judge import judge_again


def config_of(results: Path, **limits: float) -> Config:
    config = Config(catalog="c.csv", results=str(results))
    image = type(config.image)(**limits)
    return config.model_copy(update={"image": image})


@pytest.fixture
def results(tmp_path) -> Path:
    """A results directory with one image 0.12 beams off, judged by a limit of 0.1."""
    config = config_of(tmp_path)
    record = record_in(tmp_path)
    record.parent.mkdir(parents=True)
    limit = config.image.max_offset_beams
    checks = [
        check("median offset", 0.12, "beam", warn_above=limit, fail_above=3 * limit),
        check("bowls", 0.1, warn_above=0.5),
    ]
    write_record(record, product="p", stage="image", data={}, checks=checks, options=[config.image])
    os.utime(record, ns=(10**18, 10**18))
    assert list(judge_again(config, write=True)) == []
    return tmp_path


def record_in(results: Path) -> Path:
    return Path(path("image_record", str(results), group="20251005T120000", tier="standard"))


def test_a_limit_judges_again(results):
    (line,) = judge_again(config_of(results, max_offset_beams=0.2), write=True)
    assert "image.max_offset_beams 0.1 -> 0.2" in line and "reason in 1" in line
    content = json.loads(record_in(results).read_text())
    assert content["verdict"] == "pass" and content["reason"] == ""
    assert content["parameters"]["image"]["max_offset_beams"] == 0.2
    assert record_in(results).stat().st_mtime_ns != 10**18  # what rests on it is made again


def test_a_verdict_that_stays_changes_nothing_that_follows(results):
    config = config_of(results, max_offset_beams=0.11)
    before = json.loads(record_in(results).read_text())
    list(judge_again(config, write=True))
    after = json.loads(record_in(results).read_text())
    assert after["verdict"] == before["verdict"] == "warn" and after["run"] == before["run"]
    assert "0.11" in after["reason"]  # the reason names the limit: that is a change
    list(judge_again(config_of(results, max_offset_beams=0.11, min_gridded=0.9), write=True))
    stamp = record_in(results).stat().st_mtime_ns
    list(judge_again(config_of(results, max_offset_beams=0.11, min_gridded=0.8), write=True))
    assert record_in(results).stat().st_mtime_ns == stamp


@pytest.mark.parametrize("text", ["[" * 100_000, "[1]", '{"image": 3}', "\0"])
def test_damaged_limits_are_written_anew(results, text):
    """What judged last is not known: nothing is judged again, as in a first run."""
    limits = Path(path("judged", str(results)))
    whole = limits.read_text()
    limits.write_text(text)
    assert list(judge_again(config_of(results), write=True)) == []
    assert limits.read_text() == whole


def test_multiples_and_fractions_of_a_limit_follow_it():
    limit = LimitValue(2.0, "s.x")
    entry = check("m", 5.0, warn_above=2 * limit, warn_below=1 / limit)
    record = {"checks": [vars(entry) | {"limits": dict(entry.limits)}], "parameters": {}}
    assert entry.verdict == "warn"
    assert judged(record, {"s.x": 3.0}, [])["verdict"] == "pass"
    assert judged(record, {"s.x": 0.1}, [])["verdict"] == "warn"


def test_a_look_writes_nothing(results):
    before = record_in(results).read_bytes()
    (line,) = judge_again(config_of(results, max_offset_beams=0.2), write=False)
    assert "are judged again at the start of a run" in line
    assert record_in(results).read_bytes() == before
    assert len(list(judge_again(config_of(results, max_offset_beams=0.2), write=True))) == 1


@pytest.mark.parametrize(("limit", "made_again"), [(0.4, True), (0.25, False)])
def test_a_tile_of_one_pass_follows_its_conversion(tmp_path, limit, made_again):
    """One job has written both records: where the first is judged otherwise, the other goes."""
    config = Config(catalog="c.csv", results=str(tmp_path))
    assert config.one_pass
    key = {"group": "20251005T120000"}
    converted, tile = (
        Path(path(name, str(tmp_path), **key)) for name in ("ms_record", "calibrated_record")
    )
    for file, stage in ((converted, "convert"), (tile, "apply")):
        file.parent.mkdir(parents=True)
        usable = check("usable", 0.35, warn_below=config.flag.usable_warn)
        checks = [usable] if stage == "convert" else []
        write_record(file, product=file.stem, stage=stage, data={}, checks=checks)
    list(judge_again(config, write=True))
    other = config.model_copy(update={"flag": type(config.flag)(usable_warn=limit)})
    list(judge_again(other, write=True))
    assert json.loads(converted.read_text())["verdict"] == ("warn" if made_again else "pass")
    assert tile.exists() != made_again
