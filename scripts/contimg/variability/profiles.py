"""Relative light curves of dips: what a Gaussian plasma lens causes, and smooth ones.

A template is -1 where it is deepest, so that its amplitude is the depth of the dip. It is known
by its kind, its shape, its width (FWHM of the dip) and centre. Kinds:

    lens     one-dimensional Gaussian lens: strength alpha, size of the source (FWHM, half-widths)
    ring     axisymmetric Gaussian lens: the same, and the impact parameter
    smooth   exp(-ln 2 |2 (t - t0) / width|^p) without shoulders: the power p, in place of alpha

Profiles are tabulated on a grid of shapes and interpolated in it; shape coordinates are places in
that grid (0 ... number - 1). Coordinates that a kind does not have count for nothing. Caustics move
from one shape to the next, so profiles are tabulated against a distance that is zero in the middle,
one at the inner and two at the outer caustic, linear between and beyond: what is interpolated has
its caustics in the same places.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.core.lens import axisymmetric_gain, caustics, smoothed_gain
from contimg.variability.pieces import Pieces

IMPACTS = (0.0, 0.25, 0.5, 0.75, 1.0)  # in lens half-widths; further out there is hardly a dip
KINDS = ("lens", "ring", "smooth")
LENS, RING, SMOOTH = range(3)
ALPHAS = np.geomspace(0.3, 60, 40)
SIZES = np.geomspace(0.05, 3, 7)
POWERS = np.geomspace(1.3, 8, len(ALPHAS))
_INNER, _BETWEEN, _OUTER = 100, 300, 150  # points up to the first, the second caustic and beyond
_STEP = 0.04  # beyond, in half-widths of the dip


@dataclass(frozen=True)
class Dips:
    """K dips; each array (K,)."""

    kind: NDArray[np.int64]
    alpha: NDArray[np.float64]  # place in ALPHAS, or POWERS
    size: NDArray[np.float64]  # place in SIZES
    impact: NDArray[np.float64]  # place in IMPACTS
    width: NDArray[np.float64]  # FWHM [days]
    t0: NDArray[np.float64]  # centre [days]

    def __getitem__(self, rows: NDArray) -> Dips:
        return Dips(*(values[rows] for values in self.columns))

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def columns(self) -> tuple[NDArray, ...]:
        return self.kind, self.alpha, self.size, self.impact, self.width, self.t0


def changes(dips: Dips, times: NDArray) -> NDArray[np.float64]:
    """Templates (N, K) at `times` (N,) [days]; -1 at the deepest."""
    table, *_, knots = tables()
    return _changes(*dips.columns, np.asarray(times, dtype=float), table, knots)


def depths(dips: Dips) -> NDArray[np.float64]:
    """Depth of each dip if all of the flux is lensed (K,); 1 for smooth ones."""
    return _depths(*dips.columns[:4], tables()[1])


def change_at(dip: Dips, depth: float, ratio: float, times: NDArray) -> NDArray[np.float64]:
    """G - 1 (N,) of one lens that has `depth`, where it is `ratio` times as strong.

    The lens is the same, so its size on the sky is, not the width of its dip.
    """
    alpha = float(strength(dip)[0]) * ratio
    place_there = np.atleast_1d(place(alpha, ALPHAS))
    here, there = (_depths(*d.columns[:4], tables()[2])[0] for d in (dip, _with(dip, place_there)))
    other = Dips(dip.kind, place_there, dip.size, dip.impact, dip.width * there / here, dip.t0)
    fraction = depth / depths(dip)[0]
    return fraction * depths(other)[0] * changes(other, times)[:, 0]


def _with(dip: Dips, alpha: NDArray) -> Dips:
    return Dips(dip.kind, alpha, *dip.columns[2:])


def strength(dips: Dips) -> NDArray[np.float64]:
    """alpha of every dip (K,), nan for smooth ones."""
    alpha = np.interp(dips.alpha, np.arange(len(ALPHAS)), ALPHAS)
    return np.where(dips.kind == SMOOTH, np.nan, alpha)


def source_size(dips: Dips) -> NDArray[np.float64]:
    """Source size (FWHM) of every dip in lens half-widths (K,), nan for smooth ones."""
    size = np.interp(dips.size, np.arange(len(SIZES)), SIZES)
    return np.where(dips.kind == SMOOTH, np.nan, size)


def place(values: NDArray, grid: NDArray) -> NDArray[np.float64]:
    """Places of `values` in a grid, within its ends."""
    return np.interp(values, grid, np.arange(len(grid)))


@numba.njit(cache=True, nogil=True)
def _corners(kind, alpha, size, impact, shape, corner, weight):
    """Places in the table (8, 3) and their weights (8,) that one shape is interpolated from."""
    a = min(max(int(alpha), 0), shape[1] - 2)
    s = min(max(int(size), 0), shape[2] - 2)
    part_a, part_s = alpha - a, size - s
    group, part_i = 0, 0.0
    if kind == 1:
        i = min(max(int(impact), 0), shape[0] - 4)
        group, part_i = 1 + i, impact - i
    elif kind == 2:
        group = shape[0] - 1
    for k in range(8):
        i, j, m = k // 4, (k // 2) % 2, k % 2
        weight[k] = (part_i if i else 1 - part_i) * (part_a if j else 1 - part_a)
        weight[k] *= part_s if m else 1 - part_s
        corner[k, 0], corner[k, 1], corner[k, 2] = min(group + i, shape[0] - 1), a + j, s + m


@numba.njit(cache=True, nogil=True)
def _changes(kind, alpha, size, impact, width, t0, times, table, knots):
    number, reach = len(kind), table.shape[3] - 1
    result = np.zeros((len(times), number))
    profile, marks, last = np.zeros(reach + 1, np.float32), np.zeros(3), -1
    for k in range(number):
        if last < 0 or not _alike(kind, alpha, size, impact, k, last):
            _profile(kind[k], alpha[k], size[k], impact[k], table, knots, profile, marks)
            last = k
        scale, steps = 2 / width[k], _steps(marks)
        for n in range(len(times)):
            distance = abs(times[n] - t0[k]) * scale
            result[n, k] = _change(distance, profile, marks, steps)
    return result


@numba.njit(cache=True, nogil=True)
def _alike(kind, alpha, size, impact, k, other):
    same = kind[k] == kind[other] and alpha[k] == alpha[other]
    return same and size[k] == size[other] and impact[k] == impact[other]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _profile(kind, alpha, size, impact, table, knots, profile, marks):
    """Put a profile in the table's points, and its caustics and its end (3,), into arrays."""
    corner, weight = np.zeros((8, 3), np.int64), np.zeros(8)
    _corners(kind, alpha, size, impact, table.shape, corner, weight)
    _marks(corner, weight, knots, len(profile), marks)
    for i in range(2):  # between two impact parameters, of rings only
        c = 4 * i
        if i and weight[c:].sum() == 0:
            break
        group, a, m = corner[c]
        low, high = table[group, a], table[group, a + 1]
        w0, w1, w2, w3 = weight[c : c + 4].astype(np.float32)
        for p in range(len(profile)):
            x = w0 * low[m, p] + w1 * low[m + 1, p] + w2 * high[m, p] + w3 * high[m + 1, p]
            profile[p] = profile[p] + x if i else x


