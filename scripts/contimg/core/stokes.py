"""Stokes I of a calibrated Measurement Set, in memory, as the fit of flux densities takes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.core.fluxfit.sweep import Arrays
from contimg.core.ms import Axes, open_table


def read_stokes_i(ms: Path, axes: Axes, channels: NDArray[np.int64] | None = None) -> Arrays:
    """Half the sum of the parallel correlations and its weight, both (time, baseline, channel).

    Flagged in one correlation is flagged: zero data, zero weight; so are autocorrelations. With
    `channels` only these.
    """
    n_base, wanted = axes.shape[1], slice(None) if channels is None else channels
    n_chan = axes.freq_hz.size if channels is None else channels.size
    data = np.zeros((*axes.shape, n_chan), np.complex64)
    weight = np.zeros(data.shape, np.float32)
    cross = (axes.ant1 != axes.ant2)[:, None]
    with open_table(ms) as table:
        for time in range(axes.mjd.size):
            rows = {"startrow": time * n_base, "nrow": n_base}
            values = table.getcol("DATA", **rows)[:, wanted]
            flags = table.getcol("FLAG", **rows)[:, wanted]
            good = cross & ~(flags[..., 0] | flags[..., 1])
            each = table.getcol("WEIGHT", **rows).mean(axis=-1)[:, None]
            data[time] = np.where(good, (values[..., 0] + values[..., 1]) / 2, 0)
            weight[time] = good * each
    return Arrays(data, weight)


def summed_weight(ms: Path, axes: Axes) -> NDArray[np.float64]:
    """(time, channel): the weights of :func:`read_stokes_i`, summed over baselines."""
    n_base = axes.shape[1]
    cross, total = (axes.ant1 != axes.ant2)[:, None], []
    with open_table(ms) as table:
        for time in range(axes.mjd.size):
            rows = {"startrow": time * n_base, "nrow": n_base}
            flags = table.getcol("FLAG", **rows)
            good = cross & ~(flags[..., 0] | flags[..., 1])
            weight = table.getcol("WEIGHT", **rows).mean(axis=-1)[:, None]
            total.append((good * weight).sum(axis=0, dtype=np.float64))
    return np.stack(total)
