"""Config, plan, paths and input functions that the rules share.

The main process makes the plan, and puts it on disk if it is going to run jobs; jobs read it.
What a product depends on is said in scripts/contimg/dependencies.py; `depends_on` gives it to
the rules as parameters, so that Snakemake makes again what has changed, and nothing else.
"""

import shlex
import sys
from functools import cache
from pathlib import Path

from contimg import dependencies
from contimg.calibrate.presets import tables
from contimg.config import flags, read_config
from contimg.core.disk import trouble
from contimg.core.errors import ContimgError
from contimg.core.paths import WILDCARDS, day_of, path, pattern
from contimg.core.plans import plan_key, read_plan
from contimg.mosaic.overrides import read_decisions
from contimg.plan.estimate import mosaic_mb
from contimg.publish.overrides import read_overrides
from contimg.run import content
from contimg.run.kept import CANDIDATES, products, run_wide
from contimg.run.options import OPTIONS
from contimg.run.start import runs_jobs, start
from contimg.run.tables import check_tables
from contimg.tile.road import KEPT
from snakemake.exceptions import WorkflowError


wildcard_constraints:
    day=WILDCARDS["day"],
    group=WILDCARDS["group"],
    calset=WILDCARDS["calset"],
    mosaic=WILDCARDS["mosaic"],
    deep=WILDCARDS["deep"],
    tier=WILDCARDS["tier"],


def load_run(given):
    """(config, plan) of this run; only the main process looks for data."""
    try:
        settings = read_config(given)
        if workflow.is_main_process:
            check_tables(settings)
            return settings, start(settings, write=runs_jobs(sys.argv))
        options = [getattr(settings, model.section) for model in OPTIONS]
        return settings, read_plan(settings.results, plan_key(options))
    except (ContimgError, OSError) as error:
        raise WorkflowError(trouble(error, Path.cwd()) or str(error))


CONFIG, PLAN = load_run(config)
RESULTS = CONFIG.results
TIER = CONFIG.image.tier
CALIBRATORS = str(CONFIG.plan.calibrators)
CALTABLES = tables(CONFIG.calibrate)
PLAN_FILE = path("plan", RESULTS, plan=PLAN["plan"])
# of other runs' plans: calsets that calibrated tiles here keep
BORROWED = PLAN.get("borrowed", {"calsets": {}, "tiles": {}})
TILES = {**BORROWED["tiles"], **PLAN["tiles"]}
CALSETS = {**BORROWED["calsets"], **PLAN["calsets"]}
# what the plan holds, of which the report is about
PLAN_CONTENT = dependencies.digest({k: v for k, v in PLAN.items() if k != "plan"})


class Unwatched:
    """A parameter whose change makes nothing again: words of a command that others stand for."""

    def __init__(self, text):
        self.text = str(text)

    def __str__(self):
        return self.text

    def __format__(self, spec):
        return format(self.text, spec)


def flags_of(verb):
    """All options of a verb as flags; `depends_on` has those that matter."""
    return Unwatched(flags(CONFIG, verb))


def depends_on(verb):
    """Parameters that say what a job of `verb` depends on besides its inputs."""
    return {
        "options": lambda wildcards: options_of(verb),
        "code": lambda wildcards: dependencies.code(verb),
        "files": lambda wildcards: files_of(verb),
    }


@cache
def options_of(verb):
    return dependencies.digest(dependencies.options(CONFIG, verb))


@cache
def files_of(verb):
    return asked(content.named_files, CONFIG, verb)


def asked(function, *arguments):
    """The answer of a function of the package; its errors are the workflow's."""
    try:
        return function(*arguments)
    except (ContimgError, OSError) as error:
        raise WorkflowError(trouble(error, Path.cwd()) or str(error))


def made_here(table):
    """Whether a table of the config is a product of this workflow (a simulated sky)."""
    return table.startswith(f"{RESULTS}/")


def table_input(table):
    """A source table as an input: what its rows say is a parameter, unless they are made here."""
    return table if made_here(table) else ancient(table)


@cache
def table_content(table):
    return "" if made_here(table) else asked(content.table_digest, table)


def field_model(wildcards):
    """What the model of the field says."""
    return table_content(CONFIG.field_model)


def targets_near(wildcards):
    """What the table of targets says about the sky of a mosaic."""
    if made_here(CONFIG.targets):
        return ""
    groups = [PLAN["groups"][tile] for tile in tiles_of(wildcards.mosaic)]
    centres = [(group["ra_deg"], group["dec_deg"]) for group in groups]
    return asked(content.near_digest, CONFIG.targets, centres)


def calibrator_row(wildcards):
    """What the table of calibrators says about that of a calset."""
    name = calibrator_of(wildcards)
    return asked(content.calibrator_digest, CONFIG.plan.calibrators, name)


def group_of(wildcards):
    """The group of a tile or of a calset."""
    if "group" in wildcards.keys():
        return wildcards.group
    return calset_group(wildcards.calset)


def raw_content(wildcards):
    """What the raw files of a group hold, where they are not made here."""
    return tile_of(group_of(wildcards))["content"]


def tile_of(group):
    """What the plan says of a group, or another run's plan of that of a calset it lends."""
    if group not in TILES:
        raise WorkflowError(f"no group {group} in the plan; `contimg plan` lists them")
    return TILES[group]


def manifest_of(wildcards):
    return path("manifest", RESULTS, group=group_of(wildcards))


