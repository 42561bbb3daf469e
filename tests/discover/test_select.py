"""Selections keep what they say, spare the rest, and complain about what does not exist."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from contimg.core.errors import ContimgError
from contimg.core.grouping.rejections import Rejected
from contimg.core.grouping.scan import form_groups
from contimg.core.options import to_flags
from contimg.discover.options import DiscoverOptions
from contimg.discover.select import check_selection, group_mjd, select, worth_reading
from contimg.plan.options import PlanOptions, split_list
from discover.simulated_headers import INSTRUMENT, LENGTH, OPTIONS, START, headers, row

GROUPS, _ = form_groups(headers(300), INSTRUMENT, OPTIONS)  # 2025-10-05T12:00 to the day after


def names(**options) -> list[str]:
    return [group.group for group, _ in select(GROUPS, DiscoverOptions(**options))]


ALL = names()


def test_days_go_by_the_name_of_a_group():
    """A group named after midnight may have begun before it; its products lie under its name."""
    first = next(group for group, _ in GROUPS if group.group.startswith("20251006"))
    assert names(days=["2025-10-06"]) == [name for name in ALL if name.startswith("20251006")]
    late = row("x", 60954 + 2.0 / 86400, 0, integration_s=12.885)
    table = headers(1)
    table[["first_mjd", "last_mjd"]] += late["first_mjd"] - table.loc[0, "first_mjd"]
    table["name_mjd"] = table["first_mjd"]
    after, _ = form_groups(table, INSTRUMENT, OPTIONS)
    assert after[0][0].start_mjd < 60954  # begins before midnight
    assert select(after, DiscoverOptions(days=["2025-10-06"])) == after
    assert select(after, DiscoverOptions(days=["2025-10-05"])) == []
    assert first.group in names(days=[datetime.date(2025, 10, 6)])  # as YAML reads it


def test_times_and_declinations_and_groups():
    third = ALL[2]
    iso = f"2025-10-05T{third[9:11]}:{third[11:13]}:{third[13:]}"
    assert names(since=iso) == ALL[2:]
    assert names(until=iso) == ALL[:2]
    assert names(since=str(group_mjd(third)), until=group_mjd(third) + 0.01) == ALL[2:5]
    assert names(groups=[third]) == [third]
    assert names(declinations_deg=[16, 55.7]) == ALL
    assert names(declinations_deg=[55.7], declination_margin_deg=0.1) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"days": ["2025-10-32"]},
        {"days": ["05.10.2025"]},
        {"since": "yesterday"},
        {"since": "2025-10-06", "until": "2025-10-05"},
        {"groups": ["20251005"]},
        {"declination_margin_deg": 0},
    ],
)
def test_wrong_values_are_refused(wrong):
    with pytest.raises(ValidationError):
        DiscoverOptions(**wrong)


def check(**options):
    chosen = DiscoverOptions(**options)
    return check_selection(GROUPS, select(GROUPS, chosen), [], chosen)


def test_selections_of_what_is_not_there():
    with pytest.raises(ContimgError, match="no group 20990101T000000; there are 300 groups"):
        check(groups=["20990101T000000"])
    with pytest.raises(ContimgError, match=r"no group is left .*days 2020-01-01.* at 55.6 deg"):
        check(days=["2020-01-01"])
    assert check(days=["2025-10-05", "2025-10-09"]) == ["no group on 2025-10-09 (discover.days)"]
    assert "16 deg" in check(declinations_deg=[55.58, 16])[0]
    assert check() == []


@settings(max_examples=20, deadline=None)
@given(first=st.integers(0, 299), number=st.integers(1, 30), seed=st.integers(0, 3))
def test_files_that_are_not_opened_are_of_no_wanted_group(first, number, seed):
    """Reading only what the names allow gives the same groups as reading everything."""
    since = f"{group_mjd(ALL[first]):.9f}"
    until = f"{group_mjd(ALL[first]) + number * LENGTH / 86400:.9f}"
    options = DiscoverOptions(min_subbands=3, since=since, until=until, max_clock_offset_s=90)
    table = NAMED[seed]
    files = list(table[["path", "bytes", "mtime_ns"]].itertuples(index=False, name=None))
    few = {path for path, *_ in worth_reading(files, options)}
    assert len(few) <= 4 * (number + 2)
    everything, _ = form_groups(table, INSTRUMENT, options)
    reduced, _ = form_groups(table[table["path"].isin(few)], INSTRUMENT, options)
    assert select(reduced, options) == select(everything, options)


def named(seed: int):
    """Headers whose paths tell the times of the names."""
    table = headers(300, seed=seed)
    times = [
        datetime.datetime(1858, 11, 17) + datetime.timedelta(days=mjd) for mjd in table["name_mjd"]
    ]
    table["path"] = [
        f"raw/{time:%Y-%m-%dT%H:%M:%S}_sb{k % 4:02d}.hdf5" for k, time in enumerate(times)
    ]
    return table.drop_duplicates("path")


NAMED = {seed: named(seed) for seed in range(4)}


def test_named_mosaics_are_read_from_both_forms():
    as_mapping = PlanOptions(mosaics={"deep": ["20251005T120013", "20251005T115504"]})
    as_flags = PlanOptions(mosaics=["deep=20251005T115504,20251005T120013"])
    assert split_list(as_mapping.mosaics[0]) == split_list(as_flags.mosaics[0])
    assert "deep=20251005T120013,20251005T115504" in to_flags(as_mapping)
    for wrong in (
        {"deep": "20251005T115504"},
        {"a b": ["20251005T115504"]},
        ["deep"],
        {"deep": ["yesterday"]},
        ["d=20251005T115504", "d=20251005T120013"],
    ):
        with pytest.raises(ValidationError):
            PlanOptions(mosaics=wrong)


def test_start_is_as_made():
    assert ALL[0] == "20251005T120000" and GROUPS[0][0].start_mjd < START


def test_a_selection_is_not_blamed_for_files_that_were_rejected():
    chosen = DiscoverOptions(days=["2025-10-05"])
    rejected = [Rejected("a.hdf5", "frequencies do not fit", "frequency")]
    (notice,) = check_selection([], [], rejected, chosen)
    assert notice == "no group: 1 files rejected, the first: frequencies do not fit"
    with pytest.raises(ContimgError, match="within the selection"):
        check_selection([], [], [], chosen)
