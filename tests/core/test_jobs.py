"""The state of a job from what it leaves on disk: done, at work, ended with an error, killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contimg.core import jobs
from contimg.core.jobs import error_line, job_state, read_note

SCRIPTS = Path(__file__).parents[2] / "scripts"
JOB = """
import sys, time
from contimg.core.jobs import noted
with noted() as note:
    print("begun", flush=True)
    exec(sys.argv[1])
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "results" / "logs" / "image_tile" / "2025-10-05" / "a.standard.log"
    path.parent.mkdir(parents=True)
    return path


def start(log: Path, what: str) -> subprocess.Popen:
    """A process whose output goes to `log`, as that of a rule's command."""
    with log.open("w") as stream:
        return subprocess.Popen(
            [sys.executable, "-c", JOB, what],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": str(SCRIPTS)},
        )


def begun(log: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while "begun" not in log.read_text():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


def benchmark(log: Path) -> Path:
    return log.with_name("none.tsv")


def test_a_job_that_is_done_leaves_no_note(log: Path) -> None:
    assert start(log, "pass").wait() == 0
    assert list(log.parent.iterdir()) == [log]
    after = log.with_suffix(".tsv")
    after.write_text("s\n1\n")  # Snakemake's word that it succeeded
    assert job_state(log, after) is None


def test_a_job_is_running_until_it_is_killed(log: Path) -> None:
    process = start(log, "time.sleep(100)")
    begun(log, process)
    state = job_state(log, benchmark(log))
    assert (state.state, state.tries) == ("running", 1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    state = job_state(log, benchmark(log))
    assert state.state == "crashed" and "killed" in state.reason


def test_tries_are_counted_and_the_error_is_kept(log: Path) -> None:
    for tries in (1, 2):
        assert start(log, "raise RuntimeError('disk full')").wait() == 1
        state = job_state(log, benchmark(log))
        assert (state.state, state.reason, state.tries) == (
            "crashed", "RuntimeError: disk full", tries,
        )  # fmt: skip
    assert start(log, "note.error = 'no WSClean'").wait() == 0
    assert job_state(log, benchmark(log)).reason == "no WSClean"
    for what, words in (
        ("raise KeyboardInterrupt", "interrupted"),
        ("print('wrong flag --x'); sys.exit(2)", "wrong flag --x"),
    ):
        assert start(log, what).wait() != 0
        assert job_state(log, benchmark(log)).reason == words
    assert start(log, "pass").wait() == 0
    assert read_note(log.with_suffix(".job")) is None


def test_a_job_that_never_came_to_its_note(log: Path) -> None:
    """Broken environment: the shell's word is all there is."""
    log.write_text("bash: contimg: command not found\n")
    assert job_state(log, benchmark(log)).state == "running"  # it may just have begun
    state = job_state(log, benchmark(log), begin_s=0.0)
    assert (state.state, state.reason) == ("crashed", "bash: contimg: command not found")


def test_a_job_on_another_host_lives_by_its_beat(log: Path) -> None:
    log.write_text("")
    note = log.with_suffix(".job")
    note.write_text(json.dumps(jobs.sign() | {"host": "node7", "slurm_job": "12", "tries": 1}))
    assert job_state(log, benchmark(log)).state == "running"
    old = time.time() - jobs.STALE_S - 10
    os.utime(note, (old, old))
    state = job_state(log, benchmark(log))
    assert state.state == "crashed" and "SLURM job 12 on node7" in state.reason


def test_a_number_that_another_process_has_now_is_not_the_job(log: Path) -> None:
    log.write_text("")
    signed = jobs.sign() | {"began": "1", "tries": 1}  # our number, not our birth
    log.with_suffix(".job").write_text(json.dumps(signed))
    assert job_state(log, benchmark(log)).state == "crashed"


def test_the_beat_keeps_the_note_fresh_and_ends_with_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "BEAT_S", 1)
    note = tmp_path / "note"
    note.write_text("{}")
    os.utime(note, (1, 1))
    beat = jobs.heartbeat(note)
    deadline = time.monotonic() + 30
    while note.stat().st_mtime < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    beat.communicate(timeout=20)
    note.unlink()
    assert beat.returncode == 0 and not note.exists()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("a\nb\n\n", "b"),
        ("ValueError: x\nmore words\n", "ValueError: x"),
    ],
)
def test_the_line_that_tells_most(tmp_path: Path, text: str, line: str) -> None:
    log = tmp_path / "a.log"
    log.write_text(text)
    assert error_line(log) == line
