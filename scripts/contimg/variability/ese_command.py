"""``contimg ese``: search any table of light curves for extreme scattering events."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from contimg.core.command import Command, Files
from contimg.variability.bands import Measured, Parts, split, together, well_measured
from contimg.variability.doubt import block_odds
from contimg.variability.ese import LightCurve, unsearchable
from contimg.variability.event import Event
from contimg.variability.numbers import measure
from contimg.variability.options import VariabilityOptions
from contimg.variability.products import (
    CANDIDATES,
    candidate_table,
    choose,
    source_table,
    write_table,
)
from contimg.variability.search import Search, search_all
from contimg.variability.tables import Measurements, read_measurements

SHOWN = 10
POSITION = ("ra_deg", "dec_deg")


class EseFiles(Files):
    """Light curves in, sources and candidates out; the name of a file tells its format."""

    lightcurves: Path = Field(
        description="table of light curves (.csv, .ecsv, .parquet, .vot) with the columns source, "
        "mjd, flux_jy, flux_err_jy and, for several bands, freq_hz; or qa_warning (true, false); "
        "or strip (any name of the pointing or setup)"
    )
    sources: Path = Field(description="table of sources to write (.parquet, .csv, .ecsv, .vot)")
    candidates: Path = Field(description="table of candidates to write (likewise)")
    completeness: Path | None = Field(
        None, description="completeness and rates to write (likewise), from injected dips"
    )
    false_alarms: Path | None = Field(
        None, description="light curves simulated without a dip to write (likewise)"
    )
    threads: int = Field(2, ge=1, description="processes; their number does not change the result")


def run(files: EseFiles, options: VariabilityOptions) -> None:
    """Read, search, write, and say what was found."""
    data = read_measurements(files.lightcurves)
    curves, parts = curves_of(data)
    print(f"{len(curves)} sources, {len(data.rows)} measurements", file=sys.stderr, flush=True)
    found = search_all(curves, options, files.threads, progress=True)
    events = found.events(parts, files.threads) if found else {}
    sources = _measure(curves, data.reasons, events, options, files.threads)
    threshold = options.false_alarm_probability / max(1, len(events))
    candidates = candidate_table(sources, threshold, options.high_priority_factor)
    write_table(sources, files.sources)
    columns = [n for n in CANDIDATES if n not in POSITION]
    write_table(candidates.reindex(columns=columns), files.candidates)
    _tell(sources, candidates)
    if files.completeness is not None or files.false_alarms is not None:
        _numbers(files, found, sources)


def _measure(
    curves: list[LightCurve],
    reasons: dict[str, str],
    events: dict[str, Event],
    options: VariabilityOptions,
    workers: int,
) -> pd.DataFrame:
    """The table of sources; `reasons` say what was left out of each."""

    def reason_of(curve: LightCurve) -> str:
        why = "" if curve.source in events else unsearchable(curve, options)
        return "; ".join(filter(None, (why, reasons.get(curve.source, ""))))

    sources = source_table(curves, events, reason_of, options, workers)
    return choose(sources, options.false_alarm_probability, options.watch_fdr)


def _numbers(files: EseFiles, found: Search | None, sources: pd.DataFrame) -> None:
    """Completeness and false alarms of the search, where they are asked for."""
    numbers = measure(found, sources, files.threads, progress=True)
    for made, path in ((numbers.table, files.completeness), (numbers.without, files.false_alarms)):
        if path is not None:
            write_table(made, path)
    for line in numbers.checks:
        if line.verdict != "pass":
            print(f"{line.metric}: {line.reason}")


def curves_of(data: Measurements) -> tuple[list[LightCurve], dict[str, Parts]]:
    """Light curves of all sources, empty ones too, and the parts of the band by source."""
    curves, parts = [], {}
    names = ("mjd", "flux_jy", "flux_err_jy", "freq_hz")
    columns = [data.rows[n].to_numpy() for n in names if n in data.rows.columns]
    of_epochs = _of_epochs(data)
    code = data.rows["source"].cat.codes.to_numpy()
    edges = np.searchsorted(code, np.arange(len(data.sources) + 1))
    for source, first, last in zip(data.sources, edges[:-1], edges[1:], strict=True):
        values = [column[first:last] for column in columns]
        own = {name: column[first:last] for name, column in of_epochs.items()}
        if len(columns) == len(names) and first < last:
            own = _largest(values[0], own)
            values, parts_here = _joined(Measured(*values))
            parts |= {} if parts_here is None else {source: parts_here}
            own = {n: np.interp(values[0], *largest) for n, largest in own.items()}
        if "strip" in own:
            own["strip"] = np.round(own["strip"]).astype(int)
        curves.append(LightCurve(source, *values[:3], **own))
    return curves, parts


def _of_epochs(data: Measurements) -> dict[str, np.ndarray]:
    """What else is known of the epochs of light curves, by the name of its field."""
    found = {}
    if "qa_warning" in data.rows.columns:
        found["block_odds"] = block_odds(data.rows["qa_warning"].to_numpy())
    if "strip" in data.rows.columns:
        found["strip"] = data.rows["strip"].to_numpy()
    return found


def _largest(mjd: np.ndarray, own: dict[str, np.ndarray]) -> dict[str, tuple]:
    """The times of epochs, and the largest of what is known of the parts of each."""
    first = np.flatnonzero(np.diff(mjd, prepend=-np.inf))
    return {name: (mjd[first], np.maximum.reduceat(v, first)) for name, v in own.items()}


def _joined(rows: Measured) -> tuple[Sequence[np.ndarray], Parts | None]:
    """Times, flux densities and errors of one source, of several parts of the band if it has."""
    several = well_measured(rows)
    if len(np.unique(several.freq_hz)) > 1:
        return together(several), split(several)
    one = several if len(several.mjd) else rows.where(np.diff(rows.mjd, prepend=-np.inf) > 0)
    return one[:3], None


def _tell(sources: pd.DataFrame, candidates: pd.DataFrame) -> None:
    counts = sources["class"].value_counts()
    print("classes: " + ", ".join(f"{name} {number}" for name, number in counts.items()))
    announced = int(sources["is_candidate"].sum())
    print(f"candidates: {announced} announced, {len(candidates) - announced} to watch")
    for row in candidates.head(SHOWN).to_dict("records"):
        print(
            f"  {row['rank']:3d} {row['list']:8s} {row['source']}  "
            f"p = {row['false_alarm_probability']:.2g}  "
            f"depth {row['depth']:.2f} +- {row['depth_err']:.2f}  "
            f"MJD {row['t0_mjd']:.1f}  width {row['width_days']:.1f} days"
        )


COMMAND = Command(
    help="Search any table of light curves for extreme scattering events.",
    files=EseFiles,
    options=(VariabilityOptions,),
    run=run,
)
