"""How often a source without a lens reaches a value of the statistic: simulated light curves.

The null of a source is the population: a noise model drawn with its prior probability, then a
light curve with that source's epochs and errors. Each noise model is a stratum with its own
simulations, so that rare kinds of noise that make high values are represented:

    p(T) = sum_models prior * P(T | model)

The search over templates is repeated on every draw, which is the correction for having looked
at many. The average over sources of the numbers exceeding a threshold of p is then n p.

Beyond the highest tenth of a stratum its tail is taken as exponential. A likelihood ratio
falls faster than that in the far tail (like chi-square with a slope of 1/2 in T approached from
above), so the extrapolation errs on the side of a larger p.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.variability.polish import polish
from contimg.variability.search import Search

FIRST_DRAWS = 400  # enough for the many sources that are nowhere near a threshold
NOT_SMALL = 0.05  # a probability above this needs no better estimate
POLISHED = 0.15  # upper part of each stratum, which holds nearly all that end in its tail
TAIL_FRACTION = 0.1
MIN_STRATUM = 100
SMALLEST = 1e-12  # no extrapolation is believed below this
POOL_WEIGHT = 10  # exceedances: weight of the common slope in that of a stratum


@dataclass(frozen=True)
class NullDistribution:
    """Sorted statistics of the simulations of each stratum."""

    prior: NDArray[np.float64]  # (H,)
    draws: list[NDArray[np.float64]]  # H arrays

    def probability(self, statistic: float) -> float:
        """P(T >= statistic)."""
        if statistic <= 0:
            return 1.0  # T is zero whenever no template improves on the null
        slopes = self._slopes()
        total = 0.0
        for weight, values, slope in zip(self.prior, self.draws, slopes, strict=True):
            number = _tail_number(values)
            start = values[-number - 1]
            if statistic <= start:
                share = np.count_nonzero(values >= statistic) / len(values)
            else:
                share = number / len(values) * np.exp(-(statistic - start) / slope)
            total += weight * share
        return float(np.clip(total, SMALLEST, 1.0))

    def _slopes(self) -> NDArray[np.float64]:
        """Mean excess over the start of the tail, drawn towards that of all strata."""
        excess, number = [], []
        for values in self.draws:
            count = _tail_number(values)
            excess.append(float((values[-count:] - values[-count - 1]).sum()))
            number.append(count)
        pooled = sum(excess) / sum(number)
        smooth = (np.array(excess) + POOL_WEIGHT * pooled) / (np.array(number) + POOL_WEIGHT)
        # two is the slope of a chi-square far out, which no stratum falls short of
        return np.maximum(smooth, 2.0)


def first_null(search: Search, random: np.random.Generator) -> NullDistribution:
    """A rough null distribution of the statistic with the templates of the bank."""
    floor = max(2, FIRST_DRAWS // (2 * len(search.prior)))
    flux, number = _simulate(search, FIRST_DRAWS // 2, floor, random)
    return _sorted(search, search.scan(flux)[0], number)


def polished_null(search: Search, draws: int, random: np.random.Generator) -> NullDistribution:
    """The null distribution of the polished statistic, right in its upper tenth."""
    flux, number = _simulate(search, draws, MIN_STRATUM, random)
    values, templates = search.scan(flux)
    ends = np.cumsum(number)
    tops = [
        end - count + np.argsort(values[end - count : end])[-round(POLISHED * count) :]
        for end, count in zip(ends, number, strict=True)
    ]
    rows = np.concatenate(tops)
    values[rows] = polish(search, flux[rows], templates[rows])[0]
    return _sorted(search, values, number)


def source_random(seed: int, source: str) -> np.random.Generator:
    """Random numbers of a source, whatever the other sources and their order."""
    return np.random.default_rng([seed, zlib.crc32(source.encode())])


def _simulate(
    search: Search, draws: int, floor: int, random: np.random.Generator
) -> tuple[NDArray, NDArray]:
    """Light curves (D, N) [Jy] of all strata one after the other, and their numbers (H,)."""
    number = np.maximum(np.round(draws * search.prior), floor).astype(int)
    flux = np.concatenate([search.simulate(k, n, random) for k, n in enumerate(number)])
    return flux, number


def _sorted(search: Search, values: NDArray, number: NDArray) -> NullDistribution:
    strata = np.split(values, np.cumsum(number)[:-1])
    return NullDistribution(search.prior, [np.sort(stratum) for stratum in strata])


def _tail_number(values: NDArray) -> int:
    return max(1, min(len(values) - 1, round(TAIL_FRACTION * len(values))))
