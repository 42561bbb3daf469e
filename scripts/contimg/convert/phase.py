"""One phase centre for a drift scan.

The data track the meridian: integration by integration they are phased to hour angle 0 at the
pointing's apparent declination, while the file repeats one set of uvw. Here the phases are
turned to one ICRS position and the uvw computed anew for every time.

Sign conventions: UVH5 has uvw = r2 - r1 and V = <E1* E2>, so a source at (l, m) gives
exp(+2 pi i (ul + vm + w(n-1))); a Measurement Set holds the conjugate with uvw = r1 - r2 (as
pyuvdata writes it), for which CASA's gains are V_12 = g1 g2* M_12.
"""

from __future__ import annotations

import dataclasses

import erfa
import numpy as np
from astropy.coordinates import EarthLocation
from astropy.time import Time
from numpy.typing import NDArray

from contimg.core.constants import C_M_S
from contimg.core.coords import apparent, icrs, mjd_time

_HALF_ARC = np.radians(0.5)


@dataclasses.dataclass(frozen=True)
class Rephasing:
    """uvw towards the new centre and the path difference by which the phases turn."""

    uvw_m: NDArray[np.float64]  # (time, baseline, 3), UVH5 sense
    delta_w_m: NDArray[np.float64]  # (time, baseline): w towards new centre minus old centre
    old_uvw_m: NDArray[np.float64]  # (time, baseline, 3) towards the old centre


def rephase_drift(
    *,
    times_jd: NDArray[np.float64],
    location: EarthLocation,
    antenna_positions_m: NDArray[np.float64],
    ant1: NDArray[np.int64],
    ant2: NDArray[np.int64],
    dec_app_rad: float,
    ra_rad: float,
    dec_rad: float,
    unprojected: bool = False,
) -> Rephasing:
    """Turn a drift scan to the ICRS position (`ra_rad`, `dec_rad`).

    `times_jd` (time,) UTC; `antenna_positions_m` (antenna, 3) ECEF relative to the telescope;
    `ant1`, `ant2` (baseline,) indices into it. `unprojected` data have had no delays taken out:
    all of the new w is.
    """
    time = mjd_time(times_jd - 2400000.5)
    hour_angle, dec_app = apparent(ra_rad, dec_rad, time, location)
    angle = _frame_angle(hour_angle, dec_app, time, location)
    baselines_m = antenna_positions_m[ant2] - antenna_positions_m[ant1]
    new = _uvw(baselines_m, hour_angle - location.lon.rad, dec_app, angle)
    meridian = np.full_like(hour_angle, -location.lon.rad)
    level = np.zeros_like(meridian)
    old = _uvw(baselines_m, meridian, np.full_like(meridian, dec_app_rad), level)
    taken = 0.0 if unprojected else old[..., 2]
    return Rephasing(new, new[..., 2] - taken, old)


def _uvw(
    baselines_m: NDArray[np.float64],
    hour_angle: NDArray[np.float64],
    dec_app: NDArray[np.float64],
    angle: NDArray[np.float64],
) -> NDArray[np.float64]:
    """uvw (time, baseline, 3) [m] of ECEF vectors (baseline, 3); the directions are (time,) [rad].

    `hour_angle` is that at Greenwich; `angle` turns v from north of date to the north of ICRS.
    Thompson, Moran & Swenson (2017), eq. 4.1.
    """
    sin_h, cos_h, sin_d, cos_d = (
        np.sin(hour_angle),
        np.cos(hour_angle),
        np.sin(dec_app),
        np.cos(dec_app),
    )
    zero = np.zeros_like(sin_h)
    u = np.stack([sin_h, cos_h, zero])
    v = np.stack([-sin_d * cos_h, sin_d * sin_h, cos_d])
    w = np.stack([cos_d * cos_h, -cos_d * sin_h, sin_d])
    sin_p, cos_p = np.sin(angle), np.cos(angle)
    rotation = np.stack([cos_p * u - sin_p * v, sin_p * u + cos_p * v, w])
    return np.einsum("kxt,bx->tbk", rotation, baselines_m)


def _frame_angle(hour_angle, dec_app, time: Time, location: EarthLocation) -> NDArray[np.float64]:
    """Angle [rad] from the north of date to the north of ICRS, over an arc of a degree.

    Positions half a degree north and south of the place tell where ICRS has them, as pyuvdata
    does it: the angle differs by so little along the arc that its length does not matter.
    """
    south, north = dec_app - _HALF_ARC, dec_app + _HALF_ARC
    return -erfa.pas(
        *icrs(hour_angle, south, time, location), *icrs(hour_angle, north, time, location)
    )


def fill_missing(
    uvw_m: NDArray[np.float64], ant1: NDArray[np.int64], ant2: NDArray[np.int64]
) -> NDArray[np.float64]:
    """uvw (time, baseline, 3) with the rows that are NaN filled in from the other baselines.

    The rows concerned hold no data; their uvw must still close with the others'.
    """
    filled = uvw_m.copy()
    antennas = np.union1d(ant1, ant2)
    incidence = np.zeros((len(ant1), antennas.size))
    rows = np.arange(len(ant1))
    incidence[rows, np.searchsorted(antennas, ant1)] = -1
    incidence[rows, np.searchsorted(antennas, ant2)] = 1
    for time in np.flatnonzero(np.isnan(uvw_m).any(axis=(1, 2))):
        known = np.isfinite(uvw_m[time]).all(axis=1)
        position = np.linalg.lstsq(incidence[known], uvw_m[time, known], rcond=None)[0]
        filled[time, ~known] = (incidence @ position)[~known]
    return filled


def cycles(
    delta_w_m: NDArray[np.float64], freq_hz: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cycles by which the phases turn back at the lowest channel, and more of them a channel.

    Data change by exp(-2 pi i delta_w nu / c); `freq_hz` ascends evenly.
    """
    step_hz = (freq_hz[-1] - freq_hz[0]) / max(freq_hz.size - 1, 1)
    return delta_w_m * (freq_hz[0] / C_M_S), delta_w_m * (step_hz / C_M_S)
