"""Sources of an image: its peaks above the local noise, one a beam."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

_NEIGHBOURS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]


@dataclass(frozen=True)
class Peaks:
    """Peaks, brightest first: position [pixel], height [Jy/beam], height over the local noise."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    peak_jy_beam: NDArray[np.float64]
    snr: NDArray[np.float64]


def find_peaks(
    image: NDArray[np.floating],
    noise: NDArray[np.floating],
    where: NDArray[np.bool_],
    snr: float,
    beam_pixels: float,
) -> Peaks:
    """Local maxima above `snr` times `noise` where `where`; of two within a beam the brighter.

    Position and height come from a parabola through the logarithms of the pixels next to the
    highest one, which is exact for a Gaussian.
    """
    y, x = np.nonzero((image > snr * noise) & where)
    inner = (y > 0) & (x > 0) & (y < image.shape[0] - 1) & (x < image.shape[1] - 1)
    y, x = y[inner], x[inner]
    height = image[y, x]
    top = np.ones(y.size, bool)
    for dy, dx in _NEIGHBOURS:
        beside = image[y + dy, x + dx]
        # of equal neighbours the one with the smaller index is the peak
        top &= (height >= beside) if (dy, dx) > (0, 0) else (height > beside)
    y, x = y[top], x[top]
    step_x, gain_x = _parabola(image[y, x - 1], image[y, x], image[y, x + 1])
    step_y, gain_y = _parabola(image[y - 1, x], image[y, x], image[y + 1, x])
    height = image[y, x] * np.exp(gain_x + gain_y)
    order = np.argsort(-height, kind="stable")
    fx, fy, height = (x + step_x)[order], (y + step_y)[order], height[order].astype(float)
    ratio = height / noise[y, x][order]
    kept = _deblend(fx, fy, beam_pixels)
    return Peaks(fx[kept], fy[kept], height[kept], ratio[kept].astype(float))


def _parabola(left: NDArray, middle: NDArray, right: NDArray) -> tuple[NDArray, NDArray]:
    """(position of the vertex from the middle [pixel], rise to it) of three logarithms."""
    tiny = 1e-3 * middle
    a, b, c = (np.log(np.maximum(v, tiny).astype(float)) for v in (left, middle, right))
    curvature = a - 2 * b + c
    step = np.divide(a - c, 2 * curvature, out=np.zeros_like(a), where=curvature < 0)
    step = np.clip(step, -0.5, 0.5)
    return step, -curvature * step**2 / 2


def _deblend(x: NDArray, y: NDArray, distance: float) -> NDArray[np.int64]:
    """Indices of the peaks that have no brighter one (they come sorted) within `distance`."""
    if not x.size:
        return np.empty(0, np.int64)
    tree = cKDTree(np.stack([x, y], axis=1))
    kept = np.ones(x.size, bool)
    for k, near in enumerate(tree.query_ball_point(tree.data, distance)):
        if kept[k]:
            kept[[n for n in near if n > k]] = False
    return np.flatnonzero(kept)
