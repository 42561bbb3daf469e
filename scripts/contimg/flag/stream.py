"""Flagging of a subband while it streams by: arrays (time, baseline, channel, corr) in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from contimg.flag import antennas, growth, interference, kernels, selection
from contimg.flag.context import Subband, SubbandContext
from contimg.flag.options import FlagOptions

__all__ = ["SubbandContext", "flag_invalid", "run_steps"]

_STEPS: dict[str, Callable[[Subband, FlagOptions], None]] = {
    function.__name__: function
    for function in (
        selection.zeros,
        selection.clip,
        selection.shadow,
        selection.quack,
        selection.elevation,
        selection.uvrange,
        selection.antenna,
        selection.baselines,
        selection.manual,
        antennas.autos,
        antennas.dead_antennas,
        antennas.outlying_antennas,
        interference.antenna_rfi,
        interference.array_rfi,
        interference.baseline_rfi,
        interference.mad_clip,
        growth.extend,
        growth.channel_occupancy,
        growth.time_occupancy,
        growth.subband_occupancy,
    )
}


def flag_invalid(
    data: NDArray[np.complex64], flags: NDArray[np.bool_], nsamples: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Flag what cannot be a measurement: not finite, absurd, exactly zero, without samples.

    Such values are set to zero as well, so that no later step can meet them. Arrays of one shape,
    contiguous; `data` and `flags` are changed in place.
    """
    _require_contiguous(data, flags, nsamples)
    kernels.flag_invalid(data.reshape(-1), flags.reshape(-1), nsamples.reshape(-1))
    return flags


def run_steps(
    steps: Sequence[str],
    data: NDArray[np.complex64],
    flags: NDArray[np.bool_],
    nsamples: NDArray[np.float32] | None,
    context: SubbandContext,
    options: FlagOptions,
) -> dict[str, float]:
    """Run named steps on one subband; the fraction that each one added.

    Arrays (time, baseline, channel, corr), cross-correlations only, contiguous, changed in place;
    `nsamples` None where all samples count. Flags only ever grow, but for the step `reset`, which
    can only be the first and clears all (its fraction is negative).
    """
    _require_contiguous(data, flags)
    subband = Subband(data, flags, context)
    added: dict[str, float] = {}
    size = max(flags.size, 1)
    before = np.count_nonzero(flags)
    for name in steps:
        if name == "reset":
            flags[:] = False
        elif name == "invalid":
            flag_invalid(data, flags, np.ones(data.shape, "f4") if nsamples is None else nsamples)
        else:
            _STEPS[name](subband, options)
        after = np.count_nonzero(flags)
        added[name] = added.get(name, 0.0) + (after - before) / size
        before = after
    return added


def _require_contiguous(*arrays: NDArray) -> None:
    for array in arrays:
        if not array.flags.c_contiguous:
            raise ValueError("flagging needs C-contiguous arrays, which it changes in place")
