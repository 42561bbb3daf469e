"""On a file system without locks (NFS, Lustre): a preloaded library refuses every one."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from contimg.core.records import read_record
from truth.observe import CORRUPTED, observe

ROOT = Path(__file__).resolve().parents[2]
COMPILER = shutil.which("cc") or shutil.which("gcc")

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    made = tmp_path_factory.mktemp("library") / "refuse_locks.so"
    source = Path(__file__).with_name("refuse_locks.c")
    build = [COMPILER, "-shared", "-fPIC", "-w", "-o", str(made), str(source), "-ldl"]
    subprocess.run(build, check=True)
    return made


def environment(library: Path, refused: Path, number: int) -> dict[str, str]:
    return os.environ | {
        "LD_PRELOAD": str(library),
        "REFUSED": str(refused),
        "REFUSED_ERRNO": str(number),
        "PYTHONPATH": str(ROOT / "scripts"),
    }


def test_the_library_does_refuse(library, tmp_path):
    """Else the tests below could not fail."""
    program = (
        "import h5py, sys; h5py.File(sys.argv[1], 'w', locking=False).close();"
        "h5py.File(sys.argv[1], 'r', locking=True)"
    )
    path, refused = tmp_path / "a.h5", tmp_path / "refused"
    env = environment(library, refused, errno.ENOLCK)
    env.pop("HDF5_USE_FILE_LOCKING", None)  # set by whatever ran in this process before
    done = subprocess.run([sys.executable, "-c", program, path], env=env, capture_output=True)
    assert done.returncode != 0 and b"lock" in done.stderr
    assert str(path) in refused.read_text()


@pytest.mark.parametrize(
    ("number", "verbs"), [(errno.ENOLCK, ["convert", "solve"]), (errno.ENOSYS, ["convert"])]
)
def test_raw_data_become_solutions_and_no_lock_is_asked_for(library, tmp_path, number, verbs):
    """HDF5, casacore from Python and CASA's own."""
    _, sky, manifest = observe(tmp_path, flux_jy=8.8, simulate=CORRUPTED)
    sky.assign(name="CAL").to_csv(tmp_path / "calibrators.csv", index=False)
    refused = tmp_path / "refused"
    env = environment(library, refused, number)
    common = ["--calibrator", "CAL", "--calibrators", "calibrators.csv", "--ms", "cal.ms"]
    band = ["--subbands", "2", "--band-mhz", "1311.25", "1498.75"]
    flags = {
        "convert": ["--manifest", manifest, "--record", "cal.json", "--steps"],
        "solve": [
            *("--ms-record", "cal.json", "--k", "t.K", "--b", "t.B", "--g", "t.G"),
            *("--plot", "t.png", "--record", "solutions.json"),
        ],
    }
    for verb in verbs:
        command = [sys.executable, ROOT / "scripts/bin/contimg", verb, *common, *flags[verb], *band]
        done = subprocess.run(
            [str(word) for word in command], env=env, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    last = {"convert": "cal.json", "solve": "solutions.json"}[verbs[-1]]
    assert read_record(tmp_path / last)["verdict"] != "fail"
    asked = refused.read_text() if refused.exists() else ""
    assert not asked, asked
