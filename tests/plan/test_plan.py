"""The plan: calsets by apparent transit, candidates by time and strip, mosaics by mode."""

from __future__ import annotations

import dataclasses
import graphlib
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from contimg.calibrate.options import FROM_CALIBRATOR, ScaleOptions
from contimg.core.beam import PrimaryBeam
from contimg.core.coords import apparent, icrs_on_meridian, mjd_time, separation, transit_mjd
from contimg.core.errors import ContimgError
from contimg.core.groups import Group, group_name
from contimg.mosaic.options import MosaicOptions
from contimg.plan.options import PlanOptions
from contimg.plan.plan import make_plan
from contimg.simulate.options import SimulateOptions
from contimg.simulate.schedule import schedule
from discover.simulated_headers import INSTRUMENT as SIMULATED
from discover.simulated_headers import OPTIONS, START, headers
from truth.observe import INSTRUMENT

SIMULATE = SimulateOptions(epochs=3, wide_epochs=[1], wide_tiles=3)
CALIBRATOR = pd.DataFrame(
    {
        "name": ["0834+555"],
        "ra_deg": [SIMULATE.calibrator_ra_deg],
        "dec_deg": [SIMULATE.calibrator_dec_deg],
        "flux_jy": [8.8],
        "ref_freq_hz": [1.405e9],
        "spectral_index": [-0.2],
        "log_poly": [""],
    }
)


def plan(groups=None, calibrators=CALIBRATOR, mosaic=None, scale=FROM_CALIBRATOR, **options):
    groups = schedule(SIMULATE, INSTRUMENT) if groups is None else groups
    return make_plan(
        groups,
        calibrators,
        PrimaryBeam(INSTRUMENT),
        PlanOptions(**options),
        mosaic or MosaicOptions(span_minutes=20),
        scale,
    )


def test_one_calset_a_day_and_a_mosaic_about_it():
    result = plan()
    assert len(result["groups"]) == 5 and len(result["calsets"]) == 3
    assert [len(m["tiles"]) for m in result["mosaics"].values()] == [1, 3, 1]
    for calset in result["calsets"].values():
        group = result["groups"][calset["group"]]
        assert group["start_mjd"] <= calset["mjd"] <= group["end_mjd"]
        assert calset["pb"] > 0.95


def test_candidates_are_nearest_first_and_not_stale():
    result = plan(staleness_hours=30)
    for name, tile in result["tiles"].items():
        group = result["groups"][name]
        middle = (group["start_mjd"] + group["end_mjd"]) / 2
        hours = [abs(result["calsets"][c]["mjd"] - middle) * 24 for c in tile["calsets"]]
        assert hours == sorted(hours) and max(hours) <= 30 and len(hours) >= 2
    strict = plan(staleness_hours=1)
    assert all(len(t["calsets"]) == 1 for t in strict["tiles"].values())


def test_other_strips_do_not_serve():
    groups = schedule(SIMULATE, INSTRUMENT)
    moved = dataclasses.replace(
        groups[0], group="20251005T000000", dec_app_deg=groups[0].dec_app_deg - 10
    )
    result = plan([*groups, moved])
    assert result["tiles"]["20251005T000000"]["calsets"] == []


def test_a_calibrator_must_be_in_the_beam_and_bright_there():
    """At 1405 MHz an Airy beam of 4.65 m passes a half at 1.355 deg and a tenth at 2.29 deg."""
    groups = strip(1)
    star = calibrators(1, groups[0].ra_deg, groups[0].dec_deg - 2.29).assign(flux_jy=1000.0)
    assert plan(groups, star)["calsets"] == {}
    (calset,) = plan(groups, star, min_pb=0.05)["calsets"].values()
    assert calset["pb"] == pytest.approx(0.1, abs=0.005)
    assert calset["apparent_flux_jy"] == pytest.approx(100, rel=0.05)
    assert plan(groups, star, min_pb=0.05, min_flux_jy=120)["calsets"] == {}


