"""Jobs and batches: start, look, follow the log, cancel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import StreamingResponse

from contimg.service.guard import Guard
from contimg.service.jobs import JobFolder
from contimg.service.models import BatchJob, BatchRequest, Job, JobParams, JobRequest
from contimg.service.work import Work

SINGLE = ("convert", "calibrate", "apply", "image", "publish")
# other paths to jobs: path -> type
OTHERS = {
    "/photometry/measure": "photometry",
    "/photometry/normalize": "normalize",
    "/ese/detect": "ese-detect",
}


def router(work: Work, guard: Guard) -> APIRouter:
    """The routes of jobs."""
    routes = APIRouter()
    write = [Depends(guard)]

    def single(job_type: str) -> Any:
        def submit(request: JobRequest) -> Job:
            names = [] if request.ms_path is None else [request.ms_path]
            return work.job(work.submit(job_type, names, request.params))

        return submit

    def many(job_type: str) -> Any:
        def submit(request: BatchRequest) -> BatchJob:
            if request.job_type not in {None, job_type}:
                raise HTTPException(422, f"job_type: this path is for {job_type}")
            names = list(dict.fromkeys(request.params.ms_paths))
            return work.batch(work.submit(job_type, names, request.params.params))

        return submit

    for name in SINGLE:
        routes.post(f"/jobs/{name}", dependencies=write, summary=f"Start: {name}")(single(name))
        routes.post(f"/batch/{name}", dependencies=write, summary=f"Start many: {name}")(many(name))
    for place, name in OTHERS.items():
        routes.post(place, dependencies=write, summary=f"Start: {name}")(single(name))
    routes.post("/batch/photometry", dependencies=write, summary="Start many: photometry")(
        many("photometry")
    )
    routes.post("/batch/mosaic", dependencies=write, summary="Start many: mosaic")(many("mosaic"))

    @routes.post("/jobs/workflow", dependencies=write)
    def workflow(request: JobRequest) -> Job:
        """Everything that is not made yet; with a window, the mosaics that begin in it."""
        params = request.params
        if params.start_time is None and params.end_time is None:
            return work.job(work.submit("workflow", [], params))
        return work.job(work.submit("mosaic", [], params))

    @routes.get("/jobs")
    def jobs(limit: int = 100) -> list[Job]:
        """The latest jobs first."""
        return [work.job(job) for job in work.store.jobs()[: max(1, min(limit, 1000))]]

    @routes.get("/jobs/id/{job_id}")
    def job(job_id: str) -> Job:
        """A job with the end of its log."""
        return work.job(_found(work, job_id))

    @routes.post("/jobs/id/{job_id}/cancel", dependencies=write)
    def cancel(job_id: str) -> Job:
        """End a job; what it has made stays, what it was making is made again by the next."""
        found = _found(work, job_id)
        if not found.cancel():
            raise HTTPException(409, f"{job_id} has ended: {found.status()}")
        return work.job(found)

    @routes.get("/jobs/id/{job_id}/logs")
    def logs(job_id: str) -> StreamingResponse:
        """The log as server-sent events, to its end."""
        return StreamingResponse(_events(_found(work, job_id)), media_type="text/event-stream")

    @routes.get("/batch")
    def batches(limit: int = 50) -> list[BatchJob]:
        """The latest batches first; a batch is a job for several products."""
        found = [job for job in work.store.jobs() if job.asked["params"].get("items")]
        return [work.batch(job) for job in found[: max(1, min(limit, 200))]]

    @routes.get("/batch/{job_id}")
    def batch(job_id: str) -> BatchJob:
        """A batch with the state of every item."""
        return work.batch(_batch(work, job_id))

    @routes.post("/batch/{job_id}/cancel", dependencies=write)
    def cancel_batch(job_id: str) -> BatchJob:
        """End a batch; items that are done stay so."""
        found = _batch(work, job_id)
        if not found.cancel():
            raise HTTPException(409, f"{job_id} has ended: {found.status()}")
        return work.batch(found)

    @routes.post("/retry", dependencies=write)
    def retry() -> Job:
        """The whole workflow again: it makes what is not there."""
        return work.job(work.submit("workflow", [], JobParams()))

    return routes


def _found(work: Work, job_id: str) -> JobFolder:
    found = work.store.job(job_id)
    if found is None:
        raise HTTPException(404, f"no job {job_id}")
    return found


def _batch(work: Work, job_id: str) -> JobFolder:
    found = _found(work, job_id)
    if not found.asked["params"].get("items"):
        raise HTTPException(404, f"{job_id} is a job without items")
    return found


async def _events(job: JobFolder) -> AsyncIterator[str]:
    """Lines of a log as they come; the last event is the status."""
    at, rest = 0, b""
    while True:
        ended = job.status() not in {"pending", "running"}
        chunk = _read(job.log, at)
        at += len(chunk)
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines + ([rest] if ended and rest else []):
            yield f"data: {line.decode(errors='replace')}\n\n"
        if ended:
            yield f"event: end\ndata: {job.status()}\n\n"
            return
        await asyncio.sleep(0.3)


def _read(log: Path, at: int) -> bytes:
    if not log.exists():
        return b""
    with log.open("rb") as stream:
        stream.seek(at)
        return stream.read(1_000_000)
