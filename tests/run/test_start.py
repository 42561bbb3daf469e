"""Who writes, and who waits."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from contimg.config import read_config
from contimg.core.errors import ContimgError
from contimg.core.paths import path
from contimg.run.start import check_space, runs_jobs

MODULE = "/env/lib/python3.11/site-packages/snakemake/__main__.py"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--cores", "2"],
        ["-c1", "--configfile", "a.yaml", "all"],
        ["--profile", "slurm", "--config", "image={robust: 0.1}"],
        ["--cores", "1", "--rerun-triggers", "mtime"],
    ],
)
def test_these_run_jobs(arguments):
    assert runs_jobs(["/env/bin/snakemake", *arguments]) and runs_jobs([MODULE, *arguments])


@pytest.mark.parametrize(
    "arguments",
    [
        ["-n"],
        ["-np", "all"],
        ["--dry-run", "--cores", "2"],
        ["--summary"],
        ["--detailed-summary"],
        ["--dag"],
        ["--rulegraph"],
        ["--report", "report.zip"],
        ["--unlock"],
        ["--lint"],
        ["--list-changes", "code"],
        ["--cleanup-metadata", "file"],
        ["--touch"],
        ["--conda-create-envs-only"],
    ],
)
def test_these_only_look(arguments):
    assert not runs_jobs(["/env/bin/snakemake", *arguments])


def test_a_program_that_drives_snakemake_looks():
    assert not runs_jobs(["/env/bin/pytest", "tests"])


HOLD = """
import sys, time
from contimg.run.start import hold
hold(sys.argv[1])
print("working", flush=True)
time.sleep(float(sys.argv[2]))
"""


def start(results: str, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, results, str(seconds)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_runs_take_turns(tmp_path):
    first = start(str(tmp_path), 60)
    assert first.stdout is not None and first.stdout.readline() == "working\n"
    second = start(str(tmp_path), 0)
    assert second.stderr is not None
    said = second.stderr.readline()
    assert f"process {first.pid} on" in said and "this run begins when it ends" in said
    time.sleep(0.2)
    assert second.poll() is None
    first.kill()  # whatever ends it
    assert second.communicate(timeout=60)[0] == "working\n"
    assert f"process {second.pid}" in Path(path("run_lock", str(tmp_path))).read_text()
    first.communicate()


def test_a_run_that_cannot_find_room_does_not_begin(tmp_path):
    """A petabyte of raw data does not fit on this disk; nothing does."""
    config = read_config({"results": str(tmp_path), "catalog": "sky.csv"})
    plan = {"tiles": {}, "calsets": {}, "mosaics": {}, "files": {}}
    assert check_space(config, plan) == ""
    plan["tiles"] = {"20251005T034512": {"raw_bytes": 1e15, "calsets": []}}
    with pytest.raises(ContimgError, match=rf"on the disk of {tmp_path} .* are free; make room"):
        check_space(config, plan)
    made = Path(path("image_record", str(tmp_path), group="20251005T034512", tier="standard"))
    made.parent.mkdir(parents=True)
    made.touch()
    assert check_space(config, plan) == ""


@pytest.mark.parametrize(("line", "runs"), [("dry-run: true", False), ("keep-going: true", True)])
def test_a_profile_may_ask_to_look_only(tmp_path, line, runs):
    profile = tmp_path / "mine"
    profile.mkdir()
    (profile / "profile.yaml").write_text(f"cores: 2\n{line}\n")
    assert runs_jobs(["/env/bin/snakemake", "--profile", str(profile)]) == runs
