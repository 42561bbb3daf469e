"""Candidates as alert packets: JSON, one a line, with a schema that brokers can check them by."""

from __future__ import annotations

import json

import pandas as pd
from pydantic import BaseModel, Field

from contimg.export.vast import plain

VERSION = "1.0"


class Measurement(BaseModel):
    """One epoch of the light curve."""

    mjd: float = Field(description="mean time of the data, MJD UTC")
    image: str = Field(description="mosaic")
    flux_jy: float | None = Field(description="normalised flux density [Jy]")
    flux_err_jy: float | None = Field(description="its standard error [Jy]")
    flag: str = Field(description="empty, or reasons to distrust it")


class Alert(BaseModel):
    """A candidate for an extreme scattering event."""

    schema_version: str = VERSION
    alert_id: str = Field(description="source and time of the event")
    source: str = Field(description="name in the catalogue")
    ra_deg: float = Field(description="right ascension, ICRS [deg]", ge=0, le=360)
    dec_deg: float = Field(description="declination, ICRS [deg]", ge=-90, le=90)
    classification: str = Field(description="what explains the light curve best")
    list_: str = Field(alias="list", description="announce or watch")
    priority: str = Field(description="high, medium or low")
    false_alarm_probability: float = Field(description="of this source without a lens")
    t0_mjd: float = Field(description="centre of the event, MJD UTC")
    t0_err_days: float | None = Field(description="its error [d]")
    width_days: float = Field(description="full width at half depth [d]")
    depth: float = Field(description="largest part of the flux that is missing")
    baseline_jy: float | None = Field(description="flux density without the dip [Jy]")
    light_curve: list[Measurement]


def schema() -> str:
    """The JSON schema of a packet."""
    content = Alert.model_json_schema(by_alias=True)
    content["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(content, indent=1) + "\n"


def packets(candidates: pd.DataFrame, rows: pd.DataFrame) -> str:
    """A packet a line, in the order of the candidates."""
    lines = []
    for row in candidates.to_dict("records"):
        mine = rows[rows["source"] == row["source"]].sort_values("mjd")
        curve = [
            Measurement(
                mjd=float(m["mjd"]),
                image=str(m["mosaic"]),
                flux_jy=plain(m["flux_norm_jy"]),
                flux_err_jy=plain(m["flux_norm_err_jy"]),
                flag=str(m["flag"] or ""),
            )
            for m in mine.to_dict("records")
        ]
        values = {name: plain(value) for name, value in row.items()}
        alert = Alert(
            alert_id=f"{row['source']}_{row['t0_mjd']:.1f}",
            classification=str(values["class"]),
            light_curve=curve,
            **{n: values[n] for n in _COPIED},
        )
        lines.append(alert.model_dump_json(by_alias=True))
    return "".join(f"{line}\n" for line in lines)


_COPIED = (
    *("source", "ra_deg", "dec_deg", "list", "priority", "false_alarm_probability", "t0_mjd"),
    *("t0_err_days", "width_days", "depth", "baseline_jy"),
)
