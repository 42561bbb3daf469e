"""Every row judged by itself: does the beam describe what is there?

Of each source: how unlikely its chi^2 is by noise alone, and the highest and lowest pixel that all
fitted beams together leave within two beams of it. The chi^2 of a stamp of a few beams has few
degrees of freedom; with the noise correlation C and the projection H = k k^T / k^T k it is that
of R = (1 - H) C (1 - H), nearly a chi^2 variable of nu = (tr R)^2 / tr R^2 (Satterthwaite 1946).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, chdtri

from contimg.photometry.forced import NEGLIGIBLE, chunks, near_pairs, subtract_neighbours
from contimg.photometry.geometry import Sources
from contimg.photometry.noise import Correlation
from contimg.photometry.stamps import Maps, cut, half_width, squared_distance

Array = NDArray[np.float64]
Bool = NDArray[np.bool_]

WORDS = ("bad_fit", "neighbour", "negative_bowl", "edge")
_WIDE_BEAMS = 2.0
_SIGMA = 5.0
_PART = 0.05  # of the flux density: what is less does not spoil a row
_UNLIKELY = 1e-6
_ORDINARY = 0.99  # of chi^2 values by noise: what is above widens the error
_EDGE = 3.0  # times the lowest noise


@dataclass(frozen=True)
class Judgement:
    """Per source; residuals in units of the local noise."""

    widening: Array  # factor on the error of the flux density
    highest: Array
    lowest: Array
    flags: dict[str, Bool]


def judge(
    sources: Sources,
    flux: Array,
    chi2: Array,
    rms: Array,
    maps: Maps,
    correlation: Correlation,
) -> Judgement:
    """Judge the fit of `flux` [Jy] and `chi2` (over its expectation) of each source.

    `rms` is the noise at each source [Jy/beam].
    """
    n = len(sources)
    if not n:
        nothing = np.empty(0)
        return Judgement(nothing, nothing, nothing, dict.fromkeys(WORDS, nothing > 0))
    freedom = degrees_of_freedom(sources.take(np.array([0])), maps, correlation)
    finite = np.isfinite(chi2)
    value = np.where(finite, chi2, 1.0)
    ordinary = chdtri(freedom, 1 - _ORDINARY) / freedom
    unlikely = chdtrc(freedom, value * freedom) < _UNLIKELY
    highest, lowest = _extremes(sources, flux, maps)
    least = _PART * np.abs(np.nan_to_num(flux)) / rms
    flags = {
        "bad_fit": unlikely & (np.sqrt(value) > least),
        "neighbour": highest > np.maximum(_SIGMA, least),
        "negative_bowl": -lowest > np.maximum(_SIGMA, least),
        "edge": rms > _EDGE * _lowest_noise(maps.rms),
    }
    return Judgement(np.sqrt(np.maximum(value / ordinary, 1.0)), highest, lowest, flags)


def degrees_of_freedom(one: Sources, maps: Maps, correlation: Correlation) -> float:
    """nu of the chi^2 of one source whose ellipse is whole."""
    half = half_width(one, maps)
    steps = np.arange(-half, half + 1, dtype=np.int64)
    y = np.rint(one.y).astype(np.int64)[:, None, None] + steps[None, :, None]
    x = np.rint(one.x).astype(np.int64)[:, None, None] + steps[None, None, :]
    distance = squared_distance(one, y, x)[0]
    inside = distance <= maps.limit
    rows, columns = (np.broadcast_to(a[0], distance.shape)[inside] for a in (y, x))
    kernel = np.exp(-distance[inside] / 2)
    kernel /= np.linalg.norm(kernel)
    covariance = correlation.between(rows, columns)
    left = covariance - np.outer(kernel, kernel @ covariance)
    left -= np.outer(left @ kernel, kernel)
    return float(np.trace(left) ** 2 / (left * left.T).sum())


def _extremes(sources: Sources, flux: Array, maps: Maps) -> tuple[Array, Array]:
    """Highest and lowest of (image - all fitted beams) / noise within two beams of each source."""
    wide = Maps(maps.image, maps.rms, _WIDE_BEAMS)
    half = half_width(sources, wide)
    cov = np.linalg.inv(sources.precision)
    widest = float(np.sqrt(max(cov[:, 0, 0].max(), cov[:, 1, 1].max())))
    pairs = near_pairs(sources, half + np.sqrt(NEGLIGIBLE) * widest)
    highest, lowest = np.zeros(len(sources)), np.zeros(len(sources))
    for part in chunks(np.arange(len(sources)), half):
        these = sources.take(part)
        stamps = cut(wide, these, half)
        data = stamps.data.copy()
        subtract_neighbours(data, stamps, part, sources, flux, pairs)
        own = np.exp(-squared_distance(these, stamps.y, stamps.x) / 2)
        data -= np.where(stamps.used, np.nan_to_num(flux[part])[:, None, None] * own, 0)
        sigma = data * stamps.inverse_rms
        highest[part], lowest[part] = sigma.max(axis=(1, 2)), sigma.min(axis=(1, 2))
    return highest, lowest


def _lowest_noise(rms: NDArray[np.floating]) -> float:
    """A low percentile of the noise map: its very lowest pixel may be anything."""
    some = rms[::4, ::4]
    some = some[np.isfinite(some) & (some > 0)]
    return float(np.percentile(some, 2)) if some.size else np.inf
