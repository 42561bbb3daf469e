"""The configuration of a run, for verbs that a person types on its results."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from contimg.core.errors import ContimgError
from contimg.report import runs

# fields of a verb's files -> where a config has them
KEYS = {
    "results": ("results",),
    "catalog": ("catalog",),
    "tier": ("image", "tier"),
    "publish_overrides": ("publish", "overrides"),
    "mosaic_overrides": ("mosaic", "overrides"),
    "candidate_decisions": ("report", "candidate_decisions"),
}


def values_of(config: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """What `config` has for the fields `names` of a verb's files."""
    found: dict[str, Any] = {}
    for name in names:
        if name == "config":  # all of it
            found[name] = dict(config)
            continue
        value: Any = config if name in KEYS else None
        for key in KEYS.get(name, ()):
            value = (value or {}).get(key)
        if value is not None:
            found[name] = value
    return found


def config_of(configfiles: Sequence[Path] | None, results: str | None) -> dict[str, Any]:
    """Sections and keys of the config files, the later above the earlier; else of the last run.

    `results` is the directory whose last run is meant (``results`` if not given). Without files
    and without a run there is nothing, and the defaults hold.
    """
    if not configfiles:
        return (runs.latest(results or "results") or {}).get("config", {})
    import yaml

    merged: dict[str, Any] = {}
    for file in configfiles:
        try:
            content = yaml.safe_load(file.read_text()) or {}
        except FileNotFoundError:
            raise ContimgError(f"{file}: config file not found") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ContimgError(f"{file}: not a readable config file ({error})") from None
        except yaml.YAMLError as error:
            raise ContimgError(f"{file}: not YAML: {error}") from None
        if not isinstance(content, dict):
            raise ContimgError(f"{file}: a config file holds keys and values")
        _lay_over(merged, content)
    return _expanded(merged)


def _expanded(content: dict[str, Any]) -> dict[str, Any]:
    """With ``~`` and ``$NAME`` filled in, as a run does it."""
    return {
        key: _expanded(value)
        if isinstance(value, dict)
        else os.path.expandvars(os.path.expanduser(value))
        if isinstance(value, str) and ("~" in value or "$" in value)
        else value
        for key, value in content.items()
    }


def _lay_over(below: dict[str, Any], above: dict[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _lay_over(below[key], value)
        else:
            below[key] = value
