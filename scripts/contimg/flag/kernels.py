"""Compiled loops over visibilities (time, baseline, channel, corr); each is one pass.

Flags are only ever set. Amplitudes of samples that are no measurements are zero.
"""

from __future__ import annotations

import numba
import numpy as np

from contimg.core.robust import MAD_TO_SIGMA

# beyond any correlator's range: an overflow or an uninitialised number
ABSURD = np.float32(1e15)
# a sample counts for at most this many times the median power of its baseline, so that what
# happens on one baseline cannot pass for something that all see
POWER_CAP = np.float32(7.0)
# loops over baselines go in so many parts, side by side
PARTS = 64


@numba.njit(cache=True, nogil=True)
def flag_invalid(data, flags, nsamples):
    """Flag and zero what is not finite, absurd, exactly zero or without samples (flat arrays)."""
    for i in range(data.size):
        value = data[i]
        size = max(abs(value.real), abs(value.imag))
        # written so that a NaN anywhere is bad: it compares false
        good = abs(value.real) < ABSURD and abs(value.imag) < ABSURD
        if not (good and size > 0 and nsamples[i] > 0):
            flags[i] = True
            data[i] = 0


@numba.njit(cache=True, nogil=True, fastmath=True, parallel=True)
def amplitudes(data, out):
    """|data| of flat arrays; `data` finite."""
    for i in numba.prange(data.size):
        value = data[i]
        out[i] = np.sqrt(value.real * value.real + value.imag * value.imag)


@numba.njit(cache=True, nogil=True)
def median(values, size):
    """Median of the first `size` values, which are reordered: the upper one of an even number."""
    k = size // 2
    low, high = 0, size - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return values[k]


