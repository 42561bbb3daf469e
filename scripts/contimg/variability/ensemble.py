"""Gains of epochs from an ensemble of reference sources.

The model of reference i at epoch t is

    F_it = g_t S_i (1 + z_it),   Var z_it = (sigma_it / g_t S_i)^2 + e_t^2

with gain g_t, mean flux S_i and excess fractional scatter e_t: what residual calibration and
deconvolution add to the errors of bright sources. A small part of the measurements is of
another kind (flares, dips, artefacts): z comes from a mixture of that Gaussian and a broad one,
so the weight of an outlier falls to zero instead of growing with it (as in Hogg, Bovy & Lang
2010, arXiv:1008.4686, section 3). Levels and gains alternate; e_t has an empirical-Bayes prior
common to all epochs, because the scatter of a few references at one epoch says little.

Gains are relative: their weighted mean logarithm is zero, the absolute scale is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

OUTLIER_FRACTION = 0.02
OUTLIER_WIDTH = 0.5  # fractional standard deviation of the measurements of another kind
ITERATIONS = 25
# candidate values of the excess scatter; the step is small beside what can be measured
EXCESS = np.concatenate([[0.0], np.geomspace(0.002, 0.5, 24)])


@dataclass(frozen=True)
class GainFit:
    """Gains of T epochs from R references; ``nan`` at epochs without any."""

    gain: NDArray[np.float64]  # (T,)
    gain_err: NDArray[np.float64]  # (T,) standard error of the gain
    excess: NDArray[np.float64]  # (T,) excess fractional scatter of one measurement
    level: NDArray[np.float64]  # (R,) mean fluxes [Jy]


def fit_gains(
    flux: NDArray, error: NDArray, good: NDArray, start: GainFit | None = None
) -> GainFit:
    """Fit gains to `flux` +- `error` [Jy] of the references, (R, T), where `good`.

    `start` is an earlier solution of nearly the same data, from which it takes less long.
    """
    flux, error = np.where(good, flux, 1.0), np.where(good, error, 1.0)
    used = good.any(axis=0)
    if start is None:
        level, gain = _median_polish(flux, good)
        excess = np.full(flux.shape[1], 0.02)
    else:
        level, gain = start.level.copy(), np.where(used, start.gain, 1.0)
        excess = np.where(used, start.excess, 0.0)
    iterations = ITERATIONS if start is None else ITERATIONS // 3
    for iteration in range(iterations):
        ratio, variance, weight = _weigh(flux, error, good, level, gain, excess)
        gain = gain * (1 + _mean(ratio, weight, axis=0))
        ratio, variance, weight = _weigh(flux, error, good, level, gain, excess)
        level = level * (1 + _mean(ratio, weight, axis=1))
        if iteration >= iterations - 4:
            # after the gains have settled; each pass uses the residuals of the one before
            ratio, variance, weight = _weigh(flux, error, good, level, gain, excess)
            excess = _excess_scatter(ratio, variance - excess**2, weight, good)
    _, _, weight = _weigh(flux, error, good, level, gain, excess)
    gain_err = gain / np.sqrt(np.maximum(weight.sum(axis=0), 1e-300))
    centre = np.average(np.log(gain[used]), weights=(gain[used] / gain_err[used]) ** 2)
    scale = np.exp(-centre)
    return GainFit(
        np.where(used, gain * scale, np.nan),
        np.where(used, gain_err * scale, np.nan),
        np.where(used, excess, np.nan),
        level / scale,
    )


def leave_one_out(flux: NDArray, error: NDArray, good: NDArray, full: GainFit) -> list[GainFit]:
    """For each reference the fit to all the others, started from the fit to all."""
    fits = []
    for row in range(len(flux)):
        others = np.arange(len(flux)) != row
        start = GainFit(full.gain, full.gain_err, full.excess, full.level[others])
        fits.append(fit_gains(flux[others], error[others], good[others], start))
    return fits


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
    model = level[:, None] * gain
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


def _excess_scatter(
    residual: NDArray, measured: NDArray, weight: NDArray, good: NDArray
) -> NDArray[np.float64]:
    """Root mean posterior square of e_t, (T,), its prior estimated from all epochs.

    Residuals are freed first of the part that the fit of gain and level took out (leverage).
    The prior is the non-parametric maximum-likelihood one on the grid ``EXCESS`` (Laird 1978),
    held off zero by one pseudo-count.
    """
    by_epoch = np.maximum(weight.sum(axis=0), 1e-300)
    by_source = np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
    leverage = np.clip(weight / by_epoch + weight / by_source, 0, 0.9)
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
