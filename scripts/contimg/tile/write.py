"""The Measurement Set of a tile's averages, in the form of those of `contimg convert`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.calibrate.sums import Averaged, Sums
from contimg.convert.prepare import Prepared
from contimg.convert.write import create
from contimg.core.ms import open_table


def write_averages(
    path: Path, group: Prepared, sums: Sums, width: int, weight: NDArray[np.float64]
) -> None:
    """Write averages of `width` channels; `weight` (time, baseline, corr) is that of a sample."""
    before = group.description
    averages = before.freq_hz.size // width
    freq_hz = before.freq_hz[: averages * width].reshape(averages, width).mean(axis=1)
    description = dataclasses.replace(before, freq_hz=freq_hz, width_hz=before.width_hz * width)
    create(path, group.layout, description, -group.phasing.uvw_m, spectrum=True)
    n_base = group.layout.ant1.size
    with open_table(path, writable=True) as table:
        for time, averaged in enumerate(sums.averages(width, weight)):
            for name, values in _columns(averaged).items():
                table.putcol(name, values, startrow=time * n_base, nrow=n_base)


def _columns(averaged: Averaged) -> dict[str, NDArray]:
    """WEIGHT is the mean of what the unflagged channels have, as CASA's is."""
    good = np.maximum((~averaged.flags).sum(axis=1), 1)
    weight = (averaged.weight.sum(axis=1, dtype=np.float64) / good).astype(np.float32)
    with np.errstate(divide="ignore"):
        sigma = np.where(weight > 0, 1 / np.sqrt(weight), -1).astype(np.float32)
    return {
        "DATA": averaged.data,
        "FLAG": averaged.flags,
        "WEIGHT_SPECTRUM": averaged.weight,
        "WEIGHT": weight,
        "SIGMA": sigma,
        "FLAG_ROW": averaged.flags.all(axis=(1, 2)),
    }
