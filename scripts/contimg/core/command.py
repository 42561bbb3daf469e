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
    of a command without it a changed limit is like any option. Before `run` what is read is held
    against its record (:mod:`contimg.core.seals`): every input that is a single product, and
    all of the fields `needed`, lists of which nothing can be left out; a stage that goes on without
    one of many sees to each of them itself. Afterwards the record is sealed with the outputs,
    and with what is written `always`, whether there are data or not. A failed record is of `stage`
    (of the verb where there is none).
    """

    help: str
    files: type[Files]
    options: tuple[type[Options], ...]
    run: Callable[..., int | None]
    outputs: tuple[str, ...] = ()
    record: str | None = None
    by_hand: bool = False
    judge: Callable[..., None] | None = None
    always: tuple[str, ...] = ()
    stage: str = ""
    needed: tuple[str, ...] = ()

    def inputs(self, files: BaseModel) -> list[Path]:
        """The files and directories that are read, as far as they are there."""
        written = {*self.outputs, *self.always}
        single = [getattr(files, n) for n in type(files).model_fields if n not in written]
        many = [value for name in self.needed for value in getattr(files, name)]
        return [value for value in (*single, *many) if isinstance(value, Path) and value.exists()]

    def products(self, files: BaseModel) -> list[Path]:
        """What is written besides the record."""
        names = [name for name in (*self.outputs, *self.always) if name != self.record]
        return [value for name in names if (value := getattr(files, name)) is not None]


def existing(path: Path, what: str) -> Path:
    """Return `path` or raise `FileNotFoundError` naming what it should have been."""
    if not path.exists():
        raise FileNotFoundError(f"{what} not found: {path}")
    return path
