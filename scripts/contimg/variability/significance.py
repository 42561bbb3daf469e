"""How often a source without a lens has such a Bayes factor: simulated light curves.

B is the Bayes factor of a lens against everything else, noise and the other classes at their
rates in the run. Over light curves that everything else makes, the mean of B is one, whatever
the data look like, so that P(B >= b) <= 1/b (Markov's inequality). How much below is found by
simulation: light curves of the run's own epochs and errors, with noise models and classes drawn
from what the run was found to hold, are searched as the data are. Half of them take noise models
and classes at their rates, half evenly, and each counts by the ratio, so that rare kinds of
noise that make high values are represented.

Small probabilities come from simulated dips: B is the ratio of what a light curve is worth with
a dip and without, so P(B >= b) without a dip is the mean, over light curves with one drawn from its
prior, of 1/B where B >= b and of zero elsewhere. Weak dips, which reach b just so, are drawn more
often and weighed by the ratio. Both ways know the same law: where both do, they must agree.

Where both end, P falls as 1/b from the last value known. That is the law of a likelihood ratio but
for slowly varying factors, which make it fall faster: p errs to be large.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from contimg.variability.banks import CLASSES, Bank, constrained
from contimg.variability.density import draw_prior
from contimg.variability.evidence import Series, make_series
from contimg.variability.filters import Whitener, draw_process
from contimg.variability.noise import Noise, Priors
from contimg.variability.profiles import changes, depths, pieces
from contimg.variability.terms import drawn

if TYPE_CHECKING:
    from contimg.variability.ese import LightCurve

TAIL_DRAWS = 10.0  # effective number of simulations behind a probability
# that of simulations of the largest weight which may be missing where none was seen (95 %)
MISSED = 3.0
SMOOTHING, STEP = 2.0, 0.05  # half-width and step in ln B
WEAKEST, STRONGEST = 3.0, 9.0  # dips that are drawn, in errors of their depth
SMALLEST = 1e-30
# light curves in which nothing stands out have the same B: rounding must not put them in order
ROUNDING = 1e-6  # of ln B
RIVALS = [k for k, name in enumerate(CLASSES) if name != "ese"]


@dataclass(frozen=True)
class NullDistribution:
    """ln B of light curves without a lens: ascending values and the probabilities to reach them."""

    values: NDArray[np.float64]  # (D,) of simulations
    tail: NDArray[np.float64]  # (D,) P(ln B >= value)
    start: float  # from here on extrapolated
    start_probability: float
    # P from dips over P from simulations where these end; nan where no dips are near
    agreement: float

    def probability(self, log_factor: NDArray) -> NDArray[np.float64]:
        """P(ln B >= log_factor), any shape."""
        log_factor = np.asarray(log_factor, dtype=float)
        index = np.searchsorted(self.values, log_factor - ROUNDING, side="left")
        known = self.tail[np.minimum(index, len(self.tail) - 1)]
        beyond = self.start_probability * np.exp(-np.maximum(log_factor - self.start, 0))
        return np.clip(np.where(log_factor > self.start, beyond, known), SMALLEST, 1.0)


def null_distribution(
    values: NDArray, weight: NDArray, dips: NDArray | None = None, dip_weight: NDArray | None = None
) -> NullDistribution:
    """From ln B (D,) and the weights of simulations without a dip, and the same with `dips`."""
    order = np.argsort(values, kind="stable")
    values, weight = _ties(values[order]), weight[order] / weight.sum()
    tail = np.cumsum(weight[::-1])[::-1]
    squares = np.cumsum((weight**2)[::-1])[::-1]
    # the last place with enough effective draws above it; many of rare kinds are not enough where
    # one of what is common would have counted more than all of them
    enough = (tail**2 / squares >= TAIL_DRAWS) & (tail >= MISSED * weight.max())
    enough = np.flatnonzero(enough)
    last = int(np.searchsorted(values, values[enough[-1]])) if len(enough) else 0
    start, reached, agreement = float(values[last]), float(tail[last]), np.nan
    if dips is not None and len(dips):
        further, rarer = _by_dips(dips, dip_weight, start)
        if len(further):
            # up to where there are enough dips as beyond all
            between = np.arange(start, further[0], STEP)
            falling = reached * np.exp(start - between)
            lowest = float(reached * np.exp(start - further[0]))
            # where they do not meet they cannot be compared
            agreement = np.nan if len(between) else float(rarer[0] / reached)
            values = np.concatenate([values[: last + 1], between, further])
            tail = np.concatenate([tail[: last + 1], falling, np.minimum(rarer, lowest)])
            start, reached = float(values[-1]), float(tail[-1])
    return NullDistribution(values, tail, start, reached, agreement)


def _ties(values: NDArray) -> NDArray[np.float64]:
    """Ascending values, those that are the same but for rounding as the lowest of them."""
    new = np.append(True, np.diff(values) > ROUNDING)
    return values[new][np.cumsum(new) - 1]


def _by_dips(dips: NDArray, weight: NDArray, start: float) -> tuple[NDArray, NDArray]:
    """Values of ln B from `start` on, where dips are enough, and the probabilities without one to
    reach them.

    With the density g of ln B over dips P(ln B >= x) is the integral of g(u) e^-u from x on. g is
    a mean over ``SMOOTHING``: it changes slowly, as e^-u does not.
    """
    value = np.arange(start, max(np.max(dips[weight > 0], initial=start), start), STEP)
    near = (np.abs(value[:, None] - dips) < SMOOTHING) * weight
    number = near.sum(axis=1) ** 2 / np.maximum((near**2).sum(axis=1), 1e-300)
    enough = np.flatnonzero(number >= TAIL_DRAWS)
    longest = max(np.split(enough, np.flatnonzero(np.diff(enough) > 1) + 1), key=len)
    value = value[longest]
    density = near[longest].sum(axis=1) / (2 * SMOOTHING * len(dips))
    if not len(value):
        return value, value
    # beyond the last value the density stays what it is there
    part = density * np.exp(-value)
    part[:-1] *= -np.expm1(-STEP)
    return value, np.cumsum(part[::-1])[::-1]


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
    curve: LightCurve,
    noise: Noise,
    change: NDArray,
    random: np.random.Generator,
    terms: NDArray | None = None,
) -> Series:
    """A light curve with the epochs and errors of `curve`, noise, and a relative `change` (N,).

    Amplitudes of the `terms` (N, R) are drawn, too.
    """
    level = float(np.median(curve.flux))
    times = curve.mjd - curve.mjd[0]
    errors = curve.error / level * random.standard_normal(len(times))
    flux = 1 + change + draw_process(times, noise, random) + errors
    flux = flux + drawn(terms, random)
    return make_series(curve.mjd, level * flux, curve.error, curve.block_odds, terms)


def template_of(bank: Bank | None, random: np.random.Generator) -> NDArray | float:
    """The change (N,) by one template of `bank`, drawn from its prior; zero without a bank."""
    if bank is None:
        return 0.0
    chance = np.exp(bank.log_weight - logsumexp(bank.log_weight))
    k = random.choice(len(chance), p=chance)
    part, often = bank.usual
    size = part if often and random.uniform() < often else 1.0
    return size * random.uniform(bank.low[k], bank.high[k]) * bank.templates[:, k]


def weak_dip(
    times: NDArray,
    filt: Whitener,
    min_points: int,
    width_range: tuple[float, float],
    random: np.random.Generator,
) -> tuple[NDArray[np.float64], float]:
    """The change (N,) by a dip from its prior but for its depth, and the weight for that.

    The depth is even between ``WEAKEST`` and ``STRONGEST`` of its errors under the noise of `filt`;
    the weight is zero for a dip that is no dip of the search.
    """
    dip = draw_prior(width_range, times[-1], random)
    shape = changes(dip, times)
    (ones, _, _), (tt, _, t1) = filt.products(np.zeros(len(times)), shape.astype(np.float32))
    error, deepest = float(max(tt[0] - t1[0] ** 2 / ones, 1e-12)) ** -0.5, float(depths(dip)[0])
    depth = random.uniform(WEAKEST, STRONGEST) * error
    seen = constrained(pieces(dip, times), len(times), min_points)
    allowed = bool(seen[0]) and depth < deepest
    weight = (STRONGEST - WEAKEST) * error / deepest
    return min(depth, deepest) * shape[:, 0], weight if allowed else 0.0
