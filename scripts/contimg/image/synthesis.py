"""The synthesised beam that the uv coverage gives, before anything is imaged."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from contimg.core.errors import DataQualityError
from contimg.core.fits import Beam
from contimg.image.options import ImageOptions
from contimg.image.visibilities import Coverage, Sampling

_POINTS = 31  # on a side, where the main lobe is evaluated
_MAX_CELLS = 4096
# the core of the lobe, to which the tiers have the imagers fit the restoring beam: a halo below it
# (from a dense core of the array) would make a Gaussian that is wider than the lobe is anywhere
_CORE = 0.7


def expected_beam(sampling: Sampling, options: ImageOptions, field_rad: float) -> Beam:
    """Gaussian of the core of the main lobe, for the weighting of effective `options`.

    `field_rad` is the side of the image: its inverse is the cell of the uv plane in which
    uniform and Briggs weighting (Briggs 1995, PhD thesis, eq. 3.18 ff.) count the visibilities.
    """
    u, v, grid = imaging_weights(sampling.coverage, options, field_rad)
    # second moments of the weights: the curvature of the lobe, hence its smallest width
    total = grid.sum()
    spread = max((grid.sum(0) * u**2).sum(), (grid.sum(1) * v**2).sum()) / total
    reach = 0.3 / np.sqrt(spread)
    for _ in range(12):
        offsets = np.linspace(-reach, reach, _POINTS)
        lobe = _transform(grid, u, v, offsets) / total
        inside = _main_lobe(lobe)
        if not (inside[[0, -1]].any() or inside[:, [0, -1]].any()):
            return _fit(lobe, inside, offsets)
        reach *= 1.4
    raise DataQualityError("the uv coverage gives no beam: its main lobe does not end")


def imaging_weights(
    coverage: Coverage, options: ImageOptions, field_rad: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(u, v) [wavelengths] of the cells of the uv plane, and their imaging weights [v, u]."""
    reach = float(max(np.abs(coverage.u_lambda).max(), np.abs(coverage.v_lambda).max()))
    cell = max(1 / field_rad, 2 * reach / _MAX_CELLS)
    half = int(np.ceil(reach / cell)) + 1
    n = 2 * half + 1
    ix = np.rint(coverage.u_lambda / cell).astype(np.int64) + half
    iy = np.rint(coverage.v_lambda / cell).astype(np.int64) + half
    grid = np.bincount(iy * n + ix, weights=coverage.weight, minlength=n * n)
    grid = grid + grid[::-1]  # the conjugate visibilities
    occupied = grid[grid > 0]
    if options.weighting == "uniform":
        grid = (grid > 0).astype(float)
    elif options.weighting == "briggs":
        assert options.robust is not None
        factor = (5 * 10**-options.robust) ** 2 * occupied.sum() / (occupied**2).sum()
        grid = grid / (1 + grid * factor)
    axis = (np.arange(n) - half) * cell
    return axis, axis, grid.reshape(n, n)


def _transform(grid: NDArray, u: NDArray, v: NDArray, offsets: NDArray) -> NDArray[np.float64]:
    """Direct transform to the (m, l) of `offsets` [rad]; the axes separate."""
    rows = np.exp(2j * np.pi * np.outer(offsets, v))
    columns = np.exp(2j * np.pi * np.outer(u, offsets))
    return (rows @ (grid @ columns)).real


def _main_lobe(lobe: NDArray) -> NDArray[np.bool_]:
    from scipy.ndimage import label

    parts, _ = label(lobe > _CORE)
    return parts == parts[_POINTS // 2, _POINTS // 2]


def _fit(lobe: NDArray, inside: NDArray[np.bool_], offsets: NDArray) -> Beam:
    """Least squares of exp(-(a l^2 + b l m + c m^2)) over the main lobe."""
    from scipy.optimize import least_squares

    reach = offsets[-1]
    m, l_cos = (o[inside] / reach for o in np.meshgrid(offsets, offsets, indexing="ij"))
    design, height = np.stack([l_cos**2, l_cos * m, m**2], axis=1), lobe[inside]
    start = np.linalg.lstsq(design, -np.log(height), rcond=None)[0]
    a, b, c = least_squares(lambda p: np.exp(-design @ p) - height, start).x
    values, vectors = np.linalg.eigh([[a, b / 2], [b / 2, c]])
    if not values[0] > 0:
        raise DataQualityError("the uv coverage gives no beam: its main lobe is no Gaussian")
    axes = 2 * np.sqrt(np.log(2) / values) * reach
    major, minor = (float(np.degrees(axis)) for axis in axes)
    east, north = vectors[:, 0]  # along the major axis
    return Beam(major, minor, float(np.degrees(np.arctan2(east, north)) % 180))
