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
        starts = np.searchsorted(self._edges, np.arange(self._channels // width) * width)
        end = np.searchsorted(self._edges, self._channels // width * width)
        for time, slot in enumerate(self._slot):
            sums = np.add.reduceat(self._sums[time, :, :end], starts, axis=1)
            counts = np.add.reduceat(self._counts[time, :, :end], starts, axis=1, dtype=np.int32)
            flags = counts == 0
            power = self._power[slot][self._ant1] * self._power[slot][self._ant2]
            each = (weight[time] * power).astype(np.float32)
            sums /= np.where(flags, 1, counts).astype(np.float32)
            yield Averaged(sums, flags, each[:, None] * counts.astype(np.float32))


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
        sums[time, base] = 0
        counts[time, base] = 0
        for channel in range(n_chan):
            for corr in range(n_corr):
                factor = first[channel, corr] * np.conj(second[channel, corr])
                if flags[time, base, channel, corr] or factor == 0:
                    continue
                sums[time, base, part[channel], corr] += data[time, base, channel, corr] * factor
                counts[time, base, part[channel], corr] += 1
