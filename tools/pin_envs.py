"""Give the conda environments (envs/*.yaml) the versions of requirements.lock.

``python tools/pin_envs.py`` rewrites them, with ``--check`` it only says which differ.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PYTHON = "3.11"  # of the environments
NAMES = {"matplotlib-base": "matplotlib"}  # conda's name -> PyPI's
LINE = re.compile(r"^(\s*- )([A-Za-z0-9_.-]+)(==?)([0-9][^\s]*)(.*)$")


def locked() -> dict[str, str]:
    """Version of every package of the lock, for the Python of the environments."""
    versions = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if line and not line.startswith("#"):
            wanted = Requirement(line)
            python = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.0"}
            if wanted.marker is None or wanted.marker.evaluate(python):
                versions[wanted.name] = next(iter(wanted.specifier)).version
    return versions


def pinned(text: str, versions: dict[str, str]) -> str:
    """An environment with the versions of the lock; the interpreter keeps its own."""
    lines = []
    for line in text.splitlines():
        found = LINE.match(line)
        if found and found[2] != "python":
            name = NAMES.get(found[2], found[2])
            line = f"{found[1]}{found[2]}{found[3]}{versions[name]}{found[5]}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def main() -> int:
    """Rewrite or check all environments."""
    versions, stale = locked(), []
    for env in sorted((ROOT / "envs").glob("*.yaml")):
        text = env.read_text()
        if text != (wanted := pinned(text, versions)):
            stale.append(env.name)
            if "--check" not in sys.argv:
                env.write_text(wanted)
    if stale:
        print("not the versions of requirements.lock:" if "--check" in sys.argv else "pinned:")
        print(*stale)
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
