"""The workflow's configuration: all stages' option models in one."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from contimg.cli import load
from contimg.core.options import to_flags


class Config(BaseModel):
    """Everything a run depends on. The config files hold exactly these keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    results: str = Field("results", description="directory of all products")


def flags(config: Config, verb: str, **extra: Any) -> str:
    """The option flags of `verb` with the values of `config`."""
    words = [to_flags(getattr(config, model.section)) for model in load(verb).options]
    return " ".join(word for word in words if word)
