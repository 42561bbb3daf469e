"""Which jobs run again when a leaf of the config changes, as the rules see it.

``python tests/run/leaves.py`` writes the table that the test compares with (leaves.csv).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from contimg import dependencies
from contimg.config import Config
from contimg.core.options import is_path
from contimg.core.plans import plan_key
from contimg.run.content import INPUTS
from contimg.run.judge import JUDGED
from contimg.run.options import OPTIONS

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("leaves.csv")


def verbs() -> dict[str, set[str]]:
    """Rule -> verbs, from the rules themselves; a rule may have two by the method chosen."""
    found: dict[str, set[str]] = {}
    for file in sorted((ROOT / "rules").glob("*.smk")):
        for rule in re.split(r"^ *rule (?=\w+:)", file.read_text(), flags=re.M)[1:]:
            verb = re.search(r'depends_on\("([^"]+)"\)', rule)
            if verb:
                found.setdefault(rule[: rule.index(":")], set()).add(verb[1])
    return found


def leaves() -> list[tuple[str, str, Any]]:
    """(section, leaf, field) of every leaf of the config."""
    found = []
    for name, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found += [(name, leaf, f) for leaf, f in field.annotation.model_fields.items()]
    return found


def changed(section: str, leaf: str) -> Config:
    """A config in which one leaf has another value (of no sense: nothing validates it)."""
    config = Config(catalog="catalog.csv")
    options = getattr(config, section).model_copy(update={leaf: "another value"})
    return config.model_copy(update={section: options})


def plan_of(config: Config) -> str:
    """Name of the plan of a config."""
    return plan_key([getattr(config, model.section) for model in OPTIONS])


def row(section: str, leaf: str, field: Any, rules: dict[str, set[str]]) -> str:
    """``section.leaf,what happens``."""
    config, other = Config(catalog="catalog.csv"), changed(section, leaf)
    name = f"{section}.{leaf}"
    again = [
        rule
        for rule, verbs in rules.items()
        if any(dependencies.options(config, v) != dependencies.options(other, v) for v in verbs)
    ]
    if is_path(field):
        again = [
            f"file:{rule}"
            for rule, verbs in rules.items()
            if any(name in dependencies.files(other, verb) for verb in verbs)
        ]
        again += ["input"] if name in INPUTS else []
    judged = [
        f"judge:{verb}"
        for verb in JUDGED
        if dependencies.limits(config, verb) != dependencies.limits(other, verb)
    ]
    plan = ["plan"] if plan_of(config) != plan_of(other) else []
    return f"{name},{' '.join([*plan, *again, *judged])}"


def table() -> str:
    """One line a leaf."""
    rules = verbs()
    lines = [row(section, leaf, field, rules) for section, leaf, field in leaves()]
    return "\n".join(["leaf,changes", *lines]) + "\n"


if __name__ == "__main__":
    TABLE.write_text(table())
    sys.stdout.write(TABLE.read_text())
