"""``contimg config``: the default config file and the schema, from the option models."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

from pydantic import BaseModel, Field
from pydantic_core import PydanticUndefined

from contimg.config import Config
from contimg.core.command import Command, Files

_HEADER = """\
# Every key of the workflow with its default. Change values here, or, better, put those that
# differ into a file of your own and give it with --configfile; it is laid over this one.
# Made by `contimg config`; the same names are the flags of the commands (contimg VERB --help).
"""


class ConfigFiles(Files):
    """What to write."""

    defaults: Path | None = Field(None, description="write the commented defaults here (YAML)")
    json_schema: Path | None = Field(None, description="write the JSON schema here")


def run(files: ConfigFiles) -> None:
    """Write what is asked for; print the defaults when nothing is."""
    if files.defaults is not None:
        files.defaults.write_text(default_yaml())
    if files.json_schema is not None:
        files.json_schema.write_text(schema())
    if files.defaults is None and files.json_schema is None:
        print(default_yaml(), end="")


def schema() -> str:
    """JSON schema of the config."""
    return json.dumps(Config.model_json_schema(), indent=1) + "\n"


def default_yaml() -> str:
    """Every key, its description and its default; required keys are left commented."""
    lines = [_HEADER]
    for name, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            lines += ["", _comment(field.annotation.__doc__ or ""), f"{name}:"]
            for key, option in field.annotation.model_fields.items():
                lines += [_comment(option.description or "", "  "), "  " + _entry(key, option)]
        else:
            lines += [_comment(field.description or ""), _entry(name, field)]
    return "\n".join(lines) + "\n"


def _comment(text: str, indent: str = "") -> str:
    text = " ".join(text.strip().split("\n\n")[0].split())
    return textwrap.fill(text, 96, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")


def _entry(key: str, field) -> str:
    default = field.get_default(call_default_factory=True)
    if default is PydanticUndefined:
        return f"# {key}: (required)"
    if default is None:
        return f"# {key}: (unset)"
    if isinstance(default, BaseModel):
        raise TypeError(f"{key}: sections nest only once")
    plain = json.loads(json.dumps(default, default=str))
    return f"{key}: {json.dumps(plain)}"


COMMAND = Command(
    help="Print or write the commented default config and its JSON schema.",
    files=ConfigFiles,
    options=(),
    run=run,
)
