"""What an image is made of: the unflagged visibilities and their weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.core.constants import C_M_S
from contimg.core.errors import DataQualityError
from contimg.core.ms import Axes, open_table, read_axes

_BANDS = 16  # parts of the band in which the uv coverage is described


@dataclasses.dataclass(frozen=True)
class Coverage:
    """The uv plane in points: one for each row and part of the band."""

    u_lambda: NDArray[np.float32]
    v_lambda: NDArray[np.float32]
    weight: NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Sampling:
    """Weights and extent of the data of an image."""

    axes: Axes
    weight: NDArray[np.float64]  # (time, channel), summed over baselines and correlations
    count: int  # unflagged Stokes I visibilities (both correlations good) of the uv range
    samples: int  # (row, channel) pairs of the uv range in the MS
    effective_s: float  # integration time the unflagged data amount to
    longest_lambda: float  # longest unflagged baseline
    coverage: Coverage
    whole_range: bool  # no baseline was left out by its length
    telescope: str = ""
    observer: str = ""


def read_sampling(
    ms: Path, uv_min_lambda: float = 0.0, uv_max_lambda: float | None = None
) -> Sampling:
    """Read flags and weights of a calibrated MS within a uv range; raise when nothing is left."""
    axes = read_axes(ms)
    n_time, n_base = axes.shape
    n_chan = axes.freq_hz.size
    with open_table(ms) as table:
        flags = table.getcol("FLAG").reshape(n_time, n_base, n_chan, 2)
        if "WEIGHT_SPECTRUM" in table.colnames() and table.iscelldefined("WEIGHT_SPECTRUM", 0):
            weights = table.getcol("WEIGHT_SPECTRUM").reshape(flags.shape)
        else:
            weights = table.getcol("WEIGHT").reshape(n_time, n_base, 1, 2)
    with open_table(f"{ms}/OBSERVATION") as observation:
        telescope = observation.getcell("TELESCOPE_NAME", 0)
        observer = observation.getcell("OBSERVER", 0)
    good = ~flags.any(
        axis=-1
    )  # WSClean and tclean use Stokes I only where both correlations are good
    effective_s = _effective_time(good, axes)
    length = np.hypot(axes.uvw_m[..., 0], axes.uvw_m[..., 1])
    samples = good.size
    if uv_min_lambda > 0 or uv_max_lambda is not None:
        distance = length[..., None] * (axes.freq_hz / C_M_S)
        wanted = distance >= uv_min_lambda
        if uv_max_lambda is not None:
            wanted &= distance <= uv_max_lambda
        good &= wanted
        samples = int(wanted.sum())
    if not good.any():
        raise DataQualityError("no unflagged visibilities")
    used = weights[..., 0] * good + weights[..., 1] * good
    freq = float(axes.freq_hz.mean())
    return Sampling(
        axes=axes,
        weight=used.sum(axis=1, dtype=np.float64),
        count=int(good.sum()),
        samples=int(samples),
        effective_s=effective_s,
        longest_lambda=float(length[good.any(axis=-1)].max() * freq / C_M_S),
        coverage=_coverage(axes, used),
        whole_range=uv_min_lambda <= 0 and uv_max_lambda is None,
        telescope=telescope,
        observer=observer,
    )


def _effective_time(good: NDArray[np.bool_], axes: Axes) -> float:
    """Integrations times their good fraction over the baselines that have any good data [s]."""
    if not good.any():
        return 0.0
    alive = good.any(axis=(0, 2))
    return float(good[:, alive].mean() * axes.shape[0] * axes.integration_s)


def _coverage(axes: Axes, used: NDArray[np.floating]) -> Coverage:
    """Weights of (time, baseline, channel), channels put together, as points of the uv plane."""
    parts = np.array_split(np.arange(axes.freq_hz.size), min(_BANDS, axes.freq_hz.size))
    wavenumber = np.array([axes.freq_hz[part].mean() for part in parts]) / C_M_S
    weight = np.stack([used[..., part].sum(axis=-1) for part in parts], axis=-1).ravel()
    seen = weight > 0
    u, v = ((axes.uvw_m[..., k, None] * wavenumber).ravel()[seen] for k in (0, 1))
    return Coverage(u.astype(np.float32), v.astype(np.float32), weight[seen].astype(np.float32))


def mean_frequency(sampling: Sampling) -> float:
    """Weighted mean frequency of the data [Hz]: the frequency of the image."""
    weights = sampling.weight.sum(axis=0)
    return float((weights * sampling.axes.freq_hz).sum() / weights.sum())


def mean_mjd(sampling: Sampling) -> float:
    """Weighted mid-point of the data (MJD UTC)."""
    weights = sampling.weight.sum(axis=1)
    return float((weights * sampling.axes.mjd).sum() / weights.sum())


def start_mjd(sampling: Sampling) -> float:
    """Beginning of the first integration (MJD UTC)."""
    return float(sampling.axes.mjd[0] - sampling.axes.integration_s / 2 / 86400)


def thermal_noise(sampling: Sampling, sefd_jy: float) -> float:
    """Noise of Stokes I at natural weight [Jy/beam]: SEFD / sqrt(2 N dnu dt 2) over N samples.

    One visibility of one correlation has sigma = SEFD / sqrt(2 dnu dt) in each of its parts
    (Thompson, Moran & Swenson, eq. 6.50); two correlations make Stokes I.
    """
    axes = sampling.axes
    one = sefd_jy / np.sqrt(2 * axes.width_hz * axes.integration_s)
    return float(one / np.sqrt(2 * sampling.count))
