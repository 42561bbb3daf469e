"""Coordinates of images, whatever else their headers say."""

from __future__ import annotations

import warnings

import pytest
from astropy.io import fits

from contimg.core.fits import celestial_wcs


@pytest.fixture
def header():
    """What CASA writes: no MJD, and an observatory 1188 m from the centre of the Earth."""
    cards = {
        **{"NAXIS": 2, "CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "RADESYS": "ICRS"},
        **{"CRPIX1": 5.0, "CRPIX2": 6.0, "CDELT1": -0.01, "CDELT2": 0.01},
        **{"CRVAL1": 359.0, "CRVAL2": 55.5, "CUNIT1": "deg", "CUNIT2": "deg"},
        **{"DATE-OBS": "1858-11-17T00:00:00", "TIMESYS": "UTC"},
        **{"OBSGEO-X": -448.2, "OBSGEO-Y": -833.0, "OBSGEO-Z": 718.8},
    }
    return fits.Header(cards)


def test_place_and_time_of_the_observation_do_not_matter(header):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wcs = celestial_wcs(header)
    assert wcs.wcs_pix2world(4, 5, 0) == pytest.approx([359.0, 55.5])
    # a hundred pixels north; SIN: arcsin of the offset
    assert wcs.wcs_pix2world(4, 105, 0)[1] == pytest.approx(56.50005, abs=1e-4)
    assert "OBSGEO-X" in header  # the header itself stays as it was
