"""What is simulated: the schedule, the array, the sky and what the instrument does to it."""

from __future__ import annotations

import datetime

from pydantic import Field, model_validator

from contimg.core.options import Options


class SimulateOptions(Options):
    """A known sky seen by a known instrument."""

    section = "simulate"
    planning = frozenset({"enabled"})
    enabled: bool = Field(False, description="make the raw data instead of discovering them")
    seed: int = Field(1, ge=0, description="seed of everything that is random")

    # schedule
    start_date: datetime.date = Field(
        datetime.date(2025, 10, 5), description="UTC date of the first epoch"
    )
    epochs: int = Field(12, ge=1, description="number of epochs (calibrator transits observed)")
    cadence_days: float = Field(
        1.0, ge=1.0, description="days from epoch to epoch; the nearest transit is observed"
    )
    wide_epochs: list[int] = Field(
        default=[0], description="epochs (from 0) that get several consecutive tiles"
    )
    wide_tiles: int = Field(3, ge=1, description="tiles of a wide epoch, about the transit tile")
    calibrator: str = Field("0834+555", description="name of the calibrator")
    calibrator_ra_deg: float = Field(
        128.7287667, ge=0, lt=360, description="ICRS right ascension of the calibrator [deg]"
    )
    calibrator_dec_deg: float = Field(
        55.5725194, gt=-90, lt=90, description="ICRS declination of the calibrator [deg]"
    )
    calibrator_flux_jy: float = Field(
        8.8, gt=0, description="flux density of the calibrator at 1.405 GHz [Jy]"
    )
    calibrator_spectral_index: float = Field(-0.2, description="spectral index of the calibrator")
    pointing_offset_deg: float = Field(
        0.1, description="pointing minus apparent calibrator declination at the first epoch [deg]"
    )

    # array and correlator
    antenna_step: int = Field(
        1, ge=1, description="every n-th working station of the two arms takes data"
    )
    outriggers: int = Field(
        14, ge=0, le=14, description="outriggers that take data, spread over the 14 working ones"
    )
    channels_per_subband: int = Field(48, ge=1, description="channels of a subband file")
    n_times: int = Field(24, ge=1, description="integrations of a tile")
    integration_s: float = Field(12.884901888, gt=0, description="length of an integration [s]")

    # sky
    field_sources: int = Field(230, ge=0, description="constant sources beside the calibrator")
    field_radius_deg: float = Field(
        1.2, gt=0, description="sources lie this far around the centres of the tiles [deg]"
    )
    min_separation_arcsec: float = Field(
        120.0, ge=0, description="smallest separation of two sources [arcsec]"
    )
    flux_min_jy: float = Field(0.005, gt=0, description="faintest field source at 1.405 GHz [Jy]")
    flux_max_jy: float = Field(1.0, gt=0, description="brightest field source at 1.405 GHz [Jy]")
    count_slope: float = Field(
        0.9, gt=0, description="slope of the integral source counts, N(>S) ~ S^-slope"
    )
    spectral_index_mean: float = Field(-0.7, description="mean spectral index of field sources")
    spectral_index_scatter: float = Field(0.2, ge=0, description="scatter of the spectral index")

    # variability
    ese_flux_jy: float = Field(0.3, gt=0, description="unlensed flux of the lensed source [Jy]")
    ese_alpha: float = Field(
        5.0, ge=0, description="strength of the plasma lens at 1.405 GHz; 0 for none"
    )
    ese_time_days: float = Field(
        1.0, gt=0, description="time in which the lens moves by its own size a [d]"
    )
    ese_mid_epoch: float = Field(6.0, description="epoch at which the lens is centred")
    ese_source_size: float = Field(
        0.1, gt=0, description="size (FWHM) of the lensed source in units of the lens size a"
    )
    variable_flux_jy: float = Field(
        0.3, gt=0, description="mean flux of the ordinary variable source [Jy]"
    )
    variable_amplitude: float = Field(
        0.2, ge=0, lt=1, description="relative amplitude of its sinusoid; 0 for a constant source"
    )
    variable_period_days: float = Field(7.3, gt=0, description="period of its sinusoid [d]")

    # instrument
    raw_scale: float = Field(0.01, gt=0, description="correlator units per Jy at unit gain")
    gain_rms: float = Field(0.15, ge=0, description="scatter of the gain amplitudes")
    gain_drift_rms: float = Field(
        0.02, ge=0, description="change of gains from epoch to epoch: amplitude, and phase [rad]"
    )
    gain_phases: bool = Field(True, description="random phase at every antenna and feed")
    delay_rms_ns: float = Field(8.0, ge=0, description="scatter of the antenna delays [ns]")
    bandpass_rms: float = Field(
        0.1, ge=0, description="ripple of the bandpasses: amplitude, and phase [rad]"
    )
    dead_antennas: list[int] = Field(default=[44], description="station numbers that record zeros")
    noise: bool = Field(True, description="add thermal noise")
    rfi: bool = Field(True, description="add narrow-band interference and one broadband burst")
    fringe_smearing: bool = Field(
        True, description="average the turning fringes inside an integration and a channel"
    )

    @model_validator(mode="after")
    def _consistent(self) -> SimulateOptions:
        if self.flux_min_jy >= self.flux_max_jy:
            raise ValueError("flux_min_jy must be below flux_max_jy")
        beyond = [epoch for epoch in self.wide_epochs if not 0 <= epoch < self.epochs]
        if beyond:
            raise ValueError(f"wide_epochs {beyond} are not among the {self.epochs} epochs")
        return self


def random(options: SimulateOptions, purpose: str, *key: int):
    """Generator of its own for every purpose, so that one option does not shift another's draw."""
    import zlib

    import numpy as np

    return np.random.default_rng([options.seed, zlib.crc32(purpose.encode()), *key])
