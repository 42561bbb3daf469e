"""Sources, light curves and candidates; and what this service does not do, with the reason."""

from __future__ import annotations

from typing import Any

import pandas as pd
from fastapi import APIRouter, Depends, HTTPException, Query

from contimg.core.catalog import read_sources
from contimg.core.places import angle_deg
from contimg.operate.flag_candidate import FlagFiles
from contimg.operate.flag_candidate import run as flag_candidate
from contimg.report import lookup
from contimg.report.weblog.cutouts import block_of
from contimg.service.guard import Guard
from contimg.service.models import (
    Candidate,
    Candidates,
    FlagRequest,
    LightCurve,
    Source,
    SourceRequest,
    Sources,
    Variability,
)
from contimg.service.view import NotThere, View, value

# path -> methods, why it is not here and what to use
NOT_HERE = {
    "/regions": (["GET", "POST"], "regions are files: contimg overlay --marks and --regions"),
    "/regions/{region_id}": (
        ["GET", "PUT", "DELETE"],
        "regions are files: contimg overlay --marks and --regions",
    ),
    "/streaming/{action}": (
        ["GET", "POST"],
        "there is no daemon: start the workflow again on new files (POST /api/jobs/workflow)",
    ),
    "/images/{image_id}/fit": (
        ["GET", "POST"],
        "flux densities are fitted by contimg photometry point --image FILE --position RA,DEC",
    ),
}


def router(view: View, guard: Guard) -> APIRouter:
    """The routes of sources and candidates."""
    routes = APIRouter()
    _sources(routes, view)
    _candidates(routes, view, guard)
    for place, (methods, reason) in NOT_HERE.items():
        for method in methods:
            refuse = _refusal(reason)
            routes.add_api_route(
                place, refuse, methods=[method], status_code=501, summary="Not here"
            )
    return routes


def _refusal(reason: str) -> Any:
    def refuse() -> None:
        raise HTTPException(501, reason)

    return refuse


def _sources(routes: APIRouter, view: View) -> None:
    @routes.post("/sources/search")
    def search(request: SourceRequest) -> Sources:
        """A source by name or position."""
        try:
            found = [view.source(request.source_id)]
        except NotThere:
            found = []
        return Sources(sources=found, total=len(found))

    @routes.get("/sources")
    def sources(
        near: str | None = None,
        radius: str = "5m",
        variable: bool = False,
        limit: int = Query(100, ge=1, le=10000),
    ) -> dict[str, Any]:
        """Sources with their statistics: around a position or a source, or the variable ones."""
        table = view.sources()
        if near is not None:
            table = lookup.near(table, near, angle_deg(radius))
        if variable:
            table = table[table["p_constant"] < 1e-3]
        return {"sources": _rows(table.head(limit)), "total": len(table)}

    @routes.get("/sources/{source_id}/variability")
    def variability(source_id: str) -> Variability:
        """Variability statistics."""
        return view.variability(source_id)

    @routes.get("/sources/{source_id}/lightcurve")
    def lightcurve(source_id: str) -> LightCurve:
        """Measured and normalised flux densities."""
        return view.light_curve(source_id)

    @routes.get("/sources/{source_id}/detections")
    def detections(source_id: str) -> list[dict[str, Any]]:
        """All measurements with every column."""
        return _rows(view.measurements(view.source_name(source_id)))

    @routes.get("/sources/{source_id}/postage_stamps")
    def stamps(source_id: str) -> dict[str, Any]:
        """Mosaics that have cut-outs of the source, as the web log shows them."""
        row = view.source_row(source_id)
        block = block_of(row["ra_deg"], row["dec_deg"])
        folder = view.root / "report/data/cutouts"
        files = [
            f"/files/report/data/cutouts/{mosaic}/{block}.js"
            for mosaic in view.measurements(str(row["source"]))["mosaic"]
            if (folder / str(mosaic) / f"{block}.js").exists()
        ]
        return {"source_id": str(row["source"]), "stamps": files, "count": len(files)}

    @routes.get("/sources/{source_id}/external_catalogs")
    def external(source_id: str, radius: str = "1m") -> dict[str, Any]:
        """The catalogue's sources around a source; other surveys are files to be fetched."""
        row = view.source_row(source_id)
        named = view.catalogue("targets", "catalog")
        table = read_sources(named).rename(columns={"name": "source"})
        place = f"{row['ra_deg']} {row['dec_deg']}"
        found = lookup.near(table, place, angle_deg(radius))
        return {"source_id": str(row["source"]), "matches": _rows(found), "catalog": str(named)}

    @routes.get("/sources/{source_id}")
    def source(source_id: str) -> Source:
        """A source with its measurements."""
        return view.source(source_id)


def _candidates(routes: APIRouter, view: View, guard: Guard) -> None:
    @routes.get("/ese/candidates")
    def candidates(limit: int = Query(50, ge=1, le=10000), min_sigma: float = 5.0) -> Candidates:
        """Candidates, the least probable to be a false alarm first."""
        found, total = view.candidates(limit, min_sigma)
        return Candidates(candidates=found, total=total)

    @routes.get("/ese/candidates/flags")
    def flags() -> list[dict[str, Any]]:
        """All decisions in their order."""
        return view.flags()

    @routes.get("/ese/candidates/{candidate_id}/lightcurve")
    def lightcurve(candidate_id: str) -> LightCurve:
        """Light curve of a candidate, by its rank or source."""
        return view.light_curve(_candidate(view, candidate_id).source_id)

    @routes.post("/ese/candidates/{candidate_id}/flag", dependencies=[Depends(guard)])
    def flag(candidate_id: str, request: FlagRequest) -> Candidate:
        """Add a decision to the table of the run."""
        files = FlagFiles(
            name=[_candidate(view, candidate_id).source_id],
            status=request.status,
            note=request.notes,
            by=request.by,
            results=view.results,
            candidate_decisions=view.decisions,
        )
        flag_candidate(files)
        return _candidate(view, candidate_id)


def _candidate(view: View, candidate_id: str) -> Candidate:
    found, _ = view.candidates(10**6, 0.0)
    for candidate in found:
        if candidate_id in {candidate.id, candidate.source_id}:
            return candidate
    raise NotThere(f"no candidate {candidate_id!r}")


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values, numbers that are not finite as none."""
    return [
        {str(k): value(v) if isinstance(v, float) else getattr(v, "item", lambda v=v: v)()
         for k, v in row.items()}
        for row in table.to_dict("records")
    ]  # fmt: skip
