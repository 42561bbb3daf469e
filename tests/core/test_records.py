"""Records: verdicts, atomic writing, and hashes that do not see the time of day."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.failure import write_failed
from contimg.core.fits import read_image
from contimg.core.records import (
    VERDICTS,
    Check,
    atomic,
    check,
    content_hash,
    identify,
    read_record,
    require,
    worst,
    write_record,
    write_text,
)


@settings(deadline=None)
@given(st.floats(), st.floats(0, 10), st.floats(0, 10))
def test_check_above(value: float, warn: float, extra: float) -> None:
    fail = warn + extra
    found = check("m", value, warn_above=warn, fail_above=fail).verdict
    if not math.isfinite(value):
        assert found == "fail"
    else:
        assert found == ("fail" if value > fail else "warn" if value > warn else "pass")


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(-10, 10))
def test_check_below_mirrors_above(value: float, limit: float) -> None:
    below = check("m", value, fail_below=limit).verdict
    assert below == check("m", -value, fail_above=-limit).verdict


def test_check_says_what_was_wrong() -> None:
    found = check("noise", 4.0, "mJy", warn_above=3.0, fail_above=9.0)
    assert found.reason == "noise 4 > 3 mJy"
    assert found.limit == "fail if > 9, warn if > 3"
    assert check("noise", math.nan).value is None


@settings(deadline=None)
@given(st.lists(st.sampled_from(VERDICTS), max_size=6))
def test_worst(verdicts: list[str]) -> None:
    checks = [Check("m", 0.0, "", "", verdict) for verdict in verdicts]
    expected = max(verdicts, key=VERDICTS.index, default="pass")
    assert worst(checks) == expected


def write(path: Path, **more) -> None:
    write_record(path, product="p", stage="s", data={"x": np.float64(1.5), "n": [1]}, **more)


def test_record_comes_back_and_hashes_alike_when_written_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "r.json"
    write(path, checks=[Check("m", 1.0, "", "", "warn", "so so")])
    record, first, known = read_record(path), content_hash(path), identify(path)
    assert (record["verdict"], record["reason"], record["data"]["x"]) == ("warn", "so so", 1.5)
    content = json.loads(path.read_text())
    content["run"]["created_utc"] = "1970-01-01T00:00:00"
    content["run"]["wall_s"] = 1234567.89  # more digits: another size
    path.write_text(json.dumps(content))
    assert content_hash(path) == first and identify(path) == known
    content["data"]["x"] = 2
    path.write_text(json.dumps(content))
    assert content_hash(path) != first


def test_record_refuses_what_json_cannot_say(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        write_record(tmp_path / "r.json", product="p", stage="s", data={"x": math.nan})
    with pytest.raises(TypeError, match="does not belong"):
        write_record(tmp_path / "r.json", product="p", stage="s", data={"x": object()})
    assert list(tmp_path.iterdir()) == []


def test_failed_input_is_a_matter_of_data(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write(path, verdict="fail", reason="all flagged")
    with pytest.raises(DataQualityError, match="p failed: all flagged"):
        require(path)


@pytest.mark.parametrize("text", [None, "", '{"a": '])
def test_missing_or_torn_record_says_what_to_do(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "r.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ContimgError, match="build it first" if text is None else "delete it"):
        read_record(path)


def test_identity_of_a_directory_is_that_of_its_record(tmp_path: Path) -> None:
    (tmp_path / "a.ms").mkdir()
    assert identify(tmp_path / "a.ms")["record_sha256"] is None
    write(tmp_path / "a.json")
    assert identify(tmp_path / "a.ms")["record_sha256"] == content_hash(tmp_path / "a.json")


def test_identity_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    found = identify(tmp_path / "a")
    assert found["bytes"] == 3
    assert found["sha256"].startswith("ba7816bf")  # FIPS 180-2, example of sha256("abc")


def test_what_is_interrupted_leaves_the_old_product(tmp_path: Path) -> None:
    target = tmp_path / "t.csv"
    write_text(target, "old")
    with pytest.raises(KeyboardInterrupt), atomic(target) as partial:
        partial.write_text("half")
        assert partial.suffix == ".csv"
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["t.csv"]


def test_directories_are_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "t.ms"
    for name in ("first", "second"):
        with atomic(target) as partial:
            partial.mkdir()
            (partial / name).touch()
    assert os.listdir(target) == ["second"]
    assert os.listdir(tmp_path) == ["t.ms"]


@pytest.mark.parametrize("name", ["a.fits", "a.png", "a.parquet", "a.csv", "a.json", "a.ms"])
def test_placeholders_exist_and_are_not_data(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_failed(path, "all flagged")
    assert path.exists()
    if path.suffix == ".fits":
        with pytest.raises(ContimgError, match="all flagged"):
            read_image(path)


WRITER = """
import sys
from contimg.core.records import atomic
with atomic(sys.argv[1]) as partial:
    partial.mkdir()
    (partial / "x").touch()
    print("there", flush=True)
    input()
"""


def test_what_a_killed_job_left_is_removed_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    path = tmp_path / "tile.ms"

    def writer() -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert process.stdout is not None and process.stdout.readline() == "there\n"
        return process

    killed = writer()
    killed.kill()  # not waited for: a zombie, as under a container's first process
    busy = writer()
    assert len(list(tmp_path.glob("tile.partial-*.ms"))) == 1
    other = tmp_path / "tile.partial-elsewhere-1.ms"
    other.mkdir()
    with atomic(path) as partial:
        partial.mkdir()
        assert len(list(tmp_path.glob("tile.partial-*.ms"))) == 3
    os.utime(other, (0, 0))
    with atomic(path) as partial:
        partial.mkdir()
    left = list(tmp_path.glob("tile.partial-*.ms"))
    assert [p.name.endswith(f"-{busy.pid}.ms") for p in left] == [True]
    busy.communicate("\n")
    assert (path / "x").exists() and not list(tmp_path.glob("tile.partial-*"))
    killed.communicate()


@pytest.mark.parametrize("name", ["a.fits", "a.png", "a.parquet", "a.csv", "a.json", "a.ms", "a.B"])
def test_placeholders_of_odd_reasons_in_odd_places(tmp_path: Path, name: str) -> None:
    """No reason and no folder keeps a failed job from its placeholders."""
    for folder in ("Müller", "a $b$ c", "日本"):
        path = tmp_path / folder / name
        write_failed(path, f"{path.parent}: first\nsecond $\\frac{{a}}$ $x^ {{ % µ é \udcff")
        assert path.exists()
