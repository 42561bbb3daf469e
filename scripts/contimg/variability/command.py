"""``contimg variability``: how every source varies, and which may be seen through a lens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from contimg.core.catalog import read_sources
from contimg.core.command import Command, Files
from contimg.core.errors import ContimgError
from contimg.core.parquet import write_parquet
from contimg.core.records import atomic, check, require, write_record
from contimg.variability import plots
from contimg.variability.alerts import write_alerts
from contimg.variability.bands import Parts
from contimg.variability.ese import LightCurve, unsearchable
from contimg.variability.event import Event
from contimg.variability.numbers import Numbers, page, summary
from contimg.variability.numbers import measure as measure_search
from contimg.variability.options import VariabilityOptions
from contimg.variability.products import (
    candidate_table,
    choose,
    source_table,
    write_candidates,
    write_table,
)
from contimg.variability.search import Search, search_all
from contimg.variability.spectral import parts_of
from contimg.variability.stored import POSITION, Stored, read_curves, references, rows_of

WARN_VARIABLE = 0.3  # of all sources: so many do not vary, their errors are too small
VARIABLE_P = 0.001
SHOWN_WITHOUT_CANDIDATES = 8


class VariabilityFiles(Files):
    """Light curves in, sources and candidates out."""

    lightcurves: Path = Field(description="light curves (Parquet)")
    lightcurves_record: Path = Field(description="their record (JSON)")
    catalog: Path | None = Field(
        None, description="source table with positions, for light curves that have none"
    )
    photometry: Path | None = Field(
        None, description="folder of the photometry tables, for the colour of dips"
    )
    sources: Path = Field(description="table of sources to write (Parquet)")
    candidates: Path = Field(description="ESE candidates to write (CSV)")
    candidates_ecsv: Path = Field(description="the same (ECSV)")
    candidates_vot: Path = Field(description="the same (VOTable)")
    completeness: Path = Field(description="completeness and rates to write (CSV)")
    false_alarms: Path = Field(description="light curves without a dip to write (CSV)")
    plot: Path = Field(description="page of candidates to write (PNG)")
    search_plot: Path = Field(description="page of the search itself to write (PNG)")
    alerts: Path | None = Field(
        None, description="folder of alert packets (JSON), to which new ones are added"
    )
    record: Path = Field(description="record to write (JSON)")
    threads: int = Field(1, ge=1, description="processes; their number does not change the result")


def run(files: VariabilityFiles, options: VariabilityOptions) -> None:
    """Measure every source, search the light curves, write what was found."""
    require(files.lightcurves_record)
    stored = read_curves(files.lightcurves, files.lightcurves_record)
    curves, position = stored.curves, positions(stored, files)
    found = search_all(curves, options, files.threads, progress=True)
    events = found.events(_parts(files, found), files.threads) if found else {}
    sources = measure(curves, position, events, options, files.threads)
    threshold = candidate_threshold(events, options)
    candidates = candidate_table(sources, threshold, options.high_priority_factor)
    with atomic(files.sources) as partial:
        write_parquet(sources, partial)
    write_candidates(candidates, files.candidates, files.candidates_ecsv, files.candidates_vot)
    numbers = measure_search(found, sources, files.threads, progress=True)
    for made, path in ((numbers.table, files.completeness), (numbers.without, files.false_alarms)):
        write_table(made, path)
    _plot(files, sources, events, len(candidates))
    page(numbers, files.search_plot)
    _write_record(files, options, sources, len(events), threshold, numbers)
    if files.alerts is not None:
        last = {c.source: float(c.mjd[-1]) for c in curves if len(c.mjd)}
        for alert in write_alerts(candidates, sources, last, files.alerts):
            print(f"alert {alert.kind}: {alert.source} {alert.reason}".rstrip())


def positions(stored: Stored, files: VariabilityFiles) -> dict[str, tuple[float, float]]:
    """ICRS positions [deg] by source, from the light curves or else from the catalogue."""
    if stored.positions is not None:
        first = stored.positions
    elif files.catalog is not None:
        first = read_sources(files.catalog).set_index("name")[POSITION]
    else:
        raise ContimgError(f"{files.lightcurves}: has no positions; give --catalog")
    lost = sorted({c.source for c in stored.curves} - set(first.index))
    if lost:
        raise ContimgError(f"{files.catalog}: lacks the source {lost[0]} of the light curves")
    return {str(name): (float(ra), float(dec)) for name, ra, dec in first.itertuples()}


def candidate_threshold(events: dict[str, Event], options: VariabilityOptions) -> float:
    """False-alarm probability of one source that gives the declared number for the run."""
    return options.false_alarm_probability / max(1, len(events))


def measure(
    curves: list[LightCurve],
    position: dict[str, tuple[float, float]],
    events: dict[str, Event],
    options: VariabilityOptions,
    workers: int = 1,
) -> pd.DataFrame:
    """The table of sources."""

    def reason_of(curve: LightCurve) -> str:
        return "" if curve.source in events else unsearchable(curve, options)

    sources = source_table(curves, events, reason_of, options, workers)
    at = np.array([position[c.source] for c in curves]).reshape(-1, 2)
    for place, name in enumerate(POSITION):
        sources.insert(1 + place, name, at[:, place])
    return choose(sources, options.false_alarm_probability, options.watch_fdr)


def _parts(files: VariabilityFiles, found: Search) -> dict[str, Parts]:
    """Parts of the band of the sources in which a dip is possible, where they were measured."""
    dips = found.dips()
    if files.photometry is None or not dips:
        return {}
    names = dips | references(files.lightcurves, files.lightcurves_record)
    columns = ["flag", "is_reference", "gain"]
    table = rows_of(files.lightcurves, files.lightcurves_record, names, columns)
    return parts_of(files.photometry, table, dips)


def _plot(
    files: VariabilityFiles, sources: pd.DataFrame, events: dict[str, Event], number: int
) -> None:
    """Candidates, or the nearest to being one when there is none."""
    searched = sources[sources["source"].isin(list(events))].sort_values(
        ["ese_false_alarm_probability", "ese_log_bayes_factor"],
        ascending=[True, False],
        kind="stable",
    )
    shown = searched.head(max(number, SHOWN_WITHOUT_CANDIDATES))
    models = {name: events[name] for name in shown["source"]}
    columns = ["flux_norm_jy", "flux_norm_err_jy", "flag"]
    table = rows_of(files.lightcurves, files.lightcurves_record, list(models), columns)
    plots.candidate_page(table, shown, models, files.plot)


def _write_record(
    files: VariabilityFiles,
    options: VariabilityOptions,
    sources: pd.DataFrame,
    searched: int,
    threshold: float,
    numbers: Numbers,
) -> None:
    tested = sources["p_constant"].notna()
    varying = float((sources["p_constant"][tested] < VARIABLE_P).mean()) if tested.any() else 0.0
    write_record(
        files.record,
        product="variability",
        stage="variability",
        checks=[
            check("sources_searched", float(searched), warn_below=1),
            check("fraction_variable", varying, warn_above=WARN_VARIABLE),
            *numbers.checks,
        ],
        data={
            "sources": len(sources),
            "searched": searched,
            "candidates": int(sources["is_candidate"].sum()),
            "watched": int((sources["list"] == "watch").sum()),
            "classes": sources["class"].value_counts().sort_index().to_dict(),
            "expected_false_candidates": options.false_alarm_probability,
            "false_alarm_threshold": threshold,
            "median_eta": float(sources["eta"].median()) if tested.any() else None,
            **summary(numbers),
        },
        options=(options,),
        inputs=[
            p for p in (files.lightcurves, files.lightcurves_record, files.catalog) if p is not None
        ],
    )


COMMAND = Command(
    help="Measure how sources vary and search them for extreme scattering events.",
    files=VariabilityFiles,
    options=(VariabilityOptions,),
    run=run,
    outputs=(
        *("sources", "candidates", "candidates_ecsv", "candidates_vot", "completeness"),
        *("false_alarms", "plot", "search_plot", "record"),
    ),
    record="record",
)
