"""Every file below the raw directory is found, read once, and has a header or a reason."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from contimg.core.errors import ContimgError
from contimg.core.grouping import scan
from contimg.core.grouping.readers import read_all
from contimg.core.grouping.rejections import rejected_csv
from contimg.core.grouping.scan import find_files, name_mjd, read_headers
from contimg.core.uvh5 import HeaderError, read_header

NAME = "2025-10-05T15:29:14_sb{:02d}.hdf5"


def uvh5(path: Path, subband: int = 0) -> Path:
    """The header of a UVH5 file as the instrument writes it, without data."""
    times = 2460953.5 + np.arange(24) * 12.885 / 86400
    with h5py.File(path, "w") as file:
        file.create_group("Data")
        header = file.create_group("Header")
        for key, value in {
            **{"latitude": 37.23, "longitude": -118.28, "altitude": 1188.0},
            **{"telescope_name": "OVRO_MMA", "instrument": "DSA", "object_name": "search"},
            **{"phase_type": "drift", "channel_width": 244140.625},
            **{"Nblts": 24, "Nbls": 1, "Ntimes": 24, "Nfreqs": 48, "Npols": 2, "Nspws": 1},
            "time_array": np.repeat(times, 1),
            "integration_time": np.full(24, 12.885),
            "freq_array": (1.49e9 - subband * 11718750 - np.arange(48) * 244140.625)[None, :],
            "ant_1_array": np.zeros(24, dtype=int),
            "ant_2_array": np.zeros(24, dtype=int),
        }.items():
            header[key] = value
        header.create_group("extra_keywords")["phase_center_dec"] = np.radians(55.58)
    return path


def reasons(directory: Path, cache: Path) -> dict[str, tuple[str, str]]:
    """(kind, reason) of everything below a directory, by file name; a header has none."""
    problems = []
    table = read_headers(find_files(directory, problems), cache)
    found = {Path(row.path).name: (row.kind, row.reason) for row in table.itertuples(index=False)}
    return found | {Path(p.path).name: (p.kind, p.reason) for p in problems}


def test_every_entry_has_a_header_or_a_reason(tmp_path):
    raw = tmp_path / "raw"
    (raw / "2025-10-05").mkdir(parents=True)
    good = uvh5(raw / "2025-10-05" / NAME.format(0))
    whole = good.read_bytes()
    (raw / NAME.format(1)).write_bytes(whole[: len(whole) // 2])
    (raw / NAME.format(2)).write_bytes(b"")
    (raw / NAME.format(3)).write_bytes(b"not HDF5 at all")
    (raw / NAME.format(4).replace(".hdf5", "_incomplete.hdf5")).write_bytes(whole)
    (raw / NAME.format(5)).symlink_to(tmp_path / "gone")
    (raw / NAME.format(6)).mkdir()
    (raw / "calibration.hdf5").write_bytes(whole)
    (raw / "2025-13-05T15:29:14_sb00.hdf5").write_bytes(whole)
    with h5py.File(raw / NAME.format(7), "w") as file:
        file["Header/time_array"] = [np.nan]
    (raw / "notes.txt").write_text("not a data file")
    (raw / ".snapshot").mkdir()
    (raw / ".snapshot" / NAME.format(0)).write_bytes(whole)
    found = reasons(raw, tmp_path / "files.parquet")
    kinds = {name: kind for name, (kind, _) in found.items()}
    assert kinds == {
        NAME.format(0): "",
        NAME.format(1): "truncated",
        NAME.format(2): "empty",
        NAME.format(3): "unreadable",
        "2025-10-05T15:29:14_sb04_incomplete.hdf5": "writing",
        NAME.format(5): "access",
        NAME.format(6): "access",
        "calibration.hdf5": "name",
        "2025-13-05T15:29:14_sb00.hdf5": "name",
        NAME.format(7): "unreadable",
    }
    assert found[NAME.format(5)][1] == "dangling link"
    assert found[NAME.format(6)][1] == "a directory, not a file"


def test_names_tell_times():
    assert name_mjd("raw/2025-10-05T15:29:14_sb00.hdf5") == pytest.approx(
        60953 + (15 * 3600 + 29 * 60 + 14) / 86400, abs=1e-9
    )
    assert name_mjd("2016-12-31T23:59:60_sb00.hdf5") == 57754  # a leap second
    for name in ("2025-02-30T00:00:00_sb00.hdf5", "2025-10-05T24:00:00_sb00.hdf5", "x.hdf5"):
        assert np.isnan(name_mjd(name))


def test_links_are_followed_once(tmp_path):
    day = tmp_path / "archive"
    day.mkdir()
    uvh5(day / NAME.format(0))
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "day").symlink_to(day)
    (day / "back").symlink_to(raw)  # a circle
    assert [Path(p).name for p, *_ in find_files(raw)] == [NAME.format(0)]


def test_what_cannot_be_read_now_is_tried_again(tmp_path):
    """No permission and vanished files say nothing about the next time; size and time stay."""
    raw, cache = tmp_path / "raw", tmp_path / "files.parquet"
    raw.mkdir()
    path = uvh5(raw / NAME.format(0))
    files = find_files(raw)
    path.rename(tmp_path / "away")
    table = read_headers(files, cache)
    assert table["kind"].tolist() == ["access"] and "No such file" in table["reason"][0]
    (tmp_path / "away").rename(path)
    assert read_headers(files, cache)["reason"].tolist() == [""]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path):
    raw = tmp_path / "raw"
    closed = raw / "closed"
    closed.mkdir(parents=True)
    uvh5(raw / NAME.format(0)).chmod(0)
    closed.chmod(0)
    found = reasons(raw, tmp_path / "files.parquet")
    closed.chmod(0o700)
    assert {kind for kind, _ in found.values()} == {"access"} and len(found) == 2


def test_no_permission_is_no_access(tmp_path, monkeypatch):
    """What HDF5 says of a file that may not be opened, for those who test as root."""

    def closed(*arguments, **keywords):
        raise PermissionError(13, "Unable to synchronously open file")

    monkeypatch.setattr("h5py.File", closed)
    with pytest.raises(HeaderError, match="no access: Permission denied") as error:
        read_header(tmp_path / "x")
    assert error.value.kind == "access"


def test_headers_are_read_once(tmp_path, monkeypatch):
    raw, cache = tmp_path / "raw", tmp_path / "files.parquet"
    raw.mkdir()
    for k in range(3):
        uvh5(raw / NAME.format(k), k)
    (raw / NAME.format(9)).write_bytes(b"not HDF5")
    first = read_headers(find_files(raw), cache)
    stamp = cache.stat().st_mtime_ns
    opened = []

    def counted(function, paths, processes=None):
        opened.extend(Path(p).name for p in paths)
        return read_all(function, paths, processes)

    monkeypatch.setattr(scan, "read_all", counted)
    second = read_headers(find_files(raw), cache)
    assert opened == [] and cache.stat().st_mtime_ns == stamp
    assert second.equals(first)
    os.utime(raw / NAME.format(1), (1, 1))  # touched: read again, alone
    uvh5(raw / NAME.format(4), 4)
    read_headers(find_files(raw), cache)
    assert opened == [NAME.format(1), NAME.format(4)]
    opened.clear()
    grown, before = raw / NAME.format(2), os.stat(raw / NAME.format(2))
    grown.write_bytes(grown.read_bytes() + b"x")  # a copy that keeps the time of another file
    os.utime(grown, ns=(before.st_atime_ns, before.st_mtime_ns))
    read_headers(find_files(raw), cache)
    assert opened == [NAME.format(2)]


def test_the_cache_keeps_files_that_were_not_asked_for(tmp_path):
    raw, cache = tmp_path / "raw", tmp_path / "files.parquet"
    raw.mkdir()
    for k in range(3):
        uvh5(raw / NAME.format(k), k)
    files = find_files(raw)
    read_headers(files, cache)
    read_headers(files[:1], cache, listed=files)
    assert len(scan._read_cache(cache)) == 3
    (raw / NAME.format(2)).unlink()
    read_headers(files[:1], cache, listed=files[:2])
    assert len(scan._read_cache(cache)) == 2


def test_a_cache_of_another_kind_is_not_believed(tmp_path):
    raw, cache = tmp_path / "raw", tmp_path / "files.parquet"
    raw.mkdir()
    uvh5(raw / NAME.format(0))
    cache.write_bytes(b"broken")
    assert read_headers(find_files(raw), cache)["reason"].tolist() == [""]
    old = scan._read_cache(cache).assign(telescope="X", version=scan.CACHE_VERSION - 1)
    old.to_parquet(cache)
    assert read_headers(find_files(raw), cache)["telescope"].tolist() == ["OVRO_MMA"]


def test_a_raw_directory_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"set discover\.raw_dir"):
        find_files(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises((FileNotFoundError, ContimgError)):
        find_files(tmp_path / "file")


def misbehaving(path: str):
    """A reader that is killed by one file and hangs on another."""
    if "kill" in path:
        os.kill(os.getpid(), signal.SIGKILL)
    if "hang" in path:
        time.sleep(60)
    return {"path": path}


def test_a_file_that_kills_or_hangs_the_reader_costs_only_itself():
    paths = [f"f{k}" for k in range(450)]
    paths[3], paths[200], paths[449] = "kill", "hang", "kill too"
    started = time.monotonic()
    answers = read_all(misbehaving, paths, processes=2, timeout_s=1.0)
    assert time.monotonic() - started < 30
    assert "SIGKILL" in answers[3] and "SIGKILL" in answers[449]
    assert "no answer" in answers[200]
    rest = [a["path"] for a in answers if not isinstance(a, str)]
    assert rest == [p for p in paths if p.startswith("f")]
    assert read_all(misbehaving, []) == []


def test_a_name_that_is_not_utf8_costs_its_file_alone(tmp_path):
    good = tmp_path / "2025-10-05T12:00:00_sb00.hdf5"
    good.write_bytes(b"x")
    odd = os.fsencode(tmp_path) + b"/2025-10-05T12:00:00_sb\xff1.hdf5"
    with open(odd, "wb") as stream:
        stream.write(b"x")
    problems = []
    assert [path for path, *_ in find_files(tmp_path, problems)] == [str(good)]
    assert [(p.path, p.kind) for p in problems] == [
        (f"{tmp_path}/2025-10-05T12:00:00_sb\\xff1.hdf5", "name")
    ]
    assert "not UTF-8" in rejected_csv(problems) and rejected_csv(problems).encode()


def test_a_small_file_that_declares_much_takes_no_memory(tmp_path):
    """119 GiB in a file of some kB: HDF5 reserves nothing for what was never written."""
    path = tmp_path / "2025-10-05T12:00:00_sb00.hdf5"
    with h5py.File(path, "w") as file:
        for name in ("time_array", "ant_1_array", "ant_2_array"):
            file.create_dataset(f"Header/{name}", shape=(10**9,), chunks=(1000,), dtype="f8")
        file.create_dataset("Header/uvw_array", shape=(4 * 10**8, 3), chunks=(1000, 3), dtype="f8")
    assert path.stat().st_size < 1e5
    with pytest.raises(HeaderError, match=r"declares .* GB, 0 MB are in the file"):
        read_header(path)
