"""Options of discovery."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from contimg.core.grouping.options import GroupingOptions
from contimg.core.paths import WILDCARDS, check_group


class DiscoverOptions(GroupingOptions):
    """Where the data are, what makes a group, and which groups are wanted."""

    raw_dir: Path = Field(Path("raw"), description="directory of the UVH5 files (searched below)")
    scan: bool = Field(True, description="look for new files at start; off freezes the plan")
    processes: int | None = Field(
        None, ge=1, description="processes that read new headers (one a processor if unset)"
    )
    days: list[str] | None = Field(None, description="only these UTC days (YYYY-MM-DD)")
    since: str | None = Field(
        None, description="only groups named at or after this UTC time (2025-10-05T12:00, or MJD)"
    )
    until: str | None = Field(
        None, description="only groups named before this UTC time (2025-10-06T12:00, or MJD)"
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
        from contimg.core.window import utc_mjd

        if value is not None:
            utc_mjd(value)
        return value

    @field_validator("groups")
    @classmethod
    def _group_names(cls, value: list[str] | None) -> list[str] | None:
        for name in value or ():
            check_group(name)
        return value

    @model_validator(mode="after")
    def _time_goes_on(self) -> DiscoverOptions:
        from contimg.core.window import utc_mjd

        if self.since and self.until and utc_mjd(self.since) >= utc_mjd(self.until):
            raise ValueError(f"since ({self.since}) is not before until ({self.until})")
        return self
