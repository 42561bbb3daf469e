"""The command line's manners: help on one screen, hints, version, pipes."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from contimg import __version__
from contimg.cli import PEOPLE, VERBS, declared, load, main
from contimg.core.options import choices
from contimg.help import SCREEN, WIDTH, summary

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("verb", VERBS)
def test_help_fits_a_screen_and_shows_every_flag(verb: str, capsys) -> None:
    assert main([*verb.split(), "--help"]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert len(lines) <= SCREEN and max(map(len, lines)) <= WIDTH
    command = load(verb)
    for model in (command.files, *command.options):
        for name, field in model.model_fields.items():
            flag = name.rstrip("_").replace("_", "-")
            assert re.search(rf"--(\[no-\])?{flag}\b|\b{name.upper()}\b", text), flag
            given = choices(field.annotation)
            assert "|".join(given) in text


def test_help_of_a_flag_says_all_about_it(capsys) -> None:
    assert main(["image", "--help", "--imsize"]) == 0
    text = capsys.readouterr().out
    assert "pixels on a side" in text and "robust" not in text


def test_help_survives_percent_signs(capsys) -> None:
    for verb in VERBS:
        assert main([*verb.split(), "--help", "all"]) == 0


def test_help_lines_are_those_of_the_commands() -> None:
    for verb, module in VERBS.items():
        assert summary(module) == load(verb).help


def test_all_verbs_are_listed(capsys) -> None:
    assert main(["--help"]) == 0
    brief = capsys.readouterr().out
    assert set(PEOPLE) < set(VERBS)
    assert all(verb in brief for verb in VERBS)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["stauts"], "did you mean status?"),
        (["calset", "validat"], "did you mean calset validate"),
        (["status", "--resuls", "x"], "did you mean --results"),
    ],
)
def test_what_is_mistyped_is_guessed(words: list[str], hint: str, capsys) -> None:
    try:
        status = main(words)
    except SystemExit as end:
        status = end.code
    assert status == 2
    assert hint in capsys.readouterr().err


def test_a_pipe_that_closes_is_no_error() -> None:
    """`contimg config | head -1`"""
    done = subprocess.run(
        f"set -o pipefail; {shlex.quote(sys.executable)} scripts/bin/contimg config | head -n 1",
        shell=True, executable="/bin/bash", cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


def test_an_output_that_is_closed_is_no_error() -> None:
    done = subprocess.run(
        f"{shlex.quote(sys.executable)} scripts/bin/contimg config >&-",
        shell=True, executable="/bin/bash", cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr


def test_one_version(capsys) -> None:
    """The package has it; the citation and the newest entry of the change log repeat it."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"contimg {__version__}\n"
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == __version__
    heads = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heads[:2] == ["Unreleased", __version__]


HEAVY = ("pandas", "numba", "matplotlib", "astropy", "scipy", "casatools", "pyuvdata")


def test_help_imports_nothing_heavy() -> None:
    """A second of a person's time, each time."""
    code = f"""
import sys
from contimg.cli import VERBS, main
for verb in VERBS:
    main([*verb.split(), "--help"])
    heavy = [name for name in {HEAVY} if name in sys.modules]
    assert not heavy, (verb, heavy)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_declarations_are_those_of_the_command(verb: str) -> None:
    found, command = declared(verb), load(verb)
    assert (found.judge is None) == (command.judge is None)
    assert [model.section for model in found.options] == [m.section for m in command.options]
    pairs = [(found.files, command.files), *zip(found.options, command.options, strict=True)]
    for mine, its in pairs:
        assert list(mine.model_fields) == list(its.model_fields)
        assert all(
            mine.model_fields[name].description == field.description
            for name, field in its.model_fields.items()
        )
