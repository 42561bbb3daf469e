"""Helpers end with the process that started them, however that one ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PARENT = """
import os, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from contimg.core.isolate import end_with_parent
pool = ProcessPoolExecutor(1, mp_context=get_context("fork"), initializer=end_with_parent)
print(pool.submit(os.getpid).result(), flush=True)
pool.submit(time.sleep, 600)
time.sleep(600)
"""


def test_a_helper_does_not_outlive_a_killed_job():
    job = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert job.stdout is not None
    helper = Path(f"/proc/{int(job.stdout.readline())}/stat")
    assert helper.exists()
    job.send_signal(signal.SIGKILL)
    job.wait()
    deadline = time.monotonic() + 20
    while helper.exists() and helper.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline, "the helper lives on"
        time.sleep(0.05)
