"""``contimg photometry tile``: flux densities of a tile, fitted to its visibilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from contimg.core.beam import PrimaryBeam
from contimg.core.catalog import COLUMNS, extended, read_sources
from contimg.core.command import Command, Files, existing
from contimg.core.errors import ContimgError
from contimg.core.fluxfit.measurement import stokes_i
from contimg.core.instrument import InstrumentOptions
from contimg.core.judge import by_checks
from contimg.core.ms import Axes, read_axes
from contimg.core.records import Check, atomic, check, require, write_record
from contimg.core.scratch import scratch_directory
from contimg.core.steady import subtracted
from contimg.core.stokes import summed_weight
from contimg.photometry.table import write_table
from contimg.photometry.tile import targets
from contimg.photometry.tile.columns import TILE_SCHEMA
from contimg.photometry.tile.measure import TileFit, measure_tile
from contimg.photometry.tile.model import MODEL_SCHEMA, model_table
from contimg.photometry.tile.options import FluxFitOptions
from contimg.photometry.tile.rounds import Offset
from contimg.photometry.tile.table import tile_table


class TilePhotometryFiles(Files):
    """Inputs and outputs."""

    ms: Path = Field(description="calibrated Measurement Set of the tile")
    ms_record: Path = Field(description="its record")
    catalog: Path = Field(description="table of the sources to measure")
    field_model: Path | None = Field(
        None, description="table of the sources of the field, which take part in the fit"
    )
    deep: list[Path] = Field(
        [], description="table of sources that deep mosaics show beyond it: measured as well"
    )
    table: Path = Field(description="output: flux densities of the tile (Parquet)")
    model: Path = Field(description="output: all sources fitted, for the imager (Parquet)")
    new: Path = Field(description="output: sources that the catalogue lacks, as a source table")
    record: Path = Field(description="output: record")
    threads: int = Field(1, ge=1, description="processors for the residual image")


def run(files: TilePhotometryFiles, instrument: InstrumentOptions, options: FluxFitOptions) -> None:
    """Fit a tile."""
    calibrated = require(files.ms_record)
    axes = read_axes(existing(files.ms, "Measurement Set"))
    beam = PrimaryBeam(instrument)
    field = None if files.field_model is None else read_sources(files.field_model)
    wanted = read_sources(files.catalog)
    for path in files.deep:
        wanted = extended(wanted, read_sources(path), options.duplicate_arcsec)
    catalog = targets.united(wanted, field, options.duplicate_arcsec)
    catalog = catalog.sort_values("name", kind="stable", ignore_index=True)
    with scratch_directory(files.table) as scratch:
        blocks = stokes_i(files.ms, axes, scratch)
        offset = _steadied(files.ms, calibrated, beam, axes)
        fitted = measure_tile(
            axes,
            blocks,
            catalog,
            beam,
            options,
            scratch,
            offset=offset,
            threads=files.threads,
        )
        table = tile_table(fitted, blocks, str(calibrated["data"]["group"]))
    write_table(files.table, table, TILE_SCHEMA)
    write_table(files.model, model_table(fitted), MODEL_SCHEMA)
    with atomic(files.new) as partial:
        new_sources(table).to_csv(partial, index=False)
    write_record(
        files.record,
        product=files.record.stem,
        stage="photometry tile",
        data=_facts(table, fitted, catalog, axes),
        checks=_checks(table, fitted, options),
        options=[instrument, options],
        inputs=[p for p in (files.ms_record, files.catalog, files.field_model, *files.deep) if p],
    )


def _steadied(ms: Path, record: dict[str, Any], beam: PrimaryBeam, axes: Axes) -> Offset | None:
    """What calibration has subtracted of drifting sources; None where it is nothing.

    The function raises :class:`ContimgError` for a table that lacks one of them.
    """
    names = {item["name"] for item in record["data"].get("sources_steadied", [])}
    if not names:
        return None
    weight = summed_weight(ms, axes)

    def offset(table: pd.DataFrame) -> np.ndarray:
        known = table.assign(name=table["alias"].fillna(table["name"]))
        lacking = names.difference(known["name"])
        if lacking:
            raise ContimgError(
                f"{record['product']}: the drift of {', '.join(sorted(lacking)[:5])} was taken out"
                " of the data, but they take no part in the fit; give the field model of the"
                " calibration (--field-model), and flux_fit.model_min_jy below apply.drift_min_jy"
            )
        return subtracted(record["data"], known, beam, axes, weight)

    return offset


def new_sources(table: pd.DataFrame) -> pd.DataFrame:
    """New sources of a tile's table as a source table."""
    new = table[table["role"] == targets.NEW]
    content = {
        "name": new["source"],
        "ra_deg": new["ra_deg"],
        "dec_deg": new["dec_deg"],
        "flux_jy": new["flux_jy"],
        "ref_freq_hz": new["freq_hz"],
        "spectral_index": -0.7,
        "flux_err_jy": new["flux_err_jy"],
    }
    return pd.DataFrame(content)[[*COLUMNS, "flux_err_jy"]]


