"""The stations of DSA-110 and which of them take data.

Coordinates follow the observatory's station list (117 stations: an east-west arm, a north-south
arm and 15 outriggers), written here as the regular grids they are. Geodetic WGS84, heights
above the ellipsoid.
"""

from __future__ import annotations

import numpy as np
from astropy.coordinates import EarthLocation
from numpy.typing import NDArray

# reference point of the array: the corner of the T
TEE_LAT_DEG = 37.233386982
TEE_LON_DEG = -118.283405115
TEE_HEIGHT_M = 1188.0519

N_STATIONS = 117
DISH_HEIGHT_M = 1182.6

_EW_LAT_DEG, _EW_LON_DEG, _EW_STEP_DEG = 37.2333752, -118.2856408, 6.48e-5
# stations that start a new run of the east-west arm, with their longitude or the gap before them
_EW_JUMP_TO_DEG = {23: -118.2835671}
_EW_GAP_DEG = {29: 2.592e-4, 30: 2.592e-4, 36: 2.592e-4}
_NS_LON_DEG, _NS_LAT_DEG, _NS_STEP_DEG = -118.2834051, 37.2334531, 7.798e-5

_OUTRIGGERS = (  # latitude, longitude, height of DSA-103 ... DSA-117
    (37.2300025, -118.2812695, 1181.25),
    (37.2352578, -118.2768324, 1182.41),
    (37.2429815, -118.2767433, 1183.95),
    (37.2470153, -118.2767632, 1185.25),
    (37.2485647, -118.2767853, 1185.92),
    (37.2499993, -118.2767328, 1186.50),
    (37.2499587, -118.2794098, 1182.60),
    (37.2499316, -118.2838684, 1185.86),
    (37.2499476, -118.2861710, 1186.03),
    (37.2499040, -118.2879484, 1185.26),
    (37.2499407, -118.2912521, 1186.29),
    (37.2499516, -118.2958413, 1184.56),
    (37.2449792, -118.2951802, 1180.79),
    (37.2314169, -118.2945978, 1178.10),
    (37.2315343, -118.2966607, 1182.60),
)

# stations with a working receiver, from the antenna tables of data of 2026
_WORKING_EW = [n for n in range(1, 52) if n not in (10, 21, 22, 23)]
_WORKING_NS = list(range(68, 103))
_WORKING_OUTRIGGERS = list(range(103, 117))


def location() -> EarthLocation:
    """Reference point of the array."""
    return EarthLocation.from_geodetic(TEE_LON_DEG, TEE_LAT_DEG, TEE_HEIGHT_M)


def stations() -> NDArray[np.float64]:
    """Latitude [deg], longitude [deg] and height [m] of stations 1..117, shape (117, 3)."""
    rows = []
    lon = _EW_LON_DEG
    for number in range(1, 52):
        if number in _EW_JUMP_TO_DEG:
            lon = _EW_JUMP_TO_DEG[number]
        elif number > 1:
            lon += _EW_GAP_DEG.get(number, _EW_STEP_DEG)
        rows.append((_EW_LAT_DEG, lon, DISH_HEIGHT_M))
    for step in range(51):
        rows.append((_NS_LAT_DEG + step * _NS_STEP_DEG, _NS_LON_DEG, DISH_HEIGHT_M))
    return np.array([*rows, *_OUTRIGGERS])


def itrf_offsets() -> NDArray[np.float64]:
    """Earth-fixed x, y, z of all stations relative to the reference point [m], shape (117, 3)."""
    lat, lon, height = stations().T
    here = location()
    there = EarthLocation.from_geodetic(lon, lat, height)
    return np.stack([(getattr(there, a) - getattr(here, a)).to_value("m") for a in "xyz"], axis=1)


def meridian_offsets() -> NDArray[np.float64]:
    """Offsets [m] turned about the pole by the longitude, shape (117, 3).

    x points to the meridian on the equator, y east, z to the pole: the frame in which hour angle
    and declination are polar coordinates.
    """
    lon = np.radians(TEE_LON_DEG)
    x, y, z = itrf_offsets().T
    return np.stack(
        [np.cos(lon) * x + np.sin(lon) * y, -np.sin(lon) * x + np.cos(lon) * y, z], axis=1
    )


def active_stations(antenna_step: int, outriggers: int) -> NDArray[np.int64]:
    """Numbers (1..117, ascending) of the stations that take data; 96 for ``(1, 14)``."""
    spread = np.linspace(0, len(_WORKING_OUTRIGGERS) - 1, outriggers).round().astype(int)
    chosen = [_WORKING_OUTRIGGERS[i] for i in spread]
    return np.array([*_WORKING_EW[::antenna_step], *_WORKING_NS[::antenna_step], *chosen])


def baselines(n_antennas: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of first and second antenna, autos included: 1-1, 1-2, 2-2, 1-3, ..."""
    second, first = np.tril_indices(n_antennas)
    return first, second


def longest_m() -> float:
    """Longest distance of two stations [m]."""
    positions = itrf_offsets()
    return float(np.linalg.norm(positions[:, None] - positions[None], axis=2).max())
