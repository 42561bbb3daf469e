"""What files of the config say, as far as it matters to a product: short hashes for the rules."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg import dependencies
from contimg.config import Config
from contimg.core.calibrators import read_calibrators
from contimg.core.catalog import COLUMNS, SIZES, read_sources
from contimg.core.coords import unit_vectors
from contimg.core.errors import ContimgError
from contimg.core.hashes import file_sha256
from contimg.core.paths import path

# tables whose rows belong to single products, which look at their own rows
BY_ROW = ("mosaic.overrides", "publish.overrides", "plan.calibrators")
# inputs of rules in their own right
INPUTS = ("check.expected", "calibrate.model_path")
_ELSEWHERE = ("discover.raw_dir",)
# tables that begin with the first row that a verb adds
_GROWING = ("report.candidate_decisions",)
# farther from a tile's centre than this no image reaches
REACH_DEG = 6.0
_NUMBERS = (*COLUMNS, *SIZES, "log_poly", "standard")
_NOTES = ("remarks", "source")  # columns of the table of calibrators that only people read


def named_files(config: Config, verb: str) -> str:
    """Hash of the files that the options of `verb` name; :class:`ContimgError` for a missing one.

    Where they lie does not matter, nor when they were written.
    """
    apart = (*BY_ROW, *INPUTS, *_ELSEWHERE)
    found = {
        leaf: file_digest(leaf, file)
        for leaf, file in dependencies.files(config, verb).items()
        if leaf not in apart and (leaf not in _GROWING or file.exists())
    }
    return dependencies.digest(found) if found else ""


def file_digest(leaf: str, file: Path) -> str:
    """Hash of a file's bytes."""
    try:
        return _bytes_digest(file, file.stat().st_mtime_ns)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise ContimgError(f"{leaf}: {file}: {error.strerror}") from None


@lru_cache(maxsize=64)
def _bytes_digest(file: Path, stamp: int) -> str:
    return file_sha256(file)[:12]


def table_digest(table: str) -> str:
    """Hash of the numbers of a source table; order and remarks do not matter."""
    return _digest(_sources(table, _stamp(table)))


def near_digest(table: str, centres_deg: list[tuple[float, float]]) -> str:
    """The same of the sources within :data:`REACH_DEG` of one of the positions (ra, dec)."""
    directions, rows = _directions(table, _stamp(table))
    near = np.zeros(len(rows), dtype=bool)
    for centre in unit_vectors(*np.radians(centres_deg).T):
        near |= directions @ centre >= np.cos(np.radians(REACH_DEG))
    return dependencies.digest(rows[near].tolist())


def calibrator_digest(table: Path, name: str) -> str:
    """Hash of one row of the table of calibrators, as far as it is more than a remark."""
    rows = _calibrators(str(table), _stamp(table))
    row = rows[rows["name"] == name].drop(columns=list(_NOTES), errors="ignore")
    return _digest(row)


def photometry_digest(results: str, planned: Iterable[str]) -> str:
    """Hash of the photometry in `results` that is not of the mosaics `planned`."""
    records = Path(path("photometry_record", results, mosaic="x")).parent.glob("*.json")
    mine = set(planned)
    return _listing(record for record in records if record.stem not in mine)


def calsets_digest(results: str, planned: Iterable[str]) -> str:
    """Hash of the calsets in `results` that are not among those `planned`."""
    records = Path(results).glob("cal/*/*/solutions.json")
    mine = set(planned)
    return _listing(record for record in records if record.parent.name not in mine)


def images_digest(results: str, planned: Iterable[str], tier: str) -> str:
    """Hash of the images of a tier in `results` that are not of the groups `planned`."""
    records = Path(results).glob(f"images/*/*/*.{tier}.json")
    mine = set(planned)
    return _listing(record for record in records if record.parent.name not in mine)


def _listing(records: Iterable[Path]) -> str:
    rows = sorted((str(r), r.stat().st_size, r.stat().st_mtime_ns) for r in records)
    return dependencies.digest(rows) if rows else ""


def _stamp(table: str | Path) -> int:
    try:
        return Path(table).stat().st_mtime_ns
    except FileNotFoundError:
        raise ContimgError(f"{table}: source table not found; set its path in the config") from None


@lru_cache(maxsize=8)
def _sources(table: str, stamp: int) -> pd.DataFrame:
    sources = read_sources(table)
    columns = [column for column in _NUMBERS if column in sources.columns]
    return sources[columns].sort_values("name", ignore_index=True)


@lru_cache(maxsize=8)
def _directions(table: str, stamp: int) -> tuple[NDArray[np.float64], NDArray[np.uint64]]:
    """Of every source its direction, shape (n, 3), and a hash of its numbers, shape (n,)."""
    sources = _sources(table, stamp)
    ra, dec = (np.radians(sources[c].to_numpy(dtype=float)) for c in ("ra_deg", "dec_deg"))
    return unit_vectors(ra, dec), pd.util.hash_pandas_object(sources, index=False).to_numpy()


@lru_cache(maxsize=8)
def _calibrators(table: str, stamp: int) -> pd.DataFrame:
    return read_calibrators(table)


def _digest(table: pd.DataFrame) -> str:
    return dependencies.digest(table.to_csv(index=False))