@pytest.mark.parametrize("minutes", [10, 50, 60])
def test_the_span_is_centred_on_the_transit(minutes):
    """Half of it before and half of it after; a tile is in by its middle."""
    groups = strip(40)
    star = calibrators(1, groups[20].ra_deg + 0.3, groups[20].dec_deg)
    result = plan(groups, star, mosaic=MosaicOptions(span_minutes=minutes))
    (calset,), (mosaic,) = result["calsets"].values(), result["mosaics"].values()
    near = [g.group for g in groups if abs(g.mid_mjd - calset["mjd"]) * 1440 <= minutes / 2]
    assert mosaic["tiles"] == near and len(near) == pytest.approx(minutes / 5.154, abs=1)


def test_order_of_groups_does_not_matter():
    groups = schedule(SIMULATE, INSTRUMENT)
    assert plan(groups[::-1]) == plan(groups)


def test_calibrator_without_flux_is_not_used():
    unknown = CALIBRATOR.assign(flux_jy=np.nan)
    assert plan(calibrators=unknown)["calsets"] == {}


def test_unknown_calibrator_is_named():
    with pytest.raises(ContimgError, match="no calibrator named 3C999"):
        plan(use=["3C999"])


def test_a_calibrator_asked_for_must_be_usable():
    with pytest.raises(ContimgError, match=r"flux scale: 0834\+555 \(no flux density\)"):
        plan(calibrators=CALIBRATOR.assign(flux_jy=np.nan), use=["0834+555"])
    bandpass = CALIBRATOR.assign(role="bandpass", scale="")
    assert plan(calibrators=bandpass)["calsets"] == {}
    with pytest.raises(ContimgError, match="its role is bandpass"):
        plan(calibrators=bandpass, use=["0834+555"])
    assert len(plan(calibrators=bandpass.assign(scale="yes"))["calsets"]) == 3


def test_a_variable_calibrator_serves_only_where_the_field_sets_the_scale():
    blazar = CALIBRATOR.assign(role="flux", variable="blazar", scale="")
    assert plan(calibrators=blazar)["calsets"] == {}
    for when in ("needed", "always"):
        assert len(plan(calibrators=blazar, scale=ScaleOptions(field_scale=when))["calsets"]) == 3
    tied = ScaleOptions(field_scale="needed")
    assert len(plan(calibrators=blazar, scale=tied, use=["0834+555"])["calsets"]) == 3
    assert plan(calibrators=blazar.assign(flux_jy=np.nan), scale=tied)["calsets"] == {}
    assert plan(calibrators=blazar.assign(role="phase"), scale=tied)["calsets"] == {}


def test_names_that_cannot_be_paths():
    with pytest.raises(ContimgError, match=r"'0834/555' is observed in group 20251005T.*rename"):
        plan(calibrators=CALIBRATOR.assign(name="0834/555"))
    far = CALIBRATOR.assign(name="0834/555", dec_deg=-30.0)
    assert plan(calibrators=far)["calsets"] == {}  # never observed: nobody minds


def test_calsets_agree_with_one_transit_at_a_time():
    """Many groups and calibrators at once give what astropy gives one by one."""
    groups = strip(25)
    rng = np.random.default_rng(4)
    ra = groups[0].ra_deg + rng.uniform(-3, 36, 12)
    table = calibrators(12, ra % 360, 55.58 + rng.uniform(-2, 2, 12))
    found = plan(groups, table, min_pb=0.1, min_flux_jy=0.01)["calsets"]
    beam = PrimaryBeam(INSTRUMENT)
    expected = {}
    for row in table.itertuples():
        ra, dec = np.radians([row.ra_deg, row.dec_deg])
        mjd = transit_mjd(ra, dec, groups[12].mid_mjd, groups[0].location)
        _, dec_app = apparent(ra, dec, mjd_time(mjd), groups[0].location)
        for group in groups:
            pb = beam.power(dec_app - np.radians(group.dec_app_deg), 1405e6)
            if group.start_mjd <= mjd < group.end_mjd and pb >= 0.1:
                expected[f"{group.group}_{row.name}"] = (mjd, float(pb))
    assert len(found) > 5 and set(found) == set(expected)
    for name, (mjd, pb) in expected.items():
        assert found[name]["mjd"] == pytest.approx(mjd, abs=0.02 / 86400)
        assert found[name]["pb"] == pytest.approx(pb, abs=1e-4)


def test_a_transit_belongs_to_one_of_two_groups_that_meet():
    groups = strip(200)
    table = calibrators(30, np.linspace(0, 348, 30), np.full(30, 55.5))
    seen = [(c["calibrator"], round(c["mjd"], 3)) for c in plan(groups, table)["calsets"].values()]
    assert len(seen) == len(set(seen)) > 15


