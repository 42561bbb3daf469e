"""The files that a run keeps: what its targets ask for, so that a lost one is made again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contimg.config import Config
from contimg.core.paths import path
from contimg.tile.road import KEPT

_MAPS = ("", "_residual", "_weight", "_rms", "_coverage", "_mjd", "_time", "_freq")
VIEWS = ("bandpass", "gains", "delays", "quality")
# stage -> item of the plan, products, and Measurement Sets, which may be kept or not
STAGES: dict[str, tuple[str, list[str], list[str]]] = {
    "converted": ("group", ["ms_record", "ms_plot"], ["ms"]),
    "calibrated": ("group", ["calibrated_record", "calset_choice"], ["calibrated_ms"]),
    "tiles": (
        "group",
        [
            *("image", "residual", "psf", "model", "pb", "pbcor", "tile_rms"),
            *("image_plot", "image_page", "image_record"),
        ],
        [],
    ),
    "fitted": ("group", ["tile_fluxes", "tile_model", "tile_new", "tile_fluxes_record"], []),
    "solved": (
        "calset",
        ["cal_ms_record", "cal_ms_plot", "caltable", "solutions", "solutions_plot"],
        ["cal_ms"],
    ),
    "inspected": ("calset", ["calset_plot", "calset_page", "calset_record"], []),
    "mosaics": (
        "mosaic",
        [*(f"mosaic{part}" for part in _MAPS), "mosaic_tiles", "mosaic_plot", "mosaic_record"],
        [],
    ),
    "validated": ("mosaic", ["mosaic_validation", "mosaic_validation_plot", "mosaic_page"], []),
    "photometry": ("mosaic", ["photometry", "photometry_record"], []),
    "published": ("mosaic", ["published", "published_record"], []),
}
DRIFT = ("drift_table", "drift_record", "drift_plot", "drift_page")
TILES = ("unknown", "unknown_record", "beam", "beam_record")
CANDIDATES = (
    *("lightcurves", "epochs", "lightcurves_record", "lightcurves_plot", "sources"),
    *("candidates", "candidates_ecsv", "candidates_vot", "candidates_plot", "completeness"),
    *("false_alarms", "search_plot", "variability_record"),
)


def products(
    config: Config, plan: dict[str, Any], caltables: Sequence[str], *stages: str
) -> list[str]:
    """Paths of every file that is kept of `stages` (all when none are named).

    `caltables` are the names of the tables of a calset. Of Measurement Sets those are asked for
    that ``keep_ms`` keeps. Where tiles are calibrated in one pass, conversions by themselves are
    made only when they alone are meant.
    """
    files = []
    kept = KEPT[config.keep_ms]
    for stage in stages or STAGES:
        if stage == "fitted" and config.photometry_method != "visibilities":
            continue
        kind, names, measurement_sets = STAGES[stage]
        wanted = [*names, *(name for name in measurement_sets if name in kept)]
        if stages == ("converted",) and config.one_pass:
            wanted = ["ms", "whole_record"]
        if stage == "tiles" and (config.image.channels_out or 1) > 1:
            wanted.append("image_cube")
        files += [
            file
            for item in plan[f"{kind}s"]
            for name in wanted
            for file in _paths(name, config, {kind: item}, caltables)
        ]
    return files


def _paths(name: str, config: Config, key: dict[str, str], caltables: Sequence[str]) -> list[str]:
    variants: dict[str, Sequence[str]] = {"caltable": caltables, "calset_plot": VIEWS}
    field = {"caltable": "table", "calset_plot": "view"}.get(name, "")
    tier = config.image.tier
    return [
        path(name, config.results, **key, tier=tier, **({field: value} if field else {}))
        for value in variants.get(name, ("",))
    ]


def run_wide(config: Config, plan: dict[str, Any]) -> list[str]:
    """Paths of what is made of a run as a whole."""
    names = [*(DRIFT if plan["calsets"] else ()), *(CANDIDATES if plan["mosaics"] else ())]
    names += TILES if plan["groups"] else ()
    if config.simulate.enabled:
        names += ["comparison", "comparison_record"]
    if config.check.expected is not None:
        names += ["expected", "expected_record"]
    return [path(name, config.results) for name in names]
