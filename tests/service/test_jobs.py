"""Jobs over HTTP with the real Snakemake: done, failed, cancelled, killed, and after a restart."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time

import pytest

from contimg.core.paths import path
from contimg.service.jobs import JobStore, group_works
from contimg.service.launch import Unsuitable, configuration
from contimg.service.models import JobParams

TILES = [f"20251005T{clock}" for clock in ("000010", "035903", "075756", "115650")]


@pytest.fixture
def slow(service):
    """Jobs of the workflow take long."""
    (service.directory / "seconds.txt").write_text("60")
    yield
    (service.directory / "seconds.txt").write_text("0")


def record(service, group: str):
    return service.directory / path("image_record", "results", group=group, tier="standard")


def image(service, group: str) -> dict:
    record(service, group).unlink(missing_ok=True)
    answer = service.post("/api/jobs/image", {"ms_path": f"ms/2025-10-05/{group}.ms"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def running(service, job_id: str) -> None:
    """Wait until the workflow's own job is at work."""
    deadline = time.monotonic() + 60
    while "imaging" not in service.get(f"/api/jobs/id/{job_id}").json()["logs"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_job_makes_its_product_and_tells(service):
    job = image(service, TILES[0])
    assert job["status"] in {"pending", "running"} and job["type"] == "image"
    ended = service.ended(job["id"])
    assert ended["status"] == "done" and record(service, TILES[0]).exists()
    assert [name.endswith(f"{TILES[0]}.standard.json") for name in ended["artifacts"]] == [True]
    assert ended["started_at"] <= ended["finished_at"]
    assert service.get("/api/jobs").json()[0]["id"] == job["id"]


def test_the_log_comes_as_events_to_its_end(service):
    job = image(service, TILES[0])
    with service.get(f"/api/jobs/id/{job['id']}/logs", stream=True) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines(decode_unicode=True) if line]
    assert f"data: imaging {TILES[0]}" in lines
    assert lines[-2:] == ["event: end", "data: done"]


def test_of_a_batch_one_bad_item_does_not_stop_the_others(service):
    for group in TILES[:3]:
        record(service, group).unlink(missing_ok=True)
    (service.directory / "bad.txt").write_text(TILES[1])
    answer = service.post("/api/batch/image", {"params": {"ms_paths": TILES[:3]}})
    assert answer.status_code == 200, answer.text
    batch = answer.json()
    assert batch["total_items"] == 3
    service.ended(batch["id"])
    (service.directory / "bad.txt").write_text("none")
    batch = service.get(f"/api/batch/{batch['id']}").json()
    assert batch["status"] == "failed"
    assert {i["ms_path"]: i["status"] for i in batch["items"]} == {
        TILES[0]: "done",
        TILES[1]: "failed",
        TILES[2]: "done",
    }
    assert (batch["completed_items"], batch["failed_items"]) == (2, 1)
    assert service.get("/api/batch").json()[0]["id"] == batch["id"]
    assert "exit status" in service.get(f"/api/jobs/id/{batch['id']}").json()["error"]


def test_a_cancelled_job_ends_with_its_processes(service, slow):
    job = image(service, TILES[0])
    running(service, job["id"])
    assert service.post(f"/api/jobs/id/{job['id']}/cancel").status_code == 200
    assert service.ended(job["id"])["status"] == "cancelled"
    group = json.loads((service.results / f"service/jobs/{job['id']}/process.json").read_text())[
        "pid"
    ]
    assert not group_works(group)
    assert service.post(f"/api/jobs/id/{job['id']}/cancel").status_code == 409
    assert not record(service, TILES[0]).exists()
    unlock(service)


def unlock(service) -> None:
    """What Snakemake leaves when it is killed; contimg's own workflow takes turns by its lock."""
    for lock in (service.directory / ".snakemake/locks").glob("*"):
        lock.unlink()


def test_a_killed_server_loses_no_job_and_no_job_ends_with_it(service):
    (service.directory / "seconds.txt").write_text("12")
    job = image(service, TILES[0])
    running(service, job["id"])
    service.kill()
    service.start()
    assert service.get(f"/api/jobs/id/{job['id']}").json()["status"] == "running"
    assert service.ended(job["id"])["status"] == "done"
    (service.directory / "seconds.txt").write_text("0")


def test_a_killed_job_has_failed_and_says_so(service, slow):
    job = image(service, TILES[0])
    running(service, job["id"])
    note = json.loads((service.results / f"service/jobs/{job['id']}/process.json").read_text())
    os.killpg(note["pid"], signal.SIGKILL)
    ended = service.ended(job["id"])
    assert ended["status"] == "failed" and "killed" in ended["error"]
    unlock(service)


def test_a_decision_is_a_row_and_a_run(service):
    mosaic = "20251005_0834+555"
    place = f"/api/data/{mosaic}"
    answer = service.post(f"{place}/auto-publish/disable", {"reason": "a satellite", "by": "ana"})
    assert answer.json() == {"enabled": False}
    status = service.get(f"{place}/auto-publish/status").json()
    assert not status["enabled"] and "held back by a person" in status["reasons"]
    table = service.directory / "decisions.csv"
    assert f"{mosaic},hold,a satellite,ana," in table.read_text()
    assert service.post(f"{place}/auto-publish/enable", {}).json() == {"enabled": True}
    (service.results / f"published/{mosaic}.json").unlink()
    answer = service.post(f"{place}/publish", {"reason": "looks well", "by": "ana"})
    assert answer.status_code == 200, answer.text
    assert service.ended(answer.json()["job_id"])["status"] == "done"
    assert f"{mosaic},publish,looks well,ana," in table.read_text()
    assert service.post(f"{place}/publish", {}).status_code == 400  # published already
    lineage = service.get("/api/data/image:" + TILES[3] + "/lineage").json()
    assert lineage["lineage"][0]["product"] == TILES[3]


def test_results_that_were_copied_start_no_run_on_the_original(service, tmp_path):
    copy = str(shutil.copytree(service.results / "runs", tmp_path / "copy/runs").parent)
    with pytest.raises(Unsuitable, match=f"moved or copied to {copy}"):
        configuration(copy, JobParams())
    assert configuration(str(service.results), JobParams())


def test_a_folder_that_is_no_job_is_none(service):
    store = JobStore(str(service.results))
    for name in ("..", "../jobs", "", "x" * 100, "a/b", "20251005T000000000-abcdef"):
        assert store.job(name) is None


def test_too_many_writes_a_minute_are_refused(service):
    for _ in range(80):
        status = service.post("/api/jobs/image", {}).status_code
        if status == 429:
            break
    assert status == 429
