"""Whether anything in a long light curve stands out of its noise: a quick matched filter.

Most sources vary as their noise does. Against all templates of the banks a light curve of 1,000
epochs takes a second; dips and bumps of one shape, each filtered only where it is not zero, take a
few milliseconds.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.variability.banks import typical_gap
from contimg.variability.filters import Whitener
from contimg.variability.noise import Noise

WIDTH_RATIO, STEP = 1.6, 0.35  # of neighbouring widths; of centres, in widths
REACH = 1.2  # widths on either side of the centre where a Gaussian is not zero
FORGOTTEN = 1e-3  # part of its amplitude below which the filter's state counts as zero
PROMISING = 13.0  # ln L that a template must gain over the best noise: what its freedom costs
AMPLITUDES_BELOW = 2  # of the process that explains most, tried too
WEAK, WEAK_TRIED = 0.05, 6  # amplitude of weak processes; so many of them are tried
NEXT_BEST = 4  # other processes that explain nearly as much
MISMATCH = 0.15  # part of what a dip gains that is lost because of its shape


def promising(
    times: NDArray, flux: NDArray, null: NDArray, filters: list[Whitener], grid: list[Noise]
) -> bool:
    """Whether a dip or bump under any noise could explain more than noise alone.

    `null` (H,) are the ln L of the noise models. Tried are those that a template may make the
    best: none, the best processes, the first with smaller amplitudes, and the best weak ones.
    """
    order = np.argsort(-null, kind="stable")
    best = int(order[0])
    process = grid[best].kernel, grid[best].tau_days
    same = [h for h, n in enumerate(grid[:best]) if (n.kernel, n.tau_days) == process]
    weak = [h for h in order if 0 < grid[h].amplitude < WEAK][:WEAK_TRIED]
    centre, width = _places(times)
    most = np.inf  # that any template gains: as much as in white noise
    tried = [0, *order[: 1 + NEXT_BEST].tolist(), *same[-AMPLITUDES_BELOW:], *weak]
    for h in dict.fromkeys(tried):
        if null[h] + most < null.max() + PROMISING:
            continue
        filt = filters[h]
        white = filt.white(flux)
        z = _largest(filt.transition, filt.gain, filt.root, white, times, centre, width)
        gain = 0.5 * z**2 * (1 + MISMATCH)
        if null[h] + gain > null.max() + PROMISING:
            return True
        if h == 0:
            most = gain
    return False


def _places(times: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres and widths (K,) of the templates [days], by width."""
    low, span = 2 * typical_gap(times), times[-1]
    widths = low * WIDTH_RATIO ** np.arange(math.ceil(math.log(span / low) / math.log(WIDTH_RATIO)))
    centres = [np.arange(0, span, STEP * w) for w in widths]
    return np.concatenate(centres), np.repeat(widths, [len(c) for c in centres])


@numba.njit(cache=True, nogil=True)
def _largest(transition, gain, root, white, times, centre, width):
    """Largest |sigma| of a Gaussian of any of the centres and widths (K,), the mean fitted too."""
    number = len(times)
    ones = (white[:, 0] ** 2).sum()
    mean = (white[:, 0] * white[:, 1]).sum() / ones
    largest = 0.0
    for k in range(len(centre)):
        reach = REACH * width[k]
        start = np.searchsorted(times, centre[k] - reach)
        x = v = tt = ty = t1 = 0.0
        for n in range(start, number):
            since = (times[n] - centre[k]) / width[k]
            value = math.exp(-2.772588722 * since * since) if since < REACH else 0.0
            low = transition[n, 0] * x + transition[n, 1] * v
            high = transition[n, 2] * x + transition[n, 3] * v
            if n == start:
                low = high = 0.0
            e = value - low
            x, v = low + gain[n, 0] * e, high + gain[n, 1] * e
            w = e * root[n]
            tt += w * w
            ty += w * white[n, 1]
            t1 += w * white[n, 0]
            if since >= REACH and abs(low) < FORGOTTEN and abs(high) * width[k] < FORGOTTEN:
                break
        square = tt - t1 * t1 / ones
        if square > 1e-9:
            largest = max(largest, abs(ty - t1 * mean) / math.sqrt(square))
    return largest
