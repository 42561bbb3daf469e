"""Model visibilities of sources seen through the moving primary beam.

V_pq(t, nu) = sum_s S_s(nu) B(t, nu, s) g_s(u, v) exp(+2 pi i (u l + v m + w (n - 1)) nu / c)

with (l, m, n) about the phase centre and uvw = r_p - r_q of the Measurement Set; g_s = 1 for a
point. Antenna by antenna the sum over points is a matrix product, E diag(S B) E^H, and from one
channel to the next each element of E turns by a fixed angle: one multiplication in place of an
exponential. Both together are what makes a field of sources affordable.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.core.beam import PrimaryBeam
from contimg.core.catalog import flux_density
from contimg.core.constants import C_M_S
from contimg.core.coords import direction_cosines, separation
from contimg.core.errors import ContimgError
from contimg.core.ms import Axes

_CLOSURE_M = 0.01  # uvw of one time must come from one set of antenna positions
# Channels between two exact phases. The phases in between come from single-precision products,
# whose rounding adds up to 32 x 6e-8 at most.
RUN = 32
_POINT_LOSS = 1e-4  # a source whose amplitude falls by less on the longest baseline is a point
# Fourier transform of a Gaussian of width theta at half maximum: exp(-(pi theta u)^2 / (4 ln 2))
_GAUSSIAN = np.pi**2 / (4 * np.log(2))


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
    first, second = (np.searchsorted(antennas, ant) for ant in (ant1, ant2))
    incidence[rows, first] += 1
    incidence[rows, second] -= 1
    # the common shift of all antennas is free
    inverse = np.linalg.pinv(incidence.T @ incidence, rcond=1e-9, hermitian=True) @ incidence.T
    position = inverse @ uvw_m
    residual = np.abs(position[:, first] - position[:, second] - uvw_m).max()
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

    `sources` as of :mod:`contimg.core.catalog`, every one with a flux density (Gaussians where
    ``major_arcsec`` > 0); `axes` those of the Measurement Set. With `modulation_weight` (time,
    channel) the beam is replaced by its difference from its mean over the times, of that weight:
    what the drift does to a source, and nothing of what the source is on average. Raises
    :class:`ContimgError` for a source without flux density or position.
    """
    freq_hz, pointing_rad = axes.freq_hz, axes.pointing_rad
    position, antennas = antenna_uvw(axes.uvw_m, axes.ant1, axes.ant2)
    pair = (np.searchsorted(antennas, axes.ant1), np.searchsorted(antennas, axes.ant2))
    ra, dec = np.radians(sources["ra_deg"].to_numpy()), np.radians(sources["dec_deg"].to_numpy())
    l_cos, m_cos, n_cos = direction_cosines(ra, dec, *axes.phase_center_rad)
    lmn = np.stack([l_cos, m_cos, n_cos - 1])
    flux = flux_density(sources, freq_hz)
    bad = ~(np.isfinite(flux).all(axis=1) & np.isfinite(lmn).all(axis=0))
    if bad.any():
        names = ", ".join(sources["name"][bad].astype(str)[:5])
        raise ContimgError(f"{bad.sum()} sources without flux density or position: {names}")
    longest = float(np.abs(axes.uvw_m).max() * freq_hz.max() / C_M_S)
    shape = gaussian_shapes(sources, axes.phase_center_rad, longest)
    extended = np.flatnonzero(shape.any(axis=(1, 2)))
    wavenumber = freq_hz / C_M_S
    mean = 0.0
    if modulation_weight is not None:
        response = beam_track(sources, beam, freq_hz, pointing_rad)
        total = modulation_weight.sum(axis=0)
        share = modulation_weight / np.where(total > 0, total, 1)
        mean = np.einsum("tsc,tc->sc", response, share)
    for time in range(axes.mjd.size):
        offset = separation(ra, dec, pointing_rad[0][time], pointing_rad[1][time])
        apparent = (flux * (beam.power(offset[:, None], freq_hz) - mean)).astype(np.float32)
        path = position[time] @ lmn  # (antenna, source) in metres
        decay = ((axes.uvw_m[time] @ shape[extended]) ** 2).sum(axis=-1)  # (extended, baseline)
        yield _correlate(path, wavenumber, apparent, pair, extended, decay).T