def test_why_a_tile_has_no_calset():
    groups = schedule(SIMULATE, INSTRUMENT)
    moved = dataclasses.replace(
        groups[0], group="20251005T000000", dec_app_deg=groups[0].dec_app_deg - 10
    )
    tiles = plan([*groups, moved])["tiles"]
    assert "within 0.5 deg of declination" in tiles["20251005T000000"]["reason"]
    late = dataclasses.replace(
        groups[-1], group="20251010T000000", start_mjd=60958.0, end_mjd=60958.003
    )
    reason = plan([*groups, late])["tiles"]["20251010T000000"]["reason"]
    assert "h away, 24 h are allowed" in reason
    nothing = plan(calibrators=CALIBRATOR.assign(flux_jy=np.nan))["tiles"]
    assert {t["reason"] for t in nothing.values()} == {"no calibrator that may serve was observed"}
    assert {t["reason"] for t in plan()["tiles"].values()} == {""}


def test_a_calibrator_may_transit_twice_on_a_day():
    """A sidereal day is 236 s shorter than a day of the calendar: both transits are kept."""
    first = 60953 + 100 / 86400
    ra, dec = icrs_on_meridian(np.radians(55.58), mjd_time(first), strip(1)[0].location)
    table = calibrators(1, [float(np.degrees(ra))], [float(np.degrees(dec))])
    groups = [g for g in strip(300, start=60952.95) if g.start_mjd < 60954]
    mosaics = plan(groups, table)["mosaics"]
    assert list(mosaics) == ["20251005_C00", "20251005_C00_2"]
    assert mosaics["20251005_C00"]["tiles"] != mosaics["20251005_C00_2"]["tiles"]
    later = [g for g in groups if g.start_mjd > 60953.5]
    assert list(plan(later, table)["mosaics"]) == [
        "20251005_C00_2"
    ]  # names do not depend on others


def test_two_strips_with_one_calibrator_have_two_mosaics():
    groups = strip(3)
    south = [
        dataclasses.replace(g, group=f"{g.group[:8]}T0{k}0000", dec_app_deg=g.dec_app_deg - 0.8)
        for k, g in enumerate(groups)
    ]
    ra, dec = groups[1].ra_deg, groups[1].dec_deg
    mosaics = plan([*groups, *south], calibrators(1, [ra], [dec]))["mosaics"]
    assert list(mosaics) == ["20251005_C00_d+54.78", "20251005_C00_d+55.58"]
    assert mosaics["20251005_C00_d+55.58"]["tiles"] == [g.group for g in groups]
    assert mosaics["20251005_C00_d+54.78"]["tiles"] == [g.group for g in south]


def test_ten_tiles_with_two_in_common():
    groups = strip(30)
    tiles = windows_of(groups, window_tiles=10, window_overlap=2)
    assert [len(t) for t in tiles] == [10, 10, 10, 6]
    assert all(a[-2:] == b[:2] for a, b in itertools.pairwise(tiles))
    assert [len(t) for t in windows_of(groups[:10])] == [10]  # no window of the overlap alone


def test_twelve_tiles_in_strides_of_six():
    tiles = windows_of(strip(30), window_tiles=12, window_overlap=6)
    assert [t[0] for t in tiles] == [g.group for g in strip(30)][:24:6]
    assert {len(t) for t in tiles} == {12}


def test_windows_end_at_gaps_and_short_ends_join():
    groups = strip(30)
    gone = [g for k, g in enumerate(groups) if k != 12]
    tiles = windows_of(gone, window_tiles=10, window_overlap=2, min_tiles=5)
    # 12 before the gap: the last four are too few for a window; 17 after it
    assert [(t[0], len(t)) for t in tiles] == [
        *((groups[0].group, 12), (groups[13].group, 10), (groups[21].group, 9))
    ]
    assert windows_of(groups[:4], min_tiles=5) == []


def test_a_gap_of_one_group_is_a_gap_whatever_the_last_bit():
    for start in np.linspace(60953.1, 60953.9, 7):
        groups = strip(12, start=start)
        tiles = windows_of([g for k, g in enumerate(groups) if k != 5], window_tiles=12)
        assert [len(t) for t in tiles] == [5, 6]
        assert len(windows_of(groups, window_tiles=12)) == 1


