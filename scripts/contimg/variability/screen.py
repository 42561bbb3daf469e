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
from contimg.variability.lanes import largest, largest_in_white
from contimg.variability.noise import Noise

WIDTH_RATIO, STEP = 1.6, 0.35  # of neighbouring widths; of centres, in widths
REACH = 1.2  # widths on either side of the centre where a Gaussian is not zero
PROMISING = 13.0  # ln L that a template must gain over the best noise: what its freedom costs
AMPLITUDES_BELOW = 2  # of the process that explains most, tried too
WEAK, WEAK_TRIED = 0.05, 6  # amplitude of weak processes; so many of them are tried
NEXT_BEST = 4  # other processes that explain nearly as much
MISMATCH = 0.15  # part of what a dip gains that is lost because of its shape


def promising(
    times: NDArray, flux: NDArray, variance: NDArray, null: NDArray, grid: list[Noise]
) -> bool:
    """Whether a dip or bump under any noise could explain more than noise alone.

    `null` (H,) are the ln L of the noise models. Tried are those that a template may make the best:
    none, the best processes, the first with smaller amplitudes, and the best weak ones.
    """
    order = np.argsort(-null, kind="stable")
    best = int(order[0])
    process = grid[best].kernel, grid[best].tau_days
    same = [h for h, n in enumerate(grid[:best]) if (n.kernel, n.tau_days) == process]
    weak = [h for h in order if 0 < grid[h].amplitude < WEAK][:WEAK_TRIED]
    shapes = _shapes(times, *_places(times))
    least = null.max() + PROMISING
    most = _gain(largest_in_white(flux, variance, shapes))  # that any template gains
    if null[0] + most > least:
        return True
    tried = [*order[: 1 + NEXT_BEST].tolist(), *same[-AMPLITUDES_BELOW:], *weak]
    tried = [h for h in dict.fromkeys(tried) if h and null[h] + most >= least]
    if not tried:
        return False
    gain = _gain(largest(times, flux, variance, tried, grid, shapes))
    return bool((null[tried] + gain > least).any())


def _gain(sigma):
    """In ln L, of a template that is so many errors."""
    return 0.5 * sigma**2 * (1 + MISMATCH)


def _places(times: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres and widths (K,) of the templates [days], by width."""
    low, span = 2 * typical_gap(times), times[-1]
    widths = low * WIDTH_RATIO ** np.arange(math.ceil(math.log(span / low) / math.log(WIDTH_RATIO)))
    centres = [np.arange(0, span, STEP * w) for w in widths]
    return np.concatenate(centres), np.repeat(widths, [len(c) for c in centres])


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
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
        start, middle, scale = place[k] - first[k], centre[k], 1 / width[k]
        for n in range(first[k], last[k]):
            since = (times[n] - middle) * scale
            # the exponential of at least -4, right to 1e-9: several at a time, as no library has it
            x = -0.34657359028 * since * since
            e = 1 + x / 9
            for j in range(8, 0, -1):
                e = 1 + x / j * e
            e *= e
            e *= e
            value[start + n] = e * e
    return first, last, place, value
