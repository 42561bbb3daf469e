"""Which integrations of a transit are worth solving on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.calibrate.options import CalibrateOptions
from contimg.core.beam import PrimaryBeam
from contimg.core.catalog import flux_density
from contimg.core.coords import mjd_time
from contimg.core.errors import DataQualityError
from contimg.core.ms import Axes
from contimg.core.predict import beam_track

_IN_BEAM = 0.01  # below it lie the sidelobes, of which no model of the beam is to be believed


@dataclass(frozen=True)
class Integrations:
    """The consecutive integrations first..last (inclusive) of an observation."""

    first: int
    last: int
    apparent_jy: NDArray[np.float64]  # (time,) beam x flux density of the calibrator

    @property
    def chosen(self) -> slice:
        """Slice along the time axis."""
        return slice(self.first, self.last + 1)

    def timerange(self, axes: Axes) -> str:
        """CASA selection of the integrations; empty when it is all of them.

        The limits lie between integrations: CASA compares them with mid-points.
        """
        if self.last - self.first + 1 == axes.mjd.size:
            return ""
        half = axes.integration_s / 2 / 86400
        limits = [axes.mjd[self.first] - half, axes.mjd[self.last] + half]
        return "~".join(mjd_time(mjd).strftime("%Y/%m/%d/%H:%M:%S.%f") for mjd in limits)

    def describe(self, axes: Axes) -> dict[str, object]:
        """What the record says."""
        return {
            "used": self.last - self.first + 1,
            "of": int(axes.mjd.size),
            "first_mjd": float(axes.mjd[self.first]),
            "last_mjd": float(axes.mjd[self.last]),
            "transit_mjd": float(axes.mjd[np.argmax(self.apparent_jy)]),
            "apparent_min_jy": round(float(self.apparent_jy[self.chosen].min()), 4),
            "apparent_max_jy": round(float(self.apparent_jy.max()), 4),
        }


def choose(
    calibrator: pd.DataFrame, axes: Axes, beam: PrimaryBeam, options: CalibrateOptions
) -> Integrations:
    """Integrations about the maximum of beam x flux density, at the middle of the band.

    The pointing of each integration is that of the data (apparent place, brought to ICRS), so
    that the maximum is the apparent transit. Used is the unbroken run about the maximum with at
    least ``min_pb`` of it, cut to the best ``window`` of them.
    """
    freq = axes.freq_hz.mean(keepdims=True)
    response = beam_track(calibrator, beam, freq, axes.pointing_rad)[:, 0, 0]
    apparent = response * flux_density(calibrator, freq)[0, 0]
    peak = first = last = int(np.argmax(apparent))
    if response[peak] < _IN_BEAM:
        name = calibrator["name"].iloc[0]
        raise DataQualityError(
            f"{name} is outside the beam (response {response[peak]:.2g} at most): its position in"
            " the table of calibrators is wrong, or these are data of another field"
        )
    limit = options.min_pb * apparent[peak]
    longest = options.window or apparent.size
    while last - first + 1 < longest:
        before = apparent[first - 1] if first > 0 else -np.inf
        after = apparent[last + 1] if last + 1 < apparent.size else -np.inf
        if max(before, after) < limit:
            break
        if before >= after:
            first -= 1
        else:
            last += 1
    return Integrations(first, last, apparent)
