"""The posterior density of a dip, given one light curve."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from contimg.variability.banks import Bank, constrained, widths
from contimg.variability.evidence import Fit, fit_templates, log_sum
from contimg.variability.filters import Whitened, Whitener
from contimg.variability.profiles import ALPHAS, IMPACTS, KINDS, RING, SIZES, Dips, depths, pieces

KIND_PRIOR = np.array([0.4, 0.3, 0.3])  # of KINDS


@dataclass(frozen=True)
class Problem:
    """One light curve in medians, the noise models and their ln (prior L) without a template."""

    times: NDArray[np.float64]
    flux: NDArray[np.float64]
    variance: NDArray[np.float64]
    filters: list[Whitener]
    log_noise: NDArray[np.float64]  # (H,)
    min_points: int
    width_min: float
    width_max: float
    terms: NDArray[np.float64] | None = None  # (N, R) as in terms.py

    def white(self, h: int) -> Whitened:
        """The light curve under one of the noise models."""
        if h not in self._white:
            self._white[h] = self.filters[h].of(self.flux)
        return self._white[h]

    @cached_property
    def _white(self) -> dict[int, Whitened]:
        return {}


def make_problem(
    times: NDArray,
    flux: NDArray,
    variance: NDArray,
    filters: list[Whitener],
    log_noise: NDArray,
    min_points: int,
    width_min: float,
    width_max: float | None,
    terms: NDArray | None = None,
) -> Problem:
    """Limits of the widths as in the bank."""
    limits = width_limits(times, width_min, width_max)
    return Problem(times, flux, variance, filters, log_noise, min_points, *limits, terms)


def log_density(
    problem: Problem, dips: Dips, noises: NDArray
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[Fit]]:
    """ln (prior L) of dips (K,), the same by noise model (K, len(noises)), and the fits."""
    prior = _log_prior(problem, dips)
    dips = _within_tables(dips)
    number, epochs = len(dips), len(problem.times)
    found = pieces(dips, problem.times)
    prior = np.where(constrained(found, epochs, problem.min_points), prior, -np.inf)
    templates, support = found.whole(epochs, np.ones(number, dtype=bool))
    shape = np.zeros(number), depths(dips), np.empty((number, 0))
    bank = Bank(templates, prior, *shape, where=support)
    fits = [fit_templates(problem.white(h), bank) for h in noises]
    by_noise = np.stack([f.log_factor for f in fits], axis=1)
    by_noise = by_noise + problem.log_noise[noises] + prior[:, None]
    return log_sum(by_noise, axis=1), by_noise, fits


def width_limits(times: NDArray, width_min: float, width_max: float | None) -> tuple[float, float]:
    """Narrowest and widest dip [days], as in the bank."""
    chosen = widths(times, width_min, width_max or times[-1])
    return float(chosen[0]), float(max(chosen[-1], 1.01 * chosen[0]))


def draw_prior(width_range: tuple[float, float], span: float, random: np.random.Generator) -> Dips:
    """One dip from the prior of :func:`log_density`."""
    kind = random.choice(len(KINDS), p=KIND_PRIOR)
    width = np.exp(random.uniform(*np.log(width_range)))
    shape = [random.uniform(0, len(grid) - 1) for grid in (ALPHAS, SIZES, IMPACTS)]
    t0 = random.uniform(-width / 3, span + width / 3)
    return Dips(np.array([kind]), *(np.array([v]) for v in (*shape, width, t0)))


def _within_tables(dips: Dips) -> Dips:
    """The same with shapes at the ends of the tables where they are beyond."""
    alpha = np.clip(dips.alpha, 0, len(ALPHAS) - 1)
    size, impact = np.clip(dips.size, 0, len(SIZES) - 1), np.clip(dips.impact, 0, len(IMPACTS) - 1)
    return Dips(dips.kind, alpha, size, impact, dips.width, dips.t0)


def _log_prior(problem: Problem, dips: Dips) -> NDArray[np.float64]:
    """Uniform in the places of shape, ln width and t0."""
    span = problem.times[-1]
    inside = (
        (dips.alpha >= 0)
        & (dips.alpha <= len(ALPHAS) - 1)
        & (dips.size >= 0)
        & (dips.size <= len(SIZES) - 1)
        & (dips.width >= problem.width_min)
        & (dips.width <= problem.width_max)
        & (np.abs(dips.t0 - span / 2) <= span / 2 + dips.width / 3)
    )
    volume = (len(ALPHAS) - 1) * (len(SIZES) - 1) * np.log(problem.width_max / problem.width_min)
    density = np.log(KIND_PRIOR[dips.kind] / volume / (span + 2 * dips.width / 3))
    ring = dips.kind == RING
    inside &= ~ring | ((dips.impact >= 0) & (dips.impact <= len(IMPACTS) - 1))
    # the coordinate that is not used has a Gaussian of its own, which integrates to one
    unused = -0.5 * (dips.impact**2 + np.log(2 * np.pi))
    density = density + np.where(ring, -np.log(len(IMPACTS) - 1), unused)
    return np.where(inside, density, -np.inf)
