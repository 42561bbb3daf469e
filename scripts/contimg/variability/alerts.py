"""Alert packets: what is new, has changed or no longer holds among the announced candidates.

A packet is a JSON file ``SOURCE.VERSION.json`` that is never changed. Whether another one is due is
told by the last packet of the source alone, so the same candidates twice make no packet twice.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from contimg.core.records import atomic

SCHEMA = "alert.schema.json"
MOVED = 0.5  # errors that a parameter moves before an alert is sent again
FACTOR = 10.0  # by which the probability changes
PARAMETERS = {
    "depth": "depth_err",
    "t0_mjd": "t0_err_days",
    "width_days": "width_err_days",
    "baseline_jy": "baseline_err_jy",
    "minimum_flux_jy": "minimum_flux_err_jy",
}


class Parameter(BaseModel):
    """A value and half of its central 68 %."""

    model_config = ConfigDict(extra="forbid")
    value: float
    error: float


class Alert(BaseModel):
    """One packet."""

    model_config = ConfigDict(extra="forbid")
    format: Literal["contimg-alert-1"] = "contimg-alert-1"
    id: str = Field(description="source and version")
    kind: Literal["new", "updated", "retracted"]
    version: int = Field(ge=1, description="1 is the first of the source")
    supersedes: str | None = Field(description="id of the packet before")
    source: str
    ra_deg: float | None = Field(description="right ascension, ICRS", ge=0, le=360)
    dec_deg: float | None = Field(description="declination, ICRS", ge=-90, le=90)
    last_epoch_mjd: float = Field(description="last measurement that was searched, UTC")
    n_epochs: int
    priority: str | None = Field(description="high or medium; none if retracted")
    false_alarm_probability: float | None
    in_progress: bool | None = Field(description="the last epoch is within a width of the centre")
    parameters: dict[str, Parameter] = Field(description="of the dip, units in the names")
    reason: str = Field(description="why it was retracted, or sent again")


def write_alerts(
    candidates: pd.DataFrame, sources: pd.DataFrame, last_mjd: dict[str, float], folder: Path
) -> list[Alert]:
    """Write the packets that are due to `folder`, with their JSON schema; returns them.

    `candidates` and `sources` are the tables of the run, `last_mjd` the last epoch by source.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with atomic(folder / SCHEMA) as partial:
        partial.write_text(_text(Alert.model_json_schema()))
    last = last_alerts(folder)
    announced = candidates[candidates["list"] == "announce"]
    due = [
        _due(row, last.get(str(row["source"])), last_mjd) for row in announced.to_dict("records")
    ]
    gone = set(last) - set(announced["source"].astype(str))
    rows = sources.assign(source=sources["source"].astype(str)).set_index("source")
    for name in sorted(gone):
        if last[name].kind != "retracted" and name in rows.index:
            due.append(_retracted(last[name], rows.loc[name], last_mjd))
    sent = [alert for alert in due if alert is not None]
    for alert in sent:
        with atomic(folder / _file_name(alert)) as partial:
            partial.write_text(alert.model_dump_json(indent=2) + "\n")
    return sent


def last_alerts(folder: Path) -> dict[str, Alert]:
    """The last packet of every source."""
    found: dict[str, Alert] = {}
    for path in sorted(folder.glob("*.[0-9][0-9][0-9][0-9].json")):
        alert = Alert.model_validate_json(path.read_text())
        if alert.source not in found or alert.version > found[alert.source].version:
            found[alert.source] = alert
    return found


def _text(content: dict) -> str:
    import json

    return json.dumps(content, indent=2) + "\n"


def _file_name(alert: Alert) -> str:
    return f"{re.sub(r'[^A-Za-z0-9.+_-]', '_', alert.source)}.{alert.version:04d}.json"


def _due(row: dict, last: Alert | None, last_mjd: dict[str, float]) -> Alert | None:
    """The packet of an announced candidate, if one is due."""
    reason = "" if last is None else _news(row, last)
    if last is not None and not reason:
        return None
    source = str(row["source"])
    number = 1 if last is None else last.version + 1
    end = float(last_mjd[source])
    return Alert(
        id=f"{source}/{number}",
        kind="new" if last is None or last.kind == "retracted" else "updated",
        version=number,
        supersedes=last.id if last else None,
        source=source,
        ra_deg=row.get("ra_deg"),
        dec_deg=row.get("dec_deg"),
        last_epoch_mjd=end,
        n_epochs=int(row["n_epochs"]),
        priority=row["priority"],
        false_alarm_probability=row["false_alarm_probability"],
        in_progress=bool(abs(end - row["t0_mjd"]) < row["width_days"]),
        parameters={n: Parameter(value=row[n], error=row[e]) for n, e in PARAMETERS.items()},
        reason=reason,
    )


def _news(row: dict, last: Alert) -> str:
    """What has changed since `last`; empty if nothing that matters."""
    if last.kind == "retracted":
        return "announced again"
    if row["priority"] != last.priority:
        return f"priority {row['priority']}, was {last.priority}"
    for name in PARAMETERS:
        old = last.parameters[name]
        if abs(row[name] - old.value) > MOVED * old.error:
            return f"{name} {row[name]:.6g}, was {old.value:.6g}"
    ratio = np.log(row["false_alarm_probability"]) - np.log(last.false_alarm_probability)
    return "false-alarm probability changed" if abs(ratio) > np.log(FACTOR) else ""


def _retracted(last: Alert, row: pd.Series, last_mjd: dict[str, float]) -> Alert:
    number = last.version + 1
    return last.model_copy(
        update={
            "id": f"{last.source}/{number}",
            "kind": "retracted",
            "version": number,
            "supersedes": last.id,
            "last_epoch_mjd": float(last_mjd.get(last.source, last.last_epoch_mjd)),
            "n_epochs": int(row["n_epochs"]),
            "priority": None,
            "false_alarm_probability": None,
            "in_progress": None,
            "reason": f"no longer announced: class {row['class']}",
        }
    )
