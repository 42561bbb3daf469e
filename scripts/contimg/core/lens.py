"""The one-dimensional Gaussian plasma lens (Clegg, Fey & Lazio 1998, ApJ 496, 253).

A sheet of column density N0 exp[-(x/a)^2] at distance D refracts a ray that leaves the lens at
u = x/a to u' = u (1 + alpha exp(-u^2)) in the plane of the observer, both in units of a. So

    du'/du = 1 + (1 - 2 u^2) alpha exp(-u^2)

and the gain at u' is the sum of |du'/du|^-1 over all rays that arrive there. It is
1/(1 + alpha) on the axis and integrates, less one, to zero: rays are moved, never lost. For
alpha > exp(3/2)/2 the derivative changes sign at two places u1 < u2 and caustics form.

As u' has the sign of u, only u >= 0 is ever solved for; there it is monotonic on each of the
branches [0, u1], [u1, u2] and [u2, inf), or on [0, inf) when there is no caustic.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from contimg.core.constants import C_M_S

ALPHA_CAUSTIC = float(np.exp(1.5) / 2)  # 2.2408: the weakest lens with caustics
MAX_IMAGE_GAIN = 1e3  # of one image: a point source on a caustic would give infinity

_BISECTIONS = 60  # halves the largest bracket to rounding
_BINS_PER_SIGMA = 8
_BINS_PER_RING = 5  # per sigma of the source, of radial profiles


def alpha(freq_hz: ArrayLike, n0_pc_cm3: float, distance_kpc: float, a_au: float) -> NDArray:
    """Strength of a lens, lambda^2 r_e N0 D / (pi a^2), at `freq_hz` [Hz] (any shape).

    `n0_pc_cm3` is the column density on the axis, `a_au` the 1/e half-width. The coefficient
    is 3.816 (lambda/cm)^2 with CODATA constants, where the original article rounds to 3.6.
    """
    from scipy.constants import astronomical_unit, parsec, physical_constants

    electron_radius_m = physical_constants["classical electron radius"][0]
    wavelength_m = C_M_S / np.asarray(freq_hz, dtype=float)
    column_m2 = n0_pc_cm3 * parsec * 1e6
    distance_m = distance_kpc * 1e3 * parsec
    width_m = a_au * astronomical_unit
    return wavelength_m**2 * electron_radius_m * column_m2 * distance_m / (np.pi * width_m**2)


def alpha_at(freq_hz: ArrayLike, alpha_ref: float, ref_freq_hz: float) -> NDArray:
    """Strength at `freq_hz` of the lens that has `alpha_ref` at `ref_freq_hz`: as lambda^2."""
    return alpha_ref * (ref_freq_hz / np.asarray(freq_hz, dtype=float)) ** 2


def gain(u_obs: ArrayLike, alpha: float) -> NDArray[np.float64]:
    """Gain of a point source at `u_obs` (any shape, in lens half-widths from the axis).

    The gain of each image is limited to ``MAX_IMAGE_GAIN``; what that takes from the integral
    over u' is of order 1/MAX_IMAGE_GAIN. Use :func:`smoothed_gain` where it must be right.
    """
    distance = np.abs(np.asarray(u_obs, dtype=float))
    total = np.zeros_like(distance)
    for low, high, sign in _branches(alpha):
        ray = _invert(distance, low, high, sign, alpha)
        first, last = sorted((_arrival(low, alpha), _arrival(high, alpha)))
        here = (distance >= first) & (distance <= last)
        slope = np.abs(1 + (1 - 2 * ray**2) * alpha * np.exp(-(ray**2)))
        total += np.where(here, 1 / np.maximum(slope, 1 / MAX_IMAGE_GAIN), 0.0)
    return total


def smoothed_gain(u_obs: ArrayLike, alpha: float, source_size: float) -> NDArray[np.float64]:
    """Gain of a source of Gaussian brightness at `u_obs` (any shape).

    `source_size` is the full width at half maximum of the source projected to the observer's
    plane, in lens half-widths (source angle over a/D); zero gives a point source.
    The rays that arrive in narrow bins of u' are counted exactly, from where the bin edges map
    to on each branch, and the counts convolved with the source: caustics integrate right.
    """
    if source_size < 0:
        raise ValueError(f"source_size must not be negative: {source_size}")
    if source_size == 0:
        return gain(u_obs, alpha)
    from scipy.interpolate import CubicSpline

    sigma = source_size / np.sqrt(8 * np.log(2))
    step = sigma / _BINS_PER_SIGMA
    position = np.asarray(u_obs, dtype=float)
    reach = 6 * _BINS_PER_SIGMA
    half = int(np.ceil(np.max(np.abs(position), initial=0.0) / step)) + 3
    edges = (np.arange(-half - reach, half + reach + 2) - 0.5) * step
    mean_gain = np.diff(_rays_within(edges, alpha)) / step
    # the bin is a box of variance step^2/12, which the kernel leaves out
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step) ** 2 / (sigma**2 - step**2 / 12))
    smooth = np.convolve(mean_gain, kernel / kernel.sum(), mode="valid")
    return CubicSpline(np.arange(-half, half + 1) * step, smooth)(position)


def axisymmetric_gain(distance: ArrayLike, alpha: float, source_size: float) -> NDArray[np.float64]:
    """Gain of a source of Gaussian brightness behind an axisymmetric Gaussian lens.

    `distance` (any shape) is that from the axis, `source_size` > 0 the full width at half maximum,
    both in lens half-widths. A ray at radius u arrives at u' as in one dimension, but on a ring:
    the gain of an image is |(u/u') du/du'| (Dong, Petropoulou & Giannios 2018, MNRAS 481, 2685).
    Areas of rings of rays are counted exactly and convolved with the source.
    """
    from scipy.interpolate import CubicSpline
    from scipy.special import i0e

    sigma = source_size / np.sqrt(8 * np.log(2))
    radius = np.abs(np.asarray(distance, dtype=float))
    step = sigma / _BINS_PER_RING
    reach = 6 * _BINS_PER_RING
    number = max(8, int(np.ceil(radius.max(initial=0.0) / step)) + 1)
    edges = np.arange(number + reach + 1) * step
    middle = (edges[1:] + edges[:-1]) / 2
    rings = np.diff(_area_within(edges, alpha))  # in units of pi
    empty = np.diff(edges**2)
    at = np.arange(number) * step
    near = np.arange(number)[:, None] + np.arange(-reach, reach)
    inside, near = near >= 0, np.maximum(near, 0)
    # a Gaussian averaged over the azimuth of a ring
    kernel = np.exp(-0.5 * ((at[:, None] - middle[near]) / sigma) ** 2)
    kernel *= inside * i0e(at[:, None] * middle[near] / sigma**2)
    smooth = (kernel * rings[near]).sum(axis=1) / (kernel * empty[near]).sum(axis=1)
    return CubicSpline(at, smooth)(radius)


def _arrival(ray: ArrayLike, alpha: float) -> NDArray:
    """u' where the ray from u arrives."""
    ray = np.asarray(ray, dtype=float)
    return ray * (1 + alpha * np.exp(-(ray**2)))


def caustics(alpha: float) -> tuple[float, float]:
    """Where the inner and the outer caustic fall, u' >= 0; twice the brightest place without."""
    branches = _branches(alpha)
    if len(branches) == 1:
        brightest = float(_arrival(np.sqrt(1.5), alpha))
        return brightest, brightest
    middle = branches[1]
    return float(_arrival(middle[1], alpha)), float(_arrival(middle[0], alpha))


def _branches(alpha: float) -> list[tuple[float, float, int]]:
    """(low, high, direction) of the monotonic branches of u'(u) on u >= 0."""
    if not 0 <= alpha < 1e100:
        raise ValueError(f"the strength of the lens must be zero or positive: {alpha}")
    if alpha <= ALPHA_CAUSTIC:
        return [(0.0, np.inf, 1)]
    from scipy.optimize import brentq

    def turning(ray: float) -> float:
        return (2 * ray**2 - 1) * np.exp(-(ray**2)) - 1 / alpha

    inner = brentq(turning, np.sqrt(0.5), np.sqrt(1.5), xtol=1e-14)
    outer = brentq(turning, np.sqrt(1.5), 30.0, xtol=1e-14)
    return [(0.0, inner, 1), (inner, outer, -1), (outer, np.inf, 1)]


def _invert(
    distance: NDArray, low: float, high: float, direction: int, alpha: float
) -> NDArray[np.float64]:
    """The u on a branch whose rays arrive at `distance` >= 0; the nearer end when none does."""
    lower = np.full_like(distance, low)
    # rays are bent outwards, u' >= u, which bounds the last branch
    upper = np.maximum(distance, low) if np.isinf(high) else np.full_like(distance, high)
    for _ in range(_BISECTIONS):
        middle = (lower + upper) / 2
        beyond = direction * (_arrival(middle, alpha) - distance) > 0
        upper = np.where(beyond, middle, upper)
        lower = np.where(beyond, lower, middle)
    return (lower + upper) / 2


def _rays_within(edges: NDArray, alpha: float) -> NDArray[np.float64]:
    """Integral of the gain from the axis to each of `edges`: odd, continuous, increasing."""
    distance = np.abs(edges)
    total = np.zeros_like(distance)
    for low, high, direction in _branches(alpha):
        total += direction * _invert(distance, low, high, direction, alpha)
    return np.sign(edges) * total


def _area_within(edges: NDArray, alpha: float) -> NDArray[np.float64]:
    """Area, over pi, of the rays that arrive within each radius of `edges` >= 0."""
    total = np.zeros_like(edges)
    for low, high, direction in _branches(alpha):
        total += direction * _invert(edges, low, high, direction, alpha) ** 2
    return total
