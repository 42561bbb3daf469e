"""Options of imaging, in the field's words."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from contimg.core.options import Limit, Options
from contimg.image.units import flux_jy


class ImageOptions(Options):
    """How a tile is imaged. What is unset follows from the tier, the beam or the field.

    The same words serve both imagers; one that an imager does not know is refused, not ignored.
    """

    section = "image"
    planning = frozenset({"memory_gb"})
    backend: Literal["auto", "wsclean", "tclean", "residual"] = Field(
        "residual",
        description="imager; residual: own, for data whose sources are subtracted: grids once"
        " (ducc0) and cleans little; auto: WSClean if installed, else tclean, decided at start",
    )
    tier: Literal["development", "standard", "high_precision"] = Field(
        "standard",
        description="quality tier: preset of what is unset below, and part of the products' names",
    )
    imsize: int | None = Field(
        None,
        ge=64,
        le=65536,
        description="pixels on a side (out to where the beam is pb_edge if unset)",
    )
    cell_arcsec: float | None = Field(
        None, ge=1e-3, le=3600, description="pixel [arcsec] (from pixels_per_beam if unset)"
    )
    pixels_per_beam: float | None = Field(
        None,
        ge=2,
        description="pixels across the minor axis of the beam that the uv coverage gives (tier)",
    )
    pb_edge: float = Field(
        0.1, gt=0, lt=1, description="beam response at the edge of an image of derived size"
    )
    phase_center: str | None = Field(
        None, description="centre of the image, 'ra_deg dec_deg' ICRS (that of the data if unset)"
    )
    weighting: Literal["natural", "uniform", "briggs"] | None = Field(
        None, description="weighting of the visibilities (tier)"
    )
    robust: float | None = Field(
        None, ge=-2, le=2, description="robust parameter of Briggs weighting (tier)"
    )
    uv_min_lambda: float = Field(0.0, ge=0, description="shortest baseline imaged [wavelengths]")
    uv_max_lambda: float | None = Field(
        None, gt=0, description="longest baseline imaged [wavelengths]"
    )
    deconvolver: Literal["hogbom", "clark", "multiscale"] | None = Field(
        None, description="minor cycle of clean (tier)"
    )
    scales: list[int] | None = Field(
        None, description="scales of multiscale clean [pixels] (0 5 15 45 if unset)"
    )
    nterms: int = Field(
        1, ge=1, le=4, description="terms of the polynomial fitted to each component's spectrum"
    )
    channels_out: int | None = Field(
        None,
        ge=1,
        description="parts of the band imaged jointly (4 with nterms > 1, else 1; WSClean)",
    )
    niter: int | None = Field(
        None, ge=0, description="largest number of clean iterations; 0: dirty image (tier)"
    )
    major_cycles: int | None = Field(
        None, ge=1, description="largest number of major cycles (the imager's own if unset)"
    )
    gain: float | None = Field(
        None, gt=0, le=1, description="part of a peak subtracted in an iteration (imager's own)"
    )
    mgain: float | None = Field(
        None, gt=0, le=1, description="part of the peak cleaned in a major cycle (tier; WSClean)"
    )
    threshold: str | None = Field(
        None, description="flux density at which clean stops, with its unit: 0.5mJy, 120uJy"
    )
    auto_threshold: float | None = Field(
        None, gt=0, description="level at which clean stops [sigma of the residual] (tier)"
    )
    auto_mask: float | None = Field(
        None, gt=0, description="level above which components are found [sigma] (tier)"
    )
    mask_catalog: bool | None = Field(
        None, description="clean only within circles about catalogued sources (tier)"
    )
    mask_min_jy: float = Field(
        0.005,
        gt=0,
        description="smallest apparent flux density of a source in the catalogue mask [Jy]",
    )
    mask_radius_beams: float = Field(
        2.0, gt=0, description="radius of a circle of the catalogue mask [beam major axes]"
    )
    mask_regions: Path | None = Field(
        None, description="region file (CRTF or DS9); clean only there, and in the catalogue mask"
    )
    outliers: bool = Field(
        True, description="subtract bright catalogued sources outside the image before imaging"
    )
    outlier_min_jy: float = Field(
        0.02, gt=0, description="apparent flux density from which a source outside counts [Jy]"
    )
    subtract_sources: bool = Field(
        True,
        description="fit the catalogued sources to the visibilities, subtract them before imaging"
        " and put them back as restoring beams",
    )
    subtract_min_sigma: float = Field(
        2.0, gt=0, description="faintest of them, by the catalogue [thermal noise]"
    )
    gridder: Literal["wgridder", "wstacking", "standard", "wproject"] | None = Field(
        None,
        description="wgridder or wstacking of WSClean, standard or wproject of tclean"
        " (wgridder, wproject if unset)",
    )
    gridder_accuracy: float | None = Field(
        None, gt=0, le=0.1, description="relative accuracy of the wgridder (tier; WSClean)"
    )
    wprojplanes: int | None = Field(
        None, ge=1, description="w planes of wproject (CASA's choice if unset; tclean)"
    )
    beam_fitting_size: float | None = Field(
        None,
        gt=0,
        description="box about the peak of the psf to which the beam is fitted [beams of the"
        " longest baseline] (tier; WSClean)",
    )
    psf_cutoff: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="level above which the beam is fitted to the psf (tier; tclean)",
    )
    baseline_averaging_lambda: float | None = Field(
        None, gt=0, description="averaging in time as baselines allow [wavelengths] (WSClean)"
    )
    memory_gb: float | None = Field(None, gt=0, description="memory of the imager [GB] (WSClean)")
    pb_limit: float = Field(
        0.2, gt=0, lt=1, description="no primary-beam correction below this response"
    )
    apply_flux_scale: bool = Field(
        False, description="divide a tile by its flux scale as measured against the catalogue"
    )
    min_gridded: Limit = Field(
        0.99, ge=0, le=1, description="fraction of unflagged visibilities that must be imaged"
    )
    max_noise_ratio: Limit = Field(
        3.0, gt=0, description="rms over the thermal expectation beyond which an image warns"
    )
    fail_noise_ratio: Limit = Field(
        20.0, gt=0, description="rms over the thermal expectation beyond which an image fails"
    )
    max_residual_sigma: Limit = Field(
        12.0, gt=0, description="peak of the residual over the local noise that warns"
    )
    max_extended_sigma: Limit = Field(
        7.0,
        gt=0,
        description="emission larger than the beam that points do not describe, over its noise,"
        " that warns (imager residual)",
    )
    max_beam_ratio: Limit = Field(
        1.3, gt=1, description="beam axis over that of the uv coverage that warns, either way"
    )
    max_offset_beams: Limit = Field(
        0.1, gt=0, description="offset from the catalogue that warns [beam minor axes]"
    )
    max_offset_arcsec: Limit = Field(
        1.0, gt=0, description="offset from the catalogue that warns, if that is less [arcsec]"
    )
    max_turn_arcsec_deg: Limit = Field(
        1.0,
        gt=0,
        description="rotation, or error of the scale, of positions that warns [arcsec/deg]",
    )
    max_flux_scale_error: Limit = Field(
        0.05, gt=0, description="error of the flux scale against the catalogue that warns"
    )
    max_flux_gradient: Limit = Field(
        0.02, gt=0, description="gradient of flux ratios over the field that warns [1/deg]"
    )
    max_dish_error: Limit = Field(
        0.02, gt=0, description="relative error of the dish diameter that makes the beam that warns"
    )
    max_subband_error: Limit = Field(
        0.05,
        gt=0,
        description="a subband against the others, relative amplitude or rad, that warns",
    )
    max_negative_peaks: Limit = Field(
        8.0, ge=0, description="peaks below -5 sigma beyond which an image warns"
    )
    min_reliability: Limit = Field(
        0.8,
        ge=0,
        le=1,
        description="part of the detections above 5 sigma, and above the faint end of the"
        " catalogue, that the catalogue must have",
    )
    min_completeness: Limit = Field(
        0.9, ge=0, le=1, description="part of the catalogued sources above 10 sigma to be found"
    )

    @field_validator("threshold", mode="before")
    @classmethod
    def _threshold_has_a_unit(cls, value: Any) -> Any:
        if value is not None:
            flux_jy(str(value))
            return str(value).strip()
        return value

    @field_validator("phase_center")
    @classmethod
    def _centre_is_a_position(cls, value: str | None) -> str | None:
        if value is not None:
            parse_center(value)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> ImageOptions:
        if self.uv_max_lambda is not None and self.uv_max_lambda <= self.uv_min_lambda:
            raise ValueError("uv_max_lambda must be greater than uv_min_lambda")
        if self.scales is not None and self.deconvolver != "multiscale":
            raise ValueError("scales need deconvolver multiscale")
        if self.robust is not None and self.weighting in ("natural", "uniform"):
            raise ValueError(f"robust needs weighting briggs, not {self.weighting}")
        if self.channels_out is not None and self.channels_out < self.nterms:
            raise ValueError("channels_out must be at least nterms")
        if self.apply_flux_scale and (self.channels_out or 1) > 1:
            raise ValueError("apply_flux_scale cannot be had with channels_out: no scale a part")
        return self


def parse_center(text: str) -> tuple[float, float]:
    """(ra, dec) [deg] of ``'ra_deg dec_deg'``; `ValueError` when it is none."""
    words = re.split(r"[\s,]+", text.strip())
    try:
        ra, dec = (float(word) for word in words)
    except ValueError:
        raise ValueError(f"{text!r} is not 'ra_deg dec_deg' (ICRS)") from None
    if not (0 <= ra < 360 and -90 <= dec <= 90):
        raise ValueError(f"{text!r} is no position: 0 <= ra_deg < 360, -90 <= dec_deg <= 90")
    return ra, dec


def resolve_backend(backend: str) -> str:
    """What ``auto`` means on this machine."""
    if backend != "auto":
        return backend
    return "wsclean" if shutil.which("wsclean") else "tclean"
