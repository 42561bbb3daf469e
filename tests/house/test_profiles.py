"""The profiles: readable by Snakemake, and each says only what is its own to say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from snakemake.cli import get_argument_parser

ROOT = Path(__file__).parents[2]
PROFILES = ("default", "slurm")


def read(name: str) -> dict:
    return yaml.safe_load((ROOT / "profiles" / name / "profile.yaml").read_text())


@pytest.mark.parametrize("name", PROFILES)
def test_every_key_is_an_option_of_snakemake(name: str) -> None:
    options = {
        option.removeprefix("--")
        for action in get_argument_parser()._actions
        for option in action.option_strings
    }
    assert set(read(name)) <= options


def test_site_and_workflow_share_no_key() -> None:
    assert not set(read("default")) & set(read("slurm"))


@pytest.mark.parametrize("name", PROFILES)
def test_incomplete_products_are_never_kept(name: str) -> None:
    assert "keep-incomplete" not in read(name)


def test_profile_is_found_by_its_name() -> None:
    assert (ROOT / "slurm" / "profile.yaml").samefile(ROOT / "profiles" / "slurm" / "profile.yaml")


def test_rules_of_the_examples_exist() -> None:
    """An override of a rule that is none would be an error of Snakemake, at the worst moment."""
    text = "\n".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    rules = set(re.findall(r"^\s*rule (\w+):", text, flags=re.M))
    profile = (ROOT / "profiles/default/profile.yaml").read_text()
    examples = re.findall(r"^#   (\w+):", profile, flags=re.M)
    commands = re.findall(r"(\w+):(?:mem_mb|runtime)=", (ROOT / "docs/cluster.md").read_text())
    assert examples and commands
    assert {*examples, *commands} <= rules
