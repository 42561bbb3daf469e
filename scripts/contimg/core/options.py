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
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

POSITIONAL = "positional"  # in the annotation of a field: Annotated[list[str], POSITIONAL]
Model = TypeVar("Model", bound=BaseModel)


class _LimitMark:
    """Marks the type of an option that is the limit of a verdict."""


# A limit of a verdict: it judges a product and changes no number in it. A changed one judges the
# products that are there again (contimg judge); everything else makes them again.
Limit = Annotated[float, _LimitMark()]


class LimitValue(float):
    """The value of a :data:`Limit` that knows its option: ``section.leaf`` and a factor on it.

    Checks that are held against it (or a multiple or a fraction of it) can be held against its
    next value.
    """

    def __new__(cls, value: float, leaf: str, factor: float = 1.0, power: int = 1) -> LimitValue:
        """`value` is `factor` times that of the option to the `power` 1 or -1."""
        self = super().__new__(cls, value)
        self.leaf, self.factor, self.power = leaf, factor, power
        return self

    def __mul__(self, other: float) -> LimitValue:
        return LimitValue(float(self) * other, self.leaf, self.factor * other, self.power)

    __rmul__ = __mul__

    def __truediv__(self, other: float) -> LimitValue:
        return self * (1 / other)

    def __rtruediv__(self, other: float) -> LimitValue:
        return LimitValue(other / float(self), self.leaf, other / self.factor, -self.power)


class Options(BaseModel):
    """Base of all option models. ``section`` is the name of the config section."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    section: ClassVar[str] = ""
    # leaves that say what is made, or with which means, and nothing about the numbers in it
    planning: ClassVar[frozenset[str]] = frozenset()

    def model_post_init(self, context: Any) -> None:
        """Let limits know where they come from."""
        for name, field in type(self).model_fields.items():
            if is_limit(field):
                self.__dict__[name] = LimitValue(self.__dict__[name], f"{self.section}.{name}")


def is_limit(field: FieldInfo) -> bool:
    """Whether an option is a limit of a verdict."""
    return any(isinstance(mark, _LimitMark) for mark in field.metadata)


def is_path(field: FieldInfo) -> bool:
    """Whether an option names a file or a directory."""
    return field.annotation is Path or Path in typing.get_args(field.annotation)


def flag_name(field: str) -> str:
    """``cell_arcsec`` -> ``--cell-arcsec``; ``json_`` -> ``--json``."""
    return "--" + field.rstrip("_").replace("_", "-")


def _is_list(annotation: Any) -> bool:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(_is_list(arg) for arg in typing.get_args(annotation))
    return origin in (list, tuple) or annotation in (list, tuple)


def is_bool(annotation: Any) -> bool:
    """Whether a flag is switched on and off, and takes no value."""
    return annotation is bool or bool in typing.get_args(annotation)


def choices(annotation: Any) -> tuple[str, ...]:
    """The values that an annotation allows, if it lists them."""
    if typing.get_origin(annotation) is typing.Literal:
        return tuple(map(str, typing.get_args(annotation)))
    return next((found for a in typing.get_args(annotation) if (found := choices(a))), ())


def is_positional(field: FieldInfo) -> bool:
    """Whether the words that follow the verb are the values of this field."""
    return POSITIONAL in field.metadata


def add_flags(parser: argparse.ArgumentParser, model: type[BaseModel]) -> None:
    """Add one flag for every field of `model`; values stay strings until pydantic reads them."""
    for name, field in model.model_fields.items():
        common: dict[str, Any] = {"dest": name, "default": None}
        if field.annotation is dict:  # comes from the config alone
            continue
        if is_positional(field):
            parser.add_argument(name, nargs="*", default=None, metavar=name.upper())
        elif is_bool(field.annotation):
            parser.add_argument(flag_name(name), action=argparse.BooleanOptionalAction, **common)
        elif _is_list(field.annotation):
            parser.add_argument(flag_name(name), nargs="*", metavar="X", **common)
        else:
            parser.add_argument(flag_name(name), metavar="X", **common)


def from_namespace(
    namespace: argparse.Namespace, model: type[Model], known: Mapping[str, Any] | None = None
) -> Model:
    """Build `model` from parsed flags; those not given are taken from `known`, or the defaults."""
    given = {}
    for name, field in model.model_fields.items():
        value = getattr(namespace, name, None)
        if value is not None and not (is_positional(field) and value == []):
            given[name] = value
    return model(**{**(known or {}), **given})


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
