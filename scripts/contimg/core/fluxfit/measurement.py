"""Stokes I of a calibrated Measurement Set as blocks for the fit."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.core.errors import DataQualityError
from contimg.core.fluxfit.sweep import Arrays, Block
from contimg.core.ms import Axes, open_table


def stokes_i(ms: Path, axes: Axes, scratch: Path, column: str = "DATA") -> Arrays:
    """Stokes I and its weights, mapped from files in `scratch` so that memory holds one time.

    I = (XX + YY) / 2 where both correlations are good, of weight 4 / (1/w_XX + 1/w_YY), that is
    1/sigma^2 if the weights of the MS are. Raises :class:`DataQualityError` when nothing is
    unflagged.
    """
    n_base = axes.shape[1]
    cross = (axes.ant1 != axes.ant2)[:, None]
    with open_table(ms) as table:
        name = _weight_column(table)

        def read(time: int) -> Block:
            rows = {"startrow": time * n_base, "nrow": n_base}
            data = table.getcol(column, **rows)
            bad = table.getcol("FLAG", **rows).any(axis=-1)
            weight = table.getcol(name, **rows)
            if weight.ndim == 2:
                weight = weight[:, None, :]
            block = _combine(data, bad, weight)
            return Block(block.data, block.weight * cross)

        blocks = store((read(time) for time in range(axes.mjd.size)), axes, scratch)
    if not blocks.weight.any():
        raise DataQualityError("no unflagged visibilities with weight")
    return blocks


def store(blocks: Iterable[Block], axes: Axes, scratch: Path, name: str = "stokes_i") -> Arrays:
    """Blocks in order of time, written to files in `scratch` and mapped from there."""
    stored = space(axes, scratch, name)
    for time, block in enumerate(blocks):
        stored.data[time], stored.weight[time] = block
    return stored


def space(axes: Axes, scratch: Path, name: str) -> Arrays:
    """Room for data and weights as large as those of `axes`, in files in `scratch`."""
    shape = (*axes.shape, axes.freq_hz.size)
    data = np.lib.format.open_memmap(scratch / f"{name}.npy", "w+", np.complex64, shape)
    weight = np.lib.format.open_memmap(scratch / f"{name}_weight.npy", "w+", np.float32, shape)
    return Arrays(data, weight)


def _weight_column(table) -> str:
    spectrum = "WEIGHT_SPECTRUM" in table.colnames() and table.iscelldefined("WEIGHT_SPECTRUM", 0)
    return "WEIGHT_SPECTRUM" if spectrum else "WEIGHT"


def _combine(data: NDArray, bad: NDArray, weight: NDArray) -> Block:
    """Both correlations (baseline, channel, correlation) as Stokes I; what is flagged is zero."""
    good = ~bad & (weight > 0).all(axis=-1) & np.isfinite(data).all(axis=-1)
    variance = (1 / np.where(weight > 0, weight, 1)).sum(axis=-1)
    mean = (data[..., 0] + data[..., 1]) / 2
    return Block(
        np.where(good, mean, 0).astype(np.complex64),
        np.where(good, 4 / variance, 0).astype(np.float32),
    )
