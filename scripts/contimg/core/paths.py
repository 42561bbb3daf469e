"""Every path pattern of the workflow, written once; rules and code share it.

A key is a flat mapping of wildcards to strings. ``pattern`` gives the pattern with wildcards
for a rule, ``path`` fills it in, ``parse`` reads a path back: ``parse(name, path(name, **key))
== key``.
"""

from __future__ import annotations

import re
import string
from functools import cache
from pathlib import Path

WILDCARDS = {
    "day": r"\d{4}-\d{2}-\d{2}",
    "plan": r"[0-9a-f]{10}",
    "group": r"\d{8}T\d{6}",
    "calset": r"\d{8}T\d{6}_[A-Za-z0-9.+-]+",
    "calibrator": r"[A-Za-z0-9.+-]+",
    "mosaic": r"[A-Za-z0-9][A-Za-z0-9_.+-]*",
    "deep": r"deep_\d{8}_[A-Za-z0-9_.+-]*",
    "tier": r"development|standard|high_precision",
    "table": r"K|B|G|2G",
    "view": r"bandpass|gains|delays|quality",
}

PATTERNS = {
    # discover
    "files": "inventory/files.parquet",
    "judged": "inventory/judged.json",
    "run_lock": "inventory/run.lock",
    # plan
    "plan": "inventory/plans/{plan}/plan.json",
    "groups": "inventory/plans/{plan}/groups.parquet",
    "rejected": "inventory/plans/{plan}/rejected.csv",
    "calsets_table": "inventory/plans/{plan}/calsets.csv",
    "tiles_table": "inventory/plans/{plan}/tiles.csv",
    "mosaics_table": "inventory/plans/{plan}/mosaics.csv",
    "manifest": "inventory/groups/{day}/{group}.json",
    # simulate
    "sky": "simulated/catalog.csv",
    "truth": "simulated/truth.parquet",
    "comparison": "simulated/comparison.csv",
    "comparison_record": "simulated/comparison.json",
    # convert
    "ms": "ms/{day}/{group}.ms",
    "ms_record": "ms/{day}/{group}.json",
    "ms_plot": "ms/{day}/{group}.flags.png",
    "whole_record": "ms/{day}/{group}.whole.json",
    # calibrate
    "cal_ms": "cal/{day}/{calset}/{calset}.ms",
    "cal_ms_record": "cal/{day}/{calset}/{calset}.json",
    "cal_ms_plot": "cal/{day}/{calset}/{calset}.flags.png",
    "caltable": "cal/{day}/{calset}/{calset}.{table}",
    "solutions": "cal/{day}/{calset}/solutions.json",
    "solutions_plot": "cal/{day}/{calset}/solutions.png",
    "calset_page": "cal/{day}/{calset}/{calset}.html",
    "calset_record": "cal/{day}/{calset}/{calset}.inspection.json",
    "calset_plot": "cal/{day}/{calset}/{calset}.{view}.png",
    "drift_table": "cal/drift.csv",
    "drift_record": "cal/drift.json",
    "drift_plot": "cal/drift.png",
    "drift_page": "cal/drift.html",
    "calibrated_ms": "calibrated/{day}/{group}.ms",
    "calibrated_record": "calibrated/{day}/{group}.json",
    "calset_choice": "calibrated/{day}/{group}.calset.json",
    # image
    "image": "images/{day}/{group}/{group}.{tier}.image.fits",
    "residual": "images/{day}/{group}/{group}.{tier}.residual.fits",
    "psf": "images/{day}/{group}/{group}.{tier}.psf.fits",
    "model": "images/{day}/{group}/{group}.{tier}.model.fits",
    "pb": "images/{day}/{group}/{group}.{tier}.pb.fits",
    "pbcor": "images/{day}/{group}/{group}.{tier}.pbcor.fits",
    "tile_rms": "images/{day}/{group}/{group}.{tier}.rms.fits",
    "image_cube": "images/{day}/{group}/{group}.{tier}.cube.fits",
    "image_record": "images/{day}/{group}/{group}.{tier}.json",
    "image_plot": "images/{day}/{group}/{group}.{tier}.png",
    "image_page": "images/{day}/{group}/{group}.{tier}.html",
    # mosaic
    "mosaic": "mosaics/{mosaic}/{mosaic}.image.fits",
    "mosaic_residual": "mosaics/{mosaic}/{mosaic}.residual.fits",
    "mosaic_weight": "mosaics/{mosaic}/{mosaic}.weight.fits",
    "mosaic_rms": "mosaics/{mosaic}/{mosaic}.rms.fits",
    "mosaic_coverage": "mosaics/{mosaic}/{mosaic}.coverage.fits",
    "mosaic_mjd": "mosaics/{mosaic}/{mosaic}.mjd.fits",
    "mosaic_time": "mosaics/{mosaic}/{mosaic}.time.fits",
    "mosaic_freq": "mosaics/{mosaic}/{mosaic}.freq.fits",
    "mosaic_tiles": "mosaics/{mosaic}/{mosaic}.tiles.csv",
    "mosaic_record": "mosaics/{mosaic}/{mosaic}.json",
    "mosaic_plot": "mosaics/{mosaic}/{mosaic}.png",
    "mosaic_validation": "mosaics/{mosaic}/{mosaic}.validation.json",
    "mosaic_validation_plot": "mosaics/{mosaic}/{mosaic}.validation.png",
    "mosaic_page": "mosaics/{mosaic}/{mosaic}.html",
    # photometry
    "tile_fluxes": "photometry/tiles/{day}/{group}.parquet",
    "tile_model": "photometry/tiles/{day}/{group}.model.parquet",
    "tile_new": "photometry/tiles/{day}/{group}.new.csv",
    "tile_fluxes_record": "photometry/tiles/{day}/{group}.json",
    "deep_model": "field_model/{deep}.csv",
    "deep_model_record": "field_model/{deep}.json",
    "photometry": "photometry/{mosaic}.parquet",
    "photometry_record": "photometry/{mosaic}.json",
    # variability
    "lightcurves": "lightcurves/lightcurves.parquet",
    "epochs": "lightcurves/epochs.csv",
    "lightcurves_record": "lightcurves/lightcurves.json",
    "lightcurves_plot": "lightcurves/lightcurves.png",
    "sources": "variability/sources.parquet",
    "candidates": "variability/ese_candidates.csv",
    "candidates_ecsv": "variability/ese_candidates.ecsv",
    "candidates_vot": "variability/ese_candidates.vot",
    "candidates_plot": "variability/ese_candidates.png",
    "completeness": "variability/ese_completeness.csv",
    "false_alarms": "variability/ese_false_alarms.csv",
    "search_plot": "variability/ese_search.png",
    "variability_record": "variability/variability.json",
    # qa
    "expected": "qa/expected.csv",
    "expected_record": "qa/expected.json",
    "unknown": "qa/unknown.csv",
    "unknown_record": "qa/unknown.json",
    "beam": "qa/beam.csv",
    "beam_record": "qa/beam.json",
    # publish
    "published": "published/{mosaic}/manifest.json",
    "published_record": "published/{mosaic}.json",
    # report
    "status": "report/status.csv",
    "report": "report/index.html",
    # every run and every rule
    "run_note": "runs/{run}.json",
    "log": "logs/{rule}/{job}.log",
    "job_note": "logs/{rule}/{job}.job",
    "benchmark": "benchmarks/{rule}/{job}.tsv",
}


