"""The best flare and the best sine wave near those of the bank, as for dips.

A bright source shows the difference between neighbours of a bank. What flares about the best one
gain over that of the bank is added to the evidence of its class, so that a lens does not win by
being the only one that was fitted well. A template of the bank stands for a cell of parameters, so
the likelihood is averaged over a cell about the best flare: its maximum would be an evidence that
nothing was paid for, and a flare that never decays would win over the step that it is. The bank has
all steps and bad blocks, but a step may take two epochs, and the epochs of a block are hardly ever
too low by exactly the same: both are tried with larger errors there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from contimg.variability.banks import (
    BUMP,
    CLASSES,
    MAX_CHANGE,
    MAX_FLARE,
    Bank,
    Banks,
    flare_decays,
    flares,
    sine_frequencies,
    sines,
    spacing,
    typical_gap,
)
from contimg.variability.density import Problem
from contimg.variability.evidence import Evidence, fit_templates, log_likelihood, log_sum
from contimg.variability.filters import make_whitener
from contimg.variability.noise import Noise

ROUNDS, TRIALS, SHRINK, NOISES = 7, 48, 0.6, 4
BOXES = SHRINK ** np.arange(10.0)  # sizes of those a cell is averaged with, in cells
RISES = 0.25  # decay times from one rise time of a flare to the next
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
    for name, tried, about in (
        ("flare", _more_flares, _flares_about),
        ("periodic", _more_sines, _sines_about),
    ):
        c = CLASSES.index(name)
        joint = problem.log_noise + classes[:, c]
        if name not in banks.of_class or not np.isfinite(joint).any():
            continue
        noises = np.unique(np.append(np.argsort(-joint)[:NOISES], 0))
        start = banks.of_class[name].parameters[evidence.best[noises, c]]
        best = start[_by_noise(problem, name, start, noises).max(axis=1).argmax()]
        starts = [best] if name == "periodic" else [best, _other_flare(best)]
        for one in starts:
            better = _climb(problem, name, tried, one, noises, random)
            cell = _of_cell(problem, name, about(better, problem.times), noises, random)
            classes[noises, c] = np.logaddexp(classes[noises, c], cell - problem.log_noise[noises])
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
    own = {n: getattr(bank, n)[k : k + 1] for n in ("log_weight", "low", "high", "parameters")}
    one = replace(bank, templates=bank.templates[:, k : k + 1], where=None, **own)
    shape = one.templates[:, 0].astype(float)
    size = abs(float(fit_templates(problem.white(h), one).amplitude[0]))
    loose = np.abs(shape)
    if name == "step":
        edge = int(np.argmax(shape))
        loose = np.abs(np.arange(len(shape)) - edge + 0.5) < 1
    variance = problem.variance + (UNEVEN[name] * size * loose) ** 2
    model = noise.kernel, noise.amplitude, noise.tau_days
    filt = make_whitener(problem.times, variance, *model, problem.terms)
    gain = log_likelihood(problem.flux, filt) - log_likelihood(problem.flux, problem.filters[h])
    factor = fit_templates(filt.of(problem.flux), one).log_factor[0]
    return float(gain + factor + one.log_weight[0])


def _other_flare(best: NDArray) -> NDArray[np.float64]:
    """A flare with a corner where `best` is a bump, a bump where it has one."""
    peak, rise, decay = best
    return np.array([peak, *((0.5 * decay, 0.7 * decay) if rise < 0 else (-BUMP * decay, decay))])


@dataclass(frozen=True)
class _Cell:
    """What a template of a bank stands for: the parameters about one."""

    log_prior: float
    low: NDArray[np.float64]  # (D,) lowest places in it; those of the template are zero
    parameters_at: Callable[[NDArray], tuple[NDArray, NDArray]]  # (K, D): and which are allowed


def _climb(problem, name, tried, best, noises, random) -> NDArray[np.float64]:
    """Parameters of the largest ln (prior L) of templates tried at random about `best`."""
    top = -np.inf
    for k in range(ROUNDS):
        parameters = tried(best, SHRINK**k, problem.times, random)
        value = _by_noise(problem, name, parameters, noises).max(axis=1)
        if value.max() > top:
            top, best = value.max(), parameters[value.argmax()]
    return best


def _of_cell(problem: Problem, name: str, cell: _Cell, noises: NDArray, random) -> NDArray:
    """ln (prior L) of a cell (noises,): its prior times the mean of the likelihood over it.

    Drawn evenly from boxes that lie within one another, the largest of them the cell: the mean of
    L over the density of the draws is that over the cell, however narrow its peak.
    """
    size = np.repeat(BOXES, TRIALS)[:, None]
    place = _lowest(cell.low, size) + size * random.uniform(size=(len(size), len(cell.low)))
    lowest, sizes = _lowest(cell.low, BOXES[:, None]), BOXES[:, None]
    inside = (place[:, None] >= lowest) & (place[:, None] <= lowest + sizes)
    density = (inside.all(axis=2) * BOXES ** -float(len(cell.low))).mean(axis=1)
    parameters, allowed = cell.parameters_at(place)
    value = _by_noise(problem, name, parameters, noises) - np.log(density)[:, None]
    value = np.where(allowed[:, None], value, -np.inf)
    return log_sum(value, axis=0) - np.log(len(value)) + cell.log_prior


def _lowest(low: NDArray, size: NDArray) -> NDArray[np.float64]:
    """The lower corners (K, D) of boxes of `size` (K, 1) about zero, not below `low` (D,)."""
    return np.maximum(low, -0.5 * size)


def _flares_about(best: NDArray, times: NDArray) -> _Cell:
    """The cell of a flare; places are those of peak, rise and ln of the decay time."""
    peak, rise, decay = best
    step, bump = spacing(times), rise < 0
    length = -rise / BUMP if bump else decay
    peaks = step.peak_step * length if bump else max(step.peak_step * length, typical_gap(times))

    def parameters_at(place: NDArray) -> tuple[NDArray, NDArray]:
        lengths = length * step.decay_ratio ** place[:, 2]
        rises = -BUMP * lengths if bump else (rise / decay + RISES * place[:, 1]) * lengths
        peak_at = peak + peaks * place[:, 0]
        return np.column_stack([peak_at, rises, lengths]), lengths <= _longest(times)

    kinds = 1 if bump else len(step.rises)
    number = 2 * kinds * len(flare_decays(times))
    low = np.array([-np.inf, 0.0 if bump else -rise / decay / RISES, -np.inf])
    return _Cell(float(np.log(min(peaks / times[-1], 1) / number)), low, parameters_at)


def _sines_about(best: NDArray, times: NDArray) -> _Cell:
    """The cell of a sine wave; the place is that of the frequency."""
    frequencies = sine_frequencies(times)
    step = spacing(times).frequency_step / times[-1]

    def parameters_at(place: NDArray) -> tuple[NDArray, NDArray]:
        frequency = best + step * place
        return frequency, frequency[:, 0] > 0

    return _Cell(-float(np.log(len(frequencies))), np.array([-np.inf]), parameters_at)


def _longest(times: NDArray) -> float:
    """Longest decay time of a flare [days]: the end of the bank's last cell."""
    return float(flare_decays(times)[-1] * spacing(times).decay_ratio ** 0.5)


