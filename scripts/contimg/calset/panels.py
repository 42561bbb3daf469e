"""Many small panels, one an antenna, and strips along the antennas: the parts of the pictures.

A grid of panels is drawn in one pair of axes: a hundred axes would take many seconds.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.calset.measure import Measures
from contimg.calset.read import Calset

COLOURS = ("tab:blue", "tab:orange")  # of the two correlations
REMARKED, DEAD = "tab:red", "0.87"
WIDTH_IN = 15.0  # of all pictures
_MARGIN = 0.035  # between panels


@dataclass(frozen=True)
class Antennas:
    """The antennas along a picture."""

    names: list[str]
    correlations: list[str]
    solved: NDArray[np.bool_]
    reasons: list[str]  # why there are no solutions, where there are none
    remarked: set[str]  # names of those that something is odd about

    @property
    def prefix(self) -> str:
        """What all names begin with (``DSA-``)."""
        first, last = min(self.names, default=""), max(self.names, default="")
        same = [a == b for a, b in zip(first, last, strict=False)]
        length = same.index(False) if False in same else 0
        return first[:length].rstrip("0123456789")

    def short_names(self) -> list[str]:
        """Names without their common beginning."""
        return [name.removeprefix(self.prefix) for name in self.names]

    def colour(self, row: int) -> str:
        """Of the name of an antenna: black, red with a remark, grey without solutions."""
        if not self.solved[row]:
            return "0.5"
        return REMARKED if self.names[row] in self.remarked else "black"


@dataclass(frozen=True)
class Subject:
    """A calset and what was measured in it: all that its pictures are drawn from."""

    calset: Calset
    seen: Measures
    antennas: Antennas


def subject_of(calset: Calset, seen: Measures, remarks: dict[str, list[str]]) -> Subject:
    """A calset with its observed antennas; `remarks` by the names of the odd ones."""
    reasons = [calset.why_flagged(n) or "no solutions" for n in seen.antennas]
    names = [calset.antennas[n] for n in seen.antennas]
    return Subject(
        calset, seen, Antennas(names, calset.correlations, seen.solved, reasons, set(remarks))
    )


def shape(n: int) -> tuple[int, int]:
    """Rows and columns of a grid of `n` panels that are wider than high."""
    columns = max(1, int(np.ceil(np.sqrt(1.5 * n))))
    return -(-n // columns), columns


def grid_height_in(n: int) -> float:
    """Height of a grid of `n` panels [inch]."""
    rows, columns = shape(n)
    return rows * WIDTH_IN / columns * 0.62 + 0.7


class Grid:
    """Panels of the observed antennas in one pair of axes, all with the same two scales."""

    def __init__(
        self,
        axes: Any,
        antennas: Antennas,
        x_range: tuple[float, float],
        y_range: tuple[float, float],
    ) -> None:
        self.axes, self.antennas = axes, antennas
        self.rows, self.columns = shape(len(antennas.names))
        self.x_range, self.y_range = x_range, y_range
        axes.set(xlim=(0, self.columns), ylim=(self.rows, 0))
        for side in axes.spines.values():
            side.set_visible(False)
        axes.tick_params(length=2, labelsize=7)
        columns, rows = np.arange(self.columns), np.arange(self.rows)
        ticks = _ticks(x_range)
        at = (columns[:, None] + self._across(ticks)).ravel()
        axes.set_xticks(at, [f"{t:g}" for t in ticks] * self.columns, rotation=90)
        ticks = _ticks(y_range)
        at = (rows[:, None] + self._down(ticks)).ravel()
        axes.set_yticks(at, [f"{t:g}" for t in ticks] * self.rows)
        self._frames()

    def _across(self, x: NDArray) -> NDArray[np.float64]:
        low, high = self.x_range
        return _MARGIN + (1 - 2 * _MARGIN) * (np.asarray(x, float) - low) / (high - low)

    def _down(self, y: NDArray) -> NDArray[np.float64]:
        low, high = self.y_range
        part = np.clip((np.asarray(y, float) - low) / (high - low), 0, 1)
        return 1 - _MARGIN - (1 - 2 * _MARGIN) * part

    def _frames(self) -> None:
        from matplotlib.patches import Rectangle

        antennas = self.antennas
        size = float(np.clip(70 / self.columns, 5.5, 9))
        letters = int(0.85 * WIDTH_IN * 72 / self.columns / (0.55 * size))
        for k, name in enumerate(antennas.names):
            row, column = divmod(k, self.columns)
            solved, colour = bool(antennas.solved[k]), antennas.colour(k)
            remarked = colour == REMARKED
            frame = Rectangle(
                (column + _MARGIN, row + _MARGIN),
                1 - 2 * _MARGIN,
                1 - 2 * _MARGIN,
                facecolor="white" if solved else DEAD,
                edgecolor=REMARKED if remarked else "0.6",
                linewidth=1.2 if remarked else 0.5,
                zorder=1,
            )
            self.axes.add_patch(frame)
            place = (column + 1.8 * _MARGIN, row + 1.6 * _MARGIN)
            label = {"fontsize": size, "va": "top", "zorder": 4}
            self.axes.text(*place, name, color=colour, fontweight="bold", **label)
            if not solved:
                said = textwrap.wrap(antennas.reasons[k], letters, max_lines=4, placeholder=" ...")
                label |= {"va": "center", "ha": "center", "color": "0.3"}
                label["fontsize"] = size - 0.5
                self.axes.text(column + 0.5, row + 0.55, "\n".join(said), **label)

    def level(self, y: float) -> None:
        """A thin line through all panels."""
        at = np.arange(self.rows) + self._down(np.array(y))
        self.axes.hlines(at, 0, self.columns, color="0.9", linewidth=0.6, zorder=1.5)

    def curves(self, x: NDArray, y: NDArray, style: str, **keywords: Any) -> None:
        """Curves (antenna, corr, x) of the observed antennas, both correlations in their colours.

        What leaves a panel is drawn at its edge; unsolved antennas have no curve.
        """
        for corr, colour in enumerate(COLOURS):
            across, down = [], []
            for k in np.flatnonzero(self.antennas.solved):
                row, column = divmod(int(k), self.columns)
                across += [column + self._across(x), [np.nan]]
                down += [row + self._down(y[k, corr]), [np.nan]]
            if across:
                xy = np.concatenate(across), np.concatenate(down)
                self.axes.plot(*xy, style, color=colour, zorder=3 - 0.1 * corr, **keywords)


def _ticks(bounds: tuple[float, float]) -> NDArray[np.float64]:
    """Two or three round numbers well inside the bounds."""
    from matplotlib.ticker import MaxNLocator

    low, high = bounds
    inside = (low + 0.08 * (high - low), high - 0.08 * (high - low))
    ticks = MaxNLocator(nbins=3, steps=[1, 2, 2.5, 5, 10]).tick_values(*inside)
    return ticks[(ticks >= inside[0]) & (ticks <= inside[1])]


def strip(
    axes: Any, antennas: Antennas, values: NDArray, label: str, *, names: bool = True, **style: Any
) -> None:
    """Values (antenna, corr) by antenna, both correlations; antennas without solutions shaded."""
    at = np.arange(len(antennas.names))
    for k in np.flatnonzero(~antennas.solved):
        axes.axvspan(k - 0.5, k + 0.5, color=DEAD, linewidth=0, zorder=0)
    for corr, (correlation, colour) in enumerate(zip(antennas.correlations, COLOURS, strict=True)):
        look = {"marker": ".", "ls": "", "ms": 5, "color": colour, "label": correlation} | style
        axes.plot(at + 0.15 * (2 * corr - 1), values[:, corr], **look)
    axes.set(xlim=(-0.7, len(at) - 0.3), ylabel=label)
    axes.grid(axis="y", color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    if names:
        name_antennas(axes, antennas)
    else:
        axes.set_xticks(at, [""] * len(at))
        axes.tick_params(axis="x", length=1.5)


def name_antennas(axes: Any, antennas: Antennas, vertical: bool = False) -> None:
    """Every antenna by its name along an axis of the plot."""
    short = antennas.short_names()
    text = f"antenna {antennas.prefix}..." if antennas.prefix else "antenna"
    if vertical:
        axes.set_yticks(range(len(short)), short, fontsize=6.5)
        axes.set_ylabel(text, fontsize=9)
        labels = axes.get_yticklabels()
    else:
        size = float(np.clip(560 / max(len(short), 1), 5.0, 8.0))
        axes.set_xticks(range(len(short)), short, fontsize=size, rotation=90)
        axes.set_xlabel(text, fontsize=9)
        labels = axes.get_xticklabels()
    for k, label in enumerate(labels):
        label.set_color(antennas.colour(k))


def correlation_legend(figure: Any, antennas: Antennas) -> None:
    """What the colours mean, in the upper right corner."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D([], [], marker="o", ls="", color=colour, label=correlation)
        for correlation, colour in zip(antennas.correlations, COLOURS, strict=True)
    ]
    handles.append(Patch(facecolor=DEAD, edgecolor="0.6", label="no solutions"))
    handles.append(Patch(facecolor="none", edgecolor=REMARKED, label="with a remark"))
    figure.legend(handles=handles, loc="upper right", ncols=4, fontsize=9, frameon=False)
