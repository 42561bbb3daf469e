"""``contimg photometry combine``: the fits of several tiles as one measurement of each source.

Tiles have noise of their own, so that their information adds up: with C_i the covariance of the
flux densities f_i of sources that are blended in a tile, f = (sum C_i^-1)^-1 sum C_i^-1 f_i. That
the tiles agree is tested by chi^2 = sum (f_i - f)^2 / sigma_i^2 of each source.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import chdtrc

from contimg.core.command import Command, Files
from contimg.core.coords import separation
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.links import linked
from contimg.core.parquet import read_parquet
from contimg.core.records import Check, check, inherited, read_record, write_record
from contimg.core.rowflags import usable
from contimg.core.upstream import middle_of, tile_pointing
from contimg.photometry.table import COLUMNS as IMAGE_COLUMNS
from contimg.photometry.table import schema_of, write_table
from contimg.photometry.tile import targets
from contimg.photometry.tile.columns import PARTS, TILE_COLUMNS, TILE_SCHEMA

_INCONSISTENT = 1e-5  # chance of so great a chi^2 below which a row is flagged
_SAME_RAD = np.radians(15 / 3600)  # new sources of two tiles that are one

_SIZES = ("size_major_arcsec", "size_minor_arcsec", "size_pa_deg")
_OF_TILES = {c[0]: c for c in TILE_COLUMNS}
_SCALE = ("scale_factor", "scale_factor_err")
_OF_IMAGES = {c[0]: c for c in IMAGE_COLUMNS}
COLUMNS = (
    *(_OF_TILES[c] for c in ("source", "role", "ra_deg", "dec_deg")),
    ("mosaic", pa.string(), "", "mosaic of the tiles"),
    *(_OF_TILES[c] for c in ("mjd", "freq_hz", "flux_jy")),
    ("flux_err_jy", pa.float64(), "Jy", "its standard error"),
    ("rms_jy_beam", pa.float64(), "Jy/beam", "the error times the primary beam"),
    _OF_TILES["snr"],
    *PARTS,
    ("chi2_reduced", pa.float64(), "", "of the tiles about their mean; empty for a single tile"),
    ("tiles", pa.int64(), "", "tiles that measured the source"),
    *(_OF_TILES[c] for c in ("residual_snr", "fit_ra_deg", "fit_dec_deg", "fit_err_arcsec")),
    *(_OF_TILES[c] for c in _SIZES),
    ("bmaj_deg", pa.float64(), "deg", "beam of the residual image, major axis, FWHM"),
    ("bmin_deg", pa.float64(), "deg", "minor axis"),
    ("bpa_deg", pa.float64(), "deg", "position angle, north through east"),
    _OF_TILES["n_blend"],
    *(_OF_IMAGES[c] for c in _SCALE),
    _OF_TILES["flag"],
)
SCHEMA = schema_of(COLUMNS)


class CombineFiles(Files):
    """Tables of tiles in, that of their mosaic out."""

    tables: list[Path] = Field(description="tables of the tiles (Parquet)")
    records: list[Path] = Field(description="their records, in the same order")
    images: list[Path] = Field(
        [],
        description="records of the images of the tiles, in the same order: a tile whose image has"
        " failed is left out, what the others say of rows is said of theirs",
    )
    mosaic: str = Field(description="name of the mosaic")
    table: Path = Field(description="output: flux densities (Parquet)")
    record: Path = Field(description="output: record")


def run(files: CombineFiles) -> None:
    """Combine the tiles that did not fail."""
    n = len(files.tables)
    if len(files.records) != n or len(files.images) not in (0, n):
        raise ContimgError(
            f"{n} tables of tiles but {len(files.records)} records and {len(files.images)} of"
            " images; give one each"
        )
    tiles, beams, sources, left_out = [], [], [], {}
    pointings: list[float | None] = []
    images = files.images or [None] * n
    for path, record_path, image in zip(files.tables, files.records, images, strict=True):
        try:
            record = _passed(record_path)
            of_tile = [record, *([] if image is None else [_passed(image, "its image: ")])]
            told = of_tile[-1]["data"].get("row_flags", [])
            tile = read_parquet(path, "table of a tile", record_path, TILE_SCHEMA)
            tile = scaled(tile, of_tile[-1]["data"].get("flux_scale_applied"))
            tiles.append(
                tile.assign(flag=[";".join(filter(None, [f, *told])) for f in tile["flag"]])
            )
        except DataQualityError as error:
            left_out[record_path.stem] = str(error)
            continue
        beams.append(record["data"]["residual_beam"])
        pointings.append(tile_pointing(record, record_path))
        sources += of_tile
    if not tiles:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise DataQualityError(f"no tile has flux densities ({reasons or 'none given'})")
    table = combine(tiles).assign(
        mosaic=files.mosaic,
        bmaj_deg=np.mean([b["major_arcsec"] for b in beams]) / 3600,
        bmin_deg=np.mean([b["minor_arcsec"] for b in beams]) / 3600,
        bpa_deg=beams[0]["pa_deg"],
    )
    write_table(files.table, table[list(SCHEMA.names)], SCHEMA)
    write_record(
        files.record,
        product=files.record.stem,
        stage="photometry",
        data=_facts(table, tiles, left_out) | {"pointing_dec_deg": middle_of(pointings)},
        checks=[*_checks(table, left_out), *inherited(sources)],
        inputs=[*files.records, *files.images],
    )


def _passed(path: Path, whose: str = "") -> dict[str, Any]:
    """A record; :class:`DataQualityError` with its reason where it has failed."""
    record = read_record(path)
    if record["verdict"] == "fail":
        raise DataQualityError(f"{whose}{record['reason']}")
    return record


def scaled(tile: pd.DataFrame, applied: dict[str, float] | None) -> pd.DataFrame:
    """Rows of a tile, divided by the flux scale that its image was divided by."""
    factor = 1.0 if applied is None else applied["factor"]
    error = 0.0 if applied is None else applied["error"]
    of_lists = {"part_flux_jy": 1, "part_err_jy": 1, "neighbour_cov_jy2": 2}
    return tile.assign(
        **{c: tile[c] / factor for c in ("flux_jy", "flux_err_jy", "flux_err_formal_jy")},
        **{c: [np.divide(v, factor**n) for v in tile[c]] for c, n in of_lists.items()},
        scale_factor=factor,
        scale_factor_err=error,
    )


def combine(tiles: list[pd.DataFrame]) -> pd.DataFrame:
    """One row a source of any of the tables of tiles (``TILE_COLUMNS``), without the mosaic's."""
    tiles = [_measured(tile) for tile in _with_common_names(tiles)]
    rows = pd.concat(tiles, ignore_index=True)
    rows["tile"] = np.repeat(np.arange(len(tiles)), [len(t) for t in tiles])
    sources = sorted(rows["source"].unique())
    number = pd.Index(sources)
    flux, variance = _joint(rows, number)
    grouped = rows.assign(k=number.get_indexer(rows["source"])).sort_values(["k", "tile"])
    weight = 1 / grouped["flux_err_jy"] ** 2
    scatter = (grouped["flux_jy"] - flux[grouped["k"]]) ** 2 * weight
    by = grouped["k"]
    count = by.value_counts(sort=False).sort_index().to_numpy()
    chi2 = scatter.groupby(by).sum().to_numpy()
    best = grouped.loc[weight.groupby(by).idxmax()]

    def mean(column: str) -> NDArray[np.float64]:
        total = (grouped[column] * weight).groupby(by).sum()
        return (total / weight.groupby(by).sum()).to_numpy()

    improbable = (count > 1) & (chdtrc(np.maximum(count - 1, 1), chi2) < _INCONSISTENT)
    flags = [
        ";".join(sorted({f for text in texts for f in text.split(";") if f}
                        | ({"tiles_disagree"} if bad else set())))
        for (_, texts), bad in zip(grouped["flag"].groupby(by), improbable, strict=True)
    ]  # fmt: skip
    error = np.sqrt(variance)
    return pd.DataFrame(
        {
            "source": sources,
            **{c: best[c].to_numpy() for c in ("role", "ra_deg", "dec_deg", "freq_hz")},
            "mjd": mean("mjd"),
            "flux_jy": flux,
            "flux_err_jy": error,
            "rms_jy_beam": error * best["beam"].to_numpy(),
            "snr": flux / error,
            **_parts(grouped, by),
            "chi2_reduced": np.where(count > 1, chi2 / np.maximum(count - 1, 1), np.nan),
            "tiles": count,
            "residual_snr": _farthest(grouped["residual_snr"], by),
            **{c: best[c].to_numpy() for c in ("fit_ra_deg", "fit_dec_deg", "fit_err_arcsec")},
            **{c: best[c].to_numpy() for c in _SIZES},
            "n_blend": grouped["n_blend"].groupby(by).max().to_numpy(),
            # errors of tiles are of one catalogue, and so do not average down
            **{c: grouped[c].groupby(by).mean().to_numpy() for c in _SCALE},
            "flag": flags,
        }
    )