# record -> the other products of the job that writes it
MADE_WITH: dict[str, tuple[str, ...]] = {
    "ms_record": ("ms", "ms_plot"),
    "whole_record": (),  # of an MS made by name, where tiles are calibrated in one pass
    "cal_ms_record": ("cal_ms", "cal_ms_plot"),
    "solutions": ("caltable", "solutions_plot"),
    "calset_record": ("calset_page", "calset_plot"),
    "drift_record": ("drift_table", "drift_plot", "drift_page"),
    "calibrated_record": ("calibrated_ms", "calset_choice"),
    "image_record": (
        *("image", "residual", "psf", "model", "pb", "pbcor", "tile_rms", "image_cube"),
        *("image_plot", "image_page"),
    ),
    "mosaic_record": (
        *("mosaic", "mosaic_residual", "mosaic_weight", "mosaic_rms", "mosaic_coverage"),
        *("mosaic_mjd", "mosaic_time", "mosaic_freq", "mosaic_tiles", "mosaic_plot"),
    ),
    "mosaic_validation": ("mosaic_validation_plot", "mosaic_page"),
    "deep_model_record": ("deep_model",),
    "photometry_record": ("photometry",),
    "tile_fluxes_record": ("tile_fluxes", "tile_model", "tile_new"),
    "lightcurves_record": ("lightcurves", "epochs", "lightcurves_plot"),
    "variability_record": (
        *("sources", "candidates", "candidates_ecsv", "candidates_vot", "candidates_plot"),
        *("completeness", "false_alarms", "search_plot"),
    ),
    "published_record": ("published",),
    "expected_record": ("expected",),
    "unknown_record": ("unknown",),
    "beam_record": ("beam",),
    "comparison_record": ("comparison",),
}
_RECORD_OF = {name: record for record, names in MADE_WITH.items() for name in names}


