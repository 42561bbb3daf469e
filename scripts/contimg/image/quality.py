"""How good an image is: noise, residual structure, beam; limits in units of beam and noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from contimg.core.fits import Beam, Image
from contimg.core.instrument import InstrumentOptions
from contimg.core.noisemap import measure_boxes, multiply_by
from contimg.core.records import Check, check
from contimg.core.robust import robust_rms
from contimg.image.grid import Grid
from contimg.image.imager import thinned
from contimg.image.options import ImageOptions
from contimg.image.visibilities import Sampling, thermal_noise

_BOX_BEAMS = 16.0  # side of the boxes of the noise map [beam major axes]
_SAMPLES = 24  # pixels on the side of a box that are looked at: three for two beams


def noise_map(
    residual: NDArray[np.floating], beam_pixels: float
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """(noise [y, x], noise of the boxes, median of the boxes), all [Jy/beam].

    The noise of a box is the robust standard deviation of the residual in it; boxes are half a box
    apart, and in between it is linear.
    """
    side = min(max(8, round(_BOX_BEAMS * beam_pixels)), *residual.shape)
    rms, median = measure_boxes(residual, side, max(1, side // _SAMPLES))
    noise = np.ones(residual.shape, np.float32)
    multiply_by(rms, side, noise)
    return noise, rms, median


def measure(
    images: dict[str, Image],
    pb: NDArray[np.floating],
    rms: tuple[NDArray, NDArray, NDArray],
    sampling: Sampling,
    instrument: InstrumentOptions,
    options: ImageOptions,
    gridded_fraction: float | None,
    beam: Beam,
) -> dict[str, float | int | None]:
    """Noise, peak, structure of the residual, and what was imaged."""
    noise, _, medians = rms
    residual = images["residual"].data
    level = robust_rms(thinned(residual))
    thermal = thermal_noise(sampling, instrument.sefd_jy)
    inside = pb >= options.pb_limit
    peak = float(np.nanmax(np.where(inside, images["image"].data, np.nan)))
    sigma = residual[inside] / noise[inside]
    return {
        "rms_jy_beam": level,
        "thermal_rms_jy_beam": thermal,
        "noise_ratio": level / thermal,
        "rms_min_jy_beam": float(noise[inside].min()),
        "rms_max_jy_beam": float(noise[inside].max()),
        "peak_jy_beam": peak,
        "dynamic_range": peak / level,
        "residual_max_sigma": float(sigma.max()),
        "residual_min_sigma": float(sigma.min()),
        "residual_beyond_5_sigma": float(np.mean(np.abs(sigma) > 5)),
        "residual_skewness": _skewness(sigma),
        "residual_bowl_sigma": float(medians.min() / level),
        "visibilities": sampling.count,
        "unflagged_fraction": sampling.count / sampling.samples,
        "gridded_fraction": gridded_fraction,
        "uncleaned_ratio": uncleaned_ratio(images["psf"], beam),
    }


def _skewness(sigma: NDArray) -> float:
    """Third moment of what lies within ten sigma, in units of the second."""
    kept = sigma[:: max(1, sigma.size // 1_000_000)]
    kept = kept[np.abs(kept) < 10]
    kept = kept - kept.mean()
    return float((kept**3).mean() / (kept**2).mean() ** 1.5)


def checks(
    measured: dict, beam: Beam, grid: Grid, sampling: Sampling, options: ImageOptions
) -> list[Check]:
    """Verdicts on an image."""
    axes = sampling.axes
    full_s = axes.shape[0] * axes.integration_s
    limits = {"warn_above": options.max_beam_ratio, "warn_below": 1 / options.max_beam_ratio}
    peak = max(measured["residual_max_sigma"], -measured["residual_min_sigma"])
    result = [
        check(
            "rms over thermal noise",
            measured["noise_ratio"],
            warn_above=options.max_noise_ratio,
            fail_above=options.fail_noise_ratio,
        ),
        check(
            "pixels across the minor axis",
            beam.minor_deg * 3600 / grid.cell_arcsec,
            warn_below=2.5,
        ),
        check(
            "major axis over that of the uv coverage",
            beam.major_deg / grid.beam.major_deg,
            **limits,
        ),
        check(
            "minor axis over that of the uv coverage",
            beam.minor_deg / grid.beam.minor_deg,
            **limits,
        ),
        check("effective part of the time", sampling.effective_s / full_s, warn_below=0.5),
        check(
            "peak of the residual over the local noise", peak, warn_above=options.max_residual_sigma
        ),
    ]
    if measured["gridded_fraction"] is not None:
        result.append(
            check(
                "gridded fraction of the unflagged visibilities",
                measured["gridded_fraction"],
                fail_below=options.min_gridded,
                # WSClean cuts the uv range at the cells of its uv plane
                warn_above=1.001 if sampling.whole_range else None,
            )
        )
    return result


def uncleaned_ratio(psf: Image, beam: Beam) -> float:
    """What a fit of the restoring beam reads of a source that was not cleaned, over its flux.

    Cleaned sources have the shape of the restoring beam, the others that of the psf, which a dense
    core of the array gives a halo: sum(beam psf) / sum(beam^2) out to 1.5 beams (Jorsater & van
    Moorsel 1995 on the same mismatch of areas).
    """
    peak_y, peak_x = np.unravel_index(np.nanargmax(psf.data), psf.data.shape)
    half = int(np.ceil(1.5 * beam.major_deg / psf.cell_deg))
    part = psf.data[
        max(0, peak_y - half) : peak_y + half + 1, max(0, peak_x - half) : peak_x + half + 1
    ]
    y, x = np.indices(part.shape, dtype=float)
    north = (y - min(peak_y, half)) * psf.cell_deg
    east = -(x - min(peak_x, half)) * psf.cell_deg
    pa = np.radians(beam.pa_deg)
    along = (north * np.cos(pa) + east * np.sin(pa)) / beam.major_deg
    across = (east * np.cos(pa) - north * np.sin(pa)) / beam.minor_deg
    radius = np.hypot(along, across)  # in full widths at half maximum
    model = np.where(radius < 1.5, np.exp(-4 * np.log(2) * radius**2), 0)
    return float((model * part).sum() / (model**2).sum())
