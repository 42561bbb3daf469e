"""Pages of light curves for people to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from contimg.core.pictures import write_picture
from contimg.core.rowflags import usable

MAX_PANELS = 48
COLUMNS = 4


def light_curve_page(table: pd.DataFrame, path: Path) -> None:
    """Normalised light curves about their means, the brightest sources first."""
    median = table.groupby("source")["flux_norm_jy"].median()
    names = median.sort_values(ascending=False, kind="stable").index[:MAX_PANELS]
    figure, axes = _panels(len(names))
    for axis, name in zip(axes, names, strict=True):
        rows = table[table["source"] == name]
        unit = abs(median[name]) or 1.0
        kind = "reference" if rows["is_reference"].any() else ""
        _points(axis, rows, unit)
        axis.set_title(f"{name}  {1e3 * median[name]:.1f} mJy  {kind}", fontsize=7)
    shown = f"{len(names)} of {len(median)} sources, the brightest"
    _finish(figure, axes, f"light curves: {shown}", "flux / median", path)


def candidate_page(table: pd.DataFrame, found: pd.DataFrame, models: dict, path: Path) -> None:
    """Light curves of the rows of `found` with what explains them best, events in `models`.

    Red: the dip and the noise process, which goes through the data; dashed: the dip alone.
    """
    names = list(found["source"])[:MAX_PANELS]
    figure, axes = _panels(len(names))
    rows_of = found.set_index("source")
    for axis, name in zip(axes, names, strict=True):
        row = rows_of.loc[name]
        unit = abs(row["mean_flux_jy"]) or 1.0
        _points(axis, table[table["source"] == name], unit)
        event = models[name]
        axis.plot(event.model_mjd, event.process_jy / unit, color="C3", lw=1)
        axis.plot(event.model_mjd, event.model_jy / unit, color="C3", lw=0.8, ls="--")
        mark = "CANDIDATE" if row["is_candidate"] else row["class"].replace("_", " ")
        axis.set_title(f"{name}  p = {row['ese_false_alarm_probability']:.2g}  {mark}", fontsize=7)
    title = "most probable extreme scattering events" if names else "no source could be searched"
    _finish(figure, axes, title, "flux / mean", path)


def _panels(number: int) -> tuple[Figure, list[Axes]]:
    rows = max(1, -(-number // COLUMNS))
    height = 0.8 + 1.9 * rows
    figure = Figure(figsize=(4 * COLUMNS, height))
    # fixed margins: a layout engine takes longer than all the rest
    figure.subplots_adjust(
        left=0.05, right=0.99, bottom=0.45 / height, top=1 - 0.5 / height, hspace=0.4, wspace=0.18
    )
    return figure, [figure.add_subplot(rows, COLUMNS, k + 1) for k in range(number)]


def _points(axis: Axes, rows: pd.DataFrame, unit: float) -> None:
    """Good points in full, the others faint and without their (possibly huge) errors."""
    good = usable(rows["flag"]).to_numpy()
    style = {"fmt": ".", "ms": 4, "lw": 0.8}
    axis.errorbar(
        rows["mjd"][good],
        rows["flux_norm_jy"][good] / unit,
        rows["flux_norm_err_jy"][good] / unit,
        color="C0",
        **style,
    )
    axis.plot(rows["mjd"][~good], rows["flux_norm_jy"][~good] / unit, "x", ms=4, color="0.6")
    axis.axhline(1.0, color="0.8", lw=0.6, zorder=0)
    values = rows["flux_norm_jy"][good].to_numpy() / unit
    if np.isfinite(values).any():
        low, high = min(0.85, np.nanmin(values)), max(1.15, np.nanmax(values))
        axis.set_ylim(low - 0.1, high + 0.1)
    axis.tick_params(labelsize=6)
    axis.ticklabel_format(useOffset=False)


def _finish(figure: Figure, axes: list[Axes], title: str, label: str, path: Path) -> None:
    figure.suptitle(title, fontsize=10, y=1 - 0.15 / figure.get_figheight())
    figure.supxlabel("MJD [days, UTC]", fontsize=8, y=0.08 / figure.get_figheight())
    figure.supylabel(label, fontsize=8, x=0.005)
    write_picture(figure, path, dpi=90)
