"""What all pages of the web log share: templates, links, and files written only when they change.

Pages are addressed by their name below ``report/`` (``tiles/2025-10-05/20251005T034512.html``); all
links are relative, so that the results can be moved, copied and opened by a double click.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from contimg.core.paths import path
from contimg.core.window import utc

ASSETS = ("style.css", "plot.js", "common.js", "source.js", "population.js", "sky.js")
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,80}")
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Link:
    """Words and where they lead; `state` colours them."""

    label: str
    href: str
    state: str = ""


@dataclass
class Site:
    """The folder of the pages and what is known of every one of them."""

    results: str
    title: str
    made: str
    written: int = 0
    kept: int = 0
    names: set[str] = field(default_factory=set)

    @cached_property
    def home(self) -> Path:
        """Where the pages are."""
        return Path(path("report", self.results)).parent

    def to_page(self, here: str, name: str, mark: str = "") -> str:
        """Address of page `name` as seen from page `here`; `mark` is a place in it."""
        start = os.path.dirname(here) or "."
        return quote(os.path.relpath(name, start)) + (f"#{quote(mark, safe='')}" if mark else "")

    def to_file(self, here: str, file: str | Path) -> str:
        """Address of a file that is there, as seen from page `here`; empty when it is not."""
        if not os.path.exists(file):
            return ""
        return quote(os.path.relpath(file, self.home / os.path.dirname(here)))

    def files(self, here: str, named: Sequence[tuple[str, str]]) -> list[Link]:
        """Links to those of `named` (label, path) that are there."""
        found = [Link(label, self.to_file(here, file)) for label, file in named]
        return [link for link in found if link.href]

    def page(self, name: str, template: str, **values: Any) -> None:
        """Write a page from its template, everything in it escaped."""
        up = "../" * name.count("/")
        text = self._templates.get_template(template).render(
            site=self, here=name, up=up, made=self.made, **values
        )
        self.put(name, text)

    def data(self, file: str, name: str, content: Any) -> None:
        """Write a file of data: a call with JSON, since pages on the disk may load scripts only."""
        text = json.dumps(content, separators=(",", ":"), allow_nan=False)
        self.put(file, f"contimg.put({json.dumps(name)},{text});\n")

    def put(self, name: str, text: str) -> None:
        """Write a file whole or not at all, and not when it says the same already."""
        target = self.home / name
        self.names.add(name)
        content = text.encode()
        try:
            if target.read_bytes() == content:
                self.kept += 1
                return
        except FileNotFoundError:
            target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
        partial.write_bytes(content)
        os.replace(partial, target)
        self.written += 1

    def has(self, name: str) -> bool:
        """Whether a page or a file of data is there."""
        return (self.home / name).exists()

    def assets(self) -> None:
        """Style and scripts of the pages."""
        for name in ASSETS:
            self.put(f"assets/{name}", (_HERE / name).read_text())

    def tidy(self, folder: str) -> None:
        """Remove the pages and data below `folder` that no item stands for any more."""
        top = self.home / folder
        for file in top.rglob("*") if top.is_dir() else ():
            if file.is_file() and file.relative_to(self.home).as_posix() not in self.names:
                file.unlink()

    @cached_property
    def _templates(self) -> Any:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        environment = Environment(
            loader=FileSystemLoader(_HERE),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= {"number": number, "utc": utc_text, "milli": milli}
        environment.filters["with_error"] = with_error
        return environment


def number(value: Any, digits: int = 4) -> str:
    """A number with few digits, a dash for none, a text as it is."""
    if value is None or value != value:
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return str(value) if isinstance(value, int) else f"{value:.{digits}g}"


def with_error(value: Any, error: Any, digits: int = 4) -> str:
    """A value with as many places as its error has digits: ``60959.658 ± 0.019``."""
    if value is None or value != value:
        return "–"
    if error is None or error != error or error <= 0:
        return number(value, digits)
    places = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{places}f} ± {error:.{places}f}"


def milli(value: float | None, digits: int = 3) -> str:
    """A value in thousandths of its unit."""
    return number(None if value is None else value * 1e3, digits)


def utc_text(mjd: float | None) -> str:
    """``2025-10-05 03:45:12``"""
    return "–" if mjd is None or mjd != mjd else utc(mjd).replace("T", " ")


def key_of(name: str) -> str:
    """A name of a source as part of a file name and of an address: each source has its own."""
    if _SAFE.fullmatch(name):
        return name
    plain = re.sub(r"[^A-Za-z0-9.+-]+", "_", name).strip("._")[:40] or "source"
    return f"{plain}_{hashlib.sha256(name.encode()).hexdigest()[:10]}"


def digest(*parts: Any) -> str:
    """A short hash of what JSON can say."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def code_digest() -> str:
    """A hash of what makes the pages: with other code all are made again."""
    files = sorted(f for f in _HERE.iterdir() if f.suffix in {".py", ".j2", ".js", ".css"})
    return digest([hashlib.sha256(file.read_bytes()).hexdigest() for file in files])
