"""Options of imaging, in the field's words."""

from __future__ import annotations

import shutil
from typing import Literal

from pydantic import Field

from contimg.core.options import Options


class ImageOptions(Options):
    """How a tile is imaged. Angles and sizes not given follow from the beam."""

    section = "image"
    backend: Literal["auto", "wsclean", "tclean"] = Field(
        "auto", description="imager; auto: WSClean if installed, else tclean, decided at start"
    )
    tier: Literal["development", "standard", "high_precision"] = Field(
        "standard", description="quality tier, part of the products' names"
    )
    cell_arcsec: float | None = Field(
        None,
        gt=0,
        description="pixel [arcsec] (four across the fringe of the longest baseline if unset)",
    )
    imsize: int | None = Field(
        None, ge=64, description="pixels on a side (out to where the beam is pb_edge if unset)"
    )
    pb_edge: float = Field(
        0.1, gt=0, lt=1, description="beam response at the edge of an image of derived size"
    )
    robust: float = Field(0.5, ge=-2, le=2, description="Briggs robust parameter")
    niter: int = Field(50_000, ge=0, description="largest number of clean iterations")
    mgain: float = Field(0.8, gt=0, le=1, description="fraction cleaned a major cycle")
    auto_mask: float = Field(4.0, gt=0, description="mask level [sigma]")
    auto_threshold: float = Field(1.0, gt=0, description="final clean level in the mask [sigma]")
    uv_min_lambda: float = Field(0.0, ge=0, description="shortest baseline imaged [wavelengths]")
    pb_limit: float = Field(
        0.2, gt=0, lt=1, description="no primary-beam correction below this response"
    )
    min_gridded: float = Field(
        0.99, ge=0, le=1, description="fraction of unflagged visibilities that must be imaged"
    )
    max_noise_ratio: float = Field(
        3.0, gt=0, description="rms over the thermal expectation beyond which an image warns"
    )
    fail_noise_ratio: float = Field(
        20.0, gt=0, description="rms over the thermal expectation beyond which an image fails"
    )


def resolve_backend(backend: str) -> str:
    """What ``auto`` means on this machine."""
    if backend != "auto":
        return backend
    return "wsclean" if shutil.which("wsclean") else "tclean"
