"""``contimg compare-truth``: what the pipeline recovered, held against the simulated truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from contimg.core.command import Command, Files, existing
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.parquet import read_parquet
from contimg.core.records import Check, atomic, check, write_record
from contimg.core.robust import robust_rms
from contimg.core.rowflags import usable
from contimg.core.seals import verified

STRONG_SNR = 20.0  # sources whose positions and fluxes are compared one by one
MATCH_DAYS = 0.2  # a mosaic's time against the truth's
VARIABLE_P = 1e-3  # a variable source must be less likely constant than this
MAX_PULL = 4.0  # of a right value with a right error
CONSTANT = ("field", "calibrator")
# sources that change, judged in every epoch: what they are called, the largest pull allowed of a
# few dozen epochs, what the scale of the gains may add to an error, and the largest deviation
CHANGING = {"ese": "the lensed source", "variable": "the variable source"}
LARGEST_PULL = 4.0
FLOOR = 0.003
LARGEST_DEVIATION = 0.08
_COLUMNS = {
    "truth": ("source", "kind", "mjd", "ra_deg", "dec_deg", "flux_jy"),
    "photometry": (
        *("source", "mjd", "flux_jy", "flux_err_jy", "snr", "fit_ra_deg", "fit_dec_deg"),
        *("bmaj_deg", "bmin_deg", "flag"),
    ),
    "lightcurves": ("source", "mjd", "flux_norm_jy", "flux_norm_err_jy", "flag"),
    "sources": ("source", "p_constant"),
    "candidates": (
        *("rank", "source", "list", "depth", "depth_err"),
        *("minimum_flux_jy", "minimum_flux_err_jy", "baseline_jy", "baseline_err_jy"),
        *("width_days", "width_err_days"),
    ),
}


class CompareFiles(Files):
    """Truth and results in, table and record out; or one table to show."""

    truth: Path | None = Field(None, description="truth made by simulate-sky (Parquet)")
    photometry: list[Path] | None = Field(None, description="photometry tables (Parquet)")
    lightcurves: Path | None = Field(None, description="light curves (Parquet)")
    sources: Path | None = Field(None, description="statistics of the sources (Parquet)")
    candidates: Path | None = Field(None, description="ESE candidates (CSV)")
    table: Path | None = Field(None, description="table of the comparison to write (CSV)")
    record: Path | None = Field(None, description="record to write (JSON)")
    show: Path | None = Field(None, description="only print this table, written before")


def run(files: CompareFiles) -> None:
    """Compare, write, print; a bad result is a verdict, not an error."""
    if files.show is not None:
        if not existing(files.show, "comparison").stat().st_size:
            raise ContimgError(f"{files.show}: nothing was compared; its record says why")
        print(as_text(pd.read_csv(files.show, dtype=str, keep_default_na=False)))
        return
    missing = [n for n in CompareFiles.model_fields if n != "show" and getattr(files, n) is None]
    if missing:
        raise ContimgError(f"give --show, or all of the others; missing: {', '.join(missing)}")
    inputs = [files.truth, *files.photometry, files.lightcurves, files.sources, files.candidates]
    checks = compare(
        _read(files.truth, "truth"),
        _read_photometry(files.photometry),
        _read(files.lightcurves, "lightcurves"),
        _read(files.sources, "sources"),
        _read(files.candidates, "candidates"),
    )
    table = as_table(checks)
    with atomic(files.table) as partial:
        table.to_csv(partial, index=False)
    write_record(
        files.record,
        product=files.record.stem,
        stage="compare-truth",
        data={"lines": len(checks), "failed": sum(c.verdict == "fail" for c in checks)},
        checks=checks,
        inputs=inputs,
    )
    print(as_text(table))


def compare(
    truth: pd.DataFrame,
    photometry: pd.DataFrame,
    lightcurves: pd.DataFrame,
    sources: pd.DataFrame,
    candidates: pd.DataFrame,
) -> list[Check]:
    """All lines of the comparison; a quantity without data is not finite and fails."""
    measured = at_truth(photometry[good(photometry)], truth)
    curves = at_truth(lightcurves[good(lightcurves)], truth)
    return [
        *_positions_and_fluxes(measured),
        *_epochs(measured, at_truth(photometry, truth), truth),
        *_errors(curves),
        *_variability(truth, sources, candidates),
        *_event(truth, curves, candidates),
    ]


def good(table: pd.DataFrame) -> pd.Series:
    """Rows without a reason to leave them out."""
    return usable(table["flag"])


def at_truth(table: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Rows of `table` with the true values of the same source at the nearest time (0.2 d).

    Adds ``kind``, ``true_ra_deg``, ``true_dec_deg`` and ``true_flux_jy``; rows of sources or
    times that the truth does not know are left out.
    """
    names = {"ra_deg": "true_ra_deg", "dec_deg": "true_dec_deg", "flux_jy": "true_flux_jy"}
    right = truth[["source", "kind", "mjd", *names]].rename(columns=names)
    left = table.drop(columns=["kind", *names.values()], errors="ignore")
    left = left.astype({"mjd": float, "source": right["source"].dtype})
    merged = pd.merge_asof(
        left.sort_values("mjd", kind="stable"),
        right.sort_values("mjd", kind="stable"),
        on="mjd",
        by="source",
        direction="nearest",
        tolerance=MATCH_DAYS,
    )
    return merged[merged["true_flux_jy"].notna()]


