"""What goes wrong with an antenna, done to a Measurement Set in place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from contimg.core.ms import open_table, read_axes
from contimg.simulate.options import SimulateOptions

STEP = 0.8 * np.exp(0.6j)


def swap_correlations(
    ms: Path, name: str, simulate: SimulateOptions, sefd_jy: float = 6500.0
) -> None:
    """Exchange the correlations of an antenna: what is left of it in XX and YY is noise."""
    axes = read_axes(ms)
    number = axes.antenna_names.index(name)
    rows = np.tile((axes.ant1 == number) | (axes.ant2 == number), axes.mjd.size)
    assert rows.any(), f"{name} takes no data"
    sigma = sefd_jy / np.sqrt(2 * axes.width_hz * axes.integration_s) * simulate.raw_scale
    rng = np.random.default_rng(7)
    with open_table(ms, writable=True) as table:
        for row in np.flatnonzero(rows):
            shape = table.getcell("DATA", int(row)).shape
            noise = rng.standard_normal((2, *shape))
            table.putcell("DATA", int(row), sigma * (noise[0] + 1j * noise[1]))


def jump(ms: Path, name: str, corrs: Sequence[int] = (0, 1)) -> None:
    """Multiply the gain of an antenna by :data:`STEP` from the middle of the observation on."""
    axes = read_axes(ms)
    number = axes.antenna_names.index(name)
    n_base = axes.shape[1]
    assert number in axes.ant1 or number in axes.ant2, f"{name} takes no data"
    with open_table(ms, writable=True) as table:
        for time in range(axes.mjd.size // 2, axes.mjd.size):
            rows = {"startrow": time * n_base, "nrow": n_base}
            data = table.getcol("DATA", **rows)
            for corr in corrs:
                data[axes.ant1 == number, :, corr] *= STEP
                data[axes.ant2 == number, :, corr] *= np.conj(STEP)
            table.putcol("DATA", data, **rows)
