"""How often a source without a lens has such a Bayes factor: simulated light curves.

B is the Bayes factor of a lens against everything else, noise and the other classes at their
rates in the run. Over light curves that everything else makes, the mean of B is one, whatever
the data look like, so that P(B >= b) <= 1/b (Markov's inequality). How much below is found by
simulation: light curves of the run's own epochs and errors, with noise models and classes drawn
from what the run was found to hold, are searched as the data are. Half of them take noise models
and classes at their rates, half evenly, and each counts by the ratio, so that rare kinds of
noise that make high values are represented.

Where the simulations end, P falls as 1/b from the last value known well. That is the law of a
likelihood ratio but for slowly varying factors, which make it fall faster: p errs to be large.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from contimg.variability.banks import CLASSES, Bank
from contimg.variability.evidence import Series
from contimg.variability.noise import Noise, Priors, covariance

TAIL_DRAWS = 10.0  # effective number of simulations behind the start of the extrapolation
SMALLEST = 1e-30
RIVALS = [k for k, name in enumerate(CLASSES) if name != "ese"]


@dataclass(frozen=True)
class NullDistribution:
    """ln B of simulated light curves without a lens, with their weights (sum one)."""

    values: NDArray[np.float64]  # (D,) ascending
    tail: NDArray[np.float64]  # (D,) P(ln B >= value)
    start: float  # from here on extrapolated
    start_probability: float

    def probability(self, log_factor: NDArray) -> NDArray[np.float64]:
        """P(ln B >= log_factor), any shape."""
        log_factor = np.asarray(log_factor, dtype=float)
        index = np.searchsorted(self.values, log_factor, side="left")
        known = self.tail[np.minimum(index, len(self.tail) - 1)]
        beyond = self.start_probability * np.exp(-np.maximum(log_factor - self.start, 0))
        return np.clip(np.where(log_factor > self.start, beyond, known), SMALLEST, 1.0)


def null_distribution(values: NDArray, weight: NDArray) -> NullDistribution:
    """From ln B (D,) and the weights of the simulations."""
    order = np.argsort(values, kind="stable")
    values, weight = values[order], weight[order] / weight.sum()
    tail = np.cumsum(weight[::-1])[::-1]
    squares = np.cumsum((weight**2)[::-1])[::-1]
    # the last place with enough effective draws above it
    enough = np.flatnonzero(tail**2 / squares >= TAIL_DRAWS)
    last = int(enough[-1]) if len(enough) else 0
    return NullDistribution(values, tail, float(values[last]), float(tail[last]))


def draw_nulls(
    noise_prior: NDArray, priors: Priors, draws: int, random: np.random.Generator
) -> tuple[NDArray, NDArray, NDArray]:
    """Noise models (D,), classes (D,; -1 for none) and weights of simulated light curves."""
    rate = np.exp(priors.classes)[RIVALS]
    kind_rate = np.append(rate, 1 - rate.sum())
    noise_rate = np.exp(noise_prior - logsumexp(noise_prior))
    even = np.arange(draws) % 2 == 0
    noise_even = np.full(len(noise_rate), 1 / len(noise_rate))
    kind_even = np.append(np.full(len(rate), 0.3 / len(rate)), 0.7)
    noise = np.where(
        even,
        random.choice(len(noise_rate), draws, p=noise_even),
        random.choice(len(noise_rate), draws, p=noise_rate),
    )
    kind = np.where(
        even,
        random.choice(len(kind_rate), draws, p=kind_even),
        random.choice(len(kind_rate), draws, p=kind_rate),
    )
    true = noise_rate[noise] * kind_rate[kind]
    drawn = 0.5 * noise_even[noise] * kind_even[kind] + 0.5 * true
    return noise, np.append(RIVALS, -1)[kind], true / drawn


def simulate(
    series: Series, noise: Noise, bank: Bank | None, random: np.random.Generator
) -> NDArray[np.float64]:
    """A light curve (N,) like `series`, in medians less one, perhaps with a template of `bank`."""
    matrix = covariance(noise, series.times, np.sqrt(series.variance), 1.0)
    flux = np.linalg.cholesky(matrix) @ random.standard_normal(len(series.times))
    if bank is not None:
        chance = np.exp(bank.log_weight - logsumexp(bank.log_weight))
        k = random.choice(len(chance), p=chance)
        amplitude = random.uniform(bank.low[k], bank.high[k])
        flux = flux + amplitude * bank.templates[:, k]
    return (1 + flux) / np.median(1 + flux) - 1
