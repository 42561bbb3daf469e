"""What is of each source: the beam where it lies, its time, the noise around it."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits

from contimg.core.fits import Beam, Image
from contimg.photometry.command import measure
from contimg.photometry.geometry import locate
from contimg.photometry.options import PhotometryOptions
from mosaic.make_tiles import BEAM, correlated_noise, gaussians, pixel_covariance, sin_wcs
from photometry.test_photometry import catalog, lattice


def half_power(wcs, place: SkyCoord, beam: Beam) -> np.ndarray:
    """Pixels (n, 2) of the half-power ellipse about a place, laid out on the sky by angles."""
    angle = np.radians(np.arange(0, 360, 15))
    along = beam.major_deg * beam.minor_deg / 2
    radius = along / np.hypot(beam.minor_deg * np.cos(angle), beam.major_deg * np.sin(angle))
    sky = place.directional_offset_by(np.degrees(angle) * _DEG + beam.pa_deg * _DEG, radius * _DEG)
    return np.stack(wcs.world_to_pixel_values(sky.ra.deg, sky.dec.deg), axis=1)


_DEG = SkyCoord(0, 0, unit="deg").ra.unit


def test_every_source_has_the_beam_of_its_own_place():
    """Near the pole north turns by tens of degrees over a mosaic, and the beam with it."""
    wcs = sin_wcs(30.0, 80.0, 4000, 12 / 3600)
    ra, dec = np.array([30.0, 0.0, 70.0, 20.0]), np.array([80.0, 79.0, 82.0, 83.5])
    index, sources = locate(wcs, BEAM, ra, dec, (4000, 4000))
    assert index.tolist() == [0, 1, 2, 3]
    turned = []
    for k in range(4):
        points = half_power(wcs, SkyCoord(ra[k], dec[k], unit="deg"), BEAM)
        offset = points - [sources.x[k], sources.y[k]]
        distance = np.einsum("ni,ij,nj->n", offset, sources.precision[k], offset)
        # half power lies at sqrt(2 ln 2) sigma, whatever the angle
        assert distance == pytest.approx(np.full(len(distance), 2 * np.log(2)), rel=2e-3)
        turned.append(sources.precision[k, 0, 1])
    assert np.ptp(turned) > 0.5 * np.abs(turned).max()


def planes(wcs, signal, noise, rms, minutes):
    """Mosaic, residual, noise map and time map."""
    header = fits.Header({"MJD-AVG": 60953.25})
    maps = (signal + rms * noise, rms * noise, rms, minutes)
    return [Image(m.astype(np.float32), wcs, BEAM, 1.4e9, header) for m in maps]


@pytest.fixture(scope="module")
def half_and_half():
    """(table, columns of the sources [pixel], true fluxes): five times the noise on the right."""
    rng = np.random.default_rng(11)
    n = 900
    wcs = sin_wcs(0.0, 37.0, n)
    cov = pixel_covariance(BEAM, wcs)
    column = np.broadcast_to(np.arange(n), (n, n))
    rms = np.where(column < n // 2, 1e-3, 5e-3)
    minutes = 60.0 * column / n  # an hour from left to right
    x, y = lattice(n, 34, rng)
    apart = np.abs(x - n / 2) > 20
    x, y = x[apart], y[apart]
    truth = np.full(x.size, 0.1)
    ra, dec = wcs.pixel_to_world_values(x, y)
    noise = correlated_noise((n, n), cov, rng)
    maps = planes(wcs, gaussians((n, n), x, y, truth, cov), noise, rms, minutes)
    table = measure(*maps, catalog(ra, dec), "m", PhotometryOptions())[0]
    return table, x, truth


def test_errors_follow_the_local_noise(half_and_half):
    table, x, truth = half_and_half
    left = x < 450
    error = table["flux_err_jy"].to_numpy()
    assert np.median(error[~left]) / np.median(error[left]) == pytest.approx(5, rel=0.02)
    pull = ((table["flux_jy"] - truth) / error).to_numpy()
    for side in (left, ~left):
        assert pull[side].std() == pytest.approx(1, abs=4 / np.sqrt(2 * side.sum()))
        assert table["chi2_reduced"][side].mean() == pytest.approx(1, abs=0.1)


def test_every_source_has_the_time_of_its_own_place(half_and_half):
    table, x, _ = half_and_half
    expected = 60953.25 + np.rint(x) * 60 / 900 / 1440
    assert np.abs(table["mjd"] - expected).max() * 86400 < 1
