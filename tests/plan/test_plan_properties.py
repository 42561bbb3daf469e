"""What holds for the plan of any set of groups."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from contimg.core.beam import PrimaryBeam
from contimg.core.grouping.scan import form_groups
from contimg.core.strips import linked
from contimg.mosaic.options import MosaicOptions
from contimg.plan.mosaics import windows
from contimg.plan.options import PlanOptions
from contimg.plan.plan import make_plan
from discover.simulated_headers import INSTRUMENT, OPTIONS, headers

ALL = [group for group, _ in form_groups(headers(60), INSTRUMENT, OPTIONS)[0]]
SOUTH = [
    group
    for group, _ in form_groups(
        headers(60, dec=54.9, seed=5).assign(
            first_mjd=lambda t: t["first_mjd"] + 3 / 86400,
            last_mjd=lambda t: t["last_mjd"] + 3 / 86400,
        ),
        INSTRUMENT,
        OPTIONS,
    )[0]
]
CALIBRATORS = pd.DataFrame(
    {
        "name": [f"C{k}" for k in range(12)],
        "ra_deg": ALL[0].ra_deg + np.linspace(0, 75, 12),
        "dec_deg": np.linspace(54.5, 56.5, 12),
        "flux_jy": np.linspace(2, 9, 12),
        "ref_freq_hz": 1.4e9,
        "spectral_index": -0.7,
        "log_poly": "",
    }
)
BEAM = PrimaryBeam(INSTRUMENT)


@settings(max_examples=25, deadline=None)
@given(
    chosen=st.sets(st.integers(0, 119), max_size=40),
    seed=st.integers(0, 2**32),
    hours=st.floats(0.05, 6),
    most=st.integers(1, 4),
    mode=st.sampled_from(["calibrator", "window", "day", "field"]),
    least=st.integers(1, 3),
)
def test_the_plan_of_any_groups(chosen, seed, hours, most, mode, least):
    both = [*ALL, *SOUTH]
    groups = [both[k] for k in sorted(chosen)]
    options = PlanOptions(staleness_hours=hours, max_calsets=most)
    mosaic = MosaicOptions(mode=mode, min_tiles=least, window_tiles=4, window_overlap=1)
    plan = make_plan(groups, CALIBRATORS, BEAM, options, mosaic)
    mixed = random.Random(seed)
    mixed.shuffle(groups)
    rows = CALIBRATORS.sample(frac=1, random_state=seed % 1000)
    again = make_plan(groups, rows, BEAM, options, mosaic)
    assert again == plan and [list(again[k]) for k in again] == [list(plan[k]) for k in plan]
    by_name = {group.group: group for group in groups}
    for name, tile in plan["tiles"].items():
        group = by_name[name]
        # by hand: all calsets of the strip within the limit, nearest first
        reach = {}
        for calset, content in plan["calsets"].items():
            away = abs(content["mjd"] - group.mid_mjd) * 24
            source = by_name[content["group"]]
            if away <= hours and abs(source.dec_app_deg - group.dec_app_deg) <= 0.5:
                reach[calset] = away
        nearest = sorted(reach.values())[:most]
        assert np.allclose([reach[c] for c in tile["calsets"]], nearest, atol=2e-6)
        assert bool(tile["calsets"]) != bool(tile["reason"])
    for mosaic_tiles in plan["mosaics"].values():
        tiles = [by_name[name] for name in mosaic_tiles["tiles"]]
        assert len(tiles) >= least
        assert tiles == sorted(tiles, key=lambda g: g.start_mjd)
        assert np.ptp([g.dec_app_deg for g in tiles]) < 0.1


@given(
    length=st.integers(0, 60),
    tiles=st.integers(1, 15),
    overlap=st.integers(0, 14),
    least=st.integers(1, 15),
)
def test_windows_cover_a_run(length, tiles, overlap, least):
    overlap, least = min(overlap, tiles - 1), min(least, tiles)
    options = MosaicOptions(
        mode="window", window_tiles=tiles, window_overlap=overlap, min_tiles=least
    )
    found = windows(length, options)
    if length < least:
        assert found == []
        return
    covered = {k for window in found for k in window}
    assert covered == set(range(length))
    assert all(len(window) >= least for window in found)
    assert all(len(window) == tiles for window in found[:-1])
    assert len(found[-1]) < tiles + least
    for before, after in itertools.pairwise(found):
        assert after.start - before.start == tiles - overlap and after.stop > before.stop


@given(st.lists(st.floats(-90, 90), max_size=20), st.floats(0.001, 1), st.randoms())
def test_linking_never_parts_neighbours(values, tolerance, mixer):
    values = np.array(values, dtype=float)
    numbers = linked(values, tolerance)
    assert len(numbers) == len(values)
    for a, first in zip(values, numbers, strict=True):
        for b, second in zip(values, numbers, strict=True):
            if abs(a - b) <= tolerance * (1 - 1e-9):
                assert first == second
            elif first == second:  # then others lie between
                between = np.sort(values[(values >= min(a, b)) & (values <= max(a, b))])
                assert np.diff(between).max() <= tolerance * (1 + 1e-9)
    order = list(range(len(values)))
    mixer.shuffle(order)
    assert (linked(values[order], tolerance) == numbers[order]).all()
