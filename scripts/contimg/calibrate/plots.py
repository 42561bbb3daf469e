"""A picture of the solutions of one calset."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from contimg.core.caltable import read_table, table_freq_hz
from contimg.core.records import atomic

_POINTS = 192  # along each curve: more cannot be seen


def plot(tables: dict[str, Path], path: Path, title: str) -> None:
    """Delays and gains by antenna, bandpass amplitude and phase by frequency: one page."""
    from matplotlib.figure import Figure

    content = {name: read_table(table) for name, table in tables.items()}
    freq = table_freq_hz(tables["B"]) / 1e9
    thin = slice(None, None, max(1, freq.size // _POINTS))
    figure = Figure(figsize=(11, 8), layout="constrained")
    delay, gain, amplitude, phase = figure.subplots(2, 2).ravel()
    for corr, (label, colour) in enumerate(
        (("first correlation", "C0"), ("second correlation", "C1"))
    ):
        if "K" in content:
            k = content["K"]
            delay.plot(k["antenna"] + 1, k["value"][:, 0, corr], ".", color=colour, label=label)
        for name, marker, size in (("2G", "_", 4), ("G", ".", 6)):
            if name in content:
                values = np.abs(content[name]["value"][:, 0, corr])
                gain.plot(content[name]["antenna"] + 1, values, marker, color=colour, ms=size)
        curves = content["B"]["value"][:, thin, corr].T
        amplitude.plot(freq[thin], np.abs(curves), color=colour, lw=0.5, alpha=0.5)
        phase.plot(freq[thin], np.degrees(np.angle(curves)), ".", color=colour, ms=1, alpha=0.5)
    delay.set(xlabel="antenna (table row)", ylabel="K: delay [ns]")
    if "K" in content:
        delay.legend(loc="upper right", fontsize="small")
    gain.set(xlabel="antenna (table row)", ylabel="G (points), 2G (dashes): amplitude")
    amplitude.set(xlabel="frequency [GHz]", ylabel="B: amplitude [correlator units / sqrt(Jy)]")
    phase.set(xlabel="frequency [GHz]", ylabel="B: phase [deg]")
    figure.suptitle(title)
    with atomic(path) as partial:
        figure.savefig(partial, dpi=90)
