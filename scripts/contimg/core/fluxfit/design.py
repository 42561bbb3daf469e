"""The linear model of a tile: what one jansky of each source gives in every visibility.

    A_pq,t,nu,i = s_i(nu) B_i(t, nu) D_pq,i e_p,i conj(e_q,i)

with s_i the known shape of the spectrum (1 at `unit_hz`), B_i the primary beam at that integration
and channel, e_p = exp(2 pi i r_p.(s - s0) nu / c), and D the loss of amplitude by averaging over a
channel and an integration, times the Fourier transform of a Gaussian where a source has a size.

The loss is sinc(x) of half the change of phase x across the average, x = x_p - x_q, nearly
exp(-x^2/6) = d_p d_q exp(x_p x_q / 3) with d_p = exp(-x_p^2/6). So every source is one *column*, a
vector over antennas d_p e_p, and where the next term of the exponential is not small (`fine`) it
adds one column of x_p d_p e_p / sqrt(3), one for the channel and one for the integration: the model
is always a sum over columns of (real number) times (column) (column)^H, a matrix product.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.core.beam import PrimaryBeam
from contimg.core.catalog import flux_density
from contimg.core.constants import C_M_S
from contimg.core.coords import SIDEREAL_DAY, direction_cosines
from contimg.core.errors import ContimgError
from contimg.core.ms import Axes
from contimg.core.predict import RUN, antenna_uvw, beam_track, gaussian_shapes, turn

_EARTH_RAD_S = 2 * np.pi / (SIDEREAL_DAY * 86400)
FINE_LOSS_JY = 2e-4  # amplitude error of the longest baselines above which a term is not left out


@dataclass(frozen=True)
class Design:
    """Geometry, beam and spectra of the sources of one Measurement Set; made by :func:`design`."""

    axes: Axes
    unit_hz: float  # frequency at which the flux densities hold
    amplitude: NDArray[np.float32]  # (time, source, channel): s_i B_i
    position_m: NDArray[np.float64]  # (time, antenna, 3)
    pair: tuple[NDArray[np.int64], NDArray[np.int64]]  # antennas of each baseline
    lmn: NDArray[np.float64]  # (3, source), n - 1
    drift: NDArray[np.float64]  # (time, 3, source): d(path)/dt = position . drift [1/s]
    shape: NDArray[np.float64]  # (extended, 3, 2), of predict.gaussian_shapes
    points: NDArray[np.int64]  # numbers of the sources that are points
    extended: NDArray[np.int64]  # and of those that are not
    # places in `points` of those with terms of the second order: of the channel, of the integration
    fine: tuple[NDArray[np.int64], NDArray[np.int64]]
    # (time, source, channel) [Jy], in the data on top of flux * amplitude; None for nothing
    offset: NDArray[np.float32] | None = field(default=None)

    @property
    def n_sources(self) -> int:
        """Sources, extended ones included."""
        return self.lmn.shape[1]

    @property
    def n_antennas(self) -> int:
        """Antennas of the data."""
        return self.position_m.shape[1]

    @property
    def owner(self) -> NDArray[np.int64]:
        """The source that each column belongs to."""
        return np.concatenate([self.points, *(self.points[fine] for fine in self.fine)])


def design(
    sources: pd.DataFrame,
    beam: PrimaryBeam,
    axes: Axes,
    *,
    unit_hz: float | None = None,
    offset_jy: NDArray[np.floating] | None = None,
    fine_jy: float = FINE_LOSS_JY,
) -> Design:
    """The linear model of `sources` in the data of `axes`.

    `sources` as of :mod:`contimg.core.catalog`; of their flux densities only the shape of the
    spectrum matters (and which are bright enough for `fine_jy`). `unit_hz` is the middle of the
    band if not given. `offset_jy` (time, source, channel) is what the data hold of a source
    besides its flux density times the beam. Raises :class:`ContimgError` for a source without
    position or spectrum.
    """
    freq = axes.freq_hz
    unit = float(freq.mean()) if unit_hz is None else float(unit_hz)
    ra, dec = (np.radians(sources[c].to_numpy(dtype=float)) for c in ("ra_deg", "dec_deg"))
    lmn = np.stack(direction_cosines(ra, dec, *axes.phase_center_rad))
    lmn[2] -= 1
    spectrum = _spectra(sources, freq, unit)
    bad = ~(np.isfinite(spectrum).all(axis=1) & np.isfinite(lmn).all(axis=0))
    if bad.any():
        names = ", ".join(sources["name"][bad].astype(str)[:5])
        raise ContimgError(f"{bad.sum()} sources without spectrum or position: {names}")
    amplitude = (beam_track(sources, beam, freq, axes.pointing_rad) * spectrum).astype(np.float32)
    position, antennas = antenna_uvw(axes.uvw_m, axes.ant1, axes.ant2)
    position = position - np.median(position, axis=1, keepdims=True)
    longest = float(np.abs(axes.uvw_m).max() * freq.max() / C_M_S)
    shape = gaussian_shapes(sources, axes.phase_center_rad, longest)
    sized = shape.any(axis=(1, 2))
    points = np.flatnonzero(~sized)
    drift = _drift(lmn, axes)
    bright = np.nan_to_num(np.abs(flux_density(sources, unit)[:, 0])) * amplitude.max(axis=(0, 2))
    loss = _cross_loss(position, lmn, drift, axes) * bright
    return Design(
        axes=axes,
        unit_hz=unit,
        amplitude=amplitude,
        position_m=position,
        pair=(np.searchsorted(antennas, axes.ant1), np.searchsorted(antennas, axes.ant2)),
        lmn=lmn,
        drift=drift,
        shape=shape[sized],
        points=points,
        extended=np.flatnonzero(sized),
        fine=(np.flatnonzero(loss[0][points] > fine_jy), np.flatnonzero(loss[1][points] > fine_jy)),
        offset=None if offset_jy is None else np.asarray(offset_jy, np.float32),
    )


def of_channels(design: Design, chosen: NDArray[np.int64]) -> Design:
    """The design of some of the channels."""
    offset = None if design.offset is None else design.offset[..., chosen]
    return replace(
        design,
        axes=replace(design.axes, freq_hz=design.axes.freq_hz[chosen]),
        amplitude=design.amplitude[..., chosen],
        offset=offset,
    )


def of_points(design: Design, chosen: NDArray[np.int64]) -> Design:
    """The design of some of the points (places in `points`), without terms of the second order."""
    source = design.points[chosen]
    return replace(
        design,
        amplitude=design.amplitude[:, source],
        lmn=design.lmn[:, source],
        drift=design.drift[..., source],
        shape=design.shape[:0],
        points=np.arange(source.size),
        extended=design.extended[:0],
        fine=(design.fine[0][:0], design.fine[1][:0]),
        offset=None if design.offset is None else design.offset[:, source],
    )


def _spectra(sources: pd.DataFrame, freq: NDArray, unit: float) -> NDArray[np.float64]:
    """(source, channel): the shape of each spectrum, 1 at `unit`."""
    rising = sources.assign(flux_jy=1.0, ref_freq_hz=unit)
    return flux_density(rising, freq) / flux_density(rising, unit)


def _drift(lmn: NDArray, axes: Axes) -> NDArray[np.float64]:
    """(time, 3, source): takes antenna coordinates to the rate of the path [1/s].

    By Thompson, Moran & Swenson, eq. 4.1: du/dH = w cos(d0) - v sin(d0), dv/dH = u sin(d0),
    dw/dH = -u cos(d0). The place that the telescope points at stays in phase.
    """
    ra0, dec0 = axes.phase_center_rad
    centre = np.stack(direction_cosines(*axes.pointing_rad, ra0, dec0))
    centre[2] -= 1
    east, north, up = lmn[:, None] - centre[:, :, None]  # (time, source) each
    sin, cos = np.sin(dec0), np.cos(dec0)
    rate = np.stack([sin * north - cos * up, -sin * east, cos * east], axis=1)
    return _EARTH_RAD_S * rate


def half_turns(
    position: NDArray, lmn: NDArray, drift: NDArray, axes: Axes
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x_p [rad] across a channel and across an integration, (antenna, source) of one time."""
    channel = np.pi * axes.width_hz / C_M_S * (position @ lmn)
    middle = float(axes.freq_hz.mean())
    return channel, np.pi * axes.integration_s * middle / C_M_S * (position @ drift)


