"""Whether anything in a long light curve stands out of its noise: a quick matched filter.

Most sources vary as their noise does. Against all templates of the banks a light curve of 1,000
epochs takes a second; dips and bumps of one shape, each filtered only where it is not zero, take a
few milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.variability.banks import typical_gap
from contimg.variability.filters import Whitener, afterwards
from contimg.variability.noise import Noise

WIDTH_RATIO, STEP = 1.6, 0.35  # of neighbouring widths; of centres, in widths
REACH = 1.2  # widths on either side of the centre where a Gaussian is not zero
PROMISING = 13.0  # ln L that a template must gain over the best noise: what its freedom costs
AMPLITUDES_BELOW = 2  # of the process that explains most, tried too
WEAK, WEAK_TRIED = 0.05, 6  # amplitude of weak processes; so many of them are tried
NEXT_BEST = 4  # other processes that explain nearly as much
MISMATCH = 0.15  # part of what a dip gains that is lost because of its shape


def promising(
    times: NDArray,
    flux: NDArray,
    null: NDArray,
    filter_of: Callable[[int], Whitener],
    grid: list[Noise],
) -> bool:
    """Whether a dip or bump under any noise could explain more than noise alone.

    `null` (H,) are the ln L of the noise models, `filter_of` makes the filter of one. Tried are
    those that a template may make the best: none, the best processes, the first with smaller
    amplitudes, and the best weak ones.
    """
    order = np.argsort(-null, kind="stable")
    best = int(order[0])
    process = grid[best].kernel, grid[best].tau_days
    same = [h for h, n in enumerate(grid[:best]) if (n.kernel, n.tau_days) == process]
    weak = [h for h in order if 0 < grid[h].amplitude < WEAK][:WEAK_TRIED]
    shapes = _shapes(times, *_places(times))
    most = np.inf  # that any template gains: as much as in white noise
    tried = [0, *order[: 1 + NEXT_BEST].tolist(), *same[-AMPLITUDES_BELOW:], *weak]
    for h in dict.fromkeys(tried):
        if null[h] + most < null.max() + PROMISING:
            continue
        filt = filter_of(h)
        z = _largest(filt.transition, filt.gain, filt.root, filt.white(flux), *shapes)
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
def _shapes(times, centre, width):
    """Gaussians (K,) where they are not zero: first epochs, the epochs after the last, and their
    values one after the other, with the place of each one's first."""
    first = np.searchsorted(times, centre - REACH * width, side="right")
    last = np.searchsorted(times, centre + REACH * width)
    place = np.zeros(len(centre) + 1, np.int64)
    for k in range(len(centre)):
        place[k + 1] = place[k] + last[k] - first[k]
    value = np.empty(place[-1])
    for k in range(len(centre)):
        for n in range(first[k], last[k]):
            since = (times[n] - centre[k]) / width[k]
            value[place[k] + n - first[k]] = math.exp(-2.772588722 * since * since)
    return first, last, place, value


@numba.njit(cache=True, nogil=True)
def _largest(transition, gain, root, white, first, last, place, value):
    """Largest |sigma| of any of the templates of :func:`_shapes`, the mean fitted too."""
    number = len(root)
    ones = (white[:, 0] ** 2).sum()
    mean = (white[:, 0] * white[:, 1]).sum() / ones
    after = afterwards(transition, gain, root, white)
    largest = 0.0
    for k in range(len(first)):
        x = v = tt = ty = t1 = low = high = 0.0
        for n in range(first[k], last[k] + 1):
            if n == number:
                break
            if n > first[k]:
                low = transition[n, 0] * x + transition[n, 1] * v
                high = transition[n, 2] * x + transition[n, 3] * v
            if n == last[k]:
                rest = after[n]
                tt += rest[0] * low * low + rest[1] * low * high + rest[2] * high * high
                ty += rest[3] * low + rest[4] * high
                t1 += rest[5] * low + rest[6] * high
                break
            e = value[place[k] + n - first[k]] - low
            x, v = low + gain[n, 0] * e, high + gain[n, 1] * e
            w = e * root[n]
            tt += w * w
            ty += w * white[n, 1]
            t1 += w * white[n, 0]
        square = tt - t1 * t1 / ones
        if square > 1e-9:
            largest = max(largest, abs(ty - t1 * mean) / math.sqrt(square))
    return largest
