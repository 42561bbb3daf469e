"""Gains of epochs from an ensemble of reference sources.

The model of reference i at epoch t is

    F_it = g_t S_i (1 + z_it),   Var z_it = (sigma_it / g_t S_i)^2 + e_t^2

with gain g_t, mean flux S_i and excess fractional scatter e_t: what residual calibration and
deconvolution add to the errors of bright sources. The gain may differ over the field,

    ln g_it = c_t + s_t . p_it,

with p_it [degrees] the place of the reference in the field of the epoch; whether it does, the
references tell by how well each is predicted by the others (:func:`predicted`). Where a source
was seen in several declination strips, its mean flux is S_i (1 + d_is) there, with a Gaussian prior
of the d_is: the primary beam is not known better.

A small part of the measurements is of another kind (flares, dips, artefacts): z comes from a
mixture of that Gaussian and a broad one, so the weight of an outlier falls to zero instead of
growing with it (as in Hogg, Bovy & Lang
2010, arXiv:1008.4686, section 3). Levels and gains alternate; e_t has an empirical-Bayes prior
common to all epochs, because the scatter of a few references at one epoch says little.

Gains are relative: their weighted mean logarithm is zero, the absolute scale is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

OUTLIER_FRACTION = 0.02
OUTLIER_WIDTH = 0.5  # fractional standard deviation of the measurements of another kind
ITERATIONS = 25
# candidate values of the excess scatter; the step is small beside what can be measured
EXCESS = np.concatenate([[0.0], np.geomspace(0.002, 0.5, 24)])
SLOPE_PRIOR = 0.05  # standard deviation of a gradient of ln gain, a degree
FEW = 40  # references, of which each is left out by another fit; of more by a downdate


@dataclass(frozen=True)
class Strips:
    """In which of K declination strips each of T epochs is."""

    member: NDArray[np.float64]  # (T, K) one where it is, else zero
    offset: float  # standard deviation of what a source differs by there, in parts of its flux


@dataclass(frozen=True)
class GainFit:
    """Gains of T epochs from R references; ``nan`` at epochs without any."""

    gain: NDArray[np.float64]  # (T,) in the middle of the field
    gain_err: NDArray[np.float64]  # (T,) standard error of the gain
    excess: NDArray[np.float64]  # (T,) excess fractional scatter of one measurement
    level: NDArray[np.float64]  # (R,) mean fluxes [Jy]
    slope: NDArray[np.float64]  # (T, 2) of ln gain over the field [1/deg]; zero if it is flat
    covariance: NDArray[np.float64]  # (T, 3, 3) of ln gain and slope
    offset: NDArray[np.float64]  # (R, T) of the levels in strips, in parts of them

    def at(self, place: NDArray) -> GainFit:
        """The gains of a source at `place` (T, 2) [deg] in the fields of the epochs."""
        whole = np.concatenate([np.ones((len(place), 1)), place], axis=1)
        gain = self.gain * np.exp(np.einsum("tp,tp->t", place, self.slope))
        variance = np.einsum("tp,tpq,tq->t", whole, self.covariance, whole)
        return replace(self, gain=gain, gain_err=gain * np.sqrt(variance))


def fit_gains(
    flux: NDArray,
    error: NDArray,
    good: NDArray,
    start: GainFit | None = None,
    place: NDArray | None = None,
    strips: Strips | None = None,
) -> GainFit:
    """Fit gains to `flux` +- `error` [Jy] of the references, (R, T), where `good`.

    `start` is an earlier solution of nearly the same data, from which it takes less long; with the
    `place` (R, T, 2) of the references in the fields [deg] gains differ over the field, with
    `strips` levels from one strip to another.
    """
    flux, error = np.where(good, flux, 1.0), np.where(good, error, 1.0)
    used, design = good.any(axis=0), _design(good, place)
    if start is None:
        level, gain = _median_polish(flux, good)
        offset = np.zeros(flux.shape)
        excess = np.full(flux.shape[1], 0.02)
        log_gain = np.zeros((len(gain), design.shape[2]))
        log_gain[:, 0] = np.log(gain)
    else:
        level, excess = start.level.copy(), np.where(used, start.excess, 0.0)
        offset = start.offset
        gain = np.where(used, start.gain, 1.0)
        both = np.column_stack([np.log(gain), np.where(used[:, None], start.slope, 0.0)])
        log_gain = both[:, : design.shape[2]]
    iterations = ITERATIONS if start is None else ITERATIONS // 3
    for iteration in range(iterations):
        gains = _gains(design, log_gain)
        ratio, _, weight = _weigh(flux, error, good, _at(level, offset), gains, excess)
        log_gain = log_gain + _step(design, ratio, weight, log_gain)
        gains = _gains(design, log_gain)
        ratio, _, weight = _weigh(flux, error, good, _at(level, offset), gains, excess)
        level, offset = _new_levels(level, offset, ratio, weight, strips)
        if iteration >= iterations - 4:
            # after the gains have settled; each pass uses the residuals of the one before
            ratio, variance, weight = _weigh(flux, error, good, _at(level, offset), gains, excess)
            leverage = _leverage(weight, strips)
            excess = _excess_scatter(ratio, variance - excess**2, leverage, good)
    gains = _gains(design, log_gain)
    _, _, weight = _weigh(flux, error, good, _at(level, offset), gains, excess)
    covariance = np.linalg.inv(_normal(design, weight))
    return replace(_on_scale(log_gain, covariance, excess, level, used), offset=offset)


def _at(level: NDArray, offset: NDArray) -> NDArray[np.float64]:
    """Mean flux densities (R, T) at gain one."""
    return level[:, None] * (1 + offset)


def _new_levels(
    level: NDArray, offset: NDArray, ratio: NDArray, weight: NDArray, strips: Strips | None
) -> tuple[NDArray, NDArray]:
    """Levels (R,) and offsets (R, T) from the fractional residuals about both."""
    if strips is None:
        return level * (1 + _mean(ratio, weight, axis=1)), offset
    total = weight @ strips.member
    seen = total > 0
    change = np.where(
        seen,
        ((1 + offset) * (1 + ratio) - 1) * weight @ strips.member / np.maximum(total, 1e-300),
        0,
    )
    variance = 1 / np.maximum(total, 1e-300) + strips.offset**2
    mean = _mean(change, np.where(seen, 1 / variance, 0.0), axis=1)[:, None]
    own = ((1 + change) / (1 + mean) - 1) * strips.offset**2 / variance
    # what all offsets of a strip have in common is the gain of its epochs
    several = seen & (seen.sum(axis=1, keepdims=True) > 1)
    own = np.where(several, own - _mean(own, several.astype(float), axis=0), 0.0)
    return level * (1 + mean[:, 0]), own @ strips.member.T


def _on_scale(log_gain, covariance, excess, level, used) -> GainFit:
    """The fit with a weighted mean logarithm of the gains of zero."""
    variance = covariance[:, 0, 0]
    scale = np.exp(-np.average(log_gain[used, 0], weights=1 / variance[used]))
    gain = np.where(used, np.exp(log_gain[:, 0]) * scale, np.nan)
    slope, whole = np.zeros((len(used), 2)), np.zeros((len(used), 3, 3))
    number = log_gain.shape[1]
    slope[:, : number - 1], whole[:, :number, :number] = log_gain[:, 1:], covariance
    return GainFit(
        gain,
        gain * np.sqrt(variance),
        np.where(used, excess, np.nan),
        level / scale,
        np.where(used[:, None], slope, 0.0),
        whole,
        np.zeros((len(level), len(used))),
    )


def _design(good: NDArray, place: NDArray | None) -> NDArray[np.float64]:
    """What the logarithm of a gain is linear in, (R, T, P): one, and the place."""
    ones = np.ones((*good.shape, 1))
    if place is None:
        return ones
    return np.concatenate([ones, np.where(good[..., None], place, 0.0)], axis=2)


def _gains(design: NDArray, log_gain: NDArray) -> NDArray[np.float64]:
    return np.exp(np.einsum("rtp,tp->rt", design, log_gain))


def _normal(design: NDArray, weight: NDArray) -> NDArray[np.float64]:
    """Normal matrices (T, P, P) of the logarithms of the gains, with the prior of slopes."""
    matrix = np.einsum("rtp,rtq->tpq", design * weight[..., None], design, optimize=True)
    prior = np.full(design.shape[2], SLOPE_PRIOR**-2)
    prior[0] = 1e-12
    return matrix + np.diag(prior)


def _step(design, ratio, weight, log_gain) -> NDArray[np.float64]:
    """Change of the logarithms of the gains (T, P) that fractional residuals ask for."""
    right = np.einsum("rtp,rt->tp", design, weight * ratio, optimize=True)
    right[:, 1:] -= log_gain[:, 1:] / SLOPE_PRIOR**2
    step = np.linalg.solve(_normal(design, weight), right[..., None])[..., 0]
    step[:, 0] = np.log1p(np.maximum(step[:, 0], -0.5))
    return step


def leave_one_out(
    flux: NDArray,
    error: NDArray,
    good: NDArray,
    full: GainFit,
    place: NDArray | None = None,
    strips: Strips | None = None,
) -> list[GainFit]:
    """For each reference, where it is, the gains from all the others.

    With many references one of them hardly changes the levels of the others, and the normal
    equations without it differ by a matrix of rank one.
    """
    rows = range(len(flux))
    where = np.zeros((*good.shape, 2)) if place is None else place
    if len(flux) <= FEW:
        fits = []
        for row in rows:
            rest = np.arange(len(flux)) != row
            start = replace(full, level=full.level[rest], offset=full.offset[rest])
            there = None if place is None else place[rest]
            fit = fit_gains(flux[rest], error[rest], good[rest], start, there, strips)
            fits.append(fit.at(where[row]))
        return fits
    change, variance, _ = _downdated(flux, error, good, full, place)
    fits = []
    for row in rows:
        gain = full.at(where[row]).gain * np.exp(change[row])
        fits.append(replace(full, gain=gain, gain_err=gain * np.sqrt(variance[row])))
    return fits


def _downdated(flux, error, good, full: GainFit, place):
    """Change of ln gain where each reference is when it is left out, its variance then, and ln of
    the density of the reference's measurement under that prediction; each (R, T)."""
    flux, error = np.where(good, flux, 1.0), np.where(good, error, 1.0)
    design = _design(good, place)
    whole = np.column_stack([np.log(np.where(good.any(axis=0), full.gain, 1.0)), full.slope])
    gains = _gains(design, whole[:, : design.shape[2]])
    excess = np.nan_to_num(full.excess)
    ratio, variance, weight = _weigh(flux, error, good, _at(full.level, full.offset), gains, excess)
    inverse = np.linalg.inv(_normal(design, weight))
    own = np.einsum("rtp,tpq,rtq->rt", design, inverse, design, optimize=True)
    leverage = np.clip(weight * own, 0, 0.99)
    without = own / (1 - leverage)
    inlier, outlier = _log_densities(ratio / (1 - leverage), variance + without)
    density = np.where(good, np.logaddexp(inlier, outlier), 0.0)
    return -leverage / (1 - leverage) * ratio, without, density