def check_group(name: str) -> None:
    """`ValueError` when `name` is not that of a group."""
    if not re.fullmatch(WILDCARDS["group"], name):
        raise ValueError(f"{name!r} is not the name of a group (YYYYMMDDTHHMMSS)")


def fields(name: str) -> list[str]:
    """The wildcards of a pattern, each once, in order."""
    names = [field for _, field, _, _ in string.Formatter().parse(PATTERNS[name]) if field]
    return list(dict.fromkeys(names))


def day_of(group: str) -> str:
    """``20251005T034512`` (or a calset that begins so) -> ``2025-10-05``."""
    return f"{group[:4]}-{group[4:6]}-{group[6:8]}"


def pattern(name: str, results: str) -> str:
    """The pattern below the results directory, wildcards in place."""
    return f"{results}/{PATTERNS[name]}"


def path(name: str, results: str, **key: str) -> str:
    """Fill in a pattern; ``day`` follows from ``group`` or ``calset`` when not given."""
    if "day" not in key:
        for source in ("group", "calset"):
            if source in key:
                key = {**key, "day": day_of(key[source])}
    return f"{results}/{PATTERNS[name].format(**key)}"


def parse(name: str, text: str, results: str) -> dict[str, str]:
    """The key of a path made by :func:`path`; `ValueError` when it is not one."""
    start = f"{results}/"
    match = _tail(name).fullmatch(text.removeprefix(start)) if text.startswith(start) else None
    if match is None or match["results"] is not None:
        raise ValueError(f"{text} is not a path of the kind {PATTERNS[name]}")
    return {field: value for field, value in match.groupdict().items() if field != "results"}


@cache
def _tail(name: str) -> re.Pattern[str]:
    """What a path of this pattern ends with, wherever the results are; wildcards as groups."""
    seen: set[str] = set()
    expression = "(?:(?P<results>.*)/)?"
    for literal, field, _, _ in string.Formatter().parse(PATTERNS[name]):
        expression += re.escape(literal)
        if field is None:
            continue
        expression += f"(?P={field})" if field in seen else f"(?P<{field}>{WILDCARDS[field]})"
        seen.add(field)
    return re.compile(expression, re.DOTALL)


def place_of(path: str | Path) -> tuple[str, str, dict[str, str]] | None:
    """(name of the pattern, results, key) of a product, from its path; None if it is none.

    Results are what stands before the pattern: empty where nothing does.
    """
    for name in PATTERNS:
        if set(fields(name)) <= set(WILDCARDS) and (match := _tail(name).fullmatch(str(path))):
            key = match.groupdict()
            return name, key.pop("results") or "", key
    return None


def root_of(path: str | Path) -> Path | None:
    """The results directory that a product lies in, by its path; None where it is no product."""
    found = place_of(path)
    return None if found is None else Path(found[1] or ".")


def record_of(product: str | Path) -> Path | None:
    """The record of a product, by their paths; of a record itself, and of others, None."""
    found = place_of(product)
    if found is None or found[0] not in _RECORD_OF:
        return None
    name, results, key = found
    return Path(path(_RECORD_OF[name], results or ".", **key))


def records_of(product: str | Path) -> list[Path]:
    """Records that may speak for a product: an MS may be made by itself or with its tile."""
    usual, found = record_of(product), place_of(product)
    if usual is None or found is None:
        return []
    alone = [path("whole_record", found[1] or ".", **found[2])] if found[0] == "ms" else []
    return [usual, *map(Path, alone)]