def test_all_tiles_of_a_day_in_as_many_parts_as_a_plane_holds():
    groups = strip(290, start=60952.9)
    mosaics = plan(groups, mosaic=MosaicOptions(mode="day", max_radius_deg=30))["mosaics"]
    assert list(mosaics) == [
        "20251004_d+55.58",
        *(f"20251005_d+55.58_p{part}" for part in (1, 2, 3)),
    ]
    by_name = {g.group: g for g in groups}
    for mosaic in mosaics.values():  # no two tiles are farther apart than the plane is wide
        ends = [by_name[mosaic["tiles"][k]] for k in (0, -1)]
        angles = np.radians([x for g in ends for x in (g.ra_deg, g.dec_deg)])
        assert np.degrees(separation(*angles)) <= 60
    used = [tile for mosaic in mosaics.values() for tile in mosaic["tiles"]]
    assert used == [g.group for g in groups]  # each once
    wide = MosaicOptions(mode="day", max_radius_deg=60)
    assert "20251005_d+55.58" in plan(groups, mosaic=wide)["mosaics"]


def test_deep_mosaics_are_of_windows_of_days_and_serve_later_ones():
    days = [strip(260, start=60946.02 + k) for k in (0, 1, 3, 4, 9)]
    groups = list(itertools.chain(*days))
    wide = MosaicOptions(mode="none", max_radius_deg=30)
    result = plan(groups, mosaic=wide, deep_days=3)
    models = result["deep_models"]
    first, second, last = (f"deep_{day}_d+55.58" for day in ("20250927", "20250930", "20251006"))
    assert [(name, m["previous"]) for name, m in models.items()] == [
        (first, ""),
        (second, first),
        (last, second),
    ]
    of = {g.group: result["tiles"][g.group].get("deep_model") for g in groups}
    for day, model in zip(days, (None, None, first, first, second), strict=True):
        assert {of[g.group] for g in day} == {model}
    for name, model in models.items():
        tiles = [t for m in model["mosaics"] for t in result["deep_mosaics"][m]["tiles"]]
        assert len(tiles) == len(set(tiles))
        assert all(m.startswith(name) for m in model["mosaics"])
    planes = [result["deep_mosaics"][m]["tiles"] for m in models[first]["mosaics"]]
    right_ascension = {g.group: g.ra_deg for g in groups}
    spans = [np.ptp([right_ascension[t] for t in tiles]) for tiles in planes]
    assert len(planes) > 1 and max(spans) < 200  # neighbours on the sky, of both days
    assert {t[:8] for t in planes[0]} >= {"20250928", "20250929"}
    assert not plan(groups, mosaic=wide)["deep_models"]


@pytest.mark.parametrize(("days", "staleness"), [(1, 12.0), (1, 60.0), (3, 30.0), (2, 3.0)])
def test_no_calset_stands_on_a_tile_that_it_serves(days, staleness):
    """What each product is made from, followed to its end, never comes to itself."""
    groups = [g for day in range(9) for g in strip(40, start=60946.94 + day)]  # over midnight
    star = calibrators(1, groups[30].ra_deg, groups[30].dec_deg)
    wide = MosaicOptions(mode="none", max_radius_deg=60)
    result = plan(groups, star, mosaic=wide, deep_days=days, staleness_hours=staleness)
    made_from: dict[str, set[str]] = {}
    for group, tile in result["tiles"].items():
        made_from[group] = {*tile["calsets"], tile.get("deep_model", "")}
    for name, calset in result["calsets"].items():
        made_from[name] = {result["tiles"][calset["group"]].get("calset_deep_model", "")}
    for name, model in result["deep_models"].items():
        tiles = [t for m in model["mosaics"] for t in result["deep_mosaics"][m]["tiles"]]
        made_from[name] = {*tiles, model["previous"]}
    graph = {name: needed - {""} for name, needed in made_from.items()}
    list(graphlib.TopologicalSorter(graph).static_order())  # CycleError where there is a cycle
    with_model = [n for n, needed in graph.items() if n in result["calsets"] and needed]
    assert len(result["calsets"]) == 9 and len(with_model) >= 9 - 1 - days - staleness / 24 - days


