"""One definition for a stage's config section, its command-line flags and its parameters.

A stage declares a subclass of :class:`Options`. The config section of that name is validated
by it, ``contimg VERB --help`` shows its fields as flags, and the rules pass the same values
back through :func:`to_flags`. ``None`` means "not given": the flag is left out.
"""

from __future__ import annotations

import argparse
import shlex
import types
import typing
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict

Model = TypeVar("Model", bound=BaseModel)


class Options(BaseModel):
    """Base of all option models. ``section`` is the name of the config section."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    section: ClassVar[str] = ""


def flag_name(field: str) -> str:
    """``cell_arcsec`` -> ``--cell-arcsec``."""
    return "--" + field.replace("_", "-")


def _is_list(annotation: Any) -> bool:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(_is_list(arg) for arg in typing.get_args(annotation))
    return origin in (list, tuple) or annotation in (list, tuple)


def _is_bool(annotation: Any) -> bool:
    return annotation is bool or bool in typing.get_args(annotation)


def add_flags(parser: argparse.ArgumentParser, model: type[BaseModel]) -> None:
    """Add one flag for every field of `model`; values stay strings until pydantic reads them."""
    group = parser.add_argument_group(getattr(model, "section", "") or "files")
    for name, field in model.model_fields.items():
        text = (field.description or "").replace("%", "%%")
        if not field.is_required() and field.default is not None:
            text += f" (default: {field.default})".replace("%", "%%")
        common: dict[str, Any] = {"dest": name, "default": None, "help": text}
        if _is_bool(field.annotation):
            group.add_argument(flag_name(name), action=argparse.BooleanOptionalAction, **common)
        elif _is_list(field.annotation):
            group.add_argument(flag_name(name), nargs="*", metavar="X", **common)
        else:
            group.add_argument(flag_name(name), required=field.is_required(), metavar="X", **common)


def from_namespace(namespace: argparse.Namespace, model: type[Model]) -> Model:
    """Build `model` from parsed flags; flags not given take the model's defaults."""
    given = {
        n: getattr(namespace, n) for n in model.model_fields if getattr(namespace, n) is not None
    }
    return model(**given)


def to_flags(options: BaseModel) -> str:
    """The command line that rebuilds `options`, quoted for a shell."""
    words: list[str] = []
    for name in type(options).model_fields:
        value = getattr(options, name)
        if value is None:
            continue
        if isinstance(value, bool):
            words.append(flag_name(name) if value else flag_name(name).replace("--", "--no-", 1))
        elif isinstance(value, (list, tuple)):
            words += [flag_name(name), *(str(item) for item in value)]
        else:
            words.append(f"{flag_name(name)}={value}")
    return shlex.join(words)
