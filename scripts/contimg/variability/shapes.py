"""The change of flux, G(u) - 1, that a Gaussian lens causes, at u = (t - t0) / t_a.

Lenses are described by the width of their dip (FWHM in days) instead of the crossing time t_a,
so that those of every strength cover the same range of what is seen. Profiles are tabulated on
a grid of strengths and source sizes; the nearest one is taken, its width and centre are free.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from contimg.core.lens import smoothed_gain

ALPHAS = np.geomspace(0.5, 50, 13)
SIZES = np.geomspace(0.1, 2.7, 4)  # of the source (FWHM) in lens widths
MIN_BASELINE = 3  # epochs with less than a fifth of the depth
_STEP, _REACH = 0.01, 12.0  # of the tables, in half-widths of the dip


@dataclass(frozen=True)
class Lenses:
    """B lenses: their strength, source size, width [days] and centre [days]; each (B,)."""

    alpha: NDArray[np.float64]
    size: NDArray[np.float64]
    width: NDArray[np.float64]
    t0: NDArray[np.float64]

    def __getitem__(self, rows: NDArray) -> Lenses:
        return Lenses(self.alpha[rows], self.size[rows], self.width[rows], self.t0[rows])


def nearest_shape(alpha: NDArray, size: NDArray) -> tuple[NDArray, NDArray]:
    """Strengths and source sizes of the table nearest (in logarithm) to those given."""
    rows, columns = _indices(alpha, size)
    return ALPHAS[rows], SIZES[columns]


def changes(lenses: Lenses, times: NDArray) -> NDArray[np.float64]:
    """G - 1 of every lens at `times` (N,) [days]: (B, N)."""
    table, shape = _table(), _flat(lenses)[:, None]
    distance = np.abs(times - lenses.t0[:, None]) / (lenses.width[:, None] / 2) / _STEP
    below = np.minimum(distance.astype(int), table.shape[1] - 2)
    # beyond the table the last value, zero, is kept
    fraction = np.minimum(distance - below, 1.0)
    low = table[shape, below]
    return low + fraction * (table[shape, below + 1] - low)


def depths(lenses: Lenses) -> NDArray[np.float64]:
    """1 - smallest gain of every lens (B,)."""
    return -_table().min(axis=1)[_flat(lenses)]


def constrained(
    change: NDArray, depth: NDArray, min_points: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which templates (B, N) the epochs constrain, and the epochs in their dips (B,).

    It takes `min_points` epochs below half the depth and ``MIN_BASELINE`` epochs at less than
    a fifth of it: without the first a template would fit single outliers, without the second
    anything that rises or falls.
    """
    relative = change / depth[:, None]
    in_dip = (relative < -0.5).sum(axis=1)
    baseline = (relative > -0.2).sum(axis=1)
    enough = (in_dip >= min_points) & (baseline >= MIN_BASELINE)
    return enough & (relative.min(axis=1) < -0.8), in_dip


def _indices(alpha: NDArray, size: NDArray) -> tuple[NDArray, NDArray]:
    return _nearest(ALPHAS, alpha), _nearest(SIZES, size)


def _nearest(grid: NDArray, values: NDArray) -> NDArray[np.int64]:
    """Index of the nearest point of a grid that is even in logarithm."""
    step = np.log(grid[1] / grid[0])
    index = np.rint(np.log(np.asarray(values) / grid[0]) / step).astype(int)
    return np.clip(index, 0, len(grid) - 1)


def _flat(lenses: Lenses) -> NDArray[np.int64]:
    rows, columns = _indices(lenses.alpha, lenses.size)
    return rows * len(SIZES) + columns


@cache
def _table() -> NDArray[np.float64]:
    """Profiles of all shapes against the distance in half-widths of the dip."""
    return np.stack([_profile(float(a), float(s)) for a in ALPHAS for s in SIZES])


def _profile(alpha: float, size: float) -> NDArray[np.float64]:
    coarse = np.linspace(0, 3 + 0.1 * alpha + size, 1001)
    change = smoothed_gain(coarse, alpha, size) - 1
    # the first place above half the depth, interpolated
    k = int(np.argmax(change > change[0] / 2))
    half = np.interp(change[0] / 2, change[k - 1 : k + 1], coarse[k - 1 : k + 1])
    profile = smoothed_gain(np.arange(0, _REACH + _STEP, _STEP) * half, alpha, size) - 1
    return np.append(profile, 0.0)
