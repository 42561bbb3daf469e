"""Quality of calibration and images, images themselves, mosaics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import FileResponse

from contimg.core.fits import read_image
from contimg.core.paths import path
from contimg.core.places import position
from contimg.report import quality
from contimg.service.guard import Guard
from contimg.service.models import Job, Mosaic, MosaicRequest, Mosaics, WindowRequest
from contimg.service.view import NotThere, View
from contimg.service.work import Work

VIEWS = {"bandpass": "amplitude", "gains": "phase", "delays": "delay", "quality": "flags"}


def router(view: View, work: Work, guard: Guard) -> APIRouter:
    """The routes of quality, images and mosaics."""
    routes = APIRouter()
    _calibration(routes, view)
    _images(routes, view)
    _validation(routes, view, guard)
    _mosaics(routes, view, work, guard)
    return routes


def _calibration(routes: APIRouter, view: View) -> None:
    @routes.get("/qa/calibration/{ms:path}/bandpass-plots")
    def plots(ms: str) -> dict[str, Any]:
        """Pictures of a calset."""
        calset = view.item("calset", ms)
        found = [
            {
                "filename": file.name,
                "path": str(file),
                "type": kind,
                "spw": None,
                "url": f"/api/qa/calibration/{calset}/bandpass-plots/{file.name}",
            }
            for name, kind in VIEWS.items()
            if (file := Path(path("calset_plot", view.results, calset=calset, view=name))).exists()
        ]
        folder = str(Path(path("calset_page", view.results, calset=calset)).parent)
        return {"ms_path": ms, "plot_dir": folder, "plots": found, "count": len(found)}

    @routes.get("/qa/calibration/{ms:path}/bandpass-plots/{filename}")
    def plot(ms: str, filename: str) -> FileResponse:
        """One of the pictures."""
        calset = view.item("calset", ms)
        for name in VIEWS:
            file = Path(path("calset_plot", view.results, calset=calset, view=name))
            if file.name == filename:
                return _file(file)
        raise HTTPException(404, f"no picture {filename}")

    @routes.get("/qa/calibration/{ms:path}/spw-plot")
    def spw_plot(ms: str) -> FileResponse:
        """Flags and signal to noise by antenna and subband."""
        calset = view.item("calset", ms)
        return _file(Path(path("calset_plot", view.results, calset=calset, view="quality")))

    @routes.get("/qa/calibration/{ms:path}/caltable-completeness")
    def completeness(ms: str) -> dict[str, Any]:
        """Tables that should be there, are, and are not."""
        return quality.completeness(view.results, view.item("calset", ms)) | {"ms_path": ms}

    @routes.get("/qa/calibration/{ms:path}")
    def calibration(ms: str) -> dict[str, Any]:
        """Metrics of delays, bandpasses and gains."""
        calset = view.item("calset", ms)
        view.record("solutions", calset=calset)
        return quality.calibration(view.results, calset)


def _validation(routes: APIRouter, view: View, guard: Guard) -> None:
    def validated(image_id: str, validation_type: str) -> dict[str, Any]:
        group = view.item("group", image_id)
        view.record("image_record", group=group, tier=view.tier)
        found = quality.catalog_validation(view.results, group, view.tier)
        if validation_type == "all":
            return found
        if validation_type not in found:
            raise HTTPException(422, f"validation_type is all, {', '.join(found)}")
        return {validation_type: found[validation_type]}

    @routes.get("/qa/images/{image_id}/catalog-validation")
    def validation(image_id: str, validation_type: str = "all") -> dict[str, Any]:
        """Positions, flux scale and counts against the catalogue."""
        return validated(image_id, validation_type)

    @routes.post("/qa/images/{image_id}/catalog-validation/run", dependencies=[Depends(guard)])
    def run(image_id: str, validation_type: str = "all") -> dict[str, Any]:
        """The same: the workflow validates every image when it makes it."""
        return validated(image_id, validation_type)

    @routes.get("/qa/images/{image_id}/catalog-overlay")
    def overlay(image_id: str, min_flux_jy: float = 0.01) -> dict[str, Any]:
        """Catalogued sources on the pixels of the image."""
        group = view.item("group", image_id)
        catalogue = view.catalogue("field_model", "catalog")
        return quality.overlay(view.results, group, view.tier, catalogue, min_flux_jy)

    @routes.get("/qa/images/{image_id}/validation-report.html")
    def report(image_id: str) -> FileResponse:
        """The page of checks of the image."""
        group = view.item("group", image_id)
        return _file(Path(path("image_page", view.results, group=group, tier=view.tier)))

    @routes.post("/qa/images/{image_id}/validation-report/generate", dependencies=[Depends(guard)])
    def generate(image_id: str) -> dict[str, Any]:
        """Where the report is: it was made with the image."""
        group = view.item("group", image_id)
        file = _there(Path(path("image_page", view.results, group=group, tier=view.tier)))
        found = quality.catalog_validation(view.results, group, view.tier)
        return {
            "status": "done",
            "report_path": str(file),
            "image_path": path("image", view.results, group=group, tier=view.tier),
            "catalog": found["astrometry"]["catalog_used"],
            "validation_types": list(found),
        }


def _images(routes: APIRouter, view: View) -> None:
    @routes.get("/qa/image/{ms:path}")
    def image_quality(ms: str) -> dict[str, Any]:
        """Noise, peak, beam and sources of an image."""
        group = view.item("group", ms)
        view.record("image_record", group=group, tier=view.tier)
        return quality.image(view.results, group, view.tier)

    @routes.get("/images")
    def images(limit: int = 100, offset: int = 0) -> dict[str, Any]:
        """Images of tiles with their states, in order of time."""
        rows = [row for row in view.rows() if row.stage == "image"]
        shown = rows[offset : offset + max(1, min(limit, 1000))]
        items = [_image(view, row.item) | {"status": row.state} for row in shown]
        return {"items": items, "total": len(rows)}

    @routes.get("/images/{image_id}")
    def image(image_id: str) -> dict[str, Any]:
        """What is known of an image."""
        group = view.item("group", image_id)
        record = view.record("image_record", group=group, tier=view.tier)
        return _image(view, group) | {"qa_status": record["verdict"], "metadata": record["data"]}

    @routes.get("/images/{image_id}/fits")
    def fits(image_id: str, product: str = "pbcor") -> FileResponse:
        """A FITS file of a tile."""
        if product not in {"image", "pbcor", "residual", "psf", "model", "pb", "tile_rms"}:
            raise HTTPException(422, f"no product {product}")
        group = view.item("group", image_id)
        return _file(Path(path(product, view.results, group=group, tier=view.tier)))

    @routes.get("/images/{image_id}/measurements")
    def measurements(image_id: str) -> list[dict[str, Any]]:
        """Sources fitted to the visibilities of a tile."""
        group = view.item("group", image_id)
        record = view.record("image_record", group=group, tier=view.tier)
        return list(record["data"].get("sources_subtracted") or [])

    @routes.get("/images/{image_id}/profile")
    def profile(image_id: str, start: str, end: str, points: int = 101) -> dict[str, Any]:
        """Values along a line between two positions."""
        group = view.item("group", image_id)
        file = _there(Path(path("image", view.results, group=group, tier=view.tier)))
        picture = read_image(file)
        places = np.array([position(start), position(end)])
        pixels = picture.wcs.all_world2pix(places, 0)
        steps = np.linspace(0, 1, max(2, min(points, 2001)))[:, None]
        if not np.isfinite(pixels).all():
            raise NotThere(f"{start}, {end}: not on the sky of this image")
        x, y = np.rint(pixels[0] + steps * (pixels[1] - pixels[0])).astype(int).T
        inside = (x >= 0) & (x < picture.data.shape[1]) & (y >= 0) & (y < picture.data.shape[0])
        values = [
            float(picture.data[b, a]) if ok and np.isfinite(picture.data[b, a]) else None
            for a, b, ok in zip(x, y, inside, strict=True)
        ]
        return {"x": x.tolist(), "y": y.tolist(), "values_jy_beam": values}


def _image(view: View, group: str) -> dict[str, Any]:
    entry = view.plan()["groups"][group]
    file = path("image", view.results, group=group, tier=view.tier)
    return {
        "id": group,
        "path": file,
        "ms_path": path("ms", view.results, group=group),
        "start_mjd": entry["start_mjd"],
        "center_ra_deg": entry.get("ra_deg"),
        "center_dec_deg": entry.get("dec_deg"),
        "type": view.tier,
        "pbcor": Path(path("pbcor", view.results, group=group, tier=view.tier)).exists(),
    }


def _mosaics(routes: APIRouter, view: View, work: Work, guard: Guard) -> None:
    @routes.post("/mosaics/query")
    def query(window: WindowRequest) -> Mosaics:
        """Mosaics that begin in a window."""
        found = view.mosaics(window.start_time, window.end_time)
        return Mosaics(mosaics=found, total=len(found))

    @routes.get("/mosaics")
    def mosaics() -> Mosaics:
        """All mosaics in order of time."""
        found = view.mosaics(None, None)
        return Mosaics(mosaics=found, total=len(found))

    @routes.post("/mosaics/create", dependencies=[Depends(guard)])
    def create(request: MosaicRequest) -> Job:
        """Make mosaics of the plan: by name, by calibrator, or those of a window."""
        names = [] if request.name is None else [request.name]
        if request.calibrator is not None:
            names += [m for m in view.plan()["mosaics"] if m.endswith(f"_{request.calibrator}")]
            if not names:
                raise NotThere(f"the plan has no mosaic of {request.calibrator}")
        params = request.params.model_copy(
            update={"start_time": request.start_time, "end_time": request.end_time}
        )
        return work.job(work.submit("mosaic", names, params))

    @routes.get("/mosaics/{mosaic_id}")
    def mosaic(mosaic_id: str) -> Mosaic:
        """A mosaic."""
        return view.mosaic(mosaic_id)

    @routes.get("/mosaics/{mosaic_id}/fits")
    def fits(mosaic_id: str) -> FileResponse:
        """The FITS file of a mosaic."""
        return _file(Path(view.mosaic(mosaic_id).path))


def _there(file: Path) -> Path:
    if not file.exists() or not file.stat().st_size:
        raise NotThere(f"{file}: not made yet")
    return file


def _file(file: Path) -> FileResponse:
    return FileResponse(_there(file), filename=file.name)
