"""Whether false-alarm probabilities hold: light curves without a dip that were not used for them.

Half are drawn from what the run was found to hold. The other half are flares, steps, bad blocks and
waves, as many of each, with shapes that no template has.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import bdtrc

from contimg.core.records import Check, check
from contimg.variability.banks import typical_gap
from contimg.variability.evidence import log_sum
from contimg.variability.filters import draw_process
from contimg.variability.parallel import parallel_map
from contimg.variability.search import Search
from contimg.variability.terms import drawn, terms_of

RIVALS = ("flare", "step", "bad_block", "periodic")
LEVELS = (0.3, 0.1, 0.03)  # where p is compared with the part of the light curves that reach it
MOST_RAISED = 0.01  # part of the rivals of a kind that may be announced
IMPROBABLE = 1e-3
COLUMNS = ["kind", "source", "class", "log_bayes_factor", "false_alarm_probability", "announced"]


def simulate(search: Search, number: int, workers: int = 1, *, progress: bool = False):
    """`number` light curves without a dip, searched: a row each (``COLUMNS``)."""
    random = np.random.default_rng([search.options.seed, 4])
    log_noise = log_sum(search.priors.noise, axis=0)
    chance = np.exp(log_noise - log_sum(log_noise))
    items = []
    for k in range(number):
        kind = "population" if k % 2 else RIVALS[(k // 2) % len(RIVALS)]
        host = int(random.integers(len(search.curves)))
        items.append((k, kind, host, int(random.choice(len(chance), p=chance))))
    show = "light curves without a dip" if progress else ""
    return pd.DataFrame(parallel_map(_one, items, (search,), workers, show), columns=COLUMNS)


def _one(item: tuple[int, str, int, int], search: Search) -> dict[str, object]:
    number, kind, host, noise = item
    random = np.random.default_rng([search.options.seed, 5, number])
    curve = search.curves[host]
    times, level = curve.mjd - curve.mjd[0], float(np.median(curve.flux))
    errors = curve.error / level * random.standard_normal(len(times))
    process = draw_process(times, search.grid[noise], random)
    systematic = drawn(terms_of(curve.mjd, curve.strip, search.options), random)
    flux = level * (change(kind, times, random) + process + errors + systematic)
    event = search.examine(replace(curve, flux=flux), host, number)
    return {
        "kind": kind,
        "source": curve.source,
        "class": event.kind,
        "log_bayes_factor": event.log_factor,
        "false_alarm_probability": event.false_alarm_probability,
        "announced": search.announces(event),
    }


def change(kind: str, times: NDArray, random: np.random.Generator) -> NDArray[np.float64]:
    """Relative flux (N,) of one light curve of `kind` at `times` [days]."""
    gap, span = typical_gap(times), times[-1]
    at = random.uniform(0.1, 0.9) * span
    since = times - at
    if kind == "flare":
        rise, decay = random.uniform(0.2, 3) * gap, np.exp(random.uniform(*np.log((gap, span / 3))))
        # a decay that is no exponential
        after = (1 + since.clip(0) / decay) ** -2.0
        return 1 + random.uniform(0.3, 2) * after * np.exp(np.minimum(since, 0) / rise)
    if kind == "step":
        size = random.choice((-1, 1)) * random.uniform(0.1, 0.4)
        return 1 + size * np.clip(since / gap, 0, 1)
    if kind == "bad_block":
        inside = np.abs(since) < random.uniform(1.5, 3) * gap
        return 1 - random.uniform(0.1, 0.4) * inside * random.uniform(0.8, 1, len(times))
    if kind == "periodic":
        angle = 2 * np.pi * since / np.exp(random.uniform(*np.log((4 * gap, span / 2))))
        return 1 + random.uniform(0.05, 0.3) * (np.sin(angle) + 0.2 * np.sin(2 * angle))
    return np.ones(len(times))


def judged(made: pd.DataFrame, agreement: float) -> list[Check]:
    """Whether p is as often small as it says, and whether rivals are announced."""
    p = made.loc[made["kind"] == "population", "false_alarm_probability"].to_numpy(dtype=float)
    lines = []
    for level in LEVELS:
        # chance to have so many or more if p were uniform
        odds = float(bdtrc((p < level).sum() - 1, len(p), level))
        lines.append(check(f"chance_of_p_below_{level:g}", odds, fail_below=IMPROBABLE))
    rivals = made[made["kind"] != "population"]
    odds = float(bdtrc(rivals["announced"].sum() - 1, len(rivals), MOST_RAISED))
    lines.append(check("chance_of_rivals_announced", odds, fail_below=IMPROBABLE))
    if np.isfinite(agreement):
        lines.append(check("null_tail_agreement", agreement, warn_below=0.1, warn_above=10.0))
    return lines
