"""Light curves in several parts of the band: put together, and the colour of a dip.

The search looks at one light curve, the parts relative to their own levels. What differs between
the parts then tells a lens, whose strength goes as lambda^2, from anything achromatic. The noise
process is common to the parts and drops out of their differences, and so does the light curve that
was searched: colour is evidence of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.core.robust import scatter
from contimg.variability.profiles import SMOOTH, Dips, change_at, changes

TOGETHER = 1.5  # ratio to the lowest frequency up to which parts are searched together
SAME_PART = 1.02  # ratio of frequencies up to which measurements are of the same part
MIN_EPOCHS = 5  # of a part: with fewer its level is not known
SAME_TIME_DAYS = 0.02
COLOUR_SCATTER = 0.5  # of the measured over the expected colour of lenses: sources have sizes
ACHROMATIC_SCATTER = 0.1
# what is no lens may have any colour, as sidelobes and interference have: how often, how much
OTHER_PART, OTHER_SCATTER = 0.1, 3.0
COLOUR_DRAWS = 40  # of a posterior


@dataclass(frozen=True)
class Parts:
    """The measurements of one source in parts of the band, relative to their levels."""

    mjd: NDArray[np.float64]  # (M,)
    flux: NDArray[np.float64]  # (M,)
    error: NDArray[np.float64]  # (M,)
    freq_hz: NDArray[np.float64]  # (M,)
    epoch: NDArray[np.int64]  # (M,) measurements at the same time
    ref_hz: float  # mean frequency of those searched together


@dataclass(frozen=True)
class Colour:
    """Difference between the parts over that expected of a lens: 1 a lens, 0 achromatic."""

    value: float
    error: float

    @property
    def log_factor(self) -> float:
        """ln Bayes factor of a lens against an achromatic dip."""
        return self._log_density(1.0, COLOUR_SCATTER) - self._log_density(0.0, ACHROMATIC_SCATTER)

    @property
    def log_odds(self) -> float:
        """ln Bayes factor of a lens against anything else, most of which is achromatic."""
        grey = np.log1p(-OTHER_PART) + self._log_density(0.0, ACHROMATIC_SCATTER)
        other = np.log(OTHER_PART) + self._log_density(0.0, OTHER_SCATTER)
        return float(self._log_density(1.0, COLOUR_SCATTER) - np.logaddexp(grey, other))

    def _log_density(self, mean: float, scatter: float) -> float:
        """ln of the density of the value about `mean`, but for a constant."""
        spread = float(np.hypot(scatter, self.error))
        return float(-0.5 * ((self.value - mean) / spread) ** 2 - np.log(spread))


class Measured(NamedTuple):
    """The measurements of one source, in order of time and frequency."""

    mjd: NDArray[np.float64]  # (M,)
    flux: NDArray[np.float64]  # (M,) [Jy]
    error: NDArray[np.float64]  # (M,) [Jy]
    freq_hz: NDArray[np.float64]  # (M,)

    def where(self, rows: NDArray[np.bool_]) -> Measured:
        """Some of them."""
        return Measured(*(column[rows] for column in self))


def well_measured(rows: Measured) -> Measured:
    """Those in the parts with a level, `freq_hz` the mean one of each part, one at a time.

    Frequencies that follow one another within ``SAME_PART`` are one part.
    """
    freq, which = np.unique(rows.freq_hz, return_inverse=True)
    part = np.cumsum(np.append(False, freq[1:] > SAME_PART * freq[:-1]))[which]
    mean = (np.bincount(part, rows.freq_hz) / np.bincount(part))[part]
    first = (np.diff(rows.mjd, prepend=-np.inf) > 0) | (np.diff(mean, prepend=0.0) != 0)
    rows = rows._replace(freq_hz=mean).where(first)
    level, number = _levels(rows)
    return rows.where((number >= MIN_EPOCHS) & (level > 0))


def _levels(rows: Measured) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Median flux density [Jy] of the part that each measurement (M,) is in; of how many."""
    level, number = np.zeros(len(rows.mjd)), np.zeros(len(rows.mjd), dtype=np.int64)
    for freq in np.unique(rows.freq_hz):
        here = rows.freq_hz == freq
        level[here], number[here] = np.median(rows.flux[here]), here.sum()
    return level, number


