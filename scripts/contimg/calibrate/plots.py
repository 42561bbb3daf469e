"""A picture of the solutions of one calset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from contimg.core.caltable import read_table, table_antennas, table_freq_hz
from contimg.core.pictures import write_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAMES = 48  # of antennas below a picture: more cannot be read
_POINTS = 192  # along each curve: more cannot be seen


def plot(tables: dict[str, Path], correlations: list[str], path: Path, title: str) -> None:
    """Delays and gains by antenna, bandpass amplitude and phase by frequency: one page.

    `correlations` are the names of the correlations (XX, YY) in the order of the tables.
    """
    from matplotlib.figure import Figure

    content = {name: read_table(table) for name, table in tables.items()}
    first = "K" if "K" in content else "G"  # what the legend is of
    freq = table_freq_hz(tables["B"]) / 1e9
    thin = slice(None, None, max(1, freq.size // _POINTS))
    # CASA has rows of antennas that did not observe, too
    solved = [t["antenna"][~t["flag"].all(axis=(1, 2))] for t in content.values()]
    shown = np.unique(np.concatenate(solved))
    figure = Figure(figsize=(12, 8), layout="constrained")
    delay, gain, amplitude, phase = figure.subplots(2, 2).ravel()
    for corr, label in enumerate(correlations):
        colour = f"C{corr}"
        for name, axes, marker, size in (
            ("K", delay, ".", 6),
            ("2G", gain, "_", 4),
            ("G", gain, ".", 6),
        ):
            if name in content:
                rows = np.isin(content[name]["antenna"], shown)
                values = content[name]["value"][rows, 0, corr]
                values = values if name == "K" else np.abs(values)
                place = np.searchsorted(shown, content[name]["antenna"][rows])
                axes.plot(
                    place,
                    values,
                    marker,
                    color=colour,
                    ms=size,
                    label=label if name == first else None,
                )
        curves = content["B"]["value"][:, thin, corr].T
        amplitude.plot(freq[thin], np.abs(curves), color=colour, lw=0.5, alpha=0.5)
        phase.plot(freq[thin], np.degrees(np.angle(curves)), ".", color=colour, ms=1, alpha=0.5)
    names = np.array(table_antennas(tables["B"]))[shown]
    for axes, what in ((delay, "K: delay [ns]"), (gain, "G (points), 2G (dashes): amplitude")):
        axes.set(ylabel=what, xlim=(-1, shown.size))
        _name_antennas(axes, names)
    (delay if first == "K" else gain).legend(loc="upper right", fontsize="small")
    amplitude.set(xlabel="frequency [GHz]", ylabel="B: amplitude [correlator units / sqrt(Jy)]")
    phase.set(xlabel="frequency [GHz]", ylabel="B: phase [deg]")
    figure.suptitle(title)
    write_picture(figure, path, dpi=90)


def _name_antennas(axes: Axes, names: NDArray[np.str_]) -> None:
    """Names of the antennas below `axes`, of every n-th one where they are many."""
    step = max(1, -(-names.size // _NAMES))
    axes.set_xticks(np.arange(0, names.size, step), names[::step], rotation=90, fontsize=6)
    axes.set_xlabel("antenna" if step == 1 else f"antenna (one name in {step})")