def _measured(tile: pd.DataFrame) -> pd.DataFrame:
    return tile[np.isfinite(tile["flux_err_jy"])]


def _with_common_names(tiles: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """New sources of different tiles at one place under the name of the brightest measurement."""
    new = pd.concat([t[t["role"] == targets.NEW] for t in tiles]).sort_values("snr")[::-1]
    place = np.radians(new[["ra_deg", "dec_deg"]].to_numpy(dtype=float))
    names: dict[str, str] = {}
    kept: list[int] = []
    for k, name in enumerate(new["source"]):
        distance = separation(*place[k], *place[kept].T)
        if kept and distance.min() < _SAME_RAD:
            names[name] = new["source"].iloc[kept[int(np.argmin(distance))]]
        else:
            kept.append(k)
    return [
        tile.assign(
            source=tile["source"].replace(names),
            neighbours=[[names.get(n, n) for n in listed] for listed in tile["neighbours"]],
        ).drop_duplicates("source")
        for tile in tiles
    ]


def _joint(rows: pd.DataFrame, number: pd.Index) -> tuple[NDArray, NDArray]:
    """Flux density and variance of each source, those blended in any tile solved together."""
    n = len(number)
    flux, variance = np.full(n, np.nan), np.full(n, np.nan)
    first = np.repeat(number.get_indexer(rows["source"]), rows["neighbours"].map(len))
    second = number.get_indexer([name for listed in rows["neighbours"] for name in listed])
    known = second >= 0
    label = linked(n, first[known], second[known])
    of_row = label[number.get_indexer(rows["source"])]
    for group, part in rows.groupby(of_row):
        members = np.flatnonzero(label == group)
        place = {number[k]: i for i, k in enumerate(members)}
        information, right = np.zeros((members.size,) * 2), np.zeros(members.size)
        for _, tile in part.groupby("tile"):
            at, inverse = _information(tile, place)
            information[np.ix_(at, at)] += inverse
            right[at] += inverse @ tile["flux_jy"].to_numpy()
        covariance = np.linalg.inv(information)
        flux[members], variance[members] = covariance @ right, np.diagonal(covariance)
    return flux, variance


def _information(tile: pd.DataFrame, place: dict[str, int]) -> tuple[list[int], NDArray]:
    """Places of a tile's rows and the inverse of their covariance."""
    names = {name: i for i, name in enumerate(tile["source"])}
    covariance = np.diag(tile["flux_err_jy"].to_numpy() ** 2)
    for i, row in enumerate(tile.itertuples()):
        for name, value in zip(row.neighbours, row.neighbour_cov_jy2, strict=True):
            if name in names:
                covariance[i, names[name]] = covariance[names[name], i] = value
    return [place[name] for name in tile["source"]], np.linalg.inv(covariance)


def _parts(grouped: pd.DataFrame, by: pd.Series) -> dict[str, list]:
    """Weighted means in the parts of the band; a part without data in a tile has no weight."""
    flux = np.stack(grouped["part_flux_jy"].to_numpy())
    error = np.stack(grouped["part_err_jy"].to_numpy())
    weight = pd.DataFrame(np.where(np.isfinite(flux) & (error > 0), 1 / error**2, 0))
    total = (weight * np.nan_to_num(flux)).groupby(by.to_numpy()).sum().to_numpy()
    weight = weight.groupby(by.to_numpy()).sum().to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, spread = total / weight, np.where(weight > 0, 1 / np.sqrt(weight), np.nan)
    return {
        "part_hz": [grouped["part_hz"].iloc[0]] * len(mean),
        "part_flux_jy": list(mean),
        "part_err_jy": list(spread),
    }


def _farthest(values: pd.Series, by: pd.Series) -> NDArray[np.float64]:
    """Of each source the value farthest from zero."""
    low, high = values.groupby(by).min(), values.groupby(by).max()
    return np.where(-low > high, low, high)


def _facts(
    table: pd.DataFrame, tiles: list[pd.DataFrame], left_out: dict[str, str]
) -> dict[str, Any]:
    several = table["tiles"] > 1
    return {
        "method": "visibilities",
        "mjd": float(np.mean([t["mjd"].mean() for t in tiles])),
        "freq_hz": float(table["freq_hz"].iloc[0]),
        "tiles": sorted(str(t["group"].iloc[0]) for t in tiles if len(t)),
        "tiles_left_out": left_out,
        "n_sources": len(table),
        "n_new": int((table["role"] == targets.NEW).sum()),
        "n_flagged": int((table["flag"] != "").sum()),
        "n_detected": int((table["snr"] >= 5).sum()),
        "median_snr": float(table["snr"].median()),
        "median_flux_err_jy": float(table["flux_err_jy"].median()),
        "n_in_several_tiles": int(several.sum()),
        "consistency_chi2": _consistency(table),
    }


def _consistency(table: pd.DataFrame) -> float | None:
    """Reduced chi^2 of all sources in several tiles together; None if there is none."""
    several = table[table["tiles"] > 1]
    free = several["tiles"].sum() - len(several)
    return float((several["chi2_reduced"] * (several["tiles"] - 1)).sum() / free) if free else None


def _checks(table: pd.DataFrame, left_out: dict[str, str]) -> list[Check]:
    checks = [
        check("sources", len(table), warn_below=1),
        check("tiles_left_out", len(left_out), warn_above=0),
        check("flagged_fraction", float((~usable(table["flag"])).mean()), warn_above=0.5),
    ]
    consistency = _consistency(table)
    if consistency is not None:
        checks.append(check("consistency_chi2", consistency, warn_above=2, fail_above=20))
    return checks


COMMAND = Command(
    help="combine the flux densities fitted to the tiles of a mosaic",
    files=CombineFiles,
    options=(),
    run=run,
    outputs=("table", "record"),
    record="record",
)
