"""Options of the light curves and of the variability search."""

from __future__ import annotations

from pydantic import Field, model_validator

from contimg.core.options import Limit, Options


class VariabilityOptions(Options):
    """How light curves are normalised, measured and searched."""

    section = "variability"
    reference_min_snr: float = Field(
        20.0, gt=0, description="median signal-to-noise ratio that a reference source must reach"
    )
    reference_min_good_fraction: float = Field(
        0.8, gt=0, le=1, description="part of its measurements that must be good in a reference"
    )
    reference_p_constant: float = Field(
        1e-3, gt=0, lt=1, description="a reference less probably constant than this is dropped"
    )
    min_references: int = Field(
        5, ge=2, description="an epoch with fewer good references is not normalised"
    )
    max_references: int = Field(
        60,
        ge=2,
        description="references are so many sources of every mosaic, by signal to noise",
    )
    gain_error_prior: float = Field(
        0.05, gt=0, lt=1, description="fractional gain error of an epoch that is not normalised"
    )
    warn_excess_fraction: Limit = Field(
        0.1, gt=0, description="warn when an epoch scatters more than this beyond its errors"
    )
    false_alarm_probability: float = Field(
        0.01, gt=0, lt=1, description="expected number of false ESE candidates in one run"
    )
    watch_fdr: float = Field(
        0.1, gt=0, lt=1, description="rate of false discoveries among the sources to watch"
    )
    min_epochs: int = Field(
        8, ge=6, description="good epochs a source needs to be searched for an ESE"
    )
    min_points_in_dip: int = Field(
        3, ge=2, description="epochs that must lie in the dip (below half its depth)"
    )
    width_min_days: float = Field(2.0, gt=0, description="narrowest dip searched [days, FWHM]")
    width_max_days: float | None = Field(
        None, gt=0, description="widest dip searched [days, FWHM]; the length of the light curve"
    )
    strip_offset: float = Field(
        0.02,
        ge=0,
        lt=1,
        description="how much flux densities of a source may differ from one declination strip to "
        "another, as part of them (standard deviation); 0: not at all",
    )
    solar_term: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="amplitude that a variation of any source with the solar time of day may have, "
        "as part of its flux density (standard deviation); 0: none",
    )
    sidereal_term: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="the same with the sidereal time, for sources that are seen at several hour "
        "angles; 0: none",
    )
    null_draws: int = Field(
        400, ge=100, description="simulated light curves without a lens, for the false alarms"
    )
    injections: int = Field(
        60,
        ge=0,
        description="dips put into light curves of the run for its completeness and rate, and as "
        "many simulated light curves without a dip that verify its false alarms; 0: none",
    )
    high_priority_factor: float = Field(
        0.01, gt=0, le=1, description="part of the candidate threshold below which priority is high"
    )
    seed: int = Field(20240917, ge=0, description="seed of the simulated null light curves")

    @model_validator(mode="after")
    def _limits_are_ordered(self) -> VariabilityOptions:
        if self.width_max_days is not None and self.width_max_days <= self.width_min_days:
            raise ValueError("width_max_days must be larger than width_min_days")
        if self.max_references < self.min_references:
            raise ValueError("max_references must not be smaller than min_references")
        return self
