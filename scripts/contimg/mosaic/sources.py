"""Bright point sources of single tiles: where they are and how bright, for comparing tiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from contimg.core.fits import Beam
from contimg.mosaic.tiles import Tile

_MIN_PB = 0.3  # farther out the primary beam itself is too uncertain to compare with
_MOST = 300  # sources of a tile
_ALONE_BEAMS = 3.0  # no other peak of a tenth of the brightness within so many major axes
_BAND = 512  # rows looked at together

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sources:
    """Fitted sources of a tile: (ra, dec) [deg], flux corrected for the beam [Jy], its SNR."""

    ra_deg: Array
    dec_deg: Array
    flux_jy: Array
    snr: Array


def find_sources(tile: Tile, min_snr: float, pb_limit: float) -> Sources:
    """The brightest isolated peaks above `min_snr` where the primary beam is fair."""
    assert tile.image is not None and tile.pb is not None
    image, y, x = _above(tile, min_snr * tile.rms_jy_beam, max(pb_limit, _MIN_PB))
    value = image[y, x]
    order = np.argsort(-value, kind="stable")
    y, x, value = y[order], x[order], value[order]
    alone = _isolated(y, x, value, _ALONE_BEAMS * tile.beam.major_deg / tile.cell_deg)[:_MOST]
    fitted = fit_points(image, y[alone], x[alone], tile.beam, tile.wcs.pixel_scale_matrix)
    good = np.isfinite(fitted).all(axis=0)
    amplitude, fy, fx = fitted[:, good]
    pb = tile.pb.data[np.round(fy).astype(int), np.round(fx).astype(int)].astype(float)
    ra, dec = tile.wcs.pixel_to_world_values(fx, fy)
    return Sources(np.asarray(ra), np.asarray(dec), amplitude / pb, amplitude / tile.rms_jy_beam)


def _above(tile: Tile, level: float, pb_limit: float) -> tuple[NDArray, NDArray, NDArray]:
    """The image, not corrected for the primary beam, and (y, x) of its local maxima."""
    assert tile.image is not None and tile.pb is not None
    height, width = tile.image.shape
    image = tile.image.read((0, height, 0, width))
    found_y, found_x = [], []
    for first in range(0, height, _BAND):
        last = min(first + _BAND, height)
        band = image[first:last]
        if tile.image_corrected:
            band *= tile.pb.read((first, last, 0, width))
        y, x = np.nonzero(band > level)
        found_y.append(y + first)
        found_x.append(x)
    y, x = np.concatenate(found_y), np.concatenate(found_x)
    inner = (y > 0) & (x > 0) & (y < height - 1) & (x < width - 1)
    y, x = y[inner], x[inner]
    top = np.ones(y.size, bool)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            top &= image[y, x] >= image[y + dy, x + dx]  # false beside a blank
    y, x = y[top], x[top]
    fair = tile.pb.data[y, x] >= pb_limit
    return image, y[fair], x[fair]


def _isolated(y: NDArray, x: NDArray, value: NDArray, radius: float) -> NDArray[np.int64]:
    """Indices of the peaks (sorted by brightness) that nothing comparable stands beside."""
    if y.size == 0:
        return np.empty(0, int)
    positions = np.stack([y, x], axis=1).astype(float)
    keep = np.ones(y.size, bool)
    for a, b in cKDTree(positions).query_pairs(radius):
        keep[max(a, b)] = False
        if value[max(a, b)] > 0.1 * value[min(a, b)]:
            keep[min(a, b)] = False
    return np.flatnonzero(keep)


def fit_points(
    image: NDArray[np.floating], y: NDArray, x: NDArray, beam: Beam, pixel_scale: Array
) -> Array:
    """(amplitude, y, x) [3, n] of point sources near integer pixels; NaN where the fit fails.

    Gauss-Newton steps for a source of the shape of the beam, within 0.7 of its widths.
    """
    to_pixel = np.linalg.inv(pixel_scale)
    inverse = np.linalg.inv(to_pixel @ beam.covariance @ to_pixel.T)
    half = max(2, int(np.ceil(0.7 * beam.major_deg * np.abs(to_pixel).max())))
    dy, dx = (a.ravel() for a in np.mgrid[-half : half + 1, -half : half + 1])
    shape_q = inverse[0, 0] * dx**2 + 2 * inverse[0, 1] * dx * dy + inverse[1, 1] * dy**2
    near = shape_q <= (2 * 0.7) ** 2 * 2 * np.log(2)
    dy, dx = dy[near], dx[near]
    rows, cols = y[:, None] + dy, x[:, None] + dx
    inside = (rows.min(1) >= 0) & (cols.min(1) >= 0)
    inside &= (rows.max(1) < image.shape[0]) & (cols.max(1) < image.shape[1])
    rows, cols = np.where(inside[:, None], rows, 0), np.where(inside[:, None], cols, 0)
    data = image[rows, cols].astype(float)
    inside &= np.isfinite(data).all(axis=1)
    data[~inside] = 0.0
    amplitude = data.max(axis=1, initial=0.0)
    shift_y, shift_x = np.zeros(y.size), np.zeros(y.size)
    for _ in range(6):
        u, v = dx - shift_x[:, None], dy - shift_y[:, None]
        model = np.exp(
            -(inverse[0, 0] * u**2 + 2 * inverse[0, 1] * u * v + inverse[1, 1] * v**2) / 2
        )
        slope_x = amplitude[:, None] * model * (inverse[0, 0] * u + inverse[0, 1] * v)
        slope_y = amplitude[:, None] * model * (inverse[0, 1] * u + inverse[1, 1] * v)
        design = np.stack([model, slope_y, slope_x], axis=2)
        normal = np.swapaxes(design, 1, 2) @ design
        normal[~inside] = np.eye(3)
        normal += 1e-12 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(3)
        residual = data - amplitude[:, None] * model
        step = np.linalg.solve(normal, np.swapaxes(design, 1, 2) @ residual[..., None])[..., 0]
        amplitude += step[:, 0]
        shift_y += np.clip(step[:, 1], -1, 1)
        shift_x += np.clip(step[:, 2], -1, 1)
    bad = ~inside | (np.hypot(shift_y, shift_x) > 2) | (amplitude <= 0)
    result = np.stack([amplitude, y + shift_y, x + shift_x])
    result[:, bad] = np.nan
    return result
