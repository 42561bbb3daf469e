"""Sources that were made steady: what the drift through the beam does to them, and its record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.core.beam import PrimaryBeam
from contimg.core.catalog import at_level, flux_density
from contimg.core.ms import Axes
from contimg.core.predict import beam_track


def modulation(
    sources: pd.DataFrame, beam: PrimaryBeam, axes: Axes, weight: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Beam response less its mean over the times, (time, source, channel).

    `weight` (time, channel) is that of the data, summed over baselines; channels without any have
    the plain mean taken off.
    """
    response = beam_track(sources, beam, axes.freq_hz, axes.pointing_rad)
    total = weight.sum(axis=0)
    share = np.where(total > 0, weight / np.where(total > 0, total, 1), 1 / axes.mjd.size)
    return response - np.einsum("tsc,tc->sc", response, share)


def subtracted(
    record: Mapping[str, Any],
    sources: pd.DataFrame,
    beam: PrimaryBeam,
    axes: Axes,
    weight: NDArray[np.floating],
) -> NDArray[np.float64]:
    """What ``contimg apply`` added to the data of `sources`, (time, source, channel) [Jy].

    `record` is the ``data`` of its record: minus flux density times :func:`modulation` for the
    sources that it names as steadied, zero for the others.
    """
    flux = {item["name"]: item["flux_jy"] for item in record.get("sources_steadied", [])}
    result = np.zeros((axes.mjd.size, len(sources), axes.freq_hz.size))
    named = np.flatnonzero(sources["name"].isin(flux))
    if named.size:
        rows = sources.iloc[named]
        level = at_level(rows, rows["name"].map(flux).to_numpy(float), float(axes.freq_hz.mean()))
        result[:, named] = -flux_density(level, axes.freq_hz) * modulation(rows, beam, axes, weight)
    return result
