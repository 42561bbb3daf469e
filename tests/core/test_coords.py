"""Coordinates: apparent places against pyuvdata, inverses, and the size of precession."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.coordinates import EarthLocation
from astropy.time import Time
from astropy.utils import iers
from hypothesis import given, settings
from hypothesis import strategies as st

from contimg.core.coords import (
    SIDEREAL_DAY,
    apparent,
    direction_cosines,
    icrs_on_meridian,
    j2000_name,
    mjd_time,
    separation,
    transit_mjd,
    transits_between,
)
from contimg.core.errors import ContimgError

OVRO = EarthLocation.from_geodetic(-118.2817, 37.2314, 1222.0)
MJD = 60953.0  # 2025-10-05, epoch 2025.76
ARCSEC = np.radians(1 / 3600)

angles = st.floats(0, 2 * np.pi, exclude_max=True)
decs = st.floats(np.radians(-50), np.radians(85))
mjds = st.floats(59000, 61500)


@settings(max_examples=30, deadline=None)
@given(angles, decs, mjds)
def test_what_transits_now_is_on_the_meridian(ra: float, dec_app: float, mjd: float) -> None:
    time = mjd_time(mjd)
    ra, dec = icrs_on_meridian(dec_app, time, OVRO)
    hour_angle, dec_back = apparent(ra, dec, time, OVRO)
    assert abs(float(hour_angle)) < 1e-3 * ARCSEC
    assert abs(float(dec_back) - dec_app) < 1e-3 * ARCSEC


@settings(max_examples=30, deadline=None)
@given(angles, decs, mjds)
def test_transit_is_where_the_hour_angle_is_zero(ra: float, dec: float, mjd: float) -> None:
    transit = transit_mjd(ra, dec, mjd, OVRO)
    hour_angle, _ = apparent(ra, dec, mjd_time(transit), OVRO)
    assert abs(float(hour_angle)) * 43200 / np.pi < 1e-3, "seconds of time"
    assert abs(transit - mjd) < 0.51


@pytest.mark.parametrize("dec_deg", [-20.0, 0.0, 16.3, 37.0, 54.6])
def test_catalogue_places_transit_half_a_minute_to_two_minutes_off(dec_deg: float) -> None:
    """Precession since J2000: a catalogue RA held against sidereal time is late by 26 years."""
    late = []
    for ra_deg in range(0, 360, 30):
        mjd = transit_mjd(np.radians(ra_deg), np.radians(dec_deg), MJD, OVRO)
        lst = mjd_time(mjd).sidereal_time("apparent", longitude=OVRO.lon).deg
        late.append(((lst - ra_deg + 180) % 360 - 180) * 240)
    # annual precession m + n tan(dec) sin(ra), 3.075 s and 1.336 s (Lang, Astrophysical Formulae)
    years = 25.76
    expected = 3.075 + 1.336 * np.tan(np.radians(dec_deg)) * np.sin(
        np.radians(np.arange(0, 360, 30))
    )
    assert np.allclose(late, years * expected, atol=4.0)  # nutation, aberration, higher orders
    assert 28 < min(late) <= max(late) < 131


@pytest.mark.parametrize("dec_deg", [-5.0, 16.3, 54.6, 71.6])
def test_apparent_agrees_with_pyuvdata(dec_deg: float) -> None:
    """Both refer places to the pole on the ground, half an arcsec from the intermediate one."""
    from pyuvdata.utils.phasing import calc_app_coords

    ra = np.radians(np.arange(5, 360, 45.0))
    time = Time(MJD + 0.3, format="mjd", scale="utc")
    hour_angle, dec_app = apparent(ra, np.full(ra.size, np.radians(dec_deg)), time, OVRO)
    lst = time.sidereal_time("apparent", longitude=OVRO.lon).rad
    theirs = [
        calc_app_coords(
            lon_coord=one,
            lat_coord=np.radians(dec_deg),
            coord_frame="icrs",
            time_array=np.atleast_1d(time.jd),
            lst_array=np.atleast_1d(lst),
            telescope_loc=OVRO,
        )
        for one in ra
    ]
    their_ra, their_dec = np.array(theirs)[:, :, 0].T
    offset = separation(their_ra, their_dec, lst - hour_angle, dec_app)
    assert np.all(offset < 0.001 * ARCSEC)  # a JD resolves 40 us


def test_a_source_transits_once_a_sidereal_day() -> None:
    found = transits_between(1.0, 0.9, MJD, MJD + 10, OVRO)
    assert len(found) in {10, 11}
    assert np.allclose(np.diff(found), SIDEREAL_DAY, atol=1 / 86400)
    assert transits_between(1.0, 0.9, found[3] - 1e-3, found[3] + 1e-3, OVRO) == pytest.approx(
        [found[3]], abs=1e-8
    )
    assert transits_between(1.0, 0.9, found[3] + 1e-3, found[3] + 0.9, OVRO) == []


@settings(deadline=None)
@given(angles, decs, angles, decs)
def test_direction_cosines_are_of_unit_length_and_agree_with_separation(
    ra: float, dec: float, ra0: float, dec0: float
) -> None:
    l_cos, m_cos, n_cos = direction_cosines(ra, dec, ra0, dec0)
    assert float(l_cos**2 + m_cos**2 + n_cos**2) == pytest.approx(1, abs=1e-12)
    sin = np.hypot(l_cos, m_cos)
    assert np.arctan2(sin, n_cos) == pytest.approx(float(separation(ra, dec, ra0, dec0)), abs=1e-9)


def test_direction_cosines_point_east_and_north() -> None:
    l_cos, m_cos, _ = direction_cosines(1.001, 0.5, 1.0, 0.5)
    assert l_cos > 0 and abs(m_cos) < 1e-6
    l_cos, m_cos, _ = direction_cosines(1.0, 0.501, 1.0, 0.5)
    assert l_cos == 0 and m_cos > 0


@pytest.mark.parametrize(
    ("ra_deg", "dec_deg", "name"),
    [
        (202.7845338, 30.5091556, "J1331+3030"),
        (359.9999, -0.0001, "J2359-0000"),
        (0.0, 89.9999, "J0000+8959"),
        (-0.25, -10.9999, "J2359-1059"),
    ],
)
def test_names_are_truncated(ra_deg: float, dec_deg: float, name: str) -> None:
    assert j2000_name(ra_deg, dec_deg) == name


def test_earth_orientation_is_that_of_astropy():
    """Read faster, but the same numbers as astropy's own reader of the same table."""
    import astropy_iers_data

    from contimg.core.earth import earth_orientation

    theirs, ours = iers.IERS_A.open(astropy_iers_data.IERS_A_FILE), earth_orientation()
    mjd = np.linspace(55000, theirs["MJD"].to_value("d").max() - 1, 3001)
    jd1, jd2 = np.full(mjd.size, 2400000.5), mjd
    assert np.abs(theirs.ut1_utc(jd1, jd2) - ours.ut1_utc(jd1, jd2)).max().to_value("s") < 1e-4
    for mine, other in zip(ours.pm_xy(jd1, jd2), theirs.pm_xy(jd1, jd2), strict=True):
        assert np.abs(mine - other).max().to_value("mas") < 2
    with pytest.raises(iers.IERSRangeError):
        _ = mjd_time(ours["MJD"].to_value("d").max() + 30).ut1


def test_a_time_beyond_the_earth_orientation_table_names_the_package():
    for mjd in (40587.0, 70000.0):
        with pytest.raises(ContimgError, match=rf"MJD {mjd:.3f} .*newer astropy-iers-data"):
            icrs_on_meridian(0.9, mjd_time([59000.0, mjd]), OVRO)
