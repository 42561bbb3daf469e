"""Power cuts and failing disks at every call: nothing half is left, and the reason is said."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from faults.storage import POWER_CUT, Storage, compiler

pytestmark = pytest.mark.skipif(compiler() is None, reason="there is no compiler of C")

WRITE = """
import sys
from pathlib import Path
from contimg.core.atomic import atomic, write_text
folder, word = Path(sys.argv[1]), sys.argv[2]
write_text(folder / "a.json", 1000 * word)
with atomic(folder / "b.ms") as partial:
    partial.mkdir()
    for name in "xyz":
        (partial / name).write_text(1000 * word)
"""
TRANSITS = "import sys\nfrom contimg.cli import main\nsys.exit(main(sys.argv[1:]))"


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    return Storage.in_folder(tmp_path_factory.mktemp("storage"))


def python(storage: Storage, code: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | storage.environment | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,  # a power cut kills the group
    )


def read(folder: Path) -> tuple[str, ...]:
    """What is there: words of the file and of the files of the directory."""
    files = [folder / "a.json", *sorted((folder / "b.ms").glob("*"))]
    return tuple(file.read_text() for file in files if file.exists())


def test_a_power_cut_at_any_call_leaves_the_old_or_the_new(storage, tmp_path):
    """The old directory is removed before the new one takes its place: it may be gone as well."""
    calls = ("open", "write", "rename", "mkdir", "unlink")
    old, new = ("old" * 1000,), ("new" * 1000,)
    python(storage, WRITE, str(tmp_path), "old")
    storage.count(tmp_path)
    python(storage, WRITE, str(tmp_path), "old")
    number = sum(storage.counted[call] for call in calls)
    assert number > 10
    cuts = 0
    for at in range(1, number + 1):
        storage.fail(tmp_path, calls, POWER_CUT, at)
        cuts += python(storage, WRITE, str(tmp_path), "new").returncode == -9
        storage.heal()
        found = read(tmp_path)
        assert found[:1] in (old, new) and found[1:] in ((), 3 * old, 3 * new), storage.hit
        assert python(storage, WRITE, str(tmp_path), "new").returncode == 0
        assert read(tmp_path) == 4 * new and len(list(tmp_path.iterdir())) == 2
        python(storage, WRITE, str(tmp_path), "old")
    assert cuts == number


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("write", errno.ENOSPC),
        ("write", errno.EDQUOT),
        ("open", errno.EROFS),
        ("rename", errno.EIO),
        ("open", errno.ESTALE),
    ],
)
def test_a_disk_that_fails_is_named_with_the_remedy(storage, tmp_path, error, call):
    words = ["transits", "--since", "2025-10-05", "--until", "2025-10-06"]
    words += ["--calibrators", "config/calibrators.csv", "--table", str(tmp_path / "t.csv")]
    storage.fail(tmp_path, (call,), error, at=1)
    done = python(storage, TRANSITS, *words)
    storage.heal()
    assert storage.hit and done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"{tmp_path}/t." in done.stderr and os.strerror(error) in done.stderr
    assert "elsewhere" in done.stderr or "run again" in done.stderr
    assert list(tmp_path.iterdir()) == []