def predicted(flux: NDArray, error: NDArray, good: NDArray, full: GainFit, place=None) -> float:
    """ln of the density of all measurements, each predicted by the other references."""
    return float(_downdated(flux, error, good, full, place)[2].sum())


def normalise(
    flux: NDArray, error: NDArray, good: NDArray, fit: GainFit
) -> tuple[NDArray, NDArray, float]:
    """Normalised fluxes, their total errors and the mean flux [Jy] of one source, (T,).

    Total variance: measurement, gain error and excess scatter. The last two are fractions of
    the *mean* flux: taken of each measurement they would give low ones more weight.
    """
    normal, base = flux / fit.gain, error / fit.gain
    fraction2 = (fit.gain_err / fit.gain) ** 2 + fit.excess**2
    usable = good & np.isfinite(normal) & np.isfinite(base)
    mean = float(np.median(normal[usable])) if usable.any() else 0.0
    for _ in range(3):
        variance = base**2 + max(mean, 0.0) ** 2 * fraction2
        if usable.any():
            mean = float(np.average(normal[usable], weights=1 / variance[usable]))
    return normal, np.sqrt(variance), mean


def _median_polish(flux: NDArray, good: NDArray) -> tuple[NDArray, NDArray]:
    """First guess of levels and gains from medians of ratios."""
    masked = np.where(good, flux, np.nan)
    gain = np.ones(flux.shape[1])
    used = good.any(axis=0)
    for _ in range(3):
        level = np.nanmedian(masked / gain, axis=1)
        gain[used] = np.nanmedian(masked[:, used] / level[:, None], axis=0)
    return level, gain