@numba.njit(cache=True, nogil=True, parallel=True)
def levels(amplitude, flags, stride, level, scatter):
    """Median amplitude and 1.4826 x its median deviation by (baseline, corr).

    From every `stride`-th channel, another set at each time; zero where all of it is flagged.
    """
    n_base = amplitude.shape[1]
    for part in numba.prange(PARTS):
        baselines = (part * n_base // PARTS, (part + 1) * n_base // PARTS)
        _levels(amplitude, flags, stride, level, scatter, *baselines)


@numba.njit(cache=True, nogil=True)
def _levels(amplitude, flags, stride, level, scatter, first, last):
    n_time, _, n_chan, n_corr = amplitude.shape
    values = np.empty(n_time * n_chan, np.float32)
    for base in range(first, last):
        for corr in range(n_corr):
            size = 0
            for time in range(n_time):
                for chan in range((time * 5) % stride, n_chan, stride):
                    if not flags[time, base, chan, corr]:
                        values[size] = amplitude[time, base, chan, corr]
                        size += 1
            if size == 0:
                level[base, corr] = 0
                scatter[base, corr] = 0
                continue
            middle = median(values, size)
            for i in range(size):
                values[i] = abs(values[i] - middle)
            level[base, corr] = middle
            scatter[base, corr] = np.float32(MAD_TO_SIGMA) * median(values, size)


@numba.njit(cache=True, nogil=True, fastmath=True)
def power_sums(amplitude, flags, scale, first, second, sums, counts):
    """Add relative power to groups of baselines.

    Visibilities as (time, baseline, channel x corr), flags as bytes. sums and counts (time, group,
    channel x corr) get (amplitude x scale)^2, at most POWER_CAP, of the samples that are not
    flagged; `scale` (baseline, channel x corr), zero where a baseline is left out. Baseline b
    belongs to groups first[b] and, if >= 0, second[b].
    """
    n_time, n_base, n_samples = amplitude.shape
    for time in range(n_time):
        for base in range(n_base):
            one, two = first[base], second[base]
            for i in range(n_samples):
                relative = amplitude[time, base, i] * scale[base, i]
                good = np.float32(1) - np.float32(flags[time, base, i])
                good = good if scale[base, i] > 0 else np.float32(0)
                power = min(relative * relative, POWER_CAP) * good
                sums[time, one, i] += power
                counts[time, one, i] += good
                if two >= 0:
                    sums[time, two, i] += power
                    counts[time, two, i] += good


@numba.njit(cache=True, nogil=True, fastmath=True)
def coherence(data, flags, amplitude, level, stride, coherent, total, pairs):
    """Signal that neighbouring channels share, by (baseline, corr).

    coherent: sum of Re(V_c conj(V_c+1)) over pairs of channels; noise is independent from channel
    to channel and averages out, the sky and any phases slower than a channel stay. total: mean
    power of the same pairs. Loud samples are left out. Every `stride`-th time is used.
    """
    n_time, n_base, n_chan, n_corr = amplitude.shape
    for base in range(n_base):
        for corr in range(n_corr):
            limit = np.float32(3) * level[base, corr]
            shared = np.float32(0)
            power = np.float32(0)
            number = np.float32(0)
            for time in range(0, n_time, stride):
                for chan in range(n_chan - 1):
                    a, b = amplitude[time, base, chan, corr], amplitude[time, base, chan + 1, corr]
                    bad = flags[time, base, chan, corr] or flags[time, base, chan + 1, corr]
                    good = np.float32(0) if bad or a > limit or b > limit else np.float32(1)
                    v, w = data[time, base, chan, corr], data[time, base, chan + 1, corr]
                    shared += good * (v.real * w.real + v.imag * w.imag)
                    power += good * np.float32(0.5) * (a * a + b * b)
                    number += good
            coherent[base, corr] = shared
            total[base, corr] = power
            pairs[base, corr] = number


@numba.njit(cache=True, nogil=True)
def clip(amplitude, flags, lowest, highest):
    """Flag amplitudes outside lowest..highest, both (baseline, corr)."""
    n_time, n_base, n_chan, n_corr = amplitude.shape
    for time in range(n_time):
        for base in range(n_base):
            for corr in range(n_corr):
                low, high = lowest[base, corr], highest[base, corr]
                for chan in range(n_chan):
                    value = amplitude[time, base, chan, corr]
                    flags[time, base, chan, corr] |= (value > high) | (value < low)


@numba.njit(cache=True, nogil=True)
def count(flags, by_time, by_baseline):
    """Number of flags by (time, channel x corr) and by (baseline, channel x corr), added up.

    `flags` (time, baseline, channel x corr) as bytes.
    """
    n_time, n_base, n_samples = flags.shape
    for time in range(n_time):
        for base in range(n_base):
            for i in range(n_samples):
                bad = np.uint32(flags[time, base, i])
                by_time[time, i] += bad
                by_baseline[base, i] += bad


@numba.njit(cache=True, nogil=True)
def grow(flags, time_limit, channel_limit, times, channels, correlations):
    """Extend the flags of every baseline; the growths are judged on the flags found at entry.

    A baseline and correlation that is flagged throughout says nothing about the other one.
    """
    n_time, n_base, n_chan, n_corr = flags.shape
    before = np.empty((n_time, n_chan, n_corr), np.bool_)
    in_time = np.empty((n_chan, n_corr), np.int32)
    in_channel = np.empty((n_time, n_corr), np.int64)
    flat = flags.reshape(n_time, n_base, n_chan * n_corr).view(np.uint8)
    flat_before = before.reshape(n_time, n_chan * n_corr).view(np.uint8)
    flat_in_time = in_time.reshape(n_chan * n_corr)
    for base in range(n_base):
        in_time[:] = 0
        in_channel[:] = 0
        for time in range(n_time):
            row = 0
            for i in range(n_chan * n_corr):
                bad = flat[time, base, i]
                flat_before[time, i] = bad
                flat_in_time[i] += bad
                row += bad
            if row > 0:
                for chan in range(n_chan):
                    for corr in range(n_corr):
                        in_channel[time, corr] += before[time, chan, corr]
        for corr in range(n_corr):
            total = in_channel[:, corr].sum()
            if total == 0 or total == n_time * n_chan:
                continue
            for time in range(n_time):
                row = in_channel[time, corr]
                if row > channel_limit * n_chan:
                    flags[time, base, :, corr] = True
                if row == 0:
                    continue
                for chan in range(n_chan):
                    if before[time, chan, corr]:
                        for t in range(max(0, time - times), min(n_time, time + times + 1)):
                            flags[t, base, chan, corr] = True
                        for c in range(max(0, chan - channels), min(n_chan, chan + channels + 1)):
                            flags[time, base, c, corr] = True
            for chan in range(n_chan):
                if in_time[chan, corr] > time_limit * n_time:
                    flags[:, base, chan, corr] = True
        if correlations:
            _join(flags, base, in_channel, n_time * n_chan)


@numba.njit(cache=True, nogil=True)
def _join(flags, base, in_channel, samples):
    """Flag a sample of a baseline in all correlations if it is in one that is not all flagged."""
    n_time, _, n_chan, n_corr = flags.shape
    for corr in range(n_corr):
        total = in_channel[:, corr].sum()
        if total == 0 or total == samples:
            continue
        for time in range(n_time):
            for chan in range(n_chan):
                if flags[time, base, chan, corr]:
                    for other in range(n_corr):
                        flags[time, base, chan, other] = True
