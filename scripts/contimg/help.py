"""What ``--help`` prints: every flag of a verb on one screen, with its choices."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import sys
import textwrap
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from pydantic import BaseModel

from contimg.core.command import Command
from contimg.core.options import choices, flag_name, is_bool, is_positional

WIDTH = 100
SCREEN = 40  # lines
# modules of this package that declare and import nothing heavy
LIGHT = {f"contimg.core.{name}" for name in ("instrument", "command", "errors", "paths", "shared")}
LIGHT |= {"contimg.core.site", "contimg.catalogs.region", "contimg.calibrate.calset_files"}
SAID = {"help", "files", "options"}  # of a command, what its help is made of
DONE = {"run", "judge"}  # what it does, of which only whether it does it is declared
COMMON = {
    "--configfile": "config file(s) of a run: their options hold where no flag is given",
    "--help": "this text; --help FLAG ... explains these, --help all explains all",
}


def verb_help(verb: str, command: Command, asked: Iterable[str] = ()) -> str:
    """All flags of `verb` on one screen; of the flags in `asked`, the whole description."""
    wanted = {flag.lstrip("-").replace("-", "_") for flag in asked}
    models = (command.files, *command.options)
    head = [*_usage(verb, command), "", *textwrap.wrap(command.help, WIDTH), ""]
    if wanted:
        return "\n".join(head + _explained(models, wanted))
    for files, options in ((_lines, _lines), (_lines, _words), (_words, _words), (_names, _names)):
        text = head + _section(command.files, files)
        text += [line for model in command.options for line in _section(model, options)]
        text += [f"  {flag:24s} {said}" for flag, said in COMMON.items()]
        if len(text) <= SCREEN:
            break
    return "\n".join(text)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean ...?`` where something known looks like `word`, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else ""


@cache
def declared(module: str) -> Command:
    """The command of a module from its declarations alone, without what only its work needs.

    Heavy libraries take seconds to import and say nothing about flags. What the command does is
    left out: `judge` of one that judges is :func:`undone`.
    """
    tree = ast.parse(_source(module))
    body: list[ast.stmt] = []
    names = set()  # that light modules give
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            if _is_light(node):
                body.append(node)
                names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.ClassDef) or _is_plain(node, names):
            body.append(node)
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COMMAND":
            call = node.value
            assert isinstance(call, ast.Call)
            call.keywords = [word for word in call.keywords if word.arg in SAID | DONE]
            for word in call.keywords:
                if word.arg in DONE:
                    word.value = ast.Name("undone", ast.Load())
            body.append(ast.fix_missing_locations(node))
    home = ModuleType(f"{module}:declared")
    vars(home)["undone"] = undone
    sys.modules[home.__name__] = home  # where pydantic looks annotations up
    try:
        exec(compile(ast.Module(body, []), module, "exec"), vars(home))
    finally:
        del sys.modules[home.__name__]
    return home.COMMAND


def undone(*_: Any) -> NoReturn:
    """What a declared command does."""
    raise NotImplementedError("a declaration does nothing; contimg.cli.load gives the command")


def _is_light(node: ast.Import | ast.ImportFrom) -> bool:
    """Standard library, pydantic, and the modules of this package that hold declarations."""
    if isinstance(node, ast.Import):
        return all(alias.name.split(".")[0] in sys.stdlib_module_names for alias in node.names)
    name = node.module or ""
    if name.split(".")[0] in {"pydantic", *sys.stdlib_module_names}:
        return True
    return name in LIGHT or name.endswith(".options") or name.startswith("contimg.operate")


def _is_plain(node: ast.stmt, names: set[str]) -> bool:
    """A constant, another name for a type, or a part of what has one of `names`."""
    if not isinstance(node, ast.Assign):
        return False
    used = {part.id for part in ast.walk(node.value) if isinstance(part, ast.Name)}
    return used <= names and not any(isinstance(p, ast.Call) for p in ast.walk(node.value))


def _source(module: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None, module
    return Path(spec.origin).read_text()


def summary(module: str) -> str:
    """The help line of the command that a module holds, read without importing the module."""
    for node in ast.walk(ast.parse(_source(module))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Command":
            for keyword in node.keywords:
                if keyword.arg == "help":
                    return str(ast.literal_eval(keyword.value))
    raise LookupError(f"{module} holds no Command with a help text")


def _usage(verb: str, command: Command) -> list[str]:
    words = [f"usage: contimg {verb}"]
    for name, field in command.files.model_fields.items():
        if is_positional(field):
            words.append(f"{name.upper()}" if field.is_required() else f"[{name.upper()} ...]")
        elif field.is_required():
            words.append(f"{flag_name(name)} X")
    return textwrap.wrap(" ".join([*words, "[flags]"]), WIDTH, subsequent_indent="    ")


def _section(model: type[BaseModel], style: Any) -> list[str]:
    if not model.model_fields:
        return []
    return [f"{getattr(model, 'section', '') or 'files'}:", *style(model)]


def _lines(model: type[BaseModel]) -> list[str]:
    """One line a flag, cut where the line ends."""
    lines = []
    for name, field in model.model_fields.items():
        text = f"  {_form(name, field):24s} {field.description or ''}{_default(field)}"
        lines.append(text if len(text) <= WIDTH else text[: WIDTH - 3].rstrip() + "...")
    return lines


def _words(model: type[BaseModel]) -> list[str]:
    """The flags with choices and defaults, one after the other."""
    return _paragraph(
        f"{_form(name, field)}{_default(field)}" for name, field in model.model_fields.items()
    )


def _names(model: type[BaseModel]) -> list[str]:
    """The flags with choices, one after the other."""
    return _paragraph(_form(name, field) for name, field in model.model_fields.items())


def _paragraph(items: Iterable[str]) -> list[str]:
    glued = (item.replace(" ", "\0") for item in items)  # a flag and its choices stay together
    lines = textwrap.wrap(
        "  ".join(glued),
        WIDTH,
        initial_indent="  ",
        subsequent_indent="  ",
        break_on_hyphens=False,
        break_long_words=False,
    )
    return [line.replace("\0", " ") for line in lines]


def _explained(models: Iterable[type[BaseModel]], wanted: set[str]) -> list[str]:
    lines = []
    for model in models:
        for name, field in model.model_fields.items():
            if wanted & {"all", name}:
                lines.append(f"{_form(name, field)}{_default(field)}")
                said = f"{field.description or ''}"
                lines += textwrap.wrap(said, WIDTH, initial_indent="    ", subsequent_indent="    ")
    return lines or ["no such flag; contimg VERB --help lists them"]


def _form(name: str, field: Any) -> str:
    if is_positional(field):
        return name.upper()
    flag = flag_name(name)
    if is_bool(field.annotation):
        return f"--[no-]{flag[2:]}"
    given = choices(field.annotation)
    return f"{flag} {'|'.join(given)}" if given else flag


def _default(field: Any) -> str:
    if field.is_required():
        return " (required)"
    value = field.get_default(call_default_factory=True)
    if value is None or value is False or value == [] or value == "":
        return ""
    if isinstance(value, (list, tuple)):
        value = " ".join(map(str, value))
    return f" [{'yes' if value is True else value}]"
