"""Find the subband files and read each header once."""

from __future__ import annotations

import dataclasses
import datetime
import errno
import hashlib
import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from contimg.core.disk import no_file
from contimg.core.errors import ContimgError
from contimg.core.grouping.form import form_groups
from contimg.core.grouping.readers import read_all
from contimg.core.grouping.rejections import Rejected
from contimg.core.isolate import READ_ERRORS, explain
from contimg.core.records import atomic
from contimg.core.uvh5 import Header, HeaderError, read_header

__all__ = ["Rejected", "find_files", "form_groups", "name_mjd", "read_headers"]

NAME = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})_sb(?P<subband>\d+)\.hdf5$", re.ASCII
)
KEY = ["path", "bytes", "mtime_ns"]
COLUMNS = [
    *KEY,
    "content",
    "reason",
    "kind",
    "name_mjd",
    *(f.name for f in dataclasses.fields(Header)),
]
NUMBERS = ["name_mjd"] + [
    f.name
    for f in dataclasses.fields(Header)
    if f.name not in {"telescope", "tracking", "field", "unprojected"}
]
# Number of what is written into the cache; another number in a cache means: read again.
CACHE_VERSION = 3
# Why these could not be read may be over next time: such rows are never cached.
PASSING = ("access", "reader")

# What is hashed of a file whose size or time of modification is new.
_HEAD_BYTES, _BLOCKS, _BLOCK_BYTES = 65536, 16, 4096

FoundFile = tuple[str, int, int]


def find_files(raw_dir: Path, problems: list[Rejected] | None = None) -> list[FoundFile]:
    """(path, bytes, mtime_ns) of every ``*.hdf5`` below `raw_dir`, in order of name.

    Links to files and directories are followed, each directory once; directories whose name
    begins with a dot (snapshots) are left out. What cannot be listed, a dangling link, and a
    directory or pipe named like a file are appended to `problems`.
    """
    if not raw_dir.is_dir():
        raise FileNotFoundError(f"{raw_dir}: no such directory; set discover.raw_dir")
    found: list[FoundFile] = []
    problems = [] if problems is None else problems
    seen: set[tuple[int, int]] = set()
    waiting = [str(raw_dir)]
    while waiting:
        directory = waiting.pop()
        try:
            status = os.stat(directory)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(directory) as entries:
                waiting += _look(entries, found, problems)
        except OSError as error:
            if directory == str(raw_dir):
                raise ContimgError(
                    f"{directory}: cannot be listed: {error.strerror}; set discover.raw_dir"
                ) from None
            problems.append(_no_access(directory, error))
    return sorted(found)


def _look(
    entries: Iterator[os.DirEntry], found: list[FoundFile], problems: list[Rejected]
) -> list[str]:
    """Sort the entries of a directory into `found` and `problems`; return its directories."""
    below = []
    for entry in entries:
        data = entry.name.endswith(".hdf5")
        if data and (shown := _not_utf8(entry.path)):
            problems.append(Rejected(shown, "its name is not UTF-8; rename it", "name"))
        elif entry.is_dir():
            if data:
                problems.append(Rejected(entry.path, no_file(entry.path), "access"))
            elif not entry.name.startswith("."):
                below.append(entry.path)
        elif data:
            try:
                status = entry.stat()
            except OSError as error:
                problems.append(_no_access(entry.path, error))
                continue
            if not stat.S_ISREG(status.st_mode):
                problems.append(Rejected(entry.path, no_file(entry.path), "access"))
            else:
                found.append((entry.path, status.st_size, status.st_mtime_ns))
    return sorted(below, reverse=True)


