"""What the tables of a calset do to data, interpolated as CASA's mstransform does it.

For tables applied with ``tinterp='nearest'`` and ``finterp='linearflag'`` (what
:mod:`contimg.calibrate.apply` asks of CASA, which is the reference of the tests):

* time: of each antenna the solution nearest in time, flagged or not; of two as near the earlier;
* frequency: channels of the table are those of the data, or amplitudes and unwrapped phases are
  interpolated linearly between the unflagged ones, constant beyond the outermost; a channel next
  to a flagged one of the table is flagged;
* K turns phases about the middle frequency of its own table;
* weights are multiplied with |g_p|^2 |g_q|^2, of B with the mean of |b|^2 over its channels.

A solution that is zero, or no number, is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.core.caltable import read_table, table_antennas, table_freq_hz

_SAME_HZ = 0.1  # channels this near are the same


@dataclass(frozen=True)
class Corrections:
    """Gains of some times, by number of the antenna; data are divided by g_p conj(g_q)."""

    slot: NDArray[np.int64]  # (time,) of the data: index into the first axis of the others
    gain: NDArray[np.complex128]  # (slot, antenna, channel, corr); NaN where there is none
    power: NDArray[np.float64]  # (slot, antenna, corr), weights are multiplied with both


def corrections(
    tables: Mapping[str, Path],
    mjd: NDArray[np.float64],
    freq_hz: NDArray[np.float64],
    *,
    calwt: bool,
) -> Corrections:
    """The product of all `tables` (name -> path) at times (time,) UTC and channels (channel,).

    Both correlations. Without `calwt` weights stay as they are.
    """
    nearest = {name: _Nearest(path, mjd) for name, path in tables.items()}
    picked = np.concatenate([n.row for n in nearest.values()], axis=1)
    rows, first, slot = np.unique(picked, axis=0, return_index=True, return_inverse=True)
    n_antennas = picked.shape[1] // len(nearest)
    gain = np.ones((len(rows), n_antennas, freq_hz.size, 2), complex)
    power = np.ones((len(rows), n_antennas, 2))
    for name, solutions in nearest.items():
        for k, time in enumerate(first):
            value = solutions.at(time)  # (antenna, channel of the table, corr)
            if calwt and name != "K":
                power[k] *= _mean_power(value)
            gain[k] *= (
                _delays(value, solutions, freq_hz)
                if name == "K"
                else _in_frequency(value, solutions.freq_hz, freq_hz)
            )
    return Corrections(slot.ravel(), gain, power)


class _Nearest:
    """A table, and which of its rows serves each time and antenna."""

    def __init__(self, path: Path, mjd: NDArray[np.float64]) -> None:
        content = read_table(path)
        self.value, self.freq_hz = content["value"], table_freq_hz(path)
        if np.iscomplexobj(self.value):
            self.value[~np.isfinite(self.value) | (self.value == 0)] = np.nan
        antennas = len(table_antennas(path))
        self.row = np.full((mjd.size, antennas), -1)  # (time, antenna); -1 where there is none
        for antenna in np.unique(content["antenna"]):
            rows = np.flatnonzero(content["antenna"] == antenna)
            rows = rows[np.argsort(content["mjd"][rows], kind="stable")]
            self.row[:, antenna] = rows[_nearest(content["mjd"][rows], mjd)]

    def at(self, time: int) -> NDArray:
        """Solutions (antenna, channel, corr) at a time of the data; NaN where there are none."""
        rows = self.row[time]
        value = self.value[rows]
        value[rows < 0] = np.nan
        return value


def _nearest(known: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index of the nearest of `known`, which ascends, to each that is wanted."""
    after = np.clip(np.searchsorted(known, wanted), 1, max(known.size - 1, 1))
    if known.size == 1:
        return np.zeros(wanted.shape, int)
    return after - (wanted - known[after - 1] <= known[after] - wanted)


def _mean_power(value: NDArray) -> NDArray[np.float64]:
    """Mean of |g|^2 over the channels of a table, (antenna, corr); 1 where there is none."""
    power = np.abs(value) ** 2
    count = np.isfinite(power).sum(axis=1)
    return np.where(count > 0, np.nansum(power, axis=1) / np.maximum(count, 1), 1)


def _delays(value: NDArray, table: _Nearest, freq_hz: NDArray[np.float64]) -> NDArray:
    """Gains (antenna, channel, corr) of delays [ns]."""
    turns = 1e-9 * (freq_hz - table.freq_hz.mean())
    return np.exp(2j * np.pi * turns[:, None] * value)


def _in_frequency(value: NDArray, have_hz: NDArray, want_hz: NDArray) -> NDArray:
    """Gains (antenna, channel, corr) at other channels."""
    if have_hz.size == 1:
        return np.broadcast_to(value, (len(value), want_hz.size, value.shape[2]))
    if have_hz.shape == want_hz.shape and np.abs(have_hz - want_hz).max() < _SAME_HZ:
        return value
    found = np.full((len(value), want_hz.size, value.shape[2]), np.nan, complex)
    left = np.clip(np.searchsorted(have_hz, want_hz, side="right") - 1, 0, have_hz.size - 2)
    for antenna, corr in np.ndindex(len(value), value.shape[2]):
        series = value[antenna, :, corr]
        good = np.isfinite(series)
        if good.any():
            line = _interpolated(have_hz[good], series[good], want_hz)
            line[~(good[left] & good[left + 1])] = np.nan
            found[antenna, :, corr] = line
    return found


def _interpolated(have_hz: NDArray, gain: NDArray, want_hz: NDArray) -> NDArray:
    """Amplitude and unwrapped phase, each on straight lines."""
    amplitude = np.interp(want_hz, have_hz, np.abs(gain))
    phase = np.interp(want_hz, have_hz, np.unwrap(np.angle(gain)))
    return amplitude * np.exp(1j * phase)