def test_fields_are_positions_not_truncated_names():
    """Positions that differ in the last digit, at the edge of an arcminute, are one field."""
    one = tracked(0, 202.7845, 30.5)
    same = tracked(1, 202.7845, 30.5 - 1e-6)
    other = tracked(2, 202.7845 + 0.15, 30.5)  # the same hhmm+ddmm, but another field
    mosaics = plan([one, same, other], mosaic=MosaicOptions(mode="field"))["mosaics"]
    assert [m["tiles"] for m in mosaics.values()] == [
        [one.group, same.group],
        [other.group],
    ]
    assert [name.removeprefix("20251005_J1331+30") for name in mosaics] == ["29", "30"]


def test_tracked_calibrators_have_a_mosaic_an_observation():
    table = calibrators(1, [202.7845], [30.509])
    groups = [tracked(0, 202.7845, 30.5), tracked(20, 202.7845, 30.5)]
    result = plan(groups, table, mosaic=MosaicOptions(span_minutes=10))
    assert list(result["mosaics"]) == [f"{g.group}_C00" for g in groups]


def test_named_lists():
    groups = strip(5)
    names = [g.group for g in groups]
    lists = {"deep": [names[3], names[1]], "other_one": names[:2]}
    result = plan(groups, mosaic=MosaicOptions(mode="none"), mosaics=lists)["mosaics"]
    assert result == {
        "deep": {"tiles": [names[1], names[3]]},
        "other_one": {"tiles": names[:2]},
    }
    with pytest.raises(ContimgError, match="deep lists 20200101T000000, which is not among the 5"):
        plan(groups, mosaics={"deep": ["20200101T000000"]})
    with pytest.raises(ContimgError, match="two mosaics would be named"):
        plan(groups, mosaic=MosaicOptions(mode="window"), mosaics={names[0]: names[:2]})


def test_windows_that_would_not_advance_are_refused():
    with pytest.raises(ValidationError, match="window_overlap must be less"):
        MosaicOptions(window_tiles=3, window_overlap=3)
    with pytest.raises(ValidationError, match="min_tiles"):
        MosaicOptions(mode="window", window_tiles=3, window_overlap=1, min_tiles=4)


def strip(number: int, start: float = 60953.2) -> list[Group]:
    """Groups of one strip that follow each other."""
    from contimg.core.grouping.scan import form_groups

    table = headers(number)
    for column in ("first_mjd", "last_mjd", "name_mjd"):
        table[column] += start - START
    groups, _ = form_groups(table, SIMULATED, OPTIONS)
    return [group for group, _ in groups]


def tracked(number: int, ra_deg: float, dec_deg: float) -> Group:
    """A tracked group of 5 min, `number` of them after the first."""
    first = 60953.2 + number * 300 / 86400
    return dataclasses.replace(
        strip(1)[0],
        group=group_name(first),
        start_mjd=first,
        end_mjd=first + 300 / 86400,
        tracking="sidereal",
        dec_app_deg=None,
        ra_deg=ra_deg,
        dec_deg=dec_deg,
    )


def calibrators(number: int, ra_deg, dec_deg) -> pd.DataFrame:
    """Calibrators of 8 Jy."""
    one = CALIBRATOR.loc[[0] * number].reset_index(drop=True)
    names = [f"C{k:02d}" for k in range(number)]
    return one.assign(name=names, ra_deg=ra_deg, dec_deg=dec_deg)


def windows_of(groups: list[Group], **options) -> list[list[str]]:
    mosaics = plan(groups, mosaic=MosaicOptions(mode="window", **options))["mosaics"]
    assert [name for name, m in mosaics.items() if m["tiles"][0] != name] == []
    return [mosaic["tiles"] for mosaic in mosaics.values()]


def test_calibrators_of_the_checkout_serve_runs_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = PlanOptions(calibrators="config/calibrators.csv").calibrators
    assert found.is_absolute() and found.exists()
    (tmp_path / "config").mkdir()
    (tmp_path / "config/calibrators.csv").write_text("")
    own = PlanOptions(calibrators="config/calibrators.csv").calibrators
    assert own == Path("config/calibrators.csv")
    assert PlanOptions(calibrators="mine.csv").calibrators == Path("mine.csv")
