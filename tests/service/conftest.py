"""A service in a process of its own, on results of a small survey, and a workflow that it may run.

The workflow is a Snakefile whose jobs only write the records they are named for: what is tested is
how runs are started, followed, stopped and survived, with the real Snakemake.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import requests
from astropy.io import fits

from contimg.config import Config
from contimg.core.paths import path
from report.make_results import Survey, put

pytest.importorskip("fastapi", reason="the service is an extra: pip install 'contimg[serve]'")

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-for-tests-only"
SNAKEFILE = """
import json, os

rule all:
    input: []

rule publish:
    output: "results/published/{mosaic}.json"
    shell: "sleep 0.2; echo publishing {wildcards.mosaic}; cp template.json {output:q}"

rule image:
    output: "results/images/{day}/{group}/{group}.{tier}.json"
    shell:
        "echo imaging {wildcards.group}; sleep $(cat seconds.txt);"
        " test {wildcards.group} != $(cat bad.txt); cp template.json {output:q}"
"""


class Service:
    """The process and what a client says to it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.results = directory / "results"
        self.elsewhere = directory / "elsewhere"  # than where the run was started
        self.elsewhere.mkdir(exist_ok=True)
        self.token = directory / "token"
        self.token.write_text(TOKEN)
        self.token.chmod(0o600)
        self.start()

    def start(self) -> None:
        """Start it at a free port and wait until it answers."""
        import socket

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [
                *(sys.executable, str(ROOT / "scripts/bin/contimg"), "serve"),
                *("--results", str(self.results)),
                *("--port", str(port), "--token-file", str(self.token)),
            ],
            cwd=self.elsewhere,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                requests.get(f"{self.url}/api/health", timeout=5)
                return
            except requests.ConnectionError:
                assert self.process.poll() is None, "the service ended"
                time.sleep(0.05)
        raise TimeoutError("the service does not answer")

    def kill(self) -> None:
        """As the system does when memory runs out."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def get(self, place: str, **more) -> requests.Response:
        return requests.get(f"{self.url}{place}", timeout=60, **more)

    def post(self, place: str, content=None, token: str | None = TOKEN) -> requests.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return requests.post(f"{self.url}{place}", json=content, headers=headers, timeout=60)

    def ended(self, job_id: str, seconds: float = 60) -> dict:
        """A job after its end."""
        deadline = time.monotonic() + seconds
        while True:
            job = self.get(f"/api/jobs/id/{job_id}").json()
            if job["status"] not in {"pending", "running"}:
                return job
            assert time.monotonic() < deadline, job
            time.sleep(0.1)


def pictures(survey: Survey) -> None:
    """An image with a frequency, the page about it, pictures of a calset."""
    group = survey.group(0, 0)
    header = fits.Header()
    for axis, (kind, value, step) in enumerate(
        [("RA---SIN", survey.ra[0], -0.01), ("DEC--SIN", survey.dec[0], 0.01), ("FREQ", 1.4e9, 1e6)]
    ):
        header[f"CTYPE{axis + 1}"], header[f"CRVAL{axis + 1}"] = kind, value
        header[f"CDELT{axis + 1}"], header[f"CRPIX{axis + 1}"] = step, 32 if axis < 2 else 1
    data = np.arange(64 * 64, dtype="f4").reshape(1, 64, 64)
    file = path("image", "results", group=group, tier="standard")
    fits.writeto(file, data, header, overwrite=True)
    put(path("image_page", "results", group=group, tier="standard"), "<p>checks</p>")
    for view in ("bandpass", "gains", "delays", "quality"):
        picture = Path(path("calset_plot", "results", calset=f"{group}_0834+555", view=view))
        picture.write_bytes(survey.picture().read_bytes())


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> Service:
    directory = tmp_path_factory.mktemp("service")
    before = os.getcwd()
    os.chdir(directory)
    try:
        survey = Survey("results", days=2, tiles=6, mosaics=1, sources=8).make()
        pictures(survey)
    finally:
        os.chdir(before)
    (directory / "decisions.csv").write_text("product,decision,reason,by,decided_utc\n")
    config = Config(catalog=path("sky", "results")).model_dump(mode="json")
    config |= {"results": "results", "targets": path("sky", "results")}
    config["publish"]["overrides"] = "decisions.csv"
    config["report"]["candidate_decisions"] = "candidates.csv"
    (note,) = (directory / "results/runs").iterdir()
    content = json.loads(note.read_text()) | {"config": config, "directory": str(directory)}
    content["command"] = ["snakemake", "--snakefile", "Snakefile", "--cores", "2"]
    note.write_text(json.dumps(content))
    (directory / "Snakefile").write_text(SNAKEFILE)
    record = {"product": "p", "stage": "s", "verdict": "pass", "reason": "", "checks": []}
    record |= {
        "inputs": [],
        "data": {"decision": None},
        "run": {"created_utc": "2026-01-01T00:00:00+00:00"},
    }
    (directory / "template.json").write_text(json.dumps(record))
    (directory / "seconds.txt").write_text("0")
    (directory / "bad.txt").write_text("none")
    made = Service(directory)
    made.survey = survey
    yield made
    made.process.terminate()
    made.process.wait()
