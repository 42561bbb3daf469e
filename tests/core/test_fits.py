"""Coordinates of images, whatever else their headers say."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy.io import fits

from contimg.core.errors import ContimgError
from contimg.core.fits import celestial_wcs, in_jansky, read_image, restoring_beam


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
        wcs = celestial_wcs(header, "a.fits")
    assert wcs.wcs_pix2world(4, 5, 0) == pytest.approx([359.0, 55.5])
    # a hundred pixels north; SIN: arcsin of the offset
    assert wcs.wcs_pix2world(4, 105, 0)[1] == pytest.approx(56.50005, abs=1e-4)
    assert "OBSGEO-X" in header  # the header itself stays as it was


@pytest.mark.parametrize(
    ("cards", "reason"),
    [
        ({"CTYPE1": "GLON-SIN", "CTYPE2": "GLAT-SIN"}, "its coordinates are GLON GLAT"),
        ({"RADESYS": "FK4", "EQUINOX": 1950.0}, "RA DEC FK4, not ICRS; reproject it"),
        ({"RADESYS": "FK5", "EQUINOX": 2025.5}, "RA DEC FK5, not ICRS"),
        ({"CDELT1": 0.0}, "cannot be used"),
        ({"CDELT1": -1e300, "CDELT2": 1e300}, "CDELT is wrong"),
        ({"CDELT1": -36.0, "CDELT2": 36.0}, r"pixels of 129600 arcsec"),
    ],
)
def test_coordinates_that_are_not_icrs_are_refused(header, cards, reason):
    """Not taken for ICRS: there a flux density would be that of another place."""
    header.update({"RADESYS": "FK5", "EQUINOX": 2000.0})
    celestial_wcs(header, "a.fits")
    header.update(cards)
    with pytest.raises(ContimgError, match=rf"a\.fits: .*{reason}"):
        celestial_wcs(header, "a.fits")


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        *(("Jy/beam", 1), ("JY/BEAM", 1), ("beam-1 Jy", 1), ("mJy/beam", 1e-3)),
        *(("beam-1 mJy", 1e-3), ("uJy beam-1", 1e-6), ("µJy/beam", 1e-6)),
    ],
)
def test_units_are_heeded(tmp_path, header, unit, factor):
    plane = fits.PrimaryHDU(np.full((3, 4), 2.0, np.float32), header)
    plane.writeto(tmp_path / "a.fits")
    image = read_image(tmp_path / "a.fits")
    with pytest.raises(ContimgError, match="no unit"):
        in_jansky(image, "a.fits")
    for other in ("K", "MJY/BEAM", "Jy/pixel"):
        image.header["BUNIT"] = other
        with pytest.raises(ContimgError, match=f"a.fits: its unit is {other}"):
            in_jansky(image, "a.fits")
    image.header["BUNIT"] = unit.replace("µ", "u")
    assert in_jansky(image, "a.fits").data == pytest.approx(2 * factor)


@pytest.mark.parametrize(
    "axes", [(0.0, 0.0), (1e-3, 2e-3), (96.6, 65.2), (float("nan"), 1e-3), (1e-3, -1e-3)]
)
def test_a_beam_that_cannot_be_is_none(axes):
    """Its minor axis above its major one; in arcsec."""
    header = fits.Header({"BPA": 0.0})
    header["BMAJ"], header["BMIN"] = (str(x) if x != x else x for x in axes)
    assert restoring_beam(header)[0] is None
    header.update({"BMAJ": 2e-3, "BMIN": 1e-3})
    assert restoring_beam(header)[0] is not None


def test_one_axis_is_no_image(tmp_path):
    fits.PrimaryHDU(np.zeros(9, np.float32)).writeto(tmp_path / "a.fits")
    with pytest.raises(ContimgError, match="holds no image"):
        read_image(tmp_path / "a.fits")
