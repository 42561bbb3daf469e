"""Smoothing a bandpass along frequency."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.core.ms import open_table


def smooth_table(path: Path, width_hz: float) -> None:
    """Smooth the solutions of a CASA bandpass table over `width_hz`, in place.

    A table that was just solved for, in its scratch directory; flagged channels stay flagged.
    """
    with open_table(f"{path}/SPECTRAL_WINDOW") as window:
        channel_hz = abs(float(window.getcell("CHAN_WIDTH", 0)[0]))
    width = max(1, round(width_hz / channel_hz))
    with open_table(path, writable=True) as table:
        values, flags = table.getcol("CPARAM"), table.getcol("FLAG")
        table.putcol("CPARAM", np.where(flags, values, smooth(values, ~flags, width)))


def smooth(
    values: NDArray[np.complex64], good: NDArray[np.bool_], width: int
) -> NDArray[np.complex64]:
    """Local straight lines along the channels of (row, channel, corr), `width` channels long.

    Every value becomes that of the line fitted to the good values about it under a triangle of
    that half width (so that edges and slopes are not biased); values without two good ones about
    them stay as they are. Amplitude and phase are smoothed together, as complex numbers.
    """
    if width < 2:
        return values
    offset = np.arange(-width + 1, width)
    triangle = 1 - np.abs(offset) / width

    def gather(power: int, what: NDArray) -> NDArray:
        """Sum over offsets d of triangle(d) d^power what(channel + d)."""
        kernel = (triangle * offset**power)[::-1]
        middle = slice(width - 1, width - 1 + what.shape[1])
        return np.apply_along_axis(lambda row: np.convolve(row, kernel)[middle], 1, what)

    weight = good.astype(float)
    filled = np.where(good, values, 0).astype(complex)
    s0, s1, s2 = (gather(power, weight) for power in range(3))
    t0, t1 = (gather(power, filled) for power in range(2))
    determinant = s0 * s2 - s1**2
    defined = determinant > 1e-9 * np.maximum(s0 * s2, 1e-30)
    line = (s2 * t0 - s1 * t1) / np.where(defined, determinant, 1)
    return np.where(defined, line, values).astype(values.dtype)
