"""The photometry that light curves are made of: all that is there, and the same data once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.core.errors import ContimgError
from contimg.core.rowflags import has, usable

SHARED = "shared_data"  # flag of a measurement whose data another one has counted
OTHER_SHAPE = "other_shape"  # flag of one that is of a point where others are of a Gaussian


def photometry_files(given: Sequence[Path], records: Sequence[Path]) -> list[tuple[Path, Path]]:
    """(table, record) of every epoch, in order of name.

    `given` are tables, with `records` in the same order (beside them when there are none), or
    directories, of which every table with a record is taken.
    """
    if any(path.is_dir() for path in given):
        tables = [table for path in given for table in _tables(path)]
        pairs = [(table, table.with_suffix(".json")) for table in tables]
        return sorted(pair for pair in set(pairs) if pair[1].exists())
    if records and len(records) != len(given):
        raise ContimgError(
            f"{len(given)} photometry tables but {len(records)} records; give one for each"
        )
    pairs = list(zip(given, records or [t.with_suffix(".json") for t in given], strict=True))
    return sorted(pairs, key=lambda pair: pair[1].stem)


def _tables(path: Path) -> list[Path]:
    return sorted(path.glob("*.parquet")) if path.is_dir() else [path]


def same_data_once(
    photometry: pd.DataFrame, tiles: Mapping[str, Sequence[str]], first: Sequence[str]
) -> pd.DataFrame:
    """`photometry` with the flag :data:`SHARED` where a tile would be counted twice.

    Mosaics may share tiles (windows that overlap, a list beside a mode, another run's mosaics):
    their measurements of one source are not independent. Of each source the measurements are
    taken best first, those of the mosaics `first` before others, then by their errors; one that
    shares a tile with a measurement taken before is flagged. `tiles` are those of each mosaic.
    """
    sharing = _sharing(photometry["mosaic"].unique().tolist(), tiles)
    if not sharing:
        return photometry
    rows = photometry[photometry["mosaic"].isin(sharing)]
    order = pd.DataFrame(
        {
            "flagged": ~usable(rows["flag"]),
            "other": ~rows["mosaic"].isin(first),
            "error": rows["flux_err_jy"],
            "mosaic": rows["mosaic"],
        }
    ).sort_values(["flagged", "other", "error", "mosaic"], kind="stable")
    taken: dict[str, set[str]] = {}
    twice = []
    for row in order.index:
        source, mosaic = rows.at[row, "source"], rows.at[row, "mosaic"]
        mine = taken.setdefault(source, set())
        if mine & sharing[mosaic]:
            twice.append(row)
        else:
            mine.add(mosaic)
    return _flagged(photometry, photometry.index.isin(twice), SHARED)


def same_shape(photometry: pd.DataFrame) -> pd.DataFrame:
    """`photometry` with the flag :data:`OTHER_SHAPE` where a source has another shape than mostly.

    Whether a source shows its size depends on the noise of the day, and the flux density of a
    point and of a Gaussian fitted to it differ by several errors: a light curve is of either. Of
    as many of both the Gaussians stay.
    """
    extended = has(photometry["flag"], ["extended"])
    if not extended.any():
        return photometry
    good = usable(photometry["flag"])
    share = extended.where(good).astype(float).groupby(photometry["source"]).transform("mean")
    mostly = share >= 0.5
    return _flagged(photometry, (good & (extended != mostly)).to_numpy(), OTHER_SHAPE)


def _flagged(photometry: pd.DataFrame, where: NDArray[np.bool_], word: str) -> pd.DataFrame:
    """With a word more in the flag of some rows."""
    flag = photometry["flag"].to_numpy(dtype=object).copy()
    flag[where] = [f"{text};{word}" if text else word for text in flag[where]]
    return photometry.assign(flag=flag)


def _sharing(mosaics: list[str], tiles: Mapping[str, Sequence[str]]) -> dict[str, set[str]]:
    """For each mosaic that shares a tile, the others that it shares one with."""
    members: dict[str, list[str]] = {}
    for mosaic in mosaics:
        for tile in tiles.get(mosaic, ()):
            members.setdefault(tile, []).append(mosaic)
    result: dict[str, set[str]] = {}
    for together in members.values():
        for mosaic in together if len(together) > 1 else ():
            result.setdefault(mosaic, set()).update(set(together) - {mosaic})
    return result
