"""What is there: Measurement Sets, tables, raw files, pointings, times, and how things stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter

from contimg import __version__
from contimg.core.paths import path
from contimg.core.window import utc
from contimg.report import runs
from contimg.report.status import EXITS, overall, summarise
from contimg.service.view import View


def router(view: View) -> APIRouter:
    """The routes of what is there."""
    routes = APIRouter()

    @routes.get("/health")
    def health() -> dict[str, Any]:
        """Whether the service and its results are there."""
        return {"status": "ok", "results": view.results, "version": __version__}

    @routes.get("/status")
    def status() -> dict[str, Any]:
        """How things stand: as contimg status --json."""
        rows, alive = view.rows(), runs.going_on(view.results)
        outcome = summarise(rows, alive)
        counts: dict[str, dict[str, int]] = {}
        for row in rows:
            stage = counts.setdefault(row.stage, {})
            stage[row.state] = stage.get(row.state, 0) + 1
        return {
            "outcome": outcome,
            "meaning": EXITS[outcome][1],
            "runs_at_work": alive,
            "stages": counts,
            "groups": overall(rows),
        }

    @routes.get("/ms")
    def ms(limit: int = 1000) -> dict[str, Any]:
        """Measurement Sets of tiles and calibrators."""
        rows = [row for row in view.rows() if row.stage == "convert"]
        items = [_ms(view, row.kind, row.item) | {"status": row.state} for row in rows[:limit]]
        return {"items": items, "total": len(rows)}

    @routes.get("/ms/{ms:path}/metadata")
    def metadata(ms: str) -> dict[str, Any]:
        """What the record of a Measurement Set says."""
        group = view.item("group", ms)
        record = view.record("ms_record", group=group)
        return {**_ms(view, "group", group), **record["data"], "qa_status": record["verdict"]}

    @routes.get("/caltables")
    def caltables() -> dict[str, Any]:
        """Calibration tables."""
        items = [
            {"calset": name, "table": table, "path": str(file)}
            for name in view.plan()["calsets"]
            for table in ("K", "B", "G", "2G")
            if (file := Path(path("caltable", view.results, calset=name, table=table))).is_dir()
        ]
        return {"items": items, "total": len(items)}

    @routes.get("/uvh5")
    def uvh5(limit: int = 1000) -> dict[str, Any]:
        """Groups of raw files."""
        groups = view.plan()["groups"]
        items = [
            {"group_id": name, "start_mjd": g["start_mjd"], "subbands": g.get("subbands")}
            for name, g in list(groups.items())[:limit]
        ]
        return {"items": items, "total": len(groups)}

    @routes.get("/pointing_history")
    def pointing() -> list[dict[str, Any]]:
        """Where the telescope looked."""
        return [
            {"mjd": g["start_mjd"], "ra_deg": g.get("ra_deg"), "dec_deg": g.get("dec_deg"),
             "dec_app_deg": g.get("dec_app_deg"), "group_id": name}
            for name, g in view.plan()["groups"].items()
        ]  # fmt: skip

    @routes.get("/observation_timeline")
    def timeline() -> list[dict[str, Any]]:
        """When there are data, and what became of them."""
        states = overall(view.rows())
        return [
            {"group_id": name, "start_time": utc(g["start_mjd"]), "end_time": utc(g["end_mjd"]),
             "status": states.get(name, "pending")}
            for name, g in view.plan()["groups"].items()
        ]  # fmt: skip

    @routes.get("/calibrator_matches")
    def matches() -> list[dict[str, Any]]:
        """Transits of calibrators in the data."""
        return [
            {"calset": name, "name": c["calibrator"], "group_id": c["group"], "mjd": c.get("mjd"),
             "pb": c.get("pb"), "weighted_flux_jy": c.get("apparent_flux_jy")}
            for name, c in view.plan()["calsets"].items()
        ]  # fmt: skip

    return routes


def _ms(view: View, kind: str, item: str) -> dict[str, Any]:
    file = path("ms" if kind == "group" else "cal_ms", view.results, **{kind: item})
    return {"path": file, "id": item, "kind": kind, "exists": Path(file).is_dir()}
