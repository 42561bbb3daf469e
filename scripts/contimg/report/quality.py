"""Quality of products under the names that users of dsa110-contimg know (docs/parity.md)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contimg.core.errors import ContimgError
from contimg.core.paths import WILDCARDS, path
from contimg.core.records import read_record

QUALITY = {"pass": "good", "warn": "marginal", "fail": "poor"}
TABLES = WILDCARDS["table"].split("|")
COMPLETE = 0.95  # part of the sources found that counts as complete


def calibration(results: str, calset: str) -> dict[str, Any]:
    """Metrics of the delays, bandpasses and gains of a calset, and of every subband."""
    solved = read_record(path("solutions", results, calset=calset))
    file = Path(path("calset_record", results, calset=calset))
    looked = read_record(file) if file.exists() else {"data": {}, "checks": [], "verdict": ""}
    data, seen = solved["data"], looked["data"]
    flagged = data.get("flagged_fraction", {})
    number = {name: math.prod(shape) for name, shape in seen.get("tables", {}).items()}
    return {
        "ms_path": path("cal_ms", results, calset=calset),
        "job_id": calset,
        "k_metrics": _metrics("K", data, looked["checks"])
        | {"delay_rms_ns": data.get("delay_rms_ns")},
        "bp_metrics": _metrics("B", data, looked["checks"])
        | {"amplitude_median": data.get("bandpass_amplitude_median")},
        "g_metrics": _metrics("G", data, looked["checks"])
        | {
            "amplitude_median": data.get("gain_amplitude_median"),
            "amplitude_scatter": data.get("gain_amplitude_scatter"),
        },
        "overall_quality": quality(solved, looked),
        "flags_total": round(sum(flagged.get(t, 0.0) * n for t, n in number.items())),
        "per_spw_stats": [
            {
                "spw": spw["subband"],
                "freq_mhz": spw["freq_mhz"],
                "solved": spw["solved"],
                "fraction_flagged": spw["flagged"],
                "snr": spw["snr"],
            }
            for spw in seen.get("subbands", [])
        ],
        "timestamp": solved["run"]["created_utc"],
        "reason": solved["reason"] or looked.get("reason", ""),
    }


def _metrics(
    table: str, data: Mapping[str, Any], checks: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What is known of one kind of solutions: flagged part, signal to noise, its checks."""
    mine = [c for c in checks if c["metric"].startswith(f"{table} ")]
    return {
        "table": data.get("tables", {}).get(table),
        "fraction_flagged": data.get("flagged_fraction", {}).get(table),
        "snr_median": data.get("snr_median", {}).get(table),
        "checks": [{k: c[k] for k in ("metric", "value", "unit", "verdict")} for c in mine],
    }


def completeness(results: str, calset: str) -> dict[str, Any]:
    """Tables that a calset should have, has, and lacks, by kind."""
    expected = _expected(results, calset)
    found = {t: Path(path("caltable", results, calset=calset, table=t)) for t in TABLES}
    existing = [t for t in expected if found[t].is_dir() and any(found[t].iterdir())]
    missing = [t for t in expected if t not in existing]
    return {
        "calset": calset,
        "expected_caltables": {t: str(found[t]) for t in expected},
        "existing_caltables": {t: str(found[t]) for t in existing},
        "missing_caltables": {t: str(found[t]) for t in missing},
        "completeness": len(existing) / len(expected) if expected else 0.0,
    }


def _expected(results: str, calset: str) -> list[str]:
    record = Path(path("solutions", results, calset=calset))
    tables = read_record(record)["data"].get("tables") if record.exists() else None
    return list(tables) if tables else ["K", "B", "G"]


def image(results: str, group: str, tier: str) -> dict[str, Any]:
    """Noise, peak, beam and sources of a tile's image."""
    record = read_record(path("image_record", results, group=group, tier=tier))
    data = record["data"]
    validation = data.get("validation") or {}
    return {
        "ms_path": path("ms", results, group=group),
        "job_id": group,
        "image_path": path("image", results, group=group, tier=tier),
        "rms_noise": data.get("rms_jy_beam"),
        "peak_flux": data.get("peak_jy_beam"),
        "dynamic_range": data.get("dynamic_range"),
        "beam_major": data.get("bmaj_arcsec"),
        "beam_minor": data.get("bmin_arcsec"),
        "beam_pa": data.get("bpa_deg"),
        "num_sources": validation.get("detections"),
        "thumbnail_path": path("image_plot", results, group=group, tier=tier),
        "overall_quality": quality(record),
        "timestamp": record["run"]["created_utc"],
        "reason": record["reason"],
    }


def catalog_validation(results: str, group: str, tier: str) -> dict[str, dict[str, Any]]:
    """Positions, flux densities and numbers of sources against the catalogue.

    Offsets beyond the mean are of the bright sources whose positions were fitted to the
    visibilities. The scatter of flux ratios is what the error of their mean says: error times
    the root of the number.
    """
    record = read_record(path("image_record", results, group=group, tier=tier))
    data = record["data"]
    found = data.get("validation") or {}
    common = {
        "image_path": path("image", results, group=group, tier=tier),
        "catalog_used": _catalogue(record),
        "n_matched": found.get("matched"),
        "n_catalog": sum(b["catalogued"] for b in found.get("bins", [])) if found else None,
        "n_detected": found.get("detections"),
        **dict.fromkeys(_FIELDS),
    }
    return {
        kind: common | {"validation_type": kind} | values | _issues(record, words)
        for kind, values, words in (
            ("astrometry", _astrometry(data, found), ("offset", "rotation", "scale of positions")),
            ("flux_scale", _flux_scale(found), ("flux", "dish", "amplitude", "gradient")),
            ("source_counts", _counts(found), ("completeness", "reliability", "peaks")),
        )
    }


