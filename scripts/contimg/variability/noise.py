"""What a light curve does without a lens: measurement errors and a Gaussian process.

The covariance of N epochs is diag(sigma^2) + A^2 m^2 k(|dt| / tau), m the median flux, with two
kernels: the exponential one (damped random walk: intrinsic variability) and the smoother
Matern 3/2 (scintillation, slow trends). A = 0, a constant source, belongs to the grid.

A dozen epochs of one source cannot tell a dip from a source that does such things every week;
how many sources do is known from all the others. So the models of the grid, and the classes of
other behaviour, have prior probabilities learnt from the run (empirical Bayes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

AMPLITUDES = (0.02, 0.045, 0.1, 0.22, 0.5)
STEP = 4.0  # ratio of neighbouring time scales, at most
# weight of what is believed of the noise before any source is seen: that of so many sources, and
# of this part of all: a kind of noise that the run has not shown yet is possible in any run
PSEUDO_SOURCES, PSEUDO_PART = 2.0, 0.004
ROUNDS = 100
# of what is believed: the part of each process, and the power of the amplitude that it is rarer by
BELIEVED = {"walk": (0.1, 0.5), "smooth": (0.4, 1.0)}


@dataclass(frozen=True)
class Noise:
    """One point of the grid of noise models."""

    kernel: str  # white, walk, smooth
    amplitude: float  # fraction of the median flux
    tau_days: float


@dataclass(frozen=True)
class Priors:
    """Probabilities before the light curve of S sources is seen, each from all the others."""

    noise: NDArray[np.float64]  # (S, H) ln
    classes: NDArray[np.float64]  # (C,) ln, the same for all
    nothing: float  # ln probability of no template at all

    def of(self, source: int) -> Priors:
        """Those of one source, (1, H)."""
        return Priors(self.noise[source : source + 1], self.classes, self.nothing)


def noise_grid(gap_days: float, span_days: float) -> list[Noise]:
    """Noise models for light curves of this length and typical time between epochs.

    A process much slower than the light curve is a random walk or a straight line whatever its
    time scale, so the grid ends at three times the length. The constant source comes first.
    """
    gap, span = max(gap_days, 1e-3), max(span_days, 2e-3)
    number = int(np.ceil(np.log(3 * span / gap) / np.log(STEP))) + 1
    scales = np.geomspace(gap, 3 * span, number)
    grid = [Noise("white", 0.0, float(scales[0]))]
    for amplitude in AMPLITUDES:
        grid += [Noise("walk", amplitude, float(tau)) for tau in scales]
        # at the shortest scale the kernels hardly differ
        grid += [Noise("smooth", amplitude, float(tau)) for tau in scales[1:]]
    return grid


def covariance(noise: Noise, times: NDArray, error: NDArray, mean_flux: float) -> NDArray:
    """(N, N) covariance [Jy^2] of fluxes with `error` [Jy] under `noise`."""
    lag = np.abs(times[:, None] - times[None, :]) / noise.tau_days
    if noise.kernel == "smooth":
        shape = (1 + np.sqrt(3) * lag) * np.exp(-np.sqrt(3) * lag)
    else:
        shape = np.exp(-lag)
    return np.diag(error**2) + (noise.amplitude * mean_flux) ** 2 * shape


def believed(grid: list[Noise]) -> NDArray[np.float64]:
    """Probabilities (H,) before any source is seen, those of ``BELIEVED``, the rest constant.

    Strong variability is rarer than weak: scintillation, which is smooth, is of some per cent in
    half of the compact sources and above a tenth in few (Rickett et al. 2006, ApJ 637, 346; Lovell
    et al. 2008, ApJ 689, 108). Smooth processes look most like dips, so most of the doubt is
    theirs: a lone source of any kind is then announced in about one of a hundred cases.
    """
    result = np.full(len(grid), 1 - sum(part for part, _ in BELIEVED.values()))
    for kernel, (part, power) in BELIEVED.items():
        rows = [k for k, noise in enumerate(grid) if noise.kernel == kernel]
        weight = np.array([grid[k].amplitude ** -power for k in rows])
        result[rows] = part * weight / weight.sum()
    return result


def learn_priors(
    null: NDArray,
    classes: Sequence[NDArray],
    rates: NDArray,
    pseudo: float,
    base: NDArray,
    dips: int = 0,
) -> Priors:
    """Priors of noise models and classes for S sources.

    `null` (S, H) are the ln L without a template, `classes` S arrays (H, C) of ln Bayes factors, or
    (1, C) where they are the same under all noise models; `base`
    (H,) what is believed of the noise before, `rates` (C,)
    the same of the classes, with that of `pseudo` sources, `dips` the class of dips. The
    distribution is the one of maximum likelihood (Laird 1978, J. Am. Stat. Assoc. 73, 805) with
    both added. A source takes no part in the prior of its own noise, and one that a dip explains
    better than noise in nobody's.
    """
    sources = len(null)
    pseudo_sources = PSEUDO_SOURCES + PSEUDO_PART * sources
    base = base * pseudo_sources
    noise, rate = base / base.sum(), rates.copy()
    data = _likelihoods(null, classes)
    # noise and dips may be hard to tell apart: who may be a dip does not say what noise does
    for _ in range(ROUNDS):
        before = noise, rate
        alone, by_class = data.summed(noise)
        total = (1 - rate.sum()) * alone + by_class @ rate
        tells = by_class[:, dips] <= alone
        each = (by_class / total[:, None]).sum(axis=0)
        noise = noise * data.over_sources(rate, tells / total) + base
        noise /= tells.sum() + pseudo_sources
        rate = (each * rate + pseudo * rates) / (sources + pseudo)
        rate = np.clip(rate, rates / 4, 0.15)
        if all(
            np.allclose(*pair, rtol=1e-6, atol=0)
            for pair in zip(before, (noise, rate), strict=True)
        ):
            break
    share = data.joint(before[1]) * before[0] * (tells / total)[:, None]
    others = share.sum(axis=0) - share + base
    return Priors(
        np.log(others / others.sum(axis=1, keepdims=True)),
        np.log(rate),
        float(np.log1p(-rate.sum())),
    )


@dataclass(frozen=True)
class _Likelihoods:
    """Likelihoods of S sources over the largest of each.

    Of most a class is as likely under all noise models: they need no array of S H C.
    """

    nothing: NDArray[np.float64]  # (S, H)
    factor: NDArray[np.float64]  # (S, C) Bayes factors; of no account where it is not the same
    loud: NDArray[np.int64]  # (L,) where it is not the same
    of_class: NDArray[np.float64]  # (L, H, C) of those

    def summed(self, noise: NDArray) -> tuple[NDArray, NDArray]:
        """Over noise models of probabilities `noise` (H,): without a template (S,), and (S, C)."""
        alone = self.nothing @ noise
        by_class = self.factor * alone[:, None]
        by_class[self.loud] = np.einsum("lhc,h->lc", self.of_class, noise)
        return alone, by_class

    def joint(self, rate: NDArray) -> NDArray[np.float64]:
        """(S, H) over classes of probabilities `rate` (C,) and none."""
        left = 1 - rate.sum()
        joint = self.nothing * (left + self.factor @ rate)[:, None]
        joint[self.loud] = left * self.nothing[self.loud] + self.of_class @ rate
        return joint

    def over_sources(self, rate: NDArray, weight: NDArray) -> NDArray[np.float64]:
        """Sum (H,) over sources of `weight` (S,) of :meth:`joint`."""
        left = 1 - rate.sum()
        own = weight * (left + self.factor @ rate)
        own[self.loud] = left * weight[self.loud]
        return own @ self.nothing + weight[self.loud] @ (self.of_class @ rate)


def _likelihoods(null: NDArray, classes: Sequence[NDArray]) -> _Likelihoods:
    alike = np.array([len(c) == 1 for c in classes])
    loud = np.flatnonzero(~alike)
    factor = np.zeros((len(null), classes[0].shape[1]))
    factor[alike] = np.exp([c[0] for c in classes if len(c) == 1]).reshape(-1, factor.shape[1])
    top = (null + np.log(np.maximum(factor.max(axis=1), 1))[:, None]).max(axis=1)
    many = (
        np.stack([classes[k] for k in loud])
        if len(loud)
        else np.empty((0, null.shape[1], factor.shape[1]))
    )
    joint = null[loud, :, None] + many
    if len(loud):
        top[loud] = np.maximum(null[loud], joint.max(axis=2)).max(axis=1)
    of_class = np.exp(joint - top[loud, None, None])
    return _Likelihoods(np.exp(null - top[:, None]), factor, loud, of_class)
