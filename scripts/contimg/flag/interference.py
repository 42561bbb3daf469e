"""Steps that find interference: of all, of one antenna, of one baseline."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from contimg.flag import kernels
from contimg.flag.antennas import MIN_ANTENNAS
from contimg.flag.context import Subband, median, robust_sigma, running_median
from contimg.flag.options import FlagOptions
from contimg.flag.sums import sum_threshold

# smallest relative scatter of a mean power that is believed: data without noise stay whole
_FLOOR = 0.01
# the same for the power of one antenna over a whole subband, which follows the antenna's gain
_GAIN_FLOOR = 0.03
# the same for the amplitudes of one baseline, in which faint sources beat with strong ones
_BEAT_FLOOR = 0.05
# classes of baseline length have at least so many members
_MEMBERS = 500
# the trend in time: parabolas tried, the part of the times that must lie on one, and how much
# farther than these a time may be and still count
_TRIPLES = 300
_MOSTLY = 0.6
_NEAR = 2.5
_MIN_CHANNELS = 5
# fewer times than this have no course, only a level
_MIN_TIMES = 8


def antenna_rfi(subband: Subband, options: FlagOptions) -> None:
    """What one antenna suffers and the others do not: bursts, lines, times of more noise."""
    context, sigma = subband.context, options.antenna_rfi_sigma
    n_antennas = len(context.antenna_names)
    if n_antennas < MIN_ANTENNAS:
        return
    power, counts = subband.relative_power(context.ant1, context.ant2, n_antennas)
    own = power / median(power, axis=1)  # the sky and what all have in common
    weight = np.sqrt(counts / max(counts.max(), 1))
    spectrum = median(own, axis=0)
    burst = _outstanding(own / spectrum - 1, weight, sigma, _FLOOR)
    band = own.shape[2] >= _MIN_CHANNELS
    if band:
        smooth = running_median(spectrum, options.line_channels, axis=2)
        burst |= _outstanding(spectrum / smooth - 1, median(weight, axis=0), sigma, _FLOOR)
    with np.errstate(invalid="ignore", divide="ignore"):
        rest = np.where(burst, np.nan, own / spectrum)
        number = np.isfinite(rest).sum(axis=2, keepdims=True)
        series = np.nansum(rest, axis=2, keepdims=True) / number
    weight = np.sqrt((np.where(burst, 0, weight) ** 2).mean(axis=2, keepdims=True))
    burst |= _outstanding(series / median(series, axis=0) - 1, weight, sigma, _GAIN_FLOOR)
    bad_times, bad_antennas = np.nonzero(burst.any(axis=(2, 3)))
    for time, antenna in zip(bad_times, bad_antennas, strict=True):
        subband.flags[time, context.incidence[antenna]] |= burst[time, antenna]


def array_rfi(subband: Subband, options: FlagOptions) -> None:
    """What all baselines of like length suffer: bursts, and steady lines.

    The mean power per time and channel of some thousand baselines shows interference far below
    the noise of a sample. In time it is held against a smooth trend (a source drifting through
    the beam), in frequency against the channels around.
    """
    context = subband.context
    classes = context.by_length(options.array_rfi_bins, _MEMBERS)
    number = int(classes.max()) + 1
    none = np.full(classes.size, -1)
    power, counts = subband.relative_power(classes, none, number)
    if not np.isfinite(power).any():
        return
    most = np.maximum(counts.max(axis=(0, 2, 3), keepdims=True), 1)
    weight = np.sqrt(counts / most)
    power[counts < np.maximum(3, 0.05 * most)] = np.nan
    deviation = power / _trend(power) - 1
    bad = _outstanding(deviation, weight, options.array_rfi_sigma, _FLOOR, per_group=True)
    spectrum = median(np.where(bad, np.nan, power), axis=0)
    if power.shape[2] >= _MIN_CHANNELS:
        line = spectrum / running_median(spectrum, options.line_channels, axis=2) - 1
        usual = median(weight, axis=0)
        bad |= _outstanding(line, usual, options.array_rfi_sigma, _FLOOR, per_group=True)
    for time in np.flatnonzero(bad.any(axis=(1, 2, 3))):
        subband.flags[time] |= bad[time][classes]


def baseline_rfi(subband: Subband, options: FlagOptions) -> None:
    """What one baseline suffers: sums over neighbouring times or channels that are too large."""
    sum_threshold(
        subband.amplitude,
        subband.flags,
        subband.level,
        subband.scatter,
        options.baseline_rfi_sigma,
        _BEAT_FLOOR,
    )


def mad_clip(subband: Subband, options: FlagOptions) -> None:
    """Samples far above the median amplitude of their baseline and correlation."""
    floor = np.maximum(subband.scatter, _FLOOR * subband.level)
    highest = subband.level + np.float32(options.mad_clip_sigma) * floor
    highest[subband.level <= 0] = np.inf
    kernels.clip(subband.amplitude, subband.flags, np.zeros_like(highest), highest)


def _outstanding(
    deviation: NDArray,
    weight: NDArray,
    sigma: float,
    floor: float,
    *,
    per_group: bool = False,
) -> NDArray[np.bool_]:
    """Where relative deviations (time, group, channel, corr) are too large for their noise.

    `weight` is the square root of the number of samples over that of a full group.
    """
    # the cube root of a mean of powers is all but normally distributed (Wilson and Hilferty 1931)
    with np.errstate(invalid="ignore"):
        scaled = 3 * (np.cbrt(1 + deviation) - 1) * weight
    axes = (0, 2) if per_group else (0, 1, 2)
    scatter = np.maximum(robust_sigma(scaled, axis=axes), floor * weight)
    with np.errstate(invalid="ignore"):
        return scaled - median_over(scaled, axes) > sigma * scatter


def median_over(values: NDArray, axes: tuple[int, ...]) -> NDArray:
    """Median over several axes, which are kept; NaN ignored."""
    keep = [i for i in range(values.ndim) if i not in axes]
    flat = values.transpose(*keep, *axes).reshape(*[values.shape[i] for i in keep], -1)
    return np.expand_dims(median(flat, axis=-1)[..., 0], axes)


def _trend(power: NDArray) -> NDArray:
    """Mean powers (time, group, channel, corr) without interference: level x course in time.

    The course is common to the channels, the level is the median over the times.
    """
    if power.shape[0] < _MIN_TIMES:
        return median(power, axis=0)
    common = median(power / median(power, axis=0), axis=2)
    course = np.exp(_parabola(np.log(common.reshape(power.shape[0], -1).astype(float))))
    course = course.reshape(common.shape)
    return course * median(power / course, axis=0)


def _parabola(values: NDArray) -> NDArray:
    """Parabolas in time through most of the values (time, series), whatever the others do.

    A source that drifts through a Gaussian beam follows one in the logarithm. Of many parabolas
    through three of the points, that one is taken which is nearest to the nearest 60 % (least
    median of squares, Rousseeuw 1984), and then fitted to the points near it. Bursts may last
    40 % of the time.
    """
    n_time = values.shape[0]
    powers = np.linspace(-1, 1, n_time)[:, None] ** np.arange(3)
    triples = np.sort(np.random.default_rng(0).integers(0, n_time, (4 * _TRIPLES, 3)), axis=1)
    triples = triples[(np.diff(triples, axis=1) >= n_time // 8).all(axis=1)][:_TRIPLES]
    solve = powers @ np.linalg.inv(powers[triples])  # (triple, time, 3)
    filled = np.nan_to_num(values, nan=np.inf)
    with np.errstate(invalid="ignore"):
        distance = np.abs(filled - np.einsum("ktj,kjs->kts", solve, values[triples]))
    distance = np.nan_to_num(distance, nan=np.inf, posinf=np.inf)
    nearest = int(_MOSTLY * n_time)
    reach = np.partition(distance, nearest, axis=1)[:, nearest]
    best = np.argmin(reach, axis=0)
    series = np.arange(values.shape[1])
    near = _NEAR * reach[best, series] >= distance[best, :, series].T
    near &= np.isfinite(values)
    products = (powers[:, :, None] * powers[:, None, :]).reshape(n_time, 9)
    normal = (near.T @ products).reshape(-1, 3, 3) + 1e-9 * np.eye(3)
    right = np.where(near, values, 0).T @ powers
    return powers @ np.linalg.solve(normal, right[..., None])[..., 0].T
