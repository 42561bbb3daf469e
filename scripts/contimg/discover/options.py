"""Options of discovery and planning."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from contimg.core.errors import ContimgError
from contimg.core.options import Options
from contimg.core.paths import WILDCARDS


class DiscoverOptions(Options):
    """Where the data are, what makes a group, and which groups are wanted."""

    section = "discover"
    raw_dir: Path = Field(Path("raw"), description="directory of the UVH5 files (searched below)")
    scan: bool = Field(True, description="look for new files at start; off freezes the plan")
    processes: int | None = Field(
        None, ge=1, description="processes that read new headers (one a processor if unset)"
    )
    tolerance_s: float = Field(
        6.0,
        gt=0,
        le=150,
        description="files whose data start within this time are of one observation [s]",
    )
    time_agreement: float = Field(
        0.01,
        gt=0,
        lt=0.5,
        description="a file whose times differ from its group's by more is rejected [integrations]",
    )
    pointing_tolerance_deg: float = Field(
        0.01, gt=0, description="largest difference in pointing between files of a group [deg]"
    )
    min_subbands: int | None = Field(
        None,
        ge=1,
        description="subbands a group must have; missing ones are flagged (all if unset)",
    )
    max_clock_offset_s: float = Field(
        600.0,
        gt=0,
        description="largest difference of the time in a name from that in the data [s]",
    )
    days: list[str] | None = Field(None, description="only these UTC days (YYYY-MM-DD)")
    since: str | None = Field(
        None, description="only groups named at or after this UTC time (2025-10-05T12:00, or MJD)"
    )
    until: str | None = Field(
        None, description="only groups named before this UTC time (2025-10-06T12:00, or MJD)"
    )
    declinations_deg: list[float] | None = Field(
        None, description="only groups that point at these declinations [deg]"
    )
    declination_margin_deg: float = Field(
        0.25, gt=0, description="how far from declinations_deg a pointing may be [deg]"
    )
    groups: list[str] | None = Field(None, description="only these groups")

    @field_validator("days", mode="before")
    @classmethod
    def _days(cls, value: Any) -> Any:
        # YAML reads an unquoted 2025-10-05 as a date
        return [str(day) for day in value] if isinstance(value, list | tuple) else value

    @field_validator("days")
    @classmethod
    def _real_days(cls, value: list[str] | None) -> list[str] | None:
        for day in value or ():
            if not re.fullmatch(WILDCARDS["day"], day):
                raise ValueError(f"{day!r} is not a day; write YYYY-MM-DD")
            datetime.date.fromisoformat(day)
        return value

    @field_validator("since", "until", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int | float | datetime.date) else value

    @field_validator("since", "until")
    @classmethod
    def _real_times(cls, value: str | None) -> str | None:
        if value is not None:
            utc_mjd(value)
        return value

    @field_validator("groups")
    @classmethod
    def _group_names(cls, value: list[str] | None) -> list[str] | None:
        for name in value or ():
            _check_group(name)
        return value

    @model_validator(mode="after")
    def _time_goes_on(self) -> DiscoverOptions:
        if self.since and self.until and utc_mjd(self.since) >= utc_mjd(self.until):
            raise ValueError(f"since ({self.since}) is not before until ({self.until})")
        return self


class PlanOptions(Options):
    """Which calibrators serve which tiles, and mosaics of the user's own choice."""

    section = "plan"
    calibrators: Path = Field(
        Path("config/calibrators.csv"), description="table of the calibrators"
    )
    use: list[str] | None = Field(None, description="only these calibrators of the table")
    min_pb: float = Field(
        0.3, gt=0, le=1, description="smallest primary-beam response for a calibrator at transit"
    )
    min_flux_jy: float = Field(
        1.0, ge=0, description="smallest apparent flux density of a calibrator at transit [Jy]"
    )
    dec_tolerance_deg: float = Field(
        0.5, gt=0, description="largest difference in pointing declination of calset and tile [deg]"
    )
    staleness_hours: float = Field(
        24.0, gt=0, description="largest time between calibrator observation and tile [h]"
    )
    max_calsets: int = Field(3, ge=1, description="candidate calsets offered to a tile")
    mosaics: list[str] | None = Field(
        None,
        description="mosaics of named tiles, beside those of mosaic.mode; in a config file "
        "NAME: [GROUP, ...], as flags NAME=GROUP,GROUP",
        json_schema_extra={"type": ["array", "object", "null"]},
    )

    @field_validator("mosaics", mode="before")
    @classmethod
    def _lists(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        for name, tiles in value.items():
            if not isinstance(tiles, list | tuple):
                raise ValueError(f"{name}: must be a list of groups")
        return [f"{name}={','.join(map(str, tiles))}" for name, tiles in value.items()]

    @field_validator("mosaics")
    @classmethod
    def _named(cls, value: list[str] | None) -> list[str] | None:
        names = []
        for text in value or ():
            name, tiles = split_list(text)
            if not re.fullmatch(WILDCARDS["mosaic"], name):
                raise ValueError(f"{name!r} cannot name a mosaic: letters, digits and _ . + - only")
            if not tiles:
                raise ValueError(f"mosaic {name} has no groups; write NAME=GROUP,GROUP")
            for tile in tiles:
                _check_group(tile)
            names.append(name)
        if len(set(names)) != len(names):
            raise ValueError("two mosaics have the same name")
        return value


def split_list(text: str) -> tuple[str, list[str]]:
    """``NAME=GROUP,GROUP`` -> (name, groups in order of time, each once)."""
    name, _, tiles = text.partition("=")
    return name, sorted({tile for tile in tiles.split(",") if tile})


def utc_mjd(text: str) -> float:
    """MJD UTC of an ISO time (UTC) or of a number that is an MJD; `ValueError` when neither."""
    from contimg.discover.window import parse_time

    try:
        return parse_time(text)
    except ContimgError as error:  # pydantic turns only a ValueError into its own words
        raise ValueError(str(error)) from None


def _check_group(name: str) -> None:
    if not re.fullmatch(WILDCARDS["group"], name):
        raise ValueError(f"{name!r} is not the name of a group (YYYYMMDDTHHMMSS)")