def _not_utf8(path: str) -> str:
    """A path whose bytes are no UTF-8, in signs that can be written; empty for others."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path).decode("utf-8", "backslashreplace")
    return ""


def _no_access(path: str, error: OSError) -> Rejected:
    if error.errno == errno.ENOENT:
        gone = "dangling link" if os.path.islink(path) else "vanished while files were listed"
        return Rejected(path, gone, "access")
    return Rejected(path, f"no access: {error.strerror}", "access")


def read_headers(
    files: Sequence[FoundFile],
    cache: Path,
    *,
    listed: Sequence[FoundFile] | None = None,
    processes: int | None = None,
    any_name: bool = False,
    write: bool = True,
) -> pd.DataFrame:
    """One row a file: its key, its header and, if it has none, ``reason`` and its ``kind``.

    With `any_name` a name that tells no time is no reason; without `write` the cache is left
    as it is.

    Headers already in `cache` (same path, size and modification time) are not read again. The
    cache keeps the headers of all files in `listed` (default: `files`), and no others.
    """
    table = pd.DataFrame(sorted(files), columns=KEY)
    known = _read_cache(cache)
    at = pd.Index(known["path"]).get_indexer(table["path"])
    same = at >= 0
    for key in ("bytes", "mtime_ns"):
        same[same] = known[key].to_numpy()[at[same]] == table[key].to_numpy()[same]
    new = _read(table[~same], processes, any_name)
    result = _join([known.take(at[same]), new])
    if not write:
        return result
    lasting = result[~result["kind"].isin(PASSING)]
    elsewhere = {path for path, *_ in listed or ()} - set(table["path"])
    content = _join([lasting, known[known["path"].isin(elsewhere)]])
    if not new["kind"].isin(PASSING).all() or len(content) != len(known):
        with atomic(cache) as partial:
            content.assign(version=CACHE_VERSION).to_parquet(partial, index=False)
    return result


def _join(tables: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [table for table in tables if len(table)]
    joined = pd.concat(filled) if len(filled) > 1 else (filled or tables)[0]
    if joined["path"].is_monotonic_increasing:
        return joined.reset_index(drop=True)
    return joined.sort_values("path", ignore_index=True)


def _read_cache(cache: Path) -> pd.DataFrame:
    empty = pd.DataFrame(columns=COLUMNS)
    if not cache.exists():
        return empty
    import pyarrow

    try:
        known = pd.read_parquet(cache)
    except (OSError, pyarrow.ArrowInvalid) as error:
        print(f"discover: {cache}: {error}; all headers are read again", file=sys.stderr)
        return empty
    if "version" not in known or (known["version"] != CACHE_VERSION).any():
        return empty
    return known[COLUMNS]


def _read(table: pd.DataFrame, processes: int | None, any_name: bool) -> pd.DataFrame:
    """Rows of files that are not in the cache, those with a header or a reason."""
    rows: list[dict] = []
    to_open: list[dict] = []
    for path, size, mtime_ns in zip(*(table[key].tolist() for key in KEY), strict=True):
        row = {"path": path, "bytes": size, "mtime_ns": mtime_ns, "content": ""}
        row |= {"reason": "", "kind": ""}
        row["name_mjd"] = name_mjd(path)
        reason, kind = _without_opening(path, size, 0.0 if any_name else row["name_mjd"])
        if reason:
            rows.append(row | {"reason": reason, "kind": kind})
        else:
            to_open.append(row)
    if to_open:
        import h5py  # noqa: F401  (once here, not in every process)
    if len(to_open) > 2000:
        print(f"discover: {len(to_open)} new files are being read", file=sys.stderr)
    answers = read_all(_open, [row["path"] for row in to_open], processes)
    rows += [
        row | (answer if isinstance(answer, dict) else {"reason": answer, "kind": "reader"})
        for row, answer in zip(to_open, answers, strict=True)
    ]
    result = pd.DataFrame(rows, columns=COLUMNS)
    result["unprojected"] = result["unprojected"].eq(True)
    return result.astype(dict.fromkeys(NUMBERS, float))


def _without_opening(path: str, size: int, mjd: float) -> tuple[str, str]:
    """(reason, kind) why a file need not be opened; empty when it must."""
    if "_incomplete" in os.path.basename(path):
        return "still being written", "writing"
    if np.isnan(mjd):
        return "name is not TIME_sbNN.hdf5, or its time does not exist", "name"
    return ("empty file", "empty") if size == 0 else ("", "")


def _open(path: str) -> dict:
    """Header of one file as a row, or why there is none."""
    try:
        return dataclasses.asdict(read_header(path)) | {"content": sampled_hash(path)}
    except HeaderError as error:
        return {"reason": str(error), "kind": error.kind}
    except READ_ERRORS as error:
        return {"reason": f"unreadable: {explain(error)}", "kind": "unreadable"}


def sampled_hash(path: str) -> str:
    """Hash of a file's beginning, which holds an HDF5 header, and of blocks all over it.

    A file that was delivered anew has other visibilities everywhere; one that was only touched or
    copied has not. Reads 128 kB.
    """
    digest = hashlib.blake2b(digest_size=12)
    with open(path, "rb") as stream:
        digest.update(stream.read(_HEAD_BYTES))
        size = os.fstat(stream.fileno()).st_size
        for number in range(1, _BLOCKS + 1):
            stream.seek((size - _BLOCK_BYTES) * number // _BLOCKS if size > _BLOCK_BYTES else 0)
            digest.update(stream.read(_BLOCK_BYTES))
    return digest.hexdigest()


def name_mjd(path: str) -> float:
    """MJD UTC of the time in a file's name; NaN when the name has none."""
    match = NAME.search(path)
    if match is None:
        return float("nan")
    year, month, day, hour, minute, second = (int(match[i]) for i in range(1, 7))
    try:
        midnight = datetime.date(year, month, day).toordinal() - 678576  # MJD 0: 1858-11-17
    except ValueError:
        return float("nan")
    if hour > 23 or minute > 59 or second > 60:  # 60: a leap second
        return float("nan")
    return midnight + (hour * 3600 + minute * 60 + second) / 86400
