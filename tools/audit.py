"""Prove from the files alone that a results directory is whole.

``python tools/audit.py RESULTS [--raw DIR]``, where the run was started. Shares no code with the
workflow, and asks none of it. A line a finding; exit status 1 where there is any. What is held to
be true:

* every raw file is in one manifest, or rejected with a reason; what was planned came to an end;
* every product has one record, every record its products; sizes and hashes are those of the seal;
* inputs below the results are those that the records name;
* nothing temporary is left;
* verdicts are the worst of their checks, and none is better than what it was made from, unless
  the record names what was cleared or left out;
* published files are those of the product, and the way back to the raw data is unbroken.

A Measurement Set may be gone (keep_ms: false). A record that was judged again by changed limits is
another input than the one that was recorded: such a pair is reported as ``changed since``.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# directories of what is no product of a job with a record
OTHERS = {"inventory", "logs", "benchmarks", "runs", "report", "simulated", "raw", ".snakemake"}
SENT = ("variability", "alerts")  # never written again: no job's product
NOT_HASHED = {"table.lock", ".snakemake_timestamp"}  # marks of readers
TEMPORARY = (".partial-", ".fit-", ".scratch", ".tmp")
ORDER = ("pass", "warn", "fail")
INHERITS = {
    "apply",
    "image",
    "mosaic",
    "photometry",
}  # take over the warnings of what they are made from

Record = dict[str, Any]


def main() -> int:
    """Audit one results directory."""
    parser = argparse.ArgumentParser(
        description="Is a results directory whole? From its files alone."
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("--raw", type=Path, default=None, help="directory of the raw files")
    given = parser.parse_args()
    audit = Audit(given.results, given.raw)
    findings = list(audit.findings())
    for finding in findings:
        print(finding)
    counts = ", ".join(f"{number} {what}" for what, number in audit.seen.items())
    print(f"audit of {given.results}: {counts}; {len(findings)} findings", file=sys.stderr)
    return 1 if findings else 0


class Audit:
    """What is there, and what is wrong with it."""

    def __init__(self, results: Path, raw: Path | None) -> None:
        self.results, self.raw = results, raw
        self.records: dict[Path, Record] = {}
        self.seen: Counter[str] = Counter()

    def findings(self) -> Iterator[str]:
        """All that is wrong, a line each."""
        yield from self._read_records()
        yield from self._products()
        yield from self._inputs()
        yield from self._verdicts()
        yield from self._raw()
        yield from self._plans()
        yield from self._published()

    def _read_records(self) -> Iterator[str]:
        for file in sorted(self.results.rglob("*.json")):
            if self._apart(file) or self._copied(file) or inside_ms(file):
                continue
            try:
                content = json.loads(file.read_bytes())
            except ValueError as error:
                yield f"unreadable: {file}: {error}"
                continue
            if not isinstance(content, dict) or "stage" not in content:
                continue  # a product in JSON: some record has it
            self.records[file] = content
            self.seen["records"] += 1
            if "seal" not in content:
                yield f"without a seal: {file}"
            elif content["seal"]["record"] != own_hash(content):
                yield f"not as it was written: {file}"

    def _products(self) -> Iterator[str]:
        owner: dict[Path, Path] = {}
        for record, content in self.records.items():
            for name, promise in content.get("seal", {}).get("products", {}).items():
                product = Path(os.path.normpath(record.parent / name))
                if product in owner:
                    yield f"two records: {product}: {owner[product]} and {record}"
                owner[product] = record
                self.seen["products"] += 1
                if not product.exists():
                    if product.suffix != ".ms":
                        yield f"product is gone: {product}"
                elif why := unlike(product, promise):
                    yield f"damaged: {product}: {why}"
        for file in sorted(self.results.rglob("*")):
            if any(mark in file.name for mark in TEMPORARY) and not inside_ms(file):
                yield f"temporary: {file}"
            elif file.is_file() and not self._apart(file) and file not in self.records:
                mine = {file, *file.parents} & owner.keys()
                if not mine and not self._copied(file) and file.name not in NOT_HASHED:
                    yield f"without a record: {file}"

    def _inputs(self) -> Iterator[str]:
        for record, content in self.records.items():
            for item in content["inputs"]:
                self.seen["inputs"] += 1
                path = self._input(item)
                promised = item.get("sha256") or item.get("record_sha256")
                if not path.exists():
                    if "below" in item:
                        yield f"input is gone: {record}: {path}"
                elif promised and promised != content_hash(path):
                    yield f"changed since: {record}: {path}"

    def _verdicts(self) -> Iterator[str]:
        for record, content in self.records.items():
            verdict = content["verdict"]
            if verdict not in ORDER:
                yield f"no verdict: {record}: {verdict!r}"
                continue
            worst = max((c["verdict"] for c in content["checks"]), key=ORDER.index, default=verdict)
            if content["stage"] != "publish" and worst != verdict:
                yield f"verdict is not that of its checks: {record}: {verdict}, not {worst}"
            if verdict == "fail" and not content["reason"]:
                yield f"failed without a reason: {record}"
            yield from self._against_inputs(record, content)

    def _against_inputs(self, record: Path, content: Record) -> Iterator[str]:
        """A record against those it was made from."""
        said = json.dumps([content["data"], content["reason"]]) + left_out(record)
        for item in content["inputs"]:
            made_from = self.records.get(self._input(item))
            if made_from is None or content["verdict"] == "fail":
                continue
            name, theirs = made_from["product"], made_from["verdict"]
            known = name in said or self._input(item).stem in said
            if theirs == "fail" and not known:
                yield f"made from what failed: {record}: {name}"
            warns = theirs == "warn" and content["verdict"] == "pass"
            if warns and content["stage"] in INHERITS and not known:
                yield f"better than what it is made from: {record}: {name}"

    def _raw(self) -> Iterator[str]:
        used: Counter[str] = Counter()
        for manifest in sorted(self.results.glob("inventory/groups/*/*.json")):
            content = json.loads(manifest.read_bytes())
            self.seen["groups"] += 1
            plain = {k: v for k, v in content.items() if k != "digest"}
            text = json.dumps(plain, sort_keys=True).encode()
            if content["digest"] != hashlib.sha256(text).hexdigest():
                yield f"not as it was written: {manifest}"
            used.update(os.path.abspath(entry["path"]) for entry in content["files"])
        for file, number in used.items():
            if number > 1:
                yield f"raw file in {number} groups: {file}"
            if not Path(file).exists():
                yield f"raw file is gone: {file}"
        rejected: set[str] = set()
        for table in sorted(self.results.glob("inventory/plans/*/rejected.csv")):
            with table.open(newline="") as stream:
                for row in csv.DictReader(stream):
                    rejected.add(os.path.abspath(row["path"]))
                    if not row["reason"]:
                        yield f"rejected without a reason: {row['path']}"
        known = {*used, *rejected}
        for file in sorted(self.raw.rglob("*.hdf5")) if self.raw else ():
            self.seen["raw files"] += 1
            if os.path.abspath(file) not in known:
                yield f"raw file of no group, and not rejected: {file}"

    def _plans(self) -> Iterator[str]:
        """What was planned last has come to an end: a record says pass, warn or fail."""
        plans = self.results.glob("inventory/plans/*/plan.json")
        for file in sorted(plans, key=lambda p: p.stat().st_mtime_ns)[-1:]:
            plan = json.loads(file.read_bytes())
            for kind, folder in (("tiles", "ms"), ("mosaics", "mosaics")):
                for name in plan[kind]:
                    pattern = f"{folder}/*/{name}.json"
                    ended = [p for p in self.results.glob(pattern) if p in self.records]
                    if not ended:
                        yield f"planned and not ended: {name} ({kind} of {file})"

    def _published(self) -> Iterator[str]:
        for manifest in sorted(self.results.glob("published/*/manifest.json")):
            text = manifest.read_bytes()
            if not text:
                continue  # nothing was good enough
            content, folder = json.loads(text), manifest.parent
            self.seen["publications"] += 1
            names = {entry["name"] for entry in content["files"]} | {manifest.name}
            for extra in sorted({p.name for p in folder.iterdir()} - names):
                yield f"published and not in the manifest: {folder / extra}"
            for entry in content["files"]:
                copy, product = folder / entry["name"], self._original(folder.name, entry["name"])
                if not copy.exists() or sha256(copy) != entry["sha256"]:
                    yield f"published file is not that of its manifest: {copy}"
                elif product.exists() and sha256(product) != entry["sha256"]:
                    yield f"published file is not the product: {copy}"
            for step in content["lineage"]:
                source = self.results / step["record"]
                if step.get("missing") or not source.exists():
                    yield f"the way back is broken: {manifest}: {source}"
                elif content_hash(source) != step["sha256"]:
                    yield f"changed since: {manifest}: {source}"

    def _original(self, mosaic: str, name: str) -> Path:
        places = (self.results / "mosaics" / mosaic / name, self.results / "photometry" / name)
        return next((place for place in places if place.exists()), places[0])

    def _input(self, item: Record) -> Path:
        path = Path(item["path"])
        path = self.results / path if item.get("below") == "results" else path
        return path.with_suffix(".json") if "record_sha256" in item else path

    def _copied(self, file: Path) -> bool:
        """Whether a file is of a publication: the manifest there has it."""
        parts = file.relative_to(self.results).parts
        return parts[0] == "published" and len(parts) > 2

    def _apart(self, file: Path) -> bool:
        parts = file.relative_to(self.results).parts
        return parts[0] in OTHERS or parts[:2] == SENT


def left_out(record: Path) -> str:
    """The list of tiles beside the record of a mosaic, which says what is not used."""
    table = record.with_name(f"{record.stem}.tiles.csv")
    return table.read_text() if table.exists() else ""


def unlike(product: Path, promise: Record) -> str:
    """In what a product is not what its record promised."""
    if not product.is_dir():
        if product.stat().st_size != promise["bytes"]:
            return f"{product.stat().st_size} bytes, not {promise['bytes']}"
        return "" if sha256(product) == promise["sha256"] else "another content"
    whole = hashlib.sha256()
    files = [p for p in product.rglob("*") if p.is_file() and p.name not in NOT_HASHED]
    for name, file in sorted((p.relative_to(product).as_posix(), p) for p in files):
        whole.update(f"{name}\0{file.stat().st_size}\0{sha256(file)}\n".encode())
    if len(files) != promise["files"]:
        return f"{len(files)} files, not {promise['files']}"
    return "" if whole.hexdigest() == promise["sha256"] else "another content"


def own_hash(record: Record) -> str:
    """Hash of a record without its run and the hash itself."""
    kept = {key: value for key, value in record.items() if key != "run"}
    kept["seal"] = {key: value for key, value in kept["seal"].items() if key != "record"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def content_hash(path: Path) -> str:
    """Hash of a file; of a record, of what every rerun repeats."""
    if path.suffix == ".json":
        content = json.loads(path.read_bytes())
        if isinstance(content, dict) and "run" in content:
            kept = {key: value for key, value in content.items() if key not in ("run", "seal")}
            return hashlib.sha256((json.dumps(kept, indent=1) + "\n").encode()).hexdigest()
    return sha256(path)


def sha256(path: Path) -> str:
    """Hash of the bytes of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def inside_ms(file: Path) -> bool:
    """Whether a file is of a Measurement Set or a calibration table."""
    return any((parent / "table.dat").exists() for parent in file.parents)


if __name__ == "__main__":
    sys.exit(main())
