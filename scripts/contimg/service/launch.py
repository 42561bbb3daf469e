"""From what is asked over HTTP to a run of the workflow: its targets and its command."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from contimg.config import read_config
from contimg.core.errors import ContimgError
from contimg.core.paths import path
from contimg.core.window import parse_time
from contimg.help import did_you_mean
from contimg.report import runs
from contimg.service.models import JobParams

# type of a job -> kind of its items, record that it makes
MAKES = {
    "convert": ("group", "ms_record"),
    "calibrate": ("calset", "calset_record"),
    "apply": ("group", "calibrated_record"),
    "image": ("group", "image_record"),
    "mosaic": ("mosaic", "mosaic_validation"),
    "photometry": ("mosaic", "photometry_record"),
    "publish": ("mosaic", "published_record"),
}
RUN_WIDE = {"normalize": "lightcurves_record", "ese-detect": "variability_record"}


class Unsuitable(ContimgError):
    """What was asked for cannot be: the message says why."""


def items(kind: str, names: Sequence[str], params: JobParams, plan: dict[str, Any]) -> list[str]:
    """The items of the plan that names (of products, or paths of MS) or a window of time mean."""
    known = plan[f"{kind}s"]
    if names:
        return [_item(kind, name, known, plan) for name in names]
    if params.start_time is None and params.end_time is None:
        raise Unsuitable("name a product (ms_path), or give start_time and end_time")
    since = -1e9 if params.start_time is None else parse_time(params.start_time)
    until = 1e9 if params.end_time is None else parse_time(params.end_time)
    found = [name for name in known if since <= start_of(kind, name, plan) < until]
    if not found:
        raise Unsuitable(
            f"the plan has no {kind} between {params.start_time} and {params.end_time}"
        )
    return found


def _item(kind: str, name: str, known: Sequence[str], plan: dict[str, Any]) -> str:
    plain = Path(name.rstrip("/")).name.removesuffix(".ms")
    if plain in known:
        return plain
    if kind == "calset":  # of a tile: the one that is observed in its group
        mine = [c for c, entry in plan["calsets"].items() if entry["group"] == plain]
        if mine:
            return mine[0]
    raise Unsuitable(f"the plan has no {kind} {plain!r}{did_you_mean(plain, known)}")


def start_of(kind: str, name: str, plan: dict[str, Any]) -> float:
    """Begin of the data of an item [MJD UTC]."""
    groups = plan["groups"]
    mine = {
        "group": lambda: [name],
        "calset": lambda: [plan["calsets"][name]["group"]],
        "mosaic": lambda: plan["mosaics"][name]["tiles"],
    }[kind]()
    return min((groups[g]["start_mjd"] for g in mine if g in groups), default=float("nan"))


def targets(job_type: str, names: Sequence[str], results: str, tier: str) -> list[str]:
    """The records that a job makes."""
    if job_type == "workflow":
        return ["all"]
    if job_type in RUN_WIDE:
        return [path(RUN_WIDE[job_type], results)]
    kind, record = MAKES[job_type]
    return [path(record, results, **{kind: name, "tier": tier}) for name in names]


def configuration(results: str, params: JobParams) -> tuple[dict[str, Any], dict[str, Any]]:
    """Note of the last run on the results, and its configuration with what `params` change."""
    last = runs.latest(results)
    if last is None:
        raise Unsuitable(f"no run yet on {results}: start the first one with snakemake")
    if why := runs.elsewhere(last, results):
        raise Unsuitable(why)
    config: dict[str, Any] = json.loads(json.dumps(last["config"]))
    changes = {section: dict(leaves) for section, leaves in params.options.items()}
    if params.refant is not None:
        changes.setdefault("calibrate", {})["refant"] = params.refant
    if params.quality_tier is not None:
        changes.setdefault("image", {})["tier"] = params.quality_tier
    raw = (last["directory"], config.get("discover", {}).get("raw_dir"))
    if params.input_dir is not None and not _same(params.input_dir, raw):
        raise Unsuitable(f"input_dir: the data of these results are in {raw[1]} (discover.raw_dir)")
    if params.output_dir is not None and not _same(params.output_dir, (".", results)):
        raise Unsuitable(f"output_dir: this service works in {results}")
    for section, leaves in changes.items():
        if not isinstance(config.get(section), dict):
            raise Unsuitable(f"options: no section {section}{did_you_mean(section, config)}")
        config[section] |= leaves
    read_config(config)
    return last, config


def _same(named: str, known: tuple[str, str | None]) -> bool:
    directory, name = known
    return name is not None and Path(named).resolve() == (Path(directory) / name).resolve()


def command(
    last: dict[str, Any], configfile: Path, wanted: Sequence[str], cores: int | None
) -> tuple[list[str], str]:
    """The command of a run for `wanted`, as the last one was started, and its directory."""
    if find_spec("snakemake") is None:
        raise Unsuitable("jobs need the workflow: pip install 'contimg[workflow]'")
    from snakemake.cli import get_argument_parser

    given, _ = get_argument_parser().parse_known_args(list(last["command"][1:]))
    snakefile = given.snakefile or _snakefile(last["directory"])
    words = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile)]
    if given.directory:
        words += ["--directory", str(given.directory)]
    if given.profile:
        words += ["--profile", str(given.profile)]
    elif cores or given.cores:
        words += ["--cores", str(cores or given.cores)]
    else:
        words += ["--cores", "all"]
    words += ["--keep-going", "--configfile", str(configfile.absolute()), "--", *wanted]
    return words, last["directory"]


def _snakefile(directory: str) -> Path:
    for home in (Path(directory), Path(__file__).parents[3]):
        for name in ("Snakefile", "workflow/Snakefile"):
            if (home / name).exists():
                return home / name
    raise Unsuitable(f"no Snakefile in {directory}: start a run there first")
