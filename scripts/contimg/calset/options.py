"""Limits by which calsets are judged."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from contimg.core.options import Limit, Options


class CalsetValidationOptions(Options):
    """How calibration solutions are judged. A feed is one correlation of one antenna."""

    section = "calset_validation"
    min_antennas: Limit = Field(
        0.8, ge=0, le=1, description="warn below this part of the antennas with solutions"
    )
    fail_antennas: Limit = Field(
        0.5, ge=0, le=1, description="fail below this part of the antennas with solutions"
    )
    min_subbands: Limit = Field(
        0.85, ge=0, le=1, description="warn below this part of the subbands with solutions"
    )
    fail_subbands: Limit = Field(
        0.5, ge=0, le=1, description="fail below this part of the subbands with solutions"
    )
    max_flagged: Limit = Field(
        0.3,
        ge=0,
        le=1,
        description="warn above this flagged part of a table (antennas with solutions); also what"
        " a feed may have",
    )
    fail_flagged: Limit = Field(
        0.6, ge=0, le=1, description="fail above this flagged part of a table"
    )
    min_snr: Limit = Field(
        5.0, ge=0, description="warn below this median signal-to-noise ratio of a table or feed"
    )
    fail_snr: Limit = Field(
        3.0, ge=0, description="fail below this median signal-to-noise ratio of a table"
    )
    max_gain_offset: Limit = Field(
        0.1,
        gt=0,
        description="warn when the median gain amplitude after the bandpass differs from 1 by"
        " more than this; five times that fails",
    )
    max_level: Limit = Field(
        3.0,
        gt=1,
        description="remark on feeds this many times stronger or weaker than the median feed",
    )
    max_delay_ns: Limit = Field(
        1000.0,
        gt=0,
        description="fail above this median |delay| against the reference antenna [ns]",
    )
    max_delay_scatter_ns: Limit = Field(
        100.0, gt=0, description="warn above this scatter of the delays (robust rms) [ns]"
    )
    delay_corrected_ns: Limit = Field(
        1.0,
        gt=0,
        description="warn above this median |residual delay| [ns]; below it, delays are corrected",
    )
    delay_needed_ns: Limit = Field(
        5.0,
        gt=0,
        description="fail above this median |residual delay| [ns]: delays must be solved",
    )
    max_channel_noise: Limit = Field(
        0.1,
        gt=0,
        description="warn above this noise of the bandpass amplitude from channel to channel"
        " (relative, median of the feeds); three times that fails",
    )
    max_channel_phase_deg: Limit = Field(
        10.0,
        gt=0,
        description="warn above this noise of the bandpass phase from channel to channel [deg]"
        " (median of the feeds); three times that fails",
    )
    max_amplitude_drift: Limit = Field(
        0.1,
        gt=0,
        description="warn above this relative rms of the gain amplitude in time, and on such a"
        " change against another calset (medians of the feeds)",
    )
    max_phase_drift_deg: Limit = Field(
        30.0,
        gt=0,
        description="warn above this rms of the gain phase in time [deg], and on such a change"
        " against another calset (medians of the feeds)",
    )
    max_delay_change_ns: Limit = Field(
        1.0,
        gt=0,
        description="warn on such a change of the delays against another calset [ns] (median)",
    )
    max_bandpass_change: Limit = Field(
        0.05,
        gt=0,
        description="warn on such a change of the shape of the bandpasses against another calset"
        " (relative rms, median of the feeds)",
    )
    reference: str | None = Field(
        None,
        description="calset against which the others of a run are compared (the first one if"
        " unset)",
    )
    max_remarked: Limit = Field(
        0.2, ge=0, le=1, description="warn above this part of the antennas with a remark"
    )

    @model_validator(mode="after")
    def _failing_is_worse_than_warning(self) -> Self:
        for worse, better in (
            (self.fail_antennas, self.min_antennas),
            (self.fail_subbands, self.min_subbands),
            (self.fail_snr, self.min_snr),
            (self.max_flagged, self.fail_flagged),
            (self.delay_corrected_ns, self.delay_needed_ns),
        ):
            if worse > better:
                raise ValueError("a failing limit is on the good side of its warning limit")
        return self