def _positions_and_fluxes(measured: pd.DataFrame) -> list[Check]:
    from contimg.core.coords import separation

    strong = measured[measured["snr"] > STRONG_SNR]
    columns = ["fit_ra_deg", "fit_dec_deg", "true_ra_deg", "true_dec_deg"]
    angles = np.radians(strong[columns].to_numpy(dtype=float))
    beam = np.sqrt(strong["bmaj_deg"] * strong["bmin_deg"]).to_numpy(dtype=float)
    offset = np.degrees(separation(*angles.T)) / beam
    offset = offset[np.isfinite(offset)]
    ratio = (strong["flux_jy"] / strong["true_flux_jy"]).to_numpy(dtype=float)
    calibrator = measured[measured["kind"] == "calibrator"]
    scale = (calibrator["flux_jy"] / calibrator["true_flux_jy"]).to_numpy(dtype=float)
    return [
        check(
            f"position offset of sources SNR > {STRONG_SNR:g}, median",
            _of(np.median, offset),
            "beam",
            fail_above=0.05,
        ),
        check(
            f"position offset of sources SNR > {STRONG_SNR:g}, largest",
            _of(np.max, offset),
            "beam",
            fail_above=0.3,
        ),
        check(
            f"measured over true flux of sources SNR > {STRONG_SNR:g}, median",
            _of(np.median, ratio),
            fail_below=0.97,
            fail_above=1.03,
        ),
        check(
            "measured over true flux of the calibrator, median",
            _of(np.median, scale),
            fail_below=0.99,
            fail_above=1.01,
        ),
    ]


def _epochs(measured: pd.DataFrame, all_rows: pd.DataFrame, truth: pd.DataFrame) -> list[Check]:
    """Every epoch of the sources that change, dips and caustics too; flagged rows count as lost."""
    lines = []
    for kind, name in CHANGING.items():
        if not (truth["kind"] == kind).any():
            continue
        mine = measured[measured["kind"] == kind]
        error = np.hypot(mine["flux_err_jy"], FLOOR * mine["true_flux_jy"])
        off = (mine["flux_jy"] - mine["true_flux_jy"]).abs()
        pull, size = ((off / by).to_numpy(dtype=float) for by in (error, mine["true_flux_jy"]))
        seen = int((all_rows["kind"] == kind).sum())
        lines += [
            check(
                f"largest (measured - true) / error of {name} in any epoch",
                _of(np.max, pull),
                fail_above=LARGEST_PULL,
            ),
            check(
                f"largest deviation of {name} from the truth in any epoch",
                _of(np.max, size),
                fail_above=LARGEST_DEVIATION,
            ),
            check(
                f"epochs of {name} without a flag",
                len(mine) / seen if seen else float("nan"),
                fail_below=1.0,
            ),
        ]
    return lines


def _errors(curves: pd.DataFrame) -> list[Check]:
    constant = curves[curves["kind"].isin(CONSTANT)]
    pull = (constant["flux_norm_jy"] - constant["true_flux_jy"]) / constant["flux_norm_err_jy"]
    pull = pull[np.isfinite(pull)].to_numpy(dtype=float)
    return [
        # Robust, so that it tells whether the errors are right and not whether one source fails.
        check(
            "(measured - true) / error of constant sources, standard deviation",
            _of(robust_rms, pull),
            fail_below=0.8,
            fail_above=1.3,
        )
    ]


def _variability(
    truth: pd.DataFrame, sources: pd.DataFrame, candidates: pd.DataFrame
) -> list[Check]:
    kinds = truth.drop_duplicates("source").set_index("source")["kind"]
    announced = candidates[candidates["list"] == "announce"]
    ranked = announced.sort_values("rank", kind="stable").reset_index(drop=True)
    found = ranked["source"].map(kinds)
    lines = []
    if (kinds == "ese").any():
        places = np.flatnonzero(found == "ese") + 1
        rank = float(places[0]) if places.size else float("nan")
        lines.append(check("rank of the lensed source among candidates", rank, fail_above=1))
    lines.append(
        check(
            "constant sources among candidates",
            float((~found.isin(["ese", "variable"])).sum()),
            fail_above=0,
        )
    )
    if (kinds == "variable").any():
        rows = sources[sources["source"].map(kinds) == "variable"]
        lines.append(
            check(
                "probability that the variable source is constant",
                _of(np.max, rows["p_constant"].to_numpy(dtype=float)),
                fail_above=VARIABLE_P,
            )
        )
    return lines