def simulated(wildcards):
    """The manifest of a group as an input where it is made here; else it is there already."""
    return manifest_of(wildcards) if CONFIG.simulate.enabled else []


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
    return kept if name in KEPT[CONFIG.keep_ms] else temp(kept)


def conversion():
    """The outputs of a tile's conversion; beside a tile in one pass, only what it does not make."""
    if CONFIG.one_pass:
        return {"ms": directory(p("ms")), "record": p("whole_record")}
    return {"ms": ms("ms"), "record": p("ms_record"), "plot": p("ms_plot")}


def as_flags(output, names):
    """Named outputs as flags of the same names."""
    return Unwatched(
        shlex.join(word for name in names for word in (f"--{name}", output[name]))
    )


def tile_paths(name, groups):
    return [path(name, RESULTS, group=group, tier=TIER) for group in groups]


def tiles_of(mosaic):
    """The tiles of a mosaic, by the plan."""
    for kind in ("mosaics", "deep_mosaics"):
        if mosaic in PLAN.get(kind, {}):
            return PLAN[kind][mosaic]["tiles"]
    raise WorkflowError(f"no mosaic {mosaic} in the plan; `contimg plan` lists them")


def deep_model(wildcards):
    """The newest model of the field that was complete before a tile; none for the first ones."""
    name = tile_of(wildcards.group).get("deep_model")
    return [path("deep_model", RESULTS, deep=name)] if name else []


def calset_deep_model(wildcards):
    """The newest model of the field that no tile of a calset has part in."""
    name = tile_of(group_of(wildcards)).get("calset_deep_model")
    return [path("deep_model", RESULTS, deep=name)] if name else []


def deep_paths(name):
    """Input function: a product of each deep mosaic of a model."""
    return lambda w: [
        path(name, RESULTS, mosaic=mosaic)
        for mosaic in deep_model_of(w.deep)["mosaics"]
    ]


def deep_model_of(name):
    """What the plan says of a model of the field."""
    if name not in PLAN.get("deep_models", {}):
        raise WorkflowError(
            f"no model of the field {name} in the plan; plan.deep_days says how many days make one"
        )
    return PLAN.get("deep_models", {})[name]


def previous_deep_model(wildcards):
    """The model of the window before, of which a model goes on."""
    previous = deep_model_of(wildcards.deep)["previous"]
    return [path("deep_model", RESULTS, deep=previous)] if previous else []


def mosaic_memory(mosaic):
    """MB for a mosaic: from its tiles in the plan, or what is usual where it cannot be told."""
    known = mosaic_mb(
        PLAN,
        tiles_of(mosaic),
        CONFIG.instrument,
        CONFIG.image,
        CONFIG.mosaic,
        threads=2,
    )
    return max(2000, known or 4000)


def calset_group(calset):
    """The group that a calset is solved from."""
    return calset_of(calset)["group"]


def calset_of(calset):
    """What the plan says of a calset, or another run's plan of one that tiles here keep."""
    if calset not in CALSETS:
        raise WorkflowError(
            f"no calset {calset} in the plan; `contimg plan` lists them"
        )
    return CALSETS[calset]


def calibrator_of(wildcards):
    """The calibrator of a calset."""
    return calset_of(wildcards.calset)["calibrator"]


def candidate_calsets(name):
    """Input function: paths of the calsets that may serve a tile, nearest in time first."""

    def paths(wildcards):
        return [
            path(name, RESULTS, calset=calset, table=table)
            for calset in tile_of(wildcards.group)["calsets"]
            for table in (CALTABLES if name == "caltable" else ("",))
        ]

    return paths


def made(*stages):
    """Every file that is kept of these stages, for all items of the plan."""
    return products(CONFIG, PLAN, CALTABLES, *stages)


def everything():
    """All that is kept of a run, tiles that are in no mosaic included."""
    return [*made(), *run_wide(CONFIG, PLAN)]


def records():
    """The records of all that is kept of a run, of which status and report are about."""
    return [file for file in everything() if file.endswith(".json")]


def photometry_records():
    return [path("photometry_record", RESULTS, mosaic=name) for name in PLAN["mosaics"]]


def photometry_tables():
    return [path("photometry", RESULTS, mosaic=name) for name in PLAN["mosaics"]]


def other_photometry(wildcards):
    """What photometry other runs left in the results: light curves are made of all."""
    return content.photometry_digest(RESULTS, PLAN["mosaics"])


def other_calsets(wildcards):
    """What calsets other runs left in the results: the drift is of all."""
    return content.calsets_digest(RESULTS, PLAN["calsets"])


def image_records():
    return [
        path("image_record", RESULTS, group=group, tier=TIER)
        for group in PLAN["groups"]
    ]


def other_images(wildcards):
    """What images other runs left in the results: sources and beam are of all."""
    return content.images_digest(RESULTS, PLAN["groups"], TIER)


def decisions_of(wildcards):
    """The decisions on the tiles of a mosaic: changed ones make it again, and no other."""
    decisions = asked(read_decisions, CONFIG.mosaic.overrides, wildcards.mosaic)
    mine = tiles_of(wildcards.mosaic)
    return {tile: decision for tile, decision in decisions.items() if tile in mine}


def publication_decision(wildcards):
    """The decision on a mosaic: a changed one publishes or withdraws it, and no other."""
    found = asked(read_overrides, CONFIG.publish.overrides).get(wildcards.mosaic)
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
