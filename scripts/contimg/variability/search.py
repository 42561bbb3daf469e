"""The search of all light curves of a run, and the false alarms of it.

They are searched together, because each one's false alarms depend on how the others vary.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from contimg.variability.bands import Parts, log_colour_factor
from contimg.variability.banks import CLASSES, ESE, sampling
from contimg.variability.company import Company, company_of
from contimg.variability.density import width_limits
from contimg.variability.doubt import doubting
from contimg.variability.ese import (
    LightCurve,
    Verdict,
    coloured,
    examine,
    judge,
    look_closer,
    make_banks,
    unsearchable,
    weigh_one,
)
from contimg.variability.event import DIPS, Event, describe
from contimg.variability.evidence import Evidence, Series, log_sum, make_series
from contimg.variability.filters import make_whitener
from contimg.variability.noise import Noise, Priors, believed, learn_priors, noise_grid
from contimg.variability.options import VariabilityOptions
from contimg.variability.parallel import parallel_map
from contimg.variability.posterior import Posterior
from contimg.variability.profiles import tables
from contimg.variability.significance import (
    NullDistribution,
    draw_nulls,
    null_distribution,
    simulate,
    template_of,
    weak_dip,
)
from contimg.variability.terms import terms_of

# before the run is seen: probabilities of the classes, with the weight of so many sources.
# ESEs: of 1 % of compact sources at a time (Fiedler et al. 1994, ApJ 430, 581)
RATES = {"ese": 0.01, "flare": 0.005, "step": 0.003, "bad_block": 0.005, "periodic": 0.003}
PSEUDO_SOURCES = 100.0


@dataclass(frozen=True)
class Search:
    """What a run of light curves says, and all that the verdict on another one depends on."""

    curves: list[LightCurve]  # those that could be searched
    which: list[int]  # of each, its place among the S that differ
    verdicts: list[Verdict]  # (S,)
    priors: Priors  # of S sources
    grid: list[Noise]
    null: NullDistribution
    options: VariabilityOptions

    @property
    def threshold(self) -> float:
        """False-alarm probability of one source that gives the declared number for the run."""
        return self.options.false_alarm_probability / max(1, len(self.curves))

    def events(self, parts: dict[str, Parts] | None = None, workers: int = 1) -> dict[str, Event]:
        """By source; `parts` of those that were measured in several parts of the band."""
        parts = parts or {}
        keys = [(k, id(parts.get(c.source))) for c, k in zip(self.curves, self.which, strict=True)]
        # some light curves are the same
        first = {key: n for n, key in reversed([*enumerate(keys)])}
        dips = [n for (k, _), n in first.items() if self.verdicts[k].posterior is not None]
        if dips:
            _ = self._company  # which all processes ask
        found = dict(zip(dips, parallel_map(_event_of, dips, (self, parts), workers), strict=True))
        for n in first.values():
            if n not in found:
                found[n] = _event_of(n, self, parts)
        return {c.source: found[first[key]] for c, key in zip(self.curves, keys, strict=True)}

    def dips(self) -> set[str]:
        """Sources in which a dip is possible, whatever else is."""
        return {
            c.source
            for c, k in zip(self.curves, self.which, strict=True)
            if self.verdicts[k].posterior is not None
        }

    def examine(self, curve: LightCurve, like: int, number: int) -> Event:
        """What the search makes of another light curve of the source ``curves[like]``.

        `number` chooses the random numbers.
        """
        return self.described(curve, self._verdict(curve, like, number))

    def finds(self, curve: LightCurve, like: int, number: int) -> bool:
        """Whether the event of :meth:`examine` would be a candidate."""
        verdict = self._verdict(curve, like, number)
        if self.null.probability(verdict.log_factor) >= self.threshold:
            return False  # which need not be described
        return self.announces(self.described(curve, verdict))

    def _verdict(self, curve: LightCurve, like: int, number: int) -> Verdict:
        random = np.random.default_rng([self.options.seed, 2, number])
        about = self.priors.of(self.which[like]), self.grid, self.options, random
        return examine(series_of(curve, self.options), *about)

    def described(self, curve: LightCurve, verdict: Verdict, parts: Parts | None = None) -> Event:
        """The event; what others do at the same time is nobody's dip, but bad data."""
        chance = float(self.null.probability(verdict.log_factor))
        series = None if verdict.posterior is None else series_of(curve, self.options)
        event = describe(curve, series, verdict, chance, self.grid, parts)
        # one that was not worth a closer look has no dip that others could show
        known = event.kind in DIPS and len(event.change)
        if known and self._company.shares(curve, event.change):
            event = replace(event, kind="bad_block")
        return event

    @cached_property
    def _company(self) -> Company:
        return company_of(self.curves)

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
    reasons = parallel_map(unsearchable, curves, (options,), workers)
    searched = [c for c, reason in zip(curves, reasons, strict=True) if not reason]
    if not searched:
        return None
    distinct, which = _distinct(searched)
    gap = float(np.median([np.median(np.diff(c.mjd)) for c in distinct]))
    grid = noise_grid(gap, max(float(np.ptp(c.mjd)) for c in distinct))
    common = (grid, options)
    show = "light curves" if progress else ""
    evidence = _same_epochs_together(_weigh_one, distinct, distinct, common, workers, show)
    priors = _learn(evidence, grid)
    closer: list[tuple[Evidence, Posterior | None]] = [(e, None) for e in evidence]
    loud = [k for k, e in enumerate(evidence) if e.stands_out]
    items = [(distinct[k], evidence[k], priors.of(k)) for k in loud]
    show = "looked at more closely" if progress else ""
    hosts = [distinct[k] for k in loud]
    found = _same_epochs_together(_closer_one, items, hosts, common, workers, show)
    for k, pair in zip(loud, found, strict=True):
        closer[k] = pair
    # with lenses and flares that fit, fewer sources look like strong noise
    priors = _learn([e for e, _ in closer], grid)
    common = [e for e, _ in closer], priors
    verdicts = parallel_map(_judge_one, range(len(closer)), common, workers)
    for k in loud:  # are not sent between processes
        verdicts[k] = replace(verdicts[k], posterior=closer[k][1])
    null = _null(distinct, priors, grid, options, workers, progress)
    return Search(searched, which, verdicts, priors, grid, null, options)


