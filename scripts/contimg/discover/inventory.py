"""The groups on disk: a table of them, and a manifest each."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Any

import pandas as pd

from contimg.core.groups import Group, write_manifest
from contimg.core.paths import path
from contimg.core.records import atomic
from contimg.discover.select import GroupFiles


def manifest_digest(group: Group, entries: list[dict[str, Any]]) -> str:
    """Hash of what a conversion takes from a manifest: where the files lie is not of it."""
    plain = [{k: v for k, v in entry.items() if k != "path"} for entry in entries]
    return _hash((vars(group), plain))


def write_groups(results: str, plan: str, groups: list[GroupFiles], manifests: bool) -> None:
    """The manifests that changed or are not there, and the table of the groups of a plan.

    The table holds a digest of each manifest, so that those as they were need not be read.
    """
    target = Path(path("groups", results, plan=plan))
    before: dict[str, str] = {}
    if target.exists():
        known = pd.read_parquet(target)
        if "digest" in known:
            before = dict(zip(known["group"], known["digest"], strict=True))
    there = _manifests(results) if manifests else set()
    now = {}
    for group, entries in groups:
        now[group.group] = _hash((vars(group), entries))
        manifest = path("manifest", results, group=group.group)
        if manifests and (before.get(group.group) != now[group.group] or manifest not in there):
            write_manifest(manifest, group, entries)
    if now != before or not target.exists():
        columns = [field.name for field in dataclasses.fields(Group)]
        table = pd.DataFrame([vars(group) for group, _ in groups], columns=columns)
        table["digest"] = list(now.values())
        with atomic(target) as partial:
            table.to_parquet(partial, index=False)


def _manifests(results: str) -> set[str]:
    """Paths of the manifests that exist."""
    top = Path(path("manifest", results, group="20000101T000000")).parent.parent
    if not top.is_dir():
        return set()
    with os.scandir(top) as days:
        folders = [day.path for day in days if day.is_dir()]
    return {f"{folder}/{name}" for folder in folders for name in os.listdir(folder)}


def _hash(content: Any) -> str:
    return hashlib.blake2b(repr(content).encode(), digest_size=12).hexdigest()
