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

import numpy as np
from astropy.coordinates import EarthLocation
from numpy.typing import NDArray

from contimg.core.beam import C_M_S


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
    from pyuvdata.utils import get_lst_for_time
    from pyuvdata.utils.phasing import calc_app_coords, calc_frame_pos_angle

    lst = get_lst_for_time(jd_array=times_jd, telescope_loc=location)
    app_ra, app_dec = calc_app_coords(
        lon_coord=ra_rad,
        lat_coord=dec_rad,
        coord_frame="icrs",
        coord_type="sidereal",
        time_array=times_jd,
        lst_array=lst,
        telescope_loc=location,
    )
    frame_pa = calc_frame_pos_angle(
        time_array=times_jd,
        app_ra=app_ra,
        app_dec=app_dec,
        telescope_loc=location,
        ref_frame="icrs",
    )
    new = _baselines(antenna_positions_m, ant1, ant2, app_ra, app_dec, frame_pa, lst, location)
    old = _baselines(
        antenna_positions_m,
        ant1,
        ant2,
        lst,
        np.full_like(lst, dec_app_rad),
        np.zeros_like(lst),
        lst,
        location,
    )
    taken = 0.0 if unprojected else old[..., 2]
    return Rephasing(new, new[..., 2] - taken, old)


def _baselines(positions, ant1, ant2, app_ra, app_dec, frame_pa, lst, location):
    """uvw (time, baseline, 3) from antenna positions by pyuvdata."""
    from pyuvdata.utils.phasing import calc_uvw

    n_times, n_base = len(lst), len(ant1)

    def per_row(values):
        return np.repeat(values, n_base)

    uvw = calc_uvw(
        app_ra=per_row(app_ra),
        app_dec=per_row(app_dec),
        frame_pa=per_row(frame_pa),
        lst_array=per_row(lst),
        use_ant_pos=True,
        antenna_positions=positions,
        antenna_numbers=np.arange(len(positions)),
        ant_1_array=np.tile(ant1, n_times),
        ant_2_array=np.tile(ant2, n_times),
        telescope_lat=location.lat.rad,
        telescope_lon=location.lon.rad,
    )
    return uvw.reshape(n_times, n_base, 3)


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
