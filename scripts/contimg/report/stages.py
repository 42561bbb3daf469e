"""The stages of a run: what stands at each of them for every item of the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contimg.flag.options import FlagOptions
from contimg.tile.road import KEPT, meaning, one_pass


@dataclass(frozen=True)
class Stage:
    """One step of the items of a kind: its record, its job, and the products beside the record."""

    kind: str  # of item: group, calset, mosaic, or one for all of them
    name: str
    record: str  # names of patterns of core.paths
    rule: str
    job: str  # name of the job below logs/RULE/
    products: tuple[str, ...]
    when: tuple[str, ...] = ()  # key of the config without which there is no such stage
    value: Any = True  # that the key has then; True is anything but nothing
    in_one_pass: bool | None = None  # only where tiles are, or are not, calibrated in one pass
    after: str = ""  # record that the job writes before, for another stage

    def asked_for(self, config: Mapping[str, Any]) -> bool:
        """Whether a run with this config has the stage."""
        if self.in_one_pass not in (None, tiles_in_one_pass(config)):
            return False
        found: Any = config
        for key in self.when:
            found = (found or {}).get(key)
        return not self.when or (bool(found) if self.value is True else found == self.value)


_TILE = ("image", "residual", "psf", "model", "pb", "pbcor")
_MOSAIC = ("", "_residual", "_weight", "_rms", "_coverage", "_mjd", "_time", "_freq", "_tiles")
_MAPS = tuple(f"mosaic{part}" for part in _MOSAIC)
_FOUND = (
    *("sources", "candidates", "candidates_ecsv", "candidates_vot", "candidates_plot"),
    *("completeness", "false_alarms", "search_plot"),
)
_LIGHT = ("lightcurves", "epochs")
_GROUP, _CALSET, _ITS_TILE = "{day}/{group}", "{day}/{calset}", "{day}/{group}.{tier}"

# fmt: off
STAGES = (
    Stage("group", "convert", "ms_record", "convert_tile", _GROUP, ("ms",), in_one_pass=False),
    Stage("group", "convert", "ms_record", "calibrate_tile", _GROUP, (), in_one_pass=True),
    Stage("calset", "convert", "cal_ms_record", "convert_calibrator", _CALSET, ("cal_ms",)),
    Stage("calset", "solve", "solutions", "solve_calset", _CALSET, ("caltable",)),
    Stage("calset", "inspect", "calset_record", "inspect_calset", _CALSET, ("calset_page",)),
    Stage("calsets", "drift", "drift_record", "drift_calsets", "drift", ("drift_table",)),
    Stage("group", "apply", "calibrated_record", "apply_calset", _GROUP, ("calibrated_ms",),
          in_one_pass=False),
    Stage("group", "apply", "calibrated_record", "calibrate_tile", _GROUP, ("calibrated_ms",),
          in_one_pass=True, after="ms_record"),
    Stage("group", "image", "image_record", "image_tile", _ITS_TILE, _TILE),
    Stage("mosaic", "mosaic", "mosaic_record", "mosaic_tiles", "{mosaic}", _MAPS),
    Stage("mosaic", "validate", "mosaic_validation", "validate_mosaic", "{mosaic}",
          ("mosaic_page",)),
    Stage("group", "fit", "tile_fluxes_record", "fit_tile", _GROUP, ("tile_fluxes", "tile_model",
          "tile_new"),
          ("photometry_method",), "visibilities"),
    Stage("deep_mosaic", "mosaic", "mosaic_record", "mosaic_tiles", "{mosaic}", _MAPS,
          ("plan", "deep_days")),
    Stage("deep", "field model", "deep_model_record", "model_field", "{deep}", ("deep_model",),
          ("plan", "deep_days")),
    Stage("mosaic", "photometry", "photometry_record", "measure_photometry", "{mosaic}",
          ("photometry",)),
    Stage("run", "lightcurves", "lightcurves_record", "normalise_lightcurves", "lightcurves",
          _LIGHT),
    Stage("run", "variability", "variability_record", "find_variables", "variability", _FOUND),
    Stage("tiles", "unknown", "unknown_record", "list_unknown", "unknown", ("unknown",)),
    Stage("tiles", "beam", "beam_record", "fit_beam", "beam", ("beam",)),
    Stage("truth", "truth", "comparison_record", "compare_truth", "comparison", ("comparison",),
          ("simulate", "enabled")),
    Stage("known", "fluxes", "expected_record", "check_fluxes", "expected", ("expected",),
          ("check", "expected")),
    Stage("mosaic", "publish", "published_record", "publish_mosaic", "{mosaic}", ("published",)),
)
# fmt: on

# Jobs that leave no record: they are seen only when they run or crashed
OTHER_RULES = ("simulate_sky", "simulate_group")
MEASUREMENT_SETS = KEPT["all"]
# every item is exactly one of these, the first that holds for one of its stages
STATES = ("crashed", "running", "failed", "incomplete", "pending", "warned", "done", "rejected")


def tiles_in_one_pass(config: Mapping[str, Any]) -> bool:
    """Whether a run with this config calibrates its tiles in one pass."""
    keep = meaning(config.get("keep_ms", "calibrated"))
    return one_pass(keep, FlagOptions(**(config.get("flag") or {})))


def kept_sets(config: Mapping[str, Any]) -> frozenset[str]:
    """Measurement Sets that stay after a run with this config; none where that is not known."""
    return KEPT[meaning(config.get("keep_ms", "none"))]
