"""The plan: calsets by apparent transit, candidates by time and strip, mosaics by mode."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from contimg.core.beam import PrimaryBeam
from contimg.core.errors import ContimgError
from contimg.discover.options import PlanOptions
from contimg.discover.plan import make_plan
from contimg.mosaic.options import MosaicOptions
from contimg.simulate.options import SimulateOptions
from contimg.simulate.schedule import schedule
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


def plan(groups=None, calibrators=CALIBRATOR, mosaic=None, **options):
    groups = schedule(SIMULATE, INSTRUMENT) if groups is None else groups
    return make_plan(
        groups,
        calibrators,
        PrimaryBeam(INSTRUMENT),
        PlanOptions(**options),
        mosaic or MosaicOptions(span_minutes=20),
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


def test_order_of_groups_does_not_matter():
    groups = schedule(SIMULATE, INSTRUMENT)
    assert plan(groups[::-1]) == plan(groups)


def test_calibrator_without_flux_is_not_used():
    unknown = CALIBRATOR.assign(flux_jy=np.nan)
    assert plan(calibrators=unknown)["calsets"] == {}


def test_unknown_calibrator_is_named():
    with pytest.raises(ContimgError, match="no calibrator named 3C999"):
        plan(use=["3C999"])


def test_sliding_windows_overlap():
    groups = schedule(SimulateOptions(epochs=1, wide_epochs=[0], wide_tiles=9), INSTRUMENT)
    mosaic = MosaicOptions(mode="window", window_tiles=4, window_overlap=1)
    tiles = [m["tiles"] for m in plan(groups, mosaic=mosaic)["mosaics"].values()]
    assert [len(t) for t in tiles] == [4, 4, 3]
    assert tiles[0][-1] == tiles[1][0] and tiles[1][-1] == tiles[2][0]