def _correlate(
    path: NDArray[np.float64],
    wavenumber: NDArray[np.float64],
    apparent: NDArray[np.float32],
    pair: tuple[NDArray[np.int64], NDArray[np.int64]],
    extended: NDArray[np.int64],
    decay: NDArray[np.float64],
) -> NDArray[np.complex64]:
    """The sum over sources, (channel, baseline).

    `path` (antenna, source) in metres, `apparent` (source, channel) in Jy; the sources of number
    `extended` are multiplied by exp(-decay wavenumber^2), `decay` (extended, baseline).
    """
    n_ant, n_chan = path.shape[0], wavenumber.size
    model = np.empty((n_chan, pair[0].size), np.complex64)
    cell = pair[0] * n_ant + pair[1]
    points = np.setdiff1d(np.arange(path.shape[1]), extended)
    order = np.r_[points, extended]
    path, apparent = path[:, order], apparent[order]
    split, decay = points.size, decay.T.astype(np.float32)
    spacing = np.diff(wavenumber)
    even = n_chan > 1 and np.ptp(spacing) * np.abs(path).max(initial=0) < 1e-7
    step = turn(path * spacing.mean()) if even else None
    for channel in range(n_chan):
        if step is None or channel % RUN == 0:
            phasor = turn(path * wavenumber[channel])
        else:
            phasor *= step
        weighted = phasor * apparent[:, channel]
        product = weighted[:, :split] @ phasor[:, :split].conj().T
        product.ravel().take(cell, out=model[channel])
        if extended.size:
            terms = weighted[pair[0], split:] * phasor[pair[1], split:].conj()
            envelope = np.exp(-np.float32(wavenumber[channel] ** 2) * decay)
            model[channel] += (terms * envelope).sum(axis=1)
    return model


def turn(turns: NDArray[np.float64]) -> NDArray[np.complex64]:
    """exp(2 pi i turns), the whole turns taken out in double precision."""
    angle = np.float32(2 * np.pi) * (turns - np.rint(turns)).astype(np.float32)
    result = np.empty(angle.shape, np.complex64)
    np.cos(angle, out=result.real)
    np.sin(angle, out=result.imag)
    return result


def gaussian_shapes(
    sources: pd.DataFrame, phase_center_rad: tuple[float, float], longest: float
) -> NDArray[np.float64]:
    """(source, 3, 2): what takes uvw to the square root of the exponent along each axis.

    Zero for points, that is where there is no size or it cannot be told from none at `longest`
    wavelengths. The axes lie in the plane of the sky at the source, whose north is not that of
    the phase centre; the position angle runs from north through east.
    """
    shape = np.zeros((len(sources), 3, 2))
    if "major_arcsec" not in sources.columns:
        return shape
    major = sources["major_arcsec"].fillna(0).to_numpy(dtype=float)
    minor = sources.get("minor_arcsec", sources["major_arcsec"]).fillna(0).to_numpy(dtype=float)
    angle = np.radians(sources.get("pa_deg", 0.0 * sources["ra_deg"]).fillna(0).to_numpy())
    width = np.sqrt(_GAUSSIAN) * np.radians(np.stack([major, minor]) / 3600)
    ra0, dec0 = phase_center_rad
    d_ra = np.radians(sources["ra_deg"].to_numpy()) - ra0
    dec = np.radians(sources["dec_deg"].to_numpy())
    # derivatives of (l, m, n) along right ascension (on the sky) and declination
    east = np.stack([np.cos(d_ra), np.sin(dec0) * np.sin(d_ra), -np.cos(dec0) * np.sin(d_ra)])
    north = np.stack(
        [
            -np.sin(dec) * np.sin(d_ra),
            np.cos(dec) * np.cos(dec0) + np.sin(dec) * np.sin(dec0) * np.cos(d_ra),
            np.cos(dec) * np.sin(dec0) - np.sin(dec) * np.cos(dec0) * np.cos(d_ra),
        ]
    )
    shape[..., 0] = (width[0] * (np.sin(angle) * east + np.cos(angle) * north)).T
    shape[..., 1] = (width[1] * (np.cos(angle) * east - np.sin(angle) * north)).T
    shape[-np.expm1(-((width.max(axis=0) * longest) ** 2)) < _POINT_LOSS] = 0
    return shape


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