_FIELDS = (
    *("mean_offset_arcsec", "rms_offset_arcsec", "max_offset_arcsec"),
    *("offset_ra_arcsec", "offset_dec_arcsec", "mean_flux_ratio", "rms_flux_ratio"),
    *("flux_scale_error", "completeness", "completeness_limit_jy", "completeness_bins_jy"),
    *("completeness_per_bin", "catalog_counts_per_bin", "detected_counts_per_bin"),
)


def _astrometry(data: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    east, north = found.get("offset_east_arcsec"), found.get("offset_north_arcsec")
    offsets = [
        math.hypot(s["offset_east_arcsec"], s["offset_north_arcsec"])
        for s in data.get("sources_subtracted") or []
        if s.get("offset_east_arcsec") or s.get("offset_north_arcsec")
    ]
    return {
        "offset_ra_arcsec": east,
        "offset_dec_arcsec": north,
        "mean_offset_arcsec": None if east is None or north is None else math.hypot(east, north),
        "rms_offset_arcsec": math.sqrt(sum(o * o for o in offsets) / len(offsets))
        if offsets
        else None,
        "max_offset_arcsec": max(offsets, default=None),
    }


def _flux_scale(found: Mapping[str, Any]) -> dict[str, Any]:
    ratio, error = found.get("flux_ratio"), found.get("flux_ratio_err")
    scatter = None if error is None else error * math.sqrt(found.get("matched") or 0)
    return {
        "mean_flux_ratio": ratio,
        "rms_flux_ratio": scatter,
        "flux_scale_error": None if ratio is None else abs(ratio - 1),
    }


def _counts(found: Mapping[str, Any]) -> dict[str, Any]:
    bins = found.get("bins", [])
    parts = [b["found"] / b["catalogued"] if b["catalogued"] else None for b in bins]
    limit = None
    for entry, part in zip(reversed(bins), reversed(parts), strict=True):
        if part is not None and part < COMPLETE:
            break
        limit = entry["apparent_from_jy"] if part is not None else limit
    return {
        "completeness": found.get("completeness_10_sigma"),
        "completeness_limit_jy": limit,
        "completeness_bins_jy": [b["apparent_from_jy"] for b in bins],
        "completeness_per_bin": parts,
        "catalog_counts_per_bin": [b["catalogued"] for b in bins],
        "detected_counts_per_bin": [b["detected"] for b in bins],
    }


def _issues(record: Mapping[str, Any], words: Sequence[str]) -> dict[str, Any]:
    mine = [c for c in record["checks"] if any(word in c["metric"] for word in words)]
    issues = [c["reason"] for c in mine if c["verdict"] == "fail"]
    warnings = [c["reason"] for c in mine if c["verdict"] == "warn"]
    if record["verdict"] == "fail" and not record["checks"]:
        issues = [record["reason"]]
    return {
        "has_issues": bool(issues),
        "issues": issues,
        "has_warnings": bool(warnings),
        "warnings": warnings,
    }


def _catalogue(record: Mapping[str, Any]) -> str | None:
    """The table of sources among the inputs of an image."""
    inputs = [Path(entry["path"]) for entry in record.get("inputs", [])]
    tables = [p for p in inputs if p.suffix not in {".json", ".ms", ""}]
    return str(tables[0]) if tables else None


def overlay(results: str, group: str, tier: str, catalogue: Path, min_jy: float) -> dict[str, Any]:
    """Catalogued sources on the pixels of a tile's image, and what the image covers."""
    import numpy as np

    from contimg.core.catalog import flux_density, read_sources
    from contimg.core.fits import read_image
    from contimg.core.seals import verified

    file = Path(path("image", results, group=group, tier=tier))
    if not file.exists():
        raise ContimgError(f"{group}: no image ({file})")
    picture = read_image(verified(file))
    table = read_sources(catalogue)
    if picture.freq_hz is None:
        raise ContimgError(f"{file}: its header has no frequency")
    flux = flux_density(table, picture.freq_hz)[:, 0]
    x, y = picture.wcs.all_world2pix(table["ra_deg"], table["dec_deg"], 0)
    ny, nx = picture.data.shape
    inside = (x >= 0) & (x < nx) & (y >= 0) & (y < ny) & (flux >= min_jy)
    ra, dec = picture.wcs.all_pix2world((nx - 1) / 2, (ny - 1) / 2, 0)
    rows = zip(x, y, flux, table["ra_deg"], table["dec_deg"], table["name"], strict=True)
    return {
        "image_path": str(file),
        "catalog_used": str(catalogue),
        "sources": [
            {
                **{"name": str(name), "x": round(float(px), 2), "y": round(float(py), 2)},
                **{"flux_jy": float(s), "ra_deg": float(a), "dec_deg": float(d)},
            }
            for keep, (px, py, s, a, d, name) in zip(inside, rows, strict=True)
            if keep
        ],
        "image_info": {
            **{"center_ra": float(ra), "center_dec": float(dec), "nx": nx, "ny": ny},
            **{"width_deg": nx * picture.cell_deg, "height_deg": ny * picture.cell_deg},
            "pixel_scale_arcsec": float(np.round(picture.cell_deg * 3600, 6)),
        },
    }


def quality(*records: Mapping[str, Any]) -> str:
    """``good``, ``marginal``, ``poor`` or ``unknown``: the worst verdict of the records."""
    known = [r["verdict"] for r in records if r.get("verdict") in QUALITY]
    worst = max(known, key=list(QUALITY).index, default="")
    return QUALITY.get(worst, "unknown")
