"""A disk that takes no more is named; what needs room asks before it writes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.wcs import WCS

from contimg.core.disk import free_bytes, named, need_space, of_the_medium, trouble
from contimg.core.errors import ContimgError
from contimg.core.fits import write_image
from contimg.core.records import atomic, write_record
from contimg.core.seals import seal, verified


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


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ESTALE, "away"),
        OSError("Can't write data (errno = 28, error message = 'No space left on device')"),
        RuntimeError("FiledesIO: file a/table.f1 could not be created: Read-only file system"),
        OSError("Not enough space on disk: requested 1048576, available 0. "),
        OSError("262144 requested and 200288 written"),
        ContimgError("a.fits: cannot be read as FITS ([Errno 5] Input/output error)"),
    ],
    ids=["stale", "HDF5", "casacore", "astropy", "numpy", "in words"],
)
def test_what_libraries_say_of_a_disk_is_known(tmp_path, error):
    assert of_the_medium(error) and "on the disk of" in trouble(error, tmp_path)
    named(error, tmp_path / "x.ms")
    known = isinstance(error, OSError) and error.errno is not None
    assert (f"{tmp_path / 'x.ms'}: " in trouble(error, tmp_path)) == known


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_an_image_on_a_disk_that_is_full_in_truth_is_named(tmp_path):
    """As astropy has it, which asks the disk itself."""
    disk = tmp_path / "small"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False)
    if mounted.returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        with pytest.raises(OSError) as full:
            write_image(disk / "a.fits", np.ones((300, 300)), WCS(naxis=2), unit="Jy/beam")
        said = trouble(full.value, tmp_path)
        assert said.startswith(f"{disk}/a.fits: No space left on device: on the disk of {disk} ")
        assert not list(disk.iterdir())
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_copy_that_finds_no_room_names_its_target(tmp_path):
    error = OSError(errno.ENOSPC, "full", "source.fits", None, str(tmp_path / "target.fits"))
    assert trouble(error, tmp_path).startswith(f"{tmp_path / 'target.fits'}: No space left")


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
def test_an_input_that_the_disk_does_not_give_is_no_failed_product(tmp_path, monkeypatch, number):
    """The job fails and is run again; no record speaks of the data."""
    record = tmp_path / "m.json"
    write_record(record, product="m", stage="mosaic", data={})

    def fails(path: Path) -> str:
        raise OSError(number, os.strerror(number))

    image = tmp_path / "m.image.fits"
    image.write_bytes(b"x")
    seal(record, [image])
    monkeypatch.setattr("contimg.core.seals.file_sha256", fails)
    with pytest.raises(OSError, match=os.strerror(number)):
        verified(image, record)
    with pytest.raises(OSError, match=os.strerror(number)):
        seal(record, [image])
    assert not record.exists()


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
