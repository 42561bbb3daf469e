"""Products that are there, held against limits that have changed.

A limit of a verdict changes no number in a product, so that the product is not made again: its
checks are held against the new limit, from the values in its record. A record whose verdict
stays keeps its time stamp, and nothing follows; what rests on one whose verdict changed is made
again by Snakemake.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from contimg import dependencies
from contimg.cli import load
from contimg.config import Config
from contimg.core.errors import ContimgError
from contimg.core.objects import read_object
from contimg.core.paths import PATTERNS, fields, path, place_of
from contimg.core.records import read_record, write_text
from contimg.core.seals import seal

# verb -> pattern of the records whose checks it makes
JUDGED = {
    "convert": ("ms_record", "cal_ms_record"),
    "calibrate tile": ("calibrated_record",),
    "solve": ("solutions",),
    "calset inspect": ("calset_record",),
    "image": ("image_record",),
    "photometry tile": ("tile_fluxes_record",),
    "lightcurves": ("lightcurves_record",),
}


def judge_again(config: Config, *, write: bool) -> Iterator[str]:
    """Judge what limits changed since the last run judge otherwise; lines that say what was done.

    Without `write` it is only said which limits changed.
    """
    target = Path(path("judged", config.results))
    before = {k: v for k, v in read_object(target).items() if isinstance(v, dict)}
    now = {verb: dependencies.limits(config, verb) for verb in JUDGED}
    for verb in JUDGED:
        changed = {
            leaf: (before.get(verb, {}).get(leaf), value)
            for leaf, value in now[verb].items()
            if before and before.get(verb, {}).get(leaf) != value
        }
        if not changed:
            continue
        words = ", ".join(f"{leaf} {old} -> {new}" for leaf, (old, new) in changed.items())
        if not write:
            yield f"{words}: products of contimg {verb} are judged again at the start of a run"
            continue
        records = [file for name in JUDGED[verb] for file in _records(name, config.results)]
        flipped = [file for file in records if _judge(file, verb, config)]
        if verb == "convert" and config.one_pass:
            _make_again(flipped, config.results)
        yield (
            f"{words}: {len(records)} products of contimg {verb} judged again,"
            f" another verdict or reason in {len(flipped)}"
        )
    if write and now != before:
        write_text(target, json.dumps(now, indent=1) + "\n")


def _make_again(converted: list[Path], results: str) -> None:
    """Of tiles whose conversion is judged otherwise, take away the record that rests on it.

    One job has written both, so that nothing else tells Snakemake that the tile is to be made.
    """
    for file in converted:
        found = place_of(file)
        if found is not None and found[0] == "ms_record":
            Path(path("calibrated_record", results, **found[2])).unlink(missing_ok=True)


def _records(name: str, results: str) -> list[Path]:
    keys = dict.fromkeys(fields(name), "*")
    return sorted(Path(results).glob(PATTERNS[name].format(**keys)))


def _judge(file: Path, verb: str, config: Config) -> bool:
    """Judge one product again; whether that changed its verdict or the reason."""
    stamp = file.stat().st_mtime_ns
    try:
        before = read_record(file)
    except ContimgError:
        return False  # whoever needs it says so
    command = load(verb)
    options = [getattr(config, model.section) for model in command.options]
    assert command.judge is not None, verb
    command.judge(file, options, dependencies.limits(config, verb))
    after = read_record(file)
    if "seal" in before and "seal" not in after:  # the whole job has run again
        seal(file, [file.parent / name for name in before["seal"]["products"]])
    same = all(after[key] == before[key] for key in ("verdict", "reason"))
    if same:
        os.utime(file, ns=(stamp, stamp))
    return not same
