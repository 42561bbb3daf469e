"""Numbers that a paper needs of a search: false alarms, completeness, rate, latency."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from contimg.core.pictures import write_picture
from contimg.core.records import Check
from contimg.variability import completeness, falsealarms, injection
from contimg.variability.completeness import DEPTH_BINS, FIEDLER_EVENTS, FIEDLER_SOURCE_YEARS
from contimg.variability.search import Search


@dataclass(frozen=True)
class Numbers:
    """What injections and light curves without a dip say of a search."""

    injected: pd.DataFrame  # columns of `injection.COLUMNS`
    without: pd.DataFrame  # columns of `falsealarms.COLUMNS`
    table: pd.DataFrame  # columns of `completeness.COLUMNS`
    checks: list[Check]


def measure(
    search: Search | None, sources: pd.DataFrame, workers: int, *, progress: bool = False
) -> Numbers:
    """From ``injections`` dips and as many light curves without; empty where there are none.

    `sources` is the table of sources with ``source, is_candidate, depth, width_days``.
    """
    number = search.options.injections if search else 0
    if search is None or not number:
        blank = [pd.DataFrame(columns=m.COLUMNS) for m in (injection, falsealarms, completeness)]
        return Numbers(*blank, [])
    announced = set(sources.loc[sources["is_candidate"], "source"])
    injected = injection.inject(search, number, announced, workers, progress=progress)
    without = falsealarms.simulate(search, number, workers, progress=progress)
    table = completeness.table(injected, _searched(search, sources))
    return Numbers(injected, without, table, falsealarms.judged(without, search.null.agreement))


def _searched(search: Search, sources: pd.DataFrame) -> pd.DataFrame:
    """Signal to noise of an epoch, length, and the event of every source searched."""
    rows = [
        (c.source, float(np.median(c.flux) / np.median(c.error)), float(np.ptp(c.mjd)))
        for c in search.curves
    ]
    found = pd.DataFrame(rows, columns=["source", "snr", "span_days"])
    return found.merge(sources[["source", "is_candidate", "depth", "width_days"]], on="source")


def summary(numbers: Numbers) -> dict[str, Any]:
    """For the record; empty where nothing was injected."""
    if numbers.table.empty:
        return {}
    whole = numbers.table.iloc[0]
    rivals = numbers.without[numbers.without["kind"] != "population"]
    names = ("injected", "found", "completeness", "source_years", "effective_source_years")
    names += ("events", "rate_per_source_year", "rate_upper_95")
    values = {name: float(whole[name]) for name in names}
    counts = {name: int(whole[name]) for name in ("injected", "found", "events")}
    return {
        "completeness": {n: v if np.isfinite(v) else None for n, v in values.items()} | counts,
        "latency_above_40_percent": completeness.latency(numbers.injected),
        "rivals": {
            kind: {"simulated": len(rows), "announced": int(rows["announced"].sum())}
            for kind, rows in rivals.groupby("kind")
        },
    }


def page(numbers: Numbers, path: Path) -> None:
    """Quantiles of p, injected dips found and not, completeness, and the limits of the rate."""
    figure = Figure(figsize=(16, 4.2))
    figure.subplots_adjust(left=0.05, right=0.98, bottom=0.14, top=0.88, wspace=0.25)
    axes = figure.subplots(1, 4)
    _quantiles(axes[0], numbers.without)
    _dips(axes[1], numbers.injected)
    _fractions(axes[2], numbers.table)
    _rates(axes[3], numbers.table)
    write_picture(figure, path, dpi=90)


def _quantiles(axis, without: pd.DataFrame) -> None:
    rows = without[without["kind"] == "population"]
    p = np.sort(rows["false_alarm_probability"].to_numpy(dtype=float))
    axis.set(title="light curves without a dip", xlabel="part of them", ylabel="p")
    if len(p):
        axis.loglog((np.arange(len(p)) + 0.5) / len(p), p, ".")
        low = min(0.5 / len(p), p[0])
        axis.plot((low, 1), (low, 1), color="0.7", lw=0.8)


def _dips(axis, injected: pd.DataFrame) -> None:
    axis.set(title="injected dips", xlabel="width [days]", ylabel="depth", xscale="log")
    for found, style in ((True, "C0o"), (False, "C3x")):
        rows = injected[injected["found"].astype(bool) == found]
        axis.plot(rows["width_days"], rows["depth"], style, ms=4, label=("lost", "found")[found])
    axis.xaxis.set_minor_formatter(NullFormatter())
    if len(injected):
        axis.legend(fontsize=7)


def _whole(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of all signal-to-noise ratios, a depth each, all widths."""
    infinite = np.isinf(table[["width_high_days", "snr_high"]].to_numpy(dtype=float)).all(axis=1)
    zero = (table[["width_low_days", "snr_low"]] == 0).all(axis=1)
    return table[infinite & zero]


def _fractions(axis, table: pd.DataFrame) -> None:
    axis.set(title="completeness by depth", ylim=(0, 1.05), ylabel="part found (68 %)")
    rows = _whole(table)
    place = np.arange(len(rows))
    value = rows["completeness"].to_numpy(dtype=float)
    low, high = (rows[f"completeness_{n}"].to_numpy(dtype=float) for n in ("low", "high"))
    axis.errorbar(place, value, np.abs([value - low, high - value]), fmt="o")
    axis.set_xticks(place, [_label(row) for _, row in rows.iterrows()], fontsize=7)


def _rates(axis, table: pd.DataFrame) -> None:
    """Arrows are upper limits, the line Fiedler et al. 1994."""
    axis.set(title="events a source and year", yscale="log")
    fiedler = FIEDLER_EVENTS / FIEDLER_SOURCE_YEARS
    axis.axhline(fiedler, color="0.6", lw=0.8, label="Fiedler et al. 1994")
    rows = _whole(table)
    for place, (_, row) in enumerate(rows.iterrows()):
        if np.isfinite(row["rate_upper_95"]):
            axis.plot(place, row["rate_upper_95"], "C0v")
        if row["events"] and np.isfinite(row["rate_per_source_year"]):
            axis.plot(place, row["rate_per_source_year"], "C0o")
    axis.set_xticks(range(len(rows)), [_label(row) for _, row in rows.iterrows()], fontsize=7)
    axis.legend(fontsize=7)


def _label(row: pd.Series) -> str:
    if (row["depth_low"], row["depth_high"]) == DEPTH_BINS[0]:
        return "all"
    return f"{100 * row['depth_low']:.0f}-{100 * row['depth_high']:.0f} %"
