"""The search of a set of light curves for extreme scattering events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.variability.noise import Noise, deviance, learn_priors, noise_grid
from contimg.variability.options import VariabilityOptions
from contimg.variability.polish import Match, best_match
from contimg.variability.search import Search
from contimg.variability.shapes import changes
from contimg.variability.significance import (
    NOT_SMALL,
    NullDistribution,
    first_null,
    polished_null,
    source_random,
)
from contimg.variability.templates import Bank, make_bank

SINGLE_EPOCH_P = 0.01  # what the rest must reach when one epoch is set aside
MODEL_POINTS = 400


@dataclass(frozen=True)
class LightCurve:
    """The good epochs of one source, in order of time."""

    source: str
    mjd: NDArray[np.float64]  # (N,)
    flux: NDArray[np.float64]  # (N,) [Jy]
    error: NDArray[np.float64]  # (N,) [Jy]


@dataclass(frozen=True)
class Event:
    """The best lens for a light curve and how often chance does as well."""

    statistic: float
    false_alarm_probability: float
    depth: float  # largest part of the flux that is missing
    t0_mjd: float
    width_days: float  # FWHM of the dip
    alpha: float
    source_size: float
    flux_fraction: float
    n_in_dip: int
    baseline_jy: float
    model_mjd: NDArray[np.float64]
    model_jy: NDArray[np.float64]


def search_all(curves: list[LightCurve], options: VariabilityOptions) -> dict[str, Event]:
    """The events of all light curves long enough to be searched, by source.

    They are searched together, because each one's false alarms depend on how the others vary.
    """
    long_enough = [c for c in curves if len(c.mjd) >= options.min_epochs and _level(c) > 0]
    with_banks = [(curve, _bank(curve, options)) for curve in long_enough]
    searched = [(curve, bank) for curve, bank in with_banks if len(bank)]
    if not searched:
        return {}
    gap = float(np.median([np.median(np.diff(curve.mjd)) for curve, _ in searched]))
    grid = noise_grid(gap, max(float(np.ptp(curve.mjd)) for curve, _ in searched))
    deviances = np.array(
        [[deviance(n, c.mjd, c.error, _level(c), c.flux) for n in grid] for c, _ in searched]
    )
    priors = learn_priors(deviances)
    return {
        curve.source: _search_one(curve, bank, grid, prior, options)
        for (curve, bank), prior in zip(searched, priors, strict=True)
    }


def _level(curve: LightCurve) -> float:
    """Flux that amplitudes of noise are fractions of [Jy]."""
    return float(np.median(curve.flux))


def _bank(curve: LightCurve, options: VariabilityOptions) -> Bank:
    return make_bank(
        curve.mjd, options.min_points_in_dip, options.width_min_days, options.width_max_days
    )


def _search_one(
    curve: LightCurve,
    bank: Bank,
    grid: list[Noise],
    prior: NDArray,
    options: VariabilityOptions,
) -> Event:
    """A rough look with the bank; a thorough one where that finds anything unusual."""
    search = Search(curve.mjd, curve.error, _level(curve), bank, grid, prior)
    random = source_random(options.seed, curve.source)
    match = best_match(search, curve.flux, polished=False)
    probability = first_null(search, random).probability(match.statistic)
    if probability < NOT_SMALL:
        match = best_match(search, curve.flux, polished=True)
        null = polished_null(search, options.bootstrap_draws, random)
        probability = null.probability(match.statistic)
        if probability < SINGLE_EPOCH_P:
            probability = _without_one_epoch(curve, search, match, null, probability)
    start = curve.mjd[0]
    mjd = np.linspace(start, curve.mjd[-1], MODEL_POINTS)
    change = changes(match.lens, mjd - start)[0]
    return Event(
        statistic=match.statistic,
        false_alarm_probability=probability,
        depth=match.fraction * match.depth,
        t0_mjd=float(start + match.lens.t0[0]),
        width_days=float(match.lens.width[0]),
        alpha=float(match.lens.alpha[0]),
        source_size=float(match.lens.size[0]),
        flux_fraction=match.fraction,
        n_in_dip=match.in_dip,
        baseline_jy=match.baseline_jy,
        model_mjd=mjd,
        model_jy=match.baseline_jy * (1 + match.fraction * change),
    )


def _without_one_epoch(
    curve: LightCurve, search: Search, match: Match, null: NullDistribution, probability: float
) -> float:
    """`probability`, or what remains of it where a single epoch made the match.

    The two epochs that favour the lens most are set aside in turn, by an error ten times the
    flux. If the others alone do not make a lens at all likely (``SINGLE_EPOCH_P``), theirs is
    the probability reported: a bad measurement is not an event. Setting aside can only lower
    the number of false alarms.
    """
    mean = np.average(curve.flux, weights=curve.error**-2)
    model = match.baseline_jy * (1 + match.fraction * match.change)
    favour = ((curve.flux - mean) ** 2 - (curve.flux - model) ** 2) / curve.error**2
    weakest = match.statistic
    for epoch in np.argsort(-favour, kind="stable")[:2]:
        error = curve.error.copy()
        error[epoch] = 10 * search.mean_flux
        rest = Search(curve.mjd, error, search.mean_flux, search.bank, search.grid, search.prior)
        weakest = min(weakest, best_match(rest, curve.flux, polished=True).statistic)
    remaining = null.probability(weakest)
    return remaining if remaining > SINGLE_EPOCH_P else probability
