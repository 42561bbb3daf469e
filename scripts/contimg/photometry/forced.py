"""Flux densities at fixed positions.

With the beam k at the catalogue position, data d and noise s at each pixel, all divided by s:
f = (K^T K)^-1 K^T d for the sources of a group together, and with the noise correlation C

    cov(f) = N^-1 M N^-1,   N = K^T K,   M = K^T C K,

the covariance of an ordinary least squares estimate under correlated noise (Aitken 1935); for
one source the error is rms sqrt(k^T C k) / (k^T k).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, sparse
from scipy.spatial import cKDTree

from contimg.core.links import linked
from contimg.core.progress import progress
from contimg.photometry.geometry import Sources
from contimg.photometry.noise import Correlation
from contimg.photometry.stamps import Maps, Stamps, cut, half_width, squared_distance

Array = NDArray[np.float64]
Index = NDArray[np.int64]
CHUNK_PIXELS = 2_000_000
NEGLIGIBLE = 27.6  # squared distance at which the beam has fallen to 1e-6
_DENSE_PIXELS = 500  # of a group, up to which full matrices are faster than sparse ones
_SINGULAR = 1e-9  # least part of a beam that its neighbours must not be able to mimic


@dataclass
class Fluxes:
    """Per source: flux and error [Jy], chi^2 over its expectation, size of its group, flags."""

    flux: Array
    error: Array
    chi2: Array
    n_blend: Index
    complete: NDArray[np.bool_]


def group(sources: Sources, distance: float) -> Index:
    """Label of the group of each source: sources nearer than `distance` [pixel] are linked."""
    return linked(len(sources), *near_pairs(sources, distance).T)


def near_pairs(sources: Sources, distance: float) -> Index:
    """Pairs (i, j), i < j, nearer than `distance` [pixel], in a fixed order."""
    tree = cKDTree(np.stack([sources.x, sources.y], axis=1))
    pairs = tree.query_pairs(distance, output_type="ndarray")
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def forced_fit(
    sources: Sources, maps: Maps, correlation: Correlation, blend_pixels: float
) -> Fluxes:
    """Fit all sources, those nearer than `blend_pixels` together."""
    n = len(sources)
    labels = group(sources, blend_pixels)
    size = np.bincount(labels)[labels] if n else np.empty(0, np.int64)
    result = Fluxes(
        np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan), size, np.ones(n, bool)
    )
    if not n:
        return result
    half = half_width(sources, maps)
    alone = np.flatnonzero(size == 1)
    for index in progress(chunks(alone, half), "blocks of sources"):
        _fit_isolated(sources.take(index), index, maps, correlation, half, result)
    blended = np.flatnonzero(size > 1)
    blended = blended[np.argsort(labels[blended], kind="stable")]
    if blended.size:
        stamps = cut(maps, sources.take(blended), half)
        starts = np.flatnonzero(np.diff(labels[blended], prepend=-1))
        parts = np.split(np.arange(blended.size), starts[1:])
        for part in progress(parts, "blends"):
            members = blended[part]
            fit = (sources.take(members), stamps.take(part), correlation, 2 * blend_pixels)
            _fit_group(members, *fit, maps.image.shape[1], result)
    return result


def chunks(index: Index, half: int) -> list[Index]:
    """`index` in parts whose stamps fit the memory."""
    step = max(1, CHUNK_PIXELS // (2 * half + 1) ** 2)
    return [index[i : i + step] for i in range(0, index.size, step)]


def _fit_isolated(
    sources: Sources,
    index: Index,
    maps: Maps,
    correlation: Correlation,
    half: int,
    result: Fluxes,
) -> None:
    stamps = cut(maps, sources, half)
    kernel = np.exp(-squared_distance(sources, stamps.y, stamps.x) / 2) * stamps.inverse_rms
    data = stamps.data * stamps.inverse_rms
    norm = np.sum(kernel**2, axis=(1, 2))
    flux = np.sum(kernel * data, axis=(1, 2)) / norm
    spread = correlation.products(kernel[:, None])[:, 0, 0]
    chi2 = np.sum((data - flux[:, None, None] * kernel) ** 2, axis=(1, 2))
    expected = stamps.used.sum(axis=(1, 2)) - spread / norm
    result.flux[index] = flux
    result.error[index] = np.sqrt(spread) / norm
    result.chi2[index] = np.divide(
        chi2, expected, out=np.full_like(chi2, np.nan), where=expected > 0
    )
    result.complete[index] = stamps.complete


def _fit_group(
    index: Index,
    sources: Sources,
    stamps: Stamps,
    correlation: Correlation,
    cell: float,
    row_length: int,
    result: Fluxes,
) -> None:
    result.complete[index] = stamps.complete
    used = stamps.used
    flat = (stamps.y * np.int64(row_length) + stamps.x)[used]
    pixels, first, inverse = np.unique(flat, return_index=True, return_inverse=True)
    y, x = pixels // row_length, pixels % row_length
    inverse_rms = stamps.inverse_rms[used][first]
    data = stamps.data[used][first] * inverse_rms
    small = pixels.size <= _DENSE_PIXELS
    matrix = (_dense_design if small else _sparse_design)(sources, y, x, inverse_rms)
    normal = matrix.T @ matrix
    normal = normal if small else normal.toarray()
    scale = np.sqrt(normal.diagonal())
    try:
        pivots = np.linalg.cholesky(normal / np.outer(scale, scale)).diagonal()
    except np.linalg.LinAlgError:
        return
    if pivots.min() ** 2 < _SINGULAR:
        return
    solve = np.linalg.inv(normal / np.outer(scale, scale)) / np.outer(scale, scale)
    flux = solve @ (matrix.T @ data)
    if small:
        spread = matrix.T @ (correlation.between(y, x) @ matrix)
    else:
        spread = _correlated_products(matrix, y, x, sources, correlation, cell)
    result.flux[index] = flux
    result.error[index] = np.sqrt(np.sum((solve @ spread) * solve, axis=1))
    freedom = 1 - np.sum(solve * spread) / pixels.size  # expected chi^2 of a pixel
    if freedom > 0:
        owner = np.nonzero(used)[0]
        chi2 = (data - matrix @ flux)[inverse] ** 2
        counts = np.bincount(owner, minlength=len(sources))
        result.chi2[index] = np.bincount(owner, chi2, len(sources)) / (counts * freedom)


def _dense_design(sources: Sources, y: Index, x: Index, inverse_rms: Array) -> Array:
    """Beams of the sources (columns) at the pixels (rows), in units of the noise."""
    q = squared_distance(sources, y[None, :, None], x[None, :, None])[:, :, 0]
    return (np.exp(-q / 2) * inverse_rms).T


def _sparse_design(sources: Sources, y: Index, x: Index, inverse_rms: Array) -> sparse.csc_array:
    """The same for large groups, where most beams are far from most pixels."""
    cov = np.linalg.inv(sources.precision)
    reach = float(np.sqrt(NEGLIGIBLE * max(cov[:, 0, 0].max(), cov[:, 1, 1].max())))
    near = cKDTree(np.stack([x, y], axis=1)).query_ball_point(
        np.stack([sources.x, sources.y], axis=1), reach, return_sorted=True
    )
    rows = np.concatenate([np.asarray(part, dtype=np.int64) for part in near])
    cols = np.repeat(np.arange(len(sources)), [len(part) for part in near])
    dx, dy = x[rows] - sources.x[cols], y[rows] - sources.y[cols]
    p = sources.precision[cols]
    q = p[:, 0, 0] * dx**2 + 2 * p[:, 0, 1] * dx * dy + p[:, 1, 1] * dy**2
    values = np.exp(-q / 2) * inverse_rms[rows]
    return sparse.coo_array((values, (rows, cols)), shape=(x.size, len(sources))).tocsc()


def _correlated_products(
    matrix: sparse.csc_array,
    y: Index,
    x: Index,
    sources: Sources,
    correlation: Correlation,
    cell: float,
) -> Array:
    """M = K^T C K. The columns are taken in cells of the sky, each with its surroundings."""
    n, lag = len(sources), correlation.lag
    result = np.empty((n, n))
    cells = np.stack([sources.y // cell, sources.x // cell], axis=1).astype(np.int64)
    labels = np.unique(cells, axis=0, return_inverse=True)[1].ravel()
    by_pixel = matrix.tocsr()
    for label in range(labels.max() + 1):
        columns = np.flatnonzero(labels == label)
        part = matrix[:, columns].tocoo()
        rows, cols = part.coords
        y0, x0 = (max(c[rows].min() - lag, c.min()) for c in (y, x))
        y1, x1 = (min(c[rows].max() + lag, c.max()) + 1 for c in (y, x))
        box = (int(y1 - y0), int(x1 - x0))
        padded = tuple(fft.next_fast_len(s + min(s, lag), real=True) for s in box)
        raster = np.zeros((columns.size, *padded))
        raster[cols, y[rows] - y0, x[rows] - x0] = part.data
        smooth = fft.irfft2(fft.rfft2(raster) * correlation.spectrum(padded), s=padded)
        inside = np.flatnonzero((y >= y0) & (y < y1) & (x >= x0) & (x < x1))
        values = smooth[:, y[inside] - y0, x[inside] - x0]
        result[:, columns] = by_pixel[inside].T @ values.T
    return (result + result.T) / 2


def subtract_neighbours(
    data: Array, stamps: Stamps, index: Index, sources: Sources, flux: Array, pairs: Index
) -> None:
    """Take the fitted beams of all other sources of `pairs` off the stamps of `index`, in place.

    `data` [n, s, s] belongs to the sources `index`; `flux` and `pairs` to all of them.
    """
    place = np.full(len(sources), -1)
    place[index] = np.arange(index.size)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[(place[both[:, 0]] >= 0) & np.isfinite(flux[both[:, 1]])]
    for part in chunks(np.arange(len(both)), data.shape[1] // 2):
        row, other = place[both[part, 0]], both[part, 1]
        q = squared_distance(sources.take(other), stamps.y[row], stamps.x[row])
        model = flux[other][:, None, None] * np.exp(-q / 2)
        np.subtract.at(data, row, np.where(stamps.used[row], model, 0.0))
