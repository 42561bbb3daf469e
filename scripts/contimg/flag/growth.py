"""Steps that look at flags only: growth, and channels, times and subbands with little left.

"Neighbour" means along the axes of time and channel of one baseline. Neighbouring rows of a
Measurement Set are different baselines.
"""

from __future__ import annotations

import numpy as np

from contimg.flag import kernels
from contimg.flag.context import Subband, count
from contimg.flag.options import FlagOptions


def extend(subband: Subband, options: FlagOptions) -> None:
    """Grow flags in time, in frequency and across the correlations of a baseline."""
    kernels.grow(
        subband.flags,
        options.extend_time,
        options.extend_frequency,
        options.extend_times,
        options.extend_channels,
        options.extend_correlations,
    )


def channel_occupancy(subband: Subband, options: FlagOptions) -> None:
    """Channels of which too much is flagged."""
    fraction = _fraction(subband)
    channels = fraction.mean(axis=0) > options.channel_occupancy
    for channel, corr in np.argwhere(channels):
        subband.flags[:, :, channel, corr] = True


def time_occupancy(subband: Subband, options: FlagOptions) -> None:
    """Integrations of which too much is flagged."""
    times = _fraction(subband).mean(axis=1) > options.time_occupancy
    for time, corr in np.argwhere(times):
        subband.flags[time, ..., corr] = True


def subband_occupancy(subband: Subband, options: FlagOptions) -> None:
    """The whole subband, if too much of it is flagged."""
    if _fraction(subband).mean() > options.subband_occupancy:
        subband.flags[:] = True


def _fraction(subband: Subband) -> np.ndarray:
    """Flagged fraction (time, channel, corr) over the baselines that are not wholly flagged.

    Dead antennas do not count against channels and times.
    """
    n_time, n_base, n_chan, _ = subband.flags.shape
    by_time, by_baseline = count(subband.flags)
    gone = (by_baseline.sum(axis=1) == n_time * n_chan).sum(axis=0)
    alive = n_base - gone
    return np.where(alive > 0, (by_time - gone) / np.maximum(alive, 1), 1.0)
