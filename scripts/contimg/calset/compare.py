"""``contimg calset compare``: two calsets, antenna by antenna."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from contimg.calset.change import Change, change, common_reference, judge_change
from contimg.calset.draw import DPI, titled
from contimg.calset.options import CalsetValidationOptions
from contimg.calset.panels import Antennas, strip
from contimg.calset.read import Calset, find_solutions, read_calset
from contimg.core.command import Command, Files
from contimg.core.pictures import write_picture
from contimg.core.records import atomic, write_record


class CompareFiles(Files):
    """The two calsets, and what to write."""

    calsets: list[str] = Field(
        description="two calsets, the second against the first: names, folders or records"
    )
    results: str = Field("results", description="results directory, for names")
    table: Path | None = Field(None, description="table to write (CSV)")
    plot: Path | None = Field(None, description="picture to write")
    record: Path | None = Field(None, description="JSON record to write")

    @field_validator("calsets")
    @classmethod
    def _two(cls, value: list[str]) -> list[str]:
        if len(value) != 2:
            raise ValueError("needs two calsets")
        return value


def run(files: CompareFiles, options: CalsetValidationOptions) -> None:
    """Compare, print, write what is asked for."""
    paths = [find_solutions(which, files.results) for which in files.calsets]
    first, second = (read_calset(path) for path in paths)
    found = change(first, second, common_reference((first, second)))
    checks = judge_change(found, options)
    rows = tabulate(found, first.correlations)
    print(f"{second.name} against {first.name}; phases against {found.reference}")
    print(rows.to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    for name, only in ((first.name, found.only_first), (second.name, found.only_second)):
        if only:
            print(f"only in {name}: {', '.join(only)}")
    print(f"flux densities by the second over those by the first: {found.flux_scale:.4f}")
    for item in checks:
        print(f"{item.verdict:4s}  {item.metric}: {item.value:.4g} {item.unit}".rstrip())
    if files.table is not None:
        with atomic(files.table) as partial:
            rows.to_csv(partial, index=False)
    if files.plot is not None:
        draw_change(first, second, found, files.plot)
    if files.record is not None:
        write_record(
            files.record,
            product=files.record.stem,
            stage="calset compare",
            data={
                "first": first.name,
                "second": second.name,
                "reference": found.reference,
                "flux_scale": found.flux_scale,
                "only_first": found.only_first,
                "only_second": found.only_second,
                "antennas": rows.replace({np.nan: None}).to_dict("records"),
            },
            checks=checks,
            options=[options],
            inputs=paths,
        )


def tabulate(found: Change, correlations: list[str]) -> pd.DataFrame:
    """One row a feed."""
    columns = (
        ("delay_change_ns", found.delay_ns),
        ("k_change_ns", found.table_delay_ns),
        ("amplitude_ratio", found.amplitude),
        ("phase_change_deg", found.phase_deg),
        ("bandpass_rms", found.bandpass),
        ("bandpass_phase_rms_deg", found.bandpass_phase_deg),
    )
    n = len(found.names)
    names = {"antenna": np.repeat(found.names, len(correlations)), "correlation": correlations * n}
    return pd.DataFrame(names | {name: value.ravel() for name, value in columns})


def draw_change(first: Calset, second: Calset, found: Change, path: Path) -> None:
    """Delays, amplitudes, phases and bandpass shapes by antenna."""
    solved = np.ones(len(found.names), bool)
    along = Antennas(found.names, first.correlations, solved, [""] * len(found.names), set())
    title = f"{second.name} against {first.name}, phases against {found.reference}"
    figure = titled(along, 9.5, title)
    axes = figure.subplots(4, 1)
    strip(axes[0], along, found.delay_ns, "delay change [ns]", names=False)
    strip(axes[1], along, found.amplitude, "amplitude ratio", names=False)
    strip(axes[2], along, found.phase_deg, "phase change [deg]", names=False)
    strip(axes[3], along, 100 * found.bandpass, "bandpass rms [%]")
    for panel, level in zip(axes, (0, 1, 0, 0), strict=True):
        panel.axhline(level, color="0.6", lw=0.7, zorder=0)
    write_picture(figure, path, DPI)


COMMAND = Command(
    help="Compare two calsets: delays, gains and bandpasses by antenna, whatever their references.",
    files=CompareFiles,
    options=(CalsetValidationOptions,),
    run=run,
    outputs=("table", "plot", "record"),
    by_hand=True,
)
