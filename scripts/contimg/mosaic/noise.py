"""The noise that is really there: the expected noise times a factor measured on the residual."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from contimg.core.fits import Beam, robust_rms

Array = NDArray[np.float64]
_MIN_FILLED = 0.25  # of a box, below which its neighbours speak for it
_LOWEST = 0.5  # of the median factor: residuals blank or clipped to zero must not promise silence


def noise_factor(
    residual: Array, noise: Array, beam: Beam, cell_deg: float, box_beams: float
) -> tuple[Array, float]:
    """Measured over expected noise at every pixel [y, x], and its median over the boxes.

    The scaled median absolute deviation of residual / noise is taken in square boxes of
    `box_beams` beam major axes whose centres lie half a box apart, and interpolated linearly.
    NaN where `noise` is; a mosaic without any measurable box gives NaN everywhere.
    """
    ratio = residual / noise
    box = max(8, round(box_beams * beam.major_deg / cell_deg))
    # noise is alike within a beam: a third of the minor axis loses nothing
    thin = max(1, int(beam.minor_deg / cell_deg / 3))
    values = _box_factors(ratio, box, thin)
    finite = np.isfinite(values)
    if not finite.any():
        return np.full(residual.shape, np.nan), float("nan")
    median = float(np.median(values[finite]))
    nearest = ndimage.distance_transform_edt(~finite, return_distances=False, return_indices=True)
    values = np.maximum(values[tuple(nearest)], _LOWEST * median)
    factor = _spread_out(values, residual.shape, box)
    factor[~np.isfinite(noise)] = np.nan
    return factor, median


def _centres(size: int, box: int) -> Array:
    """Centres of the boxes along an axis of `size` pixels, about half a box apart."""
    count = max(1, round(size / (box / 2)) - 1)
    return (np.arange(count) + 1) * size / (count + 1)


def _box_factors(ratio: Array, box: int, thin: int) -> Array:
    rows, cols = (_centres(n, box) for n in ratio.shape)
    values = np.full((rows.size, cols.size), np.nan)
    half = box / 2
    for i, y in enumerate(rows):
        band = ratio[max(0, int(y - half)) : int(y + half) + 1 : thin]
        for j, x in enumerate(cols):
            part = band[:, max(0, int(x - half)) : int(x + half) + 1 : thin]
            finite = part[np.isfinite(part)]
            if finite.size >= max(20, _MIN_FILLED * part.size):
                values[i, j] = robust_rms(finite)
    return values


def _spread_out(values: Array, shape: tuple[int, int], box: int) -> Array:
    """Bilinear interpolation from the box centres, constant beyond the outermost ones."""
    rows, cols = (_centres(n, box) for n in shape)
    at_rows = _interpolate(values, np.arange(shape[0]) + 0.5, rows)
    return _interpolate(at_rows.T, np.arange(shape[1]) + 0.5, cols).T


def _interpolate(values: Array, at: Array, nodes: Array) -> Array:
    """Linear interpolation of the rows of `values`, given at `nodes`, to `at`."""
    if nodes.size == 1:
        return np.repeat(values, at.size, axis=0)
    low = np.clip(np.searchsorted(nodes, at) - 1, 0, nodes.size - 2)
    part = np.clip((at - nodes[low]) / (nodes[low + 1] - nodes[low]), 0, 1)[:, None]
    return (1 - part) * values[low] + part * values[low + 1]
