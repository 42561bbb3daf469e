"""Completeness of the search and the rate of events, from injected dips.

Source-years are those of the sources searched; effective ones are times the completeness. Events
follow a Poisson distribution; intervals of a fraction are those of Clopper & Pearson (1934,
Biometrika 26, 404), central 68 %; limits of rates are upper ones of 95 %.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
from scipy.special import betaincinv, chdtri

# Fiedler et al. 1994 (ApJ 430, 581): ten events in 594 source-years at 2.7 GHz
FIEDLER_EVENTS, FIEDLER_SOURCE_YEARS = 10, 594.0
DAYS = 365.25
ALL = (0.0, np.inf)
DEEP = 0.4  # events whose alerts are timed
DEPTH_BINS = (ALL, (0.1, 0.2), (0.2, DEEP), (DEEP, 1.0))
WIDTH_BINS = (ALL, (0.0, 10.0), (10.0, 30.0), (30.0, 60.0), (60.0, np.inf))
SNR_BINS = (ALL, (0.0, 7.0), (7.0, 15.0), (15.0, 40.0), (40.0, np.inf))
COLUMNS = [
    *("depth_low", "depth_high", "width_low_days", "width_high_days", "snr_low", "snr_high"),
    *("injected", "found", "completeness", "completeness_low", "completeness_high"),
    *("source_years", "effective_source_years", "events", "rate_per_source_year"),
    "rate_upper_95",
]


def table(injected: pd.DataFrame, sources: pd.DataFrame) -> pd.DataFrame:
    """One row a cell of depth, width and signal to noise (``COLUMNS``); all of it comes first.

    `sources` has a row a source that was searched: ``snr`` of an epoch, ``span_days``, whether it
    ``is_candidate``, ``depth``, ``width_days``. Cells without an injection are left out.
    """
    rows = []
    for snr, depth, width in product(SNR_BINS, DEPTH_BINS, WIDTH_BINS):
        inside = _within(injected, depth, width, snr)
        if inside.any():
            here = sources[sources["snr"].between(*snr, inclusive="left")]
            events = here["is_candidate"] & _within(here, depth, width, snr)
            years = float(here["span_days"].sum()) / DAYS
            cell = [*depth, *width, *snr, *_fraction(injected.loc[inside, "found"])]
            rows.append([*cell, years, *rate(years * cell[8], int(events.sum()))])
    return pd.DataFrame(rows, columns=COLUMNS)


def _within(rows: pd.DataFrame, depth, width, snr) -> pd.Series:
    limits = {"depth": depth, "width_days": width, "snr": snr}
    inside = pd.Series(True, index=rows.index)
    for name, (low, high) in limits.items():
        if (low, high) != ALL:
            inside &= rows[name].between(low, high, inclusive="left")
    return inside


def _fraction(found: pd.Series) -> tuple[int, int, float, float, float]:
    """Number, number found, their fraction and its interval."""
    number, good = len(found), int(found.sum())
    return number, good, good / number, *interval(good, number)


def interval(good: int, number: int) -> tuple[float, float]:
    """Central 68 % interval of a fraction."""
    low = float(betaincinv(good, number - good + 1, 0.16)) if good else 0.0
    high = float(betaincinv(good + 1, number - good, 0.84)) if good < number else 1.0
    return low, high


def rate(source_years: float, events: int) -> tuple[float, int, float, float]:
    """Effective source-years, events, their rate and its upper limit [per source and year]."""
    if source_years <= 0:
        return source_years, events, np.nan, np.nan
    limit = 0.5 * float(chdtri(2 * (events + 1), 0.05))
    return source_years, events, events / source_years, limit / source_years


def latency(injected: pd.DataFrame) -> dict[str, float | int | None]:
    """How soon the events of ``DEEP`` and more were found, as parts of all of them."""
    deep = injected[injected["depth"] >= DEEP]
    epochs = deep["epochs_to_alert"].dropna()
    return {
        "injected": len(deep),
        "found": int(deep["found"].sum()),
        "before_minimum": int((deep["before_minimum"] == 1).sum()),
        "median_epochs_after_ingress": float(epochs.median()) if len(epochs) else None,
    }
