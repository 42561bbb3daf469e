"""Whether other sources do on the same epochs what a dip does: then it is none of the source's.

An error of the gain, of a calibrator or of a day makes all sources of a field too low together,
which a single light curve cannot tell from a lens. Medians of what the others do, at the same time
(the same field of a drift scan) and on the same day, are held against the dip.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from contimg.variability.ese import LightCurve

WINDOWS_DAYS = (0.02, 0.5)  # from an epoch to those of others
MOST_SOURCES, MOST_AT_ONCE = 2000, 200  # that are asked, evenly among all
LEAST_AT_ONCE = 3
MOST_OF_EPOCHS = 1 / 3
# part of the dip that others show: about one if it is shared, about zero if it is not
SHARED_SCATTER, ALONE_SCATTER = 0.5, 0.15
SHARED_ABOVE = 3.0  # ln of the odds
MOST_KNOWN = 20_000  # medians that are remembered
MEDIAN = np.pi / 2  # variance of a median over that of a mean


@dataclass(frozen=True)
class Company:
    """Relative measurements of many sources in order of time, M in all."""

    mjd: NDArray[np.float64]  # (M,)
    change: NDArray[np.float32]  # (M,) over the median of the source, less one
    variance: NDArray[np.float32]  # (M,)
    source: NDArray[np.int32]  # (M,)
    number: dict[str, int]

    def shares(self, curve: LightCurve, change: NDArray) -> bool:
        """Whether others show the relative `change` (N,) of `curve`, a dip in some of its epochs.

        Of a long one others are not asked: no gain is wrong for so long, but they may well do
        something of their own.
        """
        if np.mean(change < change.min() / 2) > MOST_OF_EPOCHS:
            return False
        return any(self._log_odds(curve, change, days) > SHARED_ABOVE for days in WINDOWS_DAYS)

    def _log_odds(self, curve: LightCurve, change: NDArray, days: float) -> float:
        """ln Bayes factor of a change that others share against one that they do not."""
        own = self.number.get(curve.source, -1)
        seen = [self._median(float(t), days, own) for t in curve.mjd]
        value, variance = np.array(seen).T
        known = np.isfinite(value)
        if known.sum() < LEAST_AT_ONCE:
            return 0.0
        weight, change, value = 1 / variance[known], change[known], value[known]
        change = change - np.average(change, weights=weight)
        norm = float((weight * change**2).sum())
        if norm <= 0:
            return 0.0
        part = float((weight * change * value).sum()) / norm
        # others may vary more than their errors
        excess = float(np.median(weight * (value - np.median(value)) ** 2)) / 0.455
        error2 = max(1.0, excess) / norm
        shared, alone = SHARED_SCATTER**2 + error2, ALONE_SCATTER**2 + error2
        return 0.5 * (part**2 / alone - (part - 1) ** 2 / shared + float(np.log(alone / shared)))

    def _median(self, mjd: float, days: float, own: int) -> tuple[float, float]:
        """Median change of the others within `days` of a time, and its variance."""
        key = mjd, days, own
        if key not in self._known:
            if len(self._known) > MOST_KNOWN:
                self._known.clear()
            self._known[key] = self._median_of(*key)
        return self._known[key]

    @cached_property
    def _known(self) -> dict[tuple[float, float, int], tuple[float, float]]:
        """Medians that have been asked for: the same source is looked at again epoch by epoch."""
        return {}

    def _median_of(self, mjd: float, days: float, own: int) -> tuple[float, float]:
        first, last = np.searchsorted(self.mjd, (mjd - days, mjd + days))
        rows = slice(first, last, max(1, (last - first) // MOST_AT_ONCE))
        others = self.source[rows] != own
        if others.sum() < LEAST_AT_ONCE:
            return np.nan, np.nan
        variance = float(np.mean(self.variance[rows][others])) * MEDIAN / others.sum()
        return float(np.median(self.change[rows][others])), variance


def company_of(curves: list[LightCurve]) -> Company:
    """The company of every source among `curves`, which have a positive median."""
    asked = curves[:: max(1, len(curves) // MOST_SOURCES)]
    level = [float(np.median(c.flux)) for c in asked]
    mjd = np.concatenate([c.mjd for c in asked])
    order = np.argsort(mjd, kind="stable")
    change = [c.flux / m - 1 for c, m in zip(asked, level, strict=True)]
    variance = [(c.error / m) ** 2 for c, m in zip(asked, level, strict=True)]
    source = np.repeat(np.arange(len(asked)), [len(c.mjd) for c in asked])
    return Company(
        mjd[order],
        np.concatenate(change)[order].astype(np.float32),
        np.concatenate(variance)[order].astype(np.float32),
        source[order].astype(np.int32),
        {c.source: k for k, c in enumerate(asked)},
    )
