"""Write the references of the command line and of the configuration from the models themselves.

``python tools/reference.py`` writes docs/cli.md and docs/config.md; so does the build of the site.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from pydantic import BaseModel  # noqa: E402

from contimg.cli import VERBS, load  # noqa: E402
from contimg.config import Config  # noqa: E402
from contimg.core.options import choices, flag_name, is_bool, is_positional  # noqa: E402


def pages() -> dict[str, str]:
    """Texts of the pages by their names."""
    return {"docs/cli.md": cli(), "docs/config.md": config()}


def cli() -> str:
    """Every verb with its flags; options of the config are listed there."""
    parts = [
        "# Command line",
        "Every rule of the workflow runs one of these verbs; each can be typed by hand. Flags of a"
        " section are the options of that section of the [configuration](config.md).",
    ]
    for verb in sorted(VERBS):
        command = load(verb)
        parts.append(f"## contimg {verb}\n\n{command.help}")
        rows = [
            f"| {_flag(name, field)} | {_default(field)} | {_cell(field.description)} |"
            for name, field in command.files.model_fields.items()
        ]
        parts.append("\n".join(["| flag | default | |", "|---|---|---|", *rows]))
        if command.options:
            sections = ", ".join(f"`{model.section}`" for model in command.options)
            parts.append(f"Options of the sections {sections}.")
    return "\n\n".join(parts) + "\n"


def config() -> str:
    """Every key of the configuration."""
    parts = [
        "# Configuration",
        "Every key with its default. `config/config.yaml` holds them all; files given with"
        " `--configfile` change some of them.",
    ]
    top, sections = [], []
    for name, field in Config.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            sections.append((name, model))
        else:
            top.append(_row(name, field))
    parts.append("\n".join(["| key | default | |", "|---|---|---|", *top]))
    for name, model in sections:
        said = (model.__doc__ or "").strip().splitlines()[0]
        rows = [_row(leaf, field) for leaf, field in model.model_fields.items()]
        parts.append(f"## {name}\n\n{said}")
        parts.append("\n".join(["| key | default | |", "|---|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _row(name: str, field: Any) -> str:
    return f"| `{name}` | {_default(field)} | {_cell(field.description)} |"


def _flag(name: str, field: Any) -> str:
    if is_positional(field):
        return f"`{name.upper()}`"
    flag = flag_name(name)
    if is_bool(field.annotation):
        return f"`{flag}`"
    given = choices(field.annotation)
    return f"`{flag} {'/'.join(given)}`" if given else f"`{flag}`"


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value is False or value in ("", []):
        return ""
    if isinstance(value, (list, tuple)):
        value = " ".join(map(str, value))
    return f"`{'yes' if value is True else value}`"


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def on_pre_build(config: Any) -> None:
    """What mkdocs calls before it reads the pages."""
    for name, text in pages().items():
        if not (ROOT / name).exists() or (ROOT / name).read_text() != text:
            (ROOT / name).write_text(text)


if __name__ == "__main__":
    on_pre_build(None)
