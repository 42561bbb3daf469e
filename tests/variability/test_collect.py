"""The same data enter a light curve once."""

from __future__ import annotations

import pandas as pd
import pytest

from contimg.variability.collect import (
    OTHER_SHAPE,
    SHARED,
    photometry_files,
    same_data_once,
    same_shape,
)

TILES = {"w1": ["t1", "t2", "t3"], "w2": ["t3", "t4", "t5"], "w3": ["t5", "t6"], "x": ["t9"]}


def rows(*measurements: tuple[str, str, float]) -> pd.DataFrame:
    table = pd.DataFrame(measurements, columns=["source", "mosaic", "flux_err_jy"])
    return table.assign(flag="")


def flagged(table: pd.DataFrame, first=()) -> list[tuple[str, str]]:
    result = same_data_once(table, TILES, first)
    shared = result[result["flag"] == SHARED]
    return list(zip(shared["source"], shared["mosaic"], strict=True))


def test_windows_that_overlap_count_their_tiles_once():
    table = rows(("a", "w1", 1.0), ("a", "w2", 2.0), ("a", "w3", 1.5), ("a", "x", 9.0))
    assert flagged(table) == [("a", "w2")]  # it shares a tile with either neighbour
    table.loc[1, "flux_err_jy"] = 0.5
    assert flagged(table) == [("a", "w1"), ("a", "w3")]


def test_each_source_has_its_own_best_windows():
    table = rows(("a", "w1", 1.0), ("a", "w2", 2.0), ("b", "w1", 2.0), ("b", "w2", 1.0))
    assert flagged(table) == [("a", "w2"), ("b", "w1")]


def test_mosaics_of_the_run_come_first():
    table = rows(("a", "w1", 1.0), ("a", "w2", 2.0))
    assert flagged(table, first=["w2"]) == [("a", "w1")]


def test_a_bad_measurement_does_not_stand_for_a_good_one():
    table = rows(("a", "w1", 1.0), ("a", "w2", 2.0))
    table.loc[0, "flag"] = "bad_fit"
    result = same_data_once(table, TILES, [])
    assert result["flag"].tolist() == [f"bad_fit;{SHARED}", ""]


@pytest.mark.parametrize(
    ("flags", "left_out"),
    [
        (["extended", "extended", ""], [2]),
        (["extended", "", ""], [0]),
        (["extended;edge", ""], [1]),  # of as many of both those with a size stay
        (["extended", "bad_fit", "bad_fit;extended"], []),  # what is left out does not count
        (["", "", ""], []),
    ],
)
def test_a_light_curve_is_of_a_point_or_of_a_gaussian(flags, left_out):
    table = rows(*(("a", f"w{k}", 1.0) for k in range(len(flags))), ("b", "w1", 1.0))
    table["flag"] = [*flags, ""]
    result = same_shape(table)
    assert [k for k, f in enumerate(result["flag"]) if OTHER_SHAPE in f] == left_out


def test_nothing_shared_is_left_alone():
    table = rows(("a", "w1", 1.0), ("a", "w3", 2.0), ("b", "x", 1.0))
    assert same_data_once(table, TILES, []) is table


def test_a_directory_stands_for_all_its_tables(tmp_path):
    for name in ("b", "a", "unfinished"):
        (tmp_path / f"{name}.parquet").touch()
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").touch()
    assert [table.stem for table, _ in photometry_files([tmp_path], [])] == ["a", "b"]
