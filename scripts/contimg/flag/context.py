"""What a step gets to know about the data it works on."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from contimg.core import robust
from contimg.flag import kernels

# every so many channels give the median amplitude of a baseline
_LEVEL_STRIDE = 8
# more values than this say nothing more about their scatter
_ENOUGH = 5000


@dataclasses.dataclass(frozen=True)
class SubbandContext:
    """Axes of the visibilities (time, baseline, channel, corr) of one subband."""

    ant1: NDArray[np.int64]  # (baseline,) index into antenna_names
    ant2: NDArray[np.int64]
    antenna_names: list[str]
    times_mjd: NDArray[np.float64]  # (time,) UTC mid-points
    integration_s: float
    freq_hz: NDArray[np.float64]  # (channel,) centres
    uvw_m: NDArray[np.float64]  # (time, baseline, 3), antenna 2 minus antenna 1 (as in UVH5)
    elevation_rad: NDArray[np.float64]  # (time,) of the dishes
    antenna_diameter_m: float
    # amplitudes of the autocorrelations (time, antenna, channel, corr), zero where there is none
    autos: NDArray[np.float32] | None = None

    @cached_property
    def length_m(self) -> NDArray[np.float64]:
        """Length of the baselines [m]."""
        return np.sqrt((self.uvw_m**2).sum(axis=-1)).mean(axis=0)

    @cached_property
    def incidence(self) -> NDArray[np.bool_]:
        """(antenna, baseline): which baselines an antenna is part of."""
        numbers = np.arange(len(self.antenna_names))[:, None]
        return (self.ant1 == numbers) | (self.ant2 == numbers)

    @cached_property
    def members(self) -> NDArray[np.int64]:
        """(antenna, n): numbers of the baselines of each antenna, -1 where it has fewer than n."""
        rows = [np.flatnonzero(mine) for mine in self.incidence]
        out = np.full((len(rows), max(map(len, rows), default=0)), -1)
        for number, row in enumerate(rows):
            out[number, : row.size] = row
        return out

    def by_length(self, classes: int, members: int) -> NDArray[np.int64]:
        """Class (baseline,) of like length, shortest first; about `members` baselines or more."""
        number = min(classes, max(1, self.ant1.size // members))
        rank = np.argsort(np.argsort(self.length_m, kind="stable"), kind="stable")
        return rank * number // max(1, self.ant1.size)


class Subband:
    """The data of one subband with what several steps need; arrays as in the stream."""

    def __init__(
        self, data: NDArray[np.complex64], flags: NDArray[np.bool_], context: SubbandContext
    ) -> None:
        self.data, self.flags, self.context = data, flags, context

    @cached_property
    def amplitude(self) -> NDArray[np.float32]:
        """|data|."""
        out = np.empty(self.data.shape, np.float32)
        kernels.amplitudes(self.data.reshape(-1), out.reshape(-1))
        return out

    @cached_property
    def _levels(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        n_time, n_base, n_chan, n_corr = self.data.shape
        level, scatter = np.empty((2, n_base, n_corr), np.float32)
        stride = _LEVEL_STRIDE if n_time * n_chan > 64 * _LEVEL_STRIDE else 1
        kernels.levels(self.amplitude, self.flags, stride, level, scatter)
        return level, scatter

    @property
    def level(self) -> NDArray[np.float32]:
        """Median amplitude (baseline, corr); zero where all is flagged.

        Of the data as they were when a step first asked, which a median can afford.
        """
        return self._levels[0]

    @property
    def scatter(self) -> NDArray[np.float32]:
        """1.4826 x median absolute deviation of the amplitude (baseline, corr)."""
        return self._levels[1]

    def relative_power(self, first: NDArray, second: NDArray, groups: int) -> tuple:
        """Mean relative power of groups of baselines and the number of samples in it.

        Both (time, group, channel, corr); NaN where there are no samples. Baseline b belongs to
        groups first[b] and second[b] (-1 for none). Relative to the median power of a baseline.
        """
        n_time, n_base, n_chan, n_corr = self.data.shape
        amplitude = self.amplitude.reshape(n_time, n_base, -1)
        flags = self.flags.view(np.uint8).reshape(amplitude.shape)
        sums, counts = np.zeros((2, n_time, groups, n_chan * n_corr), np.float32)
        scale = np.where(self.level > 0, 1 / np.maximum(self.level, 1e-30), 0).astype(np.float32)
        scale = np.tile(scale, n_chan)  # (baseline, channel x corr)
        kernels.power_sums(amplitude, flags, scale, first, second, sums, counts)
        shape = (n_time, groups, n_chan, n_corr)
        with np.errstate(invalid="ignore", divide="ignore"):
            return (sums / counts).reshape(shape), counts.reshape(shape)

    def flag_antennas(self, bad: NDArray[np.bool_]) -> None:
        """Flag the baselines of antennas, `bad` (antenna, corr)."""
        mask = bad[self.context.ant1] | bad[self.context.ant2]
        for corr in range(mask.shape[1]):
            self.flags[:, mask[:, corr], :, corr] = True


def count(flags: NDArray[np.bool_]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Number of flags by (time, channel, corr) and by (baseline, channel, corr)."""
    n_time, n_base, n_chan, n_corr = flags.shape
    by_time = np.zeros((n_time, n_chan * n_corr), np.uint32)
    by_baseline = np.zeros((n_base, n_chan * n_corr), np.uint32)
    kernels.count(flags.view(np.uint8).reshape(n_time, n_base, -1), by_time, by_baseline)
    return by_time.reshape(n_time, n_chan, n_corr), by_baseline.reshape(n_base, n_chan, n_corr)


def median(values: NDArray, axis: int) -> NDArray:
    """Median ignoring NaN; NaN where there is nothing else. The axis is kept."""
    return robust.median(values, axis, keepdims=True)


def running_median(values: NDArray, width: int, axis: int) -> NDArray:
    """Median of `width` values around each along `axis`, fewer at the ends; NaN are ignored."""
    moved = np.moveaxis(values, axis, -1)
    half = width // 2
    padding = [(0, 0)] * (moved.ndim - 1) + [(half, half)]
    padded = np.pad(moved, padding, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=-1)
    return np.moveaxis(median(windows, axis=-1)[..., 0], -1, axis)


def robust_sigma(deviation: NDArray, axis: tuple[int, ...] | None = None) -> NDArray:
    """1.4826 x median absolute deviation, NaN ignored; axes kept."""
    axes = tuple(range(deviation.ndim)) if axis is None else axis
    keep = [i for i in range(deviation.ndim) if i not in axes]
    flat = deviation.transpose(*keep, *axes).reshape(*[deviation.shape[i] for i in keep], -1)
    flat = np.ascontiguousarray(flat[..., :: max(1, flat.shape[-1] // _ENOUGH)])
    return np.expand_dims(robust.scatter(flat, axis=-1), axes)
