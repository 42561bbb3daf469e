"""The noise that is really there: the expected noise times a factor measured on the residual."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from contimg.core.fits import Beam
from contimg.core.robust import robust_rms

Array = NDArray[np.float64]
_MIN_FILLED = 0.25  # of a box, below which its neighbours speak for it
_LOWEST = 0.5  # of the median factor: residuals blank or clipped to zero must not promise silence


@dataclass(frozen=True)
class Factors:
    """Measured over expected noise in boxes half a box apart, and their median.

    `measured` and `background` (median of residual / noise) are NaN where a box holds too little.
    """

    measured: Array
    background: Array
    box: int
    median: float


def measure_factors(
    residual: NDArray[np.floating],
    noise: NDArray[np.floating],
    beam: Beam,
    cell_deg: float,
    box_beams: float,
) -> Factors:
    """Scaled median absolute deviation and median of residual / noise [y, x] in square boxes of
    `box_beams` beam major axes."""
    box = max(8, round(box_beams * beam.major_deg / cell_deg))
    # noise is alike within a beam: half of the minor axis loses next to nothing
    thin = max(1, round(beam.minor_deg / cell_deg / 2))
    rows, cols = (_centres(n, box) for n in residual.shape)
    measured = np.full((rows.size, cols.size), np.nan)
    background = np.full((rows.size, cols.size), np.nan)
    half = box / 2
    for i, y in enumerate(rows):
        band = np.s_[max(0, int(y - half)) : int(y + half) + 1 : thin]
        ratio = residual[band, ::thin] / noise[band, ::thin]
        for j, x in enumerate(cols):
            part = ratio[:, max(0, int((x - half) / thin)) : int((x + half) / thin) + 1]
            finite = part[np.isfinite(part)]
            if finite.size >= max(20, _MIN_FILLED * part.size):
                background[i, j] = np.median(finite)
                measured[i, j] = robust_rms(finite)
    finite = measured[np.isfinite(measured)]
    return Factors(measured, background, box, float(np.median(finite)) if finite.size else np.nan)


def scale_by_factors(noise: NDArray[np.float32], factors: Factors) -> None:
    """Turn the expected noise [y, x] into the measured one, in place.

    The factors are interpolated linearly; boxes without one take that of the nearest. A mosaic
    without any measurable box becomes NaN.
    """
    finite = np.isfinite(factors.measured)
    if not finite.any():
        noise[:] = np.nan
        return
    nearest = ndimage.distance_transform_edt(~finite, return_distances=False, return_indices=True)
    values = np.maximum(factors.measured[tuple(nearest)], _LOWEST * factors.median)
    rows, cols = (_centres(n, factors.box) for n in noise.shape)
    across = _interpolate(values.T, np.arange(noise.shape[1]) + 0.5, cols).T
    for first in range(0, noise.shape[0], 256):
        band = np.arange(first, min(first + 256, noise.shape[0]))
        noise[band] *= _interpolate(across, band + 0.5, rows).astype(np.float32)


def _centres(size: int, box: int) -> Array:
    """Centres of the boxes along an axis of `size` pixels, about half a box apart."""
    count = max(1, round(size / (box / 2)) - 1)
    return (np.arange(count) + 1) * size / (count + 1)


def _interpolate(values: Array, at: Array, nodes: Array) -> Array:
    """Linear interpolation of the rows of `values`, given at `nodes`, to `at`."""
    if nodes.size == 1:
        return np.repeat(values, at.size, axis=0)
    low = np.clip(np.searchsorted(nodes, at) - 1, 0, nodes.size - 2)
    part = np.clip((at - nodes[low]) / (nodes[low + 1] - nodes[low]), 0, 1)[:, None]
    return (1 - part) * values[low] + part * values[low + 1]
