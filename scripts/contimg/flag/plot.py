"""A picture of what is flagged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from contimg.core.pictures import write_picture

# grey for flagged throughout, so that dead antennas do not hide what else there is
_COLOURS = "magma"
_DEAD = "0.75"


def draw(summary: dict[str, Any], path: Path, title: str) -> None:
    """Antenna by channel, time by channel, and fractions by antenna, baseline, channel, time.

    `summary` as from :func:`contimg.flag.summary.summarise`.
    """
    figure = Figure(figsize=(15, 11))
    grid = figure.add_gridspec(
        4,
        3,
        width_ratios=(1, 0.22, 0.02),
        height_ratios=(0.5, 2.2, 1.1, 0.9),
        left=0.06,
        right=0.95,
        bottom=0.06,
        top=0.92,
        hspace=0.3,
        wspace=0.04,
    )
    freq, mjd = np.array(summary["freq_mhz"]), np.array(summary["mjd"])
    names = list(summary["flagged_by_antenna"])
    minutes = (mjd - mjd[0]) * 1440
    spectrum = figure.add_subplot(grid[0, 0])
    _steps(spectrum, freq, summary["flagged_by_channel"])
    spectrum.tick_params(labelbottom=False)
    antennas = figure.add_subplot(grid[1, 0], sharex=spectrum)
    image = _image(antennas, summary["antenna_channel"], freq, (-0.5, len(names) - 0.5))
    _name_antennas(antennas, names)
    antennas.tick_params(labelbottom=False)
    figure.colorbar(image, cax=figure.add_subplot(grid[1:3, 2]), label="flagged fraction")
    bars = figure.add_subplot(grid[1, 1], sharey=antennas)
    by_antenna = np.array(list(summary["flagged_by_antenna"].values()))
    colours = [_DEAD if fraction == 1 else "C0" for fraction in by_antenna]
    bars.barh(np.arange(len(names)), by_antenna, height=0.9, color=colours)
    _fraction_axis(bars, by_antenna[by_antenna < 1])
    bars.set_title("by antenna (grey: all)", fontsize=9)
    bars.tick_params(labelleft=False)
    times = figure.add_subplot(grid[2, 0], sharex=spectrum)
    half = (minutes[1] - minutes[0]) / 2 if minutes.size > 1 else 0.1
    _image(times, summary["time_channel"], freq, (minutes[0] - half, minutes[-1] + half))
    times.set_ylabel("minutes since the start")
    times.set_xlabel("frequency [MHz]")
    course = figure.add_subplot(grid[2, 1], sharey=times)
    course.step(summary["flagged_by_time"], minutes, where="mid", lw=1)
    _fraction_axis(course, summary["flagged_by_time"])
    course.set_title("by time", fontsize=9)
    course.tick_params(labelleft=False)
    _bottom(figure, grid[3, :2].subgridspec(1, 3, width_ratios=(2, 0.6, 1.4), wspace=0.3), summary)
    figure.suptitle(f"{title}:  {100 * summary['flagged_fraction']:.2f} % flagged", fontsize=13)
    write_picture(figure, path, dpi=100)


def _bottom(figure: Figure, grid, summary: dict[str, Any]) -> None:
    """By baseline length, by correlation, by step."""
    lengths = figure.add_subplot(grid[0, 0])
    bins = summary["flagged_by_baseline_length"]
    edges = [max(b["min_m"], 1.0) for b in bins] + [max(bins[-1]["max_m"], 2.0)]
    lengths.stairs([b["flagged"] for b in bins], edges, fill=True)
    lengths.set_xscale("log")
    lengths.set_xlabel("baseline length [m]")
    lengths.set_ylabel("flagged fraction")
    correlations = figure.add_subplot(grid[0, 1])
    by_corr = summary["flagged_by_correlation"]
    correlations.bar(list(by_corr), list(by_corr.values()), width=0.6)
    correlations.set_xlabel("correlation")
    steps = figure.add_subplot(grid[0, 2])
    by_step = summary["flagged_by_step"]
    if by_step:
        steps.barh(list(by_step), list(by_step.values()))
        steps.invert_yaxis()
        steps.tick_params(labelsize=7)
        steps.set_xlabel("fraction added by the step")
    else:
        steps.set_axis_off()


def _steps(axis: Axes, freq_mhz: np.ndarray, fraction) -> None:
    axis.step(freq_mhz, fraction, where="mid", lw=0.8)
    axis.set_ylim(0, 1.05 * max(0.02, *fraction))
    axis.set_ylabel("flagged")


def _image(axis: Axes, fraction: np.ndarray, freq_mhz: np.ndarray, y_range: tuple[float, float]):
    half = (freq_mhz[1] - freq_mhz[0]) / 2 if freq_mhz.size > 1 else 0.1
    masked = np.ma.masked_where(fraction >= 1, fraction)
    axis.set_facecolor(_DEAD)
    return axis.imshow(
        masked,
        aspect="auto",
        origin="lower",
        interpolation="nearest",
        extent=(freq_mhz[0] - half, freq_mhz[-1] + half, *y_range),
        cmap=_COLOURS,
        vmin=0,
        vmax=1,
    )


def _name_antennas(axis: Axes, names: list[str]) -> None:
    every = max(1, len(names) // 32)
    axis.set_yticks(range(0, len(names), every), names[::every], fontsize=7)


def _fraction_axis(axis: Axes, values) -> None:
    axis.set_xlim(0, 1.05 * max([0.02, *values]))
    axis.tick_params(labelsize=8)
