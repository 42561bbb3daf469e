"""The search of a set of light curves for extreme scattering events."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.variability import banks as templates
from contimg.variability.bands import Parts
from contimg.variability.banks import CLASSES, Banks
from contimg.variability.density import make_problem
from contimg.variability.event import Event, describe
from contimg.variability.evidence import (
    Evidence,
    Series,
    log_sum,
    make_series,
    weigh,
    whiteners,
)
from contimg.variability.noise import Noise, Priors, believed, learn_priors, noise_grid
from contimg.variability.options import VariabilityOptions
from contimg.variability.parallel import parallel_map
from contimg.variability.posterior import Posterior
from contimg.variability.profiles import tables
from contimg.variability.refine import refine
from contimg.variability.rivals import sharpen
from contimg.variability.significance import (
    NullDistribution,
    draw_nulls,
    null_distribution,
    simulate,
)

ESE = CLASSES.index("ese")
# before the run is seen: probabilities of the classes, with the weight of so many sources.
# ESEs: of 1 % of compact sources at a time (Fiedler et al. 1994, ApJ 430, 581)
RATES = {"ese": 0.01, "flare": 0.005, "step": 0.003, "bad_block": 0.005, "periodic": 0.003}
PSEUDO_SOURCES = 100.0
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


@dataclass(frozen=True)
class Verdict:
    """What was found of one light curve, in medians."""

    log_factor: float  # ln B of a dip against everything else
    probability: NDArray[np.float64]  # (2 + C,) constant, red noise, then CLASSES
    posterior: Posterior | None


def search_all(
    curves: list[LightCurve],
    options: VariabilityOptions,
    workers: int = 1,
    parts: dict[str, Parts] | None = None,
    *,
    progress: bool = False,
) -> dict[str, Event]:
    """The events of all light curves long enough to be searched, by source.

    They are searched together, because each one's false alarms depend on how the others vary.
    `parts` are the measurements of those that were made in several parts of the band.
    """
    tables()
    searched = [c for c in curves if not unsearchable(c, options)]
    if not searched:
        return {}
    distinct, which = _distinct(searched)
    gap = float(np.median([np.median(np.diff(c.mjd)) for c in distinct]))
    grid = noise_grid(gap, max(float(np.ptp(c.mjd)) for c in distinct))
    series = [make_series(c.mjd, c.flux, c.error) for c in distinct]
    common = (grid, options)
    show = "light curves" if progress else ""
    evidence = parallel_map(_weigh_one, series, common, workers, show)
    priors = _learn(evidence, grid)
    items = [
        (source_random(options.seed, curve.source), s, e, priors.of(k))
        for k, (curve, s, e) in enumerate(zip(distinct, series, evidence, strict=True))
    ]
    show = "looked at more closely" if progress else ""
    closer = parallel_map(_closer_one, items, common, workers, show)
    # with lenses and flares that fit, fewer sources look like strong noise
    priors = _learn([e for e, _ in closer], grid)
    verdicts = [judge(e, priors.of(k), post) for k, (e, post) in enumerate(closer)]
    null = _null(series, priors, grid, options, workers, progress)
    p = null.probability(np.array([v.log_factor for v in verdicts]))
    parts = parts or {}
    return {
        c.source: describe(c, series[k], verdicts[k], float(p[k]), grid, parts.get(c.source))
        for c, k in zip(searched, which, strict=True)
    }


def _distinct(curves: list[LightCurve]) -> tuple[list[LightCurve], list[int]]:
    """Light curves that differ, and which of them each one is."""
    seen: dict[tuple[bytes, bytes, bytes], int] = {}
    distinct, which = [], []
    for curve in curves:
        key = curve.mjd.tobytes(), curve.flux.tobytes(), curve.error.tobytes()
        if key not in seen:
            seen[key] = len(distinct)
            distinct.append(curve)
        which.append(seen[key])
    return distinct, which


def _learn(evidence: list[Evidence], grid: list[Noise]) -> Priors:
    return learn_priors(
        np.stack([e.null for e in evidence]),
        np.stack([e.classes for e in evidence]),
        np.array([RATES[name] for name in CLASSES]),
        PSEUDO_SOURCES,
        believed(grid),
        ESE,
    )


def source_random(seed: int, source: str) -> np.random.Generator:
    """Random numbers of a source, whatever the other sources and their order."""
    return np.random.default_rng([seed, zlib.crc32(source.encode())])


def unsearchable(curve: LightCurve, options: VariabilityOptions) -> str:
    """Why a light curve cannot be searched; empty if it can."""
    number = len(curve.mjd)
    if number < options.min_epochs:
        return f"{number} good epochs, {options.min_epochs} needed"
    if not float(np.median(curve.flux)) > 0:
        return "the median flux density is not positive"
    if np.ptp(curve.mjd) < templates.MIN_SPAN_DAYS:
        return f"all epochs within {templates.MIN_SPAN_DAYS:g} days"
    if _make_banks(curve.mjd - curve.mjd[0], options) is None:
        return "no dip could be told from the baseline with these epochs"
    return ""


def _make_banks(times: NDArray, options: VariabilityOptions) -> Banks | None:
    """Templates for epochs at `times` [days]; none where the epochs constrain no dip."""
    banks = templates.make_banks(
        times, options.min_points_in_dip, options.width_min_days, options.width_max_days
    )
    return banks if "ese" in banks.of_class else None


def _banks(series: Series, options: VariabilityOptions) -> Banks:
    banks = _make_banks(series.times, options)
    assert banks is not None, "not searchable"
    return banks


def _weigh_one(series: Series, grid: list[Noise], options: VariabilityOptions) -> Evidence:
    return weigh(series, lambda: _banks(series, options), whiteners(series, grid), grid)


def _closer_one(item, grid: list[Noise], options: VariabilityOptions):
    random, series, evidence, priors = item
    return look_closer(series, evidence, priors, grid, options, random)


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
    if not (strong or promise > REFINED_ABOVE):
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
    )
    least = rest + min(UNLIKELY, promise)
    posterior = refine(problem, banks.of_class["ese"], joint, least, random)
    if posterior is None:
        return evidence, None
    classes = sharpen(problem, banks, evidence, random)
    classes[:, ESE] = np.maximum(classes[:, ESE], posterior.log_evidence - log_noise)
    return Evidence(evidence.null, classes, evidence.best), posterior


def _without_dip(log_noise: NDArray, classes: NDArray, priors: Priors) -> float:
    """ln (prior L) of everything but a dip."""
    rivals = log_sum(log_noise[:, None] + classes + priors.classes, axis=0)
    return float(log_sum(np.append(np.delete(rivals, ESE), log_sum(log_noise) + priors.nothing)))


def judge(evidence: Evidence, priors: Priors, posterior: Posterior | None) -> Verdict:
    """Probabilities of the classes and the Bayes factor of a dip."""
    log_noise = evidence.null + priors.noise[0]
    totals = log_sum(log_noise[:, None] + evidence.classes + priors.classes, axis=0)
    parts = np.array(
        [log_noise[0] + priors.nothing, log_sum(log_noise[1:]) + priors.nothing, *totals]
    )
    rest = log_sum(np.delete(parts, 2 + ESE)) - np.log1p(-np.exp(priors.classes[ESE]))
    log_factor = totals[ESE] - priors.classes[ESE] - rest
    return Verdict(float(log_factor), np.exp(parts - log_sum(parts)), posterior)


def _null(
    series: list[Series],
    priors: Priors,
    grid: list[Noise],
    options: VariabilityOptions,
    workers: int,
    progress: bool,
) -> NullDistribution:
    random = np.random.default_rng(options.seed)
    average = log_sum(priors.noise, axis=0) - np.log(len(priors.noise))
    kinds = draw_nulls(average, priors, options.null_draws, random)
    which = random.integers(len(series), size=options.null_draws)
    own = Priors(average[None], priors.classes, priors.nothing)
    items = [
        (series[i], int(noise), int(kind), k)
        for k, (i, noise, kind) in enumerate(zip(which, kinds[0], kinds[1], strict=True))
    ]
    show = "simulated light curves without a lens" if progress else ""
    values = parallel_map(_one_null, items, (own, grid, options), workers, show)
    return null_distribution(np.array(values), kinds[2])


def _one_null(item, priors: Priors, grid: list[Noise], options: VariabilityOptions) -> float:
    series, noise, kind, number = item
    random = np.random.default_rng([options.seed, 1, number])
    bank = _banks(series, options).of_class.get(CLASSES[kind]) if kind >= 0 else None
    flux = simulate(series, grid[noise], bank, random)
    made = Series(series.times, flux, series.variance, series.level_jy)
    evidence = weigh(made, lambda: _banks(made, options), whiteners(made, grid), grid)
    closer, _ = look_closer(made, evidence, priors, grid, options, random)
    return judge(closer, priors, None).log_factor
