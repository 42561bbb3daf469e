"""Gains of whole calsets: tables multiplied, turned to a reference antenna, fitted for delays.

K turns phases about the middle of the band, B and G multiply: gain = exp(2 pi i K (nu - nu0)) B G
2G, and a visibility of antennas p, q is divided by gain_p conj(gain_q). Only the product has a
meaning: what K leaves is in B, and B and G share the amplitude.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.calset.read import Calset
from contimg.core.caltable import LEAST_CHANNELS

_OVERSAMPLE = 8  # of the delay at which the search for it starts


@dataclass(frozen=True)
class Slope:
    """A line through phases along the last axis, which the fields lack; NaN if not fitted.

    Too few channels have a phase, their mean, and nothing else.
    """

    delay_ns: NDArray[np.float64]
    error_ns: NDArray[np.float64]  # one sigma, from the scatter about the line
    phase_deg: NDArray[np.float64]  # at the middle of the band
    scatter_deg: NDArray[np.float64]  # rms about the line, channels by their weight


def mean(values: NDArray, axis: int | tuple[int, ...]) -> NDArray:
    """Mean ignoring NaN; NaN, silently, where there is nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(values, axis=axis)


def rms(values: NDArray, axis: int) -> NDArray:
    """Root mean square ignoring NaN."""
    return np.sqrt(mean(np.square(values), axis))


def unit(gain: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Phasors of the gains; NaN where they are NaN or zero."""
    size = np.abs(gain)
    with np.errstate(invalid="ignore"):
        return gain / np.where(size > 0, size, np.nan)


def rereferenced(gain: NDArray[np.complex128], antenna: int, axis: int) -> NDArray[np.complex128]:
    """Phases against those of one antenna, at each time, channel and correlation by itself.

    CASA sets the phase of its reference antenna to zero, so that the phases of two sets can be
    compared only when the same antenna is taken off both.
    """
    return gain * np.expand_dims(unit(np.take(gain, antenna, axis=axis)).conj(), axis)


def time_mean(gain: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Mean over the first axis, of amplitudes and of phases, so that noise costs no amplitude."""
    return mean(np.abs(gain), 0) * unit(mean(unit(gain), 0))


def total(
    calset: Calset, antenna: int, freq_hz: NDArray[np.float64] | None = None
) -> NDArray[np.complex128]:
    """Gain of each feed against the phase of `antenna`, (antenna, channel, corr).

    At the channels of B, or interpolated to `freq_hz` (NaN outside B and beside flagged ones).
    """
    own = calset.tables["B"].freq_hz
    freq = own if freq_hz is None else freq_hz
    product = np.ones((1, 1, 1), complex)
    for name, table in calset.tables.items():
        value = table.value
        if name == "K":
            value = np.exp(2e-9j * np.pi * value * (freq - own.mean())[:, None])
        gain = time_mean(rereferenced(value, antenna, axis=1))
        if name == "B" and freq_hz is not None and not np.array_equal(freq, own):
            gain = _interpolated(gain, own, freq)
        product = product * gain
    return product


def _interpolated(gain: NDArray, own: NDArray, freq: NDArray) -> NDArray[np.complex128]:
    result = np.empty((gain.shape[0], freq.size, gain.shape[2]), complex)
    for index in np.ndindex(gain.shape[0], gain.shape[2]):
        row = gain[index[0], :, index[1]]
        result[index[0], :, index[1]] = np.interp(freq, own, row, left=np.nan, right=np.nan)
    return result


def course(calset: Calset, antenna: int) -> tuple[NDArray, NDArray, str]:
    """(MJD, gain (time, antenna, corr) against `antenna`, name) of the table finest in time."""
    name = max(
        (name for name in calset.tables if name in ("G", "2G")),
        key=lambda name: calset.tables[name].mjd.size,
    )
    table = calset.tables[name]
    return table.mjd, rereferenced(table.value, antenna, axis=1)[:, :, 0], name


def fit_delays(gain: NDArray[np.complex128], freq_hz: NDArray[np.float64]) -> Slope:
    """Straight lines through the phases of gains (..., channel), NaN where flagged.

    Channels weigh with their |gain|^2, as the noise of their phases has it: the edges of a
    bandpass say little. The delay with the greatest sum is the start, so that any number of turns
    over the band is followed (up to one in two channels); least squares on what is left refine it.
    """
    good = np.isfinite(gain) & (gain != 0)
    power = np.where(good, np.abs(gain) ** 2, 0)
    count = good.sum(axis=-1)
    n = np.where(count >= LEAST_CHANNELS, count, np.nan)
    weight = power * (n / np.where(count > 0, power.sum(axis=-1), 1))[..., None]
    phasor = np.where(good, unit(gain), 0)
    spacing = float(np.median(np.diff(freq_hz))) if freq_hz.size > 1 else 1.0
    cell = np.round((freq_hz - freq_hz[0]) / spacing).astype(int)
    size = _OVERSAMPLE * int(2 ** np.ceil(np.log2(cell[-1] + 1)))
    grid = np.zeros((*phasor.shape[:-1], size), np.complex64)
    grid[..., cell] = np.nan_to_num(weight) * phasor
    peak = np.abs(np.fft.fft(grid, axis=-1)).argmax(axis=-1)
    delay = np.fft.fftfreq(size, spacing)[peak]
    x = freq_hz - freq_hz.mean()
    rest = phasor * np.exp(-2j * np.pi * delay[..., None] * x)
    middle = np.angle((power * rest).sum(axis=-1))
    left = np.angle(rest * np.exp(-1j * middle[..., None]))
    x_mean = (weight * x).sum(axis=-1) / n
    offset = x - x_mean[..., None]
    length = (weight * offset**2).sum(axis=-1)
    slope = (weight * offset * left).sum(axis=-1) / length
    level = (weight * left).sum(axis=-1) / n
    about = (weight * (left - level[..., None] - slope[..., None] * offset) ** 2).sum(axis=-1)
    few = (count > 0) & (count < LEAST_CHANNELS)
    mean_phase = np.angle((power * phasor).sum(axis=-1))
    return Slope(
        delay_ns=1e9 * (delay + slope / (2 * np.pi)),
        error_ns=1e9 * np.sqrt(about / (n - 2) / length) / (2 * np.pi),
        phase_deg=_wrapped(np.degrees(np.where(few, mean_phase, middle + level - slope * x_mean))),
        scatter_deg=np.degrees(np.sqrt(about / n)),
    )


def _wrapped(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    return (degrees + 180) % 360 - 180
