"""Flagging of one subband: arrays (time, baseline, channel, corr); flags only ever grow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from contimg.convert.options import FlagOptions
from contimg.core.errors import ContimgError


def flag_subband(
    data: NDArray[np.complex64],
    flags: NDArray[np.bool_],
    ant1: NDArray[np.int64],
    ant2: NDArray[np.int64],
    options: FlagOptions,
) -> dict[str, float]:
    """Run the steps of `options` in place; the fraction each one added, by name."""
    steps = {
        "dead": lambda a: flag_dead(a, flags, ant1, ant2, options.dead_ratio),
        "array_rfi": lambda a: flag_array_rfi(a, flags, options.array_rfi_sigma),
        "clip": lambda a: flag_outliers(a, flags, options.clip_sigma),
        "occupancy": lambda a: flag_occupied(flags, ant1, ant2, options.occupancy),
    }
    unknown = sorted(set(options.steps) - set(steps))
    if unknown:
        raise ContimgError(
            f"flag.steps: no step named {', '.join(unknown)}; known: {', '.join(steps)}"
        )
    amplitude = np.abs(data)
    added = {}
    for name in options.steps:
        before = int(flags.sum())
        steps[name](amplitude)
        added[name] = (int(flags.sum()) - before) / flags.size
    return added


def flag_dead(
    amplitude: NDArray[np.float32],
    flags: NDArray[np.bool_],
    ant1: NDArray[np.int64],
    ant2: NDArray[np.int64],
    ratio: float,
) -> None:
    """Flag antennas with much less signal than the others, or with none."""
    per_baseline = (
        np.nanmedian(
            np.where(flags, np.nan, amplitude).swapaxes(0, 1).reshape(len(ant1), -1), axis=1
        )
        if not flags.all()
        else np.full(len(ant1), np.nan)
    )
    per_baseline = np.nan_to_num(per_baseline)
    antennas = np.union1d(ant1, ant2)
    level = {a: np.median(per_baseline[(ant1 == a) | (ant2 == a)]) for a in antennas}
    typical = np.median([v for v in level.values() if v > 0] or [0.0])
    dead = [a for a, v in level.items() if v <= ratio * typical]
    flags[:, np.isin(ant1, dead) | np.isin(ant2, dead)] = True


def flag_array_rfi(amplitude: NDArray[np.float32], flags: NDArray[np.bool_], sigma: float) -> None:
    """Flag times and channels in which the whole array is louder than it should be.

    The mean amplitude over baselines per (time, channel, corr) is compared with its median over
    time (bursts) and that median with its running median over channels (steady lines). Both are
    far more sensitive than any one baseline to interference that all antennas see.
    """
    weights = ~flags
    count = weights.sum(axis=1)
    with np.errstate(invalid="ignore"):
        mean = np.where(count > 0, (amplitude * weights).sum(axis=1) / count, np.nan)
    if not np.isfinite(mean).any():
        return
    with np.errstate(invalid="ignore", all="ignore"):
        steady = _nanmedian(mean, axis=0)
        burst = _above(mean / steady - 1, sigma)
        line = _above(steady / _running_median(steady) - 1, sigma)
    flags |= (burst | line[None])[:, None]


def _above(deviation: NDArray[np.float64], sigma: float) -> NDArray[np.bool_]:
    """Where `deviation` exceeds `sigma` robust standard deviations above its median."""
    finite = deviation[np.isfinite(deviation)]
    centre = np.median(finite)
    scatter = 1.4826 * np.median(np.abs(finite - centre))
    # a floor of 0.2 % keeps noise-free data whole
    return np.nan_to_num(deviation - centre, nan=0.0) > sigma * max(scatter, 2e-3)


def _running_median(spectrum: NDArray[np.float64], width: int = 9) -> NDArray[np.float64]:
    """Median over `width` channels of (channel, corr), shorter at the edges."""
    half = width // 2
    padded = np.pad(spectrum, ((half, half), (0, 0)), constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, width, axis=0)
    return _nanmedian(windows, axis=-1)


def _nanmedian(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Median ignoring NaN; NaN, silently, where there is nothing else."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmedian(values, axis=axis)


def flag_outliers(amplitude: NDArray[np.float32], flags: NDArray[np.bool_], sigma: float) -> None:
    """Flag samples far above the median amplitude of their baseline and correlation."""
    n_time, n_base, n_chan, n_corr = amplitude.shape
    step = max(1, 4_000_000 // max(n_time * n_chan * n_corr, 1))
    for first in range(0, n_base, step):
        block = slice(first, first + step)
        values = np.where(flags[:, block], np.nan, amplitude[:, block])
        values = values.transpose(1, 3, 0, 2).reshape(-1, n_corr, n_time * n_chan)
        centre = _nanmedian(values, axis=-1)[..., None]
        scatter = 1.4826 * _nanmedian(np.abs(values - centre), axis=-1)[..., None]
        with np.errstate(invalid="ignore"):
            loud = values - centre > sigma * np.maximum(scatter, 2e-3 * centre)
        loud = loud.reshape(-1, n_corr, n_time, n_chan).transpose(2, 0, 3, 1)
        flags[:, block] |= loud


def flag_occupied(
    flags: NDArray[np.bool_], ant1: NDArray[np.int64], ant2: NDArray[np.int64], limit: float
) -> None:
    """Flag the whole of a channel, time or antenna of which more than `limit` is flagged.

    Baselines that are wholly flagged (dead antennas) do not count against channels and times.
    """
    alive = ~flags.all(axis=(0, 2, 3))
    if not alive.any():
        return
    live = flags[:, alive]
    flags[:, :, live.mean(axis=(0, 1)) > limit] |= True
    flags[live.mean(axis=(1, 2, 3)) > limit] = True
    fraction = flags.mean(axis=(0, 2, 3))
    for antenna in np.union1d(ant1, ant2):
        mine = (ant1 == antenna) | (ant2 == antenna)
        if np.mean(fraction[mine & alive]) > max(limit, 0.9) if (mine & alive).any() else False:
            flags[:, mine] = True
