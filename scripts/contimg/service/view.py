"""The read side: what is in a results folder, in the shapes of the earlier system.

Nothing is kept but what was read, and that only as long as the files stay as they were.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from contimg.core.errors import ContimgError
from contimg.core.paths import path
from contimg.core.records import read_record
from contimg.core.window import parse_time, utc, utc_of
from contimg.report import lookup, runs
from contimg.report.candidates import read_decisions, with_decisions
from contimg.report.status import Status, read_plan, statuses
from contimg.service.launch import start_of
from contimg.service.models import (
    Candidate,
    FluxPoint,
    LightCurve,
    Mosaic,
    Source,
    Variability,
)

FRESH_S = 3.0  # states are read again after this, or after ten times as long as that takes
VARIABLE_P = 1e-3
Value = TypeVar("Value")


class NotThere(ContimgError):
    """What was asked for does not exist."""


class View:
    """One results folder."""

    def __init__(self, results: str, decisions: Path | None = None) -> None:
        self.results = results
        self._decisions = decisions
        self._kept: dict[str, tuple[Any, Any]] = {}
        # one for each thing that is kept, so that what is slow holds up nothing else
        self._locks = {
            name: threading.Lock() for name in ("plan", "rows", "sources", "lightcurves")
        }

    @cached_property
    def root(self) -> Path:
        """The folder itself."""
        return Path(self.results).resolve()

    def config(self) -> dict[str, Any]:
        """The configuration of the last run."""
        return (runs.latest(self.results) or {}).get("config", {})

    @property
    def tier(self) -> str:
        """Quality tier of the images."""
        return str(self.config().get("image", {}).get("tier", "standard"))

    @property
    def decisions(self) -> Path | None:
        """The table of decisions on candidates."""
        return self._decisions or self.named_file("report", "candidate_decisions")

    def named_file(self, *keys: str) -> Path | None:
        """A file that the config of the last run names, seen from where that was started."""
        last = runs.latest(self.results) or {}
        named: Any = last.get("config", {})
        for key in keys:
            named = (named or {}).get(key)
        return Path(last["directory"]) / named if named else None

    def catalogue(self, *names: str) -> Path:
        """The first table of sources that the config names, among the keys `names`."""
        for name in names:
            if (found := self.named_file(name)) is not None:
                return found
        raise NotThere(f"the run names no table of sources ({', '.join(names)})")

    def plan(self) -> dict[str, Any]:
        """The plan of the last run, with what other plans add."""
        return self._fresh("plan", lambda: read_plan(self.results))

    def rows(self) -> list[Status]:
        """States of all items at all stages, a few seconds old at most."""
        return self._fresh("rows", lambda: statuses(self.plan(), self.results))

    def sources(self) -> pd.DataFrame:
        """Statistics of all sources."""
        return self._table("sources", lambda: lookup.sources(self.results))

    def curves(self) -> pd.DataFrame:
        """All measurements, by source."""
        return self._table(
            "lightcurves",
            lambda: lookup.light_curves(self.results).sort_values(["source", "mjd"]),
        )

    def _fresh(self, name: str, read: Callable[[], Value]) -> Value:
        with self._locks[name]:
            until, value = self._kept.get(name, (0.0, None))
            if time.monotonic() > until:
                begun = time.monotonic()
                value = read()
                now = time.monotonic()
                self._kept[name] = (now + max(FRESH_S, 10 * (now - begun)), value)
            return value

    def _table(self, name: str, read: Callable[[], Value]) -> Value:
        file = Path(path(name, self.results))
        stamp = file.stat().st_mtime_ns if file.exists() else None
        with self._locks[name]:
            kept = self._kept.get(name)
            if kept is None or kept[0] != stamp:
                kept = self._kept[name] = (stamp, read())
            return kept[1]

    def inside(self, named: str) -> Path:
        """A path below the results folder; :class:`NotThere` for every other one."""
        file = Path(named)
        for base in (file, self.root / file, self.root.parent / file):
            whole = base.resolve()
            if whole.is_relative_to(self.root) and whole.exists():
                return whole
        raise NotThere(f"{named}: no such file below {self.results}")

    def item(self, kind: str, named: str) -> str:
        """The group, calset or mosaic that a name or the path of an MS means."""
        plain = Path(named.rstrip("/")).name.removesuffix(".ms")
        known = self.plan()[f"{kind}s"]
        if plain in known:
            return plain
        if kind == "calset":
            for name, entry in known.items():
                if entry["group"] == plain:
                    return str(name)
        raise NotThere(f"no {kind} {plain!r}")

    def record(self, name: str, **key: str) -> dict[str, Any]:
        """A record; :class:`NotThere` before it was made."""
        file = path(name, self.results, **key)
        if not Path(file).exists():
            raise NotThere(f"{file}: not made yet")
        return read_record(file)

    def mosaic(self, name: str) -> Mosaic:
        """A mosaic, made or planned."""
        plan = self.plan()
        if name not in plan["mosaics"]:
            raise NotThere(f"no mosaic {name!r}")
        tiles = [plan["groups"][t] for t in plan["mosaics"][name]["tiles"] if t in plan["groups"]]
        start = min((t["start_mjd"] for t in tiles), default=None)
        end = max((t["end_mjd"] for t in tiles), default=None)
        record, photometry = (
            self._if_there("mosaic_record", name),
            self._if_there("photometry_record", name),
        )
        data = record.get("data", {})
        picture = path("mosaic_plot", self.results, mosaic=name)
        return Mosaic(
            id=name,
            name=name,
            path=path("mosaic", self.results, mosaic=name),
            start_mjd=start,
            end_mjd=end,
            start_time=None if start is None else utc(start),
            end_time=None if end is None else utc(end),
            created_at=record.get("run", {}).get("created_utc"),
            status={"pass": "done", "warn": "done", "fail": "failed"}.get(
                record.get("verdict", ""), "pending"
            ),
            image_count=len(data.get("tiles_used", [])),
            noise_jy=data.get("rms_median_jy_beam"),
            source_count=photometry.get("data", {}).get("n_sources"),
            thumbnail_path=picture if Path(picture).exists() else None,
        )

    def _if_there(self, name: str, mosaic: str) -> dict[str, Any]:
        file = Path(path(name, self.results, mosaic=mosaic))
        return read_record(file) if file.exists() else {}

    def mosaics(self, start: str | None, end: str | None) -> list[Mosaic]:
        """Mosaics that begin in a window, in order of time."""
        since = -1e9 if start is None else parse_time(start)
        until = 1e9 if end is None else parse_time(end)
        plan = self.plan()
        begins = {name: start_of("mosaic", name, plan) for name in plan["mosaics"]}
        named = sorted((mjd, name) for name, mjd in begins.items() if since <= mjd < until)
        return [self.mosaic(name) for _, name in named]

    def source_name(self, words: str) -> str:
        """The source that a name or a position means."""
        try:
            return lookup.find(self.sources(), words)
        except ContimgError as error:
            raise NotThere(str(error)) from None

    def source_row(self, words: str) -> pd.Series:
        """Statistics of a source."""
        table = self.sources()
        return table[table["source"] == self.source_name(words)].iloc[0]

    def source(self, words: str) -> Source:
        """A source with its measurements."""
        row = self.source_row(words)
        rows = self.measurements(str(row["source"]))
        good = rows[rows["flag"].fillna("") == ""]["flux_norm_jy"].to_numpy(dtype=float)
        return Source(
            source_id=str(row["source"]),
            ra_deg=row["ra_deg"],
            dec_deg=row["dec_deg"],
            catalog=Path(str(self.config().get("targets") or "")).name,
            flux_points=points(rows, "flux_jy", "flux_err_jy"),
            mean_flux_jy=value(row["mean_flux_jy"]),
            std_flux_jy=float(np.std(good, ddof=1)) if len(good) > 1 else None,
            chi_sq_nu=value(row["eta"]),
            is_variable=bool(row["p_constant"] < VARIABLE_P),
        )

    def measurements(self, name: str) -> pd.DataFrame:
        """All measurements of a source in order of time."""
        rows = self.curves()
        return rows[rows["source"] == name]

    def variability(self, words: str) -> Variability:
        """Variability statistics of a source."""
        row = self.source_row(words)
        return Variability(
            source_id=str(row["source"]),
            v=value(row["v"]),
            eta=value(row["eta"]),
            vs_mean=value(row["vs_max"]),
            m_mean=value(row["m_at_vs_max"]),
            n_epochs=int(row["n_epochs"]),
        )

    def light_curve(self, words: str) -> LightCurve:
        """Measured and normalised flux densities of a source."""
        row = self.source_row(words)
        rows = self.measurements(str(row["source"]))
        return LightCurve(
            source_id=str(row["source"]),
            ra_deg=row["ra_deg"],
            dec_deg=row["dec_deg"],
            flux_points=points(rows, "flux_jy", "flux_err_jy"),
            normalized_flux_points=points(rows, "flux_norm_jy", "flux_norm_err_jy"),
        )

    def candidates(self, limit: int, min_sigma: float) -> tuple[list[Candidate], int]:
        """Candidates of at least `min_sigma`, the most significant first, and their number."""
        try:
            table = with_decisions(lookup.candidates(self.results), self.decisions)
        except ContimgError as error:
            raise NotThere(str(error)) from None
        found = [self._candidate(row) for row in table.to_dict("records")]
        found = [c for c in found if c.max_sigma_dev is None or c.max_sigma_dev >= min_sigma]
        return found[:limit], len(found)

    def _candidate(self, row: dict[str, Any]) -> Candidate:
        rows = self.measurements(str(row["source"]))
        good = rows[rows["flag"].fillna("") == ""]
        dip = good[np.abs(good["mjd"] - row["t0_mjd"]) < row["width_days"]]
        deviation = (row["baseline_jy"] - good["flux_norm_jy"]) / good["flux_norm_err_jy"]
        times = utc_of(dip["mjd"].to_numpy(dtype=float))
        return Candidate(
            id=str(row["rank"]),
            source_id=str(row["source"]),
            ra_deg=row["ra_deg"],
            dec_deg=row["dec_deg"],
            first_detection_at=str(times[0]) if len(times) else None,
            last_detection_at=str(times[-1]) if len(times) else None,
            max_sigma_dev=value(deviation.max()) if len(good) else None,
            current_flux_jy=value(good["flux_norm_jy"].iloc[-1]) if len(good) else None,
            baseline_flux_jy=value(row["baseline_jy"]),
            status=row["status"],
            notes=row["note"],
            false_alarm_probability=value(row["false_alarm_probability"]),
        )

    def flags(self) -> list[dict[str, Any]]:
        """All decisions on candidates in their order."""
        return [vars(decision) for decision in read_decisions(self.decisions)]


def points(rows: pd.DataFrame, flux: str, error: str) -> list[FluxPoint]:
    """Measurements as they go over the wire."""
    if not len(rows):
        return []
    times = utc_of(rows["mjd"].to_numpy(dtype=float))
    columns = (rows["mjd"], times, rows[flux], rows[error], rows["mosaic"], rows["flag"].fillna(""))
    return [
        FluxPoint(
            mjd=mjd,
            time=str(moment),
            flux_jy=value(s),
            flux_err_jy=value(e),
            image_id=str(mosaic),
            flag=str(flag),
        )
        for mjd, moment, s, e, mosaic, flag in zip(*columns, strict=True)
    ]


def value(number: Any) -> float | None:
    """A number, None when it is not finite."""
    return float(number) if number is not None and np.isfinite(number) else None
