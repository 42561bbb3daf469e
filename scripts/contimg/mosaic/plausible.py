"""What no tile can hold: pixels and primary beams beyond what its record and its beam allow.

A second look, independent of checksums, where numbers are combined: one wrong bit in an exponent
makes a pixel of 1e36 Jy/beam, or a weight without end.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from contimg.mosaic.planes import Plane

_ROWS = 256  # looked at together
_SIGMA = 20.0  # a pixel above the peak, or below its negative, by more than so many times the noise
_BEAM_EXCESS = 1.1  # over the response that a fiftieth of the field exceeds


def implausible(
    image: Plane,
    residual: Plane,
    pb: Plane,
    *,
    peak_jy_beam: float,
    rms_jy_beam: float,
    floor: float,
) -> str:
    """What is wrong with the pixels where the primary beam is above `floor`; empty if nothing.

    `peak_jy_beam` is that of the image as it was measured, NaN where it is not on record: then
    only numbers without end are refused. Image and residual as they are before a division by the
    primary beam.
    """
    limit = abs(peak_jy_beam) + _SIGMA * rms_jy_beam
    highest = 0.0
    usual = _usual_response(pb, floor)
    for response, *planes in _strips(pb, image, residual):
        if np.isinf(response).any():
            return "its primary beam has a pixel without end"
        inside = response >= floor
        if inside.any():
            highest = max(highest, float(response[inside].max()))
        for what, values in zip(("image", "residual"), planes, strict=True):
            worst = float(np.abs(values[inside]).max(initial=0.0, where=~np.isnan(values[inside])))
            if np.isinf(worst) or worst > limit:
                return (
                    f"a pixel of {worst:.3g} Jy/beam in its {what}, where its peak of "
                    f"{peak_jy_beam:.3g} and its noise allow {limit:.3g}"
                )
    if highest > _BEAM_EXCESS * usual:
        return f"its primary beam has a pixel of {highest:.3g}, its middle one of {usual:.3g}"
    return ""


def _usual_response(pb: Plane, floor: float) -> float:
    """The response near the middle of the beam: that of a fiftieth of the field is higher."""
    step = max(1, max(pb.shape) // 512)
    values = np.array(pb.data[::step, ::step], dtype=np.float32)
    values = values[np.isfinite(values) & (values >= floor)]
    return float(np.quantile(values, 0.98)) if values.size else np.inf


def _strips(*planes: Plane) -> Iterator[list[NDArray[np.float32]]]:
    for first in range(0, planes[0].shape[0], _ROWS):
        yield [np.array(p.data[first : first + _ROWS], dtype=np.float32) for p in planes]