def _weigh(
    flux: NDArray, error: NDArray, good: NDArray, level: NDArray, gain: NDArray, excess: NDArray
) -> tuple[NDArray, NDArray, NDArray]:
    """Fractional residuals, their variance and weight (zero where not good), each (R, T)."""
    model = level * gain  # (R, T)
    residual = flux / model - 1
    variance = (error / model) ** 2 + excess**2
    inlier, outlier = _log_densities(residual, variance)
    return residual, variance, np.where(good, expit(inlier - outlier) / variance, 0.0)


def _log_densities(residual: NDArray, variance: NDArray) -> tuple[NDArray, NDArray]:
    """Log density of the two components of the mixture, each with its fraction."""
    broad = variance + OUTLIER_WIDTH**2
    inlier = np.log1p(-OUTLIER_FRACTION) - 0.5 * (residual**2 / variance + np.log(variance))
    outlier = np.log(OUTLIER_FRACTION) - 0.5 * (residual**2 / broad + np.log(broad))
    return inlier, outlier


def _mean(values: NDArray, weight: NDArray, axis: int) -> NDArray:
    total = weight.sum(axis=axis)
    return np.where(total > 0, (weight * values).sum(axis=axis) / np.maximum(total, 1e-300), 0.0)


def _leverage(weight: NDArray, strips: Strips | None) -> NDArray[np.float64]:
    """Part (R, T) of a residual's variance that the fit of gain and level took out."""
    by_epoch = weight.sum(axis=0)
    by_source = weight.sum(axis=1, keepdims=True)
    if strips is not None:
        by_source = weight @ strips.member @ strips.member.T
    parts = weight / np.maximum(by_epoch, 1e-300) + weight / np.maximum(by_source, 1e-300)
    return np.clip(parts, 0, 0.9)


def _excess_scatter(
    residual: NDArray, measured: NDArray, leverage: NDArray, good: NDArray
) -> NDArray[np.float64]:
    """Root mean posterior square of e_t, (T,), its prior estimated from all epochs.

    Residuals are freed first of the part that the fit of gain and level took out (`leverage`).
    The prior is the non-parametric maximum-likelihood one on the grid ``EXCESS`` (Laird 1978),
    held off zero by one pseudo-count.
    """
    true = (residual / np.sqrt(1 - leverage))[:, :, None]
    densities = _log_densities(true, measured[:, :, None] + EXCESS**2)
    log_likelihood = np.where(good[:, :, None], np.logaddexp(*densities), 0.0).sum(axis=0)
    used = good.any(axis=0)
    peak = log_likelihood.max(axis=1, keepdims=True)
    likelihood = np.exp(log_likelihood - peak)
    prior = np.full(len(EXCESS), 1 / len(EXCESS))
    for _ in range(30):
        posterior = likelihood * prior
        posterior /= posterior.sum(axis=1, keepdims=True)
        prior = posterior[used].sum(axis=0) + 1 / len(EXCESS)
        prior /= prior.sum()
    return np.sqrt(posterior @ EXCESS**2)
