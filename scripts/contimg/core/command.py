"""What a verb of the command line is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from contimg.core.options import Options


class Files(BaseModel):
    """Base of the models that name a command's inputs and outputs (all flags of paths)."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Command:
    """A verb: ``contimg VERB --input ... --option ...``.

    `run` is called as ``run(files, *options)``, the options in the order of `options`.
    `outputs` are the names of the fields of `files` that the command writes; `record` is the
    one that holds its JSON record. When `run` raises :class:`DataQualityError` a failed record
    and marked placeholders are written for all of them. A command without a record lets the
    error through. `run` may return an exit status. A verb that is typed by a person and never a
    job is `by_hand`: options not given are those of the last run on its results. `judge` holds a
    product that is there against limits that have changed, as ``judge(record, options, limits)``;
    of a command without it a changed limit is like any option.
    """

    help: str
    files: type[Files]
    options: tuple[type[Options], ...]
    run: Callable[..., int | None]
    outputs: tuple[str, ...] = ()
    record: str | None = None
    by_hand: bool = False
    judge: Callable[..., None] | None = None


def existing(path: Path, what: str) -> Path:
    """Return `path` or raise `FileNotFoundError` naming what it should have been."""
    if not path.exists():
        raise FileNotFoundError(f"{what} not found: {path}")
    return path
