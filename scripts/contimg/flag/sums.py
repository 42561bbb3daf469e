"""Sums over windows of one baseline's times and channels (the SumThreshold idea).

Interference that is too weak to be seen in a sample is seen in the mean of several that follow
each other in time or in frequency (Offringa et al. 2010, MNRAS 405, 155). What is flagged by a
short window counts in the longer ones only as much as it takes to be flagged.
"""

from __future__ import annotations

import numba
import numpy as np

from contimg.core.robust import MAD_TO_SIGMA
from contimg.flag.kernels import PARTS, median

# half width of the running medians that follow what the sky and the bandpass do
_HALF = 4
# tails of the amplitude of noise (Rayleigh) over those of a normal distribution: a single sample
# needs 1.27 x the threshold for the same rate of false alarms, the mean of n samples less
_TAIL = np.float32(0.27)


@numba.njit(cache=True, nogil=True)
def _running_median(values, half, work, out):
    """Running median of the positive values, at every fourth place and linear in between."""
    n = values.size
    step = 4 if n > 16 else 1
    before = 0
    for i in range(0, n + step - 1, step):
        i = min(i, n - 1)
        size = 0
        for j in range(max(0, i - half), min(n, i + half + 1)):
            value = values[j]
            if value > 0:  # insertion into a short sorted list
                k = size
                while k > 0 and work[k - 1] > value:
                    work[k] = work[k - 1]
                    k -= 1
                work[k] = value
                size += 1
        out[i] = work[size // 2] if size > 0 else 0
        if out[before] == 0 or out[i] == 0:  # next to nothing but flags
            for k in range(before + 1, i):
                out[k] = max(out[before], out[i])
        else:
            for k in range(before + 1, i):
                out[k] = out[before] + (out[i] - out[before]) * (k - before) / (i - before)
        before = i


@numba.njit(cache=True, nogil=True)
def _spread(values, work):
    """1.4826 x median deviation of the values that are not zero."""
    size = 0
    for value in values:
        if value != 0:
            work[size] = value
            size += 1
    if size < 3:
        return np.float32(0)
    middle = median(work, size)
    for i in range(size):
        work[i] = abs(work[i] - middle)
    return np.float32(MAD_TO_SIGMA) * median(work, size)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _accumulate(residual, prefix):
    n, m = residual.shape
    for j in range(m):
        prefix[0, j] = 0
    for i in range(n):
        for j in range(m):
            prefix[i + 1, j] = prefix[i, j] + residual[i, j]


@numba.njit(cache=True, nogil=True)
def _accumulate_rest(residual, hit, value, prefix):
    """The same with `value` for the samples that are `hit`: the others of a window decide."""
    n, m = residual.shape
    for j in range(m):
        for i in range(n):
            prefix[i + 1, j] = prefix[i, j] + (value if hit[i, j] else residual[i, j])


@numba.njit(cache=True, nogil=True, fastmath=True)
def _highest(prefix, length):
    """Largest sum of `length` samples that follow each other along the first axis."""
    n, m = prefix.shape
    highest = np.float32(0)
    for i in range(n - length):
        for j in range(m):
            highest = max(highest, prefix[i + length, j] - prefix[i, j])
    return highest


@numba.njit(cache=True, nogil=True)
def _search(residual, hit, found, prefix, shortest, sigma, noise, means, work):
    """Mark in `hit` the loud windows of `shortest`, three times that ... samples, first axis.

    `found`: whether any sample is marked on entry; returned is whether any is at the end. `means`
    over the other axis; what they scatter beyond noise is structure (beating sources), not
    interference, and raises the limit.
    """
    n, m = residual.shape
    extra = np.float32(-1)
    _accumulate(residual, prefix)
    length = min(shortest, n)
    while True:
        step = sigma * (1 + _TAIL / np.sqrt(length)) * length
        if found:
            value = np.float32(step / length * noise / np.sqrt(length))
            _accumulate_rest(residual, hit, value, prefix)
        highest = _highest(prefix, length)
        if highest > step * noise / np.sqrt(length):
            if extra < 0:  # only now is it worth its price
                extra = max(_spread(means, work) ** 2 - noise**2 / n, np.float32(0))
            limit = np.float32(step * np.sqrt(noise**2 / length + extra))
            # of marked samples alone the sum is at its limit: rounding must not do the rest
            limit *= np.float32(1.0001)
            if highest > limit:
                found = True
                for i in range(n - length + 1):
                    for j in range(m):
                        if prefix[i + length, j] - prefix[i, j] > limit:
                            for k in range(i, i + length):
                                hit[k, j] = True
        if length == n:
            return found
        length = 3 * length if 3 * length < n else n


@numba.njit(cache=True, nogil=True, parallel=True)
def sum_threshold(amplitude, flags, level, scatter, sigma, floor):
    """Flag windows of 1, 3, 9 ... samples in time or in frequency that are too loud.

    Amplitudes are divided by what they do slowly in time and frequency. Windows along channels at
    one time are held against the noise and the scatter of the baseline's means from time to time
    (beating sources), those along time likewise. `level`, `scatter` (baseline, corr) as from
    :func:`contimg.flag.kernels.levels`; `floor`: smallest relative scatter believed.
    """
    n_base = amplitude.shape[1]
    for part in numba.prange(PARTS):
        baselines = (part * n_base // PARTS, (part + 1) * n_base // PARTS)
        _sum_threshold(amplitude, flags, level, scatter, sigma, floor, *baselines)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _sum_threshold(amplitude, flags, level, scatter, sigma, floor, first, last):
    """The same for the baselines from `first` to before `last`."""
    n_time, _, n_chan, n_corr = amplitude.shape
    tile = np.empty((n_time, n_chan), np.float32)
    turned = np.empty((n_chan, n_time), np.float32)
    valid = np.empty((n_time, n_chan), np.float32)
    hit = np.empty((n_time, n_chan), np.bool_)
    turned_hit = np.empty((n_chan, n_time), np.bool_)
    mean_c, mean_t = np.empty(n_chan, np.float32), np.empty(n_time, np.float32)
    smooth_c, smooth_t = np.empty(n_chan, np.float32), np.empty(n_time, np.float32)
    count_c = np.empty(n_chan, np.float32)
    work = np.empty(n_time * n_chan + 1, np.float32)
    prefix = np.empty((n_time + 1, n_chan), np.float32)
    turned_prefix = np.empty((n_chan + 1, n_time), np.float32)
    for base in range(first, last):
        for corr in range(n_corr):
            middle = level[base, corr]
            if middle <= 0:
                continue
            cap = np.float32(3) * middle
            mean_c[:] = 0
            count_c[:] = 0
            for time in range(n_time):
                for chan in range(n_chan):
                    value = amplitude[time, base, chan, corr]
                    good = np.float32(0) if flags[time, base, chan, corr] else np.float32(1)
                    tile[time, chan] = value
                    valid[time, chan] = good
                    mean_c[chan] += min(value, cap) * good
                    count_c[chan] += good
            for chan in range(n_chan):
                mean_c[chan] = mean_c[chan] / count_c[chan] if count_c[chan] > 0 else 0
            _running_median(mean_c, _HALF, work, smooth_c)
            for chan in range(n_chan):
                smooth_c[chan] = 1 / smooth_c[chan] if smooth_c[chan] > 0 else 0
            for time in range(n_time):
                total, number = np.float32(0), np.float32(0)
                for chan in range(n_chan):
                    value = tile[time, chan] * smooth_c[chan]
                    tile[time, chan] = value
                    total += min(value, np.float32(3)) * valid[time, chan]
                    number += valid[time, chan]
                mean_t[time] = total / number if number > 0 else 0
            _running_median(mean_t, _HALF, work, smooth_t)
            for time in range(n_time):
                scale = 1 / smooth_t[time] if smooth_t[time] > 0 else np.float32(0)
                mean_t[time] = mean_t[time] * scale
                for chan in range(n_chan):
                    tile[time, chan] = (tile[time, chan] * scale - 1) * valid[time, chan]
            total = np.float32(0)
            for chan in range(n_chan):
                total += mean_c[chan]
            if total <= 0:
                continue
            # relative to the mean, as the tile is now
            noise = max(scatter[base, corr] * n_chan / total, floor)
            for chan in range(n_chan):
                mean_c[chan] *= smooth_c[chan]
            hit[:] = False
            found = _search(tile, hit, False, prefix, 1, sigma, noise, mean_c, work)
            for time in range(n_time):
                for chan in range(n_chan):
                    turned[chan, time] = tile[time, chan]
                    turned_hit[chan, time] = hit[time, chan]
            found = _search(turned, turned_hit, found, turned_prefix, 3, sigma, noise, mean_t, work)
            if found:
                for time in range(n_time):
                    for chan in range(n_chan):
                        if turned_hit[chan, time]:
                            flags[time, base, chan, corr] = True
