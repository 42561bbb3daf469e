"""What an image is made of: the unflagged visibilities and their weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.core.beam import C_M_S
from contimg.core.errors import DataQualityError
from contimg.core.ms import Axes, open_table, read_axes


@dataclasses.dataclass(frozen=True)
class Sampling:
    """Weights and extent of the data of an image."""

    axes: Axes
    weight: NDArray[np.float64]  # (time, channel), summed over baselines and hands
    count: int  # unflagged Stokes I visibilities (both hands good)
    samples: int  # (row, channel) pairs in the MS
    effective_s: float  # integration time the unflagged data amount to
    longest_lambda: float  # longest unflagged baseline
    typical_lambda: float  # weighted rms baseline per axis


def read_sampling(ms: Path) -> Sampling:
    """Read flags and weights of a calibrated MS; raise when nothing is left."""
    axes = read_axes(ms)
    n_time, n_base = axes.shape
    n_chan = axes.freq_hz.size
    with open_table(ms) as table:
        flags = table.getcol("FLAG").reshape(n_time, n_base, n_chan, 2)
        if "WEIGHT_SPECTRUM" in table.colnames() and table.iscelldefined("WEIGHT_SPECTRUM", 0):
            weights = table.getcol("WEIGHT_SPECTRUM").reshape(flags.shape)
        else:
            weights = table.getcol("WEIGHT").reshape(n_time, n_base, 1, 2)
    good = ~flags.any(axis=-1)  # WSClean and tclean use Stokes I only where both hands are good
    if not good.any():
        raise DataQualityError("no unflagged visibilities")
    used = (weights * good[..., None]).sum(axis=-1)
    length = np.hypot(axes.uvw_m[..., 0], axes.uvw_m[..., 1])
    seen = good.any(axis=-1)
    freq = float(axes.freq_hz.mean())
    per_baseline = used.sum(axis=-1)
    u2, v2 = ((axes.uvw_m[..., k] ** 2 * per_baseline).sum() / per_baseline.sum() for k in (0, 1))
    alive = good.any(axis=(0, 2))
    return Sampling(
        axes=axes,
        weight=used.sum(axis=1),
        count=int(good.sum()),
        samples=int(good.size),
        effective_s=float(good[:, alive].mean() * n_time * axes.integration_s),
        longest_lambda=float(length[seen].max() * freq / C_M_S),
        typical_lambda=float(np.sqrt((u2 + v2) / 2) * freq / C_M_S),
    )


def mean_frequency(sampling: Sampling) -> float:
    """Weighted mean frequency of the data [Hz]: the frequency of the image."""
    weights = sampling.weight.sum(axis=0)
    return float((weights * sampling.axes.freq_hz).sum() / weights.sum())


def mean_mjd(sampling: Sampling) -> float:
    """Weighted mid-point of the data (MJD UTC)."""
    weights = sampling.weight.sum(axis=1)
    return float((weights * sampling.axes.mjd).sum() / weights.sum())


def thermal_noise(sampling: Sampling, sefd_jy: float) -> float:
    """Noise of Stokes I at natural weight [Jy/beam]: SEFD / sqrt(2 N dnu dt 2) over N samples.

    One visibility of one hand has sigma = SEFD / sqrt(2 dnu dt) in each of its parts (Thompson,
    Moran & Swenson, eq. 6.50); two hands make Stokes I.
    """
    axes = sampling.axes
    one = sefd_jy / np.sqrt(2 * axes.width_hz * axes.integration_s)
    return float(one / np.sqrt(2 * sampling.count))
