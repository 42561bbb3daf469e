"""``contimg lightcurves``: all photometry as light curves on one relative scale.

Every epoch of the run has a row in the table of epochs, also those that were left out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from contimg.core.command import Command, Files
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.judge import by_checks
from contimg.core.parquet import read_parquet, write_parquet
from contimg.core.plans import read_plan_file
from contimg.core.records import atomic, check, read_record, write_record
from contimg.core.rowflags import usable
from contimg.variability import plots
from contimg.variability.collect import photometry_files, same_data_once, same_shape
from contimg.variability.ensemble import normalise
from contimg.variability.options import VariabilityOptions
from contimg.variability.references import Grid, Normalisation, find_gains, to_grid

NEEDED = [
    "source",
    "ra_deg",
    "dec_deg",
    "mosaic",
    "mjd",
    "flux_jy",
    "flux_err_jy",
    "n_blend",
    "flag",
]
COLUMNS = [
    "source",
    "mosaic",
    "mjd",
    "flux_jy",
    "flux_err_jy",
    "gain",
    "gain_err",
    "flux_norm_jy",
    "flux_norm_err_jy",
    "is_reference",
    "flag",
    "ra_deg",
    "dec_deg",
    "pointing_dec_deg",
]
UNNORMALISED = "unnormalised"
UNMEASURED = "unmeasured"


class LightCurveFiles(Files):
    """Photometry in, light curves out."""

    photometry: list[Path] = Field(
        description="photometry tables, one an epoch (Parquet), or directories of them"
    )
    photometry_records: list[Path] = Field(
        [], description="records of the tables, in the same order (beside them if unset)"
    )
    plan: Path | None = Field(
        None, description="plan of the run: where mosaics share data, its own come first"
    )
    table: Path = Field(description="light curves to write (Parquet)")
    epochs: Path = Field(description="table of epochs to write (CSV)")
    record: Path = Field(description="record to write (JSON)")
    plot: Path = Field(description="page of light curves to write (PNG)")


def run(files: LightCurveFiles, options: VariabilityOptions) -> None:
    """Collect, normalise, write."""
    pairs = photometry_files(files.photometry, files.photometry_records)
    photometry, left_out, tiles, dropped = read_photometry(pairs)
    if photometry.empty:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise DataQualityError(f"no epoch has photometry ({reasons or 'no source measured'})")
    first = list(read_plan_file(files.plan)["mosaics"]) if files.plan is not None else []
    photometry = same_shape(same_data_once(photometry, tiles, first))
    mosaics = photometry.groupby("mosaic")["mjd"].median().sort_values(kind="stable").index.tolist()
    grid = to_grid(photometry, mosaics)
    found = find_gains(grid, options)
    table = light_curves(photometry, grid, found)
    epochs = epoch_table(grid, found, left_out, options)
    with atomic(files.table) as partial:
        write_parquet(table, partial)
    with atomic(files.epochs) as partial:
        epochs.to_csv(partial, index=False)
    plots.light_curve_page(table, files.plot)
    _write_record(files, pairs, options, grid, found, epochs, left_out, dropped)


def read_photometry(
    pairs: list[tuple[Path, Path]],
) -> tuple[pd.DataFrame, dict[str, str], dict[str, list[str]], int]:
    """All measurements in order of epoch and source, from (table, record) of every epoch.

    Also the epochs left out with reasons, the tiles in each epoch, where they are known, and the
    number of rows dropped, which have no source or no time.
    """
    parts, left_out, tiles, dropped = [], {}, {}, 0
    for path, record_path in pairs:
        mosaic = record_path.stem
        try:
            record = read_record(record_path)
            if record["verdict"] == "fail":
                raise DataQualityError(record["reason"])
            part = read_parquet(path, "photometry table", record_path)
        except DataQualityError as error:
            left_out[mosaic] = str(error)
            continue
        missing = [name for name in NEEDED if name not in part.columns]
        if missing:
            raise ContimgError(f"{path}: lacks the columns {', '.join(missing)}; rebuild it")
        if not (part["mosaic"] == mosaic).all():
            raise ContimgError(f"{path}: holds measurements that are not of {mosaic}; rebuild it")
        twice = part["source"].dropna().duplicated()
        if twice.any():
            source = part["source"].dropna()[twice].iloc[0]
            raise ContimgError(f"{path}: {source} is measured twice")
        rows = len(part)
        part = _usable(_of_one_piece(part)[NEEDED])
        pointing = record.get("data", {}).get("pointing_dec_deg")
        part["pointing_dec_deg"] = np.nan if pointing is None else float(pointing)
        dropped += rows - len(part)
        if part.empty:
            left_out[mosaic] = "no source measured"
            continue
        tiles[mosaic] = record.get("data", {}).get("tiles") or []
        parts.append(part.astype({"source": str}).sort_values("source"))
    if not parts:
        return pd.DataFrame(columns=NEEDED), left_out, tiles, dropped
    return pd.concat(parts, ignore_index=True), left_out, tiles, dropped


def _of_one_piece(part: pd.DataFrame) -> pd.DataFrame:
    """The rows; those whose ratio of flux density and error is not their ``snr`` lose both.

    The three are written together: if they do not fit, one of them is not what was measured.
    """
    if "snr" not in part:
        return part
    flux, error, snr = (part[n].to_numpy(dtype=float) for n in ("flux_jy", "flux_err_jy", "snr"))
    with np.errstate(invalid="ignore", divide="ignore"):
        torn = np.abs(flux / error - snr) > 1e-6 * np.abs(snr)
    return part.assign(
        flux_jy=np.where(torn, np.nan, flux), flux_err_jy=np.where(torn, np.nan, error)
    )


def _usable(part: pd.DataFrame) -> pd.DataFrame:
    """Rows that have a name and a time; those without flux density or error are flagged.

    A row that is not a measurement costs itself, never its epoch.
    """
    part = part[part["source"].notna() & np.isfinite(part["mjd"].to_numpy(dtype=float))].copy()
    flux, error = (part[name].to_numpy(dtype=float) for name in ("flux_jy", "flux_err_jy"))
    good = np.isfinite(flux) & np.isfinite(error) & (error > 0)
    flag = part["flag"].fillna("")
    part["flag"] = flag.where(good | (flag != ""), UNMEASURED)
    part["flux_jy"] = np.where(np.isfinite(flux), flux, np.nan)
    part["flux_err_jy"] = np.where(good, error, np.nan)
    return part


def light_curves(photometry: pd.DataFrame, grid: Grid, found: Normalisation) -> pd.DataFrame:
    """The table of light curves (columns ``COLUMNS``), by source and time."""
    epoch_of = {name: column for column, name in enumerate(grid.mosaics)}
    parts = []
    for row, (source, rows) in enumerate(photometry.groupby("source", sort=True)):
        assert source == grid.sources[row]
        fit = found.of(row, grid)
        normal, total, _ = normalise(grid.flux[row], grid.error[row], grid.good[row], fit)
        at = rows["mosaic"].map(epoch_of).to_numpy()
        unknown = np.where(found.normalised[at], "", UNNORMALISED)
        part = rows.assign(
            gain=fit.gain[at],
            gain_err=fit.gain_err[at],
            flux_norm_jy=normal[at],
            flux_norm_err_jy=total[at],
            is_reference=row in found.own,
            flag=_flags(rows["flag"], unknown),
        )
        parts.append(part.sort_values(["mjd", "mosaic"]))
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def _flags(flag: pd.Series, unknown: NDArray[np.str_]) -> list[str]:
    """Flags of the photometry, and of usable rows that of their epoch."""
    return [
        ";".join(filter(None, (text, word))) if good else text
        for text, word, good in zip(flag, unknown, usable(flag), strict=True)
    ]


def epoch_table(
    grid: Grid, found: Normalisation, left_out: dict[str, str], options: VariabilityOptions
) -> pd.DataFrame:
    """One row for every epoch of the run, in order of time; those left out come last."""
    table = pd.DataFrame(
        {
            "mosaic": grid.mosaics,
            "mjd": np.nanmedian(grid.mjd, axis=0),
            "gain": found.gains.gain,
            "gain_err": found.gains.gain_err,
            "gain_slope_ra_per_deg": found.gains.slope[:, 0],
            "gain_slope_dec_per_deg": found.gains.slope[:, 1],
            "excess_fraction": np.where(found.normalised, found.gains.excess, np.nan),
            "n_references": found.n_references,
            "status": np.where(found.normalised, "normalised", UNNORMALISED),
            "reason": [
                ""
                if done
                else f"{number} stable references, {options.min_references} needed; "
                f"assumed gain error {options.gain_error_prior:g}"
                for done, number in zip(found.normalised, found.n_references, strict=True)
            ],
        }
    )
    lost = pd.DataFrame(
        {"mosaic": list(left_out), "status": "left_out", "reason": list(left_out.values())}
    ).reindex(columns=table.columns)
    lost["n_references"] = 0
    return pd.concat([table, lost], ignore_index=True) if len(lost) else table


def _write_record(
    files: LightCurveFiles,
    pairs: list[tuple[Path, Path]],
    options: VariabilityOptions,
    grid: Grid,
    found: Normalisation,
    epochs: pd.DataFrame,
    left_out: dict[str, str],
    dropped: int,
) -> None:
    done = found.normalised
    excess = float(found.gains.excess[done].max()) if done.any() else 0.0
    n_used = int((epochs["status"] != "left_out").sum())
    checks = [
        check("epochs_left_out", float(len(epochs) - n_used), warn_above=0),
        check("rows_without_source_or_time", float(dropped), warn_above=0),
        check("epochs_unnormalised", float((~done).sum()), warn_above=0),
        check("references", float(len(found.references)), warn_below=options.min_references),
        check("excess_fraction_max", excess, warn_above=options.warn_excess_fraction),
    ]
    write_record(
        files.record,
        product="lightcurves",
        stage="lightcurves",
        checks=checks,
        data={
            "sources": len(grid.sources),
            "epochs": len(epochs),
            "epochs_left_out": left_out,
            "epochs_normalised": int(done.sum()),
            "references": [grid.sources[row] for row in found.references],
            "references_dropped": found.dropped,
            "gain_scatter": float(np.std(found.gains.gain[done])) if done.any() else None,
            "excess_fraction_median": (
                float(np.median(found.gains.excess[done])) if done.any() else None
            ),
        },
        options=(options,),
        inputs=[path for pair in pairs for path in pair],
    )


COMMAND = Command(
    help="Join photometry of all epochs to light curves and normalise them by stable sources.",
    files=LightCurveFiles,
    options=(VariabilityOptions,),
    run=run,
    outputs=("table", "epochs", "plot", "record"),
    record="record",
    judge=by_checks,
)
