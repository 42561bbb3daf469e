"""Templates that are zero at most epochs: what they are where they are not."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.variability.filters import supports


class Pieces(NamedTuple):
    """K templates at N epochs in ascending order."""

    first: NDArray[np.int64]  # (K,) epochs at which they may begin to differ from zero
    last: NDArray[np.int64]  # (K,) the epochs after their last
    place: NDArray[np.int64]  # (K + 1,) where the values of each begin
    value: NDArray[np.float64]  # of all, one after the other

    def whole(
        self, epochs: int, keep: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Those to `keep` as columns (N, kept), and the supports of their blocks."""
        templates = _whole(*self, epochs, np.flatnonzero(keep))
        return templates, supports(templates)

    def counted(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Epochs (K,) at which each is below a half, those at which it is a fifth or more, either
        way, and its lowest value."""
        return _counted(*self)

    def extremes(self, epochs: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lowest and highest value (K,) at any of the epochs."""
        return _extremes(*self, epochs)


@numba.njit(cache=True, nogil=True)
def _whole(first, last, place, value, epochs, keep):
    result = np.zeros((epochs, len(keep)), np.float32)
    for column in range(len(keep)):
        k = keep[column]
        for n in range(first[k], last[k]):
            result[n, column] = value[place[k] + n - first[k]]
    return result


@numba.njit(cache=True, nogil=True, fastmath=True)
def _counted(first, last, place, value):
    number = len(first)
    low, changed, lowest = np.zeros(number, np.int64), np.zeros(number, np.int64), np.zeros(number)
    for k in range(number):
        below, other, least = 0, 0, 0.0
        for p in range(place[k], place[k + 1]):
            below += value[p] < -0.5
            other += abs(value[p]) >= 0.2
            least = min(least, value[p])
        low[k], changed[k], lowest[k] = below, other, least
    return low, changed, lowest


@numba.njit(cache=True, nogil=True)
def _extremes(first, last, place, value, epochs):
    number = len(first)
    lowest, highest = np.zeros(number), np.zeros(number)
    for k in range(number):
        whole = last[k] - first[k] == epochs
        low, high = (np.inf, -np.inf) if whole else (0.0, 0.0)
        for p in range(place[k], place[k + 1]):
            low, high = min(low, value[p]), max(high, value[p])
        lowest[k], highest[k] = low, high
    return lowest, highest
