"""Options of the fit to a tile's visibilities."""

from __future__ import annotations

from pydantic import Field

from contimg.core.options import Limit, Options


class FluxFitOptions(Options):
    """How flux densities are fitted to the visibilities of a tile."""

    section = "flux_fit"
    parts: int = Field(
        4, ge=1, le=64, description="parts of the band with flux densities of their own"
    )
    min_beam: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="beam response, mean over the tile, from which sources are measured",
    )
    model_min_jy: float = Field(
        0.001,
        ge=0,
        description="apparent flux density by the catalogue above which sources farther out take"
        " part in the fit [Jy]",
    )
    spectral_index: float = Field(
        -0.7, description="of sources whose spectral index the catalogue does not give"
    )
    duplicate_arcsec: float = Field(
        3.0, ge=0, description="sources closer than this are fitted as their sum and flagged"
    )
    null_targets: int = Field(
        100, ge=0, le=2000, description="empty places fitted with the sources, to measure errors"
    )
    null_warn: Limit = Field(
        1.3, gt=1, description="scatter of the empty places over their errors that warns"
    )
    null_fail: Limit = Field(3.0, gt=1, description="and that fails the tile")
    position_snr: float = Field(
        20.0, ge=10, description="signal to noise from which positions are fitted as well"
    )
    position_limit_arcsec: float = Field(
        10.0, gt=0, description="a fitted position farther from the catalogue's is not believed"
    )
    uv_min_lambda: float = Field(
        0.0, ge=0, description="shortest baseline that is used [wavelengths]"
    )
    channel_smearing: bool = Field(
        True,
        description="model the loss of amplitude across a channel (off for simulated data that"
        " were made without it)",
    )
    time_smearing: bool = Field(
        True, description="model the loss of amplitude across an integration"
    )
    confusion_f2: float | None = Field(
        None,
        ge=0,
        description="f^2 of weights w / (1 + W f^2), W the sum of the weights of the uv cell, in"
        " units of 1 / weight; unset: from the power that the model leaves",
    )
    search_rounds: int = Field(
        4, ge=0, le=20, description="times the residual is searched for sources, at most"
    )
    search_snr: float = Field(
        7.0,
        ge=5,
        description="signal to noise of a new source, in the residual image and in the last fit",
    )
    search_dynamic: float = Field(
        0.01,
        ge=0,
        lt=1,
        description="part of a bright source's apparent flux density below which peaks near it"
        " are not believed",
    )
    search_robust: float = Field(
        0.0, ge=-2, le=2, description="Briggs' robust parameter of the residual image"
    )
