"""Parameters of a dip with errors: draws from their posterior.

Population Monte Carlo (Cappe et al. 2004, J. Comput. Graph. Stat. 13, 907) draws from Student
distributions about the best dips, whose shapes follow the weighted draws. The mean weight is the
evidence, the weighted draws are the posterior; amplitude and baseline are drawn from their
Gaussian given the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from contimg.variability.density import Problem, log_density
from contimg.variability.evidence import log_sum
from contimg.variability.profiles import KINDS, Dips, depths

PMC_ROUNDS, PMC_DRAWS, PMC_KEPT, DEGREES = 16, 400, 3, 5.0
FIRST_DRAWS, FIRST_SCALES = 60, (1.0, 0.3, 0.1, 0.03, 0.01)
ENOUGH = 60.0  # effective draws of a round
POSTERIOR_DRAWS = 2000


@dataclass(frozen=True)
class Posterior:
    """Draws of the dip given the light curve; fluxes in medians."""

    log_evidence: NDArray[np.float64]  # (H,) ln (prior L), -inf for models not looked at
    dips: Dips
    depth: NDArray[np.float64]
    baseline: NDArray[np.float64]
    fraction: NDArray[np.float64]
    best: Dips  # one
    best_depth: float
    best_baseline: float
    best_noise: int


def sample(
    problem: Problem, found: Dips, noises: NDArray, random: np.random.Generator
) -> Posterior:
    """Draw in rounds until the proposals have become the posterior."""
    mean = _to_vector(found)
    spread = _first_spread(problem, found, noises, random)
    share = _shares(log_density(problem, found, noises)[0], temper=0.2)
    kept = []
    for _ in range(PMC_ROUNDS):
        kinds = random.choice(len(KINDS), size=PMC_DRAWS, p=share)
        vector, log_proposal = _draw(kinds, mean, spread, random)
        dips = _from_vector(kinds, vector)
        density, by_noise, fits = log_density(problem, dips, noises)
        # ln width is the coordinate: its prior is uniform in it already
        log_proposal = log_proposal + np.log(share[kinds])
        weight = density - log_proposal
        temper = _temper(weight, ENOUGH)
        drawn = dips, weight, by_noise - log_proposal[:, None], fits, temper
        kept = [*kept[1 - PMC_KEPT :], drawn]
        if len(kept) == PMC_KEPT and min(r[4] for r in kept) >= 1:
            break
        mean, spread, share = _adapted(kinds, vector, weight, mean, spread, share, temper)
    return _gathered(kept, len(problem.filters), noises, random)


def _first_spread(
    problem: Problem, found: Dips, noises: NDArray, random: np.random.Generator
) -> NDArray[np.float64]:
    """Covariances (kinds, 5, 5) about the best dips: the widest in which some draws are good."""
    mean = _to_vector(found)
    kinds = np.repeat(np.arange(len(KINDS)), FIRST_DRAWS)
    spread = np.empty((len(KINDS), 5, 5))
    todo = np.ones(len(KINDS), dtype=bool)
    for part in FIRST_SCALES:
        tried = np.stack(
            [np.diag((part * np.array([3.0, 1.0, 1.0, 0.1, 0.1 * w])) ** 2) for w in found.width]
        )
        spread[todo] = tried[todo]
        vector, log_proposal = _draw(kinds, mean, tried, random)
        density = log_density(problem, _from_vector(kinds, vector), noises)[0]
        for kind in np.flatnonzero(todo):
            rows = kinds == kind
            todo[kind] = _temper((density - log_proposal)[rows], 10.0) < 0.25
        if not todo.any():
            break
    return spread


@numba.njit(cache=True, nogil=True)
def _temper(weight, enough):
    """Largest power, at most one, to which weights can be raised and `enough` draws count."""
    weight = weight[np.isfinite(weight)]
    if len(weight) <= enough:
        return 0.05
    weight = weight - weight.max()
    if _effective(weight, 1.0) >= enough:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        if _effective(weight, middle) >= enough:
            low = middle
        else:
            high = middle
    return low


@numba.njit(cache=True, nogil=True)
def _effective(weight, power):
    """How many draws count, given ln of their weights."""
    w = np.exp(power * weight)
    return w.sum() ** 2 / (w**2).sum()


def _shares(density: NDArray, temper: float) -> NDArray[np.float64]:
    """Part of the draws of every kind, none without any."""
    density = np.where(np.isfinite(density), density, -1e9)
    share = np.exp(temper * (density - density.max())) + 0.03
    return share / share.sum()


def _draw(
    kinds: NDArray, mean: NDArray, spread: NDArray, random: np.random.Generator
) -> tuple[NDArray, NDArray]:
    """Draws (D, 5) from the Student distribution of each kind and ln of its density."""
    size = mean.shape[1]
    root = np.linalg.cholesky(spread)
    normal = random.standard_normal((len(kinds), size))
    stretch = np.sqrt(DEGREES / random.chisquare(DEGREES, len(kinds)))
    vector = mean[kinds] + np.einsum("dij,dj->di", root[kinds], normal * stretch[:, None])
    distance = (normal**2).sum(axis=1) * stretch**2
    log_det = 2 * np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    constant = gammaln((DEGREES + size) / 2) - gammaln(DEGREES / 2)
    constant -= 0.5 * size * np.log(DEGREES * np.pi)
    log_density = constant - 0.5 * log_det[kinds]
    return vector, log_density - (DEGREES + size) / 2 * np.log1p(distance / DEGREES)


def _to_vector(dips: Dips) -> NDArray[np.float64]:
    return np.column_stack([dips.alpha, dips.size, dips.impact, np.log(dips.width), dips.t0])


def _from_vector(kinds: NDArray, vector: NDArray) -> Dips:
    alpha, size, impact, log_width, t0 = vector.T
    width = np.exp(np.clip(log_width, -10, 12))
    return Dips(kinds, alpha, size, impact, width, t0)


def _adapted(kinds, vector, weight, mean, spread, share, temper):
    """Means, covariances and shares of the kinds after a round of draws."""
    mean, spread = mean.copy(), spread.copy()
    floor = np.diag([0.02, 0.02, 0.02, 1e-4, 1e-4]) ** 2
    totals = np.full(len(KINDS), -np.inf)
    for kind in range(len(KINDS)):
        rows = np.flatnonzero((kinds == kind) & np.isfinite(weight))
        if len(rows) < 8:
            continue
        totals[kind] = log_sum(temper * weight[rows]) - np.log(len(rows) / share[kind])
        power = _temper(weight[rows], min(ENOUGH, 0.4 * len(rows)))
        w = np.exp(power * (weight[rows] - weight[rows].max()))
        w /= w.sum()
        centre = w @ vector[rows]
        around = vector[rows] - centre
        mean[kind] = centre
        spread[kind] = (w[:, None] * around).T @ around * 1.15 + floor
    return mean, spread, _shares(totals, 1.0)


def _gathered(rounds, models: int, noises: NDArray, random: np.random.Generator) -> Posterior:
    """Posterior from the last rounds of draws."""
    columns = [np.concatenate(c) for c in zip(*(r[0].columns for r in rounds), strict=True)]
    dips = Dips(*columns)
    weight = np.concatenate([r[1] for r in rounds])
    by_noise = np.concatenate([r[2] for r in rounds])
    fits = {
        name: np.concatenate([np.stack([getattr(f, name) for f in r[3]], axis=1) for r in rounds])
        for name in ("amplitude", "error", "mean", "slope")
    }
    mean_error = np.array([f.mean_error for f in rounds[0][3]])
    evidence = np.full(models, -np.inf)
    evidence[noises] = log_sum(by_noise, axis=0) - np.log(len(weight))
    top, noise = np.unravel_index(np.argmax(by_noise), by_noise.shape)
    if not np.isfinite(weight).any():
        return _nothing(evidence, dips[np.array([top])], int(noises[noise]))
    chance = np.exp(weight - weight.max())
    rows = random.choice(len(weight), size=POSTERIOR_DRAWS, p=chance / chance.sum())
    # the noise model of each draw by Gumbel's trick
    which = (by_noise[rows] + random.gumbel(size=(len(rows), len(noises)))).argmax(axis=1)
    at = rows, which
    depth, baseline = _amplitudes(
        *(fits[n][at] for n in ("amplitude", "error", "mean", "slope")),
        mean_error[which],
        depths(dips[rows]),
        random,
    )
    best = dips[np.array([top])]
    limit = float(depths(best)[0])
    level = float(fits["mean"][top, noise])
    return Posterior(
        evidence,
        dips[rows],
        depth,
        baseline,
        depth / depths(dips[rows]),
        best,
        float(np.clip(fits["amplitude"][top, noise] / max(level, 1e-9), 0, limit)),
        level,
        int(noises[noise]),
    )


def _amplitudes(amplitude, error, mean, slope, mean_error, limit, random):
    """Draws of depth and baseline, the depth between zero and `limit`."""
    from scipy.special import ndtr, ndtri

    low, high = ndtr(-amplitude / error), ndtr((np.maximum(mean, 0.05) * limit - amplitude) / error)
    chance = low + (high - low) * random.uniform(size=len(low))
    drawn = amplitude + error * ndtri(np.clip(chance, 1e-15, 1 - 1e-15))
    level = mean + slope * (drawn - amplitude) + mean_error * random.standard_normal(len(low))
    level = np.maximum(level, 1e-3)
    return np.clip(drawn / level, 0, limit), level


def _nothing(evidence: NDArray, best: Dips, noise: int) -> Posterior:
    blank = np.full(1, np.nan)
    return Posterior(evidence, best, blank, blank, blank, best, 0.0, 1.0, noise)
