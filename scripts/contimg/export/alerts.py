"""The last alert packet of every source, with its light curve: JSON, one a line, for brokers.

What is new, has changed or was taken back is decided by the search of the run, which writes the
packets (:mod:`contimg.variability.alerts`).
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from pydantic import BaseModel, Field

from contimg.core.errors import ContimgError
from contimg.export.vast import plain
from contimg.variability import alerts


class Measurement(BaseModel):
    """One epoch of the light curve."""

    mjd: float = Field(description="mean time of the data, MJD UTC")
    image: str = Field(description="mosaic")
    flux_jy: float | None = Field(description="normalised flux density [Jy]")
    flux_err_jy: float | None = Field(description="its standard error [Jy]")
    flag: str = Field(description="empty, or reasons to distrust it")


class Alert(alerts.Alert):
    """A packet of the run and what was measured of its source."""

    light_curve: list[Measurement]


def schema() -> str:
    """The JSON schema of a packet."""
    content = Alert.model_json_schema()
    content["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(content, indent=1) + "\n"


def packets(folder: Path, rows: pd.DataFrame) -> str:
    """A packet a line, of the sources in `folder`; `rows` are the light curves."""
    if not folder.is_dir():
        raise ContimgError(f"{folder}: no search for events has been made yet (contimg status)")
    lines = []
    for name, packet in sorted(alerts.last_alerts(folder).items()):
        curve = [
            Measurement(
                mjd=float(m["mjd"]),
                image=str(m["mosaic"]),
                flux_jy=plain(m["flux_norm_jy"]),
                flux_err_jy=plain(m["flux_norm_err_jy"]),
                flag=str(m["flag"] or ""),
            )
            for m in rows[rows["source"] == name].sort_values("mjd").to_dict("records")
        ]
        lines.append(Alert(**packet.model_dump(), light_curve=curve).model_dump_json())
    return "".join(f"{line}\n" for line in lines)
