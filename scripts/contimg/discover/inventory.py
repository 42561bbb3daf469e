"""The groups on disk: a table of them, and a manifest each."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow

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

    The table holds a digest of each manifest and its size, so that those as they were need not be
    read; one that was cut short since is written anew.
    """
    target = Path(path("groups", results, plan=plan))
    before = _known(target)
    there = _manifests(results) if manifests else {}
    now = {}
    for group, entries in groups:
        manifest = path("manifest", results, group=group.group)
        now[group.group] = _hash((vars(group), entries, there.get(manifest)))
        if manifests and (before.get(group.group) != now[group.group] or manifest not in there):
            write_manifest(manifest, group, entries)
            now[group.group] = _hash((vars(group), entries, os.stat(manifest).st_size))
    if now != before or not target.exists():
        columns = [field.name for field in dataclasses.fields(Group)]
        table = pd.DataFrame([vars(group) for group, _ in groups], columns=columns)
        table["digest"] = list(now.values())
        with atomic(target) as partial:
            table.to_parquet(partial, index=False)


def _known(table: Path) -> dict[str, str]:
    """Digest of each group's manifest by the table of groups; none where it cannot be read."""
    try:
        known = pd.read_parquet(table, columns=["group", "digest"])
    except (OSError, ValueError, pyarrow.ArrowException):
        return {}  # not there yet, or damaged: all of it is written anew
    return dict(zip(known["group"], known["digest"], strict=True))


def _manifests(results: str) -> dict[str, int]:
    """Size of the manifests that exist, by path."""
    top = Path(path("manifest", results, group="20000101T000000")).parent.parent
    if not top.is_dir():
        return {}
    with os.scandir(top) as days:
        folders = [day.path for day in days if day.is_dir()]
    found = {}
    for folder in folders:
        with os.scandir(folder) as files:
            found |= {file.path: file.stat().st_size for file in files}
    return found


def _hash(content: Any) -> str:
    return hashlib.blake2b(repr(content).encode(), digest_size=12).hexdigest()