@numba.njit(cache=True, nogil=True)
def _marks(corner, weight, knots, points, marks):
    marks[:] = 0.0
    for c in range(8):
        i, j, m = corner[c, 0], corner[c, 1], corner[c, 2]
        marks[0] += weight[c] * knots[i, j, m, 0]
        marks[1] += weight[c] * knots[i, j, m, 1]
    marks[2] = marks[1] + _STEP * (points - 1 - _INNER - _BETWEEN)


@numba.njit(cache=True, nogil=True, inline="always")
def _change(distance, profile, marks, steps):
    """The change at a distance from the middle [half-widths]."""
    first, second = marks[0], marks[1]
    x = min(distance, first) * steps[0]
    x += min(max(distance - first, 0.0), second - first) * steps[1]
    x += max(distance - second, 0.0) * steps[2]
    x = min(x, len(profile) - 1.0)  # from where on it is zero
    i = min(int(x), len(profile) - 2)
    return profile[i] + (x - i) * (profile[i + 1] - profile[i])


@numba.njit(cache=True, nogil=True, inline="always")
def _steps(marks):
    """Points of a profile a half-width, up to the first and second caustic and beyond."""
    return _INNER / marks[0], _BETWEEN / (marks[1] - marks[0]), 1 / _STEP


def pieces(dips: Dips, times: NDArray) -> Pieces:
    """Templates of :func:`changes` for ascending `times`, where they are not zero."""
    table, *_, knots = tables()
    return Pieces(*_pieces(*dips.columns, np.asarray(times, dtype=float), table, knots))


