"""Visibilities corrected and averaged as they go by, subband after subband.

What is kept are sums over parts of the band, as fine as the averaging may turn out to be: memory
does not grow with the channels of the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from contimg.calibrate.corrections import Corrections


@dataclass(frozen=True)
class Averaged:
    """One integration; what is flagged is zero and has no weight."""

    data: NDArray[np.complex64]  # (baseline, channel, corr)
    flags: NDArray[np.bool_]
    weight: NDArray[np.float32]  # the same shape


class Sums:
    """Sums of corrected data, where :func:`contimg.convert.stream.stream` puts its subbands.

    `ant1`, `ant2` (baseline,) are numbers of antennas of the `corrections`. The whole band has
    `channels`, a subband `subband` of them; averages can be made of any multiple of `width`.
    """

    def __init__(
        self,
        corrections: Corrections,
        ant1: NDArray[np.int64],
        ant2: NDArray[np.int64],
        channels: int,
        subband: int,
        width: int,
    ) -> None:
        self.width, self._channels = width, channels
        self._slot, self._ant1, self._ant2 = corrections.slot, ant1, ant2
        with np.errstate(divide="ignore", invalid="ignore"):
            self._inverse = np.nan_to_num(1 / corrections.gain).astype(np.complex64)
        self._power = corrections.power
        # parts end where an average does, and where a subband does: it may be put again
        self._edges = np.union1d(np.arange(0, channels, width), np.arange(0, channels, subband))
        self._part = np.searchsorted(self._edges, np.arange(channels), side="right") - 1
        shape = (self._slot.size, ant1.size, self._edges.size, corrections.gain.shape[-1])
        self._sums = np.zeros(shape, np.complex64)
        self._counts = np.zeros(shape, np.min_scalar_type(width))

    def put_channels(
        self, first: int, data: NDArray[np.complex64], flags: NDArray[np.bool_]
    ) -> None:
        """Correct and add up consecutive channels (time, baseline, channel, corr) from `first`."""
        channels = slice(first, first + data.shape[2])
        part = self._part[channels]
        parts = slice(part[0], part[-1] + 1)
        correct_and_sum(
            data,
            flags,
            self._slot,
            self._ant1,
            self._ant2,
            self._inverse[:, :, channels],
            part - part[0],
            self._sums[:, :, parts],
            self._counts[:, :, parts],
        )

    @property
    def empty(self) -> bool:
        """Whether nothing is left."""
        return not self._counts.any()

    def averages(self, width: int, weight: NDArray) -> Iterator[Averaged]:
        """Averages of `width` channels, integration by integration.

        `weight` (time, baseline, corr) is that of a sample before the correction. Channels at the
        end of the band that do not fill an average are left out, as CASA does.
        """
        ends = np.arange(self._channels // width + 1) * width
        parts = np.searchsorted(self._edges, ends)
        for time, slot in enumerate(self._slot):
            power = self._power[slot][self._ant1] * self._power[slot][self._ant2]
            each = (weight[time] * power).astype(np.float32)
            yield Averaged(*_averages(self._sums[time], self._counts[time], parts, each))


@njit(parallel=True, cache=True, nogil=True)
def correct_and_sum(data, flags, slot, ant1, ant2, inverse, part, sums, counts):
    """Fill `sums` and `counts` (time, baseline, part, corr) with the corrected, unflagged data.

    `data`, `flags` (time, baseline, channel, corr); `slot` (time,) of `inverse` (slot, antenna,
    channel, corr), one over the gains, zero where there is none; `part` (channel,) of the sums.
    """
    n_time, n_base, n_chan, n_corr = data.shape
    for row in prange(n_time * n_base):
        time, base = row // n_base, row % n_base
        first = inverse[slot[time], ant1[base]]
        second = inverse[slot[time], ant2[base]]
        for corr in range(n_corr):
            real, imag, count = np.float32(0), np.float32(0), 0
            for channel in range(n_chan):
                p, q = first[channel, corr], second[channel, corr]
                if not flags[time, base, channel, corr]:
                    fr = p.real * q.real + p.imag * q.imag
                    fi = p.imag * q.real - p.real * q.imag
                    if fr != 0 or fi != 0:
                        value = data[time, base, channel, corr]
                        real += value.real * fr - value.imag * fi
                        imag += value.real * fi + value.imag * fr
                        count += 1
                if channel + 1 == n_chan or part[channel + 1] != part[channel]:
                    sums[time, base, part[channel], corr] = complex(real, imag)
                    counts[time, base, part[channel], corr] = count
                    real, imag, count = np.float32(0), np.float32(0), 0


@njit(cache=True, nogil=True)
def _averages(sums, counts, parts, weight):
    """Means, flags and weights (baseline, average, corr) of sums (baseline, part, corr).

    Average k is of the parts from `parts[k]` to `parts[k + 1]`; `weight` (baseline, corr) is that
    of a sample.
    """
    n_base, n_corr = weight.shape
    shape = (n_base, parts.size - 1, n_corr)
    data, flags = np.zeros(shape, np.complex64), np.ones(shape, np.bool_)
    weights = np.zeros(shape, np.float32)
    for base in range(n_base):
        for k in range(parts.size - 1):
            for corr in range(n_corr):
                total, count = np.complex64(0), 0
                for part in range(parts[k], parts[k + 1]):
                    total += sums[base, part, corr]
                    count += np.int64(counts[base, part, corr])
                if count > 0:
                    data[base, k, corr] = total / np.float32(count)
                    flags[base, k, corr] = False
                    weights[base, k, corr] = weight[base, corr] * np.float32(count)
    return data, flags, weights
