"""How well each class explains a light curve: marginal likelihoods under every noise model.

In units of the median flux a light curve is f = m [1 + a x(t)] + noise, x a template. The mean m
has a flat prior, the amplitude a a uniform one between its limits; both integrals are closed.
For amplitude b = a m, measured b_hat +- s, with the fall z^2 = (b_hat / s)^2 of chi-square, the
Bayes factor of a template against none is

    sqrt(2 pi) s / [m (high - low)] e^(z^2/2) [Phi((m high - b_hat)/s) - Phi((m low - b_hat)/s)]

and that of a class the average over its templates. The one of a sine wave has two amplitudes; that
of a bad block is a mean over two pairs of limits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from contimg.variability.banks import CLASSES, LONG_EPOCHS, Bank, Banks
from contimg.variability.filters import Whitened, Whitener, make_whitener
from contimg.variability.lanes import log_likelihoods
from contimg.variability.noise import Noise
from contimg.variability.screen import promising

SPIKE_ERROR = 0.15
QUIET, QUIET_SIGMA = 2.0, 4.0  # gain of ln L by a process; of a window of epochs
SPIKE_SIGMA = 3.0  # above nearly all of the light curve
QUIET_FACTOR = -3.5  # ln Bayes factor of a class in a light curve without anything
NEGLIGIBLE = 12.0  # difference of ln L
_PER_SIGMA = 128
_LOG_PHI = log_ndtr(8 - np.arange(16 * _PER_SIGMA + 1) / _PER_SIGMA)
_TINY = 1e-12
_LEFT_OUT = 25.0  # ln of the part that one of thousands of terms may at most be
MIN_MEAN = 0.05  # baseline, in medians: weights of a mean may be negative, a flux not


@dataclass(frozen=True)
class Series:
    """A light curve in units of its median flux."""

    times: NDArray[np.float64]  # (N,) days after the first epoch
    flux: NDArray[np.float64]  # (N,) less one
    variance: NDArray[np.float64]  # (N,)
    level_jy: float
    block_odds: NDArray[np.float64] | None = None  # (N,) as in doubt.py
    terms: NDArray[np.float64] | None = None  # (N, R) as in terms.py


@dataclass(frozen=True)
class Evidence:
    """What one light curve says of H noise models and C classes."""

    null: NDArray[np.float64]  # (H,) ln L without a template, the mean integrated out
    classes: NDArray[np.float64]  # (H, C), or (1, C) for all: ln Bayes factor of each against none
    best: NDArray[np.int64]  # (H, C) its best template
    stands_out: bool = True  # something does of the noise; if not, no template was tried


@dataclass(frozen=True)
class Fit:
    """Least squares of K templates under one noise model, in medians."""

    log_factor: NDArray[np.float64]  # (K,) ln Bayes factors, amplitude integrated out
    amplitude: NDArray[np.float64]  # (K,) b_hat
    error: NDArray[np.float64]  # (K,) s
    mean: NDArray[np.float64]  # (K,) m at b_hat
    slope: NDArray[np.float64]  # (K,) dm/db
    mean_error: float  # of m at given b


def make_series(
    mjd: NDArray,
    flux: NDArray,
    error: NDArray,
    block_odds: NDArray | None = None,
    terms: NDArray | None = None,
) -> Series:
    """In units of the median; `flux` and `error` (N,) [Jy].

    What is brighter than nearly all of the light curve gets ``SPIKE_ERROR`` of its excess added to
    its error, for all classes: the height of a caustic spike depends on structure of source and
    lens that no template has, and must not decide what the dip is like.
    """
    level = float(np.median(flux))
    relative = flux / level - 1
    excess = np.maximum(relative - quantile(relative, 0.9), 0)
    variance = (error / level) ** 2 + (SPIKE_ERROR * excess) ** 2
    return Series(mjd - mjd[0], relative, variance, level, block_odds, terms)


def whiteners(series: Series, grid: list[Noise]) -> list[Whitener]:
    """The filters of all noise models for one light curve."""
    return [whitener(series, noise) for noise in grid]


def whitener(series: Series, noise: Noise) -> Whitener:
    """The filter of one noise model for one light curve."""
    model = noise.kernel, noise.amplitude, noise.tau_days
    return make_whitener(series.times, series.variance, *model, series.terms)


def weigh(series: Series, banks: Callable[[], Banks], grid: list[Noise]) -> Evidence:
    """The evidence of every class with the templates of its bank.

    A class explains less the more the noise does: one that could not come within ``NEGLIGIBLE`` of
    the best under a model even with what it gains under the same process of smaller amplitude is
    not tried there, and keeps an evidence of zero. A light
    curve in which no window of epochs stands out, and to which no process does any good, is not
    tried at all, nor a long one in which nothing stands out of its noise: their classes get what is
    typical of such sources.
    """
    flux = series.flux
    null = _nulls(series, grid)
    quiet = null.max() - null[0] < QUIET and largest_window(flux, series.variance) < QUIET_SIGMA
    if not quiet and len(flux) >= LONG_EPOCHS:
        quiet = not _promising(series, null, grid)
    if quiet:
        shape = 1, len(CLASSES)
        return Evidence(null, np.full(shape, QUIET_FACTOR), np.zeros(shape, dtype=int), False)
    made = banks()
    classes = np.full((len(grid), len(CLASSES)), -np.inf)
    best = np.zeros(classes.shape, dtype=int)
    gains: dict[tuple[str, float], NDArray] = {}
    alone, top = np.full(len(CLASSES), np.inf), null.max()
    for h, noise in enumerate(grid):
        process = noise.kernel, noise.tau_days
        possible = null[h] + gains.get(process, alone) >= top - NEGLIGIBLE
        tried = [c for c in np.flatnonzero(possible) if CLASSES[c] in made.of_class]
        if not tried:
            continue
        white = whitener(series, noise).of(flux)
        for c in tried:
            classes[h, c], best[h, c] = _of_class(white, made.of_class[CLASSES[c]])
        gains[process] = np.where(possible, classes[h], gains.get(process, alone))
        top = max(top, null[h] + classes[h].max())
        if h == 0:
            alone = classes[0]
    return Evidence(null, classes, best)


def _nulls(series: Series, grid: list[Noise]) -> NDArray[np.float64]:
    """ln L (H,) without a template under every noise model."""
    if series.terms is None:
        return log_likelihoods(series.times, series.flux, series.variance, grid)
    return np.array([log_likelihood(series.flux, filt) for filt in whiteners(series, grid)])


def _of_class(white: Whitened, bank: Bank) -> tuple[float, int]:
    """ln Bayes factor of a class under one noise model, and its best template."""
    (ones, mean, _), dots = white.products(bank.packed)
    if bank.pairs:
        total = _sine_fit(dots, ones, mean, bank).log_factor + bank.log_weight[::3]
        return float(log_sum(total)), int(total.argmax())
    return _sum_factors(*dots, ones, mean, bank.log_weight, bank.low, bank.high, bank.usual)


def _promising(series: Series, null: NDArray, grid: list[Noise]) -> bool:
    """Whether anything stands out of the noise, with bright spikes or without.

    A process explains the spikes of caustics, a dip of one shape does not.
    """
    flux, variance = series.flux, series.variance
    if promising(series.times, flux, variance, null, grid):
        return True
    top = quantile(flux, 0.9) + SPIKE_SIGMA * np.sqrt(np.median(variance))
    if not (flux > top).any():
        return False
    clipped = np.minimum(flux, top)
    null = log_likelihoods(series.times, clipped, variance, grid)
    return promising(series.times, clipped, variance, null, grid)


@numba.njit(cache=True, nogil=True)
def largest_window(flux, variance):
    """Largest |weighted mean| in sigma of any window of epochs, their number growing by a third."""
    number = len(flux)
    weight = 1 / variance
    mean = (weight * flux).sum() / weight.sum()
    signal = np.zeros(number + 1)
    total = np.zeros(number + 1)
    for n in range(number):
        signal[n + 1] = signal[n] + weight[n] * (flux[n] - mean)
        total[n + 1] = total[n] + weight[n]
    largest, length = 0.0, 1
    while length < number:
        for n in range(number - length + 1):
            inside = total[n + length] - total[n]
            # the mean was taken out, which the window is part of
            spread = inside * (1 - inside / total[number])
            value = abs(signal[n + length] - signal[n]) / math.sqrt(max(spread, 1e-300))
            largest = max(largest, value)
        length = max(length + 1, length * 4 // 3)
    return largest


def quantile(values: NDArray, part: float) -> float:
    """As numpy's, ten times as fast for a few hundred values."""
    place = part * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    ordered = np.partition(values, (low, high))
    return float(ordered[low] + (place - low) * (ordered[high] - ordered[low]))


