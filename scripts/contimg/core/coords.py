"""Sky coordinates at the telescope of the data.

Angles in radians unless a name says otherwise; times are `astropy.time.Time` or MJD UTC.
Apparent coordinates are topocentric and of date, referred to the local meridian and the pole of
the ground (CIRS, Earth rotation, polar motion), without refraction: the frame in which a transit
instrument points and in which antenna positions are known.
"""

from __future__ import annotations

import erfa
import numpy as np
from astropy.coordinates import CIRS, ICRS, EarthLocation, SkyCoord
from astropy.time import Time
from astropy.utils import iers
from numpy.typing import ArrayLike, NDArray

from contimg.core.earth import use_bundled_earth_orientation

use_bundled_earth_orientation()

SIDEREAL_DAY = 0.997269566329084  # mean solar days


def mjd_time(mjd_utc: ArrayLike) -> Time:
    """`Time` (UTC) of an MJD."""
    return Time(mjd_utc, format="mjd", scale="utc")


def local_rotation_angle(time: Time, location: EarthLocation) -> NDArray[np.float64]:
    """Earth rotation angle plus longitude: the CIRS right ascension of the meridian [rad]."""
    ut1 = time.ut1
    return erfa.era00(ut1.jd1, ut1.jd2) + location.lon.rad


def apparent(
    ra_rad: ArrayLike, dec_rad: ArrayLike, time: Time, location: EarthLocation
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Hour angle (-pi..pi) and apparent declination of ICRS positions, broadcast with `time`."""
    sky = SkyCoord(ra_rad, dec_rad, unit="rad", frame=ICRS())
    cirs = sky.transform_to(CIRS(obstime=time, location=location))
    # longitude west of the meridian and latitude, seen from the intermediate pole
    west = local_rotation_angle(time, location) - cirs.ra.rad
    below = erfa.s2c(location.lon.rad - west, cirs.dec.rad)
    longitude, dec = erfa.c2s(erfa.rxp(_polar_motion(time), below))
    return (location.lon.rad - longitude + np.pi) % (2 * np.pi) - np.pi, dec


def icrs_on_meridian(
    dec_app_rad: ArrayLike, time: Time, location: EarthLocation
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """ICRS position that transits at apparent declination `dec_app_rad` at `time`."""
    overhead = erfa.s2c(location.lon.rad, np.asarray(dec_app_rad, dtype=float))
    longitude, dec = erfa.c2s(erfa.trxp(_polar_motion(time), overhead))
    ra = local_rotation_angle(time, location) + longitude - location.lon.rad
    cirs = SkyCoord(ra, dec, unit="rad", frame=CIRS(obstime=time, location=location))
    icrs = cirs.transform_to(ICRS())
    return icrs.ra.rad, icrs.dec.rad


def _polar_motion(time: Time) -> NDArray[np.float64]:
    """Rotations (..., 3, 3) from the intermediate pole and origin to those of the ground."""
    x, y = iers.earth_orientation_table.get().pm_xy(time)
    drift = erfa.sp00(time.tt.jd1, time.tt.jd2)
    return erfa.pom00(x.to_value("rad"), y.to_value("rad"), drift)


def transit_mjd(ra_rad: float, dec_rad: float, near_mjd: float, location: EarthLocation) -> float:
    """MJD UTC of the upper transit nearest to `near_mjd` of an ICRS position (apparent place)."""
    mjd = float(near_mjd)
    for _ in range(3):
        hour_angle, _ = apparent(ra_rad, dec_rad, mjd_time(mjd), location)
        mjd -= float(hour_angle) / (2 * np.pi) * SIDEREAL_DAY
    return mjd


def transits_between(
    ra_rad: float, dec_rad: float, start_mjd: float, end_mjd: float, location: EarthLocation
) -> list[float]:
    """All transits (MJD UTC) in the closed interval."""
    found = []
    guess = start_mjd
    while guess < end_mjd + SIDEREAL_DAY:
        mjd = transit_mjd(ra_rad, dec_rad, guess, location)
        if start_mjd <= mjd <= end_mjd and (not found or mjd - found[-1] > 0.5):
            found.append(mjd)
        guess += SIDEREAL_DAY
    return found


def separation(
    ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike
) -> NDArray[np.float64]:
    """Angular separation [rad], accurate at all distances (Vincenty)."""
    from astropy.coordinates import angular_separation

    return np.asarray(angular_separation(ra1, dec1, ra2, dec2))


def direction_cosines(
    ra: ArrayLike, dec: ArrayLike, ra0: float, dec0: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(l, m, n) of positions about the phase centre (ra0, dec0): l to the east, m to the north."""
    ra, dec = np.asarray(ra, dtype=float), np.asarray(dec, dtype=float)
    d_ra = ra - ra0
    l_cos = np.cos(dec) * np.sin(d_ra)
    m_cos = np.sin(dec) * np.cos(dec0) - np.cos(dec) * np.sin(dec0) * np.cos(d_ra)
    n_cos = np.sin(dec) * np.sin(dec0) + np.cos(dec) * np.cos(dec0) * np.cos(d_ra)
    return l_cos, m_cos, n_cos


def j2000_name(ra_deg: float, dec_deg: float) -> str:
    """IAU-style name ``Jhhmm+ddmm`` (truncated, not rounded)."""
    ra_minutes = int((ra_deg % 360) * 4 + 1e-9)
    dec_minutes = int(abs(dec_deg) * 60 + 1e-9)
    sign = "-" if dec_deg < 0 else "+"
    ra_text = f"{ra_minutes // 60:02d}{ra_minutes % 60:02d}"
    return f"J{ra_text}{sign}{dec_minutes // 60:02d}{dec_minutes % 60:02d}"
