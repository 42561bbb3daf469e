"""The picture and the page of what changes through the calsets of a run."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from contimg.calset.draw import DPI
from contimg.calset.options import CalsetValidationOptions
from contimg.calset.panels import WIDTH_IN
from contimg.core.coords import mjd_time
from contimg.core.html import cell, checks_table, document, number, picture, table, verdict
from contimg.core.pictures import write_picture
from contimg.core.records import Check, worst

_NAMED = 5  # so many antennas are told by name where they leave the limit
_LEAST = 0.2  # of the limit: the scales show at least that much
_LABELS = 24  # times along a picture


def draw_drift(
    rows: pd.DataFrame, about: str, options: CalsetValidationOptions, path: Path
) -> None:
    """Four quantities: lines with time, one an antenna, above antenna by calset.

    `rows` as :func:`contimg.calset.drift.tabulate` makes them. Of the two correlations of an
    antenna the one that changed more is shown.
    """
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(rows["antenna"]))
    sets = rows.drop_duplicates("calset")
    quantities = (
        ("delay_change_ns", 1.0, 0.0, "delay change [ns]", options.max_delay_change_ns),
        ("amplitude_ratio", 100.0, 1.0, "amplitude change [%]", 100 * options.max_amplitude_drift),
        ("phase_change_deg", 1.0, 0.0, "phase change [deg]", options.max_phase_drift_deg),
        ("bandpass_rms", 100.0, 0.0, "bandpass rms [%]", 100 * options.max_bandpass_change),
    )
    images_in = max(2.5, 0.11 * len(names) + 1.0)
    figure = Figure(figsize=(WIDTH_IN, 3.6 + images_in), layout="constrained")
    figure.suptitle(f"change of the calibration {about}", fontsize=12, x=0.01, ha="left")
    axes = figure.subplots(2, 4, height_ratios=[3.0, images_in])
    for (column, scale, zero, label, limit), (lines, image) in zip(quantities, axes.T, strict=True):
        values = scale * (_larger(rows, column, zero, names, list(sets["calset"])) - zero)
        _lines(lines, sets["mjd"].to_numpy(), values, names, limit)
        lines.set_title(label, fontsize=10)
        there = np.abs(values[np.isfinite(values)])  # of continuum data no delays are
        edge = max(float(np.quantile(there, 0.98)) if there.size else 0.0, _LEAST * limit)
        signed = column != "bandpass_rms"
        mesh = image.imshow(
            values,
            aspect="auto",
            interpolation="nearest",
            cmap="coolwarm" if signed else "viridis",
            vmin=-edge if signed else 0,
            vmax=edge,
        )
        image.patch.set(facecolor="white", hatch="//////", edgecolor="0.6")  # no solutions
        figure.colorbar(
            mesh,
            ax=image,
            location="bottom",
            pad=0.01,
            aspect=40,
            extend="both" if signed else "max",
        )
        every = -(-len(sets) // _LABELS)
        shown = range(0, len(sets), every)
        days = [mjd_time(m).strftime("%m-%d %H:%M") for m in sets["mjd"].iloc[::every]]
        image.set_xticks(shown, days, rotation=90, fontsize=7)
        image.set_yticks(range(len(names)), names, fontsize=6)
    axes[0, 0].set_ylabel("thin: antennas, thick: median", fontsize=9)
    write_picture(figure, path, DPI)


def _larger(
    rows: pd.DataFrame, column: str, zero: float, names: list[str], sets: list[str]
) -> np.ndarray:
    """(antenna, calset) the value farther from `zero` of the two correlations; NaN where
    missing.
    """
    size = (rows[column] - zero).abs().fillna(-1.0)
    best = rows.loc[size.groupby([rows["calset"], rows["antenna"]], sort=False).idxmax()]
    wide = best.pivot(index="antenna", columns="calset", values=column)
    return wide.reindex(index=names, columns=sets).to_numpy(dtype=float)


def _lines(axes: Any, mjd: np.ndarray, values: np.ndarray, names: list[str], limit: float) -> None:
    """One thin line an antenna, the median thick; the farthest beyond the limit by name."""
    days = mjd - np.floor(mjd[0])
    style = {"marker": ".", "ms": 3, "lw": 0.6}
    axes.plot(days, values.T, color="0.7", **style)
    finite = np.isfinite(values).any(axis=1)
    far = np.where(finite, np.nanmax(np.abs(np.where(finite[:, None], values, 0)), axis=1), 0)
    for row in np.argsort(far)[::-1][:_NAMED]:
        if far[row] > limit:
            axes.plot(days, values[row], label=names[row], **style)
    middle = [np.median(v[np.isfinite(v)]) if np.isfinite(v).any() else np.nan for v in values.T]
    axes.plot(days, middle, color="black", lw=1.8, marker=".", ms=4)
    low, high = axes.get_ylim()
    low = min(low, -_LEAST * limit if (values < 0).any() else 0.0)
    high = max(high, _LEAST * limit)
    axes.set_ylim(low, high)
    for level in (-limit, limit):
        if low < level < high:
            axes.axhline(level, color="tab:red", lw=0.7, ls="--")
    start = mjd_time(np.floor(mjd[0])).strftime("%Y-%m-%d")
    axes.set_xlabel(f"days since {start} 0h UTC", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(axis="y", color="0.92", lw=0.6)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7, frameon=False)


def drift_page(
    about: str,
    checks: Sequence[Check],
    sets: list[dict[str, Any]],
    beyond: list[dict[str, Any]],
    left_out: dict[str, str],
    pages: dict[str, str],
    plot: Path,
) -> str:
    """HTML text; `pages` are the addresses of the calsets' own pages, relative to this one."""
    columns = (
        ("delay_change_ns", "delay change [ns]"),
        ("amplitude_change", "amplitude change"),
        ("phase_change_deg", "phase change [deg]"),
        ("bandpass_rms", "bandpass rms"),
        ("flux_scale", "flux scale"),
    )

    def link(name: str) -> str:
        return f'<a href="{escape(pages[name])}">{escape(name)}</a>'

    rows = [
        (
            link(row["calset"]),
            mjd_time(row["mjd"]).strftime("%Y-%m-%d %H:%M:%S"),
            cell(row["calibrator"]),
            cell(row["antennas"]),
            *(number(row[key]) for key, _ in columns),
            verdict(row["verdict"]),
        )
        for row in sets
    ]
    head = ("calset", "UTC", "calibrator", "antennas", *(title for _, title in columns), "")
    parts = [
        f"<h1>Change of the calibration: {verdict(worst(checks))}</h1>",
        f"<p>{len(sets)} calsets {escape(about)}. Medians of the absolute changes.</p>",
        checks_table("largest of all calsets", checks),
        picture(plot),
        table(head, rows),
    ]
    if beyond:
        listed = [
            (
                cell(row["antenna"]),
                cell(row["quantity"]),
                number(row["largest"]),
                link(row["calset"]),
            )
            for row in beyond
        ]
        parts += [
            "<h2>Antennas that changed beyond the limits</h2>",
            table(("antenna", "quantity", "farthest", "in"), listed),
        ]
    if left_out:
        reasons = [(link(name), escape(why)) for name, why in left_out.items()]
        parts.append(table(("left out", "reason"), reasons))
    return document("Change of the calibration", parts)
