"""docs/parity.md names commands, addresses, options and tests that there are, in every row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from contimg.cli import VERBS
from contimg.config import Config
from contimg.service.app import create

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/parity.md").read_text()
ADDRESSES = {
    re.sub(r"\{(\w+)(:path)?\}", r"{\1}", path)
    for path in create(str(ROOT / "docs"), "token").openapi()["paths"]
}


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    part = TEXT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines[1:]]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


@pytest.mark.parametrize("heading", ["Interface", "Features"])
def test_no_row_has_an_empty_cell(heading: str) -> None:
    table = rows(heading)
    assert len(table) > 25
    assert [row for row in table if len(row) != 3 or not all(row)] == []


def test_addresses_of_the_service_are_those_of_the_table() -> None:
    """In both directions."""
    named = {word for row in rows("Interface") for word in quoted(row[0])}
    assert named == ADDRESSES
    elsewhere = {w for row in rows("Features") for w in quoted(row[1]) if w.startswith("/api/")}
    assert elsewhere <= ADDRESSES


def test_commands_exist() -> None:
    said = [
        word for row in (*rows("Interface"), *rows("Features")) for word in quoted(row[1] + row[2])
    ]
    verbs = [word.removeprefix("contimg ") for word in said if word.startswith("contimg ")]
    assert len(verbs) > 30
    unknown = [v for v in verbs if not {" ".join(v.split()[:n]) for n in (1, 2)} & set(VERBS)]
    assert unknown == []
    rules = "".join(file.read_text() for file in (ROOT / "rules").glob("*.smk"))
    rules += (ROOT / "Snakefile").read_text()
    for word in said:
        if target := re.match(r"snakemake ([a-z]+)$", word):
            assert re.search(rf"^rule {target[1]}:", rules, re.MULTILINE), word
        if target := re.match(r"make ([a-z]+)$", word):
            assert re.search(rf"^{target[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), word


def test_options_exist() -> None:
    """`section.key` of the configuration."""
    options = [
        w
        for row in rows("Features")
        for w in quoted(row[1])
        if re.fullmatch(r"[a-z]+\.[a-z_0-9]+", w)
    ]
    assert len(options) >= 8
    for word in options:
        section, _, key = word.partition(".")
        assert key in Config.model_fields[section].annotation.model_fields, word


def test_tests_exist() -> None:
    """A name without a folder is beside the one before it."""
    for row in rows("Features"):
        folder = None
        for word in quoted(row[2]):
            path = Path(word) if "/" in word else folder / word
            assert (ROOT / path).exists(), (row[0], word)
            folder = path.parent
        assert folder is not None or row[2] == "its printed table", row
