"""``contimg why``: what a product was made from, and what would make it again.

It answers from the product's record: the options, files, code and inputs that made it, held
against those of now. Which they are is said in :mod:`contimg.dependencies`, as for the rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from contimg import dependencies
from contimg.config import Config, read_config
from contimg.core.command import Command, Files
from contimg.core.errors import ContimgError
from contimg.core.options import POSITIONAL
from contimg.core.paths import MADE_WITH, PATTERNS, WILDCARDS, parse, path, place_of
from contimg.core.records import content_hash, identify, input_path, read_record
from contimg.core.seals import record_beside
from contimg.publish.lineage import lineage
from contimg.report import runs
from contimg.run.content import BY_ROW

# verb -> record of its job
MADE_BY = {
    "convert": "ms_record",
    "convert calibrator": "cal_ms_record",
    "convert whole": "whole_record",
    "solve": "solutions",
    "calset inspect": "calset_record",
    "calset drift": "drift_record",
    "apply": "calibrated_record",
    "image": "image_record",
    "mosaic": "mosaic_record",
    "mosaic validate": "mosaic_validation",
    "photometry": "photometry_record",
    "photometry tile": "tile_fluxes_record",
    "lightcurves": "lightcurves_record",
    "variability": "variability_record",
    "publish-files": "published_record",
    "check-fluxes": "expected_record",
    "unknown": "unknown_record",
    "beam": "beam_record",
    "compare-truth": "comparison_record",
}


class WhyFiles(Files):
    """What is asked about, and with which config."""

    file: Annotated[list[Path], POSITIONAL] = Field([], description="products, or their records")
    results: Path | None = Field(
        None, description="results directory (the one above the product if unset)"
    )
    config: dict = Field({}, description="config of the run (--configfile; of the latest run)")


def run(files: WhyFiles) -> None:
    """Print what changed, or what the product was made from."""
    if not files.file:
        raise ContimgError("name a product: contimg why FILE ...")
    for file in files.file:
        _answer(file, files)


def _answer(file: Path, files: WhyFiles) -> None:
    if not file.exists() and (named := _named(str(file), str(files.results or "results"))):
        file, results = named, str(files.results or "results")
    else:
        results = str(files.results or results_above(file))
    verb, record = record_of(file, results)
    record = record_beside(file) or record
    verb = _made_by(record, verb)
    print(f"{file}: made by contimg {_plain_verb(verb)}")
    if not record.exists():
        print("  not there: it is made by the next run that asks for it")
        return
    content = read_record(record)
    changes = list(_changes(files, verb, record, content, results))
    for line in changes:
        print(f"  {line}")
    if any(not line.startswith("table ") for line in changes):
        print("  the next run makes it again")
    if changes:
        return
    print(f"  up to date; verdict {content['verdict']} {content['reason']}".rstrip())
    for step in lineage([record]):
        print(f"  {_step(step)}")


def _named(name: str, results: str) -> Path | None:
    """The record that the name of a group, calset or mosaic means: that of its main product."""
    tier = (runs.latest(results) or {}).get("config", {}).get("image", {}).get("tier", "standard")
    for kind, record in (("group", "image_record"), ("calset", "solutions")):
        if re.fullmatch(WILDCARDS[kind], name):
            return Path(path(record, results, **{kind: name}, tier=tier))
    mosaic = Path(path("mosaic_record", results, mosaic=name)) if "/" not in name else None
    return mosaic if mosaic is not None and mosaic.exists() else None


def results_above(file: Path) -> Path:
    """The results directory that a product lies in."""
    for folder in file.absolute().parents:
        if (folder / "inventory").is_dir():
            given = [parent for parent in file.parents if parent.absolute() == folder]
            return given[0] if given else folder
    raise ContimgError(f"{file}: not below a results directory; name it with --results")


def record_of(file: Path, results: str) -> tuple[str, Path]:
    """(verb that makes `file`, its record); :class:`ContimgError` for what no verb makes."""
    for verb, record in MADE_BY.items():
        for name in (record, *MADE_WITH[record]):
            try:
                key = parse(name, str(file), results)
            except ValueError:
                continue
            return verb, Path(path(record, results, **key))
    kinds = ", ".join(PATTERNS[record] for record in MADE_BY.values())
    raise ContimgError(f"{file}: not a product with a record below {results}; those are {kinds}")


def _changes(
    files: WhyFiles, verb: str, record: Path, content: Mapping[str, Any], results: str
) -> Iterator[str]:
    """What is not as it was when the product was made."""
    plain = _plain_verb(verb)
    lost = [p for p in _siblings(verb, record, results) if not p.exists()]
    yield from (f"gone: {file}" for file in lost)
    given = files.config or (runs.latest(results) or {}).get("config")
    if not given:
        raise ContimgError(f"{results}: no run has been here; name its config with --configfile")
    config = read_config(given)
    yield from _options(plain, content, config)
    now = {k: v for k, v in dependencies.files(config, plain).items() if k not in BY_ROW}
    before = {k: v for k, v in content.get("files", {}).items() if k not in BY_ROW}
    yield from _files(before, now)
    yield from _tables(record, content, config)
    yield from _code(content.get("code", {}), dependencies.modules(plain))
    last = runs.latest(results) or {}
    tables = {str(config.plan.calibrators), config.field_model, config.targets}
    for item in content["inputs"]:
        file = input_path(item, record)
        if str(file) not in tables:
            yield from _input(item, Path(last.get("directory", ".")) / file)


def _plain_verb(verb: str) -> str:
    """As it is typed."""
    return verb.removesuffix(" calibrator").removesuffix(" whole")


def _made_by(record: Path, verb: str) -> str:
    """The verb that made a record, where it is one of two."""
    content = read_record(record) if record.exists() else {"stage": "", "code": {}}
    if content["stage"] == "photometry combine":
        return content["stage"]
    return "calibrate tile" if "contimg.tile.command" in content["code"] else verb


def _siblings(verb: str, record: Path, results: str) -> Iterator[Path]:
    """The other products of a job, as far as it makes exactly one of each."""
    found = place_of(record)
    name = MADE_BY[verb] if found is None else found[0]
    key = parse(name, str(record), results)
    for other in MADE_WITH[name]:
        if other not in {"caltable", "calset_plot", "image_cube", "ms", "cal_ms", "calibrated_ms"}:
            yield Path(path(other, results, **key))


def _options(verb: str, content: Mapping[str, Any], config: Config) -> Iterator[str]:
    for leaf, value in dependencies.options(config, verb).items():
        section, name = leaf.split(".", 1)
        kept = content["parameters"].get(section)
        if kept is not None:
            kept = kept | content.get("given", {}).get(section, {})
        if kept is not None and name not in kept:
            yield f"option {leaf} is new: {value}"
        elif kept is not None and kept[name] != _plain(value):
            yield f"option {leaf}: {kept[name]} -> {_plain(value)}"


def _plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, tuple):
        return list(value)
    return value if isinstance(value, bool | int | float | str | list | None) else str(value)


def _files(before: Mapping[str, str], now: Mapping[str, Path]) -> Iterator[str]:
    for leaf, digest in before.items():
        if leaf not in now:
            yield f"file of {leaf}: not named any more"
        elif not now[leaf].exists():
            yield f"file of {leaf}: {now[leaf]} is gone"
        elif content_hash(now[leaf]) != digest:
            yield f"file of {leaf}: {now[leaf]} has changed"
    yield from (f"file of {leaf}: {now[leaf]} is new" for leaf in now if _new(leaf, before, now))


def _new(leaf: str, before: Mapping[str, str], now: Mapping[str, Path]) -> bool:
    return leaf not in before and now[leaf].is_file()


def _code(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    if not before:
        return
    changed = sorted(n for n in before.keys() | now.keys() if before.get(n) != now.get(n))
    if changed:
        yield f"code: {', '.join(changed)}"


def _tables(record: Path, content: Mapping[str, Any], config: Config) -> Iterator[str]:
    """Tables of sources whose bytes changed: what of it matters, the rules know row by row."""
    tables = {str(config.plan.calibrators), config.field_model, config.targets}
    for item in content["inputs"]:
        file = input_path(item, record)
        if str(file) in tables and file.exists() and _differs(item, file):
            yield f"table {file}: written anew; rows that matter to this product make it again"


def _input(item: Mapping[str, Any], file: Path) -> Iterator[str]:
    """Whether an input is another one now; what is gone (a removed MS) is no reason."""
    if file.exists() and _differs(item, file):
        yield f"input {file}: another content"


def _differs(item: Mapping[str, Any], file: Path) -> bool:
    """Whether an input, of a directory its record, is not as it was."""
    if "record_sha256" in item:
        return content_hash(file) != item["record_sha256"]
    now = identify(file)
    return any(now.get(key) != item.get(key) for key in ("bytes", "sha256", "datasum"))


def _step(step: Mapping[str, Any]) -> str:
    if step.get("missing"):
        return f"from {step['record']} (gone)"
    if step["stage"] == "raw":
        return f"from raw files: {len(step['inputs'])}, {step['inputs'][0]['path']} .."
    return f"from {step['record']} ({step['stage']}, {step['verdict']})"


COMMAND = Command(
    help="Say what would make a product again, or what it was made from.",
    files=WhyFiles,
    options=(),
    run=run,
    by_hand=True,
)
