"""The integrations solved on: about the apparent transit, by beam x flux density."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from astropy.time import Time

from contimg.calibrate.integrations import choose
from contimg.calibrate.options import CalibrateOptions
from contimg.core.beam import PrimaryBeam
from contimg.core.coords import transit_mjd
from contimg.core.errors import DataQualityError
from contimg.core.ms import read_axes
from truth.observe import INSTRUMENT, PERFECT, converted, observe, sky_of

SIMULATE = PERFECT.model_copy(
    update={"antenna_step": 20, "outriggers": 0, "n_times": 24, "integration_s": 12.884901888}
)
BEAM = PrimaryBeam(INSTRUMENT)


@pytest.fixture(scope="module")
def tile(tmp_path_factory):
    """A group and the axes of its MS."""
    directory = tmp_path_factory.mktemp("tile")
    group, _, manifest = observe(directory, simulate=SIMULATE)
    return group, read_axes(converted(directory, manifest))


def used(tile, sky: pd.DataFrame, **options):
    return choose(sky, tile[1], BEAM, CalibrateOptions(**options))


@pytest.mark.parametrize("east_deg", [-0.2, 0.0, 0.15])
def test_a_window_lies_about_the_apparent_transit(tile, east_deg):
    group, axes = tile
    sky = sky_of(group, east_deg, 0.1, 8.8)
    source = np.radians(sky[["ra_deg", "dec_deg"]].to_numpy()[0])
    transit = transit_mjd(*source, group.mid_mjd, group.location)
    found = used(tile, sky, window=5)
    assert found.last - found.first == 4
    integration = axes.integration_s / 86400
    middle = axes.mjd[found.chosen].mean()
    assert abs(middle - transit) <= 0.5 * integration + 1e-9
    # where the right ascension of J2000 meets the apparent sidereal time is no transit
    lst = Time(group.mid_mjd, format="mjd", location=group.location).sidereal_time("apparent")
    wrong = group.mid_mjd + (source[0] - lst.rad) / (2 * np.pi) * 0.99727
    assert abs(middle - wrong) > 4 * integration


@pytest.mark.parametrize(("east_deg", "side"), [(-0.36, "first"), (0.36, "last")])
def test_a_transit_at_the_edge_of_the_tile_is_not_lost(tile, east_deg, side):
    group, axes = tile
    found = used(tile, sky_of(group, east_deg, 0.0, 8.8), window=6)
    edge = {"first": found.first == 0, "last": found.last == axes.mjd.size - 1}
    assert edge[side] and not all(edge.values())
    assert found.last - found.first == 5


def test_integrations_are_used_down_to_the_limit(tile):
    group, axes = tile
    sky = sky_of(group, -0.9, 0.0, 8.8)  # transited before the tile began
    everything, some = used(tile, sky, min_pb=0), used(tile, sky, min_pb=0.8)
    assert everything.last - everything.first + 1 == axes.mjd.size
    response = some.apparent_jy / some.apparent_jy.max()
    expected = np.flatnonzero(response >= 0.8)
    assert 1 < expected.size < axes.mjd.size
    assert (some.first, some.last) == (expected[0], expected[-1])


def test_a_calibrator_outside_the_beam_is_refused(tile):
    """Its right ascension in hours: the field around it would be taken for what it is not."""
    sky = sky_of(tile[0], 0.0, 0.0, 8.8)
    with pytest.raises(DataQualityError, match=r"outside the beam .*position in the table"):
        used(tile, sky.assign(ra_deg=sky["ra_deg"] / 15))


def test_apparent_flux_is_that_of_the_beam(tile):
    group, _ = tile
    sky = sky_of(group, 0.0, 0.5, 8.8)
    found = used(tile, sky)
    expected = 8.8 * BEAM.power(np.radians(0.5), 1.405e9)
    assert found.apparent_jy.max() == pytest.approx(expected, rel=2e-3)


def test_selection_is_exact_for_casa(tile):
    group, axes = tile
    assert used(tile, sky_of(group, 0, 0, 8.8)).timerange(axes) == ""
    found = used(tile, sky_of(group, 0, 0, 8.8), window=3)
    start, end = (
        Time(limit.replace("/", "-", 2).replace("/", " "), scale="utc").mjd
        for limit in found.timerange(axes).split("~")
    )
    inside = (axes.mjd > start) & (axes.mjd < end)
    assert np.array_equal(np.flatnonzero(inside), np.arange(found.first, found.last + 1))