def _event_of(number: int, search: Search, parts: dict[str, Parts]) -> Event:
    """The event of one of the light curves of a search."""
    curve, verdict = search.curves[number], search.verdicts[search.which[number]]
    own = parts.get(curve.source)
    if own is not None and verdict.posterior is not None:
        post = verdict.posterior
        drawn = post.dips, post.depth * post.baseline
        verdict = coloured(verdict, log_colour_factor(own, *drawn, float(curve.mjd[0])))
    return search.described(curve, verdict, own)


def _same_epochs_together(
    function: Callable,
    items: list,
    curves: list[LightCurve],
    common: tuple,
    workers: int,
    show: str,
) -> list:
    """As :func:`parallel_map`, but items whose light curves have the same epochs one after the
    other: they share their templates."""
    kinds = [hashlib.blake2b(sampling(c.mjd), digest_size=16).digest() for c in curves]
    order = sorted(range(len(items)), key=kinds.__getitem__)
    found = parallel_map(function, [items[k] for k in order], common, workers, show)
    return [result for _, result in sorted(zip(order, found, strict=True), key=lambda p: p[0])]


def _distinct(curves: list[LightCurve]) -> tuple[list[LightCurve], list[int]]:
    """Light curves that differ, and which of them each one is."""
    seen: dict[bytes, int] = {}
    distinct, which = [], []
    for curve in curves:
        known = (v for v in (curve.block_odds, curve.strip) if v is not None)
        values = np.concatenate([curve.mjd, curve.flux, curve.error, *known])
        key = hashlib.blake2b(values.tobytes(), digest_size=16).digest()
        if key not in seen:
            seen[key] = len(distinct)
            distinct.append(curve)
        which.append(seen[key])
    return distinct, which


def _learn(evidence: list[Evidence], grid: list[Noise]) -> Priors:
    return learn_priors(
        np.stack([e.null for e in evidence]),
        [e.classes for e in evidence],
        np.array([RATES[name] for name in CLASSES]),
        PSEUDO_SOURCES,
        believed(grid),
        ESE,
    )


def source_random(seed: int, source: str) -> np.random.Generator:
    """Random numbers of a source, whatever the other sources and their order."""
    return np.random.default_rng([seed, zlib.crc32(source.encode())])


def series_of(curve: LightCurve, options: VariabilityOptions) -> Series:
    """In units of its median."""
    terms = terms_of(curve.mjd, curve.strip, options)
    return make_series(curve.mjd, curve.flux, curve.error, curve.block_odds, terms)


def _weigh_one(curve: LightCurve, grid: list[Noise], options: VariabilityOptions) -> Evidence:
    return weigh_one(series_of(curve, options), grid, options)


def _closer_one(item, grid: list[Noise], options: VariabilityOptions):
    curve, evidence, priors = item
    random = source_random(options.seed, curve.source)
    return look_closer(series_of(curve, options), evidence, priors, grid, options, random)


def _judge_one(k: int, evidence: list[Evidence], priors: Priors) -> Verdict:
    return judge(evidence[k], priors.of(k), None)


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
    hosts = [curves[i] for i in which]
    made = _same_epochs_together(_one_null, items, hosts, (own, grid, options), workers, show)
    value, dip_weight = np.array(made).T
    return null_distribution(value[:draws], weight, value[draws:], dip_weight[draws:])


def _one_null(
    item, priors: Priors, grid: list[Noise], options: VariabilityOptions
) -> tuple[float, float]:
    """ln B of a simulated light curve, and the weight of its dip."""
    curve, noise, kind, number = item
    random = np.random.default_rng([options.seed, 1, number])
    times, weight = curve.mjd - curve.mjd[0], 1.0
    terms = terms_of(curve.mjd, curve.strip, options)
    if kind == ESE:
        variance = (curve.error / np.median(curve.flux)) ** 2
        model = grid[noise]
        of_model = model.kernel, model.amplitude, model.tau_days
        filt = make_whitener(times, variance, *of_model, terms)
        limits = width_limits(times, options.width_min_days, options.width_max_days)
        change, weight = weak_dip(times, filt, options.min_points_in_dip, limits, random)
        if not weight:
            return -np.inf, 0.0
    else:
        bank = None
        if kind >= 0:
            banks = doubting(make_banks(times, options), curve.block_odds)
            bank = banks.of_class.get(CLASSES[kind])
        change = template_of(bank, random)
    made = simulate(curve, grid[noise], change, random, terms)
    return examine(made, priors, grid, options, random).log_factor, weight
