"""Pictures of one calset: bandpasses, gains, and what is missing or noisy."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.calset.gains import mean, rereferenced, time_mean, unit
from contimg.calset.panels import (
    DEAD,
    WIDTH_IN,
    Antennas,
    Grid,
    Subject,
    correlation_legend,
    grid_height_in,
    name_antennas,
    strip,
)
from contimg.core.pictures import write_picture
from contimg.core.robust import median

_POINTS = 192  # along each curve: more cannot be seen
DPI = 90
_HEAD_IN = 0.5


def titled(antennas: Antennas, height_in: float, title: str) -> Any:
    """A figure with a title and the meaning of its colours, above `height_in` of drawing."""
    from matplotlib.figure import Figure

    height = height_in + _HEAD_IN
    figure = Figure(figsize=(WIDTH_IN, height), layout="constrained")
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - _HEAD_IN / height))
    figure.text(0.01, 1 - 0.12 / height, title, fontsize=12, va="top")
    correlation_legend(figure, antennas)
    return figure


def title_of(subject: Subject, what: str) -> str:
    """The calset, what is shown of it, and the reference antenna."""
    return f"{subject.calset.name}: {what}, reference antenna {subject.calset.data['refant']}"


def draw_bandpass(subject: Subject, path: Path) -> None:
    """Amplitude and phase of B by frequency, a panel an antenna."""
    band = subject.calset.tables["B"]
    thin = slice(None, None, max(1, band.freq_hz.size // _POINTS))
    gain = time_mean(band.value)[subject.seen.antennas][:, thin].transpose(0, 2, 1)
    freq = band.freq_hz[thin] / 1e6
    half = (freq[-1] - freq[0]) * 0.02 or 0.5
    across = (freq[0] - half, freq[-1] + half)
    high = grid_height_in(len(subject.antennas.names))
    figure = titled(subject.antennas, 2 * high, title_of(subject, "bandpass B"))
    upper, lower = figure.subplots(2, 1)
    size, phase = np.abs(gain), np.degrees(np.angle(gain))
    amplitude = Grid(upper, subject.antennas, across, (0.0, _top(size)))
    turns = Grid(lower, subject.antennas, across, _symmetric(phase, 180.0))
    turns.level(0)
    few = freq.size < 40
    for panels, values in ((amplitude, size), (turns, phase)):
        panels.curves(freq, values, ".-" if few else ".", ms=3 if few else 1.2, lw=0.5)
    label = "amplitude [correlator units / sqrt(Jy)]"
    upper.set_ylabel(f"B {label}", fontsize=9)
    lower.set_ylabel("B phase, after K and mean phases [deg]", fontsize=9)
    lower.set_xlabel("frequency [MHz]", fontsize=9)
    upper.set_xlabel("frequency [MHz]", fontsize=9)
    write_picture(figure, path, DPI)


def draw_gains(subject: Subject, path: Path) -> None:
    """Amplitude and phase of G by antenna, and of all gains with time where there are times."""
    calset, rows = subject.calset, subject.seen.antennas
    reference = calset.antennas.index(calset.data["refant"])
    gains = {
        name: rereferenced(calset.tables[name].value, reference, axis=1)[:, rows, 0]
        for name in ("G", "2G")
        if name in calset.tables
    }
    timed = {name: gain for name, gain in gains.items() if gain.shape[0] > 1}
    high = grid_height_in(len(subject.antennas.names))
    heights = [2.2, 2.2] + ([high, high] if timed else [])
    figure = titled(
        subject.antennas, sum(heights), title_of(subject, "gains " + " and ".join(gains))
    )
    axes = figure.subplots(len(heights), 1, height_ratios=heights)
    overall = time_mean(gains["G"])
    strip(axes[0], subject.antennas, np.abs(overall), "G amplitude", names=False)
    axes[0].axhline(1, color="0.6", lw=0.7, zorder=0)
    low, high_edge = _symmetric(np.abs(overall) - 1, 1.0, 0.02)
    axes[0].set_ylim(1 + low, 1 + high_edge)
    strip(axes[1], subject.antennas, np.degrees(np.angle(overall)), "G phase [deg]")
    axes[1].set(ylim=(-185, 185), yticks=[-180, -90, 0, 90, 180])
    if timed:
        mjd = {name: calset.tables[name].mjd for name in timed}
        _courses(subject, axes[2], axes[3], mjd, timed)
    write_picture(figure, path, DPI)


def _courses(
    subject: Subject, upper: Any, lower: Any, mjd: dict[str, NDArray], gains: dict[str, NDArray]
) -> None:
    """Gains (time, antenna, corr) over their means, with time; a panel an antenna."""
    from contimg.core.coords import mjd_time

    start = min(times[0] for times in mjd.values())
    length = (max(times[-1] for times in mjd.values()) - start) * 1440
    across = (-0.05 * length, 1.05 * length)
    names = " and ".join(gains)
    size = {n: (np.abs(g) / mean(np.abs(g), 0)).transpose(1, 2, 0) for n, g in gains.items()}
    turned = {n: g * mean(unit(g), 0).conj() for n, g in gains.items()}
    phase = {n: np.degrees(np.angle(g)).transpose(1, 2, 0) for n, g in turned.items()}
    low, high = _symmetric(np.concatenate([s.ravel() - 1 for s in size.values()]), 1.0, 0.02)
    panels = (
        (Grid(upper, subject.antennas, across, (1 + low, 1 + high)), size, 1.0),
        (
            Grid(
                lower,
                subject.antennas,
                across,
                _symmetric(np.concatenate([p.ravel() for p in phase.values()]), 180.0),
            ),
            phase,
            0.0,
        ),
    )
    for panel, values, middle in panels:
        panel.level(middle)
        for name, series in values.items():
            style = ".-" if name == "2G" or "2G" not in values else "s"
            panel.curves((mjd[name] - start) * 1440, series, style, ms=3, lw=0.5)
    begin = mjd_time(start).strftime("%Y-%m-%d %H:%M:%S")
    for axes, text in ((upper, "amplitude / its mean"), (lower, "phase - its mean [deg]")):
        axes.set_xlabel(f"minutes since {begin} UTC", fontsize=9)
        axes.set_ylabel(f"{names}: {text}", fontsize=9)


def draw_quality(subject: Subject, path: Path) -> None:
    """Flagged part and signal-to-noise ratio of B by antenna and subband, and by each alone."""
    seen = subject.seen
    n = len(subject.antennas.names)
    high = max(3.0, 0.11 * n + 1.0)
    figure = titled(
        subject.antennas, high + 1.7 + 3.4, title_of(subject, "flags and signal-to-noise ratios")
    )
    top, bottom = figure.subfigures(2, 1, height_ratios=[high + 1.7, 3.4])
    axes = top.subplots(2, 2, height_ratios=[1.7, high], sharex="col")
    alive = seen.solved
    parts = (
        ("mean", mean, seen.subband_flagged, "B: flagged part", "magma_r", 1.0),
        ("median", median, seen.subband_snr, "B: S/N of a channel", "viridis", None),
    )
    number = np.arange(seen.subband_edges.size - 1)
    for (summary, image), (word, middle, values, label, colours, most) in zip(
        axes.T, parts, strict=True
    ):
        height = np.nan_to_num(middle(values[alive], 0))
        edges = np.append(number, number[-1] + 1) - 0.5
        summary.stairs(height, edges, fill=True, color="0.6")
        summary.set_ylabel(word, fontsize=9)
        summary.set_ylim(0, most)
        mesh = image.imshow(
            np.where(alive[:, None], values, np.nan),
            aspect="auto",
            interpolation="nearest",
            cmap=colours,
            vmin=0,
            vmax=most,
        )
        image.set_facecolor(DEAD)
        name_antennas(image, subject.antennas, vertical=True)
        image.set_xticks(number, _subband_labels(subject), rotation=90, fontsize=7)
        image.set_xlabel("subband (middle frequency [MHz])", fontsize=9)
        top.colorbar(mesh, ax=[summary, image], label=label, pad=0.01, aspect=40)
    upper, lower = bottom.subplots(2, 1)
    name = "2G" if "2G" in seen.snr else "G"
    strip(upper, subject.antennas, seen.flagged["B"], "B flagged part", names=False)
    upper.set_ylim(-0.04, 1.04)
    strip(lower, subject.antennas, seen.snr[name], f"{name} S/N")
    lower.set_ylim(0, None)
    write_picture(figure, path, DPI)


def _subband_labels(subject: Subject) -> list[str]:
    freq = subject.calset.tables["B"].freq_hz / 1e6
    edges = subject.seen.subband_edges
    return [f"{k} ({freq[a:b].mean():.0f})" for k, (a, b) in enumerate(pairwise(edges))]


def _top(values: NDArray) -> float:
    """Upper edge of an axis from zero that a few wild points do not set."""
    finite = values[np.isfinite(values)]
    return 1.4 * float(np.quantile(finite, 0.995)) if finite.size else 1.0


def _symmetric(values: NDArray, most: float, least: float = 5.0) -> tuple[float, float]:
    """Edges of an axis about zero that a few wild points do not set, at most `most`."""
    finite = np.abs(values[np.isfinite(values)])
    edge = 1.5 * float(np.quantile(finite, 0.995)) if finite.size else most
    edge = float(np.clip(edge, least, most))
    return -edge, edge
