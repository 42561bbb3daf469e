"""What is no file, or no JSON, is named or made again: no job ends or waits for it."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from numba.core.caching import IndexDataCacheFile

from contimg.cli import main
from contimg.core import compiled
from contimg.core.casa import casa_session
from contimg.core.disk import no_file
from contimg.core.errors import ContimgError, DamagedError
from contimg.core.grouping.scan import find_files
from contimg.core.groups import read_manifest
from contimg.core.jobs import JobState, job_state
from contimg.core.objects import published_files, read_object
from contimg.core.paths import path
from contimg.core.records import identify, read_record, write_record
from contimg.core.scratch import scratch_directory
from contimg.core.seals import seal
from contimg.core.state import state_of
from contimg.core.uvh5 import read_header
from contimg.plan.estimate import medians
from contimg.plan.transits import COMMAND
from contimg.report import runs

DEEP = b"[" * 100_000


def spoil(place: Path, how: str) -> Path:
    place.unlink(missing_ok=True)
    os.mkfifo(place) if how == "pipe" else place.mkdir()
    return place


@pytest.fixture(params=["pipe", "directory"])
def odd(request, tmp_path) -> Path:
    """What is there under the name of a record, and is no file."""
    return spoil(tmp_path / "r.json", request.param)


def test_what_is_no_file_is_damaged(odd):
    """A pipe would be waited for, for ever."""
    assert no_file(odd).endswith("not a file") and not no_file(odd.parent / "gone")
    for read in (read_record, read_manifest):
        with pytest.raises(DamagedError, match="not a file; delete it and run again"):
            read(odd)
    assert "not a file" in state_of(odd).reason and read_object(odd) == {}
    assert identify(odd)["path"] == str(odd)  # of what was left out, whoever left it out tells


def test_a_product_that_is_no_file_costs_itself(tmp_path, capsys):
    results = str(tmp_path)
    key = {"group": "20251005T034512", "tier": "standard"}
    image, record = Path(path("image", results, **key)), Path(path("image_record", results, **key))
    record.parent.mkdir(parents=True)
    image.write_bytes(b"x")
    write_record(record, product="t", stage="image", data={})
    seal(record, [image])
    spoil(image, "pipe")
    assert main(["verify", "--all", "--results", results]) == 1
    assert f"damaged: {image}: a pipe, socket or device" in capsys.readouterr().out


def test_raw_data_that_are_no_file_are_rejected(tmp_path):
    names = [f"2025-10-05T15:29:14_sb0{k}.hdf5" for k in range(2)]
    spoil(tmp_path / names[0], "pipe"), spoil(tmp_path / names[1], "directory")
    problems = []
    assert find_files(tmp_path, problems) == []
    assert {Path(p.path).name for p in problems} == set(names)
    assert all(p.reason.endswith("not a file") and p.kind == "access" for p in problems)
    with pytest.raises(ContimgError, match="a pipe, socket or device"):
        read_header(tmp_path / names[0])


def test_a_product_in_whose_place_a_directory_lies(tmp_path, capsys):
    table = tmp_path / "t.csv"
    table.mkdir()
    words = ["transits", "--calibrators", "config/calibrators.csv", "--table", str(table)]
    assert main([*words, "--since", "2025-10-05", "--until", "2025-10-06"]) == 1
    said = capsys.readouterr().err
    assert f"{table}: Is a directory; move away what lies there" in said and "free" not in said


def test_an_input_that_cannot_be_read_is_known_by_its_bytes(tmp_path):
    """Whoever leaves it out goes on with the others."""
    torn = tmp_path / "a.json"
    for text in (b'{"run": {}, "verdi', DEEP, b"\xff"):
        torn.write_bytes(text)
        found = identify(torn)
        assert found["bytes"] == len(text) and len(found["sha256"]) == 64


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", DEEP, b"[1]", b"3", b'{"a": '])
def test_an_object_that_is_none_is_empty(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text)
    assert read_object(tmp_path / "a.json") == {} == read_object(tmp_path / "gone.json")


ENTRY = {"name": "a.fits", "bytes": 3, "sha256": "0"}


@pytest.mark.parametrize(
    "files",
    [
        [3],
        3,
        [{"name": 3}],
        [ENTRY | {"bytes": "3"}],
        [ENTRY | {"name": "../a.fits"}],
        [DEEP.decode()],
    ],
    ids=["numbers", "number", "names", "bytes", "elsewhere", "deep"],
)
def test_a_manifest_of_a_publication_that_is_none_names_nothing(tmp_path, files):
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"files": [ENTRY]}))
    assert published_files(manifest) == [ENTRY]
    manifest.write_text(json.dumps({"files": files}))
    assert published_files(manifest) == []


def test_repair_deletes_nothing_that_a_damaged_publication_names(tmp_path):
    results = tmp_path / "results"
    record = Path(path("published_record", str(results), mosaic="m"))
    manifest = Path(path("published", str(results), mosaic="m"))
    manifest.parent.mkdir(parents=True)
    elsewhere = tmp_path / "mine.txt"
    elsewhere.write_text("mine")
    there = ENTRY | {"name": os.path.relpath(elsewhere, manifest.parent)}
    manifest.write_text(json.dumps({"files": [there]}))
    write_record(record, product="m", stage="publish", data={})
    seal(record, [manifest])
    main(["verify", "--all", "--repair", "--results", str(results)])
    assert elsewhere.exists()


NOTE = {"host": "a", "pid": 1, "began": "2", "started_utc": "2025-10-05T00:00:00+00:00"}


@pytest.mark.parametrize(
    "text",
    [
        DEEP,
        b"{}",
        b'{"host": 1}',
        json.dumps(NOTE | {"pid": "x"}).encode(),
        json.dumps(NOTE | {"tries": "many", "ended_utc": "x"}).encode(),
    ],
    ids=["deep", "empty", "host", "pid", "tries"],
)
def test_a_damaged_note_of_a_job_does_not_hide_that_it_crashed(tmp_path, text):
    log = tmp_path / "a.log"
    log.write_text("Error: out of luck")
    log.with_suffix(".job").write_bytes(text)
    assert job_state(log, tmp_path / "a.tsv", 0) == JobState("crashed", "Error: out of luck", 1)


RUN = NOTE | {"directory": "d", "plan": "p", "config": {"results": "r"}}


def test_a_damaged_note_of_a_run_is_passed_over(tmp_path, capsys):
    note = Path(path("run_note", str(tmp_path), run="20251005T000000-1"))
    note.parent.mkdir(parents=True)
    note.write_text(json.dumps(RUN))
    assert runs.latest(str(tmp_path)) is not None and runs.damaged(str(tmp_path)) == []
    for change in ({"config": 3}, {"directory": 3}, {"pid": "x"}):
        note.write_text(json.dumps(RUN | change))
        assert runs.latest(str(tmp_path)) is None and runs.damaged(str(tmp_path)) == [note]
    note.write_bytes(DEEP)
    assert runs.latest(str(tmp_path)) is None
    assert f"{note}: not a readable note" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        b"\xbd\xff\x00",
        b"s\tcpu_time\nxx\tyy\n",
        b"s\tcpu_time\nnan\tinf\n-3\t1e999\n",
        b"s\t" * 2**20,
    ],
    ids=["bytes", "words", "no numbers", "long"],
)
def test_a_damaged_benchmark_says_nothing(tmp_path, text):
    table = tmp_path / "image_tile" / "a.tsv"
    table.parent.mkdir()
    table.write_bytes(text)
    assert medians(tmp_path) == {}


@pytest.mark.parametrize("text", [b"", b"\x80\x04"], ids=["empty", "cut"])
def test_a_damaged_cache_of_kernels_is_named(tmp_path, monkeypatch, text):
    """As a power cut leaves it: numba itself does not look."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    cache = IndexDataCacheFile(str(tmp_path), "kernel", ())
    (tmp_path / "kernel.nbi").write_bytes(text)
    with pytest.raises((EOFError, ValueError)) as found:
        cache.load("key")
    assert f"{tmp_path}: the cache of compiled kernels is damaged" in compiled.trouble(found.value)
    assert compiled.trouble(EOFError("elsewhere")) == ""


def test_too_little_memory_is_said(monkeypatch, capsys):
    def large(*_):
        raise MemoryError("Unable to allocate 483. GiB")

    monkeypatch.setattr("contimg.plan.transits.COMMAND", replace(COMMAND, run=large))
    assert main(["transits"]) == 1
    assert (
        "not enough memory (Unable to allocate 483. GiB); give the job" in capsys.readouterr().err
    )


@pytest.mark.parametrize("error", [RuntimeError, OSError, ContimgError])
def test_a_scratch_directory_that_is_removed_is_told(tmp_path, error):
    """By those who clean up below /tmp; CASA then speaks of tables that are not there."""
    product = tmp_path / "a.fits"
    for session in (casa_session, lambda: scratch_directory(product)):
        removed = pytest.raises(ContimgError, match=r"removed while the job worked .*TMPDIR")
        with removed, session() as scratch:
            shutil.rmtree(scratch)
            raise error("Table does not exist")
        with pytest.raises(error, match=r"^Table does not exist$"), session():
            raise error("Table does not exist")
