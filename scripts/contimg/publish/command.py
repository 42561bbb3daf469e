"""``contimg publish-files``: a checksummed copy of a product that is good enough to give away."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import Field

from contimg.core.command import Command, Files, existing
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.hashes import file_sha256
from contimg.core.records import VERDICTS, atomic, read_record, write_record
from contimg.core.seals import verified
from contimg.publish.lineage import lineage
from contimg.publish.options import PublishOptions
from contimg.publish.overrides import read_overrides


class PublishFiles(Files):
    """Inputs and outputs of publishing one product."""

    products: list[Path] = Field(description="files to publish")
    records: list[Path] = Field(description="their records, which decide; published with them")
    manifest: Path = Field(description="manifest to write; its directory is the publication")
    record: Path = Field(description="JSON record to write, outside that directory")


def run(files: PublishFiles, options: PublishOptions) -> None:
    """Publish, or raise :class:`DataQualityError` with the reason for not doing so."""
    target = files.manifest.parent
    records = {path: read_record(path) for path in files.records}
    try:
        verdict, reason = decide(target.name, list(records.values()), options)
    except DataQualityError:
        shutil.rmtree(target, ignore_errors=True)  # what was published before is withdrawn
        raise
    for path in files.products:
        existing(path, "product to publish")
        verified(path)
        if not path.is_file():
            raise ContimgError(f"{path}: only files can be published, this is a directory")
    record_names = {
        path: f"{content['stage'].replace(' ', '_')}.json" for path, content in records.items()
    }
    names = [*(path.name for path in files.products), *record_names.values()]
    if len(set(names)) != len(names):
        raise ContimgError(f"{target}: two of the files to publish have the same name")
    steps = lineage(files.records)
    if gone := [step["record"] for step in steps if step.get("missing")]:
        raise DataQualityError(f"cannot be followed to the raw data: {', '.join(gone)} is gone")
    with atomic(target) as partial:
        partial.mkdir()
        entries = [_copy(path, partial / path.name) for path in files.products]
        entries += [_copy_record(p, partial / name) for p, name in record_names.items()]
        manifest = {
            "data_id": target.name,
            "verdict": verdict,
            "reason": reason,
            "files": entries,
            "lineage": steps,
        }
        (partial / files.manifest.name).write_text(json.dumps(manifest, indent=1) + "\n")
    decided = read_overrides(options.overrides).get(target.name)
    write_record(
        files.record,
        product=target.name,
        stage="publish",
        data={
            "files": len(entries),
            "bytes": sum(e["bytes"] for e in entries),
            "decision": None if decided is None else asdict(decided),
        },
        options=(options,),
        inputs=[*files.products, *files.records],
        verdict=verdict,
        reason=reason,
    )


def decide(data_id: str, records: list[dict[str, Any]], options: PublishOptions) -> tuple[str, str]:
    """(verdict, reason) of what may be published; :class:`DataQualityError` for what may not."""
    verdict = max((r["verdict"] for r in records), key=VERDICTS.index, default="pass")
    reasons = "; ".join(
        f"{r['product']}: {r['reason']}" for r in records if r["verdict"] == verdict and r["reason"]
    )
    override = read_overrides(options.overrides).get(data_id)
    if override is not None and override.decision == "hold":
        raise DataQualityError(f"held back by decision: {override.why}")
    empty = [r for r in records if r["verdict"] == "fail" and not r["data"]]
    if empty:  # placeholders only: no decision can make a product of them
        raise DataQualityError(f"there is no product: {reasons}")
    if VERDICTS.index(verdict) <= VERDICTS.index(options.allow):
        return verdict, reasons
    if override is None or override.decision != "publish":
        raise DataQualityError(f"verdict {verdict}, publish.allow is {options.allow}: {reasons}")
    return "warn", f"published by decision: {override.why} (verdict {verdict}: {reasons})"


def _copy(source: Path, target: Path) -> dict[str, Any]:
    """Copy a file and make sure that the copy is the file."""
    shutil.copyfile(source, target)
    entry = _entry(target)
    if entry["sha256"] != file_sha256(source):
        raise ContimgError(f"{source}: changed while it was copied, or the copy is bad; try again")
    return entry


def _copy_record(source: Path, target: Path) -> dict[str, Any]:
    """Copy a record without its ``run`` part, so that publishing again gives the same bytes."""
    content = {key: value for key, value in read_record(source).items() if key != "run"}
    target.write_text(json.dumps(content, indent=1) + "\n")
    return _entry(target)


def _entry(path: Path) -> dict[str, Any]:
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": file_sha256(path)}


COMMAND = Command(
    help="Publish a product: copies, checksums, verdict and the way back to the raw data.",
    files=PublishFiles,
    options=(PublishOptions,),
    run=run,
    outputs=("manifest", "record"),
    record="record",
)
