"""Options of the plan."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from contimg.core.options import Options
from contimg.core.paths import WILDCARDS, check_group
from contimg.core.shared import DEC_TOLERANCE_DEG, STALENESS_HOURS

_ROOT = Path(__file__).parents[3]  # of the checkout


class PlanOptions(Options):
    """Which calibrators serve which tiles, and mosaics of the user's own choice."""

    section = "plan"
    calibrators: Path = Field(
        Path("config/calibrators.csv"),
        description="table of the calibrators; config/calibrators.csv is that of the checkout"
        " where the working directory has none",
    )
    use: list[str] | None = Field(None, description="only these calibrators of the table")
    min_pb: float = Field(
        0.3, gt=0, le=1, description="smallest primary-beam response for a calibrator at transit"
    )
    min_flux_jy: float = Field(
        1.0, ge=0, description="smallest apparent flux density of a calibrator at transit [Jy]"
    )
    dec_tolerance_deg: float = Field(
        DEC_TOLERANCE_DEG,
        gt=0,
        description="largest difference in pointing declination of calset and tile [deg]",
    )
    staleness_hours: float = Field(
        STALENESS_HOURS,
        gt=0,
        description="largest time between calibrator observation and tile [h]",
    )
    max_calsets: int = Field(3, ge=1, description="candidate calsets offered to a tile")
    recalibrate: bool = Field(
        False,
        description="calibrate a tile again when a calset nearer in time than its own has appeared",
    )
    deep_days: int = Field(
        0,
        ge=0,
        description="length of the windows whose tiles are added up to deep mosaics, and what these"
        " show beyond the field model takes part in the fits of later windows [days]; 0: none"
        " (needs photometry_method visibilities)",
    )
    mosaics: list[str] | None = Field(
        None,
        description="mosaics of named tiles, beside those of mosaic.mode; in a config file "
        "NAME: [GROUP, ...], as flags NAME=GROUP,GROUP",
        json_schema_extra={"type": ["array", "object", "null"]},
    )

    @field_validator("calibrators")
    @classmethod
    def _of_the_checkout(cls, value: Path) -> Path:
        shipped = _ROOT / "config" / "calibrators.csv"
        at_hand = value.exists() or value != shipped.relative_to(_ROOT)
        return value if at_hand else shipped

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
                check_group(tile)
            names.append(name)
        if len(set(names)) != len(names):
            raise ValueError("two mosaics have the same name")
        return value


def split_list(text: str) -> tuple[str, list[str]]:
    """``NAME=GROUP,GROUP`` -> (name, groups in order of time, each once)."""
    name, _, tiles = text.partition("=")
    return name, sorted({tile for tile in tiles.split(",") if tile})
