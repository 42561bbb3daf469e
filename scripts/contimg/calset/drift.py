"""``contimg calset drift``: how calibration changes through all calsets of a run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from contimg.calset.change import Change, change, judge_change, solved_names
from contimg.calset.draw_drift import draw_drift, drift_page
from contimg.calset.measure import delays_ns
from contimg.calset.options import CalsetValidationOptions
from contimg.calset.read import Calset, read_calset
from contimg.core.command import Command, Files
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.records import Check, atomic, worst, write_record, write_text
from contimg.core.robust import median


class DriftFiles(Files):
    """Inputs (records of solutions; their tables lie beside them) and outputs."""

    solutions: list[Path] = Field(
        min_length=1, description="records of the calsets, or a directory below which all are"
    )
    table: Path = Field(description="table to write (CSV), one row a calset and feed")
    plot: Path = Field(description="picture to write")
    page: Path = Field(description="page to write")
    record: Path = Field(description="JSON record to write")


def _records(path: Path) -> list[Path]:
    """A record, or all that lie below a directory (a day, a calset)."""
    return sorted(path.glob("*/*/solutions.json")) if path.is_dir() else [path]


def run(files: DriftFiles, options: CalsetValidationOptions) -> None:
    """Compare every calset with the reference set."""
    solutions = [record for path in files.solutions for record in _records(path)]
    calsets, left_out = read_all(solutions)
    first = reference_set(calsets, options.reference)
    antenna = reference_antenna(calsets, first)
    changes: dict[str, Change] = {}
    for calset in calsets:
        if antenna in solved_names(calset):
            changes[calset.name] = change(first, calset, antenna)
        else:
            left_out[calset.name] = f"the reference antenna {antenna} has no solutions"
    kept = [calset for calset in calsets if calset.name in changes]
    rows = tabulate(kept, changes)
    sets = [_of_set(calset, changes[calset.name], options) for calset in kept]
    checks = _worst_of_each(
        [
            judge_change(changes[calset.name], options)
            for calset in kept
            if calset.name != first.name
        ]
    )
    checks.append(
        Check(
            metric="calsets left out",
            value=float(len(left_out)),
            unit="",
            limit="warn if > 0",
            verdict="warn" if left_out else "pass",
            reason="; ".join(f"{name}: {why}" for name, why in left_out.items()),
        )
    )
    with atomic(files.table) as partial:
        rows.to_csv(partial, index=False, float_format="%.6g")
    about = f"against {first.name}, phases against {antenna}"
    draw_drift(rows, about, options, files.plot)
    pages = {
        path.parent.name: f"{path.parent.parent.name}/{path.parent.name}/{path.parent.name}.html"
        for path in solutions
    }
    odd = beyond(rows, options)
    write_text(files.page, drift_page(about, checks, sets, odd, left_out, pages, files.plot))
    write_record(
        files.record,
        product=files.record.stem,
        stage="calset drift",
        data={
            "reference_set": first.name,
            "reference": antenna,
            "calsets": sets,
            "beyond": odd,
            "left_out": left_out,
        },
        checks=checks,
        options=[options],
        inputs=solutions,
    )
    print(f"{len(kept)} calsets {about}: {worst(checks)}")


def read_all(solutions: list[Path]) -> tuple[list[Calset], dict[str, str]]:
    """The calsets that did not fail, in order of time; why the others are left out, by name."""
    calsets, left_out = [], {}
    for path in solutions:
        try:
            calset = read_calset(path)
        except DataQualityError as error:
            left_out[path.parent.name] = str(error)
            continue
        if calset.record["verdict"] == "fail":
            left_out[calset.name] = f"failed: {calset.record['reason']}"
        else:
            calsets.append(calset)
    if not calsets:
        raise DataQualityError("no calset passes: " + "; ".join(left_out.values()))
    return sorted(calsets, key=lambda c: (c.data["mjd"], c.name)), left_out


def reference_set(calsets: list[Calset], name: str | None) -> Calset:
    """The calset of that name, or the first."""
    if name is None:
        return calsets[0]
    for calset in calsets:
        if calset.name == name:
            return calset
    raise ContimgError(f"calset_validation.reference: no usable calset {name}")


def reference_antenna(calsets: list[Calset], first: Calset) -> str:
    """The antenna of `first` that most calsets have solved; among equals its own reference.

    One for all: a phase that jumps because the reference changed would look like a drift.
    """
    mine = solved_names(first)
    count = Counter(name for calset in calsets for name in solved_names(calset))
    return max(mine, key=lambda n: (count[n], n == first.data["refant"], -mine.index(n)))


def tabulate(calsets: list[Calset], changes: dict[str, Change]) -> pd.DataFrame:
    """One row a calset, antenna and correlation."""
    tables = []
    for calset in calsets:
        found = changes[calset.name]
        rows = [calset.antennas.index(name) for name in found.names]
        delay = delays_ns(calset)
        delay = (delay - delay[calset.antennas.index(found.reference)])[rows]
        n, correlations = len(found.names), calset.correlations
        tables.append(
            pd.DataFrame(
                {
                    "calset": calset.name,
                    "mjd": calset.data["mjd"],
                    "antenna": np.repeat(found.names, len(correlations)),
                    "correlation": correlations * n,
                    "delay_ns": delay.ravel(),
                    "delay_change_ns": found.delay_ns.ravel(),
                    "amplitude_ratio": found.amplitude.ravel(),
                    "phase_change_deg": found.phase_deg.ravel(),
                    "bandpass_rms": found.bandpass.ravel(),
                    "bandpass_phase_rms_deg": found.bandpass_phase_deg.ravel(),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def beyond(rows: pd.DataFrame, options: CalsetValidationOptions) -> list[dict[str, Any]]:
    """Antennas that changed by more than a limit, with their largest change and its calset.

    The limits are those of the median feed; one antenna beyond them is no verdict on the array.
    """
    limits = (
        ("delay_change_ns", 0.0, options.max_delay_change_ns),
        ("amplitude_ratio", 1.0, options.max_amplitude_drift),
        ("phase_change_deg", 0.0, options.max_phase_drift_deg),
        ("bandpass_rms", 0.0, options.max_bandpass_change),
    )
    found = []
    for column, unchanged, limit in limits:
        size = (rows[column] - unchanged).abs()
        far = rows.assign(size=size)[size > limit].sort_values("size", ascending=False)
        for row in far.drop_duplicates("antenna").to_dict("records"):
            found.append(
                {
                    "antenna": row["antenna"],
                    "quantity": column,
                    "largest": row[column],
                    "calset": row["calset"],
                }
            )
    return found


def _of_set(calset: Calset, found: Change, options: CalsetValidationOptions) -> dict[str, Any]:
    """Medians of one calset's changes."""
    checks = judge_change(found, options)
    return {
        "calset": calset.name,
        "mjd": calset.data["mjd"],
        "calibrator": calset.data["calibrator"],
        "verdict": worst(checks),
        "antennas": len(found.names),
        "delay_change_ns": _middle(np.abs(found.delay_ns)),
        "amplitude_change": _middle(np.abs(found.amplitude - 1)),
        "phase_change_deg": _middle(np.abs(found.phase_deg)),
        "bandpass_rms": _middle(found.bandpass),
        "flux_scale": found.flux_scale,
    }


def _middle(values: NDArray[np.float64]) -> float | None:
    """Median ignoring NaN; None of nothing else: a record holds no NaN."""
    middle = float(median(values))
    return middle if np.isfinite(middle) else None


def _worst_of_each(checks: list[list[Check]]) -> list[Check]:
    """Of the checks of several calsets the one with the largest value, metric by metric."""
    return [max(same, key=lambda c: c.value or 0.0) for same in zip(*checks, strict=True)]


COMMAND = Command(
    help="Show how delays, gains and bandpasses change through the calsets of a run.",
    files=DriftFiles,
    options=(CalsetValidationOptions,),
    run=run,
    outputs=("table", "plot", "page", "record"),
    record="record",
)
