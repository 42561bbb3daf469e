"""A day that is added leaves the tiles of the day before as they are."""

from __future__ import annotations

import json

import pytest

from contimg.core.paths import path
from contimg.core.records import write_text
from contimg.plan.keep import keep_calsets
from contimg.plan.tables import calsets_csv, tiles_csv

TILE = "20251005T120000"


def plan(*offers: str) -> dict:
    return {
        "calsets": {key: {} for key in ["A", "B", "C"]},
        "tiles": {TILE: {"calsets": [*offers]}},
    }


def kept(results, offers: tuple[str, ...], better: bool = False) -> list[str]:
    content = plan(*offers)
    keep_calsets(content, str(results), better)
    return content["tiles"][TILE]["calsets"]


def choose(results, used: list[str], candidates: list[str]) -> None:
    content = {
        "used": [{"calset": name} for name in used],
        "candidates": [{"calset": name} for name in candidates],
    }
    write_text(path("calset_choice", str(results), group=TILE), json.dumps(content))


def test_a_calibrated_tile_keeps_its_offers(tmp_path):
    choose(tmp_path, ["A"], ["A"])
    assert kept(tmp_path, ("B", "A")) == ["A"]
    assert kept(tmp_path, ("A", "B"), better=True) == ["A"]  # B is farther away


def test_a_nearer_calset_is_taken_where_that_is_asked_for(tmp_path):
    choose(tmp_path, ["A"], ["A"])
    assert kept(tmp_path, ("B", "A"), better=True) == ["B", "A"]
    choose(tmp_path, ["A"], ["B", "A"])  # B was looked at, and refused
    assert kept(tmp_path, ("B", "A"), better=True) == ["B", "A"]


@pytest.mark.parametrize(("used", "candidates"), [([], ["A"]), (["Z"], ["Z", "A"])])
def test_a_tile_without_calset_or_of_one_that_is_gone_gets_the_new_offers(
    tmp_path, used, candidates
):
    choose(tmp_path, used, candidates)
    assert kept(tmp_path, ("B", "A")) == ["B", "A"]


def test_calsets_of_another_plan_are_borrowed(tmp_path):
    choose(tmp_path, ["Z"], ["Z", "A"])
    content = plan("B", "A")
    others = {"calsets": {"Z": {"group": "g", "calibrator": "c"}}, "tiles": {"g": {"content": "1"}}}
    keep_calsets(content, str(tmp_path), False, others)
    assert content["tiles"][TILE]["calsets"] == ["Z", "A"]
    assert content["borrowed"] == others and "Z" not in content["calsets"]
    times = {"start_mjd": 60953.5, "end_mjd": 60953.5, "ra_deg": 1.0, "dec_deg": 2.0}
    group = {**times, "subbands": 4, "dec_app_deg": 2.0}
    calset = {"group": TILE, "calibrator": "c", "mjd": 60953.0, "pb": 1.0, "apparent_flux_jy": 1.0}
    content |= {"groups": {TILE: group}, "mosaics": {}, "calsets": {"A": calset}}
    content["borrowed"]["calsets"]["Z"]["mjd"] = 60953.25
    assert "Z A,6.000," in tiles_csv(content)
    assert calsets_csv(content).splitlines()[1].startswith(f"A,{TILE},c,60953.0")


def test_a_tile_that_was_not_calibrated_gets_the_plan(tmp_path):
    assert kept(tmp_path, ("B", "A")) == ["B", "A"]
