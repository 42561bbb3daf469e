"""Back along the records that a record names as its inputs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from contimg.core.errors import DataQualityError
from contimg.core.records import followed

Named = list[tuple[Path, dict[str, Any]]]  # records with their paths


def inputs_of(records: Named) -> Named:
    """The records and manifests that `records` were made from."""
    return [named for path, content in records for named in followed(content, path)]


def upstream(records: Named, stage: str) -> Named:
    """The record of `stage` among the inputs of `records`; none, or one."""
    return [named for named in inputs_of(records) if named[1].get("stage") == stage][:1]


def pointing_of(records: Named) -> float | None:
    """Declination [deg] at which the data behind a record of a calibrated set were observed.

    That of their manifest, apparent for drift scans; None where the records do not lead to one.
    """
    for _, content in inputs_of(upstream(records, "convert")):
        group = content.get("group")
        if isinstance(group, dict):
            dec = group.get("dec_app_deg")
            return float(group["dec_deg"] if dec is None else dec)
    return None


def middle_of(pointings: Iterable[float | None]) -> float | None:
    """The median declination [deg] of those that are known."""
    known = [dec for dec in pointings if dec is not None]
    return float(np.median(known)) if known else None


def tile_pointing(record: dict[str, Any], path: Path) -> float | None:
    """The same of a product made from a calibrated set; None where records before it are gone."""
    try:
        return pointing_of(upstream([(path, record)], "apply"))
    except DataQualityError:
        return None
