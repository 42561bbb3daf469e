"""Options of flagging: strategies, steps and the parameters of each step."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from contimg.core.options import Limit, Options

# what a step cannot do without: any one of these options
NEEDS: dict[str, tuple[str, ...]] = {
    "clip": ("clip_min", "clip_max"),
    "quack": ("quack_s",),
    "elevation": ("elevation_min_deg", "elevation_max_deg"),
    "uvrange": ("uv_min_m", "uv_max_m"),
    "antenna": ("drop_antennas",),
    "baselines": ("drop_baselines",),
    "manual": ("manual_table",),
}
SUBBAND_STEPS = (
    "reset",
    "zeros",
    "invalid",
    "autos",
    "clip",
    "shadow",
    "quack",
    "elevation",
    "uvrange",
    "antenna",
    "baselines",
    "manual",
    "dead_antennas",
    "outlying_antennas",
    "antenna_rfi",
    "array_rfi",
    "baseline_rfi",
    "mad_clip",
    "extend",
    "channel_occupancy",
    "time_occupancy",
    "subband_occupancy",
)
WHOLE_MS_STEPS = ("tfcrop", "rflag", "aoflagger")
STRATEGIES: dict[str, tuple[str, ...]] = {
    "default": (
        "dead_antennas",
        "antenna_rfi",
        "array_rfi",
        "outlying_antennas",
        "baseline_rfi",
        "mad_clip",
        "extend",
        "channel_occupancy",
        "time_occupancy",
        "subband_occupancy",
    ),
    "fast": ("dead_antennas", "array_rfi", "mad_clip", "channel_occupancy", "time_occupancy"),
    "aoflagger": ("dead_antennas", "aoflagger", "mad_clip", "extend", "channel_occupancy"),
    "casa": ("dead_antennas", "tfcrop", "rflag", "extend", "channel_occupancy"),
    "none": (),
}


class FlagOptions(Options):
    """What is flagged, and how. Flags only ever grow; docs/flagging.md describes the steps."""

    section = "flag"
    planning = frozenset({"aoflagger_threads"})
    strategy: Literal["default", "fast", "aoflagger", "casa", "none"] = Field(
        "default", description="named list of steps"
    )
    steps: list[str] | None = Field(
        None,
        description="steps in their order, instead of those of the strategy: "
        + ", ".join((*SUBBAND_STEPS, *WHOLE_MS_STEPS)),
    )
    usable_warn: Limit = Field(
        0.3, ge=0, le=1, description="warn when less of the data of a group's subbands is usable"
    )
    usable_fail: float = Field(
        0.1, ge=0, le=1, description="fail when less of the data of a group's subbands is usable"
    )

    # what is known beforehand
    manual_table: Path | None = Field(
        None, description="table of known bad data (CSV, see config/flags.csv); flagged first"
    )
    drop_antennas: list[str] = Field(default=[], description="antenna: names of antennas to flag")
    drop_baselines: list[str] = Field(
        default=[], description="baselines: pairs of antenna names to flag, each as NAME&NAME"
    )
    uv_min_m: float | None = Field(
        None, ge=0, description="uvrange: flag projected baselines shorter than this [m]"
    )
    uv_max_m: float | None = Field(
        None, gt=0, description="uvrange: flag projected baselines longer than this [m]"
    )
    elevation_min_deg: float | None = Field(
        None, ge=-90, le=90, description="elevation: flag times when dishes point lower [deg]"
    )
    elevation_max_deg: float | None = Field(
        None, ge=-90, le=90, description="elevation: flag times when dishes point higher [deg]"
    )
    shadow_tolerance_m: float = Field(
        0.0, ge=0, description="shadow: overlap of two dishes that is let pass [m]"
    )
    quack_s: float | None = Field(
        None, gt=0, description="quack: flag the integrations of the first so many seconds [s]"
    )
    clip_min: float | None = Field(
        None, ge=0, description="clip: smallest amplitude kept [unit of the data]"
    )
    clip_max: float | None = Field(
        None, gt=0, description="clip: largest amplitude kept [unit of the data]"
    )

    # antennas
    autos_factor: float = Field(
        5.0,
        gt=1,
        description="autos: flag an antenna whose autocorrelation is this factor off the others'",
    )
    dead_ratio: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="dead_antennas: flag an antenna whose amplitude is below this x the others'",
    )
    dead_flagged: float = Field(
        0.95,
        gt=0,
        le=1,
        description="dead_antennas: flag an antenna of which more than this fraction is flagged",
    )
    outlying_factor: float = Field(
        2.5,
        gt=1,
        description="outlying_antennas: flag one whose amplitude is this factor off the others'",
    )
    outlying_coherence: float = Field(
        0.25,
        ge=0,
        lt=1,
        description="outlying_antennas: flag one whose ratio of signal to noise power is below this"
        " fraction of the others', where the sky is bright enough to tell",
    )

    # interference
    antenna_rfi_sigma: float = Field(
        6.0,
        gt=0,
        description="antenna_rfi: threshold on the mean power of one antenna's baselines [sigma]",
    )
    array_rfi_sigma: float = Field(
        6.0,
        gt=0,
        description="array_rfi: threshold on the mean power of baselines of like length [sigma]",
    )
    array_rfi_bins: int = Field(
        4, ge=1, description="array_rfi: classes of baseline length that are judged apart"
    )
    line_channels: int = Field(
        15,
        ge=3,
        description="array_rfi, antenna_rfi: a steady line stands out of so many channels around",
    )
    baseline_rfi_sigma: float = Field(
        4.5,
        gt=0,
        description="baseline_rfi: threshold on sums over one baseline's times or channels [sigma]",
    )
    mad_clip_sigma: float = Field(
        5.0,
        gt=0,
        description="mad_clip: threshold on a sample against the median amplitude of its baseline"
        " and correlation [1.4826 x median absolute deviation]",
    )

    # growth
    extend_time: float = Field(
        0.5,
        ge=0,
        le=1,
        description="extend: flag a baseline's channel of which more than this fraction is"
        " flagged in time; 1 for never",
    )
    extend_frequency: float = Field(
        0.5,
        ge=0,
        le=1,
        description="extend: flag a baseline's integration of which more than this fraction of"
        " the channels is flagged; 1 for never",
    )
    extend_times: int = Field(
        0, ge=0, description="extend: integrations flagged before and after a flagged one"
    )
    extend_channels: int = Field(
        0, ge=0, description="extend: channels flagged on either side of a flagged one"
    )
    extend_correlations: bool = Field(
        True, description="extend: what is flagged in one correlation goes in the other"
    )
    channel_occupancy: float = Field(
        0.5,
        gt=0,
        le=1,
        description="channel_occupancy: flag a channel of which more than this is flagged",
    )
    time_occupancy: float = Field(
        0.5,
        gt=0,
        le=1,
        description="time_occupancy: flag an integration of which more than this is flagged",
    )
    subband_occupancy: float = Field(
        0.8,
        gt=0,
        le=1,
        description="subband_occupancy: flag a subband of which more than this is flagged",
    )

    # CASA
    tfcrop_time_sigma: float = Field(4.0, gt=0, description="tfcrop: threshold in time [sigma]")
    tfcrop_frequency_sigma: float = Field(
        4.0, gt=0, description="tfcrop: threshold in frequency [sigma]"
    )
    rflag_time_scale: float = Field(
        4.0, gt=0, description="rflag: threshold on the rms in time [x its median]"
    )
    rflag_frequency_scale: float = Field(
        4.0, gt=0, description="rflag: threshold on the rms in frequency [x its median]"
    )

    # AOFlagger
    aoflagger_strategy: Path | None = Field(
        None, description="aoflagger: Lua strategy (config/aoflagger/dsa110.lua if unset)"
    )
    aoflagger_threshold: float = Field(
        1.2, gt=0, description="aoflagger: base threshold; lower finds more"
    )
    aoflagger_iterations: int = Field(4, ge=1, description="aoflagger: passes over a baseline")
    aoflagger_transient: float = Field(
        0.8, gt=0, description="aoflagger: factor on the threshold in time; lower finds more"
    )
    aoflagger_frequency_resize: float = Field(
        2.0, ge=1, description="aoflagger: channels averaged before the background is fitted"
    )
    aoflagger_threads: int = Field(1, ge=1, description="aoflagger: threads")
    block_channels: int = Field(
        48, ge=1, description="channels taken together by steps that run again on a whole MS"
    )

    @model_validator(mode="after")
    def _runnable(self) -> FlagOptions:
        steps = step_list(self)
        known = (*SUBBAND_STEPS, *WHOLE_MS_STEPS)
        unknown = [step for step in steps if step not in known]
        if unknown:
            raise ValueError(f"no step named {', '.join(unknown)}; known: {', '.join(known)}")
        if "reset" in steps[1:]:
            raise ValueError(
                "reset clears the flags of the file and can only be the first step;"
                " no step may undo another"
            )
        first_ms = next((i for i, s in enumerate(steps) if s in WHOLE_MS_STEPS), len(steps))
        if "autos" in steps[first_ms:]:
            raise ValueError(
                f"autos cannot follow {steps[first_ms]}: that needs the whole MS, which holds no"
                " autocorrelations; move autos before it"
            )
        for step in steps:
            wanted = NEEDS.get(step, ())
            if wanted and all(getattr(self, name) in (None, []) for name in wanted):
                raise ValueError(f"step {step} needs flag.{' or flag.'.join(wanted)}")
        if self.usable_fail > self.usable_warn:
            raise ValueError("usable_fail must not be above usable_warn")
        return self


def step_list(options: FlagOptions) -> list[str]:
    """The steps in the order in which they run; invalid values and known bad data first."""
    steps = list(STRATEGIES[options.strategy] if options.steps is None else options.steps)
    start = 1 if steps[:1] == ["reset"] else 0
    if options.manual_table is not None and "manual" not in steps:
        steps.insert(start, "manual")
    # no other step may meet a value that is none
    return [*steps[:start], "invalid", *(step for step in steps[start:] if step != "invalid")]


def split_steps(options: FlagOptions) -> tuple[list[str], list[str]]:
    """Steps that run subband by subband in the stream, and those that run on the whole MS.

    From the first step that needs the whole MS on, all run there, so that the order is kept.
    """
    steps = step_list(options)
    first = next((i for i, step in enumerate(steps) if step in WHOLE_MS_STEPS), len(steps))
    return steps[:first], steps[first:]
