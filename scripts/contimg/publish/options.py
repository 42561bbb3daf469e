"""Options of publishing."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from contimg.core.options import Options


class PublishOptions(Options):
    """What may leave the results directory."""

    section = "publish"
    allow: Literal["pass", "warn"] = Field("warn", description="worst verdict that is published")
    overrides: Path | None = Field(
        None,
        description="CSV of a person's decisions: product, decision (publish, hold or release),"
        " reason, by, decided_utc",
    )
