"""Steps that find antennas, or one of their polarisations, that do not work."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from contimg.core.errors import ContimgError
from contimg.flag import kernels
from contimg.flag.context import Subband, count, median, robust_sigma
from contimg.flag.options import FlagOptions

# antennas are compared with each other; fewer have no majority
MIN_ANTENNAS = 5
# an antenna must also be this far from the others in units of their own scatter
_SIGMA = 4.0
# the coherence of the others must exceed that of noise on one antenna by this factor
_MEASURABLE = 15.0
# a smaller share of noise in the power is not told from none
_NOISE_FREE = 0.05
_TIME_STRIDE = 2
_LENGTH_CLASSES = 8
_MEMBERS = 100

# wider channels than this lose their likeness to a cable delay that is still to be solved for
# (50 ns turn the next channel by 0.3 rad), and say nothing about what an antenna sees
_COHERENT_HZ = 1e6


def autos(subband: Subband, options: FlagOptions) -> None:
    """Antennas whose autocorrelation is missing, or far from the others'."""
    if subband.context.autos is None:
        raise ContimgError("flag.steps: autos: these data hold no autocorrelations; leave it out")
    power = np.where(subband.context.autos > 0, subband.context.autos, np.nan)
    level = median(power.transpose(1, 3, 0, 2).reshape(*power.shape[1::2], -1), axis=-1)[..., 0]
    used = subband.context.incidence.any(axis=1)
    level[~used] = np.nan
    subband.flag_antennas(_off(level, options.autos_factor, both=True) | np.isnan(level))


def dead_antennas(subband: Subband, options: FlagOptions) -> None:
    """Antennas with next to no signal, or of which next to nothing is left."""
    level = antenna_levels(subband)
    dead = np.isnan(level) | (level <= options.dead_ratio * median(level, axis=0))
    subband.flag_antennas(dead)
    flagged = _flagged(subband)
    subband.flag_antennas(np.nan_to_num(flagged, nan=1.0) > options.dead_flagged)


def outlying_antennas(subband: Subband, options: FlagOptions) -> None:
    """Antennas and single polarisations unlike the others in amplitude or in what they see.

    Noise of the right strength passes any test of amplitudes. What such an input lacks is the
    sky: the signal that neighbouring channels of its baselines have in common.
    """
    bad = _off(antenna_levels(subband), options.outlying_factor, both=True)
    narrow = np.ptp(subband.context.freq_hz) < _COHERENT_HZ * subband.context.freq_hz.size
    if bad.shape[0] >= MIN_ANTENNAS and narrow:
        bad |= _blind(subband, options.outlying_coherence)
    subband.flag_antennas(bad)


def antenna_levels(subband: Subband) -> NDArray[np.float64]:
    """Median over its baselines of an antenna's amplitude (antenna, corr); NaN if it has none."""
    level = np.where(subband.level > 0, subband.level, np.nan).astype(float)
    return _over_baselines(subband, level)


def _over_baselines(subband: Subband, values: NDArray) -> NDArray[np.float64]:
    """Median over the baselines of each antenna of `values` (baseline, corr)."""
    members = subband.context.members
    own = np.where((members >= 0)[..., None], values[members], np.nan)
    return median(own, axis=1)[:, 0]


def _off(level: NDArray[np.float64], factor: float, *, both: bool) -> NDArray[np.bool_]:
    """Where a level (antenna, corr) is a factor and 4 of their sigma off those of the others."""
    with np.errstate(invalid="ignore", divide="ignore"):
        log = np.log(np.where(level > 0, level, np.nan))
        distance = np.abs(log - median(log, axis=0))
        limit = np.maximum(np.log(factor), _SIGMA * robust_sigma(log, axis=(0,)))
        return distance > limit


def _blind(subband: Subband, ratio: float) -> NDArray[np.bool_]:
    """Antennas and polarisations (antenna, corr) that do not see the sky as the others see it.

    Compared is the ratio of the powers of signal and noise, in which gains cancel.
    """
    data, context = subband.data, subband.context
    n_base, n_corr = data.shape[1], data.shape[3]
    shared, power, pairs = np.empty((3, n_base, n_corr), np.float32)
    stride = _TIME_STRIDE if data.shape[0] > 8 else 1
    kernels.coherence(
        data, subband.flags, subband.amplitude, subband.level, stride, shared, power, pairs
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        fraction = np.where(pairs > 0, shared / power, np.nan)
        signal = fraction / np.maximum(1 - fraction, _NOISE_FREE)
    # resolved or smeared sources weaken long baselines: compare like with like
    classes = context.by_length(_LENGTH_CLASSES, _MEMBERS)
    typical = np.full((classes.max() + 1, n_corr), np.nan)
    for number in range(classes.max() + 1):
        typical[number] = median(fraction[classes == number], axis=0)[0]
    # of independent noise, on one baseline
    error = 1 / np.sqrt(2 * np.maximum(pairs, 1))
    per_antenna = np.sqrt(max(1, len(context.antenna_names) - 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        measurable = typical[classes] > _MEASURABLE * error / per_antenna
        usual = typical[classes] / np.maximum(1 - typical[classes], _NOISE_FREE)
        relative = np.where(measurable, signal / usual, np.nan)
        blind = _over_baselines(subband, relative) < ratio
    mine = context.incidence.astype(np.int64)
    enough = mine @ np.isfinite(relative) > mine.sum(axis=1)[:, None] / 2
    return blind & enough


def _flagged(subband: Subband) -> NDArray[np.float64]:
    """Flagged fraction (antenna, corr) of an antenna's baselines that are not wholly flagged."""
    n_time, _, n_chan, _ = subband.flags.shape
    _, by_baseline = count(subband.flags)
    fraction = by_baseline.sum(axis=1) / (n_time * n_chan)
    alive = (fraction < 1).astype(float)
    incidence = subband.context.incidence.astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (incidence @ (fraction * alive)) / (incidence @ alive)
