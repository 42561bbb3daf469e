"""The bank of light curves that plasma lenses can cause, as seen at given epochs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from contimg.variability.shapes import Lenses, changes, constrained, depths, nearest_shape

# (alpha, FWHM of the source in lens widths): from a smooth dip to flat bottoms between caustic
# spikes, with small and large sources; every other one already spans the range
SHAPES = (
    (0.5, 0.3),
    (2.0, 0.3),
    (2.0, 0.9),
    (5.0, 0.1),
    (5.0, 0.9),
    (10.0, 0.3),
    (10.0, 2.7),
    (20.0, 0.3),
    (20.0, 0.9),
    (50.0, 2.7),
)
# ratio of neighbouring widths, step of t0 in widths, step through SHAPES: the first that gives
# no more than MAX_TEMPLATES is taken, so that short light curves are searched finely
LEVELS = ((1.2, 0.1, 1), (1.3, 0.15, 1), (1.4, 0.2, 1), (1.5, 0.3, 1), (1.6, 0.35, 2))
MAX_TEMPLATES = 2500
RESOLUTION_DAYS = 0.02


@dataclass(frozen=True)
class Bank:
    """K templates at N epochs, and the limits they keep to."""

    lenses: Lenses  # centres in days after the first epoch
    change: NDArray[np.float64]  # (N, K) gain less one
    min_points: int
    width_min: float
    width_max: float

    def __len__(self) -> int:
        return self.change.shape[1]


def make_bank(times: NDArray, min_points: int, width_min: float, width_max: float) -> Bank:
    """Bank for epochs at `times` [days]; widths [days] up to that of the light curve."""
    elapsed = np.round((times - times[0]) / RESOLUTION_DAYS).astype(int)
    return _make_bank(tuple(elapsed.tolist()), min_points, width_min, width_max)


@lru_cache(maxsize=8)
def _make_bank(ticks: tuple[int, ...], min_points: int, width_min: float, width_max: float) -> Bank:
    times = np.array(ticks) * RESOLUTION_DAYS
    widest = max(width_min, min(width_max, 0.8 * times[-1]))
    for width_step, epoch_step, stride in LEVELS:
        number = 1 + int(np.ceil(np.log(widest / width_min) / np.log(width_step)))
        rows = [
            (alpha, size, width, t0)
            for alpha, size in zip(*nearest_shape(*np.array(SHAPES[::stride]).T), strict=True)
            for width in np.geomspace(width_min, widest, number)
            # centres from half a width before the first epoch to as much after the last
            for t0 in np.arange(-width / 2, times[-1] + width / 2 + 1e-9, epoch_step * width)
        ]
        lenses = Lenses(*np.array(rows).T)
        change = changes(lenses, times)
        keep, _ = constrained(change, depths(lenses), min_points)
        if keep.sum() <= MAX_TEMPLATES:
            break
    return Bank(lenses[keep], change[keep].T, min_points, width_min, widest)
