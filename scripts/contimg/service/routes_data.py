"""Products on their way to publication."""

from __future__ import annotations

import datetime
import getpass
import json
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, HTTPException

from contimg.core.paths import path
from contimg.core.records import VERDICTS, read_record
from contimg.operate.decide import DecisionFiles, decide
from contimg.publish.overrides import read_overrides
from contimg.service.guard import Guard
from contimg.service.models import DataRecord, DecisionRequest, JobParams
from contimg.service.view import NotThere, View
from contimg.service.work import Work

# of products: kind of item, record, file; those of mosaics are named by the mosaic alone
TYPES = {
    "ms": ("group", "ms_record", "ms"),
    "calibrated": ("group", "calibrated_record", "calibrated_ms"),
    "caltable": ("calset", "solutions", "caltable"),
    "image": ("group", "image_record", "pbcor"),
    "mosaic": ("mosaic", "mosaic_record", "mosaic"),
    "photometry": ("mosaic", "photometry_record", "photometry"),
}


def router(view: View, work: Work, guard: Guard) -> APIRouter:
    """The routes of products."""
    routes = APIRouter()
    _data(routes, view)
    _publication(routes, view, work, guard)
    _monitoring(routes, view, work, guard)
    return routes


def _split(view: View, data_id: str) -> tuple[str, str]:
    """``image:20251005T034512`` -> type and item; the name of a mosaic alone is one."""
    kind, _, item = data_id.rpartition(":")
    kind = kind or "mosaic"
    if kind not in TYPES or item not in view.plan()[f"{TYPES[kind][0]}s"]:
        raise NotThere(f"no data {data_id!r}; ids are TYPE:NAME, TYPE one of {', '.join(TYPES)}")
    return kind, item


def _record(view: View, kind: str, item: str) -> DataRecord:
    of, name, product = TYPES[kind]
    key = {of: item, "tier": view.tier}
    file = Path(path(name, view.results, **key))
    record = read_record(file) if file.exists() else {}
    stage = Path(path(product, view.results, **key, table="B"))
    published = _published(view, item) if kind == "mosaic" else {}
    made = record.get("run", {}).get("created_utc")
    checked = (
        Path(path("mosaic_validation", view.results, mosaic=item)) if kind == "mosaic" else None
    )
    validation = (
        read_record(checked)["verdict"] if checked is not None and checked.exists() else None
    )
    where = path("published", view.results, mosaic=item) if published.get("done") else None
    return DataRecord(
        id=item if kind == "mosaic" else f"{kind}:{item}",
        data_type=kind,
        status="published" if where else "staging" if record else "pending",
        stage_path=str(stage),
        published_path=None if where is None else str(Path(where).parent),
        created_at=made,
        staged_at=made,
        published_at=published.get("at") if where else None,
        publish_mode=published.get("mode"),
        qa_status=record.get("verdict", "pending"),
        validation_status=validation,
        finalization_status="finalized" if record else "pending",
        auto_publish_enabled=kind == "mosaic" and _decision(view, item) != "hold",
        metadata=record.get("data", {}),
    )


def _published(view: View, mosaic: str) -> dict[str, Any]:
    file = Path(path("published_record", view.results, mosaic=mosaic))
    if not file.exists():
        return {}
    record = read_record(file)
    decision = record["data"].get("decision")
    return {
        "done": record["verdict"] != "fail",
        "at": record["run"]["created_utc"],
        "mode": "manual" if decision else "auto",
        "reason": record["reason"],
    }


def _decision(view: View, mosaic: str) -> str:
    """What a person decided about a mosaic; empty where nobody did."""
    found = read_overrides(view.named_file("publish", "overrides")).get(mosaic)
    return found.decision if found else ""


def _data(routes: APIRouter, view: View) -> None:
    @routes.get("/data")
    def data(data_type: str = "mosaic", limit: int = 200) -> dict[str, Any]:
        """Products of a type."""
        if data_type not in TYPES:
            raise HTTPException(422, f"data_type is one of {', '.join(TYPES)}")
        names = list(view.plan()[f"{TYPES[data_type][0]}s"])
        shown = names[: max(1, min(limit, 2000))]
        return {"data": [_record(view, data_type, name) for name in shown], "total": len(names)}

    @routes.get("/data/{data_id}")
    def one(data_id: str) -> DataRecord:
        """A product."""
        return _record(view, *_split(view, data_id))

    @routes.get("/data/{data_id}/lineage")
    def lineage(data_id: str) -> dict[str, Any]:
        """What a product was made from: of a published one back to the raw files."""
        kind, item = _split(view, data_id)
        manifest = Path(path("published", view.results, mosaic=item))
        if kind == "mosaic" and manifest.exists() and manifest.stat().st_size:
            return {"id": data_id, "lineage": json.loads(manifest.read_text())["lineage"]}
        of, name, _ = TYPES[kind]
        record = view.record(name, **{of: item, "tier": view.tier})
        own = {k: record.get(k) for k in ("product", "stage", "verdict", "inputs", "software")}
        return {"id": data_id, "lineage": [own]}


