"""Config, plan, paths and input functions that the rules share.

Reads the merged config and results/inventory/plan.json (which the main process refreshes).
"""

import sys

from contimg.calibrate.presets import tables
from contimg.mosaic.overrides import read_decisions
from contimg.config import code, flags, read_config
from contimg.core.errors import ContimgError
from contimg.core.paths import WILDCARDS, day_of, path, pattern
from contimg.publish.overrides import read_overrides
from contimg.run.refresh import read_plan, refresh
from contimg.run.tables import check_tables
from snakemake.exceptions import WorkflowError


wildcard_constraints:
    day=WILDCARDS["day"],
    group=WILDCARDS["group"],
    calset=WILDCARDS["calset"],
    mosaic=WILDCARDS["mosaic"],
    tier=WILDCARDS["tier"],


def load_run(content):
    """(config, plan) of this run; only the main process looks for data."""
    try:
        settings = read_config(content)
        if not workflow.is_main_process:
            return settings, read_plan(settings.results)
        check_tables(settings)
        return settings, refresh(
            settings.results,
            settings.instrument,
            settings.discover,
            settings.plan,
            settings.mosaic,
            settings.simulate,
            settings.flux_scale,
        )
    except (ContimgError, FileNotFoundError) as error:
        raise WorkflowError(str(error))


CONFIG, PLAN = load_run(config)
RESULTS = CONFIG.results
TIER = CONFIG.image.tier
CALIBRATORS = str(CONFIG.plan.calibrators)
CALTABLES = tables(CONFIG.calibrate)


def p(name):
    """Pattern of a product below the results directory."""
    return pattern(name, RESULTS)


def log_of(rule_name, job):
    return f"{RESULTS}/logs/{rule_name}/{job}.log"


def benchmark_of(rule_name, job):
    return f"{RESULTS}/benchmarks/{rule_name}/{job}.tsv"


def ms(name):
    """An MS as an output: kept or removed after its last use, as the config says."""
    kept = directory(p(name))
    return kept if CONFIG.keep_ms else temp(kept)


def tile_paths(name, groups):
    return [path(name, RESULTS, group=group, tier=TIER) for group in groups]


def tiles_of(mosaic):
    """The tiles of a mosaic, by the plan."""
    if mosaic not in PLAN["mosaics"]:
        raise WorkflowError(
            f"no mosaic {mosaic} in the plan; `contimg plan` lists them"
        )
    return PLAN["mosaics"][mosaic]["tiles"]


def calset_group(calset):
    """The group that a calset is solved from."""
    if calset not in PLAN["calsets"]:
        raise WorkflowError(
            f"no calset {calset} in the plan; `contimg plan` lists them"
        )
    return PLAN["calsets"][calset]["group"]


def candidate_calsets(name):
    """Input function: paths of the calsets that may serve a tile, nearest in time first."""

    def paths(wildcards):
        return [
            path(name, RESULTS, calset=calset, table=table)
            for calset in PLAN["tiles"][wildcards.group]["calsets"]
            for table in (CALTABLES if name == "caltable" else ("",))
        ]

    return paths


def tile_records():
    return tile_paths("image_record", PLAN["tiles"])


def mosaic_records():
    return [path("mosaic_record", RESULTS, mosaic=name) for name in PLAN["mosaics"]]


def photometry_records():
    return [path("photometry_record", RESULTS, mosaic=name) for name in PLAN["mosaics"]]


def photometry_tables():
    return [path("photometry", RESULTS, mosaic=name) for name in PLAN["mosaics"]]


def published_records():
    return [path("published_record", RESULTS, mosaic=name) for name in PLAN["mosaics"]]


def calset_records():
    """Records of the pages about the calsets, and of what changes from one to another."""
    names = PLAN["calsets"]
    pages = [path("calset_record", RESULTS, calset=name) for name in names]
    return [*pages, path("drift_record", RESULTS)] if names else []


def everything():
    """Records of all products of a run, tiles that are in no mosaic included."""
    records = [*tile_records(), *calset_records(), *published_records()]
    if PLAN["mosaics"]:
        records.append(path("variability_record", RESULTS))
    if CONFIG.simulate.enabled:
        records.append(path("comparison_record", RESULTS))
    if CONFIG.check.expected is not None:
        records.append(path("expected_record", RESULTS))
    return records


def decisions_of(wildcards):
    """The decisions on the tiles of a mosaic: changed ones make it again, and no other."""
    try:
        return read_decisions(CONFIG.mosaic.overrides, wildcards.mosaic)
    except ContimgError as error:
        raise WorkflowError(str(error))


def publication_decision(wildcards):
    """The decision on a mosaic: a changed one publishes or withdraws it, and no other."""
    try:
        found = read_overrides(CONFIG.publish.overrides).get(wildcards.mosaic)
    except ContimgError as error:
        raise WorkflowError(str(error))
    return "none" if found is None else f"{found.decision}: {found.why}"


def caltables():
    """The tables of a calset as named outputs; which there are, the config decides."""
    return {
        TABLE_FLAGS[name]: directory(p("caltable").replace("{table}", name))
        for name in CALTABLES
    }


def calset_view(view):
    """Pattern of one picture of a calset."""
    return p("calset_plot").replace("{view}", view)


onstart:
    if CONFIG.image.backend != config.get("image", {}).get("backend", "auto"):
        print(f"image.backend auto: {CONFIG.image.backend}", file=sys.stderr)
