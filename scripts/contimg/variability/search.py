"""The search of all light curves of a run, and the false alarms of it.

They are searched together, because each one's false alarms depend on how the others vary.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from contimg.variability.bands import Parts
from contimg.variability.banks import CLASSES, ESE
from contimg.variability.density import width_limits
from contimg.variability.ese import (
    LightCurve,
    Verdict,
    examine,
    judge,
    look_closer,
    make_banks,
    unsearchable,
    weigh_one,
)
from contimg.variability.event import Event, describe
from contimg.variability.evidence import Evidence, Series, log_sum, make_series
from contimg.variability.filters import make_whitener
from contimg.variability.noise import Noise, Priors, believed, learn_priors, noise_grid
from contimg.variability.options import VariabilityOptions
from contimg.variability.parallel import parallel_map
from contimg.variability.profiles import tables
from contimg.variability.significance import (
    NullDistribution,
    draw_nulls,
    null_distribution,
    simulate,
    template_of,
    weak_dip,
)

# before the run is seen: probabilities of the classes, with the weight of so many sources.
# ESEs: of 1 % of compact sources at a time (Fiedler et al. 1994, ApJ 430, 581)
RATES = {"ese": 0.01, "flare": 0.005, "step": 0.003, "bad_block": 0.005, "periodic": 0.003}
PSEUDO_SOURCES = 100.0


@dataclass(frozen=True)
class Search:
    """What a run of light curves says, and all that the verdict on another one depends on."""

    curves: list[LightCurve]  # those that could be searched
    which: list[int]  # of each, its place among the S that differ
    series: list[Series]  # (S,)
    verdicts: list[Verdict]  # (S,)
    priors: Priors  # of S sources
    grid: list[Noise]
    null: NullDistribution
    options: VariabilityOptions

    @property
    def threshold(self) -> float:
        """False-alarm probability of one source that gives the declared number for the run."""
        return self.options.false_alarm_probability / max(1, len(self.curves))

    def events(self, parts: dict[str, Parts] | None = None) -> dict[str, Event]:
        """By source; `parts` of those that were measured in several parts of the band."""
        p = self.null.probability(np.array([v.log_factor for v in self.verdicts]))
        parts = parts or {}
        found: dict[str, Event] = {}
        done: dict[tuple[int, int], Event] = {}  # some light curves are the same
        for c, k in zip(self.curves, self.which, strict=True):
            key = k, id(parts[c.source]) if c.source in parts else 0
            if key not in done:
                about = c, self.series[k], self.verdicts[k], float(p[k]), self.grid
                done[key] = describe(*about, parts.get(c.source))
            found[c.source] = done[key]
        return found

    def examine(self, curve: LightCurve, like: int, number: int) -> Event:
        """What the search makes of another light curve of the source ``curves[like]``.

        `number` chooses the random numbers.
        """
        k = self.which[like]
        random = np.random.default_rng([self.options.seed, 2, number])
        series = make_series(curve.mjd, curve.flux, curve.error)
        verdict = examine(series, self.priors.of(k), self.grid, self.options, random)
        chance = float(self.null.probability(verdict.log_factor))
        return describe(curve, series, verdict, chance, self.grid)

    def announces(self, event: Event) -> bool:
        """Whether `event` would be a candidate."""
        return event.kind == "ese" and event.false_alarm_probability < self.threshold


def search_all(
    curves: list[LightCurve],
    options: VariabilityOptions,
    workers: int = 1,
    *,
    progress: bool = False,
) -> Search | None:
    """Search all light curves that are long enough; none if no one is."""
    tables()
    searched = [c for c in curves if not unsearchable(c, options)]
    if not searched:
        return None
    distinct, which = _distinct(searched)
    gap = float(np.median([np.median(np.diff(c.mjd)) for c in distinct]))
    grid = noise_grid(gap, max(float(np.ptp(c.mjd)) for c in distinct))
    series = [make_series(c.mjd, c.flux, c.error) for c in distinct]
    common = (grid, options)
    show = "light curves" if progress else ""
    evidence = parallel_map(weigh_one, series, common, workers, show)
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
    null = _null(distinct, priors, grid, options, workers, progress)
    return Search(searched, which, series, verdicts, priors, grid, null, options)


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


def _closer_one(item, grid: list[Noise], options: VariabilityOptions):
    random, series, evidence, priors = item
    return look_closer(series, evidence, priors, grid, options, random)


def _null(
    curves: list[LightCurve],
    priors: Priors,
    grid: list[Noise],
    options: VariabilityOptions,
    workers: int,
    progress: bool,
) -> NullDistribution:
    """ln B without a dip: half of the simulations have none, half a weak one."""
    random = np.random.default_rng(options.seed)
    average = log_sum(priors.noise, axis=0) - np.log(len(priors.noise))
    draws = options.null_draws // 2
    noise, kind, weight = draw_nulls(average, priors, draws, random)
    chance = np.exp(average - log_sum(average))
    noise = np.append(noise, random.choice(len(grid), size=options.null_draws - draws, p=chance))
    kind = np.append(kind, np.full(options.null_draws - draws, ESE))
    which = random.integers(len(curves), size=options.null_draws)
    items = [
        (curves[i], *rest) for i, *rest in zip(which, noise, kind, range(len(kind)), strict=True)
    ]
    own = Priors(average[None], priors.classes, priors.nothing)
    show = "simulated light curves" if progress else ""
    made = parallel_map(_one_null, items, (own, grid, options), workers, show)
    value, dip_weight = np.array(made).T
    return null_distribution(value[:draws], weight, value[draws:], dip_weight[draws:])


def _one_null(
    item, priors: Priors, grid: list[Noise], options: VariabilityOptions
) -> tuple[float, float]:
    """ln B of a simulated light curve, and the weight of its dip."""
    curve, noise, kind, number = item
    random = np.random.default_rng([options.seed, 1, number])
    times, weight = curve.mjd - curve.mjd[0], 1.0
    if kind == ESE:
        variance = (curve.error / np.median(curve.flux)) ** 2
        model = grid[noise]
        filt = make_whitener(times, variance, model.kernel, model.amplitude, model.tau_days)
        limits = width_limits(times, options.width_min_days, options.width_max_days)
        change, weight = weak_dip(times, filt, options.min_points_in_dip, limits, random)
        if not weight:
            return -np.inf, 0.0
    else:
        banks = make_banks(times, options)
        change = template_of(banks.of_class.get(CLASSES[kind]) if kind >= 0 else None, random)
    made = simulate(curve, grid[noise], change, random)
    return examine(made, priors, grid, options, random).log_factor, weight