def _publication(routes: APIRouter, view: View, work: Work, guard: Guard) -> None:
    write = [Depends(guard)]

    def mosaic_of(data_id: str) -> str:
        kind, item = _split(view, data_id)
        if kind != "mosaic":
            raise HTTPException(400, "mosaics are published, with their photometry and validation")
        return item

    def decided(mosaic: str, word: str, request: DecisionRequest) -> None:
        config = view.config()
        files = DecisionFiles(
            names=[mosaic],
            results=view.results,
            reason=request.reason or "asked for over the service",
            by=request.by or getpass.getuser(),
            publish_overrides=config.get("publish", {}).get("overrides"),
        )
        decide(files, {"mosaic": word})

    @routes.post("/data/{data_id}/finalize", dependencies=write)
    def finalize(data_id: str) -> dict[str, Any]:
        """A product is final when it is made: says so, and starts its publication if it may be."""
        kind, item = _split(view, data_id)
        record = _record(view, kind, item)
        if record.finalization_status != "finalized":
            raise HTTPException(400, f"{data_id} is not made yet")
        publish = kind == "mosaic" and record.status != "published" and not _against(view, item)
        if publish:
            work.submit("publish", [item], JobParams())
        return {"finalized": True, "auto_published": publish, "status": record.status}

    @routes.post("/data/{data_id}/publish", dependencies=write)
    def publish(data_id: str, request: DecisionRequest | None = None) -> dict[str, Any]:
        """Decide that a mosaic is published in spite of its verdict, and start that."""
        mosaic = mosaic_of(data_id)
        if _record(view, "mosaic", mosaic).status == "published":
            raise HTTPException(400, f"{mosaic} is published already")
        decided(mosaic, "publish", request or DecisionRequest())
        job = work.again([mosaic], "publish")
        where = str(Path(path("published", view.results, mosaic=mosaic)).parent)
        return {
            "published": False,
            "status": "publishing",
            "published_path": where,
            "job_id": job.id,
        }

    @routes.post("/data/{data_id}/auto-publish/enable", dependencies=write)
    def enable(data_id: str, request: DecisionRequest | None = None) -> dict[str, bool]:
        """The verdict decides again about the publication of a mosaic."""
        decided(mosaic_of(data_id), "release", request or DecisionRequest())
        return {"enabled": True}

    @routes.post("/data/{data_id}/auto-publish/disable", dependencies=write)
    def disable(data_id: str, request: DecisionRequest | None = None) -> dict[str, bool]:
        """Hold a mosaic back; the next run withdraws it."""
        decided(mosaic_of(data_id), "hold", request or DecisionRequest())
        return {"enabled": False}

    @routes.get("/data/{data_id}/auto-publish/status")
    def status(data_id: str) -> dict[str, Any]:
        """Whether a mosaic may be published, and what speaks against it."""
        mosaic = mosaic_of(data_id)
        record, reasons = _record(view, "mosaic", mosaic), _against(view, mosaic)
        return {
            "enabled": record.auto_publish_enabled,
            "criteria_met": not reasons,
            "reasons": reasons,
            "qa_status": record.qa_status,
            "validation_status": record.validation_status,
            "finalization_status": record.finalization_status,
        }


def _against(view: View, mosaic: str) -> list[str]:
    """What speaks against the publication of a mosaic."""
    allow = view.config().get("publish", {}).get("allow", "warn")
    reasons = []
    for name, words in (
        ("mosaic_record", "mosaic"),
        ("mosaic_validation", "validation"),
        ("photometry_record", "photometry"),
    ):
        file = Path(path(name, view.results, mosaic=mosaic))
        if not file.exists():
            reasons.append(f"{words}: not made yet")
            continue
        record = read_record(file)
        if VERDICTS.index(record["verdict"]) > VERDICTS.index(allow):
            reasons.append(f"{words}: {record['verdict']}: {record['reason']}")
    decision = _decision(view, mosaic)
    if decision == "hold":
        reasons.append("held back by a person")
    return [] if decision == "publish" else reasons


def _monitoring(routes: APIRouter, view: View, work: Work, guard: Guard) -> None:
    def failed() -> list[dict[str, Any]]:
        found = []
        for row in view.rows():
            if row.stage == "publish" and row.state in {"failed", "crashed"}:
                record = _record(view, "mosaic", row.item)
                found.append(
                    {
                        "data_id": row.item,
                        "data_type": "mosaic",
                        "stage_path": record.stage_path,
                        "publish_attempts": max(row.tries, 1),
                        "publish_error": row.reason,
                        "staged_at": record.staged_at,
                        "created_at": record.created_at,
                    }
                )
        return found

    @routes.get("/monitoring/publish/status")
    def status() -> dict[str, Any]:
        """Numbers of publications."""
        states = [row.state for row in view.rows() if row.stage == "publish"]
        bad, done = failed(), sum(s in {"done", "warned"} for s in states)
        tried = done + len(bad)
        return {
            "total_published": done,
            "total_staging": sum(s in {"pending", "incomplete"} for s in states),
            "total_publishing": sum(s == "running" for s in states),
            "failed_publishes": len(bad),
            "max_attempts_exceeded": 0,
            "success_rate_percent": 100 * done / tried if tried else None,
            "recent_failures": bad[:20],
            "timestamp": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }

    @routes.get("/monitoring/publish/failed")
    def list_failed() -> dict[str, Any]:
        """Publications that failed, and why."""
        found = failed()
        return {"count": len(found), "failed_publishes": found}

    @routes.post("/monitoring/publish/retry/{data_id}", dependencies=[Depends(guard)])
    def retry(data_id: str) -> dict[str, Any]:
        """Try to publish a mosaic again."""
        _, mosaic = _split(view, data_id)
        job = work.again([mosaic], "publish")
        where = str(Path(path("published", view.results, mosaic=mosaic)).parent)
        said = {"retried": True, "published": False, "status": "publishing"}
        return said | {"published_path": where, "job_id": job.id}

    @routes.post("/monitoring/publish/retry-all", dependencies=[Depends(guard)])
    def retry_all() -> dict[str, Any]:
        """Try all that failed again."""
        names = [entry["data_id"] for entry in failed()]
        job = work.again(names, "publish") if names else None
        results = [{"data_id": name, "status": "publishing"} for name in names]
        return {
            "total_attempted": len(names),
            "successful": 0,
            "failed": 0,
            "results": results,
            "job_id": None if job is None else job.id,
        }
