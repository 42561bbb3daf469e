"""Tables of sources and candidates, and the formats they are written in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.core.errors import ContimgError
from contimg.core.export import astropy_table, votable_text
from contimg.core.parquet import write_parquet
from contimg.core.records import atomic
from contimg.variability import metrics
from contimg.variability.columns import CANDIDATES, DIP
from contimg.variability.ese import LightCurve
from contimg.variability.event import NAMES, VALUES, Event
from contimg.variability.options import VariabilityOptions
from contimg.variability.pairs import largest_pair, p_largest_pair
from contimg.variability.parallel import parallel_map
from contimg.variability.terms import terms_of

ERRORS = {"t0_mjd": "t0_err_days", "width_days": "width_err_days"}
ERRORS |= {"baseline_jy": "baseline_err_jy", "minimum_flux_jy": "minimum_flux_err_jy"}
MIN_SNR = 5.0  # of a mean flux over the error of one epoch: below, V and m say nothing
METRICS = (
    "mean_flux_jy",
    "mean_flux_err_jy",
    "v",
    "eta",
    "p_constant",
    "vs_max",
    "m_at_vs_max",
    "vs_mjd_1",
    "vs_mjd_2",
    "p_vs_max",
    "m_debiased",
    "m_debiased_err",
    "m_upper",
)
NOT_SEARCHED = "not_searched"
ROWS = 20_000  # of the table of sources that are made at a time


def source_row(
    curve: LightCurve, metrics: dict[str, float], event: Event | None, reason: str = ""
) -> dict[str, object]:
    """Everything known of one source, `metrics` as :func:`measured`; ``nan`` where there are too
    few epochs for it."""
    row: dict[str, object] = {"source": curve.source, "n_epochs": len(curve.mjd), **metrics}
    row["class"] = NOT_SEARCHED if event is None else event.kind
    row["ese_false_alarm_probability"] = np.nan if event is None else event.false_alarm_probability
    row["ese_log_bayes_factor"] = np.nan if event is None else event.log_factor
    for name in NAMES:
        row[f"probability_{name}"] = np.nan if event is None else event.probability[name]
    row |= dict.fromkeys(DIP, np.nan)
    if event is not None:
        for name in VALUES:
            row[name] = event.values[name].value
            row[ERRORS.get(name, f"{name}_err")] = event.values[name].error
        row["n_in_dip"] = float(event.n_in_dip)
        if event.colour is not None:
            row |= {"colour": event.colour.value, "colour_err": event.colour.error}
    row["reason"] = reason
    return row


def measured(curve: LightCurve, options: VariabilityOptions) -> dict[str, float]:
    """The variability metrics; V and m only of sources bright enough for a relative change.

    What strips and other terms of the light curve most probably add is taken from it first.
    """
    row = dict.fromkeys(METRICS, np.nan)
    if not len(curve.flux):
        return row
    flux, error, amplitudes, mean_error = _less_terms(curve, options)
    row["mean_flux_jy"], row["mean_flux_err_jy"] = metrics.weighted_mean(flux, error)[0], mean_error
    if len(flux) < 2:
        return row
    vs, m, first, second = largest_pair(flux, error)
    row |= {
        "eta": metrics.eta(flux, error, amplitudes),
        "p_constant": metrics.p_constant(flux, error, amplitudes),
        "vs_max": vs,
        "vs_mjd_1": curve.mjd[first],
        "vs_mjd_2": curve.mjd[second],
        "p_vs_max": p_largest_pair(vs, len(flux)),
    }
    if row["mean_flux_jy"] > 0:
        row["m_upper"] = metrics.modulation_limit(flux, error)
    if row["mean_flux_jy"] > MIN_SNR * np.median(error):
        row |= {"v": metrics.modulation(flux), "m_at_vs_max": m}
        value, uncertain = metrics.debiased_modulation(flux, error)
        row |= {"m_debiased": value, "m_debiased_err": uncertain}
    return row


def _less_terms(
    curve: LightCurve, options: VariabilityOptions
) -> tuple[NDArray, NDArray, NDArray, float]:
    """Flux densities less the terms (N,) and their errors [Jy], amplitudes of the terms (R,), and
    the error of the mean [Jy]."""
    flux, error = curve.flux, curve.error
    terms = terms_of(curve.mjd, curve.strip, options)
    if terms is None:
        return flux, error, np.zeros(0), metrics.weighted_mean(flux, error)[1]
    shapes = max(float(np.median(flux)), 0.0) * terms
    amplitudes, mean_error = metrics.offsets(flux, error, shapes)
    return flux - shapes @ amplitudes, error, amplitudes, mean_error


def source_table(
    curves: list[LightCurve],
    events: dict[str, Event],
    reason_of: Callable[[LightCurve], str],
    options: VariabilityOptions,
    workers: int,
) -> pd.DataFrame:
    """The rows of all sources; `reason_of` says why one was not searched, and what else there is.

    Made in parts: rows that are no table yet take ten times the memory.
    """
    parts = []
    for first in range(0, len(curves), ROWS):
        some = curves[first : first + ROWS]
        metrics = parallel_map(measured, some, (options,), workers)
        rows = [
            source_row(c, own, events.get(c.source), reason_of(c))
            for c, own in zip(some, metrics, strict=True)
        ]
        parts.append(pd.DataFrame(rows))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def choose(sources: pd.DataFrame, expected: float, watch_fdr: float) -> pd.DataFrame:
    """`sources` with ``list`` and ``is_candidate``.

    Announced are events with at most `expected` false ones in the run; watched, those that keep
    the rate of false discoveries at `watch_fdr` (Benjamini & Hochberg 1995, J. R. Stat. Soc. B
    57, 289), among them achromatic dips, and dips that another class explains nearly as well.
    """
    p = sources["ese_false_alarm_probability"].to_numpy(dtype=float)
    searched = np.isfinite(p)
    number = max(int(searched.sum()), 1)
    ordered = np.sort(p[searched])
    passed = np.flatnonzero(ordered <= watch_fdr * np.arange(1, len(ordered) + 1) / number)
    limit = ordered[passed[-1]] if len(passed) else -1.0
    ese = (sources["class"] == "ese").to_numpy()
    probable = sources["probability_ese"].to_numpy(dtype=float) > 0.5
    dip = ese | probable | (sources["class"] == "achromatic_dip").to_numpy()
    announced = ese & searched & (p < expected / number)
    watched = dip & searched & ~announced & ((p <= limit) | (p < expected / number))
    return sources.assign(
        list=np.where(announced, "announce", np.where(watched, "watch", "")),
        is_candidate=announced,
    )


def candidate_table(sources: pd.DataFrame, threshold: float, high_below: float) -> pd.DataFrame:
    """The listed among `sources`, those announced first, the least probable false alarms first."""
    found = sources[sources["list"] != ""].sort_values(
        ["list", "ese_false_alarm_probability", "ese_log_bayes_factor", "source"],
        ascending=[True, True, False, True],
    )
    probability = found["ese_false_alarm_probability"]
    high = np.where(probability < high_below * threshold, "high", "medium")
    table = pd.DataFrame(
        {
            **{n: found[f"ese_{n}"] for n in CANDIDATES if f"ese_{n}" in found.columns},
            **{n: found[n] for n in CANDIDATES if n in found.columns},
            "rank": np.arange(1, len(found) + 1),
            "priority": np.where(found["list"] == "announce", high, "low"),
        }
    )
    table["n_in_dip"] = table["n_in_dip"].astype(int)
    columns = [name for name in CANDIDATES if name in table.columns]
    return table[columns].reset_index(drop=True)


def write_candidates(table: pd.DataFrame, csv: Path, ecsv: Path, vot: Path) -> None:
    """The same candidates as CSV, ECSV and VOTable; valid with no row, too."""
    for path in (csv, ecsv, vot):
        write_table(table, path)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """A table in the format its name asks for; units and UCDs where the format has them."""
    suffix = path.suffix.lower()
    with atomic(path) as partial:
        if suffix in {".parquet", ".pq"}:
            write_parquet(table, partial)
        elif suffix == ".csv":
            table.to_csv(partial, index=False)
        elif suffix == ".ecsv":
            astropy_table(table, CANDIDATES).write(partial, format="ascii.ecsv")
        elif suffix in {".vot", ".votable", ".xml"}:
            words = "candidates for extreme scattering events"
            partial.write_text(votable_text(table, "candidates", words, CANDIDATES))
        else:
            raise ContimgError(f"{path}: name it .parquet, .csv, .ecsv or .vot")
