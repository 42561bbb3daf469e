"""The chain from raw files to rows of flux densities, by the workflow's own commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from contimg.calibrate import apply
from contimg.calibrate.options import ApplyOptions, CalibrateOptions
from contimg.convert import command as convert
from contimg.convert.options import ConvertOptions
from contimg.core.errors import DataQualityError
from contimg.core.groups import read_manifest
from contimg.flag.options import FlagOptions
from contimg.image import command as image
from contimg.image.options import ImageOptions
from contimg.mosaic import command as mosaic
from contimg.mosaic.options import MosaicOptions
from contimg.photometry import command as photometry
from contimg.photometry.options import PhotometryOptions
from contimg.photometry.tile import combine
from contimg.photometry.tile import command as fluxes
from contimg.photometry.tile.options import FluxFitOptions
from contimg.tile import command as tile
from truth.calsets import Observed, apply_files
from truth.observe import INSTRUMENT

_TILE = ("image", "residual", "psf", "model", "pb", "pbcor", "rms")
_MOSAIC = ("image", "residual", "weight", "rms", "coverage", "mjd", "time", "freq")
RESIDUAL = ImageOptions(cell_arcsec=7, imsize=1536)
CLEANED = RESIDUAL.model_copy(update={"backend": "auto"})  # by WSClean, else tclean


@dataclass
class Measured:
    """What came out of one tile: rows and the record of every stage that ran."""

    rows: pd.DataFrame
    records: dict[str, dict]
    failed: str = ""

    def keep(self, stage: str, record: Path, run: Callable, *arguments):
        """Run a stage and keep its record; what it returns."""
        result = run(*arguments)
        self.records[stage] = json.loads(record.read_text())
        return result

    def verdicts(self) -> dict[str, str]:
        """Verdict of each stage."""
        return {stage: record["verdict"] for stage, record in self.records.items()}

    def told(self) -> str:
        """All that any stage says against the data."""
        return "; ".join([*(r["reason"] for r in self.records.values()), self.failed])


def tables(directory: Path, catalog: pd.DataFrame) -> None:
    """Catalogue, and its first source as the table of calibrators."""
    directory.mkdir(parents=True, exist_ok=True)
    catalog.to_csv(directory / "catalog.csv", index=False)
    catalog[:1].to_csv(directory / "calibrators.csv", index=False)


def converted(directory: Path, manifest: Path) -> Path:
    """The MS of a tile; its record is beside it."""
    files = convert.ConvertFiles(
        manifest=manifest, ms=directory / "tile.ms", record=directory / "tile.json"
    )
    convert.run(files, INSTRUMENT, ConvertOptions(), FlagOptions(steps=[]))
    return files.ms


def solved(directory: Path, manifest: Path, options: CalibrateOptions | None = None) -> Path:
    """The record of the calset of `directory`, solved on the first source of its catalogue."""
    (directory / "manifest.json").write_text(manifest.read_text())
    catalog = pd.read_csv(directory / "catalog.csv")
    return Observed(directory, read_manifest(manifest)[0], catalog).solved("calset", options)


def fitted(
    directory: Path, manifest: Path, calset: Path, catalog: Path, options: ImageOptions = RESIDUAL
) -> Measured:
    """The road of the defaults: calibrated in one pass, sources fitted to the visibilities."""
    directory.mkdir(parents=True, exist_ok=True)
    found = Measured(pd.DataFrame({"source": []}), {})
    files = apply_files(directory / "tile.ms", [calset], directory, catalog=catalog)
    one_pass = tile.TileFiles(manifest=manifest, **files.model_dump(exclude={"ms"}))
    flags = FlagOptions(steps=[])
    try:
        arguments = (one_pass, INSTRUMENT, ConvertOptions(), flags, ApplyOptions())
        found.keep("apply", files.record, tile.run, *arguments)
        found.records["convert"] = json.loads(files.ms_record.read_text())
        _fitted(found, directory, files, catalog, options)
    except DataQualityError as error:
        found.failed = str(error)
    return found


def _fitted(found: Measured, directory: Path, files, catalog: Path, options: ImageOptions) -> None:
    """Fit, image of what is left, and the rows that go into light curves, into `found`."""
    fit = fluxes.TilePhotometryFiles(
        ms=files.calibrated,
        ms_record=files.record,
        catalog=catalog,
        table=directory / "fluxes.parquet",
        model=directory / "model.parquet",
        new=directory / "new.csv",
        record=directory / "fluxes.json",
    )
    found.keep("fit", fit.record, fluxes.run, fit, INSTRUMENT, FluxFitOptions())
    seen = _tile_files(directory, files, catalog, fit=fit.model, fit_record=fit.record)
    found.keep("image", seen.record, image.run, seen, INSTRUMENT, options)
    rows = combine.CombineFiles(
        tables=[fit.table],
        records=[fit.record],
        images=[seen.record],
        mosaic="tile",
        table=directory / "photometry.parquet",
        record=directory / "photometry.json",
    )
    found.keep("photometry", rows.record, combine.run, rows)
    found.rows = pd.read_parquet(rows.table)


def measured(
    directory: Path, manifest: Path, calset: Path, catalog: Path, options: ImageOptions = CLEANED
) -> Measured:
    """The road of images: convert, apply, image, mosaic of one tile, photometry of it."""
    directory.mkdir(parents=True, exist_ok=True)
    found = Measured(pd.DataFrame({"source": []}), {})
    try:
        ms = found.keep("convert", directory / "tile.json", converted, directory, manifest)
        files = apply_files(ms, [calset], directory, catalog=catalog)
        found.keep("apply", files.record, apply.run, files, INSTRUMENT, ApplyOptions())
        _imaged(found, directory, files, catalog, options)
    except DataQualityError as error:
        found.failed = str(error)
    return found


def _imaged(found: Measured, directory: Path, files, catalog: Path, options: ImageOptions) -> None:
    """Image, mosaic of one tile, photometry, into `found`."""
    seen = _tile_files(directory, files, catalog)
    found.keep("image", seen.record, image.run, seen, INSTRUMENT, options)
    made = _mosaic_files(directory, seen)
    found.keep("mosaic", made.record, mosaic.run, made, MosaicOptions())
    stamps = _photometry_files(directory, made, catalog)
    found.keep("photometry", stamps.record, photometry.run, stamps, PhotometryOptions())
    found.rows = pd.read_parquet(stamps.table)


def _tile_files(directory: Path, files, catalog: Path, **fit: Path) -> image.ImageFiles:
    return image.ImageFiles(
        ms=files.calibrated,
        ms_record=files.record,
        catalog=catalog,
        plot=directory / "tile.png",
        page=directory / "tile.html",
        record=directory / "image.json",
        **fit,
        **{name: directory / f"tile.{name}.fits" for name in _TILE},
    )


def _mosaic_files(directory: Path, tile: image.ImageFiles) -> mosaic.MosaicFiles:
    return mosaic.MosaicFiles(
        images=[tile.image],
        residuals=[tile.residual],
        pbs=[tile.pb],
        image_records=[tile.record],
        tiles=directory / "tiles.csv",
        record=directory / "mosaic.json",
        plot=directory / "mosaic.png",
        **{name: directory / f"mosaic.{name}.fits" for name in _MOSAIC},
    )


def _photometry_files(directory: Path, made, catalog: Path) -> photometry.PhotometryFiles:
    return photometry.PhotometryFiles(
        mosaic=made.image,
        residual=made.residual,
        rms=made.rms,
        mjd=made.mjd,
        mosaic_record=made.record,
        catalog=catalog,
        table=directory / "photometry.parquet",
        record=directory / "photometry.json",
    )


def against(rows: pd.DataFrame, sky: pd.DataFrame) -> pd.DataFrame:
    """Rows with the true flux density at the frequency of the image, ratio and pull."""
    truth = sky.set_index("name")
    freq = 1405e6
    true = truth["flux_jy"] * (freq / truth["ref_freq_hz"]) ** truth["spectral_index"]
    table = rows.assign(true_jy=true.reindex(rows["source"]).to_numpy())
    table["ratio"] = table["flux_jy"] / table["true_jy"]
    table["pull"] = (table["flux_jy"] - table["true_jy"]) / table["flux_err_jy"]
    table["true_snr"] = table["true_jy"] / table["flux_err_jy"]
    return table


def bins(table: pd.DataFrame, edges=(5, 10, 30, 100, np.inf)) -> pd.DataFrame:
    """Median ratio, its standard error, and pulls in bins of the true signal to noise."""
    lines = []
    for low, high in pairwise(edges):
        part = table[(table["true_snr"] >= low) & (table["true_snr"] < high)]
        if not len(part):
            continue
        spread = 1.4826 * np.median(np.abs(part["ratio"] - part["ratio"].median()))
        lines.append(
            {
                "low": low,
                "sources": len(part),
                "median": part["ratio"].median(),
                "error": 1.2533 * spread / np.sqrt(len(part)),
                "pull_rms": float(np.sqrt((part["pull"] ** 2).mean())),
                "pull_mad": 1.4826 * float(part["pull"].abs().median()),
            }
        )
    return pd.DataFrame(lines)
