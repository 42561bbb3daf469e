"""Plans of several runs in one results directory."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from contimg.core.errors import ContimgError
from contimg.core.paths import path
from contimg.core.plans import everything_planned, latest, plan_key, read_plan, read_rejected
from contimg.core.records import write_text
from contimg.discover.options import DiscoverOptions
from contimg.mosaic.options import MosaicOptions

FIRST, SECOND = "0123456789", "abcdef0123"


def put(results: Path, key: str, stamp: int, **groups: str) -> None:
    content = {"plan": key, "calsets": {}, "tiles": {}, "mosaics": {}, "groups": groups}
    target = path("plan", str(results), plan=key)
    write_text(target, json.dumps(content))
    os.utime(target, ns=(stamp, stamp))


def test_the_plan_of_the_latest_run_stands_for_the_directory(tmp_path):
    put(tmp_path, FIRST, 2 * 10**18, a="1", b="2")
    put(tmp_path, SECOND, 10**18, b="other", c="3")
    assert latest(str(tmp_path)) == FIRST
    assert read_plan(str(tmp_path), SECOND)["groups"] == {"b": "other", "c": "3"}
    whole = everything_planned(str(tmp_path))
    assert whole["groups"] == {"a": "1", "b": "2", "c": "3"} and whole["plan"] == FIRST
    assert whole["elsewhere"]["groups"] == ["c"]


def test_no_plan_says_how_to_make_one(tmp_path):
    with pytest.raises(ContimgError, match="contimg discover --results"):
        read_plan(str(tmp_path))
    assert read_rejected(str(tmp_path)) == []


def test_a_plan_is_named_by_what_is_planned():
    def key(mosaic: dict | None = None, **discover) -> str:
        return plan_key([DiscoverOptions(**discover), MosaicOptions(**(mosaic or {}))])

    plain = key()
    assert key(days=["2025-10-05"]) != plain and key({"span_minutes": 5}) != plain
    assert key(processes=3, scan=False) == plain  # how it is made
    assert key({"spline_order": 3}) == plain  # what is done with a mosaic
