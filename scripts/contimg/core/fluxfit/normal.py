"""The normal matrix A^H W A, by products over antennas.

Where weights factor by antenna, W_pq = w_p w_q, sum_pq W_pq conj(m_i) m_j is half of
|E_i^H diag(w) E_j|^2 less what autocorrelations would add: one small product a time and channel.
Flags and other weights break that; then w is the closest such product, and the sum over baselines
of the weights is kept as it is. The matrix is what the iterations of
:mod:`contimg.core.fluxfit.solve` are preconditioned with, and gives the covariance.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from contimg.core.constants import C_M_S
from contimg.core.errors import DataQualityError
from contimg.core.fluxfit.design import Design, columns, decay
from contimg.core.fluxfit.kernels import add_squares, power_extended
from contimg.core.fluxfit.sweep import Block

_FACTORING = 12  # iterations


def antenna_weights(
    weight: NDArray[np.floating], pair: tuple[NDArray, NDArray], n_antennas: int
) -> NDArray[np.float32]:
    """w (channel, antenna) with w_p w_q near `weight` (channel, baseline), sums over q as given."""
    incidence = np.zeros((pair[0].size, n_antennas), np.float32)
    rows = np.arange(pair[0].size)
    incidence[rows, pair[0]] = 1
    incidence[rows, pair[1]] = 1
    sums = (weight @ incidence).astype(np.float64)
    total = sums.sum(axis=1, keepdims=True)
    factor = sums / np.sqrt(np.where(total > 0, total, 1))
    for _ in range(_FACTORING):
        rest = factor.sum(axis=1, keepdims=True) - factor
        factor = np.sqrt(factor * sums / np.where(rest > 0, rest, 1))
    return factor.astype(np.float32)


def normal(
    design: Design,
    blocks: Iterable[Block],
    part: NDArray[np.int64],
    stride: int = 1,
) -> NDArray[np.float64]:
    """(part, source, source): A^H W A from every `stride`-th channel, another one each time."""
    from scipy.linalg.blas import cherk

    n_parts, n = int(part.max()) + 1, design.n_sources
    result = np.zeros((n_parts, n, n))
    seen = np.zeros((2, n_parts))  # sum of the weights of all channels, and of those taken
    for time, block in enumerate(blocks):
        weight = np.where(design.axes.ant1 != design.axes.ant2, block.weight.T, 0)
        if not np.isfinite(weight).all():
            raise DataQualityError("weights that are not finite")
        wanted = np.arange((time * (stride // 2 + 1)) % stride, weight.shape[0], stride)
        factor = antenna_weights(weight[wanted], design.pair, design.n_antennas)
        sums = weight.sum(axis=1, dtype=np.float64)
        seen[0] += np.bincount(part, sums, n_parts)
        seen[1] += np.bincount(part[wanted], sums[wanted], n_parts)
        size = _sizes(design, time, weight)
        for number, (channel, column, phasor) in enumerate(columns(design, time, wanted)):
            if not sums[channel] > 0:
                continue
            vectors = np.empty((n, design.n_antennas), np.complex64)
            vectors[design.points] = column[: design.points.size]
            vectors[design.extended] = phasor
            response = np.sqrt(np.maximum(design.amplitude[time, :, channel], 0))
            response[design.extended] *= np.sqrt(size[channel])
            vectors *= response[:, None] * np.sqrt(factor[number])
            product = cherk(1.0, vectors.T, trans=2)
            # autocorrelations: the antennas' shares of all sources are nearly alike
            auto = np.sqrt(((vectors.real**2 + vectors.imag**2) ** 2).sum(axis=1))
            add_squares(result[part[channel]], product, auto)
    scale = np.where(seen[1] > 0, seen[0] / np.where(seen[1] > 0, seen[1], 1), 0)
    lower = np.tril(result, -1)
    whole = lower + np.swapaxes(lower, 1, 2) + result * np.eye(n)
    return whole * scale[:, None, None] / 2


def _sizes(design: Design, time: int, weight: NDArray) -> NDArray[np.float32]:
    """(channel, extended): the rms over baselines of the transform of the sources with a size."""
    result = np.ones((weight.shape[0], design.extended.size), np.float32)
    if design.extended.size:
        terms = decay(design, time)
        for channel, freq in enumerate(design.axes.freq_hz):
            w = weight[channel].astype(np.float32)
            if w.any():
                square = np.float32((freq / C_M_S) ** 2)
                result[channel] = np.sqrt(power_extended(w, *terms, square) / w.sum())
    return result
