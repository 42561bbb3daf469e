"""Options of the calibration."""

from __future__ import annotations

from pydantic import Field

from contimg.core.options import Options


class CalibrateOptions(Options):
    """How K, B and G are solved."""

    section = "calibrate"
    refant: list[str] | None = Field(
        None, description="reference antennas by name, best first (ranked by health if unset)"
    )
    uvrange: str = Field("", description="baselines used in the solutions, CASA syntax")
    minsnr: float = Field(3.0, ge=0, description="smallest signal-to-noise ratio of a solution")
    minblperant: int = Field(4, ge=1, description="baselines an antenna must have")
    prebandpass_solint: str = Field(
        "60s", description="interval of the phases taken out before the bandpass"
    )
    bandpass_fillgaps: int = Field(3, ge=0, description="channels interpolated in B")
    gain_solint: str = Field("inf", description="solution interval of G")
    model_min_jy: float = Field(
        0.005,
        ge=0,
        description="faintest apparent flux density of a field source in the model [Jy]",
    )
    max_flagged: float = Field(
        0.3, ge=0, le=1, description="a calset with more of its solutions flagged warns"
    )
    fail_flagged: float = Field(
        0.6, ge=0, le=1, description="a calset with more of its solutions flagged fails"
    )


class ApplyOptions(Options):
    """How tiles are calibrated and averaged."""

    section = "apply"
    calwt: bool = Field(True, description="scale the weights with the gains")
    channel_bin: int | None = Field(
        None, ge=1, description="channels averaged (from the smearing limit if unset)"
    )
    smearing_limit: float = Field(
        0.01,
        gt=0,
        description="largest amplitude loss by averaging where the beam is smearing_pb",
    )
    smearing_pb: float = Field(
        0.2, gt=0, lt=1, description="beam response at which smearing is judged"
    )
    drift_min_jy: float = Field(
        0.005,
        gt=0,
        description="catalogued sources whose apparent flux density changes by more than this"
        " during a tile [Jy] are made steady (their mean stays as measured)",
    )
    min_usable: float = Field(
        0.1, ge=0, le=1, description="fraction of calibrated data below which a tile fails"
    )
