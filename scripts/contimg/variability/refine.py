"""From the best templates of the bank to the best dips, and their posterior.

A bright source shows the difference between two neighbours in any bank of bearable size, and a
bank has no errors. So dips about the best templates are tried at random, ever nearer to the best
so far, for each kind of dip, and the posterior is drawn about what was found. What is done to the
data is done to simulated light curves, too.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from contimg.variability.banks import Bank
from contimg.variability.density import Problem, log_density
from contimg.variability.evidence import fit_templates, log_sum, quantile
from contimg.variability.filters import make_whitener
from contimg.variability.posterior import Posterior, sample
from contimg.variability.profiles import ALPHAS, IMPACTS, KINDS, SIZES, Dips

SEEDS, CHAINS = 5, 4  # per noise; of each kind after a first look
# added to the errors, stage by stage: parts of the range of the fluxes, and of a bright excess
SOFTENING = ((0.2, 3.0), (0.08, 3.0), (0.08, 0.3), (0.03, 0.0))
BASELINE_QUANTILE = 0.9
SHAPE_ALPHAS, SHAPE_SIZES, SHAPE_WIDTHS = range(1, len(ALPHAS), 5), (1.0, 3.0, 5.0), (0.85, 1, 1.2)
ROUNDS, SOFT_TRIALS, TRIALS, SHRINK = 4, 16, 16, 0.6
STEPS = np.array([7.0, 1.2, 1.0, 0.15, 0.12])  # of alpha, size, impact, ln width, t0 / width
NOISES_SEARCHED, NOISES_KEPT = 8, 4
VOLUME = 2.0  # ln of a posterior's volume: more than those of dips have


def refine(
    problem: Problem, bank: Bank, joint: NDArray, least: float, random: np.random.Generator
) -> Posterior | None:
    """The posterior from the `bank` of dips and ln (prior L) with it, `joint` (H,).

    None where the best dip is so poor that ln of its evidence cannot come near `least`.
    """
    noises = np.unique(np.append(np.argsort(-joint)[:NOISES_SEARCHED], 0))
    found = _search(problem, _seeds(problem, bank, joint), noises, random)
    value, everywhere, _ = log_density(problem, found, np.arange(len(problem.filters)))
    if not value.max() + VOLUME > least:
        return None
    kept = np.argsort(-log_sum(everywhere, axis=0))[:NOISES_KEPT]
    return sample(problem, found, kept, random)


def _seeds(problem: Problem, bank: Bank, joint: NDArray) -> Dips:
    """The best template of each width without bright epochs, then in the noise that suits the bank.

    Sharp caustics between the templates of the bank can make a narrow dip fit better than the
    right wide one, so widths compete only after they have been optimised.
    """
    chosen = []
    dip_only = _softened(problem, 0.0, SOFTENING[0][1]).white(0)
    for white in (dip_only, problem.white(int(joint.argmax()))):
        value = fit_templates(white, bank).log_factor
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
    scatter = quantile(problem.flux, 0.95) - quantile(problem.flux, 0.05)
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
    excess = np.maximum(problem.flux - quantile(problem.flux, BASELINE_QUANTILE), 0)
    variance = problem.variance + scatter**2 + (bright * excess) ** 2
    filt = make_whitener(problem.times, variance, "white", 0.0, 1.0, problem.terms)
    return replace(problem, filters=[filt], log_noise=np.zeros(1))


def _values(problem: Problem, kinds, best, noises) -> NDArray[np.float64]:
    return log_density(problem, Dips(kinds, *best.T), noises)[0]


def _climb(problem, kinds, best, noises, scale, trials, random) -> NDArray[np.float64]:
    """Better dips (chains, 5) of `kinds` near `best`, by `ROUNDS` rounds of random trials."""
    value = _values(problem, kinds, best, noises)
    for k in range(ROUNDS):
        start = np.repeat(best, trials, axis=0)
        tried = _stepped(problem, np.repeat(kinds, trials), start, random, scale * 0.7**k)
        density = log_density(problem, tried, noises)[0].reshape(len(kinds), trials)
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