def with_level(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of sources in parts of the band with enough epochs for a level, which is positive."""
    of_part = rows.groupby(["source", "freq_hz"], observed=True)
    count, level = of_part["mjd"].transform("size"), of_part["flux_jy"].transform("median")
    return rows[(count >= MIN_EPOCHS) & (level > 0)]


def split(rows: Measured) -> Parts:
    """Parts of the measurements of one source, each over its level."""
    epoch = np.cumsum(np.diff(rows.mjd, prepend=-np.inf) > SAME_TIME_DAYS) - 1
    level, freq = _levels(rows)[0], rows.freq_hz
    ref = float(np.mean(np.unique(freq[freq <= TOGETHER * freq.min()])))
    return Parts(rows.mjd, rows.flux / level, rows.error / level, freq, epoch, ref)


def together(rows: Measured) -> tuple[NDArray, NDArray, NDArray]:
    """(mjd, flux [Jy], error [Jy]) of the parts near the lowest frequency, by epoch."""
    parts = split(rows)
    low = parts.freq_hz <= TOGETHER * parts.freq_hz.min()
    _, first = np.unique(parts.freq_hz[low], return_index=True)
    level = float(_levels(rows)[0][low][first].mean())
    weight = parts.error[low] ** -2
    epochs, which = np.unique(parts.epoch[low], return_inverse=True)

    def mean(values: NDArray) -> NDArray:
        return np.bincount(which, weight * values) / np.bincount(which, weight)

    error = np.bincount(which, weight, minlength=len(epochs)) ** -0.5
    return mean(parts.mjd[low]), level * mean(parts.flux[low]), level * error


def colour(parts: Parts, dip: Dips, depth: float, start_mjd: float) -> Colour | None:
    """The colour of a `dip` (one); none where one part of the band was measured.

    `depth` is over the level of the parts, a median, which a long dip makes lower than the
    baseline.
    """
    expected = np.zeros(len(parts.mjd))
    times = parts.mjd - start_mjd
    for freq in np.unique(parts.freq_hz):
        rows = parts.freq_hz == freq
        ratio = (parts.ref_hz / freq) ** 2
        if dip.kind[0] == SMOOTH:
            expected[rows] = ratio * depth * changes(dip, times[rows])[:, 0]
        else:
            expected[rows] = change_at(dip, depth, ratio, times[rows])
    contrast, measured = _differences(parts, expected), _differences(parts, parts.flux)
    weight = parts.error**-2
    norm = float((weight * contrast**2).sum())
    if norm <= 0:
        return None
    return Colour(float((weight * contrast * measured).sum() / norm), norm**-0.5)


def colours(parts: Parts, dips: Dips, depth: NDArray, start_mjd: float) -> list[Colour]:
    """The colour of each of some draws of a posterior: `dips` (D,) of `depth` (D,)."""
    rows = np.flatnonzero(np.isfinite(depth))[:COLOUR_DRAWS]
    found = (
        colour(parts, dips[rows[[k]]], float(depth[rows[k]]), start_mjd) for k in range(len(rows))
    )
    return [one for one in found if one is not None]


def over_posterior(found: list[Colour]) -> Colour | None:
    """The colour by draws of a posterior: their median, its error with what they differ by.

    Where a caustic crosses the band it hangs on the lens far more than on the noise.
    """
    if not found:
        return None
    values = np.array([one.value for one in found])
    formal = float(np.median([one.error for one in found]))
    return Colour(float(np.median(values)), float(np.hypot(formal, scatter(values))))


def log_colour_factor(parts: Parts, dips: Dips, depth: NDArray, start_mjd: float) -> float:
    """ln Bayes factor of a dip, from what differs between the parts, against anything else.

    A mean over the posterior: `dips` (D,) of `depth` (D,), over the levels. A dip is a lens or
    achromatic, which is as probable: a light curve that no colour speaks for loses ln 2 at most,
    one without enough signal nothing.
    """
    odds = [one.log_odds for one in colours(parts, dips, depth, start_mjd)]
    if not odds:
        return 0.0
    mean = np.logaddexp.reduce(odds) - np.log(len(odds))
    return float(np.logaddexp(mean, 0.0) - np.log(2.0))


def _differences(parts: Parts, values: NDArray) -> NDArray[np.float64]:
    """`values` less what all parts share at an epoch, and less the mean of each part."""
    weight = parts.error**-2
    _, band = np.unique(parts.freq_hz, return_inverse=True)
    for _ in range(8):
        for group in (parts.epoch, band):
            mean = np.bincount(group, weight * values) / np.bincount(group, weight)
            values = values - mean[group]
    return values
