"""The search of one light curve for an extreme scattering event, given what the run holds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from contimg.variability import banks as templates
from contimg.variability.banks import ESE, Banks
from contimg.variability.density import make_problem
from contimg.variability.doubt import doubting
from contimg.variability.evidence import (
    Evidence,
    Series,
    log_sum,
    weigh,
    whiteners,
)
from contimg.variability.noise import Noise, Priors
from contimg.variability.options import VariabilityOptions
from contimg.variability.posterior import Posterior
from contimg.variability.refine import refine
from contimg.variability.rivals import sharpen

UNLIKELY = -5.0  # ln B of the best dip below which it is not sampled
REFINED_ABOVE = 0.0  # ln B with the bank from which it is worth a closer look
STRONG = 10.0  # ln of likelihoods: so variable that a mismatch of the bank could hide a lens


@dataclass(frozen=True)
class LightCurve:
    """The good epochs of one source, in order of time."""

    source: str
    mjd: NDArray[np.float64]  # (N,)
    flux: NDArray[np.float64]  # (N,) [Jy]
    error: NDArray[np.float64]  # (N,) [Jy]
    block_odds: NDArray[np.float64] | None = None  # (N,) as in doubt.py, where it is known
    strip: NDArray[np.int64] | None = None  # (N,) of the pointing, where there are several

    def until(self, number: int) -> LightCurve:
        """The first `number` epochs."""
        values = (self.mjd, self.flux, self.error, self.block_odds, self.strip)
        return LightCurve(self.source, *(None if v is None else v[:number] for v in values))


@dataclass(frozen=True)
class Verdict:
    """What was found of one light curve, in medians."""

    log_factor: float  # ln B of a dip against everything else
    probability: NDArray[np.float64]  # (2 + C,) constant, red noise, then CLASSES
    odds: NDArray[np.float64]  # (C,) ln Bayes factors of a dip against each class
    posterior: Posterior | None


def unsearchable(curve: LightCurve, options: VariabilityOptions) -> str:
    """Why a light curve cannot be searched; empty if it can."""
    number = len(curve.mjd)
    if number < options.min_epochs:
        return f"{number} good epochs, {options.min_epochs} needed"
    if not float(np.median(curve.flux)) > 0:
        return "the median flux density is not positive"
    if np.ptp(curve.mjd) < templates.MIN_SPAN_DAYS:
        return f"all epochs within {templates.MIN_SPAN_DAYS:g} days"
    limits = options.min_points_in_dip, options.width_min_days, options.width_max_days
    if not templates.allows_dips(curve.mjd, *limits):
        return "no dip could be told from the baseline with these epochs"
    return ""


def make_banks(times: NDArray, options: VariabilityOptions) -> Banks | None:
    """Templates for epochs at `times` [days]; none where the epochs constrain no dip."""
    banks = templates.make_banks(
        times, options.min_points_in_dip, options.width_min_days, options.width_max_days
    )
    return banks if "ese" in banks.of_class else None


def _banks(series: Series, options: VariabilityOptions) -> Banks:
    banks = make_banks(series.times, options)
    assert banks is not None, "not searchable"
    return doubting(banks, series.block_odds)


def weigh_one(series: Series, grid: list[Noise], options: VariabilityOptions) -> Evidence:
    """Every class with the templates of its bank."""
    return weigh(series, lambda: _banks(series, options), grid)


def look_closer(
    series: Series,
    evidence: Evidence,
    priors: Priors,
    grid: list[Noise],
    options: VariabilityOptions,
    random: np.random.Generator,
) -> tuple[Evidence, Posterior | None]:
    """Where a dip could be, the evidence with the best of each class, not of the bank."""
    log_noise = evidence.null + priors.noise[0]
    rest = _without_dip(log_noise, evidence.classes, priors)
    joint = log_noise + evidence.classes[:, ESE]
    promise = log_sum(joint) - rest
    strong = max(evidence.classes[0, ESE], evidence.null.max() - evidence.null[0]) > STRONG
    if not evidence.stands_out or not (strong or promise > REFINED_ABOVE):
        return evidence, None
    banks, filters = _banks(series, options), whiteners(series, grid)
    problem = make_problem(
        series.times,
        series.flux,
        series.variance,
        filters,
        log_noise,
        options.min_points_in_dip,
        options.width_min_days,
        options.width_max_days,
        series.terms,
    )
    least = rest + min(UNLIKELY, promise)
    posterior = refine(problem, banks.of_class["ese"], joint, least, random)
    if posterior is None:
        return evidence, None
    classes = sharpen(problem, banks, evidence, grid, random)
    classes[:, ESE] = np.maximum(classes[:, ESE], posterior.log_evidence - log_noise)
    return Evidence(evidence.null, classes, evidence.best), posterior


def _without_dip(log_noise: NDArray, classes: NDArray, priors: Priors) -> float:
    """ln (prior L) of everything but a dip."""
    rivals = log_sum(log_noise[:, None] + classes + priors.classes, axis=0)
    return float(log_sum(np.append(np.delete(rivals, ESE), log_sum(log_noise) + priors.nothing)))


def judge(evidence: Evidence, priors: Priors, posterior: Posterior | None) -> Verdict:
    """Probabilities of the classes and the Bayes factor of a dip."""
    log_noise = evidence.null + priors.noise[0]
    by_class = log_sum(log_noise[:, None] + evidence.classes, axis=0)
    totals = by_class + priors.classes
    parts = np.array(
        [log_noise[0] + priors.nothing, log_sum(log_noise[1:]) + priors.nothing, *totals]
    )
    rest = log_sum(np.delete(parts, 2 + ESE)) - np.log1p(-np.exp(priors.classes[ESE]))
    log_factor = totals[ESE] - priors.classes[ESE] - rest
    probability = np.exp(parts - log_sum(parts))
    return Verdict(float(log_factor), probability, by_class[ESE] - by_class, posterior)


def coloured(verdict: Verdict, log_colour: float) -> Verdict:
    """The verdict with what the parts of the band say, ln of their Bayes factor for a dip.

    No dip becomes another class for being achromatic.
    """
    odds, probability = verdict.odds + max(log_colour, 0.0), verdict.probability.copy()
    odds[ESE] = verdict.odds[ESE]
    probability[2 + ESE] *= np.exp(log_colour)
    return replace(
        verdict,
        log_factor=verdict.log_factor + log_colour,
        probability=probability / probability.sum(),
        odds=odds,
    )


def examine(
    series: Series,
    priors: Priors,
    grid: list[Noise],
    options: VariabilityOptions,
    random: np.random.Generator,
) -> Verdict:
    """The whole search of one more light curve, with priors (1, H) that are known."""
    evidence = weigh_one(series, grid, options)
    closer, posterior = look_closer(series, evidence, priors, grid, options, random)
    return judge(closer, priors, posterior)