def log_sum(values: NDArray, axis: int | None = None) -> NDArray[np.float64]:
    """ln of the sum of exponentials, as scipy's but for small arrays many times."""
    top = np.max(values, axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(values - top).sum(axis=axis)) + np.squeeze(top, axis=axis)


def log_likelihood(flux: NDArray, filt: Whitener) -> float:
    """ln L of a light curve without a template, the mean integrated out."""
    (ones, mean, square), _ = filt.products(flux, np.empty((len(flux), 0), np.float32))
    return -0.5 * (filt.log_det + math.log(ones) + square - mean**2 / ones)


def fit_templates(white: Whitened, bank: Bank) -> Fit:
    """Fit every template of a bank; those of sines, cosine and sine together."""
    (ones, mean, _), dots = white.products(bank.packed)
    if bank.pairs:
        return _sine_fit(dots, ones, mean, bank)
    limits = bank.low, bank.high, bank.usual
    return Fit(*_fitted(*dots, ones, mean, *limits), ones**-0.5)


@numba.njit(cache=True, nogil=True)
def _fitted(tt, ty, t1, ones, mean, low, high, usual):
    """ln Bayes factors, amplitudes, their errors, means and their slopes (5, K)."""
    result = np.empty((5, len(tt)))
    for k in range(len(tt)):
        b, s, level = _solved(tt[k], ty[k], t1[k], 1 / ones, mean / ones)
        factor = _log_factor(b, s, max(level, MIN_MEAN), low[k], high[k], usual)
        result[0, k], result[1, k], result[2, k], result[3, k] = factor, b, s, level
        result[4, k] = -t1[k] / ones
    return result


