"""What an imager gives back, and whether its deconvolution went well."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.core.errors import DataQualityError
from contimg.core.fits import Beam, Image
from contimg.core.robust import robust_rms

_ENOUGH = 1000  # pixels on a side


@dataclass(frozen=True)
class Taper:
    """What the weights make of a round Gaussian of `beams` (FWHM) times the beam.

    The dirty image smoothed to unit sum by that Gaussian, times `to_jy`, is its flux density with
    the error `noise_jy`.
    """

    beams: float
    to_jy: float
    noise_jy: float


@dataclass(frozen=True)
class ImagerOutput:
    """Image, residual, psf, dirty and, if it cleaned, model: as files, or in memory."""

    paths: dict[str, Path]
    gridded: int | None  # visibilities gridded; None where the imager does not count
    software: str
    log: str = ""
    channels: list[Path] = field(default_factory=list)  # images of the parts of the band
    images: dict[str, Image] = field(default_factory=dict)  # in place of files
    gridded_weight: float | None = None  # sum of the weights gridded, where that is told instead
    tapers: list[Taper] = field(default_factory=list)  # to look for what points cannot describe

    def gridded_fraction(self, count: int, weight: float) -> float | None:
        """Part gridded of `count` visibilities whose weights add up to `weight`."""
        if self.gridded is not None:
            return self.gridded / count
        return None if self.gridded_weight is None else self.gridded_weight / weight


def thinned(plane: NDArray[np.floating]) -> NDArray[np.floating]:
    """Every n-th pixel of a large image, for its statistics: neighbours are alike."""
    step = max(1, min(plane.shape) // _ENOUGH)
    return plane[::step, ::step]


def restoring_beam(image: Image) -> Beam:
    """The beam of a restored image; :class:`DataQualityError` when it is none."""
    beam = image.beam
    if beam is None or not np.all(np.isfinite([beam.major_deg, beam.minor_deg, beam.pa_deg])):
        raise DataQualityError("the imager could not fit a restoring beam")
    if not np.isfinite(image.data).any() or beam.minor_deg <= 0:
        raise DataQualityError("the image holds no finite pixel or a beam of no size")
    return beam


def check_deconvolution(images: dict[str, Image], log: str = "") -> dict[str, float]:
    """Flux and extremes of the model; :class:`DataQualityError` when the clean diverged.

    It diverged when the residual is noisier or has higher peaks than the dirty image, or when a
    component exceeds what the dirty image can hold.
    """
    dirty, residual = images["dirty"].data, images["residual"].data
    rms = {name: robust_rms(thinned(images[name].data)) for name in ("dirty", "residual")}
    peak = {name: float(np.nanmax(np.abs(d))) for name, d in (("d", dirty), ("r", residual))}
    model = images["model"].data if "model" in images else np.zeros(1, np.float32)
    found = {
        "model_flux_jy": float(model.sum(dtype=np.float64)),
        "model_max_jy": float(model.max()),
        "model_min_jy": float(model.min()),
        "peak_dirty_jy_beam": peak["d"],
        "peak_residual_jy_beam": peak["r"],
    }
    reasons = []
    if "diverg" in log.lower():
        reasons.append("the imager says so")
    if not rms["residual"] <= 2 * rms["dirty"]:
        reasons.append(f"{rms['residual']:.3g} Jy/beam left of {rms['dirty']:.3g} (rms)")
    if not peak["r"] <= 1.5 * peak["d"]:
        reasons.append(
            f"the residual peaks at {peak['r']:.3g} Jy/beam, the dirty image at {peak['d']:.3g}"
        )
    largest = max(found["model_max_jy"], -found["model_min_jy"])
    if not largest <= 3 * peak["d"]:
        reasons.append(f"a component of {largest:.3g} Jy, the dirty image peaks at {peak['d']:.3g}")
    if reasons:
        raise DataQualityError("the deconvolution diverged: " + "; ".join(reasons))
    return found
