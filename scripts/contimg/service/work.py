"""The write side: jobs and batches, decisions on products and candidates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from contimg.core.jobs import BEGIN_S, job_state
from contimg.core.paths import day_of, path
from contimg.core.records import write_text
from contimg.core.state import state_of
from contimg.report.stages import STAGES
from contimg.service import launch
from contimg.service.jobs import JobFolder, JobStore
from contimg.service.models import BatchItem, BatchJob, Job, JobParams
from contimg.service.view import View

LOG_LINES = 200  # of a job's log in its description


class Work:
    """What people may start, on one results folder."""

    def __init__(self, view: View, cores: int | None) -> None:
        self.view, self.cores = view, cores
        self.store = JobStore(view.results)

    def submit(self, job_type: str, subjects: Sequence[str], params: JobParams) -> JobFolder:
        """Start a run of the workflow for some products, for a window, or for everything."""
        results, plan = self.view.results, self.view.plan()
        last, config = launch.configuration(results, params)
        items: list[str] = []
        if job_type in launch.MAKES:
            kind, _ = launch.MAKES[job_type]
            items = launch.items(kind, subjects, params, plan)
        tier = config.get("image", {}).get("tier", "standard")
        wanted = launch.targets(job_type, items, str(config["results"]), tier)  # as the run says
        made = launch.targets(job_type, items, results, tier)
        asked = params.model_dump(exclude_defaults=True) | {"items": items}
        subject = subjects[0] if len(subjects) == 1 else ""
        job = self.store.create(job_type, subject, asked, made)
        configfile = job.folder / "config.json"
        write_text(configfile, json.dumps(config, indent=1) + "\n")
        words, directory = launch.command(
            last, configfile, wanted, params.max_workers or self.cores
        )
        self.store.start(job, words, directory)
        return job

    def again(self, names: Sequence[str], stage: str) -> JobFolder:
        """Make the publication of mosaics again."""
        for name in names:
            Path(path("published_record", self.view.results, mosaic=name)).unlink(missing_ok=True)
        return self.submit(stage, names, JobParams())

    def job(self, found: JobFolder) -> Job:
        """A job as it goes over the wire."""
        created, started, finished = found.times()
        return Job(
            id=found.id,
            type=found.asked["type"],
            status=found.status(),
            ms_path=found.asked["ms_path"],
            params=found.asked["params"],
            logs=found.tail(LOG_LINES),
            artifacts=[name for name in found.asked["artifacts"] if Path(name).exists()],
            error=found.error(),
            created_at=created,
            started_at=started,
            finished_at=finished,
        )

    def batch(self, found: JobFolder) -> BatchJob:
        """A job for several products with what became of each of them."""
        status = found.status()
        created, _, _ = found.times()
        items = [
            self._item(found, name, status, created) for name in found.asked["params"]["items"]
        ]
        return BatchJob(
            id=found.id,
            type=found.asked["type"],
            created_at=created,
            status=status,
            total_items=len(items),
            completed_items=sum(item.status == "done" for item in items),
            failed_items=sum(item.status == "failed" for item in items),
            params=found.asked["params"],
            items=items,
        )

    def _item(self, job: JobFolder, name: str, status: str, created: str) -> BatchItem:
        """The state of one product of a batch, from its record or its job of the workflow."""
        kind, record = launch.MAKES[job.asked["type"]]
        tier = json.loads((job.folder / "config.json").read_text())["image"]["tier"]
        key = {kind: name, "tier": tier}
        results = self.view.results
        found = state_of(path(record, results, **key))
        state, error, done = "pending", "", None
        if found.state != "pending":
            state = "done" if found.state == "done" else "failed"
            error = found.reason if state == "failed" else ""
            done = found.content.get("run", {}).get("created_utc")
        else:
            state, error = self._at_work(kind, record, key, status)
        return BatchItem(
            ms_path=name,
            job_id=job.id,
            status=state,
            error=error,
            started_at=created if state != "pending" else None,
            completed_at=done,
        )

    def _at_work(self, kind: str, record: str, key: dict[str, str], status: str) -> tuple[str, str]:
        """State and error of a product without a record."""
        results = self.view.results
        for stage in STAGES:
            if stage.record == record:
                job = stage.job.format(**key, day=day_of(key[kind]))
                log = Path(path("log", results, rule=stage.rule, job=job))
                benchmark = Path(path("benchmark", results, rule=stage.rule, job=job))
                began = job_state(log, benchmark, BEGIN_S if status == "running" else 0.0)
                if began is not None:
                    return ("running" if began.state == "running" else "failed"), began.reason
        if status in {"done", "failed", "cancelled"}:
            words = "the job ended before it came to this product"
            return ("cancelled" if status == "cancelled" else "failed"), words
        return "pending", ""
