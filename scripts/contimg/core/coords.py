"""Sky coordinates at the telescope of the data.

Angles in radians unless a name says otherwise; times are `astropy.time.Time` or MJD UTC.
Apparent coordinates are topocentric and of date, referred to the local meridian and the pole of
the ground (ERFA: IAU 2006/2000A, Earth rotation, polar motion, diurnal aberration), without
refraction: the frame in which a transit instrument points and in which antenna positions are
known.
"""

from __future__ import annotations

import erfa
import numpy as np
from astropy.coordinates import EarthLocation
from astropy.time import Time
from astropy.utils import iers
from numpy.typing import ArrayLike, NDArray

from contimg.core.earth import covered_mjd, outside, use_bundled_earth_orientation
from contimg.core.errors import ContimgError
from contimg.core.links import linked

use_bundled_earth_orientation()

SIDEREAL_DAY = 0.997269566329084  # mean solar days


def mjd_time(mjd_utc: ArrayLike) -> Time:
    """`Time` (UTC) of an MJD."""
    return Time(mjd_utc, format="mjd", scale="utc")


def apparent(
    ra_rad: ArrayLike, dec_rad: ArrayLike, time: Time, location: EarthLocation
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Hour angle (-pi..pi) and apparent declination of ICRS positions, broadcast with `time`."""
    astrom = _astrometry(time, location)
    intermediate = erfa.atciq(ra_rad, dec_rad, 0, 0, 0, 0, astrom)
    _, _, hour_angle, dec, _ = erfa.atioq(*intermediate, astrom)
    return hour_angle, dec


def icrs(
    hour_angle_rad: ArrayLike, dec_app_rad: ArrayLike, time: Time, location: EarthLocation
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """ICRS position at an hour angle and apparent declination: the inverse of `apparent`."""
    astrom = _astrometry(time, location)
    ra, dec = erfa.aticq(*erfa.atoiq("H", hour_angle_rad, dec_app_rad, astrom), astrom)
    return ra, dec


def icrs_on_meridian(
    dec_app_rad: ArrayLike, time: Time, location: EarthLocation
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """ICRS position that transits at apparent declination `dec_app_rad` at `time`."""
    return icrs(0.0, dec_app_rad, time, location)


def _astrometry(time: Time, location: EarthLocation) -> NDArray:
    """ERFA's star-independent parameters for an observer on the ground, without an atmosphere."""
    try:
        x, y = iers.earth_orientation_table.get().pm_xy(time)
    except iers.IERSRangeError:
        first, last = covered_mjd()
        away = np.ravel(time.utc.mjd)
        raise ContimgError(outside(float(away[(away < first) | (away > last)][0]))) from None
    geodetic = location.lon.rad, location.lat.rad, location.height.to_value("m")
    pole = x.to_value("rad"), y.to_value("rad")
    utc = time.utc
    astrom, _ = erfa.apco13(utc.jd1, utc.jd2, utc.delta_ut1_utc, *geodetic, *pole, 0, 0, 0, 0)
    return astrom


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


def unit_vectors(ra: ArrayLike, dec: ArrayLike) -> NDArray[np.float64]:
    """Directions of (ra, dec) [rad] as unit vectors, shape (..., 3)."""
    ra, dec = np.asarray(ra, dtype=float), np.asarray(dec, dtype=float)
    cos = np.cos(dec)
    return np.stack([cos * np.cos(ra), cos * np.sin(ra), np.sin(dec)], axis=-1)


def distinct(
    ra_rad: NDArray[np.float64], dec_rad: NDArray[np.float64], radius_rad: float
) -> NDArray[np.bool_]:
    """Which of some positions are farther than `radius_rad` from all those before them."""
    keep = np.ones(ra_rad.size, bool)
    pairs = _near_pairs(ra_rad, dec_rad, radius_rad)
    for first, second in pairs[np.argsort(pairs.max(axis=1, initial=0), kind="stable")]:
        keep[max(first, second)] &= not keep[min(first, second)]
    return keep


def clusters(
    ra_rad: NDArray[np.float64], dec_rad: NDArray[np.float64], radius_rad: float
) -> NDArray[np.int64]:
    """Number of the cluster of each position: positions nearer than `radius_rad` are linked."""
    return linked(ra_rad.size, *_near_pairs(ra_rad, dec_rad, radius_rad).T)


def _near_pairs(
    ra_rad: NDArray[np.float64], dec_rad: NDArray[np.float64], radius_rad: float
) -> NDArray[np.int64]:
    """(pair, 2): numbers of positions nearer to each other than `radius_rad`."""
    from scipy.spatial import cKDTree

    if ra_rad.size < 2:
        return np.empty((0, 2), np.int64)
    chord = 2 * np.sin(radius_rad / 2)
    return cKDTree(unit_vectors(ra_rad, dec_rad)).query_pairs(chord, output_type="ndarray")


def north_of(ra: float, dec: float, ra0: float, dec0: float) -> float:
    """Position angle [rad], in the plane of l and m about (ra0, dec0), of north at (ra, dec) [rad].

    From the axis of m through that of l: the derivatives of both along declination.
    """
    d_ra = ra - ra0
    east = -np.sin(dec) * np.sin(d_ra)
    north = np.cos(dec) * np.cos(dec0) + np.sin(dec) * np.sin(dec0) * np.cos(d_ra)
    return float(np.arctan2(east, north))


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


def cosines_to_sky(
    l_cos: ArrayLike, m_cos: ArrayLike, ra0: float, dec0: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(ra, dec) of direction cosines about (ra0, dec0): the inverse of `direction_cosines`."""
    l_cos, m_cos = np.asarray(l_cos, dtype=float), np.asarray(m_cos, dtype=float)
    n_cos = np.sqrt(1 - l_cos**2 - m_cos**2)
    dec = np.arcsin(m_cos * np.cos(dec0) + n_cos * np.sin(dec0))
    ra = ra0 + np.arctan2(l_cos, n_cos * np.cos(dec0) - m_cos * np.sin(dec0))
    return ra, dec


def j2000_name(ra_deg: float, dec_deg: float) -> str:
    """IAU-style name ``Jhhmm+ddmm`` (truncated, not rounded)."""
    ra_minutes = int((ra_deg % 360) * 4 + 1e-9)
    dec_minutes = int(abs(dec_deg) * 60 + 1e-9)
    sign = "-" if dec_deg < 0 else "+"
    ra_text = f"{ra_minutes // 60:02d}{ra_minutes % 60:02d}"
    return f"J{ra_text}{sign}{dec_minutes // 60:02d}{dec_minutes % 60:02d}"


def j2000_seconds(ra_deg: float, dec_deg: float) -> str:
    """The same to the second, ``Jhhmmss+ddmmss``."""
    ra = int((ra_deg % 360) * 240 + 1e-9)
    dec = int(abs(dec_deg) * 3600 + 1e-9)
    sign = "-" if dec_deg < 0 else "+"
    ra_text = f"{ra // 3600:02d}{ra // 60 % 60:02d}{ra % 60:02d}"
    return f"J{ra_text}{sign}{dec // 3600:02d}{dec // 60 % 60:02d}{dec % 60:02d}"
