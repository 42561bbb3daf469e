"""From the best template of the bank to the best lens nearby.

A bright source shows the difference between two neighbours in any bank of bearable size. So
the lenses about the best template are tried at random, ever nearer to the best so far, in a few
chains. What is done to the data is done to simulated light curves, too, with the same steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.variability.search import Search
from contimg.variability.shapes import (
    ALPHAS,
    SIZES,
    Lenses,
    changes,
    constrained,
    depths,
    nearest_shape,
)

CHAINS = 5  # searches from different shapes: caustics make many a local maximum
ROUNDS = 7
TRIALS = 8  # lenses tried in each chain and round
SHRINK = 0.6  # of the steps from one round to the next
STEPS = (0.5, 0.5, 0.12, 0.12)  # ln alpha, ln size, ln width, t0 / width: first round
_BLOCK = 4_000_000  # elements of an array of light curves by trials by epochs


@dataclass(frozen=True)
class Match:
    """The best lens for one light curve."""

    statistic: float
    lens: Lenses  # one; its centre in days after the first epoch
    change: NDArray[np.float64]  # (N,)
    depth: float  # of the template
    in_dip: int  # epochs
    fraction: float  # f_c
    baseline_jy: float  # m


def polish(search: Search, flux: NDArray, template: NDArray) -> tuple[NDArray, Lenses]:
    """T (D,) and lenses of light curves (D, N) [Jy], from templates (D,) of the bank."""
    block = max(1, _BLOCK // (CHAINS * TRIALS * flux.shape[1]))
    parts = [
        _polish(search, flux[k : k + block], template[k : k + block])
        for k in range(0, len(flux), block)
    ]
    lenses = [(lens.alpha, lens.size, lens.width, lens.t0) for _, lens in parts]
    joined = Lenses(*(np.concatenate(columns) for columns in zip(*lenses, strict=True)))
    return np.concatenate([statistic for statistic, _ in parts]), joined


def best_match(search: Search, flux: NDArray, *, polished: bool) -> Match:
    """The best lens for one light curve (N,) [Jy], of the bank or near it."""
    statistic, template = search.scan(flux[None])
    lens = search.bank.lenses[template]
    if polished:
        statistic, lens = polish(search, flux[None], template)
    times = search.times - search.times[0]
    change = changes(lens, times)
    depth = depths(lens)
    _, in_dip = constrained(change, depth, search.bank.min_points)
    _, noise = search.evaluate(flux[None], change[:, None, :], search.null(flux[None]))
    fraction, baseline = search.solve(flux, change[0], int(noise[0, 0]))
    return Match(
        float(statistic[0]),
        lens,
        change[0],
        float(depth[0]),
        int(in_dip[0]),
        fraction,
        baseline,
    )


def _polish(search: Search, flux: NDArray, template: NDArray) -> tuple[NDArray, Lenses]:
    number = len(flux)
    # the same steps for every light curve and every call
    random = np.random.default_rng(0)
    times = search.times - search.times[0]
    starts = np.column_stack([template, search.best_of_each_shape(flux, CHAINS - 1)])
    lenses = search.bank.lenses[starts.ravel()]
    flux = np.repeat(flux, CHAINS, axis=0)
    rows = np.arange(len(flux))
    nulls = search.null(flux)
    best, noise = _with_all_noise(search, flux, lenses, nulls)
    for k in range(ROUNDS):
        steps = random.standard_normal((CHAINS, TRIALS, 4)) * STEPS * SHRINK**k
        tried = _stepped(search, lenses, np.tile(steps, (number, 1, 1)))
        change = changes(tried, times)
        allowed, _ = constrained(change, depths(tried), search.bank.min_points)
        value = search.evaluate_under(flux, change.reshape(len(flux), TRIALS, -1), nulls, noise)
        value[~allowed.reshape(value.shape)] = -np.inf
        trial = value.argmax(axis=1)
        better = value[rows, trial] > best
        lenses = _choose(better, tried[rows * TRIALS + trial], lenses)
        # a nearer lens leaves less for the noise to explain
        best, noise = _with_all_noise(search, flux, lenses, nulls)
    winner = np.arange(number) * CHAINS + best.reshape(number, CHAINS).argmax(axis=1)
    lens = lenses[winner]
    rounded = Lenses(*nearest_shape(lens.alpha, lens.size), lens.width, lens.t0)
    return best[winner], rounded


def _choose(which: NDArray, yes: Lenses, no: Lenses) -> Lenses:
    return Lenses(
        np.where(which, yes.alpha, no.alpha),
        np.where(which, yes.size, no.size),
        np.where(which, yes.width, no.width),
        np.where(which, yes.t0, no.t0),
    )


def _with_all_noise(
    search: Search, flux: NDArray, lenses: Lenses, nulls: NDArray
) -> tuple[NDArray, NDArray]:
    """T and the best noise model of each light curve with its lens."""
    change = changes(lenses, search.times - search.times[0])
    statistic, noise = search.evaluate(flux, change[:, None, :], nulls)
    return statistic[:, 0], noise[:, 0]


def _stepped(search: Search, lenses: Lenses, steps: NDArray) -> Lenses:
    """Lenses at `steps` (B, TRIALS, 4) from each of `lenses` (B,), within the limits, in a row."""
    alpha = np.clip(lenses.alpha[:, None] * np.exp(steps[..., 0]), ALPHAS[0], ALPHAS[-1])
    size = np.clip(lenses.size[:, None] * np.exp(steps[..., 1]), SIZES[0], SIZES[-1])
    width = lenses.width[:, None] * np.exp(steps[..., 2])
    width = np.clip(width, search.bank.width_min, search.bank.width_max)
    t0 = lenses.t0[:, None] + steps[..., 3] * lenses.width[:, None]
    return Lenses(alpha.ravel(), size.ravel(), width.ravel(), t0.ravel())
