"""Groups are formed from the data; each trap of names, times, pointings and duplicates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from contimg.core.errors import ContimgError
from contimg.core.grouping.build import group_names
from contimg.core.grouping.scan import form_groups
from contimg.core.groups import group_name
from contimg.core.instrument import InstrumentOptions
from contimg.discover.options import DiscoverOptions
from discover.simulated_headers import (
    INSTRUMENT,
    INTEGRATION,
    LENGTH,
    OPTIONS,
    START,
    formed,
    headers,
    row,
    shifted,
)


def test_names_do_not_decide():
    groups, rejected = formed(headers())
    assert len(groups) == 3 and not rejected
    for files in groups.values():
        assert len({name.split("_")[0] for name in files}) == 1
        assert files == sorted(files, reverse=True)  # sb03 is the lowest frequency


def test_names_are_those_of_core():
    mjd = 60953 + np.random.default_rng(3).uniform(0, 400, 300)
    assert group_names(mjd) == [group_name(value) for value in mjd]


def test_too_few_subbands_are_rejected_with_the_reason():
    groups, rejected = formed(headers(1).iloc[:2])
    assert not groups and len(rejected) == 2
    assert all("2 of 4 subbands, 3 needed" in r.reason for r in rejected.values())


def test_missing_subband_keeps_the_frequency_grid():
    groups, _ = form_groups(headers(1).iloc[1:], INSTRUMENT, OPTIONS)
    group, _ = groups[0]
    assert (group.freq_min_hz, group.freq_max_hz, group.subbands) == (1311.25e6, 1498.75e6, 3)


def test_more_subbands_needed_than_there_are():
    with pytest.raises(ContimgError, match=r"min_subbands is 9.*has 4"):
        formed(headers(1), DiscoverOptions(min_subbands=9))


def test_duplicate_subband_later_file_wins():
    table = headers(1)
    double = table.iloc[[2]].assign(path="a/again_sb01.hdf5", mtime_ns=2)
    groups, rejected = formed(pd.concat([table, double]))
    (files,) = groups.values()
    assert "a/again_sb01.hdf5" in files and list(rejected) == ["raw/g0_sb01.hdf5"]
    assert rejected["raw/g0_sb01.hdf5"].kind == "duplicate"
    # same time: the last by name
    groups, rejected = formed(pd.concat([table, double.assign(mtime_ns=1)]))
    assert list(rejected) == ["a/again_sb01.hdf5"]


def test_a_later_but_shorter_duplicate_does_not_win():
    table = headers(1)
    short = table.iloc[[2]].assign(path="raw/cut_sb01.hdf5", mtime_ns=2, n_times=12)
    short["last_mjd"] = short["first_mjd"] + 11 * INTEGRATION / 86400
    groups, rejected = formed(pd.concat([table, short]))
    assert len(groups) == 1 and list(rejected) == ["raw/cut_sb01.hdf5"]
    assert rejected["raw/cut_sb01.hdf5"].reason.endswith("12 times, not 24")


@pytest.mark.parametrize("offset_s", [0.2, 1.0, 5.0, -5.0])
def test_a_file_of_other_times_is_rejected_and_its_group_is_not(offset_s):
    table = shifted(headers(2), [1], offset_s)
    groups, rejected = formed(table)
    assert [len(files) for files in groups.values()] == [3, 4]
    assert list(rejected) == ["raw/g0_sb02.hdf5"]
    assert f"{offset_s:+.3f} s" in rejected["raw/g0_sb02.hdf5"].reason
    assert list(groups) == list(formed(headers(2))[0])  # the names too are those without it


def test_a_drifting_clock_shows_at_the_end():
    table = headers(1)
    table.loc[3, "last_mjd"] += 0.5 / 86400
    _, rejected = formed(table)
    assert "+0.500 s" in rejected["raw/g0_sb00.hdf5"].reason


def test_the_agreement_asked_for_is_an_option():
    table = shifted(headers(1), [1], 0.2)
    groups, rejected = formed(table, DiscoverOptions(min_subbands=3, time_agreement=0.02))
    assert len(groups) == 1 and not rejected


def test_a_chain_of_drifting_starts_is_no_group():
    """Each file starts 5 s after the one before: near to its neighbour, far from the others."""
    rows = [row(f"raw/f{k}.hdf5", START + 5 * k / 86400, k % 4) for k in range(12)]
    groups, rejected = formed(pd.DataFrame(rows))
    assert not groups and len(rejected) == 12
    # nor does such a chain take a good group with it
    groups, rejected = formed(pd.concat([pd.DataFrame(rows), headers(1)]))
    assert [sorted(f) for f in groups.values()] == [sorted(headers(1)["path"])]
    assert len(rejected) == 12


def test_an_early_stray_does_not_cut_a_group_in_two():
    """A file 5 s early: counted from it, part of the group lies beyond the tolerance of 6 s."""
    table = shifted(headers(1), [0, 1], 0.0)
    table = pd.concat([shifted(table, [2, 3], 0.0), pd.DataFrame([row("raw/x.hdf5", START, 0)])])
    table = table.reset_index(drop=True)
    table = shifted(table, [0, 1, 2, 3], 5.98)
    table = shifted(table, [2, 3], 0.05)  # within the agreement, but 6.03 s after the stray
    groups, rejected = formed(table)
    assert [len(f) for f in groups.values()] == [4] and list(rejected) == ["raw/x.hdf5"]


def test_declinations_that_round_apart_are_one_pointing():
    table = headers(1)
    table["dec_app_deg"] = [55.5804999, 55.5805001, 55.5804999, 55.5805001]
    groups, rejected = formed(table)
    assert [len(f) for f in groups.values()] == [4] and not rejected


def test_a_file_that_points_elsewhere_is_rejected_with_both_pointings():
    table = headers(1)
    table.loc[2, "dec_app_deg"] = 16.0
    groups, rejected = formed(table)
    assert [len(f) for f in groups.values()] == [3]
    (bad,) = rejected.values()
    assert bad.kind == "declination" and "16.0000" in bad.reason and "55.5800" in bad.reason


def test_two_strips_at_once_do_not_stop_a_run():
    both = pd.concat([headers(2), headers(2, dec=16.0, folder="b", seed=2)])
    groups, rejected = form_groups(both, INSTRUMENT, OPTIONS)
    assert [g.dec_app_deg for g, _ in groups] == [55.58, 55.58]
    assert {r.kind for r in rejected} == {"same name"} and len(rejected) == 8
    south = DiscoverOptions(min_subbands=3, declinations_deg=[16])
    groups, _ = form_groups(both, INSTRUMENT, south)
    assert [g.dec_app_deg for g, _ in groups] == [16.0, 16.0]
    # the fuller one stays, wherever it points
    groups, _ = form_groups(both[both["path"] != "raw/g0_sb01.hdf5"], INSTRUMENT, OPTIONS)
    assert [g.dec_app_deg for g, _ in groups] == [16.0, 55.58]


def test_tracked_fields_meet_across_right_ascension_zero():
    table = headers(1).assign(tracking="sidereal", dec_deg=10.0, dec_app_deg=np.nan)
    table["ra_deg"] = [359.9999, 0.0001, 359.9999, 0.0001]
    groups, rejected = formed(table)
    assert [len(f) for f in groups.values()] == [4] and not rejected


def test_without_a_band_subbands_must_not_overlap():
    any_band = InstrumentOptions(subbands=4)
    groups, rejected = formed(headers(1), OPTIONS, any_band)
    assert len(groups) == 1 and not rejected
    table = headers(1)
    table.loc[2, ["freq_min_hz", "freq_max_hz"]] -= 10e6
    groups, rejected = formed(table, OPTIONS, any_band)
    assert not groups and {r.kind for r in rejected.values()} == {"frequency"}


def test_impossible_files_are_rejected_one_by_one():
    table = headers(2)
    table.loc[0, ["first_mjd", "last_mjd"]] = [55000.1, 55000.1 + LENGTH / 86400]
    table.loc[1, "telescope"] = "VLA"
    table.loc[2, "freq_min_hz"] += 1e6
    table.loc[3, "name_mjd"] = table.loc[3, "first_mjd"] + 700 / 86400
    table.loc[4, "dec_app_deg"] = 123.0
    table.loc[5, "last_mjd"] = table.loc[5, "first_mjd"] + 1 / 86400
    table.loc[6, ["reason", "kind"]] = ["unreadable: x", "unreadable"]
    table.loc[7, "n_channels"] = 24
    _, rejected = formed(table)
    kinds = [rejected[path].kind for path in table["path"]]
    assert kinds[:7] == [
        *("time", "telescope", "frequency", "time", "declination", "time", "unreadable")
    ]
    assert "clock" in rejected["raw/g0_sb03.hdf5"].reason
    assert "700 s" in rejected["raw/g0_sb00.hdf5"].reason
    assert rejected["raw/g1_sb00.hdf5"].kind == "subbands"  # the only one left of its group


def test_nothing_gives_nothing():
    assert form_groups(headers(1).iloc[:0], INSTRUMENT, OPTIONS) == ([], [])


@pytest.mark.parametrize("year_mjd", [40587.5, 61790.0, 75000.0])
def test_a_date_without_earth_rotation_costs_its_file_alone(year_mjd):
    """1970, beyond the end of the table, 2064: rejected with the remedy, the rest goes on."""
    table = headers(groups=2)
    clean = formed(table)[0]
    stray = row("raw/stray_sb00.hdf5", year_mjd, 0)
    found, rejected = formed(pd.concat([table, pd.DataFrame([stray])]))
    assert found == clean
    (only,) = rejected.values()
    assert only.kind == "date" and "install a newer astropy-iers-data" in only.reason


def test_nothing_but_impossible_dates_is_no_error():
    found, rejected = formed(pd.DataFrame([row(f"raw/a_sb0{k}.hdf5", 40587.5, k) for k in (0, 1)]))
    assert not found and {r.kind for r in rejected.values()} == {"date"}
