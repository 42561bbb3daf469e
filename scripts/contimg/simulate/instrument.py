"""What the instrument does to the visibilities: gains, dead antennas, noise, interference.

Everything follows from the seed through plain functions, so that a test can ask for the truth.
Model: V_pq(raw) = raw_scale conj(g_p) g_q (V_pq + noise), for V_pq = <conj(E_p) E_q>.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from contimg.core.groups import Group
from contimg.simulate import array
from contimg.simulate.options import SimulateOptions, random
from contimg.simulate.schedule import BAND_MAX_HZ, BAND_MIN_HZ, epoch_of

BAND_CENTRE_HZ = (BAND_MIN_HZ + BAND_MAX_HZ) / 2
N_FEEDS = 2
N_SAMPLES = 96.0  # raw correlator dumps in one integration
_BANDPASS_TERMS = 6

# Interference: strength [Jy], share of the channels it visits, share of the tile it lasts.
_NARROW_JY = (50.0, 500.0)
_NARROW_CHANNELS = 0.02
_NARROW_DURATION = (0.1, 0.5)
_BURST_JY = 150.0
_BURST_BAND = 0.4


def gains(
    simulate: SimulateOptions, group: Group, freq_hz: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """True voltage gains of all stations, shape (117, 2 feeds, frequencies); dead ones are zero.

    Amplitude and phase (constant in frequency), a delay about the band centre, and a bandpass
    that is smooth across the band; amplitude and phase change a little from epoch to epoch.
    """
    shape = (array.N_STATIONS, N_FEEDS)
    amplitude = 1 + simulate.gain_rms * random(simulate, "amplitude").standard_normal(shape)
    amplitude = np.maximum(amplitude, 0.2)  # a working antenna is not deaf
    phase = np.zeros(shape)
    if simulate.gain_phases:
        phase = random(simulate, "phase").uniform(-np.pi, np.pi, shape)
    drift = simulate.gain_drift_rms * random(
        simulate, "drift", epoch_of(simulate, group.mid_mjd)
    ).standard_normal((2, *shape))
    amplitude, phase = amplitude * (1 + drift[0]), phase + drift[1]
    turns = delays_s(simulate)[..., None] * (freq_hz - BAND_CENTRE_HZ)
    ripple = _bandpass(simulate, freq_hz)
    result = amplitude[..., None] * (1 + ripple[0])
    result = result * np.exp(1j * (phase[..., None] + ripple[1] + 2 * np.pi * turns))
    result[[number - 1 for number in simulate.dead_antennas]] = 0
    return result


def delays_s(simulate: SimulateOptions) -> NDArray[np.float64]:
    """True delays of all stations and feeds [s], shape (117, 2)."""
    draw = random(simulate, "delay").standard_normal((array.N_STATIONS, N_FEEDS))
    return simulate.delay_rms_ns * 1e-9 * draw


def _bandpass(simulate: SimulateOptions, freq_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ripple in amplitude and in phase [rad], shape (2, 117, 2, frequencies): a few cosines."""
    x = (freq_hz - BAND_MIN_HZ) / (BAND_MAX_HZ - BAND_MIN_HZ)
    order = np.arange(1, _BANDPASS_TERMS + 1)
    draw = random(simulate, "bandpass").standard_normal(
        (2, array.N_STATIONS, N_FEEDS, _BANDPASS_TERMS)
    )
    # each cosine has mean square 1/2 over the band
    scale = simulate.bandpass_rms * np.sqrt(2 / _BANDPASS_TERMS)
    return scale * draw @ np.cos(np.pi * np.outer(order, x))


def interference_jy(
    simulate: SimulateOptions, group: Group, n_channels: int
) -> NDArray[np.float64]:
    """Flux density of two interferers, shape (times, n_channels, 2) [Jy]; channels descending.

    The first is narrow-band and comes and goes; the second is one burst over part of the band.
    """
    flux = np.zeros((group.n_times, n_channels, 2))
    if not simulate.rfi:
        return flux
    rng = random(simulate, "interference", group_key(group))
    n_narrow = max(1, round(_NARROW_CHANNELS * n_channels))
    for channel in rng.choice(n_channels, n_narrow, replace=False):
        length = max(1, round(rng.uniform(*_NARROW_DURATION) * group.n_times))
        start = rng.integers(0, group.n_times - length + 1)
        flux[start : start + length, channel, 0] = np.exp(rng.uniform(*np.log(_NARROW_JY)))
    width = max(1, round(_BURST_BAND * n_channels))
    first = rng.integers(0, n_channels - width + 1)
    flux[rng.integers(group.n_times), first : first + width, 1] = _BURST_JY
    return flux


def interference_directions(simulate: SimulateOptions, group: Group) -> NDArray[np.float64]:
    """Hour angle and declination [rad] of the interferers, shape (2, 2): on the horizon.

    They do not move with the sky and are not smeared: coherent over the array.
    """
    azimuth = random(simulate, "azimuth", group_key(group)).uniform(0, 2 * np.pi, 2)
    latitude = np.radians(group.latitude_deg)
    dec = np.arcsin(np.cos(latitude) * np.cos(azimuth))
    hour_angle = np.arctan2(-np.sin(azimuth), -np.cos(azimuth) * np.sin(latitude))
    return np.stack([hour_angle, dec], axis=1)


def corrupt(
    simulate: SimulateOptions,
    group: Group,
    subband: int,
    sky: NDArray[np.complex64],
    gain: NDArray[np.complex128],
    channel_width_hz: float,
    sefd_jy: float,
) -> NDArray[np.complex64]:
    """Raw visibilities (times, baselines, channels, 2 feeds) from those of the sky [Jy].

    `sky` has shape (times, baselines, channels), baselines as :func:`array.baselines`; `gain`
    (antennas, 2, channels). Noise of a cross visibility: SEFD / sqrt(2 dnu dt) in the real and
    in the imaginary part; of an auto, which is real, SEFD / sqrt(dnu dt) on the SEFD itself.
    """
    first, second = array.baselines(gain.shape[0])
    pair = simulate.raw_scale * np.conj(gain[first]) * gain[second]
    pair = np.ascontiguousarray(np.moveaxis(pair, 1, 2), dtype=np.complex64)
    auto = np.flatnonzero(first == second)
    rms = sefd_jy / np.sqrt(2 * channel_width_hz * group.integration_s)
    rng = random(simulate, "noise", group_key(group), subband)
    raw = np.empty((*sky.shape, N_FEEDS), dtype=np.complex64)
    for time in range(group.n_times):
        if simulate.noise:
            parts = rng.standard_normal((*raw.shape[1:], 2), dtype=np.float32)
            raw[time] = (np.float32(rms) * parts).view(np.complex64)[..., 0]
            raw[time, auto] = np.sqrt(2) * raw[time, auto].real + np.float32(sefd_jy)
            raw[time] += sky[time, :, :, None]
        else:
            raw[time] = sky[time, :, :, None]
        raw[time] *= pair
    return raw


def group_key(group: Group) -> int:
    """Whole number that tells groups apart whatever else is observed: the second of the start."""
    return round(group.start_mjd * 86400)