def _event(truth: pd.DataFrame, curves: pd.DataFrame, candidates: pd.DataFrame) -> list[Check]:
    """The lensed source: its light curve, and the parameters of its event in errors.

    The flux without the lens is that of the epoch furthest from the minimum.
    """
    lensed = truth[truth["kind"] == "ese"]
    found = candidates[candidates["source"].isin(lensed["source"])]
    if lensed.empty or found.empty:
        return []  # that it was not found is a line of its own
    lowest = lensed.loc[lensed["flux_jy"].idxmin()]
    away = (lensed["mjd"] - lowest["mjd"]).abs()
    baseline = float(lensed.loc[away.idxmax(), "flux_jy"])
    minimum, row = float(lowest["flux_jy"]), found.iloc[0]
    own = curves[curves["kind"] == "ese"]
    pull = (own["flux_norm_jy"] - own["true_flux_jy"]) / own["flux_norm_err_jy"]
    return [
        check(
            "(measured - true) / error of the lensed source, rms",
            float(np.sqrt(np.mean(pull**2))),
            fail_above=MAX_PULL,
        ),
        check(
            "(measured - true) / error of the depth of the event, absolute",
            abs(row["depth"] - 1 + minimum / baseline) / row["depth_err"],
            fail_above=MAX_PULL,
        ),
        check(
            "(measured - true) / error of the lowest flux of the event, absolute",
            abs(row["minimum_flux_jy"] - minimum) / row["minimum_flux_err_jy"],
            fail_above=MAX_PULL,
        ),
        check(
            "(measured - true) / error of the flux without the event, absolute",
            abs(row["baseline_jy"] - baseline) / row["baseline_err_jy"],
            fail_above=MAX_PULL,
        ),
        check(
            "(measured - true) / error of the width of the event, absolute",
            _outside(row["width_days"], *_true_width(lensed, baseline)) / row["width_err_days"],
            fail_above=MAX_PULL,
        ),
    ]


def _true_width(lensed: pd.DataFrame, baseline: float) -> tuple[float, float]:
    """Shortest and longest the dip can be [days] that is half as deep at these epochs."""
    flux = lensed.sort_values("mjd")["flux_jy"].to_numpy(dtype=float)
    mjd = np.sort(lensed["mjd"].to_numpy(dtype=float))
    lowest = int(flux.argmin())
    shallow = np.flatnonzero(flux > (baseline + flux[lowest]) / 2)
    before, after = shallow[shallow < lowest], shallow[shallow > lowest]
    if not (len(before) and len(after)):
        return 0.0, float("inf")
    first, last = before[-1], after[0]
    return float(mjd[last - 1] - mjd[first + 1]), float(mjd[last] - mjd[first])


def _outside(value: float, low: float, high: float) -> float:
    """How far `value` is from the nearest of what it may be."""
    return abs(value - float(np.clip(value, low, high)))


def as_table(checks: list[Check]) -> pd.DataFrame:
    """One row a line: quantity, recovered, unit, limit, result."""
    return pd.DataFrame(
        {
            "quantity": [c.metric for c in checks],
            "recovered": ["none" if c.value is None else f"{c.value:.4g}" for c in checks],
            "unit": [c.unit for c in checks],
            "limit": [c.limit for c in checks],
            "result": ["FAIL" if c.verdict == "fail" else "PASS" for c in checks],
        }
    )


def as_text(table: pd.DataFrame) -> str:
    """The table in columns, for a terminal."""
    cells = [list(table.columns), *table.astype(str).to_numpy().tolist()]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in cells]
    return "\n".join([lines[0], "-" * len(max(lines, key=len)), *lines[1:]])


def _of(function, values: np.ndarray) -> float:
    """`function` of the values; NaN, which fails every check, when there are none."""
    return float(function(values)) if values.size else float("nan")


def _read(path: Path, what: str) -> pd.DataFrame:
    """Read an input; the placeholder of a failed product holds no columns and cannot be used."""
    if path.suffix == ".parquet":
        table = read_parquet(path, what)
    else:
        verified(existing(path, what))
        table = pd.read_csv(path) if path.stat().st_size else pd.DataFrame()
    if table.columns.empty:
        raise DataQualityError(f"{path}: holds no data; its own record says why")
    missing = [name for name in _COLUMNS[what] if name not in table.columns]
    if missing:
        raise ContimgError(f"{path}: lacks the columns {', '.join(missing)}; rebuild it")
    return table


def _read_photometry(paths: list[Path]) -> pd.DataFrame:
    """All epochs that were measured; those that failed have no rows."""
    tables = []
    for path in paths:
        try:
            tables.append(_read(path, "photometry"))
        except DataQualityError as error:
            print(f"left out: {error}")
    if not tables:
        raise DataQualityError("no mosaic has photometry")
    return pd.concat(tables, ignore_index=True)


COMMAND = Command(
    help="Compare results with the simulated truth, line by line.",
    files=CompareFiles,
    options=(),
    run=run,
    outputs=("table", "record"),
    record="record",
)
