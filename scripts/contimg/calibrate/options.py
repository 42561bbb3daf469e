"""Options of the calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from contimg.core.options import Limit, Options
from contimg.core.shared import FieldScale


class CalibrateOptions(Options):
    """How K, B and G are solved. What is marked (preset) follows from the preset if unset."""

    section = "calibrate"
    preset: Literal["development", "standard", "high_precision"] = Field(
        "standard",
        description="preset of what is unset below; development never calibrates other tiers",
    )
    refant: list[str] | None = Field(
        None,
        description="reference antennas by name, best first; one that is not healthy is passed"
        " over (ranked by health if unset)",
    )
    refant_prefer: list[str] | None = Field(
        None, description="antennas by name that the ranking puts first if they are healthy"
    )
    uvrange: str | None = Field(
        None, description="baselines used in the solutions, CASA syntax (preset)"
    )
    minblperant: int | None = Field(None, ge=1, description="baselines an antenna needs (preset)")
    parang: bool = Field(False, description="correct for the parallactic angle")

    min_pb: float = Field(
        0.5,
        ge=0,
        le=1,
        description="integrations are used where beam x flux density of the calibrator is at"
        " least this part of its maximum",
    )
    window: int | None = Field(
        None, ge=1, description="use only so many integrations about the transit (preset)"
    )

    min_coherence: float = Field(
        0.1,
        ge=0,
        description="a feed with less calibrator signal than this x the array's is flagged: dead,"
        " correlations swapped, or delay far off",
    )
    max_jump: float = Field(
        0.1,
        gt=0,
        description="a feed whose gain steps by more than this part (of the complex gain) within"
        " the observation is flagged",
    )

    delays: bool = Field(True, description="solve for delays, K")
    delay_solint: str | None = Field(None, description="solution interval of K (preset)")
    delay_combine: str = Field("scan", description="what K is solved across: scan, field, spw")
    delay_minsnr: float | None = Field(
        None, ge=0, description="smallest signal-to-noise ratio in K (preset)"
    )

    prebandpass: bool = Field(True, description="take out phases before B is solved")
    prebandpass_solint: str | None = Field(None, description="their interval (preset)")
    prebandpass_combine: str = Field("", description="what they are solved across")
    prebandpass_minsnr: float | None = Field(
        None, ge=0, description="their smallest signal-to-noise ratio (preset)"
    )

    bandpass_solint: str | None = Field(
        None, description='interval of B, with channels averaged as in "inf,4ch" (preset)'
    )
    bandpass_combine: str = Field("scan", description="what B is solved across")
    bandpass_minsnr: float | None = Field(
        None, ge=0, description="smallest signal-to-noise ratio in B (preset)"
    )
    bandpass_fillgaps: int | None = Field(
        None, ge=0, description="longest gap of channels in B that is interpolated (preset)"
    )
    bandpass_smooth_mhz: float = Field(
        0.0, ge=0, description="B is smoothed over this width; 0 for none [MHz]"
    )

    gain_solint: str | None = Field(None, description="interval of G (preset)")
    gain_combine: str | None = Field(
        None, description="what G is solved across (scan if its interval is inf, else nothing)"
    )
    gain_calmode: Literal["ap", "p", "a"] | None = Field(
        None, description="G: ap amplitude and phase, p phase, a amplitude (preset)"
    )
    gain_minsnr: float | None = Field(
        None, ge=0, description="smallest signal-to-noise ratio in G (preset)"
    )
    short_solint: str | None = Field(
        None, description='interval of the second gains 2G, solved after G; "" for none (preset)'
    )
    short_combine: str = Field("", description="what 2G is solved across")
    short_calmode: Literal["ap", "p", "a"] | None = Field(None, description="2G, as G (preset)")
    short_minsnr: float | None = Field(
        None, ge=0, description="smallest signal-to-noise ratio in 2G (preset)"
    )

    model_kind: Literal["catalog", "setjy", "component", "image"] = Field(
        "catalog",
        description="the model: calibrator and catalogue; the calibrator by CASA's setjy; a"
        " component list; an image",
    )
    model_path: Path | None = Field(None, description="the component list or the image")
    model_standard: str = Field(
        "Perley-Butler 2017", description="flux density standard of model_kind setjy"
    )
    model_min_jy: float = Field(
        0.005,
        ge=0,
        description="faintest apparent flux density of a field source in the model [Jy]",
    )
    fit_field: bool = Field(
        True,
        description="fit the flux densities of the field sources to the transit, calibrator fixed,"
        " before the tables are solved; else the catalogue is believed",
    )
    max_flagged: Limit = Field(
        0.3, ge=0, le=1, description="a calset with more of its solutions flagged warns"
    )
    fail_flagged: Limit = Field(
        0.6, ge=0, le=1, description="a calset with more of its solutions flagged fails"
    )


class ScaleOptions(Options):
    """What sets the flux scale where a calibrator may not do so by itself."""

    section = "flux_scale"
    field_scale: FieldScale = Field(
        "never",
        description="use the catalogued sources around a calibrator: never (calibrators that vary"
        " are not used at all), needed (for those that may not set the scale), always",
    )
    field_min_snr: float = Field(
        20.0, gt=0, description="smallest signal-to-noise ratio of the scale from the field"
    )
    field_min_sources: int = Field(4, ge=3, description="field sources it must rest on at least")
    field_max_sources: int = Field(
        16, ge=3, description="field sources that are measured one by one, brightest first"
    )
    field_min_pb: float = Field(
        0.3,
        ge=0,
        le=1,
        description="beam response they must have: farther out the beam is known less well",
    )

    @model_validator(mode="after")
    def _enough(self) -> ScaleOptions:
        if self.field_max_sources < self.field_min_sources:
            raise ValueError("field_max_sources is below field_min_sources")
        return self


FROM_CALIBRATOR = ScaleOptions()  # what is not said otherwise


class ApplyOptions(Options):
    """How tiles are calibrated and averaged."""

    section = "apply"
    interpolate: Literal["nearest", "linear"] = Field(
        "nearest",
        description="the calset nearest in time, or amplitudes and phases between those before"
        " and after the tile (plan.max_calsets must reach both)",
    )
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
    refine: Literal["none", "phase", "amplitude_phase"] = Field(
        "none", description="refine the gains on the tile itself, against the catalogue"
    )
    refine_solints: list[str] = Field(
        ["inf", "120s", "60s", "30s"],
        min_length=1,
        max_length=4,
        description="intervals of the phases, CASA syntax, tried in this order while they help",
    )
    refine_minsnr: float = Field(
        3.0, ge=0, description="smallest signal-to-noise ratio of a phase in the refinement"
    )
    refine_amplitude_minsnr: float = Field(
        5.0, ge=0, description="the same of amplitude and phase, solved once a tile"
    )
    refine_min_gain: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="part by which the reduced chi^2 of the tile must fall for a step to be kept",
    )
    refine_min_jy: float = Field(
        0.005,
        ge=0,
        description="faintest apparent flux density of a source in the model [Jy]",
    )
