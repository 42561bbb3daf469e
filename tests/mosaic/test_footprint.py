"""The size of a mosaic, foretold from a plan, against the grid that its tiles then have."""

from __future__ import annotations

import numpy as np
import pytest

from contimg.core.beam import PrimaryBeam
from contimg.core.instrument import InstrumentOptions
from contimg.image.options import ImageOptions
from contimg.mosaic.footprint import expected_cell_deg, expected_pixels
from contimg.mosaic.grid import choose_grid
from contimg.mosaic.options import MosaicOptions
from contimg.mosaic.tiles import read_tiles
from contimg.plan.estimate import mosaic_mb
from mosaic.make_tiles import CELL, Sky, make_tile

EMPTY = Sky(np.array([10.0]), np.array([30.0]), np.array([0.0]))
FWHM = 0.45
INSTRUMENT = InstrumentOptions(beam_model="gaussian", beam_fwhm_deg=FWHM)
OPTIONS = MosaicOptions(max_radius_deg=60)


def group(ra: float, dec: float, **changes) -> dict:
    """What the expectation needs to know of a group, 0.1 deg of drift long."""
    days = 0.1 / 360 / np.cos(np.radians(dec))
    return {
        "ra_deg": ra % 360,
        "dec_deg": dec,
        "tracking": "drift",
        "start_mjd": 60953.0,
        "end_mjd": 60953.0 + days,
        "freq_min_hz": 1.4e9,
        "freq_max_hz": 1.4e9,
        "longest_m": None,
    } | changes


@pytest.mark.parametrize(("dec", "step", "count"), [(0.0, 0.3, 4), (55.0, 0.5, 5), (80.0, 12.0, 4)])
def test_pixels_are_those_of_the_grid(tmp_path, dec, step, count):
    places = [(359.5 + k * step, dec) for k in range(count)]
    made = [
        make_tile(tmp_path, f"t{k}", (ra % 360, dec), EMPTY, n=420, seed=k, pb_fwhm=FWHM, drift=0.1)
        for k, (ra, _) in enumerate(places)
    ]
    keys = ("image", "residual", "pb", "record")
    tiles = read_tiles(*[[tile[k] for tile in made] for k in keys], OPTIONS)
    truth = np.prod(choose_grid(tiles, OPTIONS).shape)
    groups = [group(*place) for place in places]
    image = ImageOptions(cell_arcsec=CELL * 3600, imsize=420)
    cell = expected_cell_deg(groups[0], image, OPTIONS, 6.0)
    assert cell == pytest.approx(CELL)
    found = expected_pixels(groups, cell, PrimaryBeam(INSTRUMENT), image, OPTIONS)
    assert 0.95 * truth < found < 1.25 * truth


def test_cell_follows_from_the_longest_baseline():
    """The full array has 3.2 arcsec with six pixels a beam (docs/imaging.md)."""
    full = group(0, 55, longest_m=2601.6, freq_min_hz=1.31e9, freq_max_hz=1.5e9)
    cell = expected_cell_deg(full, ImageOptions(), OPTIONS, 6.0)
    assert cell * 3600 == pytest.approx(3.2, rel=0.05)
    tapered = expected_cell_deg(full, ImageOptions(uv_max_lambda=6000), OPTIONS, 6.0)
    assert tapered == pytest.approx(2 * cell, rel=0.05)
    assert expected_cell_deg(group(0, 55), ImageOptions(), OPTIONS, 6.0) is None


def test_memory_is_that_of_the_benchmark():
    """Twelve tiles of 4800 pixels of 3 arcsec, two processors: 3.8 GB (docs/mosaics.md)."""
    step = 309 / 86164 * 360
    groups = {
        f"g{k}": group(k * step, 30.0, end_mjd=60953.0 + 309 / 86400, longest_m=2600.0)
        for k in range(12)
    }
    plan = {"groups": groups}
    wide = InstrumentOptions(beam_model="gaussian", beam_fwhm_deg=2.71)
    image = ImageOptions(cell_arcsec=3.0, imsize=4800)
    found = mosaic_mb(plan, list(groups), wide, image, OPTIONS, 2)
    assert 3800 < found < 1.5 * 3800
    groups["g0"]["longest_m"] = None
    assert mosaic_mb(plan, list(groups), wide, ImageOptions(), OPTIONS, 2) is None
