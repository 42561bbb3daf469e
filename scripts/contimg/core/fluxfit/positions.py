"""Where bright sources are: the step in position that their residual asks for.

With m = f A the model of a source, dm/dl = 2 pi i nu/c (u_pq - w_pq l/n) m and the same with v for
m; the step is that of least squares in two unknowns a source. Flux density and position of one
source do not depend on each other, and other sources only through their sidelobes: two or three
rounds of fluxes and positions settle both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.core.constants import C_M_S
from contimg.core.fluxfit.design import Design, columns, of_points
from contimg.core.fluxfit.sweep import Block

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Steps:
    """Of each source asked for: the step in (l, m) [rad] and its covariance for unit noise."""

    step: Array  # (source, 2)
    covariance: Array  # (source, 2, 2), to be multiplied by noise^2


def position_steps(
    design: Design, residuals: Iterable[Block], flux_jy: Array, wanted: NDArray[np.int64]
) -> Steps:
    """Steps of the `wanted` point sources, whose flux densities are those of `flux_jy` [Jy]."""
    place = np.searchsorted(design.points, wanted)
    if not np.array_equal(design.points[np.minimum(place, design.points.size - 1)], wanted):
        raise ValueError("positions are fitted of point sources only")
    design, l_cos, m_cos, n_less_1 = of_points(design, place), *design.lmn[:, wanted]
    slope = np.stack([-l_cos / (1 + n_less_1), -m_cos / (1 + n_less_1)])  # of n
    gradient, matrix = np.zeros((wanted.size, 2)), np.zeros((wanted.size, 2, 2))
    n = design.n_antennas
    right = np.zeros((n, n), np.complex64, order="F")
    first, second = design.pair
    held, below, above = right.T.ravel(), second * n + first, first * n + second
    for time, (data, weight) in enumerate(residuals):
        position, uvw = design.position_m[time], design.axes.uvw_m[time]
        arm = [(position[:, k, None] + position[:, 2, None] * slope[k]).T for k in (0, 1)]
        arm = [one.astype(np.float32) for one in arm]
        products = [(a, b, weight.T @ (uvw[:, a] * uvw[:, b])) for a, b in _PAIRS]
        weighted = np.where(weight > 0, weight * data, 0).T
        for channel, vectors, _ in columns(design, time):
            if not weighted[channel].any():
                continue
            # Hermitian, so that the sum over q at p holds those over both ends of a baseline
            held[below], held[above] = weighted[channel], weighted[channel].conj()
            amplitude = flux_jy[wanted] * design.amplitude[time, :, channel]
            amplitude *= 2 * np.pi * design.axes.freq_hz[channel] / C_M_S
            turned = (vectors @ right.T) * vectors.conj()
            for k in (0, 1):
                gradient[:, k] += amplitude * np.einsum("sp,sp->s", arm[k], turned.imag)
            second_moments = {pair[:2]: pair[2][channel] for pair in products}
            matrix += amplitude[:, None, None] ** 2 * _quadratic(second_moments, slope)
    inverse = np.linalg.inv(matrix)
    return Steps(np.einsum("skj,sj->sk", inverse, gradient), inverse)


_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


def _quadratic(second: dict[tuple[int, int], float], slope: Array) -> Array:
    """(source, 2, 2): sums of the products of (u + w dn/dl) and (v + w dn/dm)."""
    a, b = slope
    uu = second[0, 0] + 2 * a * second[0, 2] + a**2 * second[2, 2]
    uv = second[0, 1] + b * second[0, 2] + a * second[1, 2] + a * b * second[2, 2]
    vv = second[1, 1] + 2 * b * second[1, 2] + b**2 * second[2, 2]
    return np.stack([np.stack([uu, uv], axis=-1), np.stack([uv, vv], axis=-1)], axis=-2)
