"""The best flare and the best sine wave near those of the bank, as for dips.

A bright source shows the difference between neighbours of a bank. What the best flare gains over
that of the bank is added to the evidence of its class, so that a lens does not win by being the
only one that was fitted well. The bank has all steps and bad blocks, but a step may take two
epochs, and the epochs of a block are hardly ever too low by exactly the same: both are tried with
larger errors there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from contimg.variability.banks import CLASSES, MAX_CHANGE, MAX_FLARE, Bank, Banks, flares, sines
from contimg.variability.density import Problem
from contimg.variability.evidence import Evidence, fit_templates, log_likelihood
from contimg.variability.filters import make_whitener
from contimg.variability.noise import Noise

ROUNDS, TRIALS, SHRINK, NOISES = 7, 48, 0.6, 4
UNEVEN = {"step": 0.5, "bad_block": 0.08}  # errors, in parts of the change


def sharpen(
    problem: Problem,
    banks: Banks,
    evidence: Evidence,
    grid: list[Noise],
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """ln Bayes factors (H, C) with better flares, sines, steps and blocks than those of the bank.

    `grid` are the noise models (H,) of the problem.
    """
    classes = evidence.classes.copy()
    for name, tried in (("flare", _more_flares), ("periodic", _more_sines)):
        c = CLASSES.index(name)
        joint = problem.log_noise + classes[:, c]
        if name not in banks.of_class or not np.isfinite(joint).any():
            continue
        noises = np.unique(np.append(np.argsort(-joint)[:NOISES], 0))
        start = banks.of_class[name].parameters[evidence.best[noises, c]]
        of_bank = _best(problem, name, start, noises)
        best = start[of_bank.argmax()]
        starts = [best] if name == "periodic" else [best, _other_flare(best)]
        tops = [_climb(problem, name, tried, one, noises, random) for one in starts]
        classes[noises, c] += max(0.0, max(tops) - of_bank.max())
    for name in UNEVEN:
        c = CLASSES.index(name)
        joint = problem.log_noise + classes[:, c]
        if name not in banks.of_class or not np.isfinite(joint).any():
            continue
        for h in np.unique(np.append(np.argsort(-joint)[:NOISES], 0)):
            k = int(evidence.best[h, c])
            uneven = _uneven(problem, name, banks.of_class[name], k, grid[h], int(h))
            classes[h, c] = max(classes[h, c], uneven)
    return classes


def _uneven(problem: Problem, name: str, bank: Bank, k: int, noise: Noise, h: int) -> float:
    """ln Bayes factor of one step or block that is not sharp or flat, under one noise model."""
    one = Bank(
        bank.templates[:, k : k + 1],
        *(getattr(bank, n)[k : k + 1] for n in ("log_weight", "low", "high", "parameters")),
    )
    shape = one.templates[:, 0].astype(float)
    size = abs(float(fit_templates(problem.flux, one, problem.filters[h]).amplitude[0]))
    loose = np.abs(shape)
    if name == "step":
        edge = int(np.argmax(shape))
        loose = np.abs(np.arange(len(shape)) - edge + 0.5) < 1
    variance = problem.variance + (UNEVEN[name] * size * loose) ** 2
    filt = make_whitener(problem.times, variance, noise.kernel, noise.amplitude, noise.tau_days)
    gain = log_likelihood(problem.flux, filt) - log_likelihood(problem.flux, problem.filters[h])
    factor = fit_templates(problem.flux, one, filt).log_factor[0]
    return float(gain + factor + one.log_weight[0])


def _other_flare(best: NDArray) -> NDArray[np.float64]:
    """A flare with a corner where `best` is a bump, a bump where it has one."""
    peak, rise, decay = best
    return np.array([peak, *((0.5 * decay, 0.7 * decay) if rise < 0 else (-1.2 * decay, decay))])


def _climb(problem, name, tried, best, noises, random) -> float:
    """Largest ln (prior L) of templates tried at random about `best`."""
    top = -np.inf
    for k in range(ROUNDS):
        parameters = tried(best, SHRINK**k, problem.times, random)
        value = _best(problem, name, parameters, noises)
        if value.max() > top:
            top, best = value.max(), parameters[value.argmax()]
    return float(top)


def _best(problem: Problem, name: str, parameters: NDArray, noises: NDArray) -> NDArray:
    """Largest ln (prior L) over noise models of each template."""
    pairs = name == "periodic"
    make = sines if pairs else flares
    change = make(*parameters.T, problem.times)
    number = change.shape[1]
    high = MAX_CHANGE if pairs else MAX_FLARE
    bank = Bank(
        np.ascontiguousarray(change, dtype=np.float32),
        np.zeros(number),
        np.zeros(number),
        np.full(number, high),
        parameters,
        pairs,
    )
    values = [
        fit_templates(problem.flux, bank, problem.filters[h]).log_factor + problem.log_noise[h]
        for h in noises
    ]
    return np.max(values, axis=0)


def _more_flares(best: NDArray, scale: float, times: NDArray, random) -> NDArray[np.float64]:
    peak, rise, decay = best
    step = random.standard_normal((TRIALS, 3)) * scale
    new_decay = decay * np.exp(0.4 * step[:, 0])
    if rise < 0:
        new_rise = np.full(TRIALS, rise) * np.exp(0.4 * step[:, 1])
    else:
        new_rise = np.maximum(rise, 0.1 * decay) * np.exp(0.8 * step[:, 1])
        new_rise[: TRIALS // 4] = 0.0
    width = np.maximum(np.abs(new_rise), 0.2 * decay)
    return np.column_stack([peak + 0.4 * step[:, 2] * width, new_rise, new_decay])


def _more_sines(best: NDArray, scale: float, times: NDArray, random) -> NDArray[np.float64]:
    step = 0.15 * scale * random.standard_normal(TRIALS) / times[-1]
    lowest = min(1.0 / times[-1], float(best[0]))
    return np.maximum(best + step, lowest)[:, None]
