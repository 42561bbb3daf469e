"""The parts of a mosaic against independent answers."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from contimg.cli import main
from contimg.core.fits import Beam
from contimg.core.options import to_flags
from contimg.mosaic.beams import (
    beam_of,
    common_beam,
    convolve,
    covariance,
    kernel_between,
    largest_axis_ratio,
)
from contimg.mosaic.grid import Grid, mean_position, pixel_mapping, whole_pixel_shift
from contimg.mosaic.options import MosaicOptions
from contimg.mosaic.regrid import coefficients, interpolator
from mosaic.make_tiles import BEAM, Sky, gaussians, make_tile, mosaic_files, sin_wcs

beams = st.builds(
    lambda minor, ratio, pa: Beam(minor * ratio / 3600, minor / 3600, pa),
    st.floats(5, 60),
    st.floats(1.01, 3),
    st.floats(-89, 90),
)


@given(beams)
def test_a_beam_survives_its_covariance(beam):
    again = beam_of(covariance(beam))
    assert again.major_deg == pytest.approx(beam.major_deg)
    assert again.minor_deg == pytest.approx(beam.minor_deg)
    assert np.sin(np.radians(again.pa_deg - beam.pa_deg)) == pytest.approx(0, abs=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.lists(beams, min_size=2, max_size=5))
def test_common_beam_encloses_all_and_is_not_larger_than_needed(items):
    common, must = common_beam(items, 0.001)
    if not must:
        return
    cov = covariance(common)
    ratios = [largest_axis_ratio(covariance(beam), cov) for beam in items]
    assert max(ratios) <= 1 + 1e-9
    # some beam touches it, and no circle around all of them is smaller
    assert max(ratios) > 1 - 1e-9
    circle = max(beam.major_deg for beam in items)
    assert common.area_sr <= Beam(circle, circle, 0).area_sr * (1 + 1e-4)


def test_common_beam_agrees_with_radio_beam():
    radio_beam = pytest.importorskip("radio_beam")
    items = [Beam(48, 34, 20), Beam(42, 38, -40), Beam(52, 30, 80)]
    items = [Beam(b.major_deg / 3600, b.minor_deg / 3600, b.pa_deg) for b in items]
    peer = radio_beam.Beams(
        major=[b.major_deg for b in items] * _deg(),
        minor=[b.minor_deg for b in items] * _deg(),
        pa=[b.pa_deg for b in items] * _deg(),
    ).common_beam()
    common, must = common_beam(items, 0.001)
    assert must
    assert common.area_sr == pytest.approx(peer.sr.value, rel=2e-3)
    assert common.major_deg == pytest.approx(peer.major.to_value("deg"), rel=5e-3)


def _deg():
    from astropy import units

    return units.deg


def test_beams_alike_are_not_convolved():
    other = Beam(BEAM.major_deg * 1.0005, BEAM.minor_deg, BEAM.pa_deg)
    assert common_beam([BEAM, BEAM], 0.001) == (BEAM, False)
    assert common_beam([BEAM, other], 0.001)[1] is False
    assert common_beam([BEAM, other], 0.0001)[1] is True


def test_convolution_to_a_wider_beam_is_exact():
    wcs = sin_wcs(10, 30, 200)
    to_pixel = np.linalg.inv(wcs.pixel_scale_matrix)
    target = Beam(80 / 3600, 34 / 3600, 20.0)  # wider along one axis only
    kernel, gain = kernel_between(BEAM, target, to_pixel)
    before, after = (to_pixel @ covariance(b) @ to_pixel.T for b in (BEAM, target))
    image = gaussians((200, 200), [95.3], [102.8], [1.0], before)
    expected = gaussians((200, 200), [95.3], [102.8], [1.0], after)
    made, valid = convolve(image, kernel, gain)
    assert valid.all() and np.abs(made - expected).max() < 1e-6
    image[20, 30] = np.nan
    made, valid = convolve(image, kernel, gain)
    assert not valid[20, 30] and valid[150, 150] and np.isfinite(made).all()


@pytest.mark.parametrize("order", [3, 5])
def test_interpolation_is_the_spline_of_scipy(order):
    rng = np.random.default_rng(1)
    image, residual, pb = rng.normal(size=(3, 60, 70))
    y, x = rng.uniform(5, 54, 500), rng.uniform(5, 64, 500)
    out = [np.empty(500) for _ in range(3)]
    planes = [coefficients(p, order) for p in (image, residual)]
    interpolator(order)(*planes, pb, np.ones(pb.shape, bool), y, x, *out)
    for made, plane, degree in zip(out, (image, residual, pb), (order, order, 1), strict=True):
        expected = ndimage.map_coordinates(plane, [y, x], order=degree, mode="mirror")
        assert np.allclose(made, expected, atol=1e-10)
    outside = np.array([-1.0, 0.5, 58.9, 1e6])
    interpolator(order)(*planes, pb, np.ones(pb.shape, bool), outside, outside, *out)
    assert (out[2][:4] == 0).all()


def test_mapping_is_that_of_astropy():
    grid = Grid(sin_wcs(0.0, 70.0, 3000), (3000, 3000), {})
    wcs = sin_wcs(356.0, 71.0, 2400)
    mapping = pixel_mapping(grid, wcs, (100, 2900, 50, 2950))
    y, x = mapping(1000, 1003)
    ix, iy = np.meshgrid(np.arange(50, 2950), np.arange(1000, 1003))
    ex, ey = wcs.world_to_pixel_values(*grid.wcs.pixel_to_world_values(ix, iy))
    assert np.abs(x - ex).max() < 1e-6 and np.abs(y - ey).max() < 1e-6


def test_whole_pixel_shift_only_when_exact():
    one, two = sin_wcs(10.0, 30.0, 300), sin_wcs(10.0, 30.0, 200)
    assert whole_pixel_shift(Grid(one, (300, 300), {}), two) == (-50, -50)
    two.wcs.crpix = [100.5, 101]
    assert whole_pixel_shift(Grid(one, (300, 300), {}), two) is None
    other = sin_wcs(10.0, 30.001, 200)
    assert whole_pixel_shift(Grid(one, (300, 300), {}), other) is None


@given(st.floats(0, 360), st.floats(-80, 80), st.floats(0.01, 5))
def test_mean_position_knows_no_wrap(ra, dec, half):
    """Two positions at one declination: the mean has the middle right ascension."""
    mean_ra, mean_dec = mean_position([((ra - half) % 360, dec), ((ra + half) % 360, dec)])
    assert abs((mean_ra - ra + 180) % 360 - 180) < 1e-9
    assert abs(mean_dec) >= abs(dec) - 1e-9 and abs(mean_dec - dec) < 0.3


def test_command_line_and_failure(tmp_path):
    """The verb by its flags: a mosaic, and a failed record with placeholders."""
    sky = Sky(np.array([10.0]), np.array([30.0]), np.array([0.1]))
    good = make_tile(tmp_path, "t0", (10.0, 30.0), sky, n=120)
    bad = make_tile(tmp_path, "t1", (10.0, 30.0), sky, n=120, verdict="fail")
    for name, tiles, verdict in (("ok", [good, bad], "warn"), ("no", [bad], "fail")):
        options = MosaicOptions(mode="window", pb_limit=0.3, spline_order=3)
        flags = ["mosaic", *shlex.split(to_flags(options))]
        for key, value in mosaic_files(tmp_path, tiles, name).items():
            values = value if isinstance(value, list) else [value]
            flags += ["--" + key.replace("_", "-"), *map(str, values)]
        assert main(flags) == 0
        folder = tmp_path / name
        record = json.loads((folder / f"{name}.json").read_text())
        assert record["verdict"] == verdict
        assert len(list(folder.iterdir())) == 9
    assert "too little data" in record["reason"]
    assert main([*flags, "--spline-order=4"]) == 2