def _by_noise(problem: Problem, name: str, parameters: NDArray, noises: NDArray) -> NDArray:
    """ln (prior L) of each template (K, noises), no prior of its parameters in it."""
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
        fit_templates(problem.white(h), bank).log_factor + problem.log_noise[h] for h in noises
    ]
    return np.stack(values, axis=1)


def _more_flares(best: NDArray, scale: float, times: NDArray, random) -> NDArray[np.float64]:
    peak, rise, decay = best
    step = random.standard_normal((TRIALS, 3)) * scale
    new_decay = np.minimum(decay * np.exp(0.4 * step[:, 0]), _longest(times))
    if rise < 0:
        longest = BUMP * _longest(times)
        new_rise = np.maximum(np.full(TRIALS, rise) * np.exp(0.4 * step[:, 1]), -longest)
    else:
        new_rise = np.maximum(rise, 0.1 * decay) * np.exp(0.8 * step[:, 1])
        new_rise[: TRIALS // 4] = 0.0
    width = np.maximum(np.abs(new_rise), 0.2 * decay)
    return np.column_stack([peak + 0.4 * step[:, 2] * width, new_rise, new_decay])


def _more_sines(best: NDArray, scale: float, times: NDArray, random) -> NDArray[np.float64]:
    step = 0.15 * scale * random.standard_normal(TRIALS) / times[-1]
    lowest = min(1.0 / times[-1], float(best[0]))
    return np.maximum(best + step, lowest)[:, None]
