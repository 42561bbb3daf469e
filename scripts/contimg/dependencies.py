"""What a product depends on, said once: options, the files they name, and code.

Rules, records and ``contimg why`` ask here, and nothing else works any of it out.

* **Options**: the leaves of the config that change the numbers of a verb's products. Of the
  sections whose options the verb takes these are the leaves that the modules it runs read by name;
  limits of verdicts (:data:`contimg.core.options.Limit`) are apart, since a changed limit only
  judges again, and so are paths, of which not the name matters but what the file says.
* **Files**: what those path leaves name.
* **Code**: the modules that a verb imports, directly or not, wherever in a module that is written,
  hashed without comments, docstrings and help texts; and files beside them that they name
  (templates, strategies).
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from contimg.cli import VERBS, declared
from contimg.core.options import is_limit, is_path

_ROOT = Path(__file__).parent  # of the package
_VERSION = 3  # of what is found in a module
_unwritten: list[str] = []  # modules that are not in the cache
_TEXTS = {"description", "help"}  # arguments that only people read
PLANNERS = ("discover", "plan", "mosaic plan")  # verbs whose product is a plan
_DATA = {".j2", ".lua", ".js", ".css"}  # kinds of files that modules may name


@cache
def modules(verb: str) -> dict[str, str]:
    """Hash of every module that `verb` may run and of every file these name, by name."""
    hashes: dict[str, str] = {}
    waiting = [VERBS[verb]]
    while waiting:
        name = waiting.pop()
        if name in hashes:
            continue
        module = _module(name)
        hashes[name] = module.digest
        hashes |= {path.relative_to(_ROOT.parents[1]).as_posix(): h for path, h in module.data}
        waiting += module.imports
    _keep()
    return dict(sorted(hashes.items()))


@cache
def code(verb: str) -> str:
    """One hash for all that :func:`modules` lists."""
    return digest(modules(verb))


def options(config: BaseModel, verb: str) -> dict[str, Any]:
    """``section.leaf`` -> value of the leaves that change the numbers of `verb`."""
    return {name: value for name, value in _leaves(config, verb) if not name.endswith(":limit")}


def limits(config: BaseModel, verb: str) -> dict[str, float]:
    """``section.leaf`` -> value of the limits by which `verb` judges."""
    return {
        name.removesuffix(":limit"): value
        for name, value in _leaves(config, verb)
        if name.endswith(":limit")
    }


def files(config: BaseModel, verb: str) -> dict[str, Path]:
    """``section.leaf`` -> file of the path leaves of `verb` that are set."""
    return {
        f"{model.section}.{leaf}": value
        for model in declared(verb).options
        for leaf, field in model.model_fields.items()
        if is_path(field)
        and (value := getattr(getattr(config, model.section), leaf)) is not None
        and leaf in used(verb)
    }


def digest(content: Any) -> str:
    """A short hash of what JSON can say."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@cache
def used(verb: str) -> frozenset[str]:
    """Names of the leaves that the modules of `verb` read.

    A leaf that no verb is seen to read (its name is put together somewhere) counts as read by
    every verb that takes its section.
    """
    names = _names(verb)
    mine = {
        leaf
        for model in declared(verb).options
        for leaf in model.model_fields
        if verb in PLANNERS or leaf not in model.planning
    }
    return frozenset(leaf for leaf in mine if leaf in names or leaf not in _read_somewhere())


@cache
def _read_somewhere() -> frozenset[str]:
    return frozenset().union(*(_names(verb) for verb in VERBS))


@cache
def _names(verb: str) -> frozenset[str]:
    """Attributes, and texts that may be names of attributes, in all modules of a verb."""
    found = (_module(name).names for name in modules(verb) if name.startswith("contimg"))
    return frozenset().union(*found)


def _leaves(config: BaseModel, verb: str) -> Iterator[tuple[str, Any]]:
    command = declared(verb)
    for model in command.options:
        section = getattr(config, model.section)
        for leaf, field in model.model_fields.items():
            if leaf in used(verb) and not is_path(field):
                mark = ":limit" if is_limit(field) and command.judge is not None else ""
                yield f"{model.section}.{leaf}{mark}", getattr(section, leaf)


class _Module(typing.NamedTuple):
    """What is to be known of one module."""

    digest: str
    imports: list[str]  # modules of this package
    names: frozenset[str]
    data: list[Any]  # files that it names, in the end with their hashes


@cache
def _module(name: str) -> _Module:
    path = _path(name)
    status = path.stat()
    key = f"{_VERSION} {path} {status.st_size} {status.st_mtime_ns}"
    known = _kept()
    if key not in known:
        known[key] = _parse(path)._asdict()
        _unwritten.append(key)
    found = known[key]
    data = [(Path(f), hashlib.sha256(Path(f).read_bytes()).hexdigest()[:12]) for f in found["data"]]
    return _Module(found["digest"], found["imports"], frozenset(found["names"]), data)


@cache
def _kept() -> dict[str, Any]:
    """What was found in modules before, by file, size and time: parsing takes its time."""
    try:
        return json.loads(_cache_file().read_text())
    except (OSError, ValueError):
        return {}


def _keep() -> None:
    if not _unwritten:
        return
    _unwritten.clear()
    target = _cache_file()
    with contextlib.suppress(OSError):  # a cache that cannot be written is none
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(_kept(), default=sorted))
        os.replace(partial, target)


def _cache_file() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "contimg" / "modules.json"


def _parse(path: Path) -> _Module:
    tree = ast.parse(path.read_bytes())
    _strip(tree)
    texts = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    attributes = {node.attr for node in _nodes(tree) if isinstance(node, ast.Attribute)}
    data = sorted(str(file) for text in texts for file in _named(path.parent, text))
    shape = ast.dump(tree, annotate_fields=False)
    return _Module(
        hashlib.sha256(shape.encode()).hexdigest()[:12],
        sorted(set(_imports(tree))),
        frozenset(attributes | {text for text in texts if text.isidentifier()}),
        data,
    )


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those of validators, which read options only to refuse them."""
    yield tree
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.FunctionDef) and any(map(_validates, node.decorator_list))):
            yield from _nodes(node)


def _validates(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(called, ast.Name) and called.id in {"model_validator", "field_validator"}


def _path(name: str) -> Path:
    base = _ROOT.joinpath(*name.split(".")[1:])
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def _strip(tree: ast.Module) -> None:
    """Take out what only people read: docstrings and help texts."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Pass()]
        elif isinstance(node, ast.Call):
            node.keywords = [word for word in node.keywords if word.arg not in _TEXTS]


def _imports(tree: ast.Module) -> Iterator[str]:
    """Modules of this package that `tree` imports, those imported inside functions included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _ours(alias.name))
        elif isinstance(node, ast.ImportFrom) and node.module and _ours(node.module):
            below = [f"{node.module}.{alias.name}" for alias in node.names]
            inside = [name for name in below if _path(name).exists()]
            yield from inside
            if len(inside) < len(below):
                yield node.module


def _ours(name: str) -> bool:
    return name.split(".")[0] == "contimg" and name not in {"contimg", "contimg.cli"}


def _named(folder: Path, text: str) -> Iterator[Path]:
    """The file, beside a module or below the checkout, that a text in it names."""
    if Path(text).suffix in _DATA and "\n" not in text and len(text) < 200:
        for base in (folder, _ROOT.parents[1]):
            if (base / text).is_file():
                yield base / text
