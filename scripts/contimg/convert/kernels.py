"""The one pass over the visibilities: order, turn, judge.

Every sample of a subband is touched once on its way from the order of the file to that of the
Measurement Set; compiled, because the same in numpy takes ten passes over 100 MB a subband.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

# beyond any correlator's range: an overflow or an uninitialised number
ABSURD = 1e15

# why a sample is no measurement; it counts for the first that applies
INVALID = ("not finite", "beyond 1e15", "zero", "without samples", "stuck", "too many samples")


@njit(cache=True, nogil=True)
def _why(real, imag, size, samples, most):
    """Index into `INVALID`."""
    if not (np.isfinite(real) and np.isfinite(imag)):
        return 0
    if not size < ABSURD**2:
        return 1
    if size == 0:
        return 2
    if not samples > 0:
        return 3
    return 4 if samples <= most else 5


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def place(
    visibilities,
    file_flags,
    file_nsamples,
    row_of,
    swapped,
    stuck,
    pols,
    descending,
    most,
    turns,
    step,
    data,
    flags,
    nsamples,
):
    """Fill `data`, `flags` and `nsamples` from the rows of a file; samples judged invalid.

    `visibilities`, `file_flags`, `file_nsamples` (row, channel, pol) as in the file; `row_of`
    (time x baseline,) the row of the file, -1 if there is none; `swapped` whether it holds the
    conjugate baseline; `stuck` (time x baseline, corr) spectra to leave out; `pols` (corr,) where
    the correlations are; `most` samples an integration can have; `turns` (time x baseline,) and
    `step` the same: cycles to take away at the lowest channel, and more of them a channel. The data
    come out conjugated, as a Measurement Set has them, channels ascending, and zero wherever
    they are flagged. Returned are counts (time x baseline, kind) of samples that are no
    measurement, by the kinds of `INVALID`.
    """
    n_chan, n_corr = data.shape[1], data.shape[2]
    invalid = np.zeros((row_of.size, len(INVALID)), np.int64)
    for row in prange(row_of.size):
        source = row_of[row]
        if source < 0:
            data[row] = 0
            flags[row] = True
            nsamples[row] = 0
            continue
        angle = 2 * np.pi * (turns[row] - np.rint(turns[row]))
        phasor = complex(np.cos(angle), np.sin(angle))
        angle = 2 * np.pi * (step[row] - np.rint(step[row]))
        turn = complex(np.cos(angle), np.sin(angle))
        sign = np.float64(1.0) if swapped[row] else np.float64(-1.0)
        for channel in range(n_chan):
            there = n_chan - 1 - channel if descending else channel
            for corr in range(n_corr):
                value = visibilities[source, there, pols[corr]]
                samples = file_nsamples[source, there, pols[corr]]
                real, imag = np.float64(value.real), sign * np.float64(value.imag)
                size = real * real + imag * imag
                measured = size > 0 and size < ABSURD**2 and samples > 0 and samples <= most
                measured = measured and not stuck[row, corr]
                if not measured:
                    invalid[row, _why(real, imag, size, samples, most)] += 1
                good = measured and not file_flags[source, there, pols[corr]]
                flags[row, channel, corr] = not good
                nsamples[row, channel, corr] = samples if measured else 0
                if good:
                    data[row, channel, corr] = complex(
                        np.float32(real * phasor.real - imag * phasor.imag),
                        np.float32(real * phasor.imag + imag * phasor.real),
                    )
                else:
                    data[row, channel, corr] = 0
            phasor *= turn
    return invalid


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def find_stuck(visibilities, row_of, pols):
    """Spectra of a file that no noisy correlator can have written: bool (time, baseline, corr).

    `visibilities` (row, channel, pol); `row_of` (time, baseline). A spectrum that repeats the one
    before bit for bit is a buffer that was not refilled; one of a single value throughout never
    was a spectrum. Files of fewer than 4 channels are not judged.
    """
    n_time, n_base = row_of.shape
    n_chan = visibilities.shape[1]
    stuck = np.zeros((n_time, n_base, pols.size), np.bool_)
    for base in prange(n_base):
        for time in range(n_time):
            row = row_of[time, base]
            if row < 0 or n_chan < 4:
                continue
            before = row_of[time - 1, base] if time > 0 else -1
            for corr in range(pols.size):
                pol = pols[corr]
                first = visibilities[row, 0, pol]
                repeats = before >= 0
                constant = True
                for channel in range(n_chan):
                    value = visibilities[row, channel, pol]
                    if repeats and value != visibilities[before, channel, pol]:
                        repeats = False
                    if value != first:
                        constant = False
                    if not repeats and not constant:
                        break
                if repeats or constant:
                    stuck[time, base, corr] = True
                    if repeats:  # which of the two is old cannot be known
                        stuck[time - 1, base, corr] = True
    return stuck


@njit(parallel=True, cache=True, nogil=True)
def count_good(flags, nsamples, full, total, good_channels):
    """Add a subband to the sums of the rows.

    `flags`, `nsamples` (row, channel, corr); `full` is the number of samples behind a complete
    integration, and none counts for more; `total` of the samples and `good_channels` (row, corr)
    are added to.
    """
    n_row, n_chan, n_corr = flags.shape
    for row in prange(n_row):
        for corr in range(n_corr):
            good, samples = 0, 0.0
            for channel in range(n_chan):
                if not flags[row, channel, corr]:
                    good += 1
                    samples += min(nsamples[row, channel, corr], full)
            good_channels[row, corr] += good
            total[row, corr] += samples
