"""Visibilities of the sky by direct summation over sources.

For antennas p, q and a source in direction s, with s0(t) the phase centre on the meridian,

    V_pq(t, f) = sum_s S_s(f) B_s(t, f) exp(+2 pi i (r_q - r_p).(s - s0) f / c)

This is V_pq = <conj(E_p) E_q> with uvw = r_q - r_p, the instrument's convention and the one in
which pyuvdata turns phases: a wave reaches the antenna nearer to the source earlier, so that
its phase there is ahead by 2 pi r.s f / c. (A Measurement Set holds the conjugate, with r_p -
r_q.) Both feeds see Stokes I: sources are unpolarised.

Written as E^H E, it is one rank-k update per time and channel; the phases of neighbouring
channels follow from each other by one multiplication.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.core.beam import PrimaryBeam
from contimg.core.constants import C_M_S
from contimg.core.coords import SIDEREAL_DAY, apparent, mjd_time, separation
from contimg.core.groups import Group
from contimg.simulate import array
from contimg.simulate.instrument import interference_directions
from contimg.simulate.options import SimulateOptions
from contimg.simulate.schedule import integration_mids

_SIDEREAL_RATE_RAD_S = 2 * np.pi / (SIDEREAL_DAY * 86400)
# Two-point Gauss-Legendre nodes, in half intervals: the mean over an integration of a phase that
# turns by 1 rad either way is exact to 0.3 %.
_SUBSTEPS = (-1 / np.sqrt(3), 1 / np.sqrt(3))


@dataclass(frozen=True)
class Geometry:
    """Paths and beam offsets of the sources of one group."""

    path_m: NDArray[np.float64]  # (times, rows, antennas): r.(s - s0); rows = substeps x sources
    off_axis_rad: NDArray[np.float64]  # (times, sources), from the pointing
    interference_m: NDArray[np.float64]  # (2, antennas), the same at all times
    substeps: int


def direction(hour_angle: NDArray, dec: NDArray) -> NDArray[np.float64]:
    """Unit vectors (..., 3) in the frame of :func:`array.meridian_offsets`; angles in rad."""
    hour_angle, dec = np.broadcast_arrays(hour_angle, dec)
    cos = np.cos(dec)
    return np.stack([cos * np.cos(hour_angle), -cos * np.sin(hour_angle), np.sin(dec)], axis=-1)


def source_tracks(group: Group, sky: pd.DataFrame) -> tuple[NDArray, NDArray]:
    """Apparent hour angle and declination [rad] at mid-integration, shape (times, sources)."""
    times = mjd_time(integration_mids(group))[:, None]
    ra, dec = np.radians(sky["ra_deg"].to_numpy()), np.radians(sky["dec_deg"].to_numpy())
    return apparent(ra[None, :], dec[None, :], times, group.location)


def off_axis(group: Group, hour_angle: NDArray, dec: NDArray) -> NDArray[np.float64]:
    """Separation [rad] from the pointing: hour angle 0 and the group's apparent declination."""
    return separation(hour_angle, dec, 0.0, np.radians(group.dec_app_deg))


def make_geometry(
    simulate: SimulateOptions,
    group: Group,
    sky: pd.DataFrame,
    positions_m: NDArray[np.float64],
) -> Geometry:
    """Geometry of a group for antennas at `positions_m` (antennas, 3), meridian frame.

    Inside an integration the phase centre moves with the sky (the position that transits at
    mid-integration stays in phase): sources and centre have the same hour-angle offset.
    """
    hour_angle, dec = source_tracks(group, sky)
    pointing = np.radians(group.dec_app_deg)
    substeps = _SUBSTEPS if simulate.fringe_smearing else (0.0,)
    paths = []
    for step in substeps:
        turn = step * group.integration_s / 2 * _SIDEREAL_RATE_RAD_S
        relative = direction(hour_angle + turn, dec) - direction(turn, pointing)
        paths.append(relative @ positions_m.T)
    interferers = direction(*interference_directions(simulate, group).T)
    return Geometry(
        path_m=np.concatenate(paths, axis=1),
        off_axis_rad=off_axis(group, hour_angle, dec),
        interference_m=(interferers - direction(0.0, pointing)) @ positions_m.T,
        substeps=len(substeps),
    )


def sky_visibilities(
    geometry: Geometry,
    freq_hz: NDArray[np.float64],
    flux_jy: NDArray[np.float64],
    beam: PrimaryBeam,
    interference_jy: NDArray[np.float64],
    width_hz: float = 0.0,
) -> NDArray[np.complex64]:
    """Visibilities [Jy], shape (times, baselines, channels); baselines as `array.baselines`.

    `freq_hz`: (channels,), equally spaced. `flux_jy`: (sources, channels).
    `interference_jy`: (times, channels, 2). With `width_hz` what a channel of that width averages.
    """
    from scipy.linalg.blas import cherk

    n_times, _, n_antennas = geometry.path_m.shape
    lower = np.tril_indices(n_antennas)
    step_hz = freq_hz[1] - freq_hz[0] if freq_hz.size > 1 else 0.0
    out = np.empty((n_times, lower[0].size, freq_hz.size), dtype=np.complex64)
    block = np.empty((freq_hz.size, lower[0].size), dtype=np.complex64)
    parts = [step * width_hz / 2 for step in _SUBSTEPS] if width_hz else [0.0]
    for time in range(n_times):
        power = beam.power(geometry.off_axis_rad[time][:, None], freq_hz[None, :]) * flux_jy
        power = np.concatenate(
            [*[power / geometry.substeps] * geometry.substeps, interference_jy[time].T]
        )
        path = np.concatenate([geometry.path_m[time], geometry.interference_m])
        amplitude = np.sqrt(power.T / len(parts), dtype=np.float32)[:, :, None]
        fields = [_phasor(path, freq_hz[0] + part) for part in parts]
        rotation = _phasor(path, step_hz)
        for channel in range(freq_hz.size):
            # The lower triangle [q, p] of F^T conj(F) is V_pq for p <= q, row by row in the
            # order of the file; reading (rows, antennas) transposed costs no copy.
            block[channel] = 0
            for field in fields:
                update = cherk(1.0, (field * amplitude[channel]).T, lower=1)
                block[channel] += update[lower]
                field *= rotation
        out[time] = block.T
    return out


def _phasor(path_m: NDArray[np.float64], freq_hz: float) -> NDArray[np.complex64]:
    """exp(2 pi i path f / c), the turns reduced in double precision."""
    turns = path_m * (freq_hz / C_M_S)
    turns -= np.round(turns)
    return np.exp((2j * np.pi) * turns).astype(np.complex64)


def array_positions(numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Positions [m] of stations by number, in the meridian frame."""
    return array.meridian_offsets()[numbers - 1]


def uvw_m(positions_m: NDArray[np.float64], dec_app_rad: float) -> NDArray[np.float64]:
    """uvw [m] of all baselines for hour angle 0 and that declination, shape (baselines, 3)."""
    first, second = array.baselines(len(positions_m))
    x, y, z = (positions_m[second] - positions_m[first]).T
    sin, cos = np.sin(dec_app_rad), np.cos(dec_app_rad)
    return np.stack([y, cos * z - sin * x, cos * x + sin * z], axis=1)
