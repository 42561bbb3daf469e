"""The application: routes below ``/api``, the web log and the files of the results as pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.middleware.trustedhost import TrustedHostMiddleware

from contimg import __version__
from contimg.core.errors import ContimgError, DamagedError
from contimg.service import (
    routes_data,
    routes_inventory,
    routes_jobs,
    routes_qa,
    routes_sources,
)
from contimg.service.guard import Guard, SmallBodies
from contimg.service.jobs import Busy
from contimg.service.view import NotThere, View
from contimg.service.work import Work


def create(
    results: str,
    token: str,
    *,
    cores: int | None = None,
    decisions: Path | None = None,
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]"),
) -> FastAPI:
    """The service of one results folder."""
    app = FastAPI(
        title="contimg",
        version=__version__,
        description="Results of a contimg run, and runs of the workflow as jobs.",
        docs_url=None,  # its pages load scripts from the network
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.add_middleware(SmallBodies)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    view = View(results, decisions)
    work, guard = Work(view, cores), Guard(token)
    for router in (
        routes_jobs.router(work, guard),
        routes_qa.router(view, work, guard),
        routes_data.router(view, work, guard),
        routes_inventory.router(view),
        routes_sources.router(view, guard),
    ):
        app.include_router(router, prefix="/api")
    _errors(app)

    @app.get("/", include_in_schema=False)
    def front() -> RedirectResponse:
        return RedirectResponse("/files/report/index.html")

    app.mount("/files", StaticFiles(directory=results), name="files")
    return app


class _Plain(JSONResponse):
    """An answer that repeats the question, whatever characters stand in that."""

    def render(self, content: Any) -> bytes:
        """ASCII, so that lone surrogates pass too."""
        return json.dumps(content).encode("ascii")


def _errors(app: FastAPI) -> None:
    """Errors that say what is wrong with the question, or with the results."""

    def answer(status: int, error: Exception) -> JSONResponse:
        return _Plain({"detail": str(error)}, status)

    @app.exception_handler(RequestValidationError)
    def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        # without what was given: NaN, which JSON has not, may be in it
        told = [{key: entry[key] for key in ("type", "loc", "msg")} for entry in error.errors()]
        return _Plain({"detail": told}, 422)

    @app.exception_handler(NotThere)
    def missing(_: Request, error: NotThere) -> JSONResponse:
        return answer(404, error)

    @app.exception_handler(DamagedError)
    def damaged(_: Request, error: DamagedError) -> JSONResponse:
        return answer(500, error)

    @app.exception_handler(ContimgError)
    def refused(_: Request, error: ContimgError) -> JSONResponse:
        return answer(409, error)

    @app.exception_handler(Busy)
    def busy(_: Request, error: Busy) -> JSONResponse:
        return answer(429, error)
