"""From the best templates of the bank to the posterior of the dip.

A bright source shows the difference between two neighbours in any bank of bearable size, and a
bank has no errors. So dips about the best templates are tried at random, ever nearer to the best
so far, for each kind of dip; then population Monte Carlo (Cappe et al. 2004, J. Comput. Graph.
Stat. 13, 907) draws from Student distributions about what was found, whose shapes follow the
weighted draws. The mean weight is the evidence, the weighted draws are the posterior; amplitude
and baseline are drawn from their Gaussian given the rest. What is done to the data is done to
simulated light curves, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from contimg.variability.banks import Bank, constrained, widths
from contimg.variability.evidence import Fit, fit_templates, log_sum
from contimg.variability.filters import Whitener, make_whitener
from contimg.variability.profiles import (
    ALPHAS,
    IMPACTS,
    KINDS,
    RING,
    SIZES,
    Dips,
    changes,
    depths,
)

KIND_PRIOR = np.array([0.4, 0.3, 0.3])  # of KINDS
SEEDS, CHAINS = 5, 4  # per noise; of each kind after a first look
# added to the errors, stage by stage: parts of the range of the fluxes, and of a bright excess
SOFTENING = ((0.2, 3.0), (0.08, 3.0), (0.08, 0.3), (0.03, 0.0))
BASELINE_QUANTILE = 0.9
SHAPE_ALPHAS, SHAPE_SIZES, SHAPE_WIDTHS = range(1, len(ALPHAS), 5), (1.0, 3.0, 5.0), (0.85, 1, 1.2)
ROUNDS, SOFT_TRIALS, TRIALS, SHRINK = 4, 16, 16, 0.6
STEPS = np.array([7.0, 1.2, 1.0, 0.15, 0.12])  # of alpha, size, impact, ln width, t0 / width
NOISES_SEARCHED, NOISES_KEPT = 8, 4
PMC_ROUNDS, PMC_DRAWS, PMC_KEPT, DEGREES = 16, 400, 3, 5.0
FIRST_DRAWS, FIRST_SCALES = 60, (1.0, 0.3, 0.1, 0.03, 0.01)
ENOUGH = 60.0  # effective draws of a round
POSTERIOR_DRAWS = 2000
VOLUME = 2.0  # ln of a posterior's volume: more than those of dips have


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


def refine(
    problem: Problem, bank: Bank, joint: NDArray, least: float, random: np.random.Generator
) -> Posterior | None:
    """The posterior from the `bank` of dips and ln (prior L) with it, `joint` (H,).

    None where the best dip is so poor that ln of its evidence cannot come near `least`.
    """
    noises = np.unique(np.append(np.argsort(-joint)[:NOISES_SEARCHED], 0))
    found = _search(problem, _seeds(problem, bank, joint), noises, random)
    value, everywhere, _ = _log_density(problem, found, np.arange(len(problem.filters)))
    if not value.max() + VOLUME > least:
        return None
    kept = np.argsort(-log_sum(everywhere, axis=0))[:NOISES_KEPT]
    return _sample(problem, found, kept, random)


def _seeds(problem: Problem, bank: Bank, joint: NDArray) -> Dips:
    """The best template of each width without bright epochs, then in the noise that suits the bank.

    Sharp caustics between the templates of the bank can make a narrow dip fit better than the
    right wide one, so widths compete only after they have been optimised.
    """
    chosen = []
    dip_only = _softened(problem, 0.0, SOFTENING[0][1]).filters[0]
    for filt in (dip_only, problem.filters[int(joint.argmax())]):
        value = fit_templates(problem.flux, bank, filt).log_factor
        width = bank.parameters[:, 4]
        groups = [np.flatnonzero(width == w) for w in np.unique(width)]
        tops = np.array([rows[value[rows].argmax()] for rows in groups])
        chosen.append(tops[np.argsort(-value[tops], kind="stable")[:SEEDS]])
    kind, *others = bank.parameters[np.concatenate(chosen)].T
    return Dips(kind.astype(int), *others)


def _search(problem: Problem, seeds: Dips, noises: NDArray, random: np.random.Generator) -> Dips:
    """The best dip of every kind, from every seed.

    A caustic is a needle in the likelihood. With errors made larger the dip as a whole is found
    first, then, with ever smaller ones, where its caustics are.
    """
    kinds = np.repeat(np.arange(len(KINDS)), len(seeds))
    best = np.tile(np.column_stack(seeds.columns[1:]), (len(KINDS), 1))
    scatter = np.ptp(np.quantile(problem.flux, (0.05, 0.95)))
    for k, (part, bright) in enumerate(SOFTENING):
        soft = _softened(problem, part * scatter, bright)
        best = _best_shapes(soft, kinds, best)
        if k == 0:
            value = _values(soft, kinds, best, np.array([0]))
            kinds, best = _best_chains(kinds, best, value, CHAINS)
        best = _climb(soft, kinds, best, np.array([0]), SHRINK**k, SOFT_TRIALS, random)
    best = _climb(problem, kinds, best, noises, SHRINK ** len(SOFTENING), TRIALS, random)
    kinds, best = _best_chains(kinds, best, _values(problem, kinds, best, noises), 1)
    best = _climb(problem, kinds, best, noises, SHRINK ** (len(SOFTENING) + 1), TRIALS, random)
    return Dips(kinds, *best.T)


def _best_shapes(problem: Problem, kinds: NDArray, best: NDArray) -> NDArray[np.float64]:
    """Each chain (chains, 5) with the best of shapes from all over the tables, or as it is."""
    shapes = np.array([(a, s, w) for a in SHAPE_ALPHAS for s in SHAPE_SIZES for w in SHAPE_WIDTHS])
    tried = np.repeat(best[:, None], len(shapes) + 1, axis=1)
    tried[:, 1:, :2] = shapes[:, :2]
    tried[:, 1:, 3] *= shapes[:, 2]
    flat = tried.reshape(-1, 5)
    flat[:, 3] = np.clip(flat[:, 3], problem.width_min, problem.width_max)
    value = _values(problem, np.repeat(kinds, len(shapes) + 1), flat, np.array([0]))
    return tried[np.arange(len(best)), value.reshape(len(best), -1).argmax(axis=1)]


def _softened(problem: Problem, scatter: float, bright: float = 0.0) -> Problem:
    """With white noise only, `scatter` added to the errors, and `bright` times the excess of a
    bright epoch: caustic spikes and flares do not count until the dip has been found."""
    excess = np.maximum(problem.flux - np.quantile(problem.flux, BASELINE_QUANTILE), 0)
    variance = problem.variance + scatter**2 + (bright * excess) ** 2
    filt = make_whitener(problem.times, variance, "white", 0.0, 1.0)
    return replace(problem, filters=[filt], log_noise=np.zeros(1))


def _values(problem: Problem, kinds, best, noises) -> NDArray[np.float64]:
    return _log_density(problem, Dips(kinds, *best.T), noises)[0]


def _climb(problem, kinds, best, noises, scale, trials, random) -> NDArray[np.float64]:
    """Better dips (chains, 5) of `kinds` near `best`, by `ROUNDS` rounds of random trials."""
    value = _values(problem, kinds, best, noises)
    for k in range(ROUNDS):
        start = np.repeat(best, trials, axis=0)
        tried = _stepped(problem, np.repeat(kinds, trials), start, random, scale * 0.7**k)
        density = _log_density(problem, tried, noises)[0].reshape(len(kinds), trials)
        rows = np.arange(len(kinds)) * trials + density.argmax(axis=1)
        top = density.max(axis=1)
        best = np.where((top > value)[:, None], np.column_stack(tried.columns[1:])[rows], best)
        value = np.maximum(top, value)
    return best


def _best_chains(kinds: NDArray, best: NDArray, value: NDArray, number: int):
    """The best `number` chains of each kind, in order of kind."""
    order = np.argsort(-value, kind="stable")
    rows = np.concatenate([order[kinds[order] == k][:number] for k in range(len(KINDS))])
    return kinds[rows], best[rows]


def _stepped(
    problem: Problem, kinds: NDArray, start: NDArray, random: np.random.Generator, scale: float
) -> Dips:
    steps = random.standard_normal(start.shape) * STEPS * scale
    # some coordinates stay: better in one of them is found more easily than in all at once
    steps *= random.uniform(size=start.shape) < 0.6
    alpha = np.clip(start[:, 0] + steps[:, 0], 0, len(ALPHAS) - 1)
    size = np.clip(start[:, 1] + steps[:, 1], 0, len(SIZES) - 1)
    impact = np.clip(start[:, 2] + steps[:, 2], 0, len(IMPACTS) - 1)
    width = np.clip(start[:, 3] * np.exp(steps[:, 3]), problem.width_min, problem.width_max)
    return Dips(kinds, alpha, size, impact, width, start[:, 4] + steps[:, 4] * start[:, 3])


def _log_density(
    problem: Problem, dips: Dips, noises: NDArray
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[Fit]]:
    """ln (prior L) of dips (K,), the same by noise model (K, len(noises)), and the fits."""
    prior = _log_prior(problem, dips)
    dips = _within_tables(dips)
    change = changes(dips, problem.times)
    prior = np.where(constrained(change, problem.min_points), prior, -np.inf)
    number = len(dips)
    bank = Bank(
        np.ascontiguousarray(change, dtype=np.float32),
        prior,
        np.zeros(number),
        depths(dips),
        np.empty((number, 0)),
    )
    fits = [fit_templates(problem.flux, bank, problem.filters[h]) for h in noises]
    by_noise = np.stack([f.log_factor for f in fits], axis=1)
    by_noise = by_noise + problem.log_noise[noises] + prior[:, None]
    return log_sum(by_noise, axis=1), by_noise, fits


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


def _to_vector(dips: Dips) -> NDArray[np.float64]:
    return np.column_stack([dips.alpha, dips.size, dips.impact, np.log(dips.width), dips.t0])


def _from_vector(kinds: NDArray, vector: NDArray) -> Dips:
    alpha, size, impact, log_width, t0 = vector.T
    width = np.exp(np.clip(log_width, -10, 12))
    return Dips(kinds, alpha, size, impact, width, t0)


def _sample(
    problem: Problem, found: Dips, noises: NDArray, random: np.random.Generator
) -> Posterior:
    """Draw in rounds until the proposals have become the posterior."""
    mean = _to_vector(found)
    spread = _first_spread(problem, found, noises, random)
    share = _shares(_log_density(problem, found, noises)[0], temper=0.2)
    kept = []
    for _ in range(PMC_ROUNDS):
        kinds = random.choice(len(KINDS), size=PMC_DRAWS, p=share)
        vector, log_proposal = _draw(kinds, mean, spread, random)
        dips = _from_vector(kinds, vector)
        density, by_noise, fits = _log_density(problem, dips, noises)
        # ln width is the coordinate: its prior is uniform in it already
        log_proposal = log_proposal + np.log(share[kinds])
        weight = density - log_proposal
        temper = _temper(weight, ENOUGH)
        drawn = dips, weight, by_noise - log_proposal[:, None], fits, temper
        kept = [*kept[1 - PMC_KEPT :], drawn]
        if len(kept) == PMC_KEPT and min(r[4] for r in kept) >= 1:
            break
        mean, spread, share = _adapted(kinds, vector, weight, mean, spread, share, temper)
    return _posterior(kept, len(problem.filters), noises, random)


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
        density = _log_density(problem, _from_vector(kinds, vector), noises)[0]
        for kind in np.flatnonzero(todo):
            rows = kinds == kind
            todo[kind] = _temper((density - log_proposal)[rows], 10.0) < 0.25
        if not todo.any():
            break
    return spread


def _temper(weight: NDArray, enough: float) -> float:
    """Largest power, at most one, to which weights can be raised and `enough` draws count."""
    weight = weight[np.isfinite(weight)]
    if len(weight) <= enough:
        return 0.05

    def effective(power: float) -> float:
        w = np.exp(power * (weight - weight.max()))
        return float(w.sum() ** 2 / (w**2).sum())

    if effective(1.0) >= enough:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if effective(middle) >= enough else (low, middle)
    return low


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


def _posterior(rounds, models: int, noises: NDArray, random: np.random.Generator) -> Posterior:
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


def make_problem(
    times: NDArray,
    flux: NDArray,
    variance: NDArray,
    filters: list[Whitener],
    log_noise: NDArray,
    min_points: int,
    width_min: float,
    width_max: float | None,
) -> Problem:
    """Limits of the widths as in the bank."""
    chosen = widths(times, width_min, width_max or times[-1])
    widest = max(chosen[-1], 1.01 * chosen[0])
    return Problem(times, flux, variance, filters, log_noise, min_points, chosen[0], widest)
