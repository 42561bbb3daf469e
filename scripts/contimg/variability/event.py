"""What is reported of one light curve: its class, and the dip with errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from contimg.variability.bands import Colour, Parts, colour, colours, over_posterior
from contimg.variability.banks import CLASSES, ESE
from contimg.variability.evidence import Series
from contimg.variability.noise import Noise, covariance
from contimg.variability.profiles import changes, source_size, strength

if TYPE_CHECKING:
    from contimg.variability.ese import LightCurve, Verdict

NAMES = ("constant", "red_noise", *CLASSES)
DIPS = ("ese", "achromatic_dip")
NOISES = 2  # of them, before CLASSES
MODEL_POINTS = 400
# what no template knows of a lens, and the tables blur: parts of the value, for t0 of the width
# (scatter of known lenses about what was found, where their posteriors were narrower than that)
TEMPLATE_ERROR = {"depth": 0.025, "t0_mjd": 0.004, "width_days": 0.015, "baseline_jy": 0.003}
TEMPLATE_ERROR |= {"minimum_flux_jy": 0.02, "flux_fraction": 0.03, "alpha": 0.05}
TEMPLATE_ERROR |= {"source_size": 0.3}
# where so few of the epochs are within a tenth of the depth of the baseline, caustics have to say
# what it is, the heights of which no template knows: errors of the same kind
BASELINE_EPOCHS, NEAR_BASELINE = 0.1, 0.1
UNSEEN_BASELINE = {"depth": 0.13, "baseline_jy": 0.13}
# the dip itself must be there, its depth four errors from zero: of a Gaussian the lower of these
# quantiles is then at least twice as far from zero as from the other. The upper half of the draws
# says nothing of zero: without a baseline there may be two depths, both beyond doubt
SURE_QUANTILES, SURE_ERRORS = (0.02275, 0.15866), 2.0
# ln of the evidence of a dip over that of any other class: so that at most one of a hundred of each
# is announced that the run holds once (bad blocks, which look most like dips, 9 of 1,200)
MIN_ODDS = {"flare": 1.5, "step": 1.5, "bad_block": 1.75, "periodic": 0.0}
ACHROMATIC_BELOW = -3.0  # ln Bayes factor of a lens's colour against none
MODEL_EPOCHS = 3000  # more cannot be drawn with the process in bearable memory


@dataclass(frozen=True)
class Value:
    """A parameter: median of its posterior and half the central 68 %."""

    value: float
    error: float


@dataclass(frozen=True)
class Event:
    """The best dip for a light curve, how often chance does as well, and the class."""

    kind: str  # one of NAMES, or achromatic_dip
    probability: dict[str, float]  # of each of NAMES
    log_factor: float  # ln Bayes factor of a dip against everything else
    false_alarm_probability: float
    values: dict[str, Value]
    n_in_dip: int
    colour: Colour | None
    model_mjd: NDArray[np.float64]
    model_jy: NDArray[np.float64]  # dip alone
    process_jy: NDArray[np.float64]  # dip and noise process
    change: NDArray[np.float64]  # (N,) relative change of the flux by the dip; empty without one


VALUES = (
    "depth",
    "t0_mjd",
    "width_days",
    "baseline_jy",
    "minimum_flux_jy",
    "flux_fraction",
    "alpha",
    "source_size",
)


def describe(
    curve: LightCurve,
    series: Series | None,
    verdict: Verdict,
    chance: float,
    grid: list[Noise],
    parts: Parts | None = None,
) -> Event:
    """The event of one light curve; `parts` where several parts of the band were measured.

    `series` is needed where a dip is possible.
    """
    probability = dict(zip(NAMES, map(float, verdict.probability), strict=True))
    # what was not worth a closer look is no dip
    kind = _kind(verdict, dip=verdict.posterior is not None)
    if verdict.posterior is None or series is None:
        blank, empty = dict.fromkeys(VALUES, Value(np.nan, np.nan)), np.empty(0)
        values, in_dip, grey, model = blank, 0, None, (empty, empty, empty)
        change = empty
    else:
        values = _values(curve, series, verdict)
        if kind == "ese" and not _is_deep(verdict.posterior.depth):
            kind = _kind(verdict, dip=False)
        post = verdict.posterior
        lost = post.best_depth * post.best_baseline
        grey = colour(parts, post.best, lost, float(curve.mjd[0])) if parts is not None else None
        if kind == "ese" and grey is not None and grey.log_factor < ACHROMATIC_BELOW:
            kind = "achromatic_dip"
        if parts is not None:
            drawn = post.dips, post.depth * post.baseline
            grey = over_posterior(colours(parts, *drawn, float(curve.mjd[0])))
        in_dip, model = _model(curve, series, verdict, grid)
        change = post.best_depth * changes(post.best, series.times)[:, 0]
    factor = verdict.log_factor
    return Event(kind, probability, factor, chance, values, in_dip, grey, *model, change)


def _kind(verdict: Verdict, dip: bool = True) -> str:
    """The class of a light curve, or with `dip` false the one it has if it is no dip.

    A dip must be better than every other class, however rare that is in the run: the first bad
    block of a run would else be a lens. What is no more probable than all noise together is noise.
    """
    probability = verdict.probability.copy()
    noise = probability[:NOISES]
    if dip and verdict.probability.argmax() == NOISES + ESE:
        odds = dict(zip(CLASSES, verdict.odds, strict=True))
        nearest = min(MIN_ODDS, key=lambda name: odds[name] - MIN_ODDS[name])
        return nearest if odds[nearest] < MIN_ODDS[nearest] else CLASSES[ESE]
    probability[NOISES + ESE] = 0.0
    best = int(probability.argmax())
    if best >= NOISES and probability[best] < noise.sum():
        best = int(noise.argmax())
    return NAMES[best]


def _values(curve: LightCurve, series: Series, verdict: Verdict) -> dict[str, Value]:
    post, level = verdict.posterior, series.level_jy
    lens = np.isfinite(strength(post.dips)) & np.isfinite(post.depth)
    draws = {
        "depth": post.depth,
        "t0_mjd": curve.mjd[0] + post.dips.t0,
        "width_days": post.dips.width,
        "baseline_jy": level * post.baseline,
        "minimum_flux_jy": level * post.baseline * (1 - post.depth),
        "flux_fraction": post.fraction[lens],
        "alpha": strength(post.dips)[lens],
        "source_size": source_size(post.dips)[lens],
    }
    found = {name: _value(draws[name]) for name in VALUES}
    shape = np.abs(changes(post.best, series.times))
    unseen = np.mean(shape < NEAR_BASELINE) < BASELINE_EPOCHS
    for name, part in (TEMPLATE_ERROR | (UNSEEN_BASELINE if unseen else {})).items():
        value, error = found[name].value, found[name].error
        scale = found["width_days"].value if name == "t0_mjd" else value
        found[name] = Value(value, float(np.hypot(error, part * scale)))
    return found


def _is_deep(draws: NDArray) -> bool:
    """Whether draws of a depth are far from zero."""
    lowest, low = np.quantile(draws, SURE_QUANTILES)
    return bool(lowest > SURE_ERRORS * (low - lowest))


def _value(draws: NDArray) -> Value:
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return Value(np.nan, np.nan)
    low, middle, high = np.quantile(draws, (0.1587, 0.5, 0.8413))
    return Value(float(middle), float((high - low) / 2))


def _model(curve: LightCurve, series: Series, verdict: Verdict, grid: list[Noise]):
    """Epochs in the dip; times, the dip and the dip with the process [Jy] for a plot."""
    post, level = verdict.posterior, series.level_jy
    times = np.linspace(0, series.times[-1], MODEL_POINTS)
    amplitude = post.best_depth * post.best_baseline
    at_epochs = changes(post.best, series.times)[:, 0]
    dip = post.best_baseline + amplitude * changes(post.best, times)[:, 0]
    residual = 1 + series.flux - post.best_baseline - amplitude * at_epochs
    process = dip + _predicted(grid[post.best_noise], series, residual, times)
    mjd = curve.mjd[0] + times
    return int((at_epochs < -0.5).sum()), (mjd, level * dip, level * process)


def _predicted(noise: Noise, series: Series, residual: NDArray, times: NDArray) -> NDArray:
    """Mean of the process and the terms of a light curve at `times` given the residuals.

    Zero for white noise; the terms are those of the nearest epoch.
    """
    number, terms = len(residual), series.terms
    if (noise.amplitude == 0 and terms is None) or number > MODEL_EPOCHS:
        return np.zeros(len(times))
    joined = np.concatenate([series.times, times])
    noises = covariance(noise, joined, np.zeros(len(joined)), 1.0)
    if terms is not None:
        nearest = np.abs(times[:, None] - series.times).argmin(axis=1)
        everywhere = np.vstack([terms, terms[nearest]])
        noises = noises + everywhere @ everywhere.T
    matrix = noises[:number, :number] + np.diag(series.variance)
    return noises[number:, :number] @ np.linalg.solve(matrix, residual)
