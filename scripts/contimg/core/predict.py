"""Model visibilities of point sources seen through the moving primary beam.

V_pq(t, nu) = sum_s S_s(nu) B(t, nu, s) exp(+2 pi i (u l + v m + w (n - 1)) nu / c)

with (l, m, n) about the phase centre and uvw = r_p - r_q of the Measurement Set. Antenna by
antenna the sum is a matrix product, which is what makes a field of sources affordable.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.core.beam import C_M_S, PrimaryBeam
from contimg.core.catalog import flux_density
from contimg.core.coords import direction_cosines, separation
from contimg.core.errors import ContimgError
from contimg.core.ms import Axes

_CLOSURE_M = 0.01  # uvw of one time must come from one set of antenna positions


def antenna_uvw(
    uvw_m: NDArray[np.float64], ant1: NDArray[np.int64], ant2: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Antenna coordinates (time, antenna, 3) of baselines (time, baseline, 3); their numbers.

    Least squares over the baselines, so that it does not matter which of them exist. Raises
    :class:`ContimgError` when the uvw do not close.
    """
    antennas = np.union1d(ant1, ant2)
    incidence = np.zeros((len(ant1), antennas.size))
    rows = np.arange(len(ant1))
    incidence[rows, np.searchsorted(antennas, ant1)] = 1
    incidence[rows, np.searchsorted(antennas, ant2)] = -1
    inverse = np.linalg.pinv(incidence)
    position = np.einsum("ab,tbk->tak", inverse, uvw_m)
    residual = np.abs(np.einsum("ba,tak->tbk", incidence, position) - uvw_m).max()
    if not residual < _CLOSURE_M:
        raise ContimgError(f"uvw do not close: antenna coordinates leave {residual:.3g} m")
    return position, antennas


def predict(
    sources: pd.DataFrame,
    beam: PrimaryBeam,
    axes: Axes,
    modulation_weight: NDArray[np.float64] | None = None,
) -> Iterator[NDArray[np.complex64]]:
    """Yield the Stokes I model of each time in turn, (baseline, channel), in Jy.

    `sources` as of :mod:`contimg.core.catalog`, `axes` those of the Measurement Set. With
    `modulation_weight` (time, channel) the beam is replaced by its difference from its mean over
    the times, of that weight: what the drift does to a source, and nothing of what the source is
    on average.
    """
    freq_hz, pointing_rad = axes.freq_hz, axes.pointing_rad
    position, antennas = antenna_uvw(axes.uvw_m, axes.ant1, axes.ant2)
    first, second = (np.searchsorted(antennas, ant) for ant in (axes.ant1, axes.ant2))
    ra, dec = np.radians(sources["ra_deg"].to_numpy()), np.radians(sources["dec_deg"].to_numpy())
    l_cos, m_cos, n_cos = direction_cosines(ra, dec, *axes.phase_center_rad)
    lmn = np.stack([l_cos, m_cos, n_cos - 1])
    flux = flux_density(sources, freq_hz)
    wavenumber = freq_hz / C_M_S
    mean = 0.0
    if modulation_weight is not None:
        response = beam_track(sources, beam, freq_hz, pointing_rad)
        total = modulation_weight.sum(axis=0)
        share = modulation_weight / np.where(total > 0, total, 1)
        mean = np.einsum("tsc,tc->sc", response, share)
    for time in range(axes.mjd.size):
        offset = separation(ra, dec, pointing_rad[0][time], pointing_rad[1][time])
        apparent = flux * (beam.power(offset[:, None], freq_hz) - mean)  # (source, channel)
        path = position[time] @ lmn  # (antenna, source) in metres
        turns = path[None] * wavenumber[:, None, None]
        turns -= np.rint(turns)
        phasor = np.exp(np.complex64(2j * np.pi) * turns.astype(np.float32))
        weighted = phasor * apparent.T.astype(np.float32)[:, None, :]
        product = weighted @ phasor.conj().transpose(0, 2, 1)  # (channel, antenna, antenna)
        yield product[:, first, second].T


def beam_track(
    sources: pd.DataFrame,
    beam: PrimaryBeam,
    freq_hz: NDArray[np.float64],
    pointing_rad: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Beam response to each source at each time and frequency: (time, source, channel)."""
    ra, dec = np.radians(sources["ra_deg"].to_numpy()), np.radians(sources["dec_deg"].to_numpy())
    offset = separation(ra, dec, pointing_rad[0][:, None], pointing_rad[1][:, None])
    return beam.power(offset[..., None], freq_hz)


def apparent_flux(
    sources: pd.DataFrame,
    beam: PrimaryBeam,
    freq_hz: float,
    pointing_rad: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Flux density times the beam, averaged over the pointings: (source,) in Jy."""
    ra, dec = np.radians(sources["ra_deg"].to_numpy()), np.radians(sources["dec_deg"].to_numpy())
    offset = separation(ra[:, None], dec[:, None], pointing_rad[0], pointing_rad[1])
    return flux_density(sources, freq_hz)[:, 0] * beam.power(offset, freq_hz).mean(axis=1)
