"""A disk that takes no more is named; what needs room asks before it writes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from contimg.core.disk import free_bytes, need_space, trouble
from contimg.core.errors import ContimgError
from contimg.core.records import atomic


def test_room_is_that_of_the_disk_where_a_path_would_lie(tmp_path):
    folder, free = free_bytes(tmp_path / "not" / "there" / "yet.ms")
    status = os.statvfs(tmp_path)
    assert folder == tmp_path and abs(free - status.f_bavail * status.f_frsize) < 1e9
    need_space(tmp_path / "a.ms", free / 2)
    with pytest.raises(ContimgError, match=rf"a\.ms takes 1e\+09 GB, on the disk of {tmp_path}"):
        need_space(tmp_path / "a.ms", 1e18)


def test_a_full_disk_is_told_from_other_errors(tmp_path):
    with pytest.raises(OSError) as full, open("/dev/full", "w") as stream:
        stream.write("x")
    assert "No space left on device" in trouble(full.value, tmp_path)
    assert f"on the disk of {tmp_path}" in trouble(full.value, tmp_path)
    with pytest.raises(OSError) as other:
        (tmp_path / "a" / "b").write_text("x")
    assert trouble(other.value, tmp_path) == ""


JOB = """
import resource, sys
from contimg.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
sys.exit(main(sys.argv[1:]))
"""


def test_a_job_whose_disk_takes_no_more_says_so(tmp_path):
    """The limit of a file's size is met as a full disk is; what is written is a long table."""
    rows = "".join(f"s{k},{k},{k % 60},1,1.4e9,0\n" for k in range(300))
    table = tmp_path / "sources.csv"
    table.write_text(f"name,ra_deg,dec_deg,flux_jy,ref_freq_hz,spectral_index\n{rows}")
    job = subprocess.run(
        [
            *(sys.executable, "-c", JOB, "transits", "--calibrators", str(table), "--since"),
            *("2025-10-05", "--until", "2025-10-06", "--table", str(tmp_path / "t.csv")),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert job.returncode == 1 and "Traceback" not in job.stderr, job.stderr
    assert "File too large: on the disk of" in job.stderr


def test_the_first_error_is_the_one_that_is_told(tmp_path):
    """Cleaning up meets an error of its own: a file where the folder was."""
    target = tmp_path / "folder" / "a.csv"
    with pytest.raises(OSError, match="no room"), atomic(target):
        target.parent.rmdir()
        target.parent.write_text("a file")
        raise OSError(errno.ENOSPC, "no room")