@numba.njit(cache=True, nogil=True, fastmath=True)
def _pieces(kind, alpha, size, impact, width, t0, times, table, knots):
    number = len(kind)
    profile, marks, last = np.zeros(table.shape[3], np.float32), np.zeros(3), -1
    first, end = np.zeros(number, np.int64), np.zeros(number, np.int64)
    place = np.zeros(number + 1, np.int64)
    corner, weight = np.zeros((8, 3), np.int64), np.zeros(8)
    for k in range(number):
        _corners(kind[k], alpha[k], size[k], impact[k], table.shape, corner, weight)
        _marks(corner, weight, knots, len(profile), marks)
        reach = marks[2] * width[k] / 2
        first[k] = np.searchsorted(times, t0[k] - reach, side="right")
        end[k] = max(first[k], np.searchsorted(times, t0[k] + reach))
        place[k + 1] = place[k] + end[k] - first[k]
    value = np.zeros(place[-1])
    for k in range(number):
        if last < 0 or not _alike(kind, alpha, size, impact, k, last):
            _profile(kind[k], alpha[k], size[k], impact[k], table, knots, profile, marks)
            last = k
        scale, steps, start = 2 / width[k], _steps(marks), place[k] - first[k]
        for n in range(first[k], end[k]):
            distance = abs(times[n] - t0[k]) * scale
            value[start + n] = _change(distance, profile, marks, steps)
    return first, end, place, value


@numba.njit(cache=True, nogil=True)
def _depths(kind, alpha, size, impact, table):
    corner, weight = np.zeros((8, 3), np.int64), np.zeros(8)
    result = np.zeros(len(kind))
    for k in range(len(kind)):
        _corners(kind[k], alpha[k], size[k], impact[k], table.shape, corner, weight)
        for c in range(8):
            result[k] += weight[c] * table[corner[c, 0], corner[c, 1], corner[c, 2]]
    return result


@cache
def tables() -> tuple[NDArray[np.float64], ...]:
    """Profiles (groups, alphas, sizes, M), the last point zero, their depths and half-widths, and
    where their caustics are (groups, alphas, sizes, 2), in half-widths of the dip.

    Groups: lines, then rings at each of ``IMPACTS``, then smooth dips.
    """
    shape = (len(IMPACTS) + 2, len(ALPHAS), len(SIZES))
    table = np.zeros((*shape, _INNER + _BETWEEN + _OUTER + 1), np.float32)
    depth, half = np.ones(shape), np.ones(shape)
    knots = np.ones((*shape, 2)) * (1.0, 1.5)
    for i, alpha in enumerate(ALPHAS):
        table[-1, i, :, :-1] = -np.exp(-np.log(2) * _distances(*knots[-1, 0, 0]) ** POWERS[i])
        peaks = np.array(caustics(float(alpha)))
        for j, size in enumerate(SIZES):
            grid, line, ring = _gains(float(alpha), float(size))
            curves = [line, *(np.interp(np.hypot(grid, b), grid, ring) for b in IMPACTS)]
            for k, (gain, impact) in enumerate(zip(curves, (0.0, *IMPACTS), strict=True)):
                found = _normalised(grid, gain - 1, np.sqrt(peaks**2 - impact**2))
                table[k, i, j, :-1], depth[k, i, j], half[k, i, j], knots[k, i, j] = found
    return table, depth, half, knots


def _distances(first: float, second: float) -> NDArray[np.float64]:
    """Distances from the middle that profiles are tabulated at, given the caustics'."""
    return np.concatenate(
        [
            np.linspace(0, first, _INNER, endpoint=False),
            np.linspace(first, second, _BETWEEN, endpoint=False),
            second + _STEP * np.arange(_OUTER),
        ]
    )


def _gains(alpha: float, size: float) -> tuple[NDArray, NDArray, NDArray]:
    """Gains of a line and of a ring lens against the distance from the axis."""
    grid = np.linspace(0, 8 + 0.45 * alpha + 2 * size, 1501)
    return grid, smoothed_gain(grid, alpha, size), axisymmetric_gain(grid, alpha, size)


def _normalised(
    grid: NDArray, change: NDArray, peaks: NDArray
) -> tuple[NDArray, float, float, NDArray]:
    """A profile, -1 at its lowest, its depth and half-width, and the `peaks` in half-widths."""
    depth = -float(change.min())
    last = int(np.flatnonzero(change < -depth / 2)[-1])
    half = np.interp(-depth / 2, change[last : last + 2], grid[last : last + 2])
    knots = np.array([peaks[0], max(peaks[1], peaks[0] + 1e-3)]) / half
    profile = np.interp(_distances(*knots) * half, grid, change, right=0.0) / depth
    return profile, depth, half, knots