def _facts(
    table: pd.DataFrame, fitted: TileFit, catalog: pd.DataFrame, axes: Axes
) -> dict[str, Any]:
    known = table[table["role"] == targets.TARGET]
    east, north = offsets_arcsec(known)
    beam = fitted.image.beam
    roles = fitted.table["role"].value_counts()
    return {
        "mjd": float(axes.mjd.mean()),
        "freq_hz": fitted.model.unit_hz,
        "n_sources": len(known),
        "n_new": int((table["role"] == targets.NEW).sum()),
        "n_unsure": int(roles.get(targets.UNSURE, 0)),
        "n_field": int(roles.get(targets.FIELD, 0)),
        "n_outside": int(roles.get(targets.OUTSIDE, 0)),
        "n_components": int(roles.get(targets.COMPONENT, 0)),
        "n_null": int(roles.get(targets.NULL, 0)),
        "n_without_spectral_index": int(catalog["spectral_index"].isna().sum()),
        "spectra_not_catalogued": sorted(fitted.spectra),
        "n_flagged": int((known["flag"] != "").sum()),
        "n_blended": int((known["n_blend"] > 1).sum()),
        "n_detected": int((known["snr"] >= 5).sum()),
        "median_flux_err_jy": _median(known["flux_err_jy"]),
        "null_scatter": fitted.null_scatter if np.isfinite(fitted.null_scatter) else None,
        "error_factor": fitted.factor,
        "chi2": fitted.solution.chi2,
        "visibilities": fitted.solution.count,
        "noise_factor": fitted.natural_noise,
        "confusion_f2": fitted.confusion_f2,
        "iterations": fitted.solution.iterations,
        "last_step_sigma": fitted.solution.last_step,
        "rounds": fitted.rounds,
        "residual_beam": {
            "major_arcsec": beam.major_deg * 3600,
            "minor_arcsec": beam.minor_deg * 3600,
            "pa_deg": beam.pa_deg,
        },
        "residual_rms_jy_beam": float(np.median(fitted.image.noise)),
        "n_positions": int(np.isfinite(east).sum()),
        "median_offset_east_arcsec": _median(east),
        "median_offset_north_arcsec": _median(north),
    }


def offsets_arcsec(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Fitted minus catalogue position, to the east and to the north."""
    d_ra = (table["fit_ra_deg"] - table["ra_deg"] + 180.0) % 360.0 - 180.0
    east = d_ra * np.cos(np.radians(table["dec_deg"])) * 3600
    return east.to_numpy(), ((table["fit_dec_deg"] - table["dec_deg"]) * 3600).to_numpy()


def _median(values: np.ndarray | pd.Series) -> float | None:
    finite = np.asarray(values)[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else None


def _checks(table: pd.DataFrame, fitted: TileFit, options: FluxFitOptions) -> list[Check]:
    known = table[table["role"] == targets.TARGET]
    checks = [
        check("flagged_fraction", float((known["flag"] != "").mean()), warn_above=0.5),
        check("sources_added_in_the_last_round", fitted.rounds[-1]["sources_added"], warn_above=0),
        check(
            "sources_found_in_clumps",
            targets.clumped(fitted.table, np.radians(fitted.image.beam.major_deg)),
            "(emission larger than the beam, or what calibration left)",
            warn_above=0,
        ),
    ]
    if np.isfinite(fitted.null_scatter):
        limits = {"warn_above": options.null_warn, "fail_above": options.null_fail}
        checks.append(check("null_scatter", fitted.null_scatter, "of the errors", **limits))
    east, north = offsets_arcsec(known)
    if np.isfinite(east).sum() >= 3:
        offset = np.hypot(np.nanmedian(east), np.nanmedian(north)) / 3600
        in_beams = float(offset / fitted.image.beam.minor_deg)
        checks.append(
            check("position_offset", in_beams, "beam widths", warn_above=0.1, fail_above=0.5)
        )
    return checks


COMMAND = Command(
    help="fit flux densities to the visibilities of a calibrated tile (method visibilities: good"
    " for light curves, faint sources beside bright ones, spectra within the band)",
    files=TilePhotometryFiles,
    options=(InstrumentOptions, FluxFitOptions),
    run=run,
    outputs=("table", "model", "new", "record"),
    record="record",
    needed=("deep",),
    judge=by_checks,
)
