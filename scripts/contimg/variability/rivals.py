"""The best flare and the best sine wave near those of the bank, as for dips.

A bright source shows the difference between neighbours of a bank. What the best flare gains over
that of the bank is added to the evidence of its class, so that a lens does not win by being the
only one that was fitted well. Steps and bad blocks have nothing to fit: the bank has them all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from contimg.variability.banks import CLASSES, MAX_CHANGE, MAX_FLARE, Bank, Banks, flares, sines
from contimg.variability.density import Problem
from contimg.variability.evidence import Evidence, fit_templates

ROUNDS, TRIALS, SHRINK, NOISES = 7, 48, 0.6, 4


def sharpen(
    problem: Problem, banks: Banks, evidence: Evidence, random: np.random.Generator
) -> NDArray[np.float64]:
    """ln Bayes factors (H, C) with better flares and sines than those of the bank."""
    classes = evidence.classes.copy()
    for name, tried in (("flare", _more_flares), ("periodic", _more_sines)):
        c = CLASSES.index(name)
        joint = problem.log_noise + classes[:, c]
        if name not in banks.of_class or not np.isfinite(joint).any():
            continue
        noises = np.unique(np.append(np.argsort(-joint)[:NOISES], 0))
        start = banks.of_class[name].parameters[evidence.best[noises, c]]
        of_bank = _best(problem, name, start, noises)
        gain = _climb(problem, name, tried, start[of_bank.argmax()], noises, random)
        classes[noises, c] += max(0.0, gain - of_bank.max())
    return classes


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