@numba.njit(cache=True, nogil=True, inline="always")
def _solved(tt, ty, t1, one, mean):
    """Amplitude of a template, its error and the mean that goes with it, in medians.

    `one` is 1 / 1'1, `mean` that without a template, less one.
    """
    error = 1 / math.sqrt(max(tt - t1 * t1 * one, _TINY))
    amplitude = (ty - t1 * mean) * error * error
    return amplitude, error, 1 + mean - amplitude * t1 * one


def _sine_fit(dots: NDArray, ones: float, mean: float, bank: Bank) -> Fit:
    tt = np.maximum(dots[0] - dots[2] ** 2 / ones, _TINY)
    ty = dots[1] - dots[2] * mean / ones
    cc, ss, both = tt[0::3], tt[1::3], tt[2::3]
    cy, sy = ty[0::3], ty[1::3]
    cross = (both - cc - ss) / 2
    det = np.maximum(cc * ss - cross**2, 1e-6 * cc * ss)
    fall = (ss * cy**2 - 2 * cross * cy * sy + cc * sy**2) / det
    a, b = (ss * cy - cross * sy) / det, (cc * sy - cross * cy) / det
    # amplitudes within a circle of radius one, the area of which is pi
    factor = 0.5 * fall + np.log(2 / np.sqrt(det) / bank.high[0] ** 2)
    return Fit(factor, np.hypot(a, b), det**-0.25, np.ones_like(a), 0 * a, ones**-0.5)


@numba.njit(cache=True, nogil=True)
def _log_phi_between(low, high):
    """ln [Phi(high) - Phi(low)] for low < high, right in both tails."""
    if high > 8 and -8 < low < 5:
        # nearly always: Phi(-low) from a table, right to 1e-5
        place = (low + 8) * _PER_SIGMA
        k = int(place)
        return _LOG_PHI[k] + (place - k) * (_LOG_PHI[k + 1] - _LOG_PHI[k])
    if high > 8 and low < -8:
        return 0.0
    if low > 0:
        low, high = -high, -low
    root = math.sqrt(2.0)
    if high < -6:
        # far out: the tail of a Gaussian, phi(z) / z, of the nearer end
        start = -0.5 * high**2 - math.log(-high) - 0.9189385332046727
        width = (high - low) * -high
        return start + math.log(-math.expm1(-min(width, 700.0)))
    share = 0.5 * (math.erfc(-high / root) - math.erfc(-low / root))
    return math.log(max(share, 1e-300))


@numba.njit(cache=True, nogil=True)
def _log_factor(amplitude, error, mean, low, high, usual):
    root = 1 / error
    z, low, high = amplitude * root, mean * low * root, mean * high * root
    inside = _log_phi_between(low - z, high - z)
    part, often = usual
    if often > 0:
        narrow = _log_phi_between(part * low - z, part * high - z)
        if narrow == 0.0 and inside == 0.0:  # nearly always
            inside = math.log(often / part + 1 - often)
        else:
            narrow, inside = narrow + math.log(often / part), inside + math.log1p(-often)
            inside = max(narrow, inside) + math.log1p(math.exp(-abs(narrow - inside)))
    return 0.5 * z * z + inside + 0.9189385332046727 - math.log(high - low)


@numba.njit(cache=True, nogil=True)
def _sum_factors(tt, ty, t1, ones, mean, log_weight, low, high, usual):
    """ln of the weighted sum of Bayes factors, and the largest term's index."""
    top, total, which = -1e300, 0.0, 0
    for k in range(len(tt)):
        b, s, level = _solved(tt[k], ty[k], t1[k], 1 / ones, mean / ones)
        # a mean of likelihoods is at most the largest of them
        if 0.5 * (b / s) ** 2 + log_weight[k] < top - _LEFT_OUT:
            continue
        factor = _log_factor(b, s, max(level, MIN_MEAN), low[k], high[k], usual)
        value = factor + log_weight[k]
        if value > top:
            total, top, which = total * math.exp(top - value) + 1, value, k
        else:
            total += math.exp(value - top)
    return top + math.log(total), which
