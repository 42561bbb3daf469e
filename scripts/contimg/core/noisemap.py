"""The noise of an image from place to place: robust scatter in boxes, linear in between."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from contimg.core.robust import clipped_rms

Array = NDArray[np.float64]
_MIN_FILLED = 0.25  # of a box, below which its neighbours speak for it
_BAND = 256  # rows filled together


def measure_boxes(
    values: NDArray[np.floating],
    box: int,
    thin: int = 1,
    unit: NDArray[np.floating] | None = None,
) -> tuple[Array, Array]:
    """(rms without outliers, median) of `values` [y, x] in boxes of `box` pixels half a box apart.

    The error of the rms is what makes noise peaks look significant: 3 % in a box of 16 beams make
    half as many more above 5 sigma, the 5 % of a median absolute deviation twice as many. Of every
    `thin`-th pixel, in units of `unit` [y, x] if given; NaN where a box holds too little.
    """
    rows, cols = (box_centres(n, box) for n in values.shape)
    measured = np.full((rows.size, cols.size), np.nan)
    middle = np.full((rows.size, cols.size), np.nan)
    half = box / 2
    for i, y in enumerate(rows):
        band = np.s_[max(0, int(y - half)) : int(y + half) + 1 : thin]
        row = values[band, ::thin]
        row = row if unit is None else row / unit[band, ::thin]
        for j, x in enumerate(cols):
            part = row[:, max(0, int((x - half) / thin)) : int((x + half) / thin) + 1]
            finite = part[np.isfinite(part)]
            if finite.size >= max(20, _MIN_FILLED * part.size):
                middle[i, j] = np.median(finite)
                measured[i, j] = clipped_rms(finite - middle[i, j])
    return measured, middle


def multiply_by(values: Array, box: int, into: NDArray[np.float32]) -> None:
    """Multiply the map `into` [y, x] by the `values` of its boxes, linear between their centres."""
    rows, cols = (box_centres(n, box) for n in into.shape)
    across = _interpolate(values.T, np.arange(into.shape[1]) + 0.5, cols).T
    for first in range(0, into.shape[0], _BAND):
        band = np.arange(first, min(first + _BAND, into.shape[0]))
        into[band] *= _interpolate(across, band + 0.5, rows).astype(np.float32)


def box_centres(size: int, box: int) -> Array:
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
