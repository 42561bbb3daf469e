"""Regions of the sky that images cover, as polygons."""

from __future__ import annotations

import numpy as np
from astropy.wcs import WCS
from numpy.typing import ArrayLike, NDArray

_POINTS = 72  # of a polygon


def outline(usable: NDArray, step: int, wcs: WCS, shape: tuple[int, int]) -> NDArray[np.float64]:
    """(ra, dec) [deg] of the first and last usable pixel of every row and column.

    What lies between the samples is added on each side; a convex region then lies inside.
    """
    x, y = _edge(usable)
    grow = step - 1
    middle = float(np.mean(x)), float(np.mean(y))
    x = np.clip(x * step + grow * np.sign(x - middle[0]), 0, shape[1] - 1)
    y = np.clip(y * step + grow * np.sign(y - middle[1]), 0, shape[0] - 1)
    return np.stack(wcs.pixel_to_world_values(x, y), axis=1)


def _edge(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(x, y) of the first and last true pixel of every row and column."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    by_row, by_col = mask[rows], mask[:, cols].T
    x = [by_row.argmax(1), mask.shape[1] - 1 - by_row[:, ::-1].argmax(1), cols, cols]
    y = [rows, rows, by_col.argmax(1), mask.shape[0] - 1 - by_col[:, ::-1].argmax(1)]
    return np.concatenate(x), np.concatenate(y)


def polygon(points: NDArray[np.float64], wcs: WCS) -> str:
    """``POLYGON ICRS ra dec ra dec ...`` [deg], as ObsCore's s_region has it, about `points`.

    `points` (point, 2) are (ra, dec) [deg]; of those in one direction from the middle the farthest
    is kept.
    """
    x, y = wcs.world_to_pixel_values(points[:, 0], points[:, 1])
    angle = np.arctan2(y - y.mean(), x - x.mean())
    bins = np.floor((angle + np.pi) / (2 * np.pi) * _POINTS).astype(int).clip(0, _POINTS - 1)
    distance = np.hypot(y - y.mean(), x - x.mean())
    kept = []
    for number in np.unique(bins):
        members = np.flatnonzero(bins == number)
        kept.append(points[members[np.argmax(distance[members])]])
    return "POLYGON ICRS " + " ".join(f"{ra:.5f} {dec:.5f}" for ra, dec in kept)


def inside(s_region: str, ra_deg: ArrayLike, dec_deg: ArrayLike) -> NDArray[np.bool_]:
    """Which positions lie in ``POLYGON ICRS ra dec ...``, all in deg, by the even-odd rule."""
    corners = np.array(s_region.split()[2:], dtype=float).reshape(-1, 2)
    ra0, dec0 = corners[0, 0], float(corners[:, 1].mean())

    def plane(ra: ArrayLike, dec: ArrayLike) -> NDArray[np.float64]:
        east = (np.asarray(ra, float) - ra0 + 180) % 360 - 180
        return np.stack([east * np.cos(np.radians(dec0)), np.asarray(dec, float)], axis=-1)

    x, y = plane(ra_deg, dec_deg).T
    polygon = plane(*corners.T)
    result = np.zeros(x.shape, bool)
    for (x1, y1), (x2, y2) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y1 != y2:
            result ^= ((y1 > y) != (y2 > y)) & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return result