def _cross_loss(position: NDArray, lmn: NDArray, drift: NDArray, axes: Axes) -> NDArray:
    """Largest |x_p x_q| / 3 of each source at the middle of the data.

    (2, source): across a channel, and across an integration.
    """
    time = axes.mjd.size // 2
    turns = half_turns(position[time], lmn, drift[time], axes)
    return np.stack([np.abs(x).max(axis=0, initial=0) ** 2 / 3 for x in turns])


def columns(
    design: Design, time: int, channels: NDArray[np.int64] | None = None
) -> Iterator[tuple[int, NDArray[np.complex64], NDArray[np.complex64]]]:
    """Yield (channel, columns (column, antenna), phasors of the extended (extended, antenna)).

    The arrays change in place from one channel to the next: they are not to be kept. With
    `channels` only these.
    """
    axes, lmn = design.axes, design.lmn
    path = (design.position_m[time] @ lmn).T
    x_channel, x_time = (
        x.T for x in half_turns(design.position_m[time], lmn, design.drift[time], axes)
    )
    loss = np.exp(-(x_channel**2 + x_time**2) / 6)
    points, (wide, long) = design.points, (design.points[fine] for fine in design.fine)
    size = np.concatenate(
        [
            loss[points],
            (loss * x_channel)[wide] / np.sqrt(3),
            (loss * x_time)[long] / np.sqrt(3),
            np.ones((design.extended.size, path.shape[1])),
        ]
    ).astype(np.float32)
    path = path[np.concatenate([design.owner, design.extended])]
    split = path.shape[0] - design.extended.size
    wavenumber = axes.freq_hz / C_M_S
    wanted = np.arange(wavenumber.size) if channels is None else channels
    spacing = np.diff(wavenumber[wanted])
    even = wanted.size > 1 and np.ptp(spacing) * np.abs(path).max(initial=0) < 1e-7
    step = turn(path * spacing.mean()) if even else None
    for number, channel in enumerate(wanted):
        if step is None or number % RUN == 0:
            phasor = turn(path * wavenumber[channel]) * size
        else:
            phasor *= step
        yield int(channel), phasor[:split], phasor[split:]


def decay(design: Design, time: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What makes the envelope of the extended: exp(-wavenumber^2 first - second).

    Each (extended, baseline); `first` [m^2] is of the size, `second` of the averaging.
    """
    first = ((design.axes.uvw_m[time] @ design.shape) ** 2).sum(axis=-1)
    number = design.extended
    turns = half_turns(
        design.position_m[time], design.lmn[:, number], design.drift[time][:, number], design.axes
    )
    ant1, ant2 = design.pair
    second = sum((x[ant1] - x[ant2]) ** 2 for x in turns).T / 6
    return first.astype(np.float32), np.asarray(second, np.float32).reshape(first.shape)
